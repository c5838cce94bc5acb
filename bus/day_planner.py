"""Which session is planned now: the day of a replay, or with live data one session after the other, for ever."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from bus.calendar import NEW_YORK, ExchangeDay, plan_session
from bus.clock import NS_PER_MINUTE, NS_PER_SECOND
from bus.messages import SessionPlanned
from config.env_bot import WEEKDAYS, EnvBot
from config.live_source import is_live, is_simulated

#: A session is over so long after its close: what is done at the close is done under its plan.
AFTER_CLOSE_NS: Final = 30 * NS_PER_MINUTE
#: How many days of the calendar are read at once; more are read when they have passed.
AHEAD_DAYS: Final = 400

ReadDay = Callable[[str], ExchangeDay]
ReadSessions = Callable[[str, str], tuple[ExchangeDay, ...]]


class DayPlanner:
    """Plans sessions. With live data from a real exchange the next one is planned when one is over.

    Args:
        env: MARKET_DATA_SOURCE, MARKET_DATA_DATE, TRADING_DAYS and what a plan is made of.
        read_day: returns a day of the exchange's calendar.
        read_sessions: returns the calendar's sessions from one day to another, both included.
    """

    def __init__(self, env: EnvBot, read_day: ReadDay, read_sessions: ReadSessions) -> None:
        self._env = env
        self._read_day = read_day
        self._read_sessions = read_sessions
        self._sessions: tuple[ExchangeDay, ...] = ()
        self._planned: ExchangeDay | None = None
        self._goes_on = is_live(env) and not is_simulated(env)

    def first(self, now_ns: int) -> SessionPlanned:
        """Plan the session of a start: MARKET_DATA_DATE, or live the session that is on or comes next.

        Raises:
            CannotStartError: the calendar cannot be read.
        """
        if self._goes_on:
            self._planned = self._next(now_ns)
        else:
            self._planned = self._read_day(self._env.word("MARKET_DATA_DATE"))
        return plan_session(self._planned, self._env, now_ns)

    def due(self, now_ns: int) -> SessionPlanned | None:
        """Return the next plan when the present one is over, else None.

        Raises:
            CannotStartError: the calendar cannot be read.
        """
        if not self._goes_on or self._planned is None or not _is_over(self._planned, now_ns):
            return None
        self._planned = self._next(now_ns)
        return plan_session(self._planned, self._env, now_ns)

    def _next(self, now_ns: int) -> ExchangeDay:
        """Return the first session on one of TRADING_DAYS that is not over; none in a year: today, without trading."""
        today = new_york_day(now_ns)
        found = self._first_of_known(now_ns)
        if found is None:
            last = today + timedelta(days=AHEAD_DAYS)
            self._sessions = self._read_sessions(today.isoformat(), last.isoformat())
            found = self._first_of_known(now_ns)
        return found if found is not None else self._read_day(today.isoformat())

    def _first_of_known(self, now_ns: int) -> ExchangeDay | None:
        allowed = self._env.words("TRADING_DAYS")
        return next(
            (
                day
                for day in self._sessions
                if not _is_over(day, now_ns) and WEEKDAYS[date.fromisoformat(day.day).weekday()] in allowed
            ),
            None,
        )


def _is_over(day: ExchangeDay, now_ns: int) -> bool:
    if day.is_session:
        return now_ns >= day.close_ns + AFTER_CLOSE_NS
    return new_york_day(now_ns) > date.fromisoformat(day.day)


def new_york_day(now_ns: int) -> date:
    """Return the date in New York at this moment."""
    return datetime.fromtimestamp(now_ns // NS_PER_SECOND, UTC).astimezone(NEW_YORK).date()
