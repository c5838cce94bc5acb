"""The open strategy: a breakout out of the opening range, of every name at once.

Arrays are parallel: row i is the i-th name of the watch list. Prices are int64 micro-dollars. The functions
return a new `OpeningRange` and never change the one they were given; live, replay and bench call the same
ones.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from bus.messages import Message, RangeCompleted, Reason, SessionPlanned, SignalSuppressed, StrategyName
from services.strategy.arrays import IntArray, MaskArray, as_array, share_of
from services.strategy.settings import NS_PER_MINUTE
from services.strategy.strategy import (
    IS_INVERSE_ETF,
    Context,
    Entry,
    Finding,
    Note,
    SignalEvent,
    Strategy,
    bars_missed,
)
from services.strategy.watch_list import Minute, WatchList
from services.strategy.windows import Windows, windows_of
from services.strategy.wording import dollars, percent, utc_hhmm, window_reason

SidesDone = Literal["long", "short", "both"]

NEVER_ABOVE = int(np.iinfo(np.int64).max)
#: No close is below it: one without a price is no bar.
NEVER_BELOW = 0
#: The settings of the case with a known answer.
_KNOWN_BARS_PERCENT = 80
_KNOWN_EARLY_MINUTES = 5


class OpeningRange(Struct, frozen=True, kw_only=True, eq=False):
    """Ranges, and the prices beyond which each name still breaks out; every array has shape (names,).

    Until `is_known`, highs and lows are what was heard so far. Afterwards they hold complete names only
    (others 0), and a name breaks out when it closes above `bullish_above_micros` or below
    `bearish_below_micros`. A name that has had its signal on a side has a price there that no close is beyond.

    Rows from `joined_from` on joined in mid-session. Their ranges are not journaled, but known by the first minute
    after the window (`is_joined_known`) of those that were said again; `is_done`, of shape (sides, names), is what was
    signalled of them before that.
    """

    highs_micros: IntArray
    lows_micros: IntArray
    minutes_seen: IntArray
    is_seen_early: MaskArray
    bullish_above_micros: IntArray
    bearish_below_micros: IntArray
    is_known: bool
    is_done: MaskArray
    joined_from: int
    is_joined_known: bool = True


def blank_range(names: int) -> OpeningRange:
    """Return the state before the first bar; no name can break out of it."""
    return OpeningRange(
        highs_micros=np.zeros(names, np.int64),
        lows_micros=np.full(names, NEVER_ABOVE, np.int64),
        minutes_seen=np.zeros(names, np.int64),
        is_seen_early=np.zeros(names, np.bool_),
        bullish_above_micros=np.full(names, NEVER_ABOVE, np.int64),
        bearish_below_micros=np.full(names, NEVER_BELOW, np.int64),
        is_known=False,
        is_done=np.zeros((2, names), np.bool_),
        joined_from=names,
    )


def fold_minute(
    opening: OpeningRange, index: slice | IntArray, *, highs: IntArray, lows: IntArray, is_early: bool
) -> OpeningRange:
    """Fold one minute of the analysis window into the arrays, in place.

    `index` selects the names, each once; `highs` and `lows` are parallel to it. A bar without a price, or with its low
    above its high, is broken data: it counts as no bar.
    """
    is_sound = (lows > 0) & (highs >= lows)
    if np.count_nonzero(is_sound) < is_sound.size:
        index = np.arange(opening.highs_micros.size)[index][is_sound]
        highs, lows = highs[is_sound], lows[is_sound]
    opening.highs_micros[index] = np.maximum(opening.highs_micros[index], highs)
    opening.lows_micros[index] = np.minimum(opening.lows_micros[index], lows)
    opening.minutes_seen[index] += 1
    if is_early:
        opening.is_seen_early[index] = True
    return opening


def complete_rows(opening: OpeningRange, minutes: int, percent_min: int) -> IntArray:
    """Return the rows whose range is complete after a window of so many minutes, ascending.

    It needs bars in `percent_min` of the minutes, and one of the first: a thin name's range is too narrow, and one that
    was halted at the open has a range of something else. Neither may signal.
    """
    is_dense = opening.minutes_seen * 100 >= percent_min * minutes
    rows: IntArray = np.flatnonzero(is_dense & opening.is_seen_early).astype(np.int64)
    return rows


def know_ranges(
    opening: OpeningRange, rows: slice | IntArray, *, highs: IntArray, lows: IntArray, buffer_ppm: int
) -> OpeningRange:
    """Fix the ranges of these rows and the prices beyond which they break out; every other row never will.

    close x PPM > high x (PPM + buffer) is, for integers, close > high + floor(high x buffer / PPM), and
    likewise below.
    """
    names = opening.highs_micros.size
    known_highs = np.zeros(names, np.int64)
    known_lows = np.zeros(names, np.int64)
    above = np.full(names, NEVER_ABOVE, np.int64)
    below = np.full(names, NEVER_BELOW, np.int64)
    joined = slice(opening.joined_from, names)
    for known, kept in (
        (known_highs, opening.highs_micros),
        (known_lows, opening.lows_micros),
        (above, opening.bullish_above_micros),
        (below, opening.bearish_below_micros),
    ):
        # Names that joined have ranges of their own.
        known[joined] = kept[joined]
    known_highs[rows] = highs
    known_lows[rows] = lows
    above[rows] = highs + share_of(highs, buffer_ppm)
    below[rows] = lows - share_of(lows, buffer_ppm)
    return replace(
        opening,
        highs_micros=known_highs,
        lows_micros=known_lows,
        bullish_above_micros=above,
        bearish_below_micros=below,
        is_known=True,
    )


def know_joined(opening: OpeningRange, complete: IntArray, buffer_ppm: int) -> OpeningRange:
    """Fix the ranges of names that joined, as far as they are complete, but for sides that have had their signal."""
    rows = complete[complete >= opening.joined_from]
    highs, lows = opening.highs_micros[rows], opening.lows_micros[rows]
    is_done = opening.is_done[:, rows]
    opening.bullish_above_micros[rows] = np.where(is_done[0], NEVER_ABOVE, highs + share_of(highs, buffer_ppm))
    opening.bearish_below_micros[rows] = np.where(is_done[1], NEVER_BELOW, lows - share_of(lows, buffer_ppm))
    return replace(opening, is_joined_known=True)


def blank_joined(opening: OpeningRange) -> OpeningRange:
    """Return ranges without a bar for names that joined; those of the others stay."""
    names, kept = opening.highs_micros.size, opening.joined_from
    blank = blank_range(names - kept)
    return replace(
        opening,
        highs_micros=np.concatenate((opening.highs_micros[:kept], blank.highs_micros)),
        lows_micros=np.concatenate((opening.lows_micros[:kept], blank.lows_micros)),
        minutes_seen=np.concatenate((opening.minutes_seen[:kept], blank.minutes_seen)),
        is_seen_early=np.concatenate((opening.is_seen_early[:kept], blank.is_seen_early)),
        bullish_above_micros=np.concatenate((opening.bullish_above_micros[:kept], blank.bullish_above_micros)),
        bearish_below_micros=np.concatenate((opening.bearish_below_micros[:kept], blank.bearish_below_micros)),
        is_joined_known=kept == names,
    )


def breakouts(opening: OpeningRange, index: slice | IntArray, closes: IntArray) -> tuple[MaskArray, MaskArray]:
    """Tell which names break out upwards and downwards with these closes and have not yet on that side.

    `index` selects the names; `closes`, all above 0, and the answers are parallel to it.
    """
    return closes > opening.bullish_above_micros[index], closes < opening.bearish_below_micros[index]


def mark_done(opening: OpeningRange, row: int, sides: SidesDone) -> OpeningRange:
    """Note in place that this row raised or suppressed its one signal of the session on these sides."""
    if sides != "short":
        opening.bullish_above_micros[row] = NEVER_ABOVE
        opening.is_done[0, row] = True
    if sides != "long":
        opening.bearish_below_micros[row] = NEVER_BELOW
        opening.is_done[1, row] = True
    return opening


def self_check() -> tuple[str, ...]:
    """Run a five-minute range of three names with a known answer; return a sentence for each wrong part.

    Name 0 closes one micro-dollar beyond the buffered high, name 1 exactly on its buffered low (no
    breakout), and name 2 was silent in too many minutes to signal at all.
    """
    opening = blank_range(3)
    for minute in range(5):
        rows = as_array([0, 1, 2] if minute < 3 else [0, 1])
        highs = as_array([10_000_000 + minute, 20_000_000, 30_000_000])[: rows.size]
        lows = as_array([9_000_000, 19_000_000 - minute, 29_000_000])[: rows.size]
        opening = fold_minute(opening, rows, highs=highs, lows=lows, is_early=minute < _KNOWN_EARLY_MINUTES)
    complete = complete_rows(opening, 5, _KNOWN_BARS_PERCENT)
    highs, lows = opening.highs_micros[complete], opening.lows_micros[complete]
    known = know_ranges(opening, complete, highs=highs, lows=lows, buffer_ppm=1_000)
    up, down = breakouts(known, slice(0, 3), as_array([10_010_005, 18_980_997, 40_000_000]))
    answers: tuple[tuple[str, list[int], list[int]], ...] = (
        ("completes the wrong names", complete.tolist(), [0, 1]),
        ("finds wrong highs", highs.tolist(), [10_000_004, 20_000_000]),
        ("finds wrong lows", lows.tolist(), [9_000_000, 18_999_996]),
        ("finds wrong breakouts upwards", np.flatnonzero(up).tolist(), [0]),
        ("finds wrong breakouts downwards", np.flatnonzero(down).tolist(), []),
    )
    return tuple(
        f"The opening range {what}: {found} instead of {expected}. This build or numpy is broken: reinstall"
        for what, found, expected in answers
        if found != expected
    )


class OpenStrategy(Strategy[OpeningRange]):
    """Buys a name that closes a minute beyond the range of its first minutes, or its inverse when below.

    Journals `RangeCompleted`: after a restart the ranges are what it says. A process that missed a minute of
    the range raises nothing that day.
    """

    name: ClassVar[StrategyName] = "open"
    times: ClassVar[str] = "from START_TIME_OPEN for OPEN_ANALYSIS_TIME"
    silencing_rules: ClassVar[frozenset[str]] = frozenset({"bars_missed"})
    known_case: ClassVar[str] = "a range of five minutes and three names, one of them thin"
    journals: ClassVar[tuple[type[Message], ...]] = (RangeCompleted,)

    def windows(self, plan: SessionPlanned) -> Windows:
        """Resolve OPEN_ANALYSIS_TIME, OPEN_BREAKOUT_TIME and OPEN_MONITORING_TIME against the day's plan."""
        settings = self.settings
        lengths = (settings.open_analysis_ns, settings.open_breakout_ns, settings.open_monitoring_ns)
        return windows_of(plan, plan.start_open_ns, lengths, data_from_ns=plan.start_open_ns)

    def blank(self, names: int) -> OpeningRange:
        """Return ranges without a bar."""
        return blank_range(names)

    def grown(self, state: OpeningRange, names: int) -> OpeningRange:
        """Return the ranges with room for names that join; what is known of the others stays."""
        return replace(super().grown(state, names), is_joined_known=False)

    def restarted(self, state: OpeningRange) -> OpeningRange:
        """Return the ranges as they are when they are complete, else blank ones; those of names that joined are blank.

        Raises nothing again: what was signalled stays so.
        """
        if not state.is_known:
            kept = replace(blank_range(state.highs_micros.size), joined_from=state.joined_from, is_done=state.is_done)
            state = kept
        return state if state.joined_from == state.highs_micros.size else blank_joined(state)

    def observe(self, state: OpeningRange, minute: Minute, windows: Windows) -> OpeningRange:
        """Widen the ranges by a minute of the analysis."""
        if state.is_known and state.is_joined_known:
            return state
        if not windows.is_analysis(minute.ts_event):
            is_over = minute.ts_event > windows.signals_from_ns and not state.is_joined_known
            return know_joined(state, self._complete(state), self.settings.open_buffer_ppm) if is_over else state
        if state.is_known:
            return self._observe_joined(state, minute, windows)
        return self._widened(state, minute, windows)

    def _observe_joined(self, state: OpeningRange, minute: Minute, windows: Windows) -> OpeningRange:
        """Widen the ranges of names that joined alone: the others stand."""
        is_joined = minute.rows >= state.joined_from
        rows = minute.rows[is_joined]
        joined = replace(minute, rows=rows, index=rows, highs=minute.highs[is_joined], lows=minute.lows[is_joined])
        return self._widened(state, joined, windows)

    def _widened(self, state: OpeningRange, minute: Minute, windows: Windows) -> OpeningRange:
        since_start_ns = minute.ts_event - NS_PER_MINUTE - windows.analysis_from_ns
        return fold_minute(
            state,
            minute.index,
            highs=minute.highs,
            lows=minute.lows,
            # OPEN_FIRST_BAR_TIME
            is_early=since_start_ns < self.settings.open_first_bar_ns,
        )

    def decide(self, state: OpeningRange, minute: Minute, context: Context) -> Sequence[Finding]:
        """Return the completed ranges with the first minute that shows they are, and the breakouts of this one."""
        range_end_ns = context.windows.signals_from_ns
        # A minute of many names comes in several messages: the range is complete with the last of them.
        is_range_open = minute.ts_event == range_end_ns and not minute.is_last_part
        if minute.ts_event < range_end_ns or is_range_open:
            return ()
        findings: list[Finding] = []
        if not state.is_known:
            # The last minute of the range is in, or was missed by all names: what is known now stands for the day.
            completed = self._completed(state, minute.ts_event, context)
            findings.append(Note(message=completed))
            if context.is_blind:
                findings.append(bars_missed(self.name, "in the analysis window", "no opening range"))
            state = self.fold_own(state, completed, context.watch)
        return [*findings, *self._breakouts(state, minute, context)] if context.may_enter else findings

    def fold(self, state: OpeningRange, event: SignalEvent, row: int) -> OpeningRange:
        """Note that a name had its one signal of the session on this side."""
        sides: SidesDone = "long" if event.direction == "BULLISH" else "short"
        if isinstance(event, SignalSuppressed) and event.rule == IS_INVERSE_ETF:
            # Said once is enough: the other side would be suppressed for the same reason.
            sides = "both"
        return mark_done(state, row, sides)

    def fold_own(self, state: OpeningRange, event: Message, watch: WatchList) -> OpeningRange:
        """Fix the ranges that were completed."""
        if not isinstance(event, RangeCompleted):
            return state
        return know_ranges(
            state,
            as_array([watch.row_of[symbol] for symbol in event.symbols]),
            highs=as_array(event.highs_micros),
            lows=as_array(event.lows_micros),
            buffer_ppm=self.settings.open_buffer_ppm,
        )

    def self_check(self) -> tuple[str, ...]:
        """Run a range with a known answer."""
        return self_check()

    def _complete(self, state: OpeningRange) -> IntArray:
        # ANALYSIS_BARS_MIN
        return complete_rows(state, self.settings.analysis_minutes, self.settings.analysis_bars_percent_min)

    def _completed(self, state: OpeningRange, ts_event: int, context: Context) -> RangeCompleted:
        complete = self._complete(state)
        rows = [] if context.is_blind else complete[complete < state.joined_from].tolist()
        return RangeCompleted(
            ts_event=ts_event,
            ts_init=context.now_ns,
            session_date=context.watch.session_date,
            symbols=tuple(context.watch.symbols[row] for row in rows),
            highs_micros=tuple(state.highs_micros[rows].tolist()),
            lows_micros=tuple(state.lows_micros[rows].tolist()),
        )

    def _breakouts(self, state: OpeningRange, minute: Minute, context: Context) -> list[Finding]:
        up, down = breakouts(state, minute.index, minute.closes)
        # Rows are ranks, and a minute's rows ascend: the best candidate speaks first.
        places = (up | down).nonzero()[0].tolist()
        return [self._entry(state, int(minute.rows[place]), minute, place, windows=context.windows) for place in places]

    def _entry(self, state: OpeningRange, row: int, minute: Minute, place: int, *, windows: Windows) -> Entry:
        close = int(minute.closes[place])
        return Entry(
            row=row,
            direction="BULLISH" if close > int(state.bullish_above_micros[row]) else "BEARISH",
            close_micros=close,
            trail_bps=self.settings.trail_bps,
            reasons=self._reasons(state, row, minute, place, windows=windows),
        )

    def _reasons(
        self, state: OpeningRange, row: int, minute: Minute, place: int, *, windows: Windows
    ) -> tuple[Reason, ...]:
        close, high, low = int(minute.closes[place]), int(state.highs_micros[row]), int(state.lows_micros[row])
        above, below = int(state.bullish_above_micros[row]), int(state.bearish_below_micros[row])
        if close > above:
            side, limit, edge_name, edge, sign = "above", above, "high", high, "+"
        else:
            side, limit, edge_name, edge, sign = "below", below, "low", low, "-"
        buffer = percent(self.settings.open_buffer_ppm)
        range_times = f"{utc_hhmm(windows.analysis_from_ns)} to {utc_hhmm(windows.signals_from_ns)} UTC"
        return (
            Reason(
                rule=f"close_{side}_range_{edge_name}",
                value=f"close {dollars(close)}",
                threshold=f"{side} {dollars(limit)} (range {edge_name} {dollars(edge)} {sign} {buffer} %)",
                passed=True,
            ),
            Reason(
                rule="opening_range",
                value=f"high {dollars(high)}, low {dollars(low)}",
                threshold=f"complete over {self.settings.analysis_minutes} minutes, {range_times}",
                passed=True,
            ),
            window_reason("breakout_window", windows, minute.ts_event),
        )
