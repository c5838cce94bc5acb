#!/usr/bin/env python3
"""Make docs/settings.md and docs/messages.md from the tables that the code itself uses.

`.venv/bin/python scripts/make_reference.py` writes both pages; with `--check` it writes nothing and exits 1 when a
page differs from the code.
"""

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, get_args

from bus import messages as m
from bus.routes import (
    COMMANDS,
    CONTROL_ORIGINS,
    LEASE_HOLDER,
    LEASE_ISSUERS,
    MARKET_PUBLISHER,
    MARKET_SUBSCRIBERS,
    ROUTES,
    STATUS_SUBSCRIBERS,
)
from config.env_bot_settings import SETTINGS, Setting

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
COMMAND: Final = ".venv/bin/python scripts/make_reference.py"
_MADE: Final = f"<!-- Made by scripts/make_reference.py. Do not edit; run: {COMMAND} -->"
_SETTINGS_HEAD: Final = ("Key", "Kind, unit", "Range or choices", "Proposal", "What it does", "Mind")
_MESSAGES_HEAD: Final = ("Message", "Meaning", "From -> to")
_RISKIER: Final = {"up": "higher", "down": "lower", "shorter": "with fewer names"}
_IN_FORCE: Final = {"start": "In force after a new start.", "now": "In force at once."}
#: Kinds whose unit only repeats the kind or its choices.
_UNIT_IS_KIND: Final = ("bool", "choice")


def pages() -> dict[str, str]:
    """Return both pages as they must be: file name in docs/ -> text."""
    return {"settings.md": settings_page(SETTINGS), "messages.md": messages_page()}


def stale(folder: Path) -> list[str]:
    """Return the names of the pages in `folder` that are missing or differ from the code."""
    found = []
    for name, text in pages().items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            found.append(name)
    return found


def write(folder: Path) -> None:
    """Write both pages into `folder`."""
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def settings_page(settings: Sequence[Setting]) -> str:
    """Return the page of settings, a table for each group in the order of the form."""
    parts = [
        _MADE,
        "# Settings",
        "All settings of the bot, in the order of the first configuration page and of the page of settings. Every key "
        "must be set. A proposal is what the first page fills in; it is not a default. The values are stored "
        "encrypted, each save in a generation of its own ([web.md](web.md)).",
        "A change is in force from the next session start on, or once all processes are started again where *Mind* "
        "says so; never in mid-session. *Riskier* names the way in which a change lets the bot risk more: the page "
        "asks for a second look before it saves one.",
    ]
    for group, members in groupby(settings, key=lambda setting: setting.group):
        parts += [f"## {group}", _table(_SETTINGS_HEAD, map(_setting_row, members))]
    return "\n\n".join(parts) + "\n"


def messages_page() -> str:
    """Return the page of messages, a table for each class of delivery."""
    parts = [
        _MADE,
        "# Messages",
        "Every message of the bus, from `bus/messages.py`, and who says it to whom, from `bus/routes.py`. What is not "
        "in those tables is refused. The fields and their units are in `bus/messages.py`.",
        "## Market data",
        "Published and numbered. In replay the feed repeats a step until every service has it.",
        _table(_MESSAGES_HEAD, map(_market_row, get_args(m.MarketMessage))),
        "## Reliable messages",
        "Kept in the sender's outbox until acknowledged; each has one effect, in order. A message without a receiver "
        "stays in the journal of the service that decided it. Reliable messages are also told on the status topic.",
        _table(_MESSAGES_HEAD, map(_reliable_row, get_args(m.ReliableMessage))),
        "## Status",
        "Lossy: the newest one counts. A lease is permission to send orders and ends by itself.",
        _table(_MESSAGES_HEAD, map(_status_row, get_args(m.StatusMessage))),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or check them with `--check`; return the exit code."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write(f"There is no '{' '.join(arguments)}'. usage: {COMMAND} [--check]\n")
        return 2
    if not arguments:
        write(DOCS)
        return 0
    found = stale(DOCS)
    for name in found:
        sys.stderr.write(f"docs/{name} differs from the code. Run: {COMMAND}\n")
    return 1 if found else 0


def _setting_row(setting: Setting) -> tuple[str, ...]:
    unit = "" if setting.kind in _UNIT_IS_KIND else setting.unit
    kind = ", ".join(part for part in (setting.kind, unit) if part)
    return (f"`{setting.key}`", kind, _allowed(setting), _code(setting.proposal), setting.description, _mind(setting))


def _mind(setting: Setting) -> str:
    parts = [f"Riskier: {_RISKIER[setting.riskier]}." if setting.riskier else ""]
    parts += [f"{_code(value)}: {words}" for value, words in setting.dangers]
    parts.append(_IN_FORCE.get(setting.takes_effect, ""))
    return " ".join(part for part in parts if part)


def _allowed(setting: Setting) -> str:
    if setting.bounds:
        return f"{setting.bounds[0]} to {setting.bounds[1]}"
    if setting.kind == "bool":
        return "`true`, `false`"
    allowed = ", ".join(_code(choice) for choice in setting.choices)
    return ", ".join(part for part in (allowed, "may be empty" if setting.optional else "") if part)


def _market_row(kind: type[m.Message]) -> tuple[str, ...]:
    return (*_name_and_meaning(kind), f"{MARKET_PUBLISHER} -> {', '.join(MARKET_SUBSCRIBERS)}")


def _reliable_row(kind: type[m.Message]) -> tuple[str, ...]:
    ways = [f"{sender} -> {', '.join(targets)}" for (sender, routed), targets in ROUTES.items() if routed is kind]
    if kind in CONTROL_ORIGINS:
        ways.append("control folder -> each core that acts on it")
    if kind in COMMANDS:
        ways.append(f"{', '.join(COMMANDS[kind])} -> the service it names, as a command")
    return (*_name_and_meaning(kind), "; ".join(ways) or "own journal")


def _status_row(kind: type[m.Message]) -> tuple[str, ...]:
    if kind is m.Lease:
        return (*_name_and_meaning(kind), f"{', '.join(LEASE_ISSUERS)} -> {LEASE_HOLDER}")
    return (*_name_and_meaning(kind), f"status topic -> {', '.join(STATUS_SUBSCRIBERS)}")


def _name_and_meaning(kind: type[m.Message]) -> tuple[str, str]:
    return f"`{kind.__name__}`", (kind.__doc__ or "").strip().splitlines()[0]


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
