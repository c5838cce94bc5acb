"""The pace of approvals: counts within a span, and repeats."""

from typing import Any

from services.risk.pace import MINUTE_NS, REPEATS_KEPT, SECOND_NS, Pace, Placed


def _order(world: Any, ts_ns: int, symbol: str = "AAA") -> Any:
    world.now = ts_ns
    order = world.hear(world.signal(symbol, signal_id=f"{symbol} {ts_ns} {len(world.journal)}"))
    return order[-1]


def _orders(new_world: type[Any], *times_ns: int) -> list[Any]:
    """Return equal approvals at these times of a session."""
    template = _order(new_world().ready(), new_world.NOW)
    kind = type(template)
    values = {name: getattr(template, name) for name in kind.__struct_fields__}
    return [kind(**{**values, "ts_event": ts_ns}) for ts_ns in times_ns]


def test_count_when_orders_grow_old_then_only_those_of_the_span_count(new_world: type[Any]) -> None:
    pace, start = Pace(), new_world.NOW
    for order in _orders(new_world, start, start, start + SECOND_NS // 2, start + 2 * SECOND_NS):
        pace.note(order)
    now = start + 2 * SECOND_NS
    assert pace.total == 4
    assert pace.count_within(SECOND_NS, now) == 1
    assert pace.count_within(MINUTE_NS, now) == 4
    assert pace.count_within(MINUTE_NS, start + MINUTE_NS) == 2
    assert pace.count_within(MINUTE_NS, start + 2 * MINUTE_NS) == 0
    assert pace.count_within(SECOND_NS, start - MINUTE_NS) == 4, "orders of the future count: the clock went back"


def test_count_when_thousands_were_approved_then_only_a_minute_is_kept(new_world: type[Any]) -> None:
    pace, start = Pace(), new_world.NOW
    for order in _orders(new_world, *(start + number * SECOND_NS for number in range(1_000))):
        pace.note(order)
    assert pace.total == 1_000
    assert pace.count_within(MINUTE_NS, start + 999 * SECOND_NS) == 60
    assert len(pace._minute) <= 60


def test_repeats_when_equal_orders_were_approved_then_the_newest_ten_of_the_window_count(new_world: type[Any]) -> None:
    pace, start = Pace(), new_world.NOW
    orders = _orders(new_world, *([start] * 30))
    for order in orders:
        pace.note(order)
    first = orders[0]
    wanted, window_ns = Placed("BUY", first.qty_nanos, first.reference_micros, start), 10 * SECOND_NS
    assert pace.repeats("AAA", wanted, window_ns) == REPEATS_KEPT
    assert pace.repeats("BBB", wanted, window_ns) == 0
    assert pace.repeats("AAA", Placed("SELL", first.qty_nanos, first.reference_micros, start), window_ns) == 0
    late = Placed("BUY", first.qty_nanos, first.reference_micros, start + window_ns)
    assert pace.repeats("AAA", late, window_ns) == 0
    assert pace.repeats("AAA", late, window_ns + 1) == REPEATS_KEPT


def test_pace_when_the_same_was_approved_then_it_is_equal(new_world: type[Any]) -> None:
    one, other = Pace(), Pace()
    (order,) = _orders(new_world, new_world.NOW)
    one.note(order)
    assert one != other
    other.note(order)
    assert one == other
    assert one != "pace"
