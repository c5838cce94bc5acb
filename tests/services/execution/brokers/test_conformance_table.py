"""The table of cards in docs/brokers.md against the cards and adapters that there are."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from conformance import table
from conformance.cards import ABSENT
from conformance.rigs import RIGS


def test_the_table_when_cards_or_adapters_changed_is_stale() -> None:
    text = table.PAGE.read_text(encoding="utf-8")
    assert table.page(text) == text, f"docs/brokers.md differs from the cards. Run: {table.COMMAND}"


def test_the_cards_when_counted_are_many_and_each_has_its_own_name() -> None:
    names = [card.name for card in table.cards()]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


def test_a_capability_when_named_by_a_card_or_a_rig_is_one_that_there_is() -> None:
    named = {need for card in table.cards() for need in card.needs}
    named |= {one for entry in RIGS.values() for one in entry.capabilities}
    assert named <= set(ABSENT)


def test_a_check_when_it_stands_for_what_is_lacking_says_so_in_a_sentence() -> None:
    assert all((check.__doc__ or "").splitlines()[0].endswith(".") for check in ABSENT.values())
