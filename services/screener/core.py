"""The screener's decider: a universe in, ranked candidates out, once for each session."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from bus.messages import (
    Candidate,
    CandidatesRanked,
    MarketMessage,
    Message,
    Reason,
    Rejection,
    SessionPlanned,
    StatusMessage,
    VixObserved,
)
from services.screener.rules import gap_bps, reasons_for
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseLoaded, UniverseRow

CANDIDATES_MAX = 100
REJECTIONS_MAX = 50


class ScreenerState(Struct, frozen=True, kw_only=True):
    """The newest plan, and the sessions whose candidates and volatility were said; empty = none yet."""

    plan: SessionPlanned | None = None
    ranked_date: str = ""
    vix_date: str = ""


class ScreenerCore:
    """Decide the candidates of a session. Market data does not move it: the list is made before the open."""

    def __init__(self, settings: ScreenerSettings) -> None:
        self._settings = settings

    def initial(self) -> ScreenerState:
        """Return the state before any plan."""
        return ScreenerState()

    def observe(self, state: ScreenerState, data: MarketMessage) -> ScreenerState:
        """Return the state as it is."""
        return state

    def decide(self, state: ScreenerState, message: Message, now_ns: int) -> Sequence[Message]:
        """Journal a new plan; rank a universe; pass the volatility on. What was said of a session is not said again."""
        match message:
            case SessionPlanned():
                if state.plan is not None and state.plan.session_date == message.session_date:
                    return ()
                return (message,)
            case UniverseLoaded():
                if state.ranked_date == message.session_date:
                    return ()
                return (rank(message, self._settings, now_ns),)
            case VixObserved():
                return () if state.vix_date == message.session_date else (message,)
            case _:
                return ()

    def evolve(self, state: ScreenerState, event: Message) -> ScreenerState:
        """Remember the plan, and that its candidates and volatility were said."""
        match event:
            case SessionPlanned():
                return replace(state, plan=event)
            case CandidatesRanked():
                return replace(state, ranked_date=event.session_date)
            case VixObserved():
                return replace(state, vix_date=event.session_date)
            case _:
                return state

    def settle(self, state: ScreenerState, now_ns: int) -> Sequence[Message]:
        """Return nothing: no decision waits for the end of a step."""
        return ()

    def snapshot(self, state: ScreenerState, now_ns: int) -> Sequence[StatusMessage]:
        """Return nothing: the candidates themselves are a reliable message."""
        return ()


def rank(universe: UniverseLoaded, settings: ScreenerSettings, now_ns: int) -> CandidatesRanked:
    """Screen every name and order those that pass: largest absolute gap first, then volume, then symbol."""
    screened = [(row, reasons_for(row, settings)) for row in universe.rows]
    passed = [pair for pair in screened if all(reason.passed for reason in pair[1])]
    passed.sort(key=lambda pair: (-_score(pair[0]), -pair[0].prior_volume_nanos, pair[0].symbol))
    rejected = [
        Rejection(symbol=row.symbol, reasons=reasons)
        for row, reasons in screened
        if not all(reason.passed for reason in reasons)
    ]
    # A name that passes every rule but comes after the last place is rejected aloud, not dropped.
    rejected += [
        Rejection(symbol=row.symbol, reasons=(*reasons, _no_place(place)))
        for place, (row, reasons) in enumerate(passed[CANDIDATES_MAX:], CANDIDATES_MAX + 1)
    ]
    rejected.sort(key=lambda rejection: rejection.symbol)
    return CandidatesRanked(
        ts_event=universe.ts_event,
        ts_init=now_ns,
        session_date=universe.session_date,
        source=universe.source,
        candidates=tuple(
            _candidate(row, reasons, place) for place, (row, reasons) in enumerate(passed[:CANDIDATES_MAX], 1)
        ),
        rejected=tuple(rejected[:REJECTIONS_MAX]),
        rejected_total=len(rejected),
    )


def _candidate(row: UniverseRow, reasons: tuple[Reason, ...], place: int) -> Candidate:
    return Candidate(
        symbol=row.symbol,
        rank=place,
        score=_score(row),
        prior_close_micros=row.prior_close_micros,
        price_micros=row.price_micros,
        gap_bps=gap_bps(row) or 0,
        reasons=reasons,
    )


def _score(row: UniverseRow) -> int:
    return abs(gap_bps(row) or 0)


def _no_place(place: int) -> Reason:
    return Reason(rule="rank", value=f"place {place}", threshold=f"<= {CANDIDATES_MAX}", passed=False)
