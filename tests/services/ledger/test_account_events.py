"""What execution tells beside fills and money: a fill taken back, contracts gone, shares split."""

from typing import Any

import pytest

from bus.messages import (
    MICROS,
    NANOS,
    ContractsExercised,
    ContractsExpired,
    EntryPosted,
    EntrySuspended,
    FillReversed,
    Message,
    OrderFilled,
    SharesSplit,
)
from bus.testing import a_fill
from services.ledger.core import RECENT_FILLS_MAX, LedgerCore, LedgerState

NOW = 1_700_000_100_000_000_000
PUT = "SPY131011P00100000"


class Books:
    """A ledger that hears messages one by one."""

    def __init__(self, core: LedgerCore) -> None:
        self.core = core
        self.state: LedgerState = core.initial()

    def hear(self, message: Message) -> list[Any]:
        events = list(self.core.decide(self.state, message, NOW))
        for event in events:
            self.state = self.core.evolve(self.state, event)
        return events


@pytest.fixture
def books(core: LedgerCore) -> Books:
    return Books(core)


def reversal(fill: OrderFilled) -> FillReversed:
    names = set(FillReversed.__struct_fields__) & set(OrderFilled.__struct_fields__)
    values = {name: getattr(fill, name) for name in names}
    return FillReversed(**values, is_correction=False, detail="the broker took it back: a bust.")


def gone(kind: Any, contracts: int) -> Any:
    values = {"activity_id": "A-1", "symbol": PUT, "qty_nanos": contracts * NANOS, "broker": "PAPER"}
    return kind(ts_event=NOW, ts_init=NOW, **values)


def a_split(new: int, old: int) -> SharesSplit:
    values = {"activity_id": "S-1", "symbol": "SPY", "numerator": new, "denominator": old, "broker": "PAPER"}
    return SharesSplit(ts_event=NOW, ts_init=NOW, **values)


def test_fill_when_taken_back_then_its_entry_is_reversed_once_and_the_right_one_is_booked(books: Books) -> None:
    bought = a_fill("PX-1")
    books.hear(bought)
    (entry,) = books.hear(reversal(bought))
    assert isinstance(entry, EntryPosted)
    assert (entry.event_type, entry.reverses_seq) == ("REVERSAL", 1)
    assert "a bust" in entry.description
    assert books.state.cash_micros == 0
    assert books.hear(reversal(bought)) == []
    books.hear(a_fill("PX-1c", dollars=101))
    assert books.state.cash_micros == -1_010 * MICROS


def test_fill_when_taken_back_after_later_entries_then_waits_for_a_person(books: Books) -> None:
    bought = a_fill("PX-1")
    books.hear(bought)
    books.hear(a_fill("PX-2", side="SELL"))
    (waits,) = books.hear(reversal(bought))
    assert isinstance(waits, EntrySuspended)
    assert "cannot be taken back before the later entries" in waits.detail


def test_fill_when_it_is_not_among_the_newest_then_a_person_takes_it_back(books: Books) -> None:
    first = a_fill("PX-0")
    for number in range(RECENT_FILLS_MAX + 1):
        books.hear(a_fill(f"PX-{number}"))
    assert len(books.state.recent_fills) == RECENT_FILLS_MAX
    (waits,) = books.hear(reversal(first))
    assert isinstance(waits, EntrySuspended)
    assert "take it back by hand" in waits.detail
    assert books.hear(reversal(first)) == []


def test_contracts_when_expired_then_their_cost_is_lost(books: Books) -> None:
    put = {name: getattr(a_fill("PX-1", shares=2, dollars=3), name) for name in OrderFilled.__struct_fields__}
    books.hear(OrderFilled(**put | {"symbol": PUT}))
    (entry,) = books.hear(gone(ContractsExpired, 2))
    assert (entry.event_type, entry.gain_micros) == ("EXPIRE", -600 * MICROS)
    assert books.hear(gone(ContractsExpired, 2)) == []


def test_contracts_when_exercised_then_their_shares_are_sold_at_the_strike(books: Books) -> None:
    put = {name: getattr(a_fill("PX-1", shares=1, dollars=3), name) for name in OrderFilled.__struct_fields__}
    books.hear(OrderFilled(**put | {"symbol": PUT}))
    books.hear(a_fill("PX-2", shares=100, dollars=90))
    before = books.state.cash_micros
    (entry,) = books.hear(gone(ContractsExercised, 1))
    assert entry.event_type == "EXERCISE"
    assert books.state.cash_micros - before == 10_000 * MICROS


def test_shares_when_split_then_the_lots_keep_their_cost_and_what_is_not_held_is_nobodys_entry(books: Books) -> None:
    assert books.hear(a_split(4, 1)) == []
    books.hear(a_fill("PX-1"))
    (entry,) = books.hear(a_split(4, 1))
    assert entry.event_type == "SPLIT"
    (lot,) = books.state.lots["SPY"]
    assert lot.qty_nanos == 40 * NANOS
