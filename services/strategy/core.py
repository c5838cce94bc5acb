"""The strategy decider: bars in, signals out. Bars are arrays; what may not be forgotten is in events.

After a restart the journal gives back the plan, the watch list, the ranges once they were complete, and
which signals were raised. Bars are not in the journal. A process that started inside the analysis window
therefore missed some, which it sees from the feed's step numbers: the day's ranges are then empty and
nothing is raised (it fails closed).
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from bus.messages import (
    BarBatch,
    CandidatesRanked,
    MarketMessage,
    Message,
    RangeCompleted,
    SessionPlanned,
    SignalRaised,
    SignalSuppressed,
    StatusMessage,
    StrategyName,
)
from services.strategy.open import (
    OpeningRange,
    SidesDone,
    as_array,
    blank_range,
    breakouts,
    complete_rows,
    fold_minute,
    know_ranges,
    mark_done,
)
from services.strategy.open_windows import OpenWindows, open_windows
from services.strategy.settings import StrategySettings
from services.strategy.signals import Breakout, SignalMaker
from services.strategy.strategy_router import (
    ALL_SYMBOLS,
    Silence,
    is_silent,
    silences,
    strategies_for,
)
from services.strategy.watch_list import NO_WATCH_LIST, Alignment, WatchList, align, column, watch_list

#: Bars may overtake the plan or the watch list, which come from other senders. So many minutes are kept for
#: them; older ones count as missed.
PENDING_BATCHES_MAX = 30


class Heard(Struct, frozen=True, kw_only=True):
    """What this process heard of the feed; gone after a restart.

    `blind_until_ns`: market messages up to then may have been missed. `pending`: minutes that wait for plan
    or watch list.
    """

    last_step: int = 0
    bar_ns: int = 0
    blind_until_ns: int = 0
    pending: tuple[BarBatch, ...] = ()


class StrategyState(Struct, frozen=True, kw_only=True, eq=False):
    """The session so far; arrays in `opening` have one row for each name of `watch`."""

    plan: SessionPlanned | None
    watch: WatchList
    opening: OpeningRange
    heard: Heard
    alignment: Alignment | None

    @property
    def is_ready(self) -> bool:
        """Tell whether the plan and the watch list of one and the same session are known."""
        return self.plan is not None and self.plan.session_date == self.watch.session_date


class StrategyCore:
    """Decides which names break out of their opening range, and what to buy for it."""

    def __init__(self, settings: StrategySettings) -> None:
        self._settings = settings

    def initial(self) -> StrategyState:
        """Return the state before a plan, a watch list or a bar."""
        return StrategyState(plan=None, watch=NO_WATCH_LIST, opening=blank_range(0), heard=Heard(), alignment=None)

    def observe(self, state: StrategyState, data: MarketMessage) -> StrategyState:
        """Fold the minute's bars into the arrays, and every step number into what was missed."""
        heard = state.heard
        if data.step != 1 and data.step <= heard.last_step:
            # Delivered again: it is folded already.
            return state
        if data.step == 1:
            # A feed begins. Ranges that are not complete begin again with it, so that no minute counts twice.
            state = replace(state, heard=Heard(last_step=1), opening=_restarted(state.opening))
        else:
            is_gapless = data.step == heard.last_step + 1
            blind_ns = heard.blind_until_ns if is_gapless else data.ts_event
            state = replace(state, heard=replace(heard, last_step=data.step, blind_until_ns=blind_ns))
        if not isinstance(data, BarBatch) or data.ts_event < state.heard.bar_ns:
            return state
        state = replace(state, heard=replace(state.heard, bar_ns=data.ts_event))
        if not strategies_for(BarBatch, self._settings):
            # STRAT_OPEN_ENABLED is false: no strategy needs bars.
            return state
        return self._fold_bars(state, data) if state.is_ready else _keep_pending(state, data)

    def decide(self, state: StrategyState, message: Message, now_ns: int) -> Sequence[Message]:
        """Return the ranges and signals that follow from a minute, or the accepted plan or watch list."""
        match message:
            case BarBatch():
                return self._decide_bars(state, message, now_ns)
            case SessionPlanned():
                return self._decide_plan(state, message, now_ns)
            case CandidatesRanked():
                # The first list of a session stands: its rows are the arrays' rows for the whole day.
                return () if message.session_date == state.watch.session_date else (message,)
            case _:
                # HaltRaised changes nothing here: risk refuses and execution is without leases while the
                # chain is halted, and what the strategies see goes on being recorded.
                return ()

    def evolve(self, state: StrategyState, event: Message) -> StrategyState:
        """Fold a plan, a watch list, the complete ranges, or one name's signal of the session."""
        match event:
            case SessionPlanned():
                is_for_watch_list = event.session_date == state.watch.session_date
                opening = state.opening if is_for_watch_list else blank_range(len(state.watch.symbols))
                return self._fold_pending(replace(state, plan=event, opening=opening))
            case CandidatesRanked():
                watch = watch_list(event)
                opening = blank_range(len(watch.symbols))
                return self._fold_pending(replace(state, watch=watch, opening=opening, alignment=None))
            case RangeCompleted() if event.session_date == state.watch.session_date:
                return replace(state, opening=self._known(state, event))
            case SignalRaised() | SignalSuppressed() if event.session_date == state.watch.session_date:
                return replace(state, opening=_done(state, event))
            case _:
                return state

    def settle(self, state: StrategyState, now_ns: int) -> Sequence[Message]:
        """Return nothing: a minute is decided when its bars come."""
        return ()

    def snapshot(self, state: StrategyState, now_ns: int) -> Sequence[StatusMessage]:
        """Return nothing: what is worth seeing of a strategy is in its events."""
        return ()

    def _windows(self, state: StrategyState) -> OpenWindows | None:
        """Return the open strategy's windows, None when it waits for facts or is silent today."""
        if state.plan is None or not state.is_ready or is_silent("open", state.plan, self._settings):
            return None
        return open_windows(state.plan, self._settings)

    def _fold_bars(self, state: StrategyState, batch: BarBatch) -> StrategyState:
        windows = self._windows(state)
        if windows is None:
            return state
        is_range = windows.is_analysis(batch.ts_event) and not state.opening.is_known
        if not is_range and not windows.is_breakout(batch.ts_event):
            # No strategy needs this minute, so its names are not looked up.
            return state
        alignment = align(state.watch, batch.symbols, state.alignment)
        state = replace(state, alignment=alignment)
        if not is_range:
            return state
        opening = fold_minute(
            state.opening,
            alignment.rows,
            highs=column(batch, alignment, "highs_micros"),
            lows=column(batch, alignment, "lows_micros"),
            is_early=windows.is_early(batch.ts_event),
        )
        return replace(state, opening=opening)

    def _fold_pending(self, state: StrategyState) -> StrategyState:
        if not state.is_ready or not state.heard.pending:
            return state
        pending = state.heard.pending
        state = replace(state, heard=replace(state.heard, pending=()))
        for batch in pending:
            state = self._fold_bars(state, batch)
        return state

    def _decide_plan(self, state: StrategyState, plan: SessionPlanned, now_ns: int) -> Sequence[Message]:
        if state.plan is not None and state.plan.session_date == plan.session_date:
            # The day's first plan stands: ranges were measured by it.
            return ()
        found = silences(plan, self._settings)
        return (plan, *(_silenced(plan.session_date, silence, now_ns) for silence in found))

    def _decide_bars(self, state: StrategyState, batch: BarBatch, now_ns: int) -> Sequence[Message]:
        heard = state.heard
        if batch.step != heard.last_step or batch.ts_event != heard.bar_ns:
            # An old minute, delivered late: observe did not fold it and nothing is decided on it.
            return ()
        events: list[Message] = []
        for strategy in strategies_for(BarBatch, self._settings):
            events.extend(self._run(strategy, state, batch, now_ns=now_ns))
        return events

    def _run(self, strategy: StrategyName, state: StrategyState, batch: BarBatch, *, now_ns: int) -> Sequence[Message]:
        match strategy:
            case "open":
                return self._run_open(state, batch, now_ns)
            case "mid" | "close":
                # The router never routes to these: they are not part of this version, and the self-check
                # says so.
                return ()

    def _run_open(self, state: StrategyState, batch: BarBatch, now_ns: int) -> Sequence[Message]:
        windows = self._windows(state)
        if windows is None or batch.ts_event < windows.range_end_ns:
            return ()
        if batch.parts_left and batch.ts_event == windows.range_end_ns:
            # A minute of many names comes in several messages: the range is complete with the last of them.
            return ()
        events: list[Message] = []
        if not state.opening.is_known:
            # The last minute of the range is in, or was missed by all names: what is known now stands for
            # the day.
            completed, *said = self._complete(state, windows, batch.ts_event, now_ns=now_ns)
            events = [completed, *said]
            state = self.evolve(state, completed)
        is_late = now_ns - batch.ts_event > self._settings.signal_ttl_ns or now_ns >= windows.exit_at_ns
        if is_late or not windows.is_breakout(batch.ts_event):
            # SIGNAL_TTL: a minute that came later than that is no reason to trade now. Nor is one after the
            # exit, when the position would be sold as soon as it is bought (OPEN_MONITORING_TIME 0, or the
            # flatten).
            return events
        return [*events, *self._breakout_events(state, batch, windows, now_ns=now_ns)]

    def _complete(
        self, state: StrategyState, windows: OpenWindows, ts_event: int, *, now_ns: int
    ) -> tuple[Message, ...]:
        opening, symbols = state.opening, state.watch.symbols
        # A message missed after the window began may have been a minute of the range.
        is_blind = state.heard.blind_until_ns > windows.start_ns
        rows = [] if is_blind else complete_rows(opening, self._settings.analysis_minutes).tolist()
        completed = RangeCompleted(
            ts_event=ts_event,
            ts_init=now_ns,
            session_date=state.watch.session_date,
            symbols=tuple(symbols[row] for row in rows),
            highs_micros=tuple(opening.highs_micros[rows].tolist()),
            lows_micros=tuple(opening.lows_micros[rows].tolist()),
        )
        if not is_blind:
            return (completed,)
        detail = (
            "Market data was missed in the analysis window (a restart, or a gap): no opening range can be trusted today"
        )
        silence = Silence(strategy="open", rule="bars_missed", detail=detail)
        return completed, _silenced(state.watch.session_date, silence, now_ns)

    def _breakout_events(
        self, state: StrategyState, batch: BarBatch, windows: OpenWindows, *, now_ns: int
    ) -> Sequence[Message]:
        if state.plan is None or state.alignment is None:
            return ()
        opening, alignment = state.opening, state.alignment
        closes = column(batch, alignment, "closes_micros")
        up, down = breakouts(opening, alignment.rows, closes)
        if not up.size and not down.size:
            return ()
        close_of = dict(zip(alignment.rows.tolist(), closes.tolist(), strict=True))
        is_up_of = dict.fromkeys(up.tolist(), True) | dict.fromkeys(down.tolist(), False)
        maker = SignalMaker(plan=state.plan, windows=windows, settings=self._settings, now_ns=now_ns)
        # Rows are ranks: the best candidate speaks first, whatever the order of the bars.
        return [
            maker.event(
                Breakout(
                    symbol=state.watch.symbols[row],
                    direction="BULLISH" if is_up_of[row] else "BEARISH",
                    close_micros=close_of[row],
                    limit_micros=int(
                        (opening.bullish_above_micros if is_up_of[row] else opening.bearish_below_micros)[row]
                    ),
                    high_micros=int(opening.highs_micros[row]),
                    low_micros=int(opening.lows_micros[row]),
                    bar_end_ns=batch.ts_event,
                )
            )
            for row in sorted(is_up_of)
        ]

    def _known(self, state: StrategyState, event: RangeCompleted) -> OpeningRange:
        return know_ranges(
            state.opening,
            as_array([state.watch.row_of[symbol] for symbol in event.symbols]),
            highs=as_array(event.highs_micros),
            lows=as_array(event.lows_micros),
            buffer_ppm=self._settings.open_buffer_ppm,
        )


def _restarted(opening: OpeningRange) -> OpeningRange:
    return opening if opening.is_known else blank_range(opening.highs_micros.size)


def _keep_pending(state: StrategyState, batch: BarBatch) -> StrategyState:
    """Keep a minute until plan and watch list are there; to forget the oldest is to have missed it."""
    heard = state.heard
    pending = (*heard.pending, batch)
    blind_ns = heard.blind_until_ns
    if len(pending) > PENDING_BATCHES_MAX:
        blind_ns = max(blind_ns, pending[0].ts_event)
        pending = pending[1:]
    return replace(state, heard=replace(heard, pending=pending, blind_until_ns=blind_ns))


def _done(state: StrategyState, event: SignalRaised | SignalSuppressed) -> OpeningRange:
    row = state.watch.row_of.get(event.symbol)
    if row is None or event.strategy != "open":
        # It speaks of another strategy, or of the session: its symbol is then ALL, which is also Allstate's. When
        # it is the open strategy that is silent, marking Allstate changes nothing: no name signals that day.
        return state.opening
    sides: SidesDone = "long" if event.direction == "BULLISH" else "short"
    if isinstance(event, SignalSuppressed) and event.rule == "is_inverse_etf":
        # Said once is enough: the other side would be suppressed for the same reason.
        sides = "both"
    return mark_done(state.opening, row, sides)


def _silenced(session_date: str, silence: Silence, now_ns: int) -> SignalSuppressed:
    return SignalSuppressed(
        ts_event=now_ns,
        ts_init=now_ns,
        session_date=session_date,
        strategy=silence.strategy,
        symbol=ALL_SYMBOLS,
        direction="BULLISH",
        rule=silence.rule,
        detail=silence.detail,
    )
