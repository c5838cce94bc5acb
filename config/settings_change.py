"""What a change of settings means: what differs, what is dangerous about it, and how two changes at once go together.

Pure. Texts are compared as they are stored, stripped; an older version's keys take part like any other.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import Struct

from config.env_bot import BY_KEY
from config.settings_table.setting import Setting

_WHEN: Final = {
    "now": "at once",
    "session": "at the next session start",
    "start": "when all processes are started again",
}


class Change(Struct, frozen=True, kw_only=True):
    """One setting that differs. None: it is not there, before or after."""

    key: str
    old: str | None
    new: str | None

    @property
    def takes_effect(self) -> str:
        """Return when the change is in force, in words."""
        setting = BY_KEY.get(self.key)
        return _WHEN[setting.takes_effect if setting else "session"]

    @property
    def unit(self) -> str:
        """Return the setting's unit; empty for what has none."""
        setting = BY_KEY.get(self.key)
        return setting.unit if setting and setting.kind in {"int", "decimal"} else ""


class Clash(Struct, frozen=True, kw_only=True):
    """A setting that two people changed at once: what it was to both, what is in force, what the second one typed."""

    key: str
    was: str | None
    theirs: str | None
    mine: str


class Merge(Struct, frozen=True, kw_only=True):
    """A change that was made from settings that are in force no more.

    Args:
        theirs: what somebody else has changed meanwhile.
        clashes: what both changed, to different values.
        mine: what only the second one changes, and what both changed alike is left out.
    """

    theirs: tuple[Change, ...]
    clashes: tuple[Clash, ...]
    mine: tuple[Change, ...]


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    """Return every setting that differs, in the order of the table; keys that are not in it come last."""
    return tuple(
        Change(key=key, old=before.get(key), new=after.get(key))
        for key in _ordered((*before, *after))
        if before.get(key) != after.get(key)
    )


def dangers(change: Change) -> tuple[str, ...]:
    """Return what a person should read before confirming this change, one sentence each."""
    setting = BY_KEY.get(change.key)
    if setting is None or change.new is None:
        return ()
    chosen = [words for value, words in setting.dangers if value == change.new.lower() or value == change.new]
    return (*chosen, *_riskier(setting, change))


def merge(was: Mapping[str, str], typed: Mapping[str, str], current: Mapping[str, str]) -> Merge:
    """Return how a change goes together with what is in force by now.

    Args:
        was: the settings that the page showed.
        typed: what is to be changed, by key.
        current: the settings in force.
    """
    wanted = {key: text for key, text in typed.items() if text != was.get(key)}
    touched = {key for key in {*was, *current} if was.get(key) != current.get(key)}
    clashes = [
        Clash(key=key, was=was.get(key), theirs=current.get(key), mine=wanted[key])
        for key in _ordered(wanted)
        if key in touched and current.get(key) != wanted[key]
    ]
    mine = [Change(key=key, old=current.get(key), new=wanted[key]) for key in _ordered(wanted) if key not in touched]
    return Merge(theirs=changes(was, current), clashes=tuple(clashes), mine=tuple(mine))


def _ordered(keys: Iterable[str]) -> list[str]:
    given = set(keys)
    return [key for key in BY_KEY if key in given] + sorted(given - BY_KEY.keys())


def _riskier(setting: Setting, change: Change) -> tuple[str, ...]:
    """Say it where the change lets the bot risk more than before; a setting that is new is no raise."""
    old, new = change.old, change.new
    if not setting.riskier or old is None or new is None:
        return ()
    if setting.riskier == "shorter":
        gone = sorted(_words(old) - _words(new))
        return (f"No longer kept out: {', '.join(gone)}.",) if gone else ()
    before, after = _number(old), _number(new)
    if before is None or after is None:
        return ()
    if (after > before) is (setting.riskier == "up") and after != before:
        way = "raises" if setting.riskier == "up" else "lowers"
        return (f"This {way} a limit from {before} to {after} {setting.unit}: the bot may risk more than before.",)
    return ()


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _words(text: str) -> set[str]:
    return {word.strip().upper() for word in text.split(",") if word.strip()}
