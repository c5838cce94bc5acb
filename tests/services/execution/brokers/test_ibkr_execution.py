"""Execution as a whole on Interactive Brokers' stand-in: an entry, its stop, its exit, a halt, a restart, a night."""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from exchange import MICROS, NANOS
from ib_gateway_bench import Bench, bench, new_york_ns

from bus import messages as m
from bus.assembly import Setup
from bus.clock import utc_now
from bus.vital_signs import RECONCILED_MS_MAX
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY
from services.execution.brokers.choice import open_broker
from services.execution.settings import ExecutionSettings

__all__ = ["bench"]


@pytest.fixture
def rig(bench: Bench, kit: Any) -> Any:
    """Give an armed execution on a market of SPY."""
    bench.now_ns = new_york_ns("2013-10-08 09:30:10")
    show(bench, 100)
    # The gateway's clock is right, and its market open, whenever this is played.
    bench.gateway.clock_s = None
    now = utc_now()
    bench.gateway.hours = ("", f"{now - timedelta(days=2):%Y%m%d}:0000-{now + timedelta(days=2):%Y%m%d}:0000")
    made = kit.Rig(bench.broker)
    made.bench = bench
    made.now_ns = bench.now_ns
    return made.armed()


def show(bench: Bench, bid: float, size: float = 1000) -> None:
    """Let SPY stand at this bid."""
    bench.quote(bid, bid + 0.02, "SPY", size)


def booked(rig: Any) -> list[tuple[str, int]]:
    """Return side and shares of every fill of the journal."""
    return [(event.side, event.qty_nanos // NANOS) for event in rig.journal if isinstance(event, m.OrderFilled)]


def settled(rig: Any, has_come: Callable[[], bool]) -> None:
    """Let execution look at the broker until something is so."""
    for _ in range(200):
        rig.idle_for(0.5, every=0.5)
        if has_come():
            return
    raise AssertionError(rig.journal[-3:])


def test_entry_when_filled_then_is_protected_by_a_stop_and_sold_when_the_stop_is_hit(rig: Any, kit: Any) -> None:
    rig.give(kit.submit())
    settled(rig, lambda: len(rig.bench.broker.open_orders(0)) == 1)
    [stop] = rig.bench.broker.open_orders(0)
    assert (stop.symbol, stop.side, booked(rig)) == ("SPY", "SELL", [("BUY", 100)])
    show(rig.bench, 90)
    settled(rig, lambda: len(booked(rig)) == 2)
    assert booked(rig) == [("BUY", 100), ("SELL", 100)]
    assert rig.halts == []
    assert rig.bench.exchange.positions["SPY"] == 0


def test_halt_when_an_entry_waits_and_a_stop_protects_then_only_the_entry_goes(rig: Any, kit: Any) -> None:
    rig.give(kit.submit())
    settled(rig, lambda: len(rig.bench.listed()) == 1)
    rig.bench.quote(50, 50.02, "QQQ")
    waits = kit.submit(
        intent_id="2013-10-08:open:QQQ:BULLISH", symbol="QQQ", order_type="LIMIT", limit_micros=40 * MICROS
    )
    rig.give(waits)
    settled(rig, lambda: len(rig.bench.listed()) == 2)
    rig.give(kit.halt())
    settled(rig, lambda: len(rig.bench.listed()) == 1)
    assert [order.side for order in rig.bench.broker.open_orders(0)] == ["SELL"]
    assert rig.bench.gateway.global_cancels == 0


def test_process_when_it_dies_after_the_order_was_written_then_the_next_one_finds_it_once(rig: Any, kit: Any) -> None:
    rig.bench.gateway.on_next({3}, "carry-and-drop")
    rig.give(kit.submit())
    again = kit.Rig(rig.bench.open(), journal=rig.journal)
    again.now_ns = rig.now_ns
    again.armed()
    settled(again, lambda: booked(again) == [("BUY", 100)])
    entries = [order for order in rig.bench.gateway.orders if order.action == "BUY"]
    assert len(entries) == 1


def test_night_when_the_gateway_restarts_then_the_chain_stays_armed_and_agrees_afterwards(rig: Any, kit: Any) -> None:
    rig.give(kit.submit())
    settled(rig, lambda: len(rig.bench.listed()) == 1)
    rig.bench.now_ns = new_york_ns("2013-10-08 23:45")
    rig.bench.gateway.stop()
    rig.idle_for(900, every=30)
    assert rig.halts == []
    (shown,) = rig.core.snapshot(rig.state, rig.now_ns)
    assert "This is the gateway's nightly restart, 23:40 to 00:10" in shown.warnings
    assert not 0 <= rig.shell.reconciled_ms() <= RECONCILED_MS_MAX, "there is no lease meanwhile"
    rig.bench.gateway.start()
    rig.bench.now_ns = new_york_ns("2013-10-09 00:15")
    rig.bench.broker._line._retry_at_ns = 0
    settled(rig, lambda: 0 <= rig.shell.reconciled_ms() <= RECONCILED_MS_MAX)
    assert rig.halts == []
    assert rig.core.snapshot(rig.state, rig.now_ns)[0].warnings == ""


def test_gateway_when_it_goes_in_the_session_then_the_chain_halts_in_words(rig: Any) -> None:
    rig.bench.gateway.stop()
    rig.idle_for(200, every=5)
    assert [rule for rule, _ in rig.halts] == ["broker_failure"]
    assert "TWS or IB Gateway" in rig.halts[0][1]


@pytest.mark.parametrize("library", ["ib_insync", "ib_async"])
def test_settings_when_they_name_ibkr_then_that_broker_is_opened_on_its_port(
    tmp_path: Path, bench: Bench, library: str
) -> None:
    env = parse(
        proposals()
        | {
            "BROKER_NAME": "IBKR",
            "IBKR_ENABLED": "true",
            "IBKR_PORT": str(bench.gateway.port),
            "IBKR_CLIENT_ID": "77",
            "IBKR_LIBRARY": library,
        }
    )
    setup = Setup(paths=HomePaths(tmp_path / "home"), env=env, identity=DEMO_IDENTITY)
    broker = open_broker(setup, ExecutionSettings.from_env(env))
    assert broker.name == "IBKR"
    assert broker.open_orders(0) == []
    assert bench.gateway.lines[-1].client_id == 77
    broker.close()
    assert (tmp_path / "home" / "state" / "ibkr_books.db").exists()
    assert sys.modules[library]
