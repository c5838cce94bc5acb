"""What execution watches by itself: a target, and the trailing stop of a fraction of a share."""

from typing import Any

import pytest

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers import reports as r

HALF = m.NANOS // 2
TARGET = "its target was reached"


def order(rig: Any, kit: Any, leg: str) -> Any:
    return rig.state.find(kit.order_id(leg))


def bought(rig: Any, kit: Any, *, qty_nanos: int = 100 * m.NANOS, target: float = 0) -> None:
    """Hold SPY, bought at 100.02."""
    rig.armed()
    rig.market(kit.spy(1))
    rig.give(kit.submit(qty_nanos=qty_nanos, target_micros=round(target * m.MICROS)))
    rig.market(kit.spy(2))


def test_target_when_the_bid_reaches_it_then_the_stop_goes_and_everything_is_sold(rig: Any, kit: Any) -> None:
    bought(rig, kit, target=101)
    assert rig.market(kit.spy(3, bid=100.99)) == []
    events = rig.market(kit.spy(4, bid=101))
    assert kit.names(events) == [
        "CloseIntent",
        "CancelRequested",
        "OrderCancelled",
        "OrderPrepared:exit",
        "OrderAccepted",
    ]
    assert events[0].reason == order(rig, kit, "exit").prepared.reason == TARGET
    assert kit.names(rig.market(kit.spy(5, bid=101))) == ["OrderFilled:exit", "IntentClosed"]


def test_target_when_there_is_none_then_no_bid_ends_the_position(rig: Any, kit: Any) -> None:
    bought(rig, kit)
    assert rig.market(kit.spy(3, bid=1_000)) == []


def test_target_when_the_quote_is_no_market_then_is_not_reached(rig: Any, kit: Any) -> None:
    bought(rig, kit, target=101)
    assert rig.market(kit.quotes(3, ("SPY", 102.0, 101.0, 10, 10))) == [], "crossed"
    assert rig.market(kit.quotes(4, ("SPY", 102.0, 102.1, 0, 10))) == [], "nobody bids"
    assert rig.market(kit.quotes(5, ("QQQ", 500.0, 500.1, 10, 10)))[1:] == [], "another symbol"


def test_target_when_reached_and_the_process_dies_before_the_sale_then_the_next_life_sells(
    rig: Any, kit: Any, open_broker: Any
) -> None:
    bought(rig, kit, target=101)

    def die(event: m.Message) -> None:
        if isinstance(event, m.CancelRequested):
            raise kit.Crash

    rig.failpoint = die
    with pytest.raises(kit.Crash):
        rig.market(kit.spy(3, bid=101))
    again = kit.Rig(open_broker(), journal=rig.journal)
    again.start()
    again.market(kit.spy(4, bid=99.9))
    again.idle()
    assert order(again, kit, "exit").prepared.reason == TARGET


def test_fraction_when_bought_then_no_stop_is_sent_and_the_page_says_who_protects_it(rig: Any, kit: Any) -> None:
    bought(rig, kit, qty_nanos=10 * m.NANOS + HALF)
    assert kit.listed(rig.broker) == []
    (snapshot,) = rig.core.snapshot(rig.state, rig.now_ns)
    assert snapshot.warnings == "only this process protects, no stop rests at the broker: 10.5 SPY at 98.01"
    rig.market(kit.spy(3, bid=110))
    (snapshot,) = rig.core.snapshot(rig.state, rig.now_ns)
    assert snapshot.warnings.endswith("10.5 SPY at 107.80")
    [stop] = snapshot.stops
    assert (stop.stop_micros, stop.broker_nanos, stop.bot_nanos) == (107_800_000, 0, 10 * m.NANOS + HALF)


def test_fraction_when_the_bid_falls_a_trail_below_its_peak_then_is_sold(rig: Any, kit: Any) -> None:
    bought(rig, kit, qty_nanos=10 * m.NANOS + HALF)
    rig.market(kit.spy(3, bid=110))
    assert rig.market(kit.spy(4, bid=107.81)) == []
    events = rig.market(kit.spy(5, bid=107.8))
    assert kit.names(events) == ["CloseIntent", "OrderPrepared:exit", "OrderAccepted"]
    assert events[0].reason.startswith("its trailing stop of 2.00 % was hit")
    assert order(rig, kit, "exit").prepared.qty_nanos == 10 * m.NANOS + HALF
    assert kit.names(rig.market(kit.spy(6, bid=107))) == ["OrderFilled:exit", "IntentClosed"]


def test_fraction_when_the_process_was_restarted_then_is_guarded_from_what_was_paid(
    rig: Any, kit: Any, open_broker: Any
) -> None:
    bought(rig, kit, qty_nanos=HALF)
    again = kit.Rig(open_broker(), journal=rig.journal)
    again.start()
    again.idle()
    assert again.market(kit.spy(3, bid=98.1)) == []
    assert "CloseIntent" in kit.names(again.market(kit.spy(4, bid=98)))


def test_fraction_when_only_one_fill_has_one_then_the_others_have_their_stops(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit(qty_nanos=10 * m.NANOS + HALF))
    desk.accepted(entry)
    assert kit.names(desk.filled(entry, 8, "X-1")) == ["OrderFilled:entry", "OrderPrepared:stop"]
    rest = r.BrokerFill(
        ts_event=desk.now,
        ts_init=desk.now,
        execution_id="X-2",
        client_order_id=entry,
        broker_order_id=f"B-{entry}",
        qty_nanos=2 * m.NANOS + HALF,
        price_micros=100 * m.MICROS,
        commission_micros=0,
        broker="FAKE",
    )
    assert kit.names(desk.give(rest)) == ["OrderFilled:entry"]
    assert desk.state.intent(kit.INTENT).guarded_nanos == 2 * m.NANOS + HALF


def test_fraction_when_its_planned_exit_comes_then_is_sold_as_everything_else(rig: Any, kit: Any) -> None:
    bought(rig, kit, qty_nanos=HALF)
    assert kit.names(rig.market(kit.spy(3, at_s=3600))) == ["OrderPrepared:exit", "OrderAccepted"]


def test_new_session_when_it_begins_then_no_peak_of_the_day_before_counts(rig: Any, kit: Any) -> None:
    bought(rig, kit, qty_nanos=HALF)
    rig.market(kit.spy(3, bid=200))
    rig.give(a_plan("2013-10-09"))
    assert rig.state.peaks_micros == {}
