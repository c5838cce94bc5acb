"""Rows of bars: the fast path for an unchanged order, and the look-up otherwise."""

from typing import Any

from bus.messages import BarBatch
from services.strategy.watch_list import align, column, watch_list

BAR = (10, 5, 7)


def batch_of(make: Any, *symbols: str) -> BarBatch:
    bars = [make.batch(1, 0, {symbol: (10 + n, 5 + n, 7 + n)}).bars[0] for n, symbol in enumerate(symbols)]
    return BarBatch.of(bars, ts_event=1, ts_init=1, step=1)


def test_alignment_when_the_order_is_the_same_then_the_last_one_stands(make: Any) -> None:
    watch = watch_list(make.ranked(("A", "B")))
    first = align(watch, ("B", "A"), None)
    assert first.rows.tolist() == [1, 0]
    assert align(watch, ("B", "A"), first) is first
    assert align(watch, ("A", "B"), first).rows.tolist() == [0, 1]


def test_alignment_when_names_are_unknown_or_doubled_then_left_out(make: Any) -> None:
    watch = watch_list(make.ranked(("A", "B")))
    batch = batch_of(make, "X", "B", "A", "B")
    alignment = align(watch, batch.symbols, None)
    assert alignment.rows.tolist() == [1, 0]
    assert column(batch, alignment, "closes_micros").tolist() == [8, 9]
    assert column(batch, alignment, "highs_micros").tolist() == [11, 12]


def test_alignment_when_there_are_no_bars_then_empty(make: Any) -> None:
    watch = watch_list(make.ranked(("A",)))
    alignment = align(watch, (), None)
    assert column(batch_of(make), alignment, "lows_micros").tolist() == []
