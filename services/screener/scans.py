"""When a session's names are screened again: while the exchange is open, and after its close. Pure."""

from datetime import date
from typing import Final, NamedTuple

from bus.messages import CandidatesRanked, SessionPlanned
from services.screener.rules import percent

#: What was seen after the close before is no news any more after so many days: a long week-end has four.
_DAYS_MAX: Final = 7


class Look(NamedTuple):
    """One look at all names: of which session, and when it was due; 0 = the session's first."""

    plan: SessionPlanned
    due_ns: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """Return what tells it from others."""
        return self.plan.session_date, self.due_ns


def due_scan(plan: SessionPlanned, every_ns: int, after_ns: int, now_ns: int) -> int:
    """Return when the newest scan of a session was due, not counting its first list; 0 = none was.

    A scan that was missed is not caught up on: the newest one that is due stands for it.

    Args:
        plan: the session.
        every_ns: SCREENER_INTRADAY_EVERY, counted from the open; 0 = none.
        after_ns: SCREENER_AFTER_HOURS, counted from the close; 0 = none.
        now_ns: the session's time.
    """
    if not plan.is_trading_day or now_ns < plan.open_ns:
        return 0
    if now_ns >= plan.close_ns:
        due_ns = plan.close_ns + after_ns
        return due_ns if after_ns and now_ns >= due_ns else 0
    count = (now_ns - plan.open_ns) // every_ns if every_ns else 0
    return plan.open_ns + count * every_ns if count else 0


def kept_places(evening: CandidatesRanked | None, session_date: str) -> dict[str, str]:
    """Return who has a place on the list of a session because of the one after hours before, and in words why."""
    if evening is None or not 0 < _days(evening.session_date, session_date) <= _DAYS_MAX:
        return {}
    return {
        one.symbol: f"place {one.rank} after the close of {evening.session_date}, {percent(one.gap_bps, signed=True)}"
        for one in evening.candidates
    }


def _days(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days
