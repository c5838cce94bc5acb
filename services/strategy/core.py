"""The strategy decider: bars in, signals out. It hears the feed, asks the plug-ins, and journals what they find.

After a restart the journal gives back the plan, the watch list, what each plug-in journals, and which signals were
raised. Bars are not in the journal. A process that started in the session therefore missed some, which it sees from
the feed's step numbers: a strategy that needs them then raises nothing and says so (it fails closed). A live feed says
the minutes since the open again (`PastBars`): they are measured, and nothing is decided on them.

A later list of the session changes who is watched. A name that joins is entered only after all of its minutes were said
again; one that leaves is entered no more, and what was bought of it goes on to its exit.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bus.decider import Core
from bus.messages import (
    BarBatch,
    CandidatesRanked,
    ExitSignalled,
    MarketMessage,
    Message,
    OptionsListed,
    PastBars,
    QuoteBatch,
    SessionPlanned,
    SignalRaised,
    SignalSuppressed,
    StatusMessage,
    StrategyName,
    VixObserved,
)
from services.strategy import strategy_router as router
from services.strategy.chains import Chains
from services.strategy.settings import StrategySettings
from services.strategy.signals import SignalMaker, silenced
from services.strategy.strategy import (
    ALL_SYMBOLS,
    Context,
    Entry,
    Finding,
    NoEntry,
    Note,
    SignalEvent,
    Silence,
    Strategy,
)
from services.strategy.watch_list import NO_WATCH_LIST, Alignment, Minute, WatchList, followed, minute_of, watch_list
from services.strategy.windows import Windows

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
    """The session so far.

    `parts` holds each strategy's own state, with one row for each name of `watch`; `days` the windows of those that run
    today, in order; `silenced` those that raise nothing any more. `minute` is the newest minute folded. `chains` are
    the puts that may be bought. `waiting` are the rows of names that joined and whose minutes were not said yet.
    """

    plan: SessionPlanned | None = None
    watch: WatchList = NO_WATCH_LIST
    vix: VixObserved | None = None
    parts: dict[StrategyName, Any]
    days: dict[StrategyName, Windows] = {}
    silenced: frozenset[StrategyName] = frozenset()
    heard: Heard = Heard()
    alignment: Alignment | None = None
    minute: Minute | None = None
    chains: Chains = Chains()
    waiting: frozenset[int] = frozenset()

    @property
    def is_ready(self) -> bool:
        """Tell whether the plan and the watch list of one and the same session are known."""
        return self.plan is not None and self.plan.session_date == self.watch.session_date


class StrategyCore(Core[StrategyState]):
    """Routes each minute to the strategies that run, and turns what they find into signals."""

    def __init__(
        self,
        settings: StrategySettings,
        make_strategies: Callable[[StrategySettings], tuple[Strategy[Any], ...]] = router.strategies_in_order,
    ) -> None:
        self._settings = settings
        self._ignores_quotes = not settings.wants_puts
        self._strategies = make_strategies(settings)
        self._by_name = {strategy.name: strategy for strategy in self._strategies}

    def initial(self) -> StrategyState:
        """Return the state before a plan, a watch list or a bar."""
        return StrategyState(parts=self._blank(0))

    def observe(self, state: StrategyState, data: MarketMessage) -> StrategyState:
        """Fold the minute's bars into the arrays, and every step number into what was missed."""
        heard = state.heard
        if type(data) is QuoteBatch and data.step == heard.last_step + 1 and heard.last_step and self._ignores_quotes:
            # The next quotes: most of what a feed says, and here only a number.
            return replace(state, heard=replace(heard, last_step=data.step))
        begins = data.step == 1 or (isinstance(data, PastBars) and data.begins)
        if data.step != 1 and data.step <= heard.last_step:
            # Delivered again: it is folded already.
            return state
        if begins:
            # A feed begins. What is measured begins again with it, so that no minute counts twice.
            parts = {name: self._by_name[name].restarted(part) for name, part in state.parts.items()}
            state = replace(state, heard=Heard(last_step=data.step), parts=parts)
        else:
            is_gapless = data.step == heard.last_step + 1
            heard = Heard(
                last_step=data.step,
                bar_ns=heard.bar_ns,
                blind_until_ns=heard.blind_until_ns if is_gapless else data.ts_event,
                pending=heard.pending,
            )
            state = replace(state, heard=heard)
        if begins and isinstance(data, PastBars):
            return replace(state, minute=None, waiting=_without_minutes(state.watch, data))
        if isinstance(data, QuoteBatch) and self._settings.wants_puts:
            return replace(state, chains=state.chains.heard(data))
        if not isinstance(data, BarBatch) or data.ts_event < state.heard.bar_ns:
            return state
        state = replace(state, heard=replace(state.heard, bar_ns=data.ts_event), minute=None)
        if not state.is_ready:
            return _keep_pending(state, data)
        state = self._fold_bars(state, data)
        # A minute that is said again is measured only.
        return replace(state, minute=None) if isinstance(data, PastBars) else state

    def decide(self, state: StrategyState, message: Message, now_ns: int) -> Sequence[Message]:
        """Return what follows from a minute, or the accepted plan, watch list or volatility."""
        match message:
            case QuoteBatch():
                return ()
            case BarBatch():
                return self._decide_bars(state, message, now_ns)
            case SessionPlanned():
                return self._decide_plan(state, message, now_ns)
            case CandidatesRanked():
                is_later = message.scan_mode == "intraday" and message.ts_event > state.watch.listed_ns
                # The list after hours is for the next session.
                return (message,) if is_later or message.session_date != state.watch.session_date else ()
            case OptionsListed():
                return () if state.chains.has(message) else (message,)
            case VixObserved():
                is_known = state.vix is not None and state.vix.session_date == message.session_date
                return () if is_known else (message,)
            case _:
                # HaltRaised changes nothing here: risk refuses and execution is without leases while the
                # chain is halted, and what the strategies see goes on being recorded.
                return ()

    def evolve(self, state: StrategyState, event: Message) -> StrategyState:
        """Fold a plan, a watch list, the volatility, what a strategy journals, or one name's signal of the session."""
        match event:
            case SessionPlanned():
                return self._fold_pending(self._planned(state, event))
            case CandidatesRanked() if event.session_date == state.watch.session_date:
                return self._followed(state, event)
            case CandidatesRanked():
                watch = watch_list(event)
                parts = self._blank(len(watch.symbols))
                state = replace(state, watch=watch, parts=parts, alignment=None, minute=None, waiting=frozenset())
                return self._fold_pending(state)
            case OptionsListed():
                return replace(state, chains=state.chains.listing(event))
            case VixObserved():
                return replace(state, vix=event)
            case SignalRaised() | SignalSuppressed() | ExitSignalled():
                return self._signalled(state, event)
            case _:
                return self._noted(state, event)

    def snapshot(self, state: StrategyState, now_ns: int) -> Sequence[StatusMessage]:
        """Return nothing: what is worth seeing of a strategy is in its events."""
        return ()

    # --- folding -----

    def _blank(self, names: int) -> dict[StrategyName, Any]:
        return {strategy.name: strategy.blank(names) for strategy in self._strategies}

    def _followed(self, state: StrategyState, ranked: CandidatesRanked) -> StrategyState:
        """Follow a later list of the session: rows are added, and none is moved."""
        before, watch = state.watch, followed(state.watch, ranked)
        new = range(len(before.symbols), len(watch.symbols))
        parts = state.parts
        if new:
            parts = {name: self._by_name[name].grown(part, len(new)) for name, part in parts.items()}
        # Who was off the list may have been off the feed.
        waiting = state.waiting | frozenset(new) | (before.off - watch.off)
        return replace(state, watch=watch, parts=parts, waiting=waiting, alignment=None, minute=None)

    def _planned(self, state: StrategyState, plan: SessionPlanned) -> StrategyState:
        days = {one.name: one.windows(plan) for one in router.running(plan, self._strategies)}
        state = replace(state, plan=plan, days=days, silenced=frozenset(), minute=None)
        if plan.session_date == state.watch.session_date:
            return state
        return replace(state, parts=self._blank(len(state.watch.symbols)))

    def _fold_bars(self, state: StrategyState, batch: BarBatch) -> StrategyState:
        wanted = {name: windows for name, windows in state.days.items() if windows.has_begun(batch.ts_event)}
        if not wanted:
            # No strategy needs this minute, so its names are not looked up.
            return state
        minute, alignment = minute_of(state.watch, batch, state.alignment)
        parts = state.parts | {
            name: self._by_name[name].observe(state.parts[name], minute, windows) for name, windows in wanted.items()
        }
        return replace(state, parts=parts, minute=minute, alignment=alignment)

    def _fold_pending(self, state: StrategyState) -> StrategyState:
        if not state.is_ready or not state.heard.pending:
            return state
        pending = state.heard.pending
        state = replace(state, heard=replace(state.heard, pending=()))
        for batch in pending:
            state = self._fold_bars(state, batch)
        return state

    def _signalled(self, state: StrategyState, event: SignalEvent) -> StrategyState:
        strategy = self._by_name.get(event.strategy)
        if strategy is None or event.session_date != state.watch.session_date:
            return state
        if isinstance(event, SignalSuppressed) and event.symbol == ALL_SYMBOLS:
            # ALL is also Allstate's symbol: the rule tells whether the strategy is silent or that one name.
            if event.rule in strategy.silencing_rules:
                return replace(state, silenced=state.silenced | {strategy.name})
            if strategy.name not in state.days:
                return state
        row = state.watch.row_of.get(event.symbol)
        if row is None:
            return state
        part = strategy.fold(state.parts[strategy.name], event, row)
        return replace(state, parts=state.parts | {strategy.name: part})

    def _noted(self, state: StrategyState, event: Message) -> StrategyState:
        for strategy in self._strategies:
            if isinstance(event, strategy.journals) and _session_of(event) == state.watch.session_date:
                part = strategy.fold_own(state.parts[strategy.name], event, state.watch)
                state = replace(state, parts=state.parts | {strategy.name: part})
        return state

    # --- deciding -----

    def _decide_plan(self, state: StrategyState, plan: SessionPlanned, now_ns: int) -> Sequence[Message]:
        if state.plan is not None and state.plan.session_date == plan.session_date:
            # The day's first plan stands: ranges were measured by it.
            return ()
        found = router.silences(plan, self._strategies)
        return (plan, *(silenced(plan.session_date, silence, now_ns) for silence in found))

    def _decide_bars(self, state: StrategyState, batch: BarBatch, now_ns: int) -> Sequence[Message]:
        minute, plan = state.minute, state.plan
        if minute is None or plan is None:
            # Nobody needs this minute.
            return ()
        if batch.step != state.heard.last_step or batch.ts_event != minute.ts_event:
            # An old minute, delivered late: observe did not fold it and nothing is decided on it.
            return ()
        events: list[Message] = []
        closed = state.waiting | state.watch.off
        for name, windows in state.days.items():
            if name in state.silenced or not windows.has_begun(minute.ts_event):
                continue
            is_blind = state.heard.blind_until_ns > windows.data_from_ns
            if is_blind and self._settings.is_live:
                # A live feed says the minutes again to whoever has missed some: until then nothing can be trusted.
                continue
            # SIGNAL_TTL: a minute that came later than that is no reason to trade now. Nor is one after the exit,
            # when the position would be sold as soon as it is bought (a monitoring time of 0, or the flatten).
            is_late = now_ns - minute.ts_event > self._settings.signal_ttl_ns or now_ns >= windows.exit_at_ns
            context = Context(
                plan=plan,
                windows=windows,
                watch=state.watch,
                now_ns=now_ns,
                is_blind=is_blind,
                may_enter=windows.is_signalling(minute.ts_event) and not is_late,
                vix=state.vix if state.vix is not None and state.vix.session_date == plan.session_date else None,
            )
            findings = self._by_name[name].decide(state.parts[name], minute, context)
            _check_findings(self._by_name[name], findings)
            if closed:
                findings = [one for one in findings if not (isinstance(one, Entry | NoEntry) and one.row in closed)]
            if findings:
                maker = SignalMaker(
                    strategy=name,
                    context=context,
                    bar_end_ns=minute.ts_event,
                    settings=self._settings,
                    chains=state.chains,
                )
                events.extend(maker.events(findings))
        return events


def _check_findings(strategy: Strategy[Any], findings: Sequence[Finding]) -> None:
    """Raise what a plug-in forgot to declare: the core could not fold it after a restart."""
    for finding in findings:
        if isinstance(finding, Silence) and finding.rule not in strategy.silencing_rules:
            raise ValueError(f"strategy {strategy.name}: {finding.rule} is not one of its silencing_rules")
        if isinstance(finding, Note) and not isinstance(finding.message, strategy.journals):
            raise TypeError(f"strategy {strategy.name}: {type(finding.message).__name__} is not one of its journals")


def _without_minutes(watch: WatchList, begins: PastBars) -> frozenset[int]:
    """Return the rows whose minutes do not follow."""
    if not begins.names:
        return frozenset()
    said = frozenset(begins.names)
    return frozenset(row for row, symbol in enumerate(watch.symbols) if symbol not in said)


def _session_of(event: Message) -> str:
    return str(getattr(event, "session_date", ""))


def _keep_pending(state: StrategyState, batch: BarBatch) -> StrategyState:
    """Keep a minute until plan and watch list are there; to forget the oldest is to have missed it."""
    heard = state.heard
    pending = (*heard.pending, batch)
    blind_ns = heard.blind_until_ns
    if len(pending) > PENDING_BATCHES_MAX:
        blind_ns = max(blind_ns, pending[0].ts_event)
        pending = pending[1:]
    return replace(state, heard=replace(heard, pending=pending, blind_until_ns=blind_ns))
