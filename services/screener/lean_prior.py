"""The day before the session, from LEAN's daily bars, in the units of the session's own shares."""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from services.screener.faults import CorruptFileError, MalformedLineError
from services.screener.lean_lines import MICROS_PER_UNIT, check_bar, lines_of, price, volume

#: No two sessions of the exchange have been further apart since 2000 (September 10th to 17th, 2001), so an
#: older close is not yesterday's: the files end before the session, and the prior day is unknown.
DAYS_BETWEEN_SESSIONS_MAX = 7
_DAILY_FIELDS = 6
_FACTOR_FIELDS = 4
_DAY = re.compile(r"^\d{8}( |$)", re.ASCII)
_MINUTES_OF_A_SESSION_MAX = 1_440
#: For each day, newest first, the (close, volume) of each minute of its regular session.
Minutes = Iterable[tuple[str, Iterable[tuple[int, int]]]]


class Prior(NamedTuple):
    """The day before: its close and its volume, 0 = unknown."""

    close_micros: int = 0
    volume_nanos: int = 0


def prior_day(equity: Path, symbol: str, session_date: str, minutes: Minutes) -> Prior:
    """Return the newest day before the session, from the daily bars, else from the newest earlier `minutes`.

    Of `minutes` the last trade counts as the close. A split between the two days is taken out of both values.

    Raises:
        CannotStartError: CorruptFileError or MalformedLineError of the daily or the factor file.
    """
    found = _from_daily(equity / "daily" / f"{symbol.lower()}.zip", session_date)
    if found is None:
        found = _from_minutes(minutes, session_date)
    if found is None:
        return Prior()
    day, prior = found
    return _without_split(prior, day, session_date, equity / "factor_files" / f"{symbol.lower()}.csv")


def _is_yesterday(day: str, session_date: str) -> bool:
    gap = date.fromisoformat(session_date) - date.fromisoformat(day)
    return 0 < gap.days <= DAYS_BETWEEN_SESSIONS_MAX


def _from_daily(path: Path, session_date: str) -> tuple[str, Prior] | None:
    """Return the newest day before the session; None without a file or when that day is too old."""
    if not path.exists():
        return None
    compact = session_date.replace("-", "")
    newest: tuple[str, int, list[str]] | None = None
    for number, fields in lines_of(path, _DAILY_FIELDS):
        if not _DAY.match(fields[0]):
            raise MalformedLineError(path, number, f"'{fields[0]}' is not a day such as 20131007 00:00")
        day = fields[0][:8]
        if day < compact and (newest is None or day > newest[0]):
            newest = (day, number, fields)
    if newest is None:
        return None
    return _daily_bar(path, newest, session_date)


def _daily_bar(path: Path, found: tuple[str, int, list[str]], session_date: str) -> tuple[str, Prior] | None:
    compact, number, fields = found
    day = f"{compact[:4]}-{compact[4:6]}-{compact[6:]}"
    try:
        if not _is_yesterday(day, session_date):
            return None
        opened, high, low, closed = (price(text) for text in fields[1:5])
        check_bar((opened, high, low, closed))
        return day, Prior(closed, volume(fields[5]))
    except ValueError as error:
        raise MalformedLineError(path, number, str(error)) from error


def _from_minutes(minutes: Minutes, session_date: str) -> tuple[str, Prior] | None:
    for day, bars in minutes:
        if not _is_yesterday(day, session_date):
            return None
        kept = list(bars)[:_MINUTES_OF_A_SESSION_MAX]
        if kept:
            return day, Prior(kept[-1][0], sum(volume_nanos for _, volume_nanos in kept))
    return None


def _without_split(prior: Prior, day: str, session_date: str, path: Path) -> Prior:
    """Express yesterday's values in today's shares, where there is a factor file.

    A row's factor holds up to and including its date.
    Source: the factor file format in QuantConnect LEAN's repository, as of commit 24863901.
    """
    if not path.exists():
        return prior
    rows = _factors(path)
    before = _factor_on(rows, day.replace("-", ""))
    after = _factor_on(rows, session_date.replace("-", ""))
    if before == after:
        return prior
    # Whole price units: the factors in the file have few digits, so finer ones would be false.
    units = int((prior.close_micros * before / after / MICROS_PER_UNIT).to_integral_value())
    shares_nanos = int((prior.volume_nanos * after / before).to_integral_value())
    return Prior(units * MICROS_PER_UNIT, shares_nanos)


def _factor_on(rows: list[tuple[str, Decimal]], day: str) -> Decimal:
    return next((factor for until, factor in rows if day <= until), Decimal(1))


def _factors(path: Path) -> list[tuple[str, Decimal]]:
    """Return (last day, split factor) of each row, in the order of time."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise CorruptFileError(path, error.strerror or str(error)) from error
    rows = []
    for number, line in enumerate(lines, 1):
        fields = line.strip().split(",")
        if fields == [""]:
            continue
        try:
            day, factor = fields[0], Decimal(fields[2])
        except (InvalidOperation, IndexError) as error:
            raise MalformedLineError(path, number, "it is not a date and three factors") from error
        if len(fields) != _FACTOR_FIELDS or not _DAY.match(day) or not factor.is_finite() or factor <= 0:
            raise MalformedLineError(path, number, "it is not a date and three positive factors")
        rows.append((day, factor))
    return sorted(rows)
