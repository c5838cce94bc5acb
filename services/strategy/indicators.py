"""Indicators of every name at once, minute by minute: VWAP, Bollinger bands, Wilder's ATR and ADX.

Each state is a Struct of arrays with one row for each name. The `fold_` functions write one minute into them, in
place: nobody keeps an older state, and copying would cost more than the arithmetic. A name without a bar in a minute
keeps what it has, so every period counts the name's own bars. Everything begins at the session's first bar: no day
before counts.

Prices enter as exact int64 micro-dollars. What is summed or divided is float64: a product of price and volume does not
fit 64 bits. All terms of a sum are positive, so after the 390 minutes of a session the relative error is below
390 x 2^-53 = 5e-14; the bands are made of exact integer sums.
"""

import numpy as np
from msgspec import Struct

from services.strategy.arrays import FloatArray, IntArray, MaskArray
from services.strategy.watch_list import Minute


class VolumeWeighted(Struct, frozen=True, kw_only=True, eq=False):
    """Sums since the open: of typical price in micro-dollars x volume, and of volume in billionths of a share."""

    values: FloatArray
    volumes: FloatArray


class Closes(Struct, frozen=True, kw_only=True, eq=False):
    """The newest `period` closes of each name, shape (names, period), in a ring; `bars` counts all there were."""

    ring: IntArray
    bars: IntArray


class Directional(Struct, frozen=True, kw_only=True, eq=False):
    """Wilder's averages: of the true range and of the moves up and down, in micro-dollars, and the ADX itself.

    `bars` counts the bars, so the averages are of bars - 1 moves.
    """

    bars: IntArray
    highs: IntArray
    lows: IntArray
    closes: IntArray
    ranges: FloatArray
    ups: FloatArray
    downs: FloatArray
    adx: FloatArray


def blank_vwap(names: int) -> VolumeWeighted:
    """Return sums without a trade."""
    return VolumeWeighted(values=np.zeros(names), volumes=np.zeros(names))


def fold_vwap(sums: VolumeWeighted, minute: Minute) -> None:
    """Add a minute: its typical price (high + low + close) / 3, times its volume."""
    volumes = minute.volumes.astype(np.float64)
    sums.values[minute.index] += (minute.highs + minute.lows + minute.closes) / 3.0 * volumes
    sums.volumes[minute.index] += volumes


def vwap_of(sums: VolumeWeighted, index: slice | IntArray) -> FloatArray:
    """Return the volume-weighted average price of these rows in micro-dollars; 0 where nothing has traded."""
    values, volumes = sums.values[index], sums.volumes[index]
    return np.divide(values, volumes, out=np.zeros_like(values), where=volumes > 0)


def blank_closes(names: int, period: int) -> Closes:
    """Return rings without a close."""
    return Closes(ring=np.zeros((names, period), np.int64), bars=np.zeros(names, np.int64))


def fold_closes(closes: Closes, minute: Minute) -> None:
    """Put a minute's closes in place of the oldest."""
    bars = closes.bars[minute.index]
    closes.ring[minute.rows, bars % closes.ring.shape[1]] = minute.closes
    closes.bars[minute.index] = bars + 1


def bands_of(closes: Closes, rows: IntArray, width: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (lower band, middle, upper band) of these rows in micro-dollars: mean -+ width x standard deviation.

    The deviation is of the whole population, not of a sample. For rows that `has_bands` says are full.

    Source: J. Bollinger, "Bollinger on Bollinger Bands" (2001), ch. 7: population standard deviation.
    """
    ring = closes.ring[rows]
    period = ring.shape[1]
    sums = ring.sum(axis=1)
    # Each deviation is exact: period x close - sum, in integers. A price has 53 bits at most, a period 8.
    apart = (ring * period - sums[:, None]).astype(np.float64)
    deviations = np.sqrt(np.square(apart).sum(axis=1) / period) / period
    middle = sums / period
    return middle - width * deviations, middle, middle + width * deviations


def has_bands(closes: Closes, rows: IntArray) -> MaskArray:
    """Tell which of these rows have as many closes as the period."""
    is_full: MaskArray = closes.bars[rows] >= closes.ring.shape[1]
    return is_full


def blank_directional(names: int) -> Directional:
    """Return averages without a bar."""
    return Directional(
        bars=np.zeros(names, np.int64),
        highs=np.zeros(names, np.int64),
        lows=np.zeros(names, np.int64),
        closes=np.zeros(names, np.int64),
        ranges=np.zeros(names),
        ups=np.zeros(names),
        downs=np.zeros(names),
        adx=np.zeros(names),
    )


def fold_directional(state: Directional, minute: Minute, period: int) -> None:
    """Fold a minute into Wilder's averages.

    An average over n moves is their mean for the first n, and average + (move - average) / n from then on, so one
    formula with the weight 1 / min(moves, n) serves both. The ADX is such an average of the DX, which exists from the
    n-th move on.

    Source: J. W. Wilder, "New Concepts in Technical Trading Systems" (1978), the chapters on volatility (true range)
    and on directional movement.
    """
    index = minute.index
    moves = state.bars[index]
    highs, lows, closes = minute.highs, minute.lows, minute.closes
    last_highs, last_lows, last_closes = state.highs[index], state.lows[index], state.closes[index]
    up, down = highs - last_highs, last_lows - lows
    # The first bar of a name has none before it: its weight is 0.
    weight = np.divide(1.0, np.minimum(moves, period), out=np.zeros(moves.size), where=moves > 0)
    true_range = np.maximum(highs, last_closes) - np.minimum(lows, last_closes)
    ranges, ups, downs = state.ranges[index], state.ups[index], state.downs[index]
    ranges = ranges + (true_range - ranges) * weight
    ups = ups + (np.where((up > down) & (up > 0), up, 0) - ups) * weight
    downs = downs + (np.where((down > up) & (down > 0), down, 0) - downs) * weight
    both = ups + downs
    dx = np.divide(100.0 * np.abs(ups - downs), both, out=np.zeros(both.size), where=both > 0)
    indexes = moves - (period - 1)
    weight = np.divide(1.0, np.minimum(indexes, period), out=np.zeros(moves.size), where=indexes > 0)
    adx = state.adx[index]
    state.adx[index] = adx + (dx - adx) * weight
    state.ranges[index], state.ups[index], state.downs[index] = ranges, ups, downs
    state.highs[index], state.lows[index], state.closes[index] = highs, lows, closes
    state.bars[index] = moves + 1


def has_adx(state: Directional, rows: IntArray, period: int) -> MaskArray:
    """Tell which of these rows have an ADX: it needs 2 x period bars."""
    is_known: MaskArray = state.bars[rows] >= 2 * period
    return is_known
