"""What Interactive Brokers does not tell, from the gateway to the books: a dividend and a split over a night."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from exchange import NANOS
from ib_gateway_bench import Bench, bench, new_york_ns

from bus import messages as m
from bus.commands import Outcome
from bus.testing import a_plan
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.settings import LedgerSettings

__all__ = ["bench"]

DIVIDEND = 12_340_000
HEARD_BY_THE_LEDGER = (m.OrderFilled, m.CashMoved, m.SharesSplit, m.AccountStated)


class Deciding:
    """The runtime's part of a command, over the tests' rig."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig

    @property
    def state(self) -> Any:
        return self.rig.state

    @property
    def now_ns(self) -> int:
        return self.rig.now_ns

    def decided(self, message: m.Message) -> Sequence[m.Message]:
        return self.rig.core.decide(self.rig.state, message, self.rig.now_ns)

    def follow(self, events: Sequence[m.Message]) -> None:
        for event in events:
            self.rig.state = self.rig.core.evolve(self.rig.state, event)
        self.rig.journal.extend(events)


class Books:
    """The ledger's core, which hears what execution tells it."""

    def __init__(self) -> None:
        self.core = LedgerCore(LedgerSettings(broker_name="IBKR", settlement_days=0), "test")
        self.state: LedgerState = self.core.initial()
        self.heard = 0
        self.said: list[m.Message] = []

    def hear(self, rig: Any) -> m.BooksCompared:
        """Book everything new; return the newest comparison."""
        new, self.heard = rig.journal[self.heard :], len(rig.journal)
        for message in new:
            if isinstance(message, HEARD_BY_THE_LEDGER):
                for event in self.core.decide(self.state, message, rig.now_ns):
                    self.state = self.core.evolve(self.state, event)
                    self.said.append(event)
        return [event for event in self.said if isinstance(event, m.BooksCompared)][-1]

    def suspense(self) -> int:
        """Return what is in suspense, in micro-dollars."""
        lines = [line for event in self.said if isinstance(event, m.EntryPosted) for line in event.lines]
        return sum(line.amount for line in lines if line.account == "1900")


def order(rig: Any, command: type[m.OperatorCommand], **more: Any) -> Outcome:
    rig.now_ns += 1_000_000_000
    values = {
        "ts_event": rig.now_ns,
        "ts_init": rig.now_ns,
        "command_id": f"c{len(rig.journal)}",
        "expires_boot_ns": 1,
        "operator": "olga",
        "receiver": "execution",
        "halt_counter": 0,
        "reason": "activity statement",
    }
    said: Outcome = rig.shell.on_request(command(**(values | more)), Deciding(rig))
    return said


def until(rig: Any, has_come: Callable[[], bool]) -> None:
    for _ in range(100):
        rig.idle_for(1, every=0.5)
        if has_come():
            return
    raise AssertionError(rig.journal[-3:])


@pytest.fixture
def kept(bench: Bench, kit: Any) -> Any:
    """Give a chain that has kept 100 SPY over night, and stated its account at the close."""
    bench.now_ns = new_york_ns("2013-10-08 09:30:10")
    bench.gateway.clock_s = None
    bench.quote(100, 100.02, "SPY")
    rig = kit.Rig(bench.broker)
    rig.bench, rig.books = bench, Books()
    rig.now_ns = bench.now_ns
    rig.armed().give(kit.submit())
    until(rig, lambda: len(bench.listed()) == 1)
    rig.now_ns = kit.CLOSE_NS
    bench.now_ns = new_york_ns("2013-10-08 16:00:30")
    until(rig, lambda: any(isinstance(event, m.AccountStated) for event in rig.journal))
    told = rig.books.hear(rig)
    assert (told.detail, told.told_nanos, told.booked_nanos) == ("", (100 * NANOS,), (100 * NANOS,))
    return rig


def test_dividend_when_nobody_told_it_then_it_is_in_suspense_and_gone_once_it_is_told(kept: Any) -> None:
    kept.bench.exchange.cash_micros += DIVIDEND
    assert order(kept, m.ReconcileNow).is_done
    assert "12.34 went to suspense" in kept.books.hear(kept).detail
    assert order(kept, m.TellActivity, kind="DIVIDEND", symbol="SPY", amount_micros=DIVIDEND).is_done
    assert order(kept, m.ReconcileNow).is_done
    kept.books.hear(kept)
    assert kept.books.suspense() == 0
    assert kept.books.state.account_cash_micros == kept.bench.gateway.cash_micros
    dividends = [e for e in kept.books.said if isinstance(e, m.EntryPosted) and e.event_type == "DIVIDEND"]
    assert [(entry.symbol, entry.lines[-1].account) for entry in dividends] == [("SPY", "4110")]


def test_dividend_when_it_is_told_before_the_comparison_then_nothing_is_in_suspense(kept: Any) -> None:
    kept.bench.exchange.cash_micros += DIVIDEND
    assert order(kept, m.TellActivity, kind="DIVIDEND", symbol="SPY", amount_micros=DIVIDEND).is_done
    assert order(kept, m.ReconcileNow).is_done
    assert kept.books.hear(kept).detail == ""
    assert kept.books.suspense() == 0


@pytest.mark.parametrize(("new", "old", "held"), [(4, 1, 400), (1, 4, 25)])
def test_split_when_it_is_told_then_positions_and_lots_agree_with_the_gateway(
    kept: Any, new: int, old: int, held: int
) -> None:
    kept.give(a_plan("2013-10-09"))
    kept.bench.now_ns = kept.now_ns = new_york_ns("2013-10-09 09:00")
    kept.bench.exchange.positions["SPY"] = held * NANOS
    kept.idle_for(40, every=1)
    assert ("EXTERNAL" in kept.state.external) == (held > 100)
    assert bool(kept.halts) == (held < 100)
    assert order(kept, m.TellActivity, kind="SPLIT", symbol="SPY", numerator=new, denominator=old).is_done
    kept.idle_for(40, every=1)
    assert kept.state.external == ""
    assert kept.shell.reconciled_ms() >= 0
    assert order(kept, m.ReconcileNow).is_done
    told = kept.books.hear(kept)
    assert (told.detail, told.told_nanos, told.booked_nanos) == ("", (held * NANOS,), (held * NANOS,))
    # What it cost is what it cost before.
    assert sum(lot.cost_micros for lot in kept.books.state.lots["SPY"]) == 100 * 100_020_000
