"""When Interactive Brokers' gateway is away by plan: each night, and on Sunday until a person has logged in. Pure.

No order is sent in these times, and that nobody answers then is no failure. A gateway that stayed away is waited for
until a quarter of an hour before the next open: then a person has to act.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

NEW_YORK: Final = ZoneInfo("America/New_York")
_MONDAY: Final = 0
_SATURDAY: Final = 5
_SUNDAY: Final = 6
#: The exchange's regular open, and how long before it the gateway has to be back.
#: Source: NYSE "Holidays & Trading Hours", 2026: the core session begins at 9:30 in New York.
_OPEN: Final = time(9, 30)
_NEEDED_BEFORE: Final = timedelta(minutes=15)
_CLOSE: Final = time(16, 0)
#: When the log-in of a week ends on a Sunday.
_WEEK_ENDS: Final = time(1, 0)
_NS: Final = 1_000_000_000


class PlannedWindow(Struct, frozen=True, kw_only=True):
    """A time in New York in which no order is sent; `weekday` None = every day, 6 = Sunday. It may pass midnight."""

    name: str
    begins: time
    ends: time
    weekday: int | None = None

    def has(self, at: datetime) -> bool:
        """Tell whether a time in New York is within."""
        if self.begins <= self.ends:
            return self._may_begin(at.date()) and self.begins <= at.time() < self.ends
        if at.time() >= self.begins:
            return self._may_begin(at.date())
        return at.time() < self.ends and self._may_begin(at.date() - timedelta(days=1))

    def _may_begin(self, day: date) -> bool:
        return self.weekday is None or day.weekday() == self.weekday


#: Source: Interactive Brokers, "IB Gateway: auto restart and server reset", 2025-11: the servers for North America are
#: reset about 23:45; the gateway restarts itself at a time of its settings, here taken to be 23:40 to 00:10. The
#: log-in of a week ends on Sunday at 01:00; the next one needs a person with the second factor.
WINDOWS: Final = (
    PlannedWindow(name="the gateway's nightly restart", begins=time(23, 40), ends=time(0, 10)),
    PlannedWindow(name="the weekly log-in on Sunday", begins=_WEEK_ENDS, ends=time(23, 40), weekday=_SUNDAY),
)


def window_at(utc_ns: int) -> PlannedWindow | None:
    """Return the planned window that a moment lies in, or None."""
    at = _in_new_york(utc_ns)
    return next((window for window in WINDOWS if window.has(at)), None)


def may_be_away(utc_ns: int) -> bool:
    """Tell whether nobody needs the gateway: a planned window, or no regular session before its next quarter-hour.

    The exchange's holidays are not known here, so a holiday counts as a day on which it is needed.
    """
    if window_at(utc_ns) is not None:
        return True
    at = _in_new_york(utc_ns)
    if at.weekday() in {_SATURDAY, _SUNDAY}:
        return True
    return not _needed_from(at.date()) <= at.replace(tzinfo=None) < datetime.combine(at.date(), _CLOSE)


def waiting_words(utc_ns: int) -> str:
    """Return what a person has to know while the gateway may be away: why, until when, and whether to log it in."""
    at, window = _in_new_york(utc_ns), window_at(utc_ns)
    needed = at.date()
    while needed.weekday() in {_SATURDAY, _SUNDAY} or _needed_from(needed) <= at.replace(tzinfo=None):
        needed += timedelta(days=1)
    parts = [f"This is {window.name}, {window.begins:%H:%M} to {window.ends:%H:%M}"] if window else []
    is_monday_before_it = at.weekday() == _MONDAY and needed == at.date()
    if is_monday_before_it or (at.weekday() == _SUNDAY and at.time() >= _WEEK_ENDS):
        parts.append("the log-in of the week is over: a person logs the gateway in, with the second factor")
    parts.append(f"it is needed from {needed:%A} {_needed_from(needed):%H:%M} on, and waited for until then")
    return f"{'; '.join(parts)} (New York)"


def is_overdue(utc_ns: int) -> bool:
    """Tell whether a gateway that is away now is missing at the open: the last quarter of an hour before it."""
    at = _in_new_york(utc_ns)
    if at.weekday() in {_SATURDAY, _SUNDAY}:
        return False
    return _needed_from(at.date()) <= at.replace(tzinfo=None) < datetime.combine(at.date(), _OPEN)


def _needed_from(day: date) -> datetime:
    return datetime.combine(day, _OPEN) - _NEEDED_BEFORE


def new_york_day(utc_ns: int) -> str:
    """Return the day in New York, such as 2025-07-01: what Interactive Brokers counts as today."""
    return _in_new_york(utc_ns).date().isoformat()


def _in_new_york(utc_ns: int) -> datetime:
    return datetime.fromtimestamp(utc_ns // _NS, UTC).astimezone(NEW_YORK)
