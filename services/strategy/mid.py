"""The mid strategy: a name far from its volume-weighted average price is expected to come back to it.

Below the average it is bought, above it its inverse is; both only where the close is also beyond the Bollinger band of
that side and the ADX shows no strong trend. The position is sold when the name is back at the average, which moves on,
at its stop, or at the end of the window.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from bus.messages import Direction, ExitSignalled, Reason, SessionPlanned, SignalRaised, SignalSuppressed, StrategyName
from services.strategy import indicators as ind
from services.strategy.arrays import PPM, FloatArray, MaskArray, as_array
from services.strategy.settings import MILLI, NS_PER_MINUTE
from services.strategy.strategy import (
    IS_INVERSE_ETF,
    Context,
    Entry,
    Exit,
    Finding,
    NoEntry,
    SignalEvent,
    Strategy,
    bars_missed,
    known_minute,
    wrong_answers,
)
from services.strategy.watch_list import Minute
from services.strategy.windows import Windows, windows_of
from services.strategy.wording import dollars, number, percent, utc_hhmm, window_reason

#: The stop is never nearer than the least TRAILING_STOP: within the spread it would sell at once.
TRAIL_BPS_MIN: Final = 10
_BPS: Final = 10_000
_SIDES: Final[tuple[Direction, Direction]] = ("BULLISH", "BEARISH")
_TOO_STRONG: Final = "strong_trend"


class MidState(Struct, frozen=True, kw_only=True, eq=False):
    """What is measured since the open, and for each side (first axis: bullish, bearish) what was said of a name.

    `is_done`: its one signal was raised or suppressed for good. `is_open`: its signal waits for the way back.
    `is_told`: it was said that the trend is too strong.
    """

    vwap: ind.VolumeWeighted
    closes: ind.Closes
    directional: ind.Directional
    is_done: MaskArray
    is_open: MaskArray
    is_told: MaskArray


class MidStrategy(Strategy[MidState]):
    """Buys what is STRAT_MID_VWAP_THRESHOLD below its VWAP, and the inverse of what is as far above.

    It journals nothing of its own: its measures begin at the open, so a process that missed a minute raises nothing
    more that day, and what it bought is sold at its stop or at the end of the window.
    """

    name: ClassVar[StrategyName] = "mid"
    times: ClassVar[str] = "from START_TIME_MID for MID_ANALYSIS_TIME"
    silencing_rules: ClassVar[frozenset[str]] = frozenset({"bars_missed"})
    known_case: ClassVar[str] = "five minutes of a name that falls, one that runs up and one that stands still"

    def windows(self, plan: SessionPlanned) -> Windows:
        """Resolve MID_ANALYSIS_TIME, MID_SIGNAL_TIME and MID_MONITORING_TIME; the measures begin at the open."""
        settings = self.settings
        lengths = (settings.mid_analysis_ns, settings.mid_signal_ns, settings.mid_monitoring_ns)
        return windows_of(plan, plan.start_mid_ns, lengths, data_from_ns=plan.open_ns)

    def blank(self, names: int) -> MidState:
        """Return the state before the first bar."""
        return MidState(
            vwap=ind.blank_vwap(names),
            closes=ind.blank_closes(names, self.settings.mid_bollinger_period),
            directional=ind.blank_directional(names),
            is_done=np.zeros((2, names), np.bool_),
            is_open=np.zeros((2, names), np.bool_),
            is_told=np.zeros((2, names), np.bool_),
        )

    def restarted(self, state: MidState) -> MidState:
        """Return blank measures; what was said stays said."""
        blank = self.blank(state.is_done.shape[1])
        return replace(blank, is_done=state.is_done, is_open=state.is_open, is_told=state.is_told)

    def observe(self, state: MidState, minute: Minute, windows: Windows) -> MidState:
        """Fold a minute into the measures, in place, as long as they are needed."""
        if minute.ts_event <= windows.exit_at_ns:
            ind.fold_vwap(state.vwap, minute)
            ind.fold_closes(state.closes, minute)
            ind.fold_directional(state.directional, minute, self.settings.mid_adx_period)
        return state

    def decide(self, state: MidState, minute: Minute, context: Context) -> Sequence[Finding]:
        """Return the ways back to VWAP, then the names that are far from it."""
        if minute.ts_event >= context.windows.exit_at_ns:
            return ()
        if context.is_blind:
            return (bars_missed(self.name, "since the open", "neither VWAP nor ADX"),)
        vwap = ind.vwap_of(state.vwap, minute.index)
        findings: list[Finding] = []
        if state.is_open.any():
            findings.extend(_exits(state, minute, vwap))
        if context.may_enter:
            findings.extend(self._entries(state, minute, vwap, context.windows))
        return findings

    def fold(self, state: MidState, event: SignalEvent, row: int) -> MidState:
        """Note what was said of a name: its signal, its suppression, or its way back."""
        side = _SIDES.index(event.direction)
        match event:
            case ExitSignalled():
                return replace(state, is_open=_with(state.is_open, side, row, value=False))
            case SignalRaised():
                done, is_open = _with(state.is_done, side, row), _with(state.is_open, side, row)
                return replace(state, is_done=done, is_open=is_open)
            case SignalSuppressed() if event.rule == _TOO_STRONG:
                return replace(state, is_told=_with(state.is_told, side, row))
            case SignalSuppressed():
                # Said of an inverse ETF once is enough: the other side would be suppressed for the same reason.
                sides = slice(None) if event.rule == IS_INVERSE_ETF else side
                return replace(state, is_done=_with(state.is_done, sides, row))

    def self_check(self) -> tuple[str, ...]:
        """Run a name that falls away from its VWAP, one that runs up and one that stands still; then the way back.

        The first had 100 five times but for the last minute's 96 to 100, closed at 97: its VWAP is (4 x 100 + 293 / 3)
        / 5, the mean of its last four closes 99.25 with a deviation of 1.299, its ADX (0 + 100) / 2 and its average
        range (2 + 4) / 2.
        """
        known = MidStrategy(replace(self.settings, **_KNOWN_SETTINGS))
        state, windows = known.blank(3), _KNOWN_WINDOWS
        for minute in _KNOWN_MINUTES:
            state = known.observe(state, minute, windows)
        vwap = ind.vwap_of(state.vwap, slice(0, 3))
        lower = ind.bands_of(state.closes, as_array([0]), 1.0)[0]
        found = known._entries(state, _KNOWN_MINUTES[-1], vwap, windows)
        said = [(type(one).__name__, getattr(one, "row", -1), getattr(one, "direction", "")) for one in found]
        trails = [one.trail_bps for one in found if isinstance(one, Entry)]
        waiting = replace(state, is_open=_with(state.is_open, 0, 0))
        exits = [
            [one.row for one in _exits(waiting, minute, vwap) if isinstance(one, Exit)]
            for minute in _KNOWN_MINUTES[-2:]
        ]
        return wrong_answers(
            (
                ("VWAP in cents", round(float(vwap[0]) / 10_000, 4), 9_953.3333),
                ("the lower band in cents", round(float(lower[0]) / 10_000, 4), 9_795.0962),
                ("ADX", np.round(state.directional.adx, 6).tolist(), [50.0, 100.0, 0.0]),
                ("signals", said, [("Entry", 0, "BULLISH"), ("NoEntry", 1, "BEARISH")]),
                ("the stop in basis points", trails, [310]),
                ("the ways back to VWAP", exits, [[0], []]),
            )
        )

    def _entries(self, state: MidState, minute: Minute, vwap: FloatArray, windows: Windows) -> list[Finding]:
        settings, closes = self.settings, minute.closes
        # STRAT_MID_VWAP_THRESHOLD.
        is_far = np.abs(closes - vwap) >= vwap * (settings.mid_vwap_threshold_ppm / PPM)
        is_above = closes > vwap
        is_done = np.where(is_above, state.is_done[1][minute.index], state.is_done[0][minute.index])
        places = np.flatnonzero(is_far & ~is_done & (vwap > 0))
        if not places.size:
            return []
        rows = minute.rows[places]
        lower, _, upper = ind.bands_of(state.closes, rows, settings.mid_bollinger_width_milli / MILLI)
        beyond = np.where(is_above[places], closes[places] >= upper, closes[places] <= lower)
        # A band without a width confirms nothing.
        is_ready = ind.has_bands(state.closes, rows) & ind.has_adx(state.directional, rows, settings.mid_adx_period)
        return [
            finding
            for k in np.flatnonzero(beyond & is_ready & (upper > lower)).tolist()
            if (
                finding := self._finding(
                    state,
                    minute,
                    place=int(places[k]),
                    levels=(float(vwap[places[k]]), float(lower[k]), float(upper[k])),
                    windows=windows,
                )
            )
        ]

    def _finding(
        self, state: MidState, minute: Minute, *, place: int, levels: tuple[float, float, float], windows: Windows
    ) -> Entry | NoEntry | None:
        row, close = int(minute.rows[place]), int(minute.closes[place])
        vwap = levels[0]
        side = 1 if close > vwap else 0
        adx, adx_max = float(state.directional.adx[row]), self.settings.mid_adx_max_milli / MILLI
        reasons = self._reasons(close, levels, adx)
        if adx >= adx_max:
            # STRAT_MID_ADX_MAX: a name that trends is not expected back. It may be later, when the trend is over.
            if state.is_told[side, row]:
                return None
            detail = f"ADX {adx:.1f} is not below {adx_max:.1f}: {reasons[0].value}, {reasons[0].threshold}"
            return NoEntry(row=row, direction=_SIDES[side], rule=_TOO_STRONG, detail=detail)
        return Entry(
            row=row,
            direction=_SIDES[side],
            close_micros=close,
            trail_bps=self._trail_bps(float(state.directional.ranges[row]), close),
            reasons=(*reasons, window_reason("signal_window", windows, minute.ts_event), _exit_plan(vwap, windows)),
        )

    def _trail_bps(self, atr_micros: float, close_micros: int) -> int:
        """Return STRAT_MID_STOP_ATR times the average true range, within TRAILING_STOP."""
        wanted = math.ceil(atr_micros * self.settings.mid_stop_atr_milli / MILLI / close_micros * _BPS)
        return min(max(wanted, TRAIL_BPS_MIN), self.settings.trail_bps)

    def _reasons(self, close: int, levels: tuple[float, float, float], adx: float) -> tuple[Reason, ...]:
        settings = self.settings
        vwap, lower, upper = levels
        side, band = ("above", upper) if close > vwap else ("below", lower)
        beyond = f"{side} {dollars(round(band))}"
        away = abs(close - vwap) / vwap * 100
        width = number(settings.mid_bollinger_width_milli, MILLI)
        return (
            Reason(
                rule=f"close_{side}_vwap",
                value=f"close {dollars(close)}, {away:.3f} % {side} VWAP {dollars(round(vwap))}",
                threshold=f"at least {percent(settings.mid_vwap_threshold_ppm)} % {side}",
                passed=True,
            ),
            Reason(
                rule="bollinger_band",
                value=f"close {dollars(close)}",
                threshold=f"at or {beyond} (band of {settings.mid_bollinger_period} minutes, {width} wide)",
                passed=True,
            ),
            Reason(
                rule="trend",
                value=f"ADX {adx:.1f} over {settings.mid_adx_period} minutes",
                threshold=f"below {number(settings.mid_adx_max_milli, MILLI)}",
                # STRAT_MID_ADX_MAX
                passed=adx < settings.mid_adx_max_milli / MILLI,
            ),
        )


#: Short periods, a threshold of 1 %, bands one deviation wide, an ADX of 60, a stop of one average range.
_KNOWN_SETTINGS: Final = {
    "mid_vwap_threshold_ppm": 10_000,
    "mid_bollinger_period": 4,
    "mid_bollinger_width_milli": 1_000,
    "mid_adx_period": 2,
    "mid_adx_max_milli": 60_000,
    "mid_stop_atr_milli": 1_000,
    "trail_bps": 500,
}
_KNOWN_WINDOWS: Final = Windows(
    data_from_ns=0, analysis_from_ns=0, signals_from_ns=0, signals_until_ns=10**18, exit_at_ns=10**18
)
_KNOWN_MINUTES: Final = tuple(
    known_minute((number + 1) * NS_PER_MINUTE, (100, up, 50), highs, lows, closes, (100, 100, 100))
    for number, (up, highs, lows, closes) in enumerate(
        (
            (100, (101, 101, 50), (99, 99, 50), (100, 100, 50)),
            (101, (101, 102, 50), (99, 100, 50), (100, 101, 50)),
            (102, (101, 103, 50), (99, 101, 50), (100, 102, 50)),
            (103, (101, 104, 50), (99, 102, 50), (100, 103, 50)),
            (110, (100, 111, 50), (96, 109, 50), (97, 110, 50)),
        )
    )
)


def _exits(state: MidState, minute: Minute, vwap: FloatArray) -> list[Finding]:
    """Return the names whose signal waits for the way back and that are back at their VWAP."""
    found: list[Finding] = []
    backs = (minute.closes >= vwap, minute.closes <= vwap)
    for side, (direction, is_back) in enumerate(zip(_SIDES, backs, strict=True)):
        for place in np.flatnonzero(is_back & state.is_open[side][minute.index]).tolist():
            close, level = dollars(int(minute.closes[place])), dollars(round(float(vwap[place])))
            way = "at or above" if side == 0 else "at or below"
            reason = Reason(rule="back_at_vwap", value=f"close {close}", threshold=f"{way} VWAP {level}", passed=True)
            detail = f"back at VWAP: close {close}, VWAP {level}"
            found.append(Exit(row=int(minute.rows[place]), direction=direction, detail=detail, reasons=(reason,)))
    return found


def _exit_plan(vwap: float, windows: Windows) -> Reason:
    return Reason(
        rule="exit_plan",
        value=f"at VWAP, which is {dollars(round(vwap))} now and moves on",
        threshold=f"or at the stop, or at {utc_hhmm(windows.exit_at_ns)} UTC",
        passed=True,
    )


def _with(flags: MaskArray, side: int | slice, row: int, *, value: bool = True) -> MaskArray:
    changed = flags.copy()
    changed[side, row] = value
    return changed
