"""What the ledger tells the holdings: balances, lots, gains, and which events are booked."""

from typing import Any

from msgspec.structs import replace

from bus.messages import (
    MICROS,
    NANOS,
    BooksReported,
    BooksRequested,
    EntryPosted,
    Message,
    ReserveAllocated,
    ReservesStated,
)
from bus.testing import a_deposit, a_fill
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.holdings_facts import ENTRIES_MAX, LOTS_MAX
from services.ledger.settings import LedgerSettings


class Books:
    def __init__(self, settlement_days: int = 0) -> None:
        self.core = LedgerCore(LedgerSettings(broker_name="PAPER", settlement_days=settlement_days), "test")
        self.state: LedgerState = self.core.initial()

    def tell(self, *messages: Message) -> list[Message]:
        found: list[Message] = []
        for message in messages:
            for event in self.core.decide(self.state, message, message.ts_event):
                self.state = self.core.evolve(self.state, event)
                found.append(event)
        return found

    def ask(self, *booked: str) -> BooksReported:
        asked = BooksRequested(ts_event=0, ts_init=0, request_id="q", session_date="2013-10-08", booked=booked)
        (found,) = self.core.decide(self.state, asked, 0)
        assert isinstance(found, BooksReported)
        return found


def fund_fill(key: str, side: Any, shares: int, dollars: int, **changes: Any) -> Any:
    fill = a_fill(key, side, shares, dollars)
    return replace(fill, leg="fund", strategy="holdings", symbol="SCHD", **changes)


def reserve(key: str, dollars: int, purpose: Any = "TAX") -> ReserveAllocated:
    return ReserveAllocated(
        ts_event=0,
        ts_init=0,
        activity_id=key,
        session_date="2013-10-08",
        purpose=purpose,
        amount_micros=dollars * MICROS,
        basis="a test",
        broker="PAPER",
    )


def test_purchases_of_the_holdings_are_carried_apart_and_told_as_lots() -> None:
    books = Books()
    books.tell(a_deposit(dollars=10_000), fund_fill("F-1", "BUY", 10, 100), fund_fill("F-2", "BUY", 5, 110))
    books.tell(fund_fill("F-3", "SELL", 4, 120))
    found = books.ask("F-1", "F-3", "F-9")
    assert [(lot.qty_nanos, lot.cost_micros, lot.closed_nanos) for lot in found.lots] == [
        (10 * NANOS, 1_000 * MICROS, 4 * NANOS),
        (5 * NANOS, 550 * MICROS, 0),
    ]
    assert books.state.holdings.of("1220") == (1_550 - 400) * MICROS
    assert (found.gain_micros, found.cash_micros) == (80 * MICROS, (10_000 - 1_550 + 480) * MICROS)
    assert [(one.event_id, one.amount_micros, one.gain_micros) for one in found.booked] == [
        ("F-1", -1_000 * MICROS, 0),
        ("F-3", 480 * MICROS, 80 * MICROS),
    ]
    assert found.missing == ("F-9",)


def test_gains_of_the_strategies_count_less_their_commissions_and_dividends_do_not() -> None:
    books = Books()
    dividend = replace(a_deposit("D-1", 7), kind="DIVIDEND", symbol="SCHD")
    books.tell(a_deposit(dollars=10_000), dividend, a_fill("X-1", "BUY", 10, 100))
    books.tell(replace(a_fill("X-2", "SELL", 10, 130), commission_micros=2 * MICROS))
    assert books.ask().gain_micros == (300 - 2) * MICROS
    assert books.ask().lots == ()


def test_reserves_are_booked_once_under_their_own_id_and_leave_the_cash() -> None:
    books = Books()
    books.tell(a_deposit(dollars=1_000))
    entry, stated = books.tell(reserve("holdings-1-TAX", 200), reserve("holdings-1-TAX", 200))
    assert isinstance(stated, ReservesStated)
    assert isinstance(entry, EntryPosted)
    assert entry.source_event_id == "PAPER:holdings-1-TAX:TAX_RESERVE"
    books.tell(reserve("holdings-1-PAYROLL", 80, "PAYROLL"))
    found = books.ask("holdings-1-TAX", "holdings-1-PAYROLL")
    assert (found.tax_reserve_micros, found.payroll_reserve_micros) == (200 * MICROS, 80 * MICROS)
    assert found.cash_micros == 720 * MICROS
    assert found.missing == ()


def test_unsettled_money_is_told_apart() -> None:
    books = Books(settlement_days=1)
    books.tell(a_deposit(dollars=10_000), fund_fill("F-1", "BUY", 10, 100))
    found = books.ask()
    assert (found.cash_micros, found.unsettled_micros) == (9_000 * MICROS, 0)
    books.tell(fund_fill("F-2", "SELL", 5, 100))
    assert books.ask().unsettled_micros == 500 * MICROS


def test_many_lots_are_told_as_the_oldest_and_the_rest_together() -> None:
    books = Books()
    books.tell(a_deposit(dollars=100_000))
    books.tell(*(fund_fill(f"F-{n}", "BUY", 1, 100 + n) for n in range(LOTS_MAX + 10)))
    lots = books.ask().lots
    assert len(lots) == LOTS_MAX + 1
    assert lots[-1].qty_nanos == 10 * NANOS
    assert sum(lot.qty_nanos for lot in lots) == (LOTS_MAX + 10) * NANOS


def test_the_memory_of_entries_has_an_end() -> None:
    books = Books()
    books.tell(a_deposit(dollars=1_000_000))
    books.tell(*(reserve(f"r-{n}", 1) for n in range(ENTRIES_MAX + 5)))
    assert len(books.state.holdings.entries) == ENTRIES_MAX
    assert books.ask("r-0").missing == ("r-0",)


def test_what_cannot_be_booked_is_counted() -> None:
    books = Books()
    books.tell(a_deposit(dollars=100), fund_fill("F-1", "SELL", 1, 100))
    assert books.ask().suspended == 1


def test_what_is_set_aside_is_told_to_risk_with_each_change_and_with_nothing_else() -> None:
    books = Books()
    told = [
        event
        for event in books.tell(
            a_deposit(dollars=10_000),
            reserve("R-1", 200),
            reserve("R-2", 80, "PAYROLL"),
            reserve("R-1", 200),
            fund_fill("F-1", "BUY", 10, 100),
        )
        if isinstance(event, ReservesStated)
    ]

    assert [(event.tax_micros, event.payroll_micros) for event in told] == [
        (200 * MICROS, 0),
        (200 * MICROS, 80 * MICROS),
    ]
