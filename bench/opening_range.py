"""The opening-range rules over whole days, twice: the strategy's own functions, and a bare numpy loop in place.

Bars are int64 micro-dollars of shape (days, minutes, names). Range of bars 0 to 14; a close beyond the range by more
than 0.1 % signals, once for each name, day and side.
"""

from typing import Final, NamedTuple

import numpy as np

from services.strategy.arrays import PPM, IntArray, MaskArray
from services.strategy.open import (
    NEVER_ABOVE,
    SidesDone,
    blank_range,
    breakouts,
    complete_rows,
    fold_minute,
    know_ranges,
    mark_done,
)

RANGE_MINUTES: Final = 15
SESSION_MINUTES: Final = 390
_BUFFER_PPM: Final = 1_000
_EARLY_MINUTES: Final = 5
_BARS_PERCENT: Final = 80
_CENT: Final = 10_000
_STEP_VOL: Final = 0.0006

#: (minute, row, +1 up or -1 down) of each signal of a day.
Signals = list[tuple[int, int, int]]


class Bars(NamedTuple):
    """One-minute bars of every name in every minute, int64 micro-dollars, (days, minutes, names)."""

    high: IntArray
    low: IntArray
    close: IntArray


def make_bars(days: int, names: int, seed: int = 7) -> Bars:
    """Return random walks in whole cents."""
    random = np.random.default_rng(seed)
    shape = (days, SESSION_MINUTES, names)
    path = np.cumsum(random.normal(0, _STEP_VOL, shape), axis=1) + np.log(random.uniform(20, 300, names))
    close = np.round(np.exp(path) * 100).astype(np.int64) * _CENT
    reach = np.round(close * np.abs(random.normal(0, _STEP_VOL / 2, shape)) / _CENT).astype(np.int64) * _CENT
    return Bars(high=close + reach, low=np.maximum(close - reach, _CENT), close=close)


def evaluate_service(bars: Bars) -> list[Signals]:
    """Evaluate every day with the functions that the strategy service calls, minute by minute."""
    return [_service_day(high, low, close) for high, low, close in zip(*bars, strict=True)]


def evaluate_bare(bars: Bars) -> list[Signals]:
    """Evaluate every day with numpy alone: the same rules, no checks, arrays written in place."""
    return [_bare_day(high, low, close) for high, low, close in zip(*bars, strict=True)]


def _service_day(high: IntArray, low: IntArray, close: IntArray) -> Signals:
    names = close.shape[1]
    whole = slice(0, names)
    opening = blank_range(names)
    for minute in range(RANGE_MINUTES):
        opening = fold_minute(opening, whole, highs=high[minute], lows=low[minute], is_early=minute < _EARLY_MINUTES)
    known = complete_rows(opening, RANGE_MINUTES, _BARS_PERCENT)
    opening = know_ranges(
        opening,
        known,
        highs=opening.highs_micros[known],
        lows=opening.lows_micros[known],
        buffer_ppm=_BUFFER_PPM,
    )
    signals: Signals = []
    for minute in range(RANGE_MINUTES, len(close)):
        up, down = breakouts(opening, whole, close[minute])
        if not (up.any() or down.any()):
            continue
        sides: tuple[tuple[MaskArray, SidesDone, int], ...] = ((up, "long", 1), (down, "short", -1))
        for found, side, sign in sides:
            for row in np.flatnonzero(found).tolist():
                opening = mark_done(opening, row, side)
                signals.append((minute, row, sign))
    return signals


def _bare_day(high: IntArray, low: IntArray, close: IntArray) -> Signals:
    names = close.shape[1]
    highs, lows = np.zeros(names, np.int64), np.full(names, NEVER_ABOVE, np.int64)
    for minute in range(RANGE_MINUTES):
        np.maximum(highs, high[minute], out=highs)
        np.minimum(lows, low[minute], out=lows)
    above = highs + highs * _BUFFER_PPM // PPM
    below = lows - lows * _BUFFER_PPM // PPM
    up, down = np.zeros(names, np.bool_), np.zeros(names, np.bool_)
    signals: Signals = []
    for minute in range(RANGE_MINUTES, len(close)):
        np.greater(close[minute], above, out=up)
        np.less(close[minute], below, out=down)
        if np.count_nonzero(up) or np.count_nonzero(down):
            signals += [(minute, row, 1) for row in np.flatnonzero(up).tolist()]
            signals += [(minute, row, -1) for row in np.flatnonzero(down).tolist()]
            # A name that signalled cannot do so again: no close is beyond these.
            above[up] = NEVER_ABOVE
            below[down] = 0
    return signals
