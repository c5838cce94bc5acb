"""F54: a sale that is not done before the close is cancelled and sent again three times, and people are told."""

from typing import Any

import pytest

from bus import messages as m

MINUTE = 60


def before_close(kit: Any, minutes: float) -> int:
    """Return seconds after the open."""
    return (kit.CLOSE_NS - kit.OPEN_NS) // kit.SECOND - round(minutes * MINUTE)


def leaving(desk: Any, kit: Any, minutes: float) -> str:
    """Hold a position whose sale was accepted so many minutes before the close, and does not fill."""
    desk.with_position()
    stop, sale = kit.order_id("stop"), kit.order_id("exit")
    desk.now = kit.OPEN_NS + before_close(kit, minutes) * kit.SECOND
    desk.give(m.CloseIntent(ts_event=0, ts_init=0, intent_id=kit.INTENT, session_date="2013-10-08", reason="enough"))
    desk.cancelled(stop)
    desk.accepted(sale)
    return sale


def warnings(desk: Any) -> str:
    (snapshot,) = desk.core.snapshot(desk.state, desk.now)
    return snapshot.warnings


@pytest.mark.parametrize(("before", "at"), [(16, 15), (14.9, 5), (4.9, 1)])
def test_sale_when_it_waits_at_a_pressing_moment_then_is_cancelled_and_sent_again_once(
    desk: Any, kit: Any, before: float, at: float
) -> None:
    sale = leaving(desk, kit, before)
    assert desk.at(before_close(kit, at + 0.1)) == []
    assert warnings(desk) == ""
    (asked,) = desk.at(before_close(kit, at))
    assert (kit.names([asked]), asked.client_order_id) == (["CancelRequested"], sale)
    assert warnings(desk) == f"NOT SOLD, {at} min before the close: SPY 100; sell by hand at the broker what stays"
    assert desk.at(before_close(kit, at) + 1) == [], "a cancel that waits is not asked for again here"
    (_, again) = desk.cancelled(sale)
    assert (again.leg, again.attempt, again.order_type) == ("exit", 2, "MARKET")
    desk.accepted(kit.order_id("exit", 2))
    assert desk.at(before_close(kit, at) + 2) == []


def test_sale_when_part_of_it_is_done_then_only_the_rest_is_sent_again(desk: Any, kit: Any) -> None:
    sale = leaving(desk, kit, 6)
    desk.filled(sale, 40, "X-9")
    desk.at(before_close(kit, 5))
    assert "SPY 60" in warnings(desk)
    (_, again) = desk.cancelled(sale, filled_shares=40)
    assert again.qty_nanos == 60 * m.NANOS


def test_sale_when_it_waits_all_the_time_then_is_pressed_three_times_and_said_after_the_close(
    desk: Any, kit: Any
) -> None:
    sale = leaving(desk, kit, 20)
    for attempt, minutes in enumerate((15, 5, 1), start=2):
        desk.at(before_close(kit, minutes))
        desk.cancelled(sale)
        sale = kit.order_id("exit", attempt)
        desk.accepted(sale)
    assert desk.at(before_close(kit, 0)) == desk.at(before_close(kit, -5)) == []
    assert warnings(desk).startswith("NOT SOLD, the session is over: SPY 100;")


def test_position_when_its_time_has_not_come_then_nothing_presses(desk: Any, kit: Any) -> None:
    desk.with_position()
    desk.state = desk.core.evolve(desk.state, desk.state.plan)
    events = desk.at(3_599)
    assert events == []
    assert warnings(desk) == ""
