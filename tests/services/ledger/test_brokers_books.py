"""The books beside what each broker states, through its own adapter: paper, Alpaca and both lines to IBKR."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "execution" / "brokers"))

from conformance.rig import OTHER, STARTING_CASH_MICROS, SYMBOL, Rig, micros
from conformance.rigs import RIGS

from bus import messages as m
from bus.testing import a_deposit, a_fill
from services.execution.brokers import reports as r
from services.execution.telling import account_stated
from services.ledger.core import LedgerCore
from services.ledger.settings import LedgerSettings

LISTED = [name for name, entry in RIGS.items() if entry.is_listed]


@pytest.fixture(params=LISTED)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with importlib.import_module(RIGS[request.param].module).make(tmp_path) as made:
        yield made


class Books:
    """A ledger that hears what execution would tell of a rig's account."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.core = LedgerCore(LedgerSettings(broker_name=rig.broker.name, settlement_days=1), "books")
        self.state = self.core.initial()
        money = {"broker": rig.broker.name, "amount_micros": STARTING_CASH_MICROS}
        self.hear(m.CashMoved(**({f: getattr(a_deposit(), f) for f in a_deposit().__struct_fields__} | money)))

    def hear(self, message: m.Message) -> Sequence[m.Message]:
        events = self.core.decide(self.state, message, message.ts_init)
        for event in events:
            self.state = self.core.evolve(self.state, event)
        return events

    def hear_fills(self, without: str = "") -> None:
        """Hear every execution that the broker tells, save those of one order."""
        for fill in self.rig.executions():
            asked = self.rig.requested[fill.client_order_id]
            if fill.client_order_id == without:
                continue
            told = a_fill(fill.execution_id, asked.side)
            values = {name: getattr(told, name) for name in told.__struct_fields__} | {
                "ts_event": fill.ts_event, "ts_init": fill.ts_event, "symbol": asked.symbol, "broker": fill.broker,
                "qty_nanos": fill.qty_nanos, "price_micros": fill.price_micros,
                "commission_micros": fill.commission_micros,
            }  # fmt: skip
            (event,) = self.hear(m.OrderFilled(**values))
            assert isinstance(event, m.EntryPosted), event

    def compare(self) -> tuple[m.BooksCompared, Sequence[m.Message]]:
        """Let the broker state the account, as at the close; return the comparison and what else was said."""
        rig = self.rig
        account = rig.broker.account(rig.session_date, rig.now_ns)
        values = {name: getattr(account, name) for name in account.__struct_fields__}
        statement = account_stated(r.BrokerStatement(**values, occasion="close"), account.ts_init)
        compared, *others = self.hear(statement)
        assert isinstance(compared, m.BooksCompared)
        return compared, others


def trade(rig: Rig) -> None:
    """Buy two names, in parts and at prices with odd cents, and sell some of one."""
    rig.quote(SYMBOL, micros(100.05), micros(100.07), 1_000, 30)
    rig.quote(OTHER, micros(50), micros(50.01))
    rig.place("tb1-a", shares=70, limit=110)
    rig.quote(SYMBOL, micros(100.09), micros(100.11), 1_000, 40)
    rig.settle()
    rig.place("tb1-b", shares=10, symbol=OTHER)
    rig.quote(SYMBOL, micros(100.09), micros(100.11))
    rig.place("tb1-c", "SELL", 20)


def test_books_when_all_was_told_then_agree_with_each_broker_to_the_cent(rig: Rig) -> None:
    trade(rig)
    books = Books(rig)
    books.hear_fills()
    compared, others = books.compare()
    assert (compared.detail, others) == ("", [])
    assert compared.cash_told_micros == compared.cash_booked_micros == rig.cash_micros()
    assert compared.told_nanos == compared.booked_nanos == (10 * m.NANOS, 50 * m.NANOS)


def test_books_when_a_sale_was_not_told_then_cash_goes_to_suspense_and_the_units_are_named(rig: Rig) -> None:
    trade(rig)
    books = Books(rig)
    books.hear_fills(without="tb1-c")
    compared, (suspense,) = books.compare()
    missing = compared.cash_told_micros - compared.cash_booked_micros
    assert missing == micros(100.09) * 20
    assert f"50 {SYMBOL} at {rig.broker.name}, 70 in the books" in compared.detail
    assert isinstance(suspense, m.EntryPosted)
    assert suspense.event_type == "SUSPENSE"
    assert {line.account: line.amount for line in suspense.lines} == {"1010": missing, "1900": -missing}


def test_books_when_a_purchase_was_not_told_then_its_cash_is_missing_and_its_units_are_nobodys(rig: Rig) -> None:
    trade(rig)
    books = Books(rig)
    books.hear_fills(without="tb1-b")
    compared, (suspense,) = books.compare()
    assert isinstance(suspense, m.EntryPosted)
    assert compared.cash_told_micros - compared.cash_booked_micros == -micros(500.10)
    assert "went to suspense" in compared.detail
    assert OTHER not in compared.detail
