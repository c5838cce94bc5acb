"""The core on cancels that the drain calls for, on stops, and on what a look at the broker contradicts."""

from typing import Any

import pytest

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers import reports as r
from services.execution.orders import OrderState


def _due(desk: Any, key: str) -> list[m.Message]:
    return desk.says(r.CancelDue, key)


def _stop_requested(desk: Any) -> list[m.Message]:
    return desk.give(r.StopRequested(ts_event=desk.now, ts_init=desk.now))


@pytest.fixture
def selling_desk(kit: Any, desk: Any) -> Any:
    seller = type(desk)(kit, stop_positions="flatten")
    seller.give(a_plan(), kit.arm())
    return seller


def test_cancel_due_when_an_entry_rests_then_is_cancelled_once(desk: Any, kit: Any) -> None:
    key = kit.order_id("entry")
    desk.give(kit.submit())
    desk.accepted(key)
    events = _due(desk, key)
    assert kit.names(events) == ["CancelRequested"]
    assert events[0].detail == "so it is"
    assert _due(desk, key) == []
    desk.cancelled(key)
    assert _due(desk, key) == []


def test_cancel_due_when_it_is_a_stop_then_goes_only_where_everything_is_sold(
    desk: Any, flattening_desk: Any, kit: Any
) -> None:
    stop = kit.order_id("stop")
    desk.with_position()
    assert _due(desk, stop) == []
    desk.give(kit.halt())
    assert _due(desk, stop) == []
    assert desk.order(stop).state is OrderState.WORKING
    # Heard of only after the halt: the halt itself could not cancel it yet.
    entry = kit.order_id("entry")
    flattening_desk.give(kit.submit())
    flattening_desk.accepted(entry)
    flattening_desk.filled(entry, 100, "X-1")
    flattening_desk.says(r.BrokerUnknown, stop)
    flattening_desk.give(kit.halt())
    flattening_desk.accepted(stop)
    assert kit.names(_due(flattening_desk, stop)) == ["CancelRequested"]


def test_cancel_due_when_nobody_knows_the_order_then_nothing_follows(desk: Any) -> None:
    assert _due(desk, "tb1-lost") == []


def test_stop_when_positions_are_kept_then_entries_go_and_stops_stay(desk: Any, kit: Any) -> None:
    desk.with_position(40)
    assert kit.names(_stop_requested(desk)) == []
    assert desk.order(kit.order_id("stop")).state is OrderState.WORKING


def test_stop_when_everything_is_sold_then_the_exit_follows_the_cancel_also_after_a_restart(
    selling_desk: Any, kit: Any
) -> None:
    selling_desk.with_position(40)
    assert kit.names(_stop_requested(selling_desk)) == ["CancelRequested"]
    again = type(selling_desk)(kit)
    for event in selling_desk.events:
        again.state = again.core.evolve(again.state, event)
    for desk in (selling_desk, again):
        assert kit.names(desk.cancelled(kit.order_id("stop"))) == ["OrderCancelled", "OrderPrepared:exit"]


def test_stop_when_the_market_is_closed_then_nothing_is_sold(selling_desk: Any, kit: Any) -> None:
    selling_desk.with_position(40)
    selling_desk.now = kit.CLOSE_NS
    assert _stop_requested(selling_desk) == []


def _over(desk: Any, kit: Any, state: OrderState) -> str:
    key = kit.order_id("entry")
    desk.give(kit.submit())
    if state is OrderState.REJECTED:
        desk.says(r.BrokerRejected, key)
        return key
    desk.accepted(key)
    if state is OrderState.FILLED:
        desk.filled(key, 100, "X-1")
    else:
        desk.give(kit.disarm())
        desk.cancelled(key)
        desk.give(kit.arm())
    return key


@pytest.mark.parametrize(
    ("state", "names"),
    [
        (OrderState.FILLED, ["CancelRequested", "HaltRaised"]),
        (OrderState.CANCELLED, ["CancelRequested", "HaltRaised"]),
        (OrderState.REJECTED, ["HaltRaised"]),
    ],
)
def test_still_open_when_an_entry_is_over_then_halts_once_and_asks_where_it_may(
    desk: Any, kit: Any, state: OrderState, names: list[str]
) -> None:
    key = _over(desk, kit, state)
    assert desk.order(key).state is state
    assert kit.names(desk.says(r.StillOpen, key)) == names
    assert kit.names(desk.says(r.StillOpen, key)) == names[:-1]
    assert desk.order(key).state is state


def test_still_open_when_the_order_is_open_for_us_too_then_nothing_follows(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.accepted(kit.order_id("entry"))
    assert desk.says(r.StillOpen, kit.order_id("entry")) == []


def test_disagreement_when_the_chain_stands_halted_then_adds_no_halt(desk: Any, kit: Any) -> None:
    found = r.BooksDisagree(ts_event=0, ts_init=0, detail="SPY: 60 at the broker, 100 by our fills")
    assert kit.names(desk.give(found)) == ["HaltRaised"]
    other = r.BooksDisagree(ts_event=0, ts_init=0, detail="another one")
    assert desk.give(found, other) == []
    desk.give(kit.arm(1))
    assert kit.names(desk.give(other)) == ["HaltRaised"]
