"""Writes which card holds for which adapter into docs/brokers.md.

`.venv/bin/python tests/services/execution/brokers/conformance/table.py` writes the table between its two markers.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from conformance.cards import ABSENT
from conformance.rigs import RIGS

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[4]
PAGE: Final = ROOT / "docs" / "brokers.md"
COMMAND: Final = ".venv/bin/python tests/services/execution/brokers/conformance/table.py"
BEGIN: Final = "<!-- The cards begin here. Made by the command above; do not edit. -->"
END: Final = "<!-- The cards end here. -->"
HOLDS: Final = "yes"


class Card(NamedTuple):
    """One card: the file that it stands in, its name, and the capabilities that it needs."""

    file: str
    name: str
    needs: tuple[str, ...]


def cards() -> list[Card]:
    """Return all cards, by file and in the order of the file."""
    return [card for path in sorted(HERE.glob("test_*.py")) for card in _cards_in(path)]


def _cards_in(path: Path) -> Iterator[Card]:
    spec = importlib.util.spec_from_file_location(f"cards_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in vars(module).items():
        if hasattr(value, "needs"):
            yield Card(path.stem.removeprefix("test_"), name.removeprefix("test_"), tuple(map(str, value.needs)))


def holds(card: Card, capabilities: frozenset[str]) -> str:
    """Return what one adapter's cell says: that the card holds, or what holds instead."""
    for need in card.needs:
        if need not in capabilities:
            return (ABSENT[need].__doc__ or "").splitlines()[0]
    return HOLDS


def table() -> str:
    """Return the table of the cards."""
    listed = [entry for entry in RIGS.values() if entry.is_listed]
    found = cards()
    lines = [
        f"{len(found)} cards.",
        "",
        f"| Card | {' | '.join(entry.title for entry in listed)} |",
        f"| --- |{' --- |' * len(listed)}",
    ]
    for card in found:
        cells = [holds(card, entry.capabilities) for entry in listed]
        lines.append(f"| {card.file}: {card.name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Return the page with the table as it must be.

    Raises:
        ValueError: a marker is missing.
    """
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
