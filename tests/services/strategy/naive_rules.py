"""The three rules once more, one name and one minute at a time, without numpy: the oracle of the tests.

It shares no code with services/strategy. Prices are dollars as exact fractions; a day is a dict from the minute since
the open to (open, high, low, close, shares). What a name does is a list of `Said`.
"""

import csv
import io
import math
import zipfile
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

Bar = tuple[Fraction, Fraction, Fraction, Fraction, int]
Bars = Mapping[int, Bar]


class Said(NamedTuple):
    """One thing said of a name: in which minute, by which rule, on which side, and the rule's numbers."""

    minute: int
    strategy: str
    what: str
    side: str
    numbers: tuple[float, ...]


class Rules(NamedTuple):
    """The settings of the rules, in the units of the configuration page; windows are minutes since the open."""

    buffer: Fraction = Fraction("0.10")
    open_window: tuple[int, int, int] = (0, 15, 135)
    threshold: Fraction = Fraction("0.8")
    period: int = 20
    width: float = 2.0
    adx_period: int = 14
    adx_max: float = 40.0
    stop_atr: float = 8.0
    mid_window: tuple[int, int, int] = (90, 210, 330)
    proximity: Fraction = Fraction("0.3")
    close_window: tuple[int, int, int] = (300, 330, 360)


def read_bars(zipped: Path) -> dict[int, Bar]:
    """Read a LEAN file of trades: milliseconds since midnight in New York, prices in ten-thousandths of a dollar."""
    bars: dict[int, Bar] = {}
    with zipfile.ZipFile(zipped) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    for row in csv.reader(io.StringIO(text)):
        minute = int(row[0]) // 60_000 - (9 * 60 + 30)
        if 0 <= minute < 390:
            o, h, low, c = (Fraction(int(price), 10_000) for price in row[1:5])
            bars[minute] = (o, h, low, c, int(row[5]))
    return bars


def opening_range(bars: Bars, rules: Rules) -> list[Said]:
    """Say the first close of a side beyond the range of the first minutes."""
    start, end, last = rules.open_window
    window = {minute: bar for minute, bar in bars.items() if start <= minute < end}
    if len(window) < 0.8 * (end - start) or not any(minute < start + 5 for minute in window):
        return []
    high, low = max(bar[1] for bar in window.values()), min(bar[2] for bar in window.values())
    said: dict[str, Said] = {}
    for minute in range(end, last):
        close = bars[minute][3] if minute in bars else None
        if close is not None and close > high * (1 + rules.buffer / 100):
            said.setdefault("BULLISH", Said(minute, "open", "signal", "BULLISH", (float(close), float(high))))
        if close is not None and close < low * (1 - rules.buffer / 100):
            said.setdefault("BEARISH", Said(minute, "open", "signal", "BEARISH", (float(close), float(low))))
    return list(said.values())


def vwaps(bars: Bars) -> dict[int, Fraction]:
    """Return the volume-weighted average of the typical prices up to and with each minute, exactly."""
    found: dict[int, Fraction] = {}
    value, volume = Fraction(0), 0
    for minute in sorted(bars):
        _, high, low, close, shares = bars[minute]
        value, volume = value + (high + low + close) / 3 * shares, volume + shares
        found[minute] = value / volume if volume else Fraction(0)
    return found


def bands(bars: Bars, minute: int, rules: Rules) -> tuple[float, float] | None:
    """Return the lower and the upper Bollinger band of the last closes; None while there are too few."""
    closes = [bars[at][3] for at in sorted(bars) if at <= minute][-rules.period :]
    if len(closes) < rules.period:
        return None
    mean = sum(closes) / len(closes)
    deviation = math.sqrt(sum((close - mean) ** 2 for close in closes) / len(closes))
    return float(mean) - rules.width * deviation, float(mean) + rules.width * deviation


def wilder(bars: Bars, minute: int, period: int) -> tuple[float | None, float | None]:
    """Return (ADX, average true range) as Wilder's worksheets have them: sums of the first n, then s - s / n + new."""
    seen = [bars[at] for at in sorted(bars) if at <= minute]
    ranges, ups, downs = [], [], []
    for before, now in pairwise(seen):
        ranges.append(float(max(now[1] - now[2], abs(now[1] - before[3]), abs(now[2] - before[3]))))
        up, down = float(now[1] - before[1]), float(before[2] - now[2])
        ups.append(up if up > down and up > 0 else 0.0)
        downs.append(down if down > up and down > 0 else 0.0)
    if len(ranges) < period:
        return None, None
    sums = [sum(ranges[:period]), sum(ups[:period]), sum(downs[:period])]
    indexes = [_dx(sums)]
    for news in zip(ranges[period:], ups[period:], downs[period:], strict=True):
        sums = [total - total / period + new for total, new in zip(sums, news, strict=True)]
        indexes.append(_dx(sums))
    atr = sums[0] / period
    if len(indexes) < period:
        return None, atr
    adx = fmean(indexes[:period])
    for index in indexes[period:]:
        adx = (adx * (period - 1) + index) / period
    return adx, atr


def _dx(sums: list[float]) -> float:
    true_range, up, down = sums
    if true_range == 0:
        return 0.0
    plus, minus = 100 * up / true_range, 100 * down / true_range
    return 100 * abs(plus - minus) / (plus + minus) if plus + minus else 0.0


def reversion(bars: Bars, rules: Rules) -> list[Said]:
    """Say when a name is far from its VWAP beyond its band, when the trend forbids it, and when it is back."""
    start, last, over = rules.mid_window
    said: list[Said] = []
    averages = vwaps(bars)
    waits: set[str] = set()
    done: set[str] = set()
    told: set[str] = set()
    for minute in sorted(bars):
        # The minute that ends when the positions are sold says nothing more.
        if not start <= minute < over - 1:
            continue
        close, average = bars[minute][3], averages[minute]
        for side in sorted(waits):
            if (side == "BULLISH" and close >= average) or (side == "BEARISH" and close <= average):
                said.append(Said(minute, "mid", "exit", side, (float(close), float(average))))
                waits.discard(side)
        side = "BULLISH" if close < average else "BEARISH"
        is_far = abs(close - average) / average * 100 >= rules.threshold
        if minute >= last or not is_far or side in done:
            continue
        band, (adx, atr) = bands(bars, minute, rules), wilder(bars, minute, rules.adx_period)
        if band is None or adx is None or atr is None:
            continue
        if band[0] >= band[1] or (close > band[0] if side == "BULLISH" else close < band[1]):
            continue
        numbers = (float(close), float(average), band[0 if side == "BULLISH" else 1], adx, atr)
        if adx < rules.adx_max:
            said.append(Said(minute, "mid", "signal", side, numbers))
            done.add(side)
            waits.add(side)
        elif side not in told:
            said.append(Said(minute, "mid", "strong_trend", side, numbers))
            told.add(side)
    return said


def late_day(bars: Bars, rules: Rules) -> list[Said]:
    """Say the first minute late in the day near the high, and the first below the middle and the window's open."""
    start, end, last = rules.close_window
    window = [minute for minute in sorted(bars) if start <= minute < end]
    if len(window) < 0.8 * (end - start):
        return []
    opened = bars[window[0]][0]
    said: dict[str, Said] = {}
    for minute in range(end, last):
        if minute not in bars:
            continue
        seen = [bar for at, bar in bars.items() if at <= minute]
        high, low, close = max(bar[1] for bar in seen), min(bar[2] for bar in seen), bars[minute][3]
        middle = (high + low) / 2
        numbers = (float(close), float(high), float(low), float(opened))
        if close >= high * (1 - rules.proximity / 100) and close > middle:
            said.setdefault("BULLISH", Said(minute, "close", "signal", "BULLISH", numbers))
        if close < middle and close < opened:
            said.setdefault("BEARISH", Said(minute, "close", "signal", "BEARISH", numbers))
    return list(said.values())


def everything(bars: Bars, rules: Rules) -> list[Said]:
    """Say what all three rules say of a name's day."""
    return [*opening_range(bars, rules), *reversion(bars, rules), *late_day(bars, rules)]
