"""The bot's settings: the parser that accepts all of them or lists ALL faults. The table is in env_bot_settings.py.

Pure: text in, values out. The values come from the vault's encrypted `.env_bot`. A setting has a *proposal* that the
configuration page fills in; it is not a default: a key that is missing from the stored settings is a fault. Where
that is all that is wrong, another version wrote them: `PendingUpgradeError` says what a person has to confirm.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation

from msgspec import Struct

from config.env_bot_rules import Value, contradictions
from config.env_bot_settings import SETTINGS, Setting

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIME = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$")
_SYMBOL = re.compile(r"^[A-Z0-9][A-Z0-9.\-/]{0,23}$")
_TRUE_FALSE = {"true": True, "false": False}


class SettingsError(Exception):
    """The settings are not usable. `faults` has one plain sentence for each fault, all at once."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__(f"{self._opening()}:\n" + "\n".join(f"  - {fault}" for fault in faults))

    def _opening(self) -> str:
        return f"The settings have {len(self.faults)} fault(s). Correct them on the page of settings"


class PendingUpgradeError(SettingsError):
    """Another version wrote the settings: keys of this one are missing or keys of that one are left, and no more."""

    def _opening(self) -> str:
        return (
            f"The settings are those of another version, and {len(self.faults)} of them differ. Look at them on the "
            "page of settings and save: nothing else has to be entered again"
        )


class Upgrade(Struct, frozen=True, kw_only=True):
    """What this version needs of settings that another version wrote; empty where they are its own."""

    added: tuple[Setting, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Tell whether anything has to be confirmed."""
        return bool(self.added or self.removed)


BY_KEY: dict[str, Setting] = {setting.key: setting for setting in SETTINGS}


class EnvBot(Struct, frozen=True):
    """The parsed settings; every key of SETTINGS is present."""

    values: dict[str, Value]

    def flag(self, key: str) -> bool:
        """Return a bool setting."""
        return bool(self.values[key])

    def whole(self, key: str) -> int:
        """Return an int setting, in its own unit."""
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{key} is not a whole number")
        return value

    def number(self, key: str) -> Decimal:
        """Return a decimal setting, in its own unit."""
        value = self.values[key]
        if not isinstance(value, Decimal):
            raise TypeError(f"{key} is not a decimal")
        return value

    def scaled(self, key: str, scale: int) -> int:
        """Return a decimal setting times `scale` as an integer, rounded down: percent x 100 = basis points."""
        return int(self.number(key) * scale)

    def scaled_or_none(self, key: str, scale: int) -> int | None:
        """Return an optional number times `scale` as an integer, rounded down; None where it is left empty."""
        value = self.values[key]
        if value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise TypeError(f"{key} is not a number")
        return int(value * scale)

    def word(self, key: str) -> str:
        """Return a text, time or choice setting."""
        return str(self.values[key])

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list setting (weekdays, symbols)."""
        value = self.values[key]
        if not isinstance(value, tuple):
            raise TypeError(f"{key} is not a list")
        return value


def parse(raw: Mapping[str, str]) -> EnvBot:
    """Check every key and return the typed settings.

    Raises:
        SettingsError: with one sentence for each missing, malformed, unknown or contradictory setting.
        PendingUpgradeError: the same, where keys are missing or unknown and all else is right.
    """
    values: dict[str, Value] = {}
    absent: list[str] = []
    faults: list[str] = []
    for setting in SETTINGS:
        text = raw.get(setting.key)
        if text is None:
            absent.append(f"{setting.key} is missing: {setting.description}")
            continue
        try:
            values[setting.key] = parse_value(setting, text.strip())
        except ValueError as error:
            faults.append(str(error))
    absent.extend(f"{key} is not a setting of this bot: remove it" for key in raw if key not in BY_KEY)
    faults.extend(contradictions(values))
    if faults:
        raise SettingsError((*absent, *faults))
    if absent:
        raise PendingUpgradeError(tuple(absent))
    return EnvBot(values)


def upgrade_of(raw: Mapping[str, str]) -> Upgrade:
    """Return which settings of this version are missing from what is stored, and which it does not know any more."""
    return Upgrade(
        added=tuple(setting for setting in SETTINGS if setting.key not in raw),
        removed=tuple(key for key in raw if key not in BY_KEY),
    )


def proposals() -> dict[str, str]:
    """Return what the configuration page fills in: safe for the paper broker on a generated market."""
    return {setting.key: setting.proposal for setting in SETTINGS}


def parse_value(setting: Setting, text: str) -> Value:
    """Return the typed value of one setting.

    Raises:
        ValueError: one sentence that names the key, what was found and what is allowed.
    """
    if not text and not setting.optional:
        raise ValueError(f"{setting.key} is empty: {_allowed(setting)}")
    match setting.kind:
        case "bool":
            if text.lower() not in _TRUE_FALSE:
                raise ValueError(f"{setting.key} is '{text}': it must be true or false")
            return _TRUE_FALSE[text.lower()]
        case "int" | "decimal":
            # An optional number that is left empty is a limit that is not set; no number stands for that.
            return _parse_number(setting, text) if text else text
        case "time" | "date" | "choice" | "text":
            return _parse_word(setting, text)
        case "choices" | "days" | "symbols":
            return _parse_list(setting, text)


def _allowed(setting: Setting) -> str:
    if setting.low is not None:
        return f"a number from {setting.low} to {setting.high} ({setting.unit})"
    if setting.kind == "choices":
        return "names out of " + ",".join(setting.choices)
    if setting.choices:
        return "one of " + ", ".join(setting.choices) + (", or empty" if setting.optional else "")
    return setting.unit


def _parse_number(setting: Setting, text: str) -> int | Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{setting.key} is '{text}': it must be {_allowed(setting)}") from None
    if not number.is_finite() or (setting.kind == "int" and number != number.to_integral_value()):
        whole = "a whole number; " if setting.kind == "int" else ""
        raise ValueError(f"{setting.key} is '{text}': it must be {whole}{_allowed(setting)}")
    if (setting.low is not None and number < setting.low) or (setting.high is not None and number > setting.high):
        raise ValueError(f"{setting.key} is {text}: it must be {_allowed(setting)}")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > setting.decimals:
        raise ValueError(
            f"{setting.key} is {text}: write at most {setting.decimals} decimals, finer steps would be lost"
        )
    return int(number) if setting.kind == "int" else number


def _parse_word(setting: Setting, text: str) -> str:
    if setting.kind == "time" and not _TIME.match(text):
        raise ValueError(f"{setting.key} is '{text}': it must be a time of day such as 14:30 (HH:MM, UTC)")
    if setting.kind == "date" and not _is_date(text):
        raise ValueError(f"{setting.key} is '{text}': it must be a day such as 2013-10-08 (YYYY-MM-DD)")
    if setting.kind == "choice" and text and text not in setting.choices:
        raise ValueError(f"{setting.key} is '{text}': it must be {_allowed(setting)}")
    if len(text) > 400 or "\n" in text or "\r" in text:
        raise ValueError(f"{setting.key} is longer than one line of 400 characters")
    return text


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _parse_list(setting: Setting, text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if setting.kind == "days":
        bad = [word for word in words if word not in WEEKDAYS]
        allowed = "weekdays such as Mon,Tue,Wed,Thu,Fri"
    elif setting.kind == "choices":
        bad = [word for word in words if word not in setting.choices]
        allowed = _allowed(setting)
    else:
        words = tuple(word.upper() for word in words)
        bad = [word for word in words if not _SYMBOL.match(word)]
        allowed = "symbols such as SPY,BRK.B"
    if bad:
        raise ValueError(f"{setting.key} has '{', '.join(bad)}': it must be {allowed}")
    if len(set(words)) != len(words):
        raise ValueError(f"{setting.key} names the same item twice: {text}")
    return words
