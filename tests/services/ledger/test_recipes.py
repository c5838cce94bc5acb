"""Every recipe: its lines, that the ledger file takes it, and that taking it back leaves nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.messages import MICROS, NANOS, EntryPosted, EntrySuspended, Message, ReservesStated
from config.identity import Identity
from services.ledger.book import Book, open_book
from services.ledger.core import LedgerCore
from services.ledger.events import (
    CashChanged,
    LedgerEvent,
    OptionExercised,
    OptionExpired,
    PayoutWithdrawn,
    ReserveMoved,
    ReservePaid,
    Reversed,
    ShareSplit,
    SuspenseBooked,
    SuspenseCleared,
    Traded,
)
from services.ledger.settings import LedgerSettings
from services.ledger.verify import verify_file

T0 = 1_700_000_000_000_000_000
DAY = 86_400 * NANOS
CALL, PUT = "SPY231215C00450000", "SPY231215P00450000"


class Bookkeeper:
    """Core and ledger file together; every event must be taken by both."""

    def __init__(self, path: Path, identity: Identity, settlement_days: int = 0) -> None:
        self.path = path
        self.core = LedgerCore(LedgerSettings(broker_name="PAPER", settlement_days=settlement_days), "books")
        self.state = self.core.initial()
        self.book: Book = open_book(path, identity, may_write=True)
        self._made = 0

    def tell(self, event: LedgerEvent) -> list[Message]:
        answers = list(self.core.book(self.state, event, event.told_ns))
        for answer in answers:
            if isinstance(answer, EntryPosted):
                self.book.post(answer)
            self.state = self.core.evolve(self.state, answer)
        return answers

    def make(self, kind: type[Any], /, **values: Any) -> Any:
        self._made += 1
        ts_ns = values.pop("ts_ns", T0 + self._made)
        return kind(**{"broker": "PAPER", "key": f"K{self._made}", "ts_ns": ts_ns, "told_ns": ts_ns, **values})

    def do(self, kind: type[Any], /, **values: Any) -> EntryPosted:
        answers = self.tell(self.make(kind, **values))
        assert all(isinstance(answer, EntryPosted | ReservesStated) for answer in answers), answers
        return [answer for answer in answers if isinstance(answer, EntryPosted)][-1]

    def refused(self, kind: type[Any], /, **values: Any) -> str:
        (answer,) = self.tell(self.make(kind, **values))
        assert isinstance(answer, EntrySuspended)
        return answer.detail

    def undo(self, entry: EntryPosted) -> EntryPosted:
        return self.do(Reversed, original=entry, reason="wrong price", ts_ns=entry.ts_event)

    def balances(self) -> dict[tuple[str, str], int]:
        return {(b.code, b.commodity): b.amount for b in self.book.balances() if b.amount}


@pytest.fixture
def books(ledger: Path, identity: Identity) -> Iterator[Bookkeeper]:
    keeper = Bookkeeper(ledger, identity)
    keeper.do(CashChanged, kind="DEPOSIT", amount_micros=100_000 * MICROS)
    yield keeper
    keeper.book.close()
    assert verify_file(ledger).faults == ()


def lines_of(entry: EntryPosted) -> dict[str, int]:
    return {line.account: line.amount for line in entry.lines}


def buy(books: Bookkeeper, symbol: str, shares: int, dollars: int, **more: Any) -> EntryPosted:
    return books.do(Traded, side="BUY", symbol=symbol, qty_nanos=shares * NANOS, price_micros=dollars * MICROS, **more)


def sell(books: Bookkeeper, symbol: str, shares: int, dollars: int, **more: Any) -> EntryPosted:
    return books.do(Traded, side="SELL", symbol=symbol, qty_nanos=shares * NANOS, price_micros=dollars * MICROS, **more)


@pytest.mark.parametrize(
    ("kind", "other", "sign"),
    [
        ("DEPOSIT", "3010", 1),
        ("WITHDRAWAL", "3020", -1),
        ("DIVIDEND", "4110", 1),
        ("INTEREST", "4120", 1),
        ("BROKER_CREDIT", "4190", 1),
        ("FEE", "5020", -1),
        ("MARGIN_INTEREST", "5030", -1),
        ("BORROW_FEE", "5040", -1),
        ("SHORT_DIVIDEND", "5050", -1),
        ("DATA_COST", "5060", -1),
    ],
)
def test_cash_when_it_moves_then_both_sides_are_booked_and_the_wrong_sign_is_refused(
    books: Bookkeeper, kind: str, other: str, sign: int
) -> None:
    entry = books.do(CashChanged, kind=kind, amount_micros=sign * 5 * MICROS, symbol="SPY")
    assert lines_of(entry) == {"1010": sign * 5 * MICROS, other: -sign * 5 * MICROS}
    assert "must be" in books.refused(CashChanged, kind=kind, amount_micros=-sign * MICROS)


def test_fees_when_told_apart_from_the_commission_then_both_are_expenses(books: Bookkeeper) -> None:
    entry = buy(books, "SPY", 2, 100, commission_micros=350_000, fees_micros=20_000)
    assert lines_of(entry) == {
        "1210": 200 * MICROS,
        "5010": 350_000,
        "5020": 20_000,
        "1010": -200_370_000,
        "9010": 2 * NANOS,
        "9090": -2 * NANOS,
    }
    assert entry.trade is not None
    assert (entry.trade.gross_micros, entry.trade.fees_micros) == (200 * MICROS, 20_000)


def test_trade_when_the_broker_tells_its_own_amount_then_that_is_booked(books: Bookkeeper) -> None:
    assert lines_of(buy(books, "SPY", 1, 100, gross_micros=99_990_000))["1210"] == 99_990_000


def test_trade_when_it_is_for_the_holdings_then_their_account_carries_the_cost(books: Bookkeeper) -> None:
    assert lines_of(buy(books, "VTI", 1, 100, for_holdings=True))["1220"] == 100 * MICROS
    assert lines_of(sell(books, "VTI", 1, 110, for_holdings=True))["1220"] == -100 * MICROS


def test_option_when_bought_and_sold_then_a_contract_stands_for_100_shares(books: Bookkeeper) -> None:
    bought = books.do(
        Traded, side="BUY", symbol=CALL, qty_nanos=2 * NANOS, price_micros=3_250_000, commission_micros=1_300_000,
        fees_micros=40_000,
    )  # fmt: skip
    assert lines_of(bought) == {
        "1230": 650 * MICROS,
        "5010": 1_300_000,
        "5020": 40_000,
        "1010": -651_340_000,
        "9010": 2 * NANOS,
        "9090": -2 * NANOS,
    }
    sold = books.do(
        Traded, side="SELL", symbol=CALL, qty_nanos=NANOS, price_micros=4_100_000, commission_micros=650_000,
        fees_micros=30_000,
    )  # fmt: skip
    assert lines_of(sold)["1230"] == -325 * MICROS
    assert lines_of(sold)["1010"] == 409_320_000
    assert lines_of(sold)["4030"] == -85 * MICROS
    row = books.book._db.execute("SELECT kind, multiplier FROM commodity WHERE symbol = ?", (CALL,)).fetchone()
    assert row == ("OPTION", 100)


def test_option_when_it_expires_then_its_cost_is_lost(books: Bookkeeper) -> None:
    books.do(Traded, side="BUY", symbol=CALL, qty_nanos=NANOS, price_micros=3_250_000)
    entry = books.do(OptionExpired, symbol=CALL, qty_nanos=NANOS)
    assert entry.gain_micros == -325 * MICROS
    assert lines_of(entry) == {"1230": -325 * MICROS, "4030": 325 * MICROS, "9010": -NANOS, "9090": NANOS}
    assert "hold 0" in books.refused(OptionExpired, symbol=CALL, qty_nanos=NANOS)


def test_call_when_exercised_then_its_cost_raises_the_cost_of_the_shares(books: Bookkeeper) -> None:
    books.do(Traded, side="BUY", symbol=CALL, qty_nanos=NANOS, price_micros=3_250_000)
    entry = books.do(
        OptionExercised, symbol=CALL, qty_nanos=NANOS, right="CALL", underlying="SPY", strike_micros=450 * MICROS
    )
    assert entry.gain_micros == 0
    assert lines_of(entry)["1210"] == 45_325 * MICROS
    assert lines_of(entry)["1010"] == -45_000 * MICROS
    assert books.book.open_units() == {"SPY": 100 * NANOS}
    assert sell(books, "SPY", 100, 460).gain_micros == 675 * MICROS


def test_put_when_exercised_then_its_cost_lowers_the_proceeds(books: Bookkeeper) -> None:
    buy(books, "SPY", 100, 440)
    books.do(Traded, side="BUY", symbol=PUT, qty_nanos=NANOS, price_micros=2_000_000)
    entry = books.do(
        OptionExercised, symbol=PUT, qty_nanos=NANOS, right="PUT", underlying="SPY", strike_micros=450 * MICROS
    )
    assert entry.gain_micros == 800 * MICROS
    assert books.book.open_units() == {}
    assert books.book._db.execute("SELECT kind, gain FROM lot_close ORDER BY close_id").fetchall() == [
        ("EXERCISE", 0),
        ("SALE", 800 * MICROS),
    ]


def test_split_when_booked_then_cost_and_time_of_purchase_stay_and_the_queue_too(books: Bookkeeper) -> None:
    first = buy(books, "NVDA", 3, 100)
    buy(books, "NVDA", 1, 200)
    sell(books, "NVDA", 1, 150)
    books.do(ShareSplit, symbol="NVDA", numerator=10, denominator=1)
    lots = books.state.lots["NVDA"]
    assert [(lot.qty_nanos, lot.cost_micros) for lot in lots] == [
        (20 * NANOS, 200 * MICROS),
        (10 * NANOS, 200 * MICROS),
    ]
    assert lots[0].acquired_ns == first.ts_event
    assert sell(books, "NVDA", 25, 15).gain_micros == (375 - 300) * MICROS
    assert "nothing to split" in books.refused(ShareSplit, symbol="XYZ", numerator=2, denominator=1)


def test_reserves_when_set_aside_and_paid_then_the_float_gives_them_once(books: Bookkeeper) -> None:
    books.do(ReserveMoved, purpose="TAX", amount_micros=20 * MICROS, basis="20 % of 100.00")
    books.do(ReserveMoved, purpose="PAYROLL", amount_micros=8 * MICROS, basis="10 % of 80.00")
    books.do(ReservePaid, purpose="TAX", amount_micros=15 * MICROS)
    balances = books.balances()
    assert balances["1030", "USD"] == 5 * MICROS
    assert balances["5120", "USD"] == 15 * MICROS
    assert balances["1040", "USD"] == 8 * MICROS
    assert books.state.cash_micros == 100_000 * MICROS - 28 * MICROS
    assert "above zero" in books.refused(ReservePaid, purpose="TAX", amount_micros=0)


def test_difference_when_it_is_explained_then_the_suspense_is_empty(books: Bookkeeper) -> None:
    books.do(SuspenseBooked, amount_micros=7 * MICROS, reason="broker has more")
    assert books.balances()["1900", "USD"] == -7 * MICROS
    assert "cannot move" in books.refused(SuspenseCleared, amount_micros=MICROS, account="1210", reason="x")
    books.do(SuspenseCleared, amount_micros=7 * MICROS, account="4120", reason="interest")
    assert ("1900", "USD") not in books.balances()


def test_settlement_when_a_cash_account_then_trades_wait_until_the_next_weekday(
    ledger: Path, identity: Identity
) -> None:
    books = Bookkeeper(ledger, identity, settlement_days=1)
    friday = 19_674 * DAY + 15 * 3_600 * NANOS  # 2023-11-13 is a Monday
    friday += 4 * DAY
    books.do(CashChanged, kind="DEPOSIT", amount_micros=1_000 * MICROS, ts_ns=friday)
    bought = buy(books, "SPY", 2, 100, ts_ns=friday + 1)
    sold = sell(books, "SPY", 1, 110, ts_ns=friday + 2)
    assert (lines_of(bought)["2110"], lines_of(sold)["1110"]) == (-200 * MICROS, 110 * MICROS)
    assert books.state.cash_micros == 1_000 * MICROS
    # Saturday: nothing. Monday: the next event finds both settled.
    books.do(CashChanged, kind="INTEREST", amount_micros=MICROS, ts_ns=friday + DAY)
    assert books.state.cash_micros == 1_001 * MICROS
    answers = books.tell(books.make(CashChanged, kind="INTEREST", amount_micros=MICROS, ts_ns=friday + 3 * DAY))
    assert [getattr(answer, "event_type", "") for answer in answers] == ["SETTLEMENT", "INTEREST"]
    assert books.state.cash_micros == (1_002 - 90) * MICROS
    assert {code for code, _ in books.balances()} & {"1110", "2110"} == set()
    books.book.close()
    assert verify_file(ledger).faults == ()


EVENTS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "deposit": (CashChanged, {"kind": "DEPOSIT", "amount_micros": MICROS}),
    "dividend": (CashChanged, {"kind": "DIVIDEND", "amount_micros": MICROS, "symbol": "SPY"}),
    "fee": (CashChanged, {"kind": "FEE", "amount_micros": -MICROS}),
    "buy": (Traded, {"side": "BUY", "symbol": "SPY", "qty_nanos": NANOS, "price_micros": 30 * MICROS}),
    "sale of two lots": (
        Traded,
        {"side": "SELL", "symbol": "SPY", "qty_nanos": 150 * NANOS, "price_micros": 30 * MICROS, "fees_micros": 20_000},
    ),
    "option buy": (Traded, {"side": "BUY", "symbol": CALL, "qty_nanos": NANOS, "price_micros": MICROS}),
    "option sale": (Traded, {"side": "SELL", "symbol": CALL, "qty_nanos": NANOS, "price_micros": MICROS}),
    "expiry": (OptionExpired, {"symbol": CALL, "qty_nanos": 2 * NANOS}),
    "call": (
        OptionExercised,
        {"symbol": CALL, "qty_nanos": NANOS, "right": "CALL", "underlying": "SPY", "strike_micros": 20 * MICROS},
    ),
    "put": (
        OptionExercised,
        {"symbol": PUT, "qty_nanos": NANOS, "right": "PUT", "underlying": "SPY", "strike_micros": 50 * MICROS},
    ),
    "split": (ShareSplit, {"symbol": "SPY", "numerator": 3, "denominator": 2}),
    "reserve": (ReserveMoved, {"purpose": "TAX", "amount_micros": MICROS, "basis": "x"}),
    "payout": (ReservePaid, {"purpose": "PAYROLL", "amount_micros": MICROS}),
    "payout withdrawn": (PayoutWithdrawn, {"amount_micros": MICROS}),
    "suspense": (SuspenseBooked, {"amount_micros": -MICROS, "reason": "x"}),
    "suspense cleared": (SuspenseCleared, {"amount_micros": MICROS, "account": "5020", "reason": "x"}),
}


@pytest.fixture
def stocked(books: Bookkeeper) -> Bookkeeper:
    buy(books, "SPY", 100, 20)
    buy(books, "SPY", 100, 25)
    books.do(ReserveMoved, purpose="PAYROLL", amount_micros=2 * MICROS, basis="x")
    books.do(Traded, side="BUY", symbol=CALL, qty_nanos=2 * NANOS, price_micros=2 * MICROS)
    books.do(Traded, side="BUY", symbol=PUT, qty_nanos=2 * NANOS, price_micros=MICROS)
    return books


@pytest.mark.parametrize("name", EVENTS)
def test_event_when_told_again_then_nothing_and_when_told_differently_then_suspended(
    stocked: Bookkeeper, name: str
) -> None:
    kind, values = EVENTS[name]
    event = stocked.make(kind, **values)
    assert any(isinstance(answer, EntryPosted) for answer in stocked.tell(event))
    before = stocked.balances()
    assert stocked.tell(event) == []
    field = next((f for f in ("amount_micros", "qty_nanos") if f in values), None)
    if field is not None:
        (answer,) = stocked.tell(msgspec.structs.replace(event, **{field: values[field] * 2}))
        assert isinstance(answer, EntrySuspended)
    assert stocked.balances() == before


@pytest.mark.parametrize("name", EVENTS)
def test_event_when_it_is_taken_back_then_nothing_is_left_and_it_can_be_booked_anew(
    stocked: Bookkeeper, name: str
) -> None:
    kind, values = EVENTS[name]
    before, lots, gain = stocked.balances(), dict(stocked.state.lots), stocked.state.realized_micros
    entry = stocked.do(kind, **values)
    assert stocked.balances() != before
    reversal = stocked.undo(entry)
    assert (reversal.reverses_seq, reversal.event_type) == (entry.seq, "REVERSAL")
    assert stocked.balances() == before
    assert {name: held for name, held in stocked.state.lots.items() if held} == lots
    assert stocked.state.realized_micros == gain
    again = stocked.make(Reversed, original=entry, reason="once more")
    assert stocked.tell(again) == []
    assert stocked.do(kind, **values).lines == entry.lines


def test_reversal_when_later_sales_took_from_the_same_queue_then_the_newest_goes_first(stocked: Bookkeeper) -> None:
    first, second = sell(stocked, "SPY", 50, 30), sell(stocked, "SPY", 100, 31)
    words = stocked.refused(Reversed, original=first, reason="x")
    assert f"take back {second.seq} first" in words
    stocked.undo(second)
    stocked.undo(first)
    assert [lot.left_nanos for lot in stocked.state.lots["SPY"]] == [100 * NANOS, 100 * NANOS]
    assert sell(stocked, "SPY", 120, 30).gain_micros == (120 * 30 - 100 * 20 - 20 * 25) * MICROS


def test_reversal_when_the_lot_was_sold_from_then_refused_and_the_ledger_file_refuses_it_too(
    stocked: Bookkeeper,
) -> None:
    bought = buy(stocked, "MSFT", 10, 100)
    sell(stocked, "MSFT", 4, 110)
    assert "later entries on MSFT" in stocked.refused(Reversed, original=bought, reason="x")


def test_purchase_when_the_wrong_one_was_taken_back_then_it_is_booked_with_its_own_time(stocked: Bookkeeper) -> None:
    wrong = buy(stocked, "MSFT", 10, 100, ts_ns=T0 + 500)
    stocked.undo(wrong)
    buy(stocked, "MSFT", 9, 100, ts_ns=T0 + 400)
    buy(stocked, "MSFT", 1, 100, ts_ns=T0 + 600)
    assert sell(stocked, "MSFT", 10, 101, ts_ns=T0 + 700).gain_micros == 10 * MICROS


@pytest.mark.parametrize("change", [{"seq": 2}, {"lines": ()}, {"source_event_id": "PAPER:NONE:FILL"}])
def test_reversal_when_the_entry_is_not_as_booked_then_refused(stocked: Bookkeeper, change: dict[str, Any]) -> None:
    entry = buy(stocked, "MSFT", 1, 100)
    words = stocked.refused(Reversed, original=msgspec.structs.replace(entry, **change), reason="x")
    assert "not in the books" in words or "later entries" in words


def test_purchase_when_all_that_was_held_was_sold_then_an_older_one_may_still_be_told(stocked: Bookkeeper) -> None:
    buy(stocked, "MSFT", 1, 100, ts_ns=T0 + 500)
    sell(stocked, "MSFT", 1, 100, ts_ns=T0 + 600)
    assert buy(stocked, "MSFT", 1, 90, ts_ns=T0 + 400).event_type == "BUY"


def test_core_when_its_journal_is_folded_again_then_the_same_state(stocked: Bookkeeper) -> None:
    entry = stocked.do(*[EVENTS["split"][0]], **EVENTS["split"][1])
    stocked.undo(entry)
    again = stocked.core.initial()
    for booked in stocked.book.entries():
        again = stocked.core.evolve(again, booked)
    assert again == stocked.state
