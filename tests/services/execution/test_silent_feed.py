"""Live data that has fallen silent: its empty batches tell the time, and what is due comes all the same."""

from typing import Any

from bus import messages as m


def test_a_position_when_the_feed_is_silent_at_its_exit_then_it_is_sold(desk: Any, kit: Any) -> None:
    desk.with_position()
    desk.now = kit.OPEN_NS + 3599 * kit.SECOND
    assert desk.give(kit.quotes(5)) == []
    desk.now = kit.OPEN_NS + 3600 * kit.SECOND
    events = desk.give(kit.quotes(6))
    assert [name for name in kit.names(events) if "exit" in name or name == "CancelRequested"]


def test_an_entry_when_the_feed_is_silent_and_it_is_not_filled_then_it_is_cancelled(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.accepted(kit.order_id("entry"))
    desk.now = kit.OPEN_NS + 121 * kit.SECOND
    assert "CancelRequested" in kit.names(desk.give(kit.quotes(5)))


def test_minutes_when_said_again_then_execution_takes_them_for_the_time_alone(desk: Any, kit: Any) -> None:
    desk.with_position()
    none = {name: b"" for name in m.PastBars.__struct_fields__ if name.endswith(("_micros", "_nanos"))}
    past = m.PastBars(ts_event=1, ts_init=1, step=9, symbols=(), begins=True, **none)
    assert desk.give(past) == []
    desk.now = kit.OPEN_NS + 3600 * kit.SECOND
    assert desk.give(past) != []


def test_an_embedded_broker_when_a_batch_is_empty_then_nothing_is_filled(rig: Any, kit: Any) -> None:
    rig.start()
    rig.armed()
    assert rig.market(kit.quotes(1)) == []
