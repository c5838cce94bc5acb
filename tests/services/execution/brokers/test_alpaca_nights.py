"""Execution as a whole over Alpaca's stand-in: what is taken back, what stands over night, what expired in it."""

from collections.abc import Iterator
from typing import Any

import pytest
from alpaca_bench import Bench, opened_bench
from exchange import MICROS, NANOS

from bus import messages as m
from bus.testing import a_plan

PUT = "SPY131011P00100000"
LATER_NS = 10**18


@pytest.fixture
def bench() -> Iterator[Bench]:
    with opened_bench() as made:
        yield made


@pytest.fixture
def rig(bench: Bench, kit: Any) -> Any:
    """Give an armed execution whose clocks are those of its tests."""
    now: dict[str, Any] = {}
    bench.house_clock.stands_at = kit.OPEN_NS
    broker = bench.restart(clock=lambda: now["rig"].boot_ns if now else 0)
    now["rig"] = made = kit.Rig(broker)
    made.bench = bench
    show(made, kit, 1)
    return made.armed()


def show(rig: Any, kit: Any, step: int, bid: float = 100, symbol: str = "SPY") -> None:
    """Let the market stand at this bid, at the stand-in and for execution."""
    price = round(bid * MICROS)
    rig.bench.exchange.set_quote(symbol, price, price + 20_000)
    rig.market(kit.quotes(step, (symbol, bid, bid + 0.02, 1000, 1000)))


def held(rig: Any) -> dict[str, int]:
    return {symbol: qty // NANOS for symbol, qty in rig.bench.exchange.positions.items() if qty}


def test_f47_entry_when_alpaca_busts_it_then_books_position_and_stops_agree_with_alpaca(rig: Any, kit: Any) -> None:
    rig.give(kit.submit(exit_at_ns=LATER_NS * 2))
    rig.idle_for(5, every=1)
    assert held(rig) == {"SPY": 100}
    assert len(kit.listed(rig.broker)) == 1
    rig.bench.house.bust(1)
    # The look at positions comes first, and is explained before it contradicts the journal.
    rig.idle_for(60, every=1)
    assert [e.side for e in rig.journal if isinstance(e, m.FillReversed)] == ["BUY"]
    assert held(rig) == {}
    assert kit.listed(rig.broker) == []
    assert rig.state.open_intents() == []
    # A hundred shares at 100 are more than a thousandth of the account.
    assert len(rig.halts) == 1
    assert "the broker took back BUY 100 SPY" in rig.halts[0][1]
    assert rig.shell.reconciled_ms() >= 0


def test_stop_when_the_position_is_kept_over_night_then_it_rests_and_the_next_morning_agrees(
    rig: Any, kit: Any
) -> None:
    rig.give(kit.submit(exit_at_ns=LATER_NS * 2))
    rig.idle_for(5, every=1)
    (stop,) = kit.listed(rig.broker)
    rig.bench.exchange.expire_day()
    rig.bench.house.statuses = {stop: "done_for_day"}
    rig.idle_for(60, every=1)
    assert kit.listed(rig.broker) == [stop]
    assert rig.state.find(stop).is_resting
    rig.bench.house.statuses = {}
    rig.give(a_plan("2013-10-09"))
    rig.idle_for(60, every=1)
    assert rig.halts == []
    assert rig.shell.reconciled_ms() >= 0
    show(rig, kit, 2, bid=90)
    rig.idle_for(10, every=1)
    assert held(rig) == {}
    assert rig.state.open_intents() == []


def test_puts_when_they_expire_over_night_then_the_next_morning_agrees_and_the_ledger_is_told(
    rig: Any, kit: Any
) -> None:
    show(rig, kit, 2, bid=2.4, symbol=PUT)
    intent = f"2013-10-08:open:{PUT}:BEARISH"
    limit = {"order_type": "LIMIT", "limit_micros": 2_500_000, "exit_at_ns": LATER_NS * 2}
    rig.give(kit.submit(intent_id=intent, symbol=PUT, shares=2, **limit))
    rig.idle_for(5, every=1)
    assert held(rig) == {PUT: 2}
    rig.bench.house.expire_option(PUT)
    rig.give(a_plan("2013-10-14"))
    rig.idle_for(60, every=1)
    (gone,) = [event for event in rig.journal if isinstance(event, m.ContractsExpired)]
    assert (gone.symbol, gone.qty_nanos) == (PUT, 2 * NANOS)
    assert rig.state.open_intents() == []
    assert rig.halts == []
    assert rig.shell.reconciled_ms() >= 0


def test_shares_when_split_over_night_then_the_next_morning_agrees(rig: Any, kit: Any) -> None:
    rig.give(kit.submit(exit_at_ns=LATER_NS * 2))
    rig.idle_for(5, every=1)
    rig.bench.house.split("SPY", 4, 1)
    rig.give(a_plan("2013-10-09"))
    rig.idle_for(60, every=1)
    assert rig.state.intent(kit.INTENT).held_nanos == 400 * NANOS
    assert rig.halts == []
    assert rig.shell.reconciled_ms() >= 0
