"""The screener's decider: a universe in, ranked candidates out, once for each session and for each later scan of it."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bus.codec import FRAME_BYTES_MAX
from bus.decider import Core
from bus.messages import (
    CandidatesRanked,
    MarketMessage,
    Message,
    OptionsListed,
    SessionPlanned,
    StatusMessage,
    VixObserved,
)
from services.screener.screening import Screening
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseLoaded

REJECTIONS_MAX = 50
#: What fits one frame, less what the codec and the delivery put around a message.
LIST_BYTES_MAX = FRAME_BYTES_MAX - 1_024


class ScreenerState(Struct, frozen=True, kw_only=True):
    """The newest plan, and the sessions whose candidates and volatility were said; empty = none yet.

    `candidates` are those of the session `ranked_date`, best first; `scanned_ns` is as of when the newest list of any
    kind is, and `evening` the newest one after hours. `listed` are the names whose puts were said in the session
    `listed_date`, and as of when.
    """

    plan: SessionPlanned | None = None
    ranked_date: str = ""
    candidates: tuple[str, ...] = ()
    scanned_ns: int = 0
    evening: CandidatesRanked | None = None
    vix_date: str = ""
    listed_date: str = ""
    listed: dict[str, int] = {}

    def said_ns(self, message: OptionsListed) -> int | None:
        """Return when the puts on this name that were said last were true; None = none were said in this session."""
        return self.listed.get(message.underlying) if self.listed_date == message.session_date else None


class ScreenerCore(Core[ScreenerState]):
    """Decide the candidates of a session. Market data does not move it: a list is made of what the shell reports."""

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
                is_first = state.ranked_date != message.session_date
                # A scan is made once, also when a restart reports it again; it is due after the list before it.
                if message.due_ns <= state.scanned_ns if message.due_ns else not is_first:
                    return ()
                return (rank(message, self._settings, now_ns),)
            case OptionsListed():
                said_ns = state.said_ns(message)
                # A live chain is asked for again when it is old; a recorded one is what it was before the session.
                is_newer = said_ns is None or (self._settings.is_live and message.ts_event > said_ns)
                return (message,) if is_newer else ()
            case VixObserved():
                return () if state.vix_date == message.session_date else (message,)
            case _:
                return ()

    def evolve(self, state: ScreenerState, event: Message) -> ScreenerState:
        """Remember the plan, and that its candidates and volatility were said."""
        match event:
            case SessionPlanned():
                return replace(state, plan=event)
            case CandidatesRanked() if _is_of_evening(state.plan, event):
                # The session is over: who was watched in it stays as it was.
                return replace(state, scanned_ns=event.ts_event, evening=event)
            case CandidatesRanked():
                names = tuple(candidate.symbol for candidate in event.candidates)
                return replace(state, ranked_date=event.session_date, candidates=names, scanned_ns=event.ts_event)
            case OptionsListed():
                known = state.listed if state.listed_date == event.session_date else {}
                listed = known | {event.underlying: event.ts_event}
                return replace(state, listed_date=event.session_date, listed=listed)
            case VixObserved():
                return replace(state, vix_date=event.session_date)
            case _:
                return state

    def snapshot(self, state: ScreenerState, now_ns: int) -> Sequence[StatusMessage]:
        """Return nothing: the candidates themselves are a reliable message."""
        return ()


def _is_of_evening(plan: SessionPlanned | None, ranked: CandidatesRanked) -> bool:
    """Tell whether a list was made after its session's close: SCREENER_SCAN_MODE may name that part at any time."""
    is_over = plan is not None and plan.session_date == ranked.session_date and ranked.ts_event >= plan.close_ns
    return is_over and ranked.scan_mode == "after-hours"


def rank(universe: UniverseLoaded, settings: ScreenerSettings, now_ns: int) -> CandidatesRanked:
    """Screen every name and order those that pass: largest absolute gap first, then volume, then symbol.

    Reasons are left out, from the last rule on, where the list would not fit one frame of the bus; the file that the
    shell writes has all of them.
    """
    screening = Screening(universe.rows, settings, universe.scan_mode)
    said = CandidatesRanked(
        ts_event=universe.ts_event,
        ts_init=now_ns,
        session_date=universe.session_date,
        source=universe.source,
        candidates=tuple(screening.candidates()),
        rejected=tuple(screening.rejections(REJECTIONS_MAX)),
        rejected_total=screening.rejected_total,
        scan_mode=universe.scan_mode,
    )
    return _fitted(said)


def _fitted(said: CandidatesRanked) -> CandidatesRanked:
    """Leave out what the list can do without: what a rejected name passed, then the candidates' last reasons."""
    if _size(said) <= LIST_BYTES_MAX:
        return said
    failed = tuple(
        replace(one, reasons=tuple(each for each in one.reasons if not each.passed)) for one in said.rejected
    )
    said = replace(said, rejected=failed)
    while _size(said) > LIST_BYTES_MAX and any(one.reasons for one in said.candidates):
        fewer = max(len(one.reasons) for one in said.candidates) - 1
        said = replace(said, candidates=tuple(replace(one, reasons=one.reasons[:fewer]) for one in said.candidates))
    return said


def _size(said: CandidatesRanked) -> int:
    return len(msgspec.msgpack.encode(said))
