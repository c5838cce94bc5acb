"""What a strategy is: the one class that open.py, mid.py and close.py each implement, and what it may say.

A plug-in holds no state of its own. Its state is a frozen Struct of numpy arrays, one row for each name of the watch
list, which the core keeps and hands back. docs/strategies.md shows how to write one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, Generic, TypeVar

from msgspec import Struct

from bus.messages import (
    MICROS,
    NANOS,
    Direction,
    ExitSignalled,
    Message,
    Reason,
    SessionPlanned,
    SignalRaised,
    SignalSuppressed,
    StrategyName,
    VixObserved,
)
from services.strategy.arrays import as_array, with_rows
from services.strategy.settings import StrategySettings
from services.strategy.watch_list import Minute, WatchList
from services.strategy.windows import Windows

S = TypeVar("S")

#: What a SignalSuppressed names when it silences a strategy for the whole session.
ALL_SYMBOLS: Final = "ALL"
#: A name that is an inverse ETF never signals; said once, it holds for both sides.
IS_INVERSE_ETF: Final = "is_inverse_etf"


class Silence(Struct, frozen=True, kw_only=True, gc=False):
    """A strategy raises nothing this session, by this rule."""

    strategy: StrategyName
    rule: str
    detail: str


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """A name should be bought, or for a bearish one its inverse: with the numbers, and how far the stop is."""

    row: int
    direction: Direction
    close_micros: int
    trail_bps: int
    reasons: tuple[Reason, ...]


class NoEntry(Struct, frozen=True, kw_only=True, gc=False):
    """A name signals, but by this rule it is not bought now; the plug-in decides whether it may be later."""

    row: int
    direction: Direction
    rule: str
    detail: str


class Exit(Struct, frozen=True, kw_only=True, gc=False):
    """What an earlier signal bought should be sold now."""

    row: int
    direction: Direction
    detail: str
    reasons: tuple[Reason, ...]


class Note(Struct, frozen=True, kw_only=True, gc=False):
    """A message of the plug-in's own for the journal; its type is one of the plug-in's `journals`."""

    message: Message


Finding = Silence | Entry | NoEntry | Exit | Note
#: What the core journals for a plug-in and hands back to `fold`, beside the plug-in's own messages.
SignalEvent = SignalRaised | SignalSuppressed | ExitSignalled


class Context(Struct, frozen=True, kw_only=True):
    """What a plug-in knows when it decides on a minute, beside its own state.

    `is_blind`: a market message may have been missed since `windows.data_from_ns`. `may_enter`: the minute lies in the
    signal window and is younger than SIGNAL_TTL; entries found without it are dropped. `now_ns` is session time.
    """

    plan: SessionPlanned
    windows: Windows
    watch: WatchList
    now_ns: int
    is_blind: bool
    may_enter: bool
    vix: VixObserved | None


class Fault(Struct, frozen=True, kw_only=True):
    """What a strategy's self-check found wrong, and in which known case."""

    strategy: StrategyName
    reason: str
    context: str


class Strategy(ABC, Generic[S]):
    """One strategy. Every method is pure, but `observe`, `fold` and `fold_own` may write into the arrays given to them.

    Only the newest state is ever kept. `decide` changes nothing: it is asked before its findings are folded.
    """

    #: Its name in settings, signals and orders.
    name: ClassVar[StrategyName]
    #: Its settings that say when it runs, for the words of a silence.
    times: ClassVar[str]
    #: The rules by which `decide` may silence it for the rest of the day; the core then asks it no more.
    silencing_rules: ClassVar[frozenset[str]] = frozenset()
    #: The case that its self-check runs, in words.
    known_case: ClassVar[str]
    #: Types of its own that it journals.
    journals: ClassVar[tuple[type[Message], ...]] = ()

    def __init__(self, settings: StrategySettings) -> None:
        self.settings = settings

    @abstractmethod
    def windows(self, plan: SessionPlanned) -> Windows:
        """Return its windows of this day, cut at the flatten."""

    def silence(self, plan: SessionPlanned) -> Silence | None:
        """Return why it raises nothing on this day, beyond the switches; None when it runs."""
        windows = self.windows(plan)
        if plan.open_ns <= windows.analysis_from_ns and windows.signals_from_ns < plan.flatten_ns:
            return None
        # A START_TIME_* or *_ANALYSIS_TIME does not fit this day, a half-day for instance.
        detail = (
            f"The {self.name} strategy's analysis, {self.times}, must begin in the exchange's hours and end before "
            "positions are sold; on this day it does not"
        )
        return Silence(strategy=self.name, rule="window_outside_session", detail=detail)

    @abstractmethod
    def blank(self, names: int) -> S:
        """Return the state before the first bar, for so many names."""

    def grown(self, state: S, names: int) -> S:
        """Return the state with so many more names after those that are there, without a bar; others stay as they are.

        A state that keeps more than rows of arrays says itself how it grows.
        """
        return with_rows(state, self.blank(names), self.blank(0))

    @abstractmethod
    def restarted(self, state: S) -> S:
        """Return the state when the feed begins again at the open: no minute counts twice, signals stay raised."""

    @abstractmethod
    def observe(self, state: S, minute: Minute, windows: Windows) -> S:
        """Fold one minute since `windows.data_from_ns`, all names at once."""

    @abstractmethod
    def decide(self, state: S, minute: Minute, context: Context) -> Sequence[Finding]:
        """Return what follows from the minute that `observe` has just folded; exits before entries, in row order."""

    @abstractmethod
    def fold(self, state: S, event: SignalEvent, row: int) -> S:
        """Return the state after a signal, a suppression or an exit of the name in this row, now or after a restart.

        The state that was given stays as it was: a decision may look ahead by it.
        """

    def fold_own(self, state: S, event: Message, watch: WatchList) -> S:
        """Return the state after a message of its `journals`."""
        return state

    @abstractmethod
    def self_check(self) -> tuple[str, ...]:
        """Run the rule on its known case; return one sentence for each wrong answer."""


def known_minute(ts_event: int, *columns: Sequence[int]) -> Minute:
    """Return a minute of every name for a self-check: opens, highs, lows, closes in dollars, and shares."""
    scales = (MICROS, MICROS, MICROS, MICROS, NANOS)
    opens, highs, lows, closes, volumes = (
        as_array(column) * scale for column, scale in zip(columns, scales, strict=True)
    )
    names = opens.size
    return Minute(
        ts_event=ts_event,
        is_last_part=True,
        rows=as_array(range(names)),
        index=slice(0, names),
        opens=opens,
        highs=highs,
        lows=lows,
        closes=closes,
        volumes=volumes,
    )


def wrong_answers(answers: Sequence[tuple[str, object, object]]) -> tuple[str, ...]:
    """Return a sentence for each (what, found, expected) of a self-check that differs."""
    return tuple(
        f"{what}: {found} instead of {expected}. This build or numpy is broken: reinstall"
        for what, found, expected in answers
        if found != expected
    )


def bars_missed(strategy: StrategyName, since: str, what: str) -> Silence:
    """Return the silence of a strategy that cannot trust what it measured."""
    detail = f"Market data was missed {since} (a restart, or a gap): {what} can be trusted today"
    return Silence(strategy=strategy, rule="bars_missed", detail=detail)
