"""Trading days, half-days and daylight saving -> one SessionPlanned per day.

The exchange's calendar (XNYS of exchange_calendars) brings pandas, 100 MB and a second of import, so it is read by a
short-lived process: `python -m bus.calendar 2015-12-24` prints one day as JSON, and with a second day a list of all
the sessions from the one to the other.
"""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from bus.assembly import CannotStartError
from bus.clock import NS_PER_MINUTE, NS_PER_SECOND
from bus.lifecycle import SessionWindows, Window
from bus.messages import SessionPlanned
from config.env_bot import WEEKDAYS, EnvBot

NEW_YORK = ZoneInfo("America/New_York")
_WINTER_OFFSET = timedelta(hours=5)
_CALENDAR_TIMEOUT_S = 60
#: The years for which the calendar's rules are taken at their word; times are counted from 1970.
_YEARS = (1971, 2199)


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
    return msgspec.json.decode(_asked(day), type=ExchangeDay)


def read_exchange_sessions(first: str, last: str) -> tuple[ExchangeDay, ...]:
    """Ask for every session from `first` to `last`, both included, in a process of its own.

    Raises:
        CannotStartError: a day is malformed or outside the calendar.
    """
    return msgspec.json.decode(_asked(first, last), type=tuple[ExchangeDay, ...])


def _asked(*days: str) -> bytes:
    try:
        result = subprocess.run(  # noqa: S603 - our own interpreter and module, each day is one argument
            [sys.executable, "-m", "bus.calendar", *days],
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
    return result.stdout


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


def session_windows(plan: SessionPlanned, env: EnvBot) -> SessionWindows:
    """Return when the enabled strategies analyse and may enter on a planned day.

    The flatten cuts every window. A strategy whose analysis does not begin in the exchange's hours or does not end
    before the flatten (a half-day, START_TIME_DST=fixed in winter) is silent that day and has no window.
    """
    fitting = [
        (Window(start_ns, analysis_end_ns), Window(analysis_end_ns, min(entry_end_ns, plan.flatten_ns)))
        for start_ns, analysis_end_ns, entry_end_ns in _strategy_times(plan, env)
        if plan.is_trading_day and plan.open_ns <= start_ns and analysis_end_ns < plan.flatten_ns
    ]
    return SessionWindows(
        is_trading_day=plan.is_trading_day,
        open_ns=plan.open_ns,
        flatten_ns=plan.flatten_ns,
        close_ns=plan.close_ns,
        analyses=tuple(analysis for analysis, _ in fitting),
        entries=tuple(entry for _, entry in fitting),
    )


def _strategy_times(plan: SessionPlanned, env: EnvBot) -> list[tuple[int, int, int]]:
    """Return start, end of analysis and end of entries of each strategy that may run."""
    override = env.word("STRATEGY_OVERRIDE")
    return [
        (
            start_ns,
            start_ns + env.whole(analysis_key) * NS_PER_MINUTE,
            start_ns + (env.whole(analysis_key) + env.whole(entry_key)) * NS_PER_MINUTE,
        )
        for name, start_ns, analysis_key, entry_key in (
            ("open", plan.start_open_ns, "OPEN_ANALYSIS_TIME", "OPEN_BREAKOUT_TIME"),
            ("mid", plan.start_mid_ns, "MID_ANALYSIS_TIME", "MID_SIGNAL_TIME"),
            ("close", plan.start_close_ns, "CLOSE_ANALYSIS_TIME", "CLOSE_SIGNAL_TIME"),
        )
        # STRATEGY_OVERRIDE: only the one it names runs.
        if env.flag(f"STRAT_{name.upper()}_ENABLED") and override in {"", name}
    ]


def _start_ns(on: date, env: EnvBot, key: str) -> int:
    hours, minutes = (int(part) for part in env.word(key).split(":"))
    literal = datetime(on.year, on.month, on.day, hours, minutes, tzinfo=UTC)
    if env.word("START_TIME_DST") == "fixed":
        return int(literal.timestamp()) * NS_PER_SECOND
    # Under START_TIME_DST=exchange the setting names a winter time in New York, kept on the wall clock there.
    local = (literal - _WINTER_OFFSET).replace(tzinfo=NEW_YORK)
    return int(local.timestamp()) * NS_PER_SECOND


def _ask_calendar(day: str) -> ExchangeDay:
    on = _checked(day)
    return exchange_day(_calendar(on, on), day)


def _ask_sessions(first: str, last: str) -> list[ExchangeDay]:
    begin, end = _checked(first), _checked(last)
    if end < begin:
        raise ValueError("the second day is before the first")
    calendar = _calendar(begin, end)
    return [exchange_day(calendar, day.date().isoformat()) for day in calendar.sessions_in_range(first, last)]


def _checked(day: str) -> date:
    on = date.fromisoformat(day)
    if not _YEARS[0] <= on.year <= _YEARS[1]:
        raise ValueError(f"the calendar reaches from {_YEARS[0]} to {_YEARS[1]}")
    return on


def _calendar(first: date, last: date) -> Any:
    import exchange_calendars

    week = timedelta(days=7)
    return exchange_calendars.get_calendar("XNYS", start=(first - week).isoformat(), end=(last + week).isoformat())


def exchange_day(calendar: Any, day: str) -> ExchangeDay:
    """Return one day of an opened calendar of exchange_calendars, which must reach over that day."""
    if not calendar.is_session(day):
        return ExchangeDay(day=day, is_session=False, open_ns=0, close_ns=0, is_half_day=False)
    open_ns = calendar.session_open(day).value
    close_ns = calendar.session_close(day).value
    regular = timedelta(hours=6, minutes=30).total_seconds() * NS_PER_SECOND
    return ExchangeDay(
        day=day, is_session=True, open_ns=open_ns, close_ns=close_ns, is_half_day=close_ns - open_ns < regular
    )


def main(arguments: list[str]) -> int:
    """Print the exchange day named by one argument, or the sessions between two, as JSON."""
    answer: ExchangeDay | list[ExchangeDay]
    try:
        answer = _ask_sessions(arguments[0], arguments[1]) if len(arguments) > 1 else _ask_calendar(arguments[0])
    except (IndexError, ValueError) as error:
        sys.stderr.write(f"Not a day of the exchange's calendar: {' '.join(arguments)!r} ({error}). Give YYYY-MM-DD.\n")
        return 2
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
