"""The close strategy: late in the day, a name near its high is expected to go on, one in its lower half to fade.

It runs only on days with some fear in the market: the volatility index must have closed at STRAT_CLOSE_VIX_THRESHOLD
or above on the trading day before. Momentum: the close is within STRAT_CLOSE_HIGH_PROXIMITY of the session's high, and
above the middle of the session's range. Fade: the close is below that middle, and below the analysis window's open.
"""

from collections.abc import Sequence
from datetime import date
from typing import ClassVar, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from bus.messages import Direction, ExitSignalled, Reason, SessionPlanned, SignalSuppressed, StrategyName, VixObserved
from services.strategy.arrays import IntArray, MaskArray, share_of
from services.strategy.settings import HUNDREDTHS, NS_PER_MINUTE
from services.strategy.strategy import (
    IS_INVERSE_ETF,
    Context,
    Entry,
    Finding,
    SignalEvent,
    Silence,
    Strategy,
    bars_missed,
    known_minute,
    wrong_answers,
)
from services.strategy.watch_list import Minute
from services.strategy.windows import Windows, windows_of
from services.strategy.wording import dollars, number, percent, utc_hhmm, window_reason

_SIDES: Final[tuple[Direction, Direction]] = ("BULLISH", "BEARISH")
_NEVER_BELOW: Final = int(np.iinfo(np.int64).max)


class CloseState(Struct, frozen=True, kw_only=True, eq=False):
    """The session's range, and the analysis window's open and minutes; `is_done` has shape (sides, names)."""

    highs_micros: IntArray
    lows_micros: IntArray
    opens_micros: IntArray
    minutes_seen: IntArray
    is_done: MaskArray


class CloseStrategy(Strategy[CloseState]):
    """Buys what is near its high of the day, and the inverse of what is below the middle of its range and falling.

    It journals nothing of its own: its range begins at the open, so a process that missed a minute raises nothing that
    day. It has no exit of its own: what it bought is sold at its stop or at the end of its window.
    """

    name: ClassVar[StrategyName] = "close"
    times: ClassVar[str] = "from START_TIME_CLOSE for CLOSE_ANALYSIS_TIME"
    silencing_rules: ClassVar[frozenset[str]] = frozenset(
        {"bars_missed", "vix_unknown", "vix_too_old", "vix_below_threshold"}
    )
    known_case: ClassVar[str] = "three minutes of a name at its high, one that fades and one at its middle"

    def windows(self, plan: SessionPlanned) -> Windows:
        """Resolve CLOSE_ANALYSIS_TIME, CLOSE_SIGNAL_TIME and CLOSE_MONITORING_TIME; the range begins at the open."""
        settings = self.settings
        lengths = (settings.close_analysis_ns, settings.close_signal_ns, settings.close_monitoring_ns)
        return windows_of(plan, plan.start_close_ns, lengths, data_from_ns=plan.open_ns)

    def blank(self, names: int) -> CloseState:
        """Return the state before the first bar."""
        return CloseState(
            highs_micros=np.zeros(names, np.int64),
            lows_micros=np.full(names, _NEVER_BELOW, np.int64),
            opens_micros=np.zeros(names, np.int64),
            minutes_seen=np.zeros(names, np.int64),
            is_done=np.zeros((2, names), np.bool_),
        )

    def restarted(self, state: CloseState) -> CloseState:
        """Return a blank range; what was said stays said."""
        return replace(self.blank(state.is_done.shape[1]), is_done=state.is_done)

    def observe(self, state: CloseState, minute: Minute, windows: Windows) -> CloseState:
        """Widen the session's range by a minute, in place; in the analysis keep the window's open too."""
        if minute.ts_event - NS_PER_MINUTE >= windows.signals_until_ns:
            return state
        index = minute.index
        state.highs_micros[index] = np.maximum(state.highs_micros[index], minute.highs)
        state.lows_micros[index] = np.minimum(state.lows_micros[index], minute.lows)
        if windows.is_analysis(minute.ts_event):
            opens = state.opens_micros[index]
            state.opens_micros[index] = np.where(opens > 0, opens, minute.opens)
            state.minutes_seen[index] += 1
        return state

    def decide(self, state: CloseState, minute: Minute, context: Context) -> Sequence[Finding]:
        """Return why it is silent today, in the first minute of its signals, or the names that signal."""
        if not context.windows.is_signalling(minute.ts_event):
            return ()
        if context.is_blind:
            return (bars_missed(self.name, "since the open", "no range of the day"),)
        silence = self._vix_silence(context.vix)
        if silence is not None:
            return (silence,)
        return self._entries(state, minute, context) if context.may_enter else ()

    def fold(self, state: CloseState, event: SignalEvent, row: int) -> CloseState:
        """Note that a name had its one signal of the session on this side."""
        if isinstance(event, ExitSignalled):
            return state
        is_done = state.is_done.copy()
        # Said of an inverse ETF once is enough: the other side would be suppressed for the same reason.
        is_both = isinstance(event, SignalSuppressed) and event.rule == IS_INVERSE_ETF
        is_done[slice(None) if is_both else _SIDES.index(event.direction), row] = True
        return replace(state, is_done=is_done)

    def self_check(self) -> tuple[str, ...]:
        """Run a name at its high, one that fades in its lower half, and one exactly at the middle of its range."""
        known = CloseStrategy(replace(self.settings, **_KNOWN_SETTINGS))
        state = known.blank(3)
        for minute in _KNOWN_MINUTES:
            state = known.observe(state, minute, _KNOWN_WINDOWS)
        momentum, fade = known._sides(state, _KNOWN_MINUTES[-1])
        return wrong_answers(
            (
                ("highs", state.highs_micros.tolist(), [110_000_000, 110_000_000, 110_000_000]),
                ("lows", state.lows_micros.tolist(), [90_000_000, 90_000_000, 90_000_000]),
                ("opens of the window", state.opens_micros.tolist(), [100_000_000, 103_000_000, 101_000_000]),
                ("names near their high", momentum.tolist(), [True, False, False]),
                ("names that fade", fade.tolist(), [False, True, False]),
            )
        )

    def _vix_silence(self, vix: VixObserved | None) -> Silence | None:
        least = number(self.settings.close_vix_hundredths_min, HUNDREDTHS)
        if vix is None or vix.vix_hundredths == 0:
            # STRAT_CLOSE_VIX_THRESHOLD cannot be judged.
            why = vix.source if vix is not None else "the screener has not said it"
            return Silence(strategy=self.name, rule="vix_unknown", detail=f"The VIX is unknown: {why}")
        value = f"VIX {number(vix.vix_hundredths, HUNDREDTHS)} of {vix.as_of_date} ({vix.source})"
        age = (date.fromisoformat(vix.session_date) - date.fromisoformat(vix.as_of_date)).days
        if not 0 < age <= self.settings.vix_age_days_max:
            # VIX_AGE_MAX: the volatility of a close longer ago says nothing of today.
            most = self.settings.vix_age_days_max
            detail = f"{value} is {age} days old: it must be of 1 to {most} days before the session"
            return Silence(strategy=self.name, rule="vix_too_old", detail=detail)
        if vix.vix_hundredths < self.settings.close_vix_hundredths_min:
            # STRAT_CLOSE_VIX_THRESHOLD.
            return Silence(strategy=self.name, rule="vix_below_threshold", detail=f"{value} is below {least}")
        return None

    def _entries(self, state: CloseState, minute: Minute, context: Context) -> list[Finding]:
        is_momentum, is_fade = self._sides(state, minute)
        return [
            self._entry(state, minute, place, is_up=bool(is_momentum[place]), context=context)
            for place in np.flatnonzero(is_momentum | is_fade).tolist()
        ]

    def _sides(self, state: CloseState, minute: Minute) -> tuple[MaskArray, MaskArray]:
        """Return which of the minute's names have momentum, and which fade, and have not been said."""
        index, closes = minute.index, minute.closes
        highs, lows = state.highs_micros[index], state.lows_micros[index]
        # ANALYSIS_BARS_MIN: a name that hardly traded in the window has no range.
        needed = self.settings.analysis_bars_percent_min * (self.settings.close_analysis_ns // NS_PER_MINUTE)
        is_dense = state.minutes_seen[index] * 100 >= needed
        # Twice the close against high + low: the middle of the range, exact in integers.
        above_middle = 2 * closes - (highs + lows)
        # STRAT_CLOSE_HIGH_PROXIMITY.
        is_near = highs - closes <= share_of(highs, self.settings.close_high_proximity_ppm)
        is_up: MaskArray = is_near & (above_middle > 0) & is_dense & ~state.is_done[0][index]
        is_down: MaskArray = (
            (above_middle < 0) & (closes < state.opens_micros[index]) & is_dense & ~state.is_done[1][index]
        )
        return is_up, is_down

    def _entry(self, state: CloseState, minute: Minute, place: int, *, is_up: bool, context: Context) -> Entry:
        row, close = int(minute.rows[place]), int(minute.closes[place])
        high, low, opened = (int(column[row]) for column in (state.highs_micros, state.lows_micros, state.opens_micros))
        window = (
            f"window {utc_hhmm(context.windows.analysis_from_ns)} to {utc_hhmm(context.windows.signals_from_ns)} UTC"
        )
        if is_up:
            near = percent(self.settings.close_high_proximity_ppm)
            limit = f"within {near} % of the day's high {dollars(high)}"
            rule = Reason(rule="near_the_high", value=f"close {dollars(close)}", threshold=limit, passed=True)
            second = f"above the middle of {dollars(low)} to {dollars(high)}"
        else:
            limit = f"below the middle of the day's range {dollars(low)} to {dollars(high)}"
            rule = Reason(rule="below_the_middle", value=f"close {dollars(close)}", threshold=limit, passed=True)
            second = f"below {dollars(opened)}, the open of the {window}"
        return Entry(
            row=row,
            direction=_SIDES[0 if is_up else 1],
            close_micros=close,
            trail_bps=self.settings.trail_bps,
            reasons=(
                rule,
                Reason(
                    rule="upper_half" if is_up else "falling_in_the_window",
                    value=f"close {dollars(close)}",
                    threshold=second,
                    passed=True,
                ),
                self._vix_reason(context.vix),
                window_reason("signal_window", context.windows, minute.ts_event),
            ),
        )

    def _vix_reason(self, vix: VixObserved | None) -> Reason:
        value = f"{number(vix.vix_hundredths, HUNDREDTHS)} of {vix.as_of_date}" if vix else "unknown"
        least = number(self.settings.close_vix_hundredths_min, HUNDREDTHS)
        return Reason(rule="vix", value=value, threshold=f"at least {least}", passed=vix is not None)


_KNOWN_SETTINGS: Final = {
    "close_high_proximity_ppm": 10_000,
    "close_analysis_ns": 2 * NS_PER_MINUTE,
    "analysis_bars_percent_min": 80,
}
#: The first minute is before the analysis, the second and third are all of it.
_KNOWN_WINDOWS: Final = Windows(
    data_from_ns=0,
    analysis_from_ns=NS_PER_MINUTE,
    signals_from_ns=3 * NS_PER_MINUTE,
    signals_until_ns=10 * NS_PER_MINUTE,
    exit_at_ns=10 * NS_PER_MINUTE,
)
_SHARES: Final = (100, 100, 100)
_KNOWN_MINUTES: Final = (
    known_minute(NS_PER_MINUTE, (95, 95, 95), (110, 110, 110), (90, 90, 90), (95, 95, 95), _SHARES),
    known_minute(2 * NS_PER_MINUTE, (100, 103, 101), (105, 105, 105), (99, 99, 99), (104, 101, 101), _SHARES),
    known_minute(3 * NS_PER_MINUTE, (104, 101, 101), (109, 101, 101), (104, 99, 99), (109, 99, 100), _SHARES),
)
