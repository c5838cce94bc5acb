"""Nights and a rebalance at Alpaca and Interactive Brokers: the whole chain, on their adapters and their stand-ins."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from evening import FIRST_DAY, Evening, plan_of

import services.execution.shell
from bus.clock import on_host
from bus.messages import (
    MICROS,
    NANOS,
    AccountReported,
    CashMoved,
    HaltRaised,
    HoldingsOrderRequested,
    MarketMessage,
    NightEnded,
    NightStepped,
    OrderFilled,
    OrderPrepared,
    ReserveAllocated,
)
from services.execution.reconcile import compare_positions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "execution" / "brokers"))

from conformance.rigs import RIGS

FUNDS = {"is_enabled": True, "etfs": {"SPY": "60", "QQQ": "40"}, "payroll_percent": "10"}
CASH = 100_000
BROKERS = {"alpaca": "ALPACA", "ibkr-async": "IBKR"}


class SteppedHost:
    """Clocks that go on with the market: a second for each quote."""

    def __init__(self) -> None:
        self.now_ns = plan_of(FIRST_DAY).open_ns

    def utc_ns(self) -> int:
        return self.now_ns

    def boot_ns(self) -> int:
        return self.now_ns


class BrokerEvening(Evening):
    """The chain with a rig's adapter in the place of the paper broker; its house quotes what the market does."""

    def __init__(self, folder: Path, rig: Any, host: SteppedHost, broker: str) -> None:
        self.rig, self.host = rig, host
        self.prices = {"SPY": 100.0, "QQQ": 50.0}
        super().__init__(folder, FUNDS, BROKER_NAME=broker, **{f"{broker}_ENABLED": "true"})
        self.prices = {"SPY": 100.0, "QQQ": 50.0}

    def deposit(self, broker: str) -> None:
        """Tell the ledger of the money that the account began with."""
        at = plan_of(FIRST_DAY).open_ns
        self.chain.nodes["ledger"].on_reliable(
            CashMoved(ts_event=at, ts_init=at, activity_id="D-1", kind="DEPOSIT", amount_micros=CASH * MICROS,
                      broker=broker)
        )  # fmt: skip

    def _batches(self, start_ns: int, seconds: int) -> Iterator[MarketMessage]:
        for batch in super()._batches(start_ns, seconds):
            self.host.now_ns = batch.ts_event
            if hasattr(self.rig, "_tell_day"):
                self.rig._now_ns = batch.ts_event
                self.rig._tell_day()
            for symbol, price in self.prices.items():
                self.rig.quote(symbol, round(price * MICROS), round(price * MICROS), 100_000, 100_000)
            self.rig.settle()
            yield batch


@pytest.fixture(params=list(BROKERS))
def evening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerEvening]:
    """A chain whose holdings may deal at one of the brokers."""
    host = SteppedHost()
    with ExitStack() as stack:
        stack.enter_context(on_host(host))
        rig = stack.enter_context(importlib.import_module(RIGS[request.param].module).make(tmp_path))
        stack.enter_context(patch.object(services.execution.shell, "open_broker", lambda *_args: rig.broker))
        made = BrokerEvening(tmp_path / "home", rig, host, BROKERS[request.param])
        if request.param == "alpaca":
            # The other adapter tells what the account began with by itself.
            made.deposit(BROKERS[request.param])
        yield made
        made.close()


def booked(evening: BrokerEvening) -> dict[str, int]:
    return {
        symbol: held for symbol, lots in evening.ledger.lots.items() if (held := sum(lot.left_nanos for lot in lots))
    }


def test_a_night_and_a_rebalance_at_a_broker_end_with_books_and_broker_agreed(evening: BrokerEvening) -> None:
    is_whole = evening.rig.lacks("fractions")
    evening.night()
    [first] = evening.of("holdings", NightEnded)
    assert (first.outcome, first.detail) == ("DONE", "")
    bought = evening.fills()
    # All but the float of a tenth, 60 to 40: whole shares where the broker takes no fractions.
    assert bought == {"SPY": 540 * NANOS, "QQQ": 720 * NANOS}
    orders = evening.of("execution", OrderPrepared)
    assert {(order.leg, order.order_type) for order in orders} == {("fund", "MARKET")}

    # Three months and more later SPY has risen: what it gained is taxed, sold down, and put into QQQ.
    evening.day += timedelta(days=184)
    evening.prices = {"SPY": 130.37, "QQQ": 50.0}
    evening.night()
    [second] = evening.of("holdings", NightEnded)
    assert (second.outcome, second.is_rebalance) == ("DONE", True)
    kinds = [one.kind for one in evening.of("holdings", NightStepped)]
    assert kinds[:3] == ["ALLOCATE", "SELL_FOR_REBALANCE", "ALLOCATE"]
    assert kinds[-1] in {"BUY", "SELL_FOR_FLOAT", "ALLOCATE"}
    asked = evening.of("holdings", HoldingsOrderRequested)
    assert any(order.side == "SELL" and order.symbol == "SPY" for order in asked)
    assert all(order.qty_nanos % NANOS == 0 for order in asked) == is_whole
    # The smallest order of a fund is a dollar.
    assert all(order.qty_nanos * order.reference_micros >= MICROS * NANOS for order in asked)
    assert {one.purpose for one in evening.of("holdings", ReserveAllocated)} == {"TAX", "PAYROLL"}

    assert booked(evening) == evening.rig.positions()
    cash = sum(map(evening.balance, ("1010", "1030", "1040")))
    assert round(cash * MICROS) == evening.rig.cash_micros()
    value = {symbol: held / NANOS * evening.prices[symbol] for symbol, held in booked(evening).items()}
    weight = value["SPY"] / sum(value.values())
    # The sales come before their own tax is known, so that the purchases are smaller by it.
    assert weight == pytest.approx(0.6, abs=0.005)


def test_funds_at_a_broker_are_apart_from_the_day_and_stay_through_the_next_session(evening: BrokerEvening) -> None:
    evening.night()
    held = evening.rig.positions()
    sent = list(evening.rig.houses_orders())
    # The whole end of another session: reconciled at its begin, flattened, closed.
    evening.prices = {"SPY": 100.0, "QQQ": 50.0}
    evening.night(first=-120, last=299)
    assert [one for one in evening.of("execution") if isinstance(one, HaltRaised)] == []
    [account] = evening.of("execution", AccountReported)
    assert dict(zip(account.symbols, account.qtys_nanos, strict=True)) == held
    assert compare_positions(evening.chain.nodes["execution"].state, held).short == ()
    assert evening.rig.houses_orders() == sent
    assert evening.rig.positions() == held
    assert evening.of("execution", OrderFilled) == []


def test_an_order_that_a_broker_refuses_ends_the_leg_and_the_night_goes_on(evening: BrokerEvening) -> None:
    evening.rig.fail_next("submit", importlib.import_module("conformance.rig").Outcome.REJECT)
    evening.night()
    [ended] = evening.of("holdings", NightEnded)
    assert ended.outcome == "DONE"
    assert "may not open new positions" in ended.detail
    assert len(evening.fills()) == 1
    assert booked(evening) == evening.rig.positions()
    evening.night()
    assert booked(evening).keys() == {"SPY", "QQQ"}


def test_no_order_is_sent_in_the_last_minute_of_a_broker_s_session(evening: BrokerEvening) -> None:
    evening.night(first=241, last=299)
    assert evening.rig.houses_orders() == []
    assert evening.of("holdings", NightEnded) == []
