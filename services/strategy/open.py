"""The opening range of every name at once: numpy arrays, one call for each minute.

Arrays are parallel: row i is the i-th name of the watch list. Prices are int64 micro-dollars. The functions
return a new `OpeningRange` and never change the one they were given; live, replay and bench call the same
ones.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
MaskArray = NDArray[np.bool_]
SidesDone = Literal["long", "short", "both"]

PPM = 1_000_000
NEVER_ABOVE = int(np.iinfo(np.int64).max)
#: A range is complete only with bars in this share of the window's minutes, and with one in its first
#: minutes. A thin name's range is too narrow, and one that was halted at the open has a range of something
#: else: neither may signal.
COMPLETE_MINUTES_PERCENT = 80
EARLY_MINUTES = 5


class OpeningRange(Struct, frozen=True, kw_only=True, eq=False):
    """Ranges and what was already signalled; every array has shape (names,).

    Until `is_known`, highs and lows are what was heard so far. Afterwards they hold complete names only
    (others 0), and a name breaks out when it closes above `bullish_above_micros` or below
    `bearish_below_micros`.
    """

    highs_micros: IntArray
    lows_micros: IntArray
    minutes_seen: IntArray
    is_seen_early: MaskArray
    bullish_above_micros: IntArray
    bearish_below_micros: IntArray
    is_long_done: MaskArray
    is_short_done: MaskArray
    is_known: bool


def blank_range(names: int) -> OpeningRange:
    """Return the state before the first bar; no name can break out of it."""
    return OpeningRange(
        highs_micros=np.zeros(names, np.int64),
        lows_micros=np.full(names, NEVER_ABOVE, np.int64),
        minutes_seen=np.zeros(names, np.int64),
        is_seen_early=np.zeros(names, np.bool_),
        bullish_above_micros=np.full(names, NEVER_ABOVE, np.int64),
        bearish_below_micros=np.zeros(names, np.int64),
        is_long_done=np.zeros(names, np.bool_),
        is_short_done=np.zeros(names, np.bool_),
        is_known=False,
    )


def fold_minute(
    opening: OpeningRange, rows: IntArray, *, highs: IntArray, lows: IntArray, is_early: bool
) -> OpeningRange:
    """Fold one minute of the analysis window. `rows` (each once), `highs` and `lows` are parallel.

    A bar without a price, or with its low above its high, is broken data: it counts as no bar.
    """
    is_sound = (lows > 0) & (highs >= lows)
    if not is_sound.all():
        rows, highs, lows = rows[is_sound], highs[is_sound], lows[is_sound]
    new_highs = opening.highs_micros.copy()
    new_highs[rows] = np.maximum(new_highs[rows], highs)
    new_lows = opening.lows_micros.copy()
    new_lows[rows] = np.minimum(new_lows[rows], lows)
    minutes_seen = opening.minutes_seen.copy()
    minutes_seen[rows] += 1
    is_seen_early = opening.is_seen_early
    if is_early:
        is_seen_early = is_seen_early.copy()
        is_seen_early[rows] = True
    return replace(
        opening,
        highs_micros=new_highs,
        lows_micros=new_lows,
        minutes_seen=minutes_seen,
        is_seen_early=is_seen_early,
    )


def complete_rows(opening: OpeningRange, minutes: int) -> IntArray:
    """Return the rows whose range is complete after a window of so many minutes, ascending."""
    is_dense = opening.minutes_seen * 100 >= COMPLETE_MINUTES_PERCENT * minutes
    rows: IntArray = np.flatnonzero(is_dense & opening.is_seen_early).astype(np.int64)
    return rows


def know_ranges(
    opening: OpeningRange, rows: IntArray, *, highs: IntArray, lows: IntArray, buffer_ppm: int
) -> OpeningRange:
    """Fix the ranges of these rows and the prices beyond which they break out; every other row never will.

    close x PPM > high x (PPM + buffer) is, for integers, close > high + floor(high x buffer / PPM), and
    likewise below. Splitting the price at PPM keeps each product inside 64 bits for every price a message
    can carry.
    """
    names = opening.highs_micros.size
    known_highs = np.zeros(names, np.int64)
    known_lows = np.zeros(names, np.int64)
    above = np.full(names, NEVER_ABOVE, np.int64)
    below = np.zeros(names, np.int64)
    known_highs[rows] = highs
    known_lows[rows] = lows
    above[rows] = highs + _buffer_of(highs, buffer_ppm)
    below[rows] = lows - _buffer_of(lows, buffer_ppm)
    return replace(
        opening,
        highs_micros=known_highs,
        lows_micros=known_lows,
        bullish_above_micros=above,
        bearish_below_micros=below,
        is_known=True,
    )


def _buffer_of(prices: IntArray, buffer_ppm: int) -> IntArray:
    whole, rest = np.divmod(prices, PPM)
    share: IntArray = whole * buffer_ppm + rest * buffer_ppm // PPM
    return share


def breakouts(opening: OpeningRange, rows: IntArray, closes: IntArray) -> tuple[IntArray, IntArray]:
    """Return the rows that break out upwards and downwards with these closes and have not yet on that side.

    `rows` and `closes` are parallel, in any order; the answers are in the order of `rows`.
    """
    is_up = (closes > opening.bullish_above_micros[rows]) & ~opening.is_long_done[rows]
    # A close of 0 is no trade, and would be below every range.
    is_down = (closes < opening.bearish_below_micros[rows]) & (closes > 0) & ~opening.is_short_done[rows]
    return rows[is_up], rows[is_down]


def mark_done(opening: OpeningRange, row: int, sides: SidesDone) -> OpeningRange:
    """Note that this row raised or suppressed its one signal of the session on these sides."""
    is_long_done, is_short_done = opening.is_long_done, opening.is_short_done
    if sides != "short":
        is_long_done = is_long_done.copy()
        is_long_done[row] = True
    if sides != "long":
        is_short_done = is_short_done.copy()
        is_short_done[row] = True
    return replace(opening, is_long_done=is_long_done, is_short_done=is_short_done)


def as_array(values: Sequence[int]) -> IntArray:
    """Return integers as the int64 array that the functions here take."""
    return np.array(values, dtype=np.int64)


def self_check() -> tuple[str, ...]:
    """Run a five-minute range of three names with a known answer; return a sentence for each wrong part.

    Name 0 closes one micro-dollar beyond the buffered high, name 1 exactly on its buffered low (no
    breakout), and name 2 was silent in too many minutes to signal at all.
    """
    opening = blank_range(3)
    for minute in range(5):
        rows = as_array([0, 1, 2] if minute < 3 else [0, 1])
        highs = as_array([10_000_000 + minute, 20_000_000, 30_000_000])[: rows.size]
        lows = as_array([9_000_000, 19_000_000 - minute, 29_000_000])[: rows.size]
        opening = fold_minute(opening, rows, highs=highs, lows=lows, is_early=minute < EARLY_MINUTES)
    complete = complete_rows(opening, 5)
    highs, lows = opening.highs_micros[complete], opening.lows_micros[complete]
    known = know_ranges(opening, complete, highs=highs, lows=lows, buffer_ppm=1_000)
    up, down = breakouts(known, as_array([0, 1, 2]), as_array([10_010_005, 18_980_997, 40_000_000]))
    answers: tuple[tuple[str, list[int], list[int]], ...] = (
        ("completes the wrong names", complete.tolist(), [0, 1]),
        ("finds wrong highs", highs.tolist(), [10_000_004, 20_000_000]),
        ("finds wrong lows", lows.tolist(), [9_000_000, 18_999_996]),
        ("finds wrong breakouts upwards", up.tolist(), [0]),
        ("finds wrong breakouts downwards", down.tolist(), []),
    )
    return tuple(
        f"The opening range {what}: {found} instead of {expected}. This build or numpy is broken: reinstall"
        for what, found, expected in answers
        if found != expected
    )
