"""The array functions against a naive oracle that works one name and one minute at a time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.strategy import open as opening_range

PRICE_MAX = 2**53
prices = st.integers(1, 60) | st.integers(1, PRICE_MAX)
bars = st.tuples(prices, prices, prices).map(sorted).map(lambda p: (p[2], p[0], p[1]))
broken = st.sampled_from([(0, 0, 0), (5, 9, 7), (10, 0, 4)])
minute = st.lists(st.one_of(bars, bars, bars, bars, bars, st.none() | broken), min_size=4, max_size=4)

Minute = list[tuple[int, int, int] | None]
Answer = tuple[list[tuple[int, int] | None], list[tuple[list[int], list[int]]]]


def oracle(window: list[Minute], after: list[Minute], buffer_ppm: int) -> Answer:
    """Return (range or None) of each name, and each later minute's (ups, downs)."""
    ranges, done, said = [], set(), []
    for name in range(4):
        sound = [bar[name] for bar in window if bar[name] and 0 < bar[name][1] <= bar[name][0]]
        is_early = any(bar[name] and 0 < bar[name][1] <= bar[name][0] for bar in window[:5])
        is_complete = is_early and len(sound) / len(window) >= 0.8
        ranges.append((max(b[0] for b in sound), min(b[1] for b in sound)) if is_complete else None)
    for bar in after:
        ups, downs = [], []
        for name in range(4):
            if bar[name] is None or ranges[name] is None:
                continue
            close, (high, low) = bar[name][2], ranges[name]
            if close * 1_000_000 > high * (1_000_000 + buffer_ppm) and (name, "up") not in done:
                ups.append(name)
            if close > 0 and close * 1_000_000 < low * (1_000_000 - buffer_ppm) and (name, "down") not in done:
                downs.append(name)
        done |= {(name, "up") for name in ups} | {(name, "down") for name in downs}
        said.append((ups, downs))
    return ranges, said


def rows_of(bar: Any) -> Any:
    rows = [name for name in range(4) if bar[name] is not None]
    columns = [opening_range.as_array([bar[name][field] for name in rows]) for field in range(3)]
    return opening_range.as_array(rows), *columns


def vectorised(window: list[Minute], after: list[Minute], buffer_ppm: int) -> Answer:
    state = opening_range.blank_range(4)
    for number, bar in enumerate(window):
        rows, highs, lows, _ = rows_of(bar)
        state = opening_range.fold_minute(state, rows, highs=highs, lows=lows, is_early=number < 5)
    complete = opening_range.complete_rows(state, len(window), 80)
    highs, lows = state.highs_micros[complete], state.lows_micros[complete]
    state = opening_range.know_ranges(state, complete, highs=highs, lows=lows, buffer_ppm=buffer_ppm)
    found = dict(zip(complete.tolist(), zip(highs.tolist(), lows.tolist(), strict=True), strict=True))
    said = []
    for bar in after:
        rows, _, _, closes = rows_of(bar)
        # What the core hands over has been traded.
        rows, closes = rows[closes > 0], closes[closes > 0]
        ups, downs = (rows[hits].tolist() for hits in opening_range.breakouts(state, rows, closes))
        for name in ups:
            state = opening_range.mark_done(state, name, "long")
        for name in downs:
            state = opening_range.mark_done(state, name, "short")
        said.append((ups, downs))
    return [found.get(name) for name in range(4)], said


@settings(max_examples=150, deadline=None)
@given(
    window=st.lists(minute, min_size=1, max_size=12),
    after=st.lists(minute, min_size=1, max_size=6),
    buffer_ppm=st.integers(0, 50_000),
)
def test_range_when_vectorised_then_equal_to_one_name_at_a_time(
    window: list[Minute], after: list[Minute], buffer_ppm: int
) -> None:
    assert vectorised(window, after, buffer_ppm) == oracle(window, after, buffer_ppm)


def test_breakouts_when_prices_are_the_largest_a_message_carries_then_no_overflow() -> None:
    state = opening_range.blank_range(1)
    top = opening_range.as_array([PRICE_MAX - 1])
    row = opening_range.as_array([0])
    state = opening_range.know_ranges(state, row, highs=top, lows=top, buffer_ppm=50_000)
    assert int(state.bullish_above_micros[0]) == (PRICE_MAX - 1) * 1_050_000 // 1_000_000
    assert int(state.bearish_below_micros[0]) == -(-(PRICE_MAX - 1) * 950_000 // 1_000_000)


def test_breakouts_when_the_range_is_blank_then_nobody_breaks_out() -> None:
    state = opening_range.blank_range(2)
    ups, downs = opening_range.breakouts(state, opening_range.as_array([1, 0]), opening_range.as_array([1, PRICE_MAX]))
    assert [*ups, *downs] == [False] * 4


@pytest.mark.parametrize("index", [slice(1, 3), opening_range.as_array([1, 2])])
def test_fold_when_names_are_a_slice_or_a_list_then_only_their_places_are_written(index: Any) -> None:
    state = opening_range.blank_range(4)
    prices = opening_range.as_array([7, 9])
    assert opening_range.fold_minute(state, index, highs=prices, lows=prices, is_early=True) is state
    assert state.minutes_seen.tolist() == [0, 1, 1, 0]
    assert state.is_seen_early.tolist() == [False, True, True, False]
    assert state.highs_micros.tolist() == [0, 7, 9, 0]
    assert state.highs_micros.dtype == np.int64


@pytest.mark.parametrize(
    ("sides", "left"), [("long", [False, True]), ("short", [True, False]), ("both", [False, False])]
)
def test_a_side_when_done_then_it_breaks_out_no_more(sides: Any, left: list[bool]) -> None:
    state = opening_range.blank_range(1)
    price = opening_range.as_array([100])
    state = opening_range.know_ranges(state, slice(0, 1), highs=price, lows=price, buffer_ppm=0)

    def broken() -> list[bool]:
        closes = (opening_range.as_array([close]) for close in (101, 99))
        return [any(hits.any() for hits in opening_range.breakouts(state, slice(0, 1), close)) for close in closes]

    assert broken() == [True, True]
    state = opening_range.mark_done(state, 0, sides)
    assert broken() == left


def test_self_check_when_the_build_is_sound_then_no_fault() -> None:
    assert opening_range.self_check() == ()


def test_self_check_when_the_arithmetic_is_wrong_then_a_fault_for_each_wrong_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening_range, "_KNOWN_BARS_PERCENT", 10)
    faults = opening_range.self_check()
    assert any("completes the wrong names" in fault for fault in faults)
