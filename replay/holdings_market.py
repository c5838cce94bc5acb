"""Daily prices of funds for a simulation of the holdings: recorded bars with their splits and dividends, or made ones.

Prices are as they were traded. A split multiplies the shares on the day it takes effect; a dividend is paid in cash on
the day its price is reduced. Both come from the factor file, whose rows hold up to and including their date.
Source: the daily and factor file formats in QuantConnect LEAN's repository, as of commit 24863901.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

from bus.messages import CENT_MICROS
from replay.faults import ReplayError
from services.screener.lean_lines import lines_of, price

_DAILY_FIELDS = 6
_WEEKDAYS = 5
_SPLIT_MAX = 1_000
#: A made market's drift and spread of one day, in parts of one.
_DRIFT, _SPREAD = 0.0003, 0.011


@dataclass(frozen=True)
class FundDay:
    """One fund on one day: its close, new shares for each old one, and an old share's dividend; micro-dollars."""

    close_micros: int
    split: Fraction = Fraction(1)
    dividend_micros: Fraction = Fraction(0)


@dataclass(frozen=True)
class Market:
    """Every day on which all funds have a price, oldest first; `source` says where it is from."""

    source: str
    days: Sequence[date]
    funds: Mapping[str, Sequence[FundDay]] = field(repr=False)


def recorded_market(root: Path, symbols: Sequence[str], years: int) -> Market:
    """Read the newest years of daily bars below a folder of LEAN data.

    Raises:
        ReplayError: a symbol has no bars, or they have no days in common.
        CannotStartError: a file cannot be read.
    """
    equity = root / "equity" / "usa"
    closes = {symbol: _closes(equity / "daily" / f"{symbol.lower()}.zip", symbol) for symbol in symbols}
    common = sorted(set.intersection(*(set(found) for found in closes.values())))
    if not common:
        raise ReplayError(f"{', '.join(symbols)} have no day in common below {equity}: choose other --symbols.")
    last = common[-1]
    first = date(last.year - years, last.month, min(last.day, 28))
    days = [day for day in common if day >= first]
    funds = {
        symbol: _with_factors(days, closes[symbol], equity / "factor_files" / f"{symbol.lower()}.csv")
        for symbol in symbols
    }
    return Market(f"daily bars below {root.name}, {days[0]} to {days[-1]}", days, funds)


def made_market(symbols: Sequence[str], years: int, seed: int) -> Market:
    """Make weekdays of random prices: the same seed makes the same market."""
    draw = random.Random(seed)
    start = date(2015, 1, 2)
    days = [day for day in (start + timedelta(n) for n in range(years * 365)) if day.weekday() < _WEEKDAYS]
    funds: dict[str, list[FundDay]] = {}
    for symbol in symbols:
        close = draw.uniform(60, 200)
        rows = []
        for place, _ in enumerate(days):
            close *= math.exp(draw.gauss(_DRIFT, _SPREAD))
            # A dividend each quarter; a fund that has become dear is split.
            dividend = Fraction(round(close * 0.005 * 100)) * CENT_MICROS if place and place % 63 == 0 else Fraction(0)
            split = Fraction(2) if close > 100 else Fraction(1)
            close /= float(split)
            rows.append(FundDay(round(close * 100) * CENT_MICROS, split, dividend))
        funds[symbol] = rows
    return Market(f"made prices, seed {seed}", days, funds)


def _closes(path: Path, symbol: str) -> dict[date, int]:
    if not path.exists():
        raise ReplayError(f"{symbol} has no daily bars: {path} does not exist. Choose other --symbols.")
    found = {}
    for _, fields in lines_of(path, _DAILY_FIELDS):
        day = fields[0][:8]
        found[date(int(day[:4]), int(day[4:6]), int(day[6:]))] = price(fields[4])
    return found


def _with_factors(days: Sequence[date], closes: Mapping[date, int], path: Path) -> list[FundDay]:
    rows = _factors(path)
    found = []
    before: tuple[Fraction, Fraction] | None = None
    for place, day in enumerate(days):
        now = next(((p, s) for until, p, s in rows if day <= until), (Fraction(1), Fraction(1)))
        was, before = before or now, now
        # The factors have few digits: a split is a ratio of small numbers.
        split = (now[1] / was[1]).limit_denominator(_SPLIT_MAX)
        dividend = Fraction(0)
        if now[0] != was[0]:
            # The reduction of the price factor is the dividend in parts of the close before it.
            dividend = closes[days[place - 1]] * (1 - was[0] / now[0])
        found.append(FundDay(closes[day], split, dividend))
    return found


def _factors(path: Path) -> list[tuple[date, Fraction, Fraction]]:
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        fields = line.strip().split(",")
        if fields == [""]:
            continue
        try:
            day = date(int(fields[0][:4]), int(fields[0][4:6]), int(fields[0][6:8]))
            rows.append((day, Fraction(Decimal(fields[1])), Fraction(Decimal(fields[2]))))
        except (InvalidOperation, IndexError, ValueError) as error:
            raise ReplayError(
                f"{path}, line {number}: it is not a date and three factors. Restore the file."
            ) from error
    return sorted(rows)
