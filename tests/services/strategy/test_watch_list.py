"""A minute's bars as arrays: rows in rank order, the fast path for an unchanged order, and the look-up otherwise."""

from typing import Any

from services.strategy.watch_list import minute_of, watch_list


def batch_of(make: Any, *symbols: str) -> Any:
    return make.batch(1, 0, {symbol: (10 + n, 5 + n, 7 + n) for n, symbol in enumerate(symbols)})


def test_alignment_when_the_order_is_the_same_then_the_last_one_stands(make: Any) -> None:
    watch = watch_list(make.ranked(("A", "B")))
    minute, first = minute_of(watch, batch_of(make, "B", "A"), None)
    assert (minute.rows.tolist(), minute.closes.tolist()) == ([0, 1], [8, 7])
    again, alignment = minute_of(watch, batch_of(make, "B", "A"), first)
    assert alignment is first
    assert again.closes.tolist() == [8, 7]
    other, alignment = minute_of(watch, batch_of(make, "A", "B"), first)
    assert alignment is not first
    assert (other.rows.tolist(), other.closes.tolist()) == ([0, 1], [7, 8])


def test_alignment_when_names_are_unknown_or_doubled_then_left_out(make: Any) -> None:
    watch = watch_list(make.ranked(("A", "B")))
    bars = {symbol: (7 + n, 10 + n, 5 + n, 7 + n, 10**9) for n, symbol in enumerate(("X", "B", "A"))}
    doubled = make.batch_of(make.OPEN + make.MINUTE, 1, bars, again=("B", "X"))
    minute, _ = minute_of(watch, doubled, None)
    assert minute.rows.tolist() == [0, 1]
    assert minute.closes.tolist() == [9, 8]
    assert minute.highs.tolist() == [12, 11]
    assert minute.lows.tolist() == [7, 6]
    assert minute.opens.tolist() == [9, 8]
    assert minute.volumes.tolist() == [10**9, 10**9]


def test_alignment_when_there_are_no_bars_then_empty(make: Any) -> None:
    watch = watch_list(make.ranked(("A",)))
    minute, _ = minute_of(watch, batch_of(make), None)
    assert minute.rows.tolist() == minute.lows.tolist() == []


def test_alignment_when_rows_have_no_gap_then_state_arrays_are_sliced_else_picked(make: Any) -> None:
    watch = watch_list(make.ranked(("A", "B", "C", "D")))
    gapless, _ = minute_of(watch, batch_of(make, "D", "B", "C"), None)
    assert gapless.index == slice(1, 4)
    gap, _ = minute_of(watch, batch_of(make, "D", "A"), None)
    assert (gap.index is gap.rows, gap.rows.tolist()) == (True, [0, 3])


def test_minute_when_a_bar_is_broken_then_it_is_left_out(make: Any) -> None:
    watch = watch_list(make.ranked(("A", "B", "C", "D")))
    bars = {"A": (10, 0, 7), "B": (10, 5, 7), "C": (5, 10, 7), "D": (10, 5, 0)}
    minute, _ = minute_of(watch, make.batch(1, 0, bars), None)
    assert (minute.rows.tolist(), minute.closes.tolist()) == ([1], [7])
