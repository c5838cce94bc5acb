"""Indicators on cases that were worked out by hand; test_rules_on_real_days.py has them on whole days."""

import math
from typing import Any

import naive_rules as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.strategy import indicators as ind
from services.strategy.arrays import as_array
from services.strategy.strategy import known_minute
from services.strategy.watch_list import Minute

DOLLAR = 1_000_000
CENTS = st.integers(100, 100_000)


def minutes(*rows: tuple[float, float, float, int]) -> list[Minute]:
    """Return the minutes of one name: (high, low, close, shares) each."""
    return [known_minute(n, [0], [high], [low], [close], [shares]) for n, (high, low, close, shares) in enumerate(rows)]


def test_vwap_when_two_minutes_traded_then_the_typical_prices_weigh_by_volume() -> None:
    sums = ind.blank_vwap(1)
    assert ind.vwap_of(sums, slice(0, 1)).tolist() == [0.0]
    for minute in minutes((12, 9, 9, 100), (24, 18, 18, 300)):
        ind.fold_vwap(sums, minute)
    # Typical prices 10 and 20, 100 and 300 shares: (1,000 + 6,000) / 400.
    assert ind.vwap_of(sums, slice(0, 1)).tolist() == [17.5 * DOLLAR]


def test_bands_when_four_closes_are_known_then_mean_and_deviation_of_the_population() -> None:
    closes = ind.blank_closes(1, 4)
    row = as_array([0])
    for price in (99, 2, 4, 4, 6):
        assert not ind.has_bands(closes, row)[0] or price == 6
        ind.fold_closes(closes, minutes((price, price, price, 1))[0])
    lower, middle, upper = ind.bands_of(closes, row, 2.0)
    # The first close has left the ring: 2, 4, 4, 6 have the mean 4 and the variance 2.
    assert middle.tolist() == [4.0 * DOLLAR]
    assert upper[0] == pytest.approx((4 + 2 * math.sqrt(2)) * DOLLAR, rel=1e-12)
    assert lower[0] == pytest.approx((4 - 2 * math.sqrt(2)) * DOLLAR, rel=1e-12)


def test_bands_when_a_price_is_the_largest_a_message_carries_then_no_digit_is_lost() -> None:
    closes = ind.blank_closes(1, 200)
    for n in range(200):
        price = 2**53 - 1 - n % 2
        closes.ring[0, n] = price
    closes.bars[0] = 200
    lower, middle, upper = ind.bands_of(closes, as_array([0]), 1.0)
    assert middle[0] == pytest.approx(2**53 - 1.5, rel=1e-15)
    assert (upper - lower)[0] == pytest.approx(1.0, abs=2.0)


def test_adx_when_period_two_then_wilders_worksheet() -> None:
    state = ind.blank_directional(1)
    row = as_array([0])
    # Moves up 2, 1, 0 and down 0, 0, 3; true ranges 3, 2, 4.
    worksheet = (
        ((10, 8, 9, 1), 0.0, 0.0, False),
        ((12, 9, 11, 1), 3.0, 0.0, False),
        # Averages of two: ranges 2.5, ups 1.5, downs 0, so the first DX is 100.
        ((13, 11, 12, 1), 2.5, 100.0, False),
        # Ranges 2.5 + (4 - 2.5) / 2, ups 0.75, downs 1.5: DX 100 x 0.75 / 2.25, ADX (100 + 33.3) / 2.
        ((12, 8, 9, 1), 3.25, 200 / 3, True),
    )
    for bar, atr, adx, is_known in worksheet:
        ind.fold_directional(state, minutes(bar)[0], 2)
        assert state.ranges[0] / DOLLAR == pytest.approx(atr)
        assert state.adx[0] == pytest.approx(adx)
        assert bool(ind.has_adx(state, row, 2)[0]) is is_known


def test_adx_when_a_name_stands_still_then_zero_and_no_warning() -> None:
    state = ind.blank_directional(1)
    with np.errstate(all="raise"):
        for minute in minutes(*[(5, 5, 5, 1)] * 10):
            ind.fold_directional(state, minute, 3)
    assert (state.adx[0], state.ranges[0]) == (0.0, 0.0)


def test_fold_when_a_name_has_no_bar_then_only_the_others_move() -> None:
    both = known_minute(0, [1, 1], [3, 3], [1, 1], [2, 2], [10, 10])
    one = Minute(
        ts_event=1,
        is_last_part=True,
        rows=as_array([1]),
        index=as_array([1]),
        opens=as_array([DOLLAR]),
        highs=as_array([4 * DOLLAR]),
        lows=as_array([2 * DOLLAR]),
        closes=as_array([4 * DOLLAR]),
        volumes=as_array([10]),
    )
    state, closes, sums = ind.blank_directional(2), ind.blank_closes(2, 2), ind.blank_vwap(2)
    for minute in (both, one):
        ind.fold_directional(state, minute, 2)
        ind.fold_closes(closes, minute)
        ind.fold_vwap(sums, minute)
    assert state.bars.tolist() == closes.bars.tolist() == [1, 2]
    assert state.closes.tolist() == [2 * DOLLAR, 4 * DOLLAR]
    assert ind.has_bands(closes, as_array([0, 1])).tolist() == [False, True]


bar = st.tuples(CENTS, CENTS, CENTS, st.integers(0, 10**9)).map(lambda b: (*sorted(b[:3]), b[3]))


@settings(max_examples=60, deadline=None)
@given(
    day=st.lists(st.lists(st.none() | bar, min_size=3, max_size=3), min_size=1, max_size=40),
    period=st.integers(2, 6),
)
def test_indicators_when_bars_are_anything_then_those_of_one_name_at_a_time(day: Any, period: int) -> None:
    state, closes, sums = ind.blank_directional(3), ind.blank_closes(3, period), ind.blank_vwap(3)
    rules = naive.Rules(period=period, adx_period=period)
    known: list[dict[int, naive.Bar]] = [{}, {}, {}]
    for number, bars in enumerate(day):
        rows = [row for row in range(3) if bars[row] is not None]
        lows, closed, highs, shares = (as_array([bars[row][field] for row in rows]) for field in range(4))
        scaled = [column * 10_000 for column in (closed, highs, lows, closed)]
        opens, tops, bottoms, ends = scaled
        minute = Minute(
            ts_event=number,
            is_last_part=True,
            rows=as_array(rows),
            index=as_array(rows),
            opens=opens,
            highs=tops,
            lows=bottoms,
            closes=ends,
            volumes=shares * 10**9,
        )
        ind.fold_directional(state, minute, period)
        ind.fold_closes(closes, minute)
        ind.fold_vwap(sums, minute)
        for row in rows:
            low, close, high, volume = bars[row]
            fractions = [naive.Fraction(cents, 100) for cents in (close, high, low, close)]
            known[row][number] = (fractions[0], fractions[1], fractions[2], fractions[3], volume)
    last = len(day) - 1
    for row in range(3):
        if not known[row]:
            continue
        if sum(bar[4] for bar in known[row].values()):
            expected = [average for average in naive.vwaps(known[row]).values() if average][-1]
            assert ind.vwap_of(sums, as_array([row]))[0] / DOLLAR == pytest.approx(float(expected), rel=1e-9)
        band, (adx, atr) = naive.bands(known[row], last, rules), naive.wilder(known[row], last, period)
        if band is not None:
            lower, _, upper = ind.bands_of(closes, as_array([row]), rules.width)
            # A deviation is small beside the price, which is what 1e-9 is relative to.
            assert (lower[0] / DOLLAR, upper[0] / DOLLAR) == pytest.approx(band, rel=1e-9, abs=1e-6)
        if adx is not None and atr is not None:
            assert state.adx[row] == pytest.approx(adx, rel=1e-9, abs=1e-9)
            assert state.ranges[row] / DOLLAR == pytest.approx(atr, rel=1e-9)
