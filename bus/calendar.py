"""Trading days, half-days and daylight saving -> one SessionPlanned per day.

The exchange's calendar (XNYS of exchange_calendars) brings pandas, 100 MB and a second of import, so it is read by a
short-lived process: `python -m bus.calendar 2015-12-24` prints one day as JSON.
"""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from bus.assembly import CannotStartError
from bus.clock import NS_PER_MINUTE, NS_PER_SECOND
from bus.messages import SessionPlanned
from config.env_bot import WEEKDAYS, EnvBot

NEW_YORK = ZoneInfo("America/New_York")
_WINTER_OFFSET = timedelta(hours=5)
_CALENDAR_TIMEOUT_S = 60


class ExchangeDay(msgspec.Struct, frozen=True, kw_only=True):
    """One day of the exchange; times are UTC nanoseconds, 0 on a day without trading."""

    day: str
    is_session: bool
    open_ns: int
    close_ns: int
    is_half_day: bool


def read_exchange_day(day: str) -> ExchangeDay:
    """Ask the exchange's calendar in a process of its own.

    Raises:
        CannotStartError: the day is malformed or outside the calendar.
    """
    try:
        result = subprocess.run(  # noqa: S603 - our own interpreter and module, the day is one argument
            [sys.executable, "-m", "bus.calendar", day],
            capture_output=True,
            timeout=_CALENDAR_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotStartError(
            f"The exchange's calendar did not answer in {_CALENDAR_TIMEOUT_S} s; try again"
        ) from error
    if result.returncode != 0:
        said = result.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {result.returncode}"]
        raise CannotStartError(f"The exchange's calendar cannot be read: {said[-1]}")
    return msgspec.json.decode(result.stdout, type=ExchangeDay)


def plan_session(day: ExchangeDay, env: EnvBot, ts_init: int) -> SessionPlanned:
    """Resolve the operator's settings to instants of one day.

    START_TIME_* are UTC as in winter; with START_TIME_DST=exchange they move with New York's daylight saving, with
    fixed they are literal. TRADING_DAYS excludes weekdays. FLATTEN_BEFORE_CLOSE follows the real close.
    """
    on = date.fromisoformat(day.day)
    is_allowed = WEEKDAYS[on.weekday()] in env.words("TRADING_DAYS")
    return SessionPlanned(
        ts_event=day.open_ns,
        ts_init=ts_init,
        session_date=day.day,
        open_ns=day.open_ns,
        close_ns=day.close_ns,
        is_half_day=day.is_half_day,
        is_trading_day=day.is_session and is_allowed,
        start_open_ns=_start_ns(on, env, "START_TIME_OPEN"),
        start_mid_ns=_start_ns(on, env, "START_TIME_MID"),
        start_close_ns=_start_ns(on, env, "START_TIME_CLOSE"),
        flatten_ns=max(day.open_ns, day.close_ns - env.whole("FLATTEN_BEFORE_CLOSE") * NS_PER_MINUTE),
    )


def _start_ns(on: date, env: EnvBot, key: str) -> int:
    hours, minutes = (int(part) for part in env.word(key).split(":"))
    literal = datetime(on.year, on.month, on.day, hours, minutes, tzinfo=UTC)
    if env.word("START_TIME_DST") == "fixed":
        return int(literal.timestamp()) * NS_PER_SECOND
    # Under START_TIME_DST=exchange the setting names a winter time in New York, kept on the wall clock there.
    local = (literal - _WINTER_OFFSET).replace(tzinfo=NEW_YORK)
    return int(local.timestamp()) * NS_PER_SECOND


def _ask_calendar(day: str) -> ExchangeDay:
    import exchange_calendars

    on = date.fromisoformat(day)
    first = on - timedelta(days=7)
    calendar = exchange_calendars.get_calendar(
        "XNYS", start=first.isoformat(), end=(on + timedelta(days=7)).isoformat()
    )
    if not calendar.is_session(on.isoformat()):
        return ExchangeDay(day=day, is_session=False, open_ns=0, close_ns=0, is_half_day=False)
    open_ns = calendar.session_open(on.isoformat()).value
    close_ns = calendar.session_close(on.isoformat()).value
    regular = timedelta(hours=6, minutes=30).total_seconds() * NS_PER_SECOND
    return ExchangeDay(
        day=day, is_session=True, open_ns=open_ns, close_ns=close_ns, is_half_day=close_ns - open_ns < regular
    )


def main(arguments: list[str]) -> int:
    """Print the exchange day named by the one argument as JSON."""
    try:
        answer = _ask_calendar(arguments[0])
    except (IndexError, ValueError) as error:
        sys.stderr.write(f"Not a day of the exchange's calendar: {' '.join(arguments)!r} ({error}). Give YYYY-MM-DD.\n")
        return 2
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
