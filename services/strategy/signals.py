"""A breakout in words: the signal that follows from it, or the rule by which none does, with its numbers."""

from msgspec import Struct

from bus.messages import MICROS, Direction, Reason, SessionPlanned, SignalRaised, SignalSuppressed
from config.env_bot_rules import hhmm
from services.strategy.inverse_etfs import inverse_of, is_inverse_etf
from services.strategy.open_windows import OpenWindows
from services.strategy.settings import NS_PER_MINUTE, PPM_PER_PERCENT, StrategySettings


class Breakout(Struct, frozen=True, kw_only=True):
    """One name closed a minute beyond its opening range."""

    symbol: str
    direction: Direction
    close_micros: int
    limit_micros: int
    high_micros: int
    low_micros: int
    bar_end_ns: int


class SignalMaker(Struct, frozen=True, kw_only=True):
    """Turns the breakouts of one minute into events; `now_ns` is session time."""

    plan: SessionPlanned
    windows: OpenWindows
    settings: StrategySettings
    now_ns: int

    def event(self, breakout: Breakout) -> SignalRaised | SignalSuppressed:
        """Return the signal, or why there is none."""
        if is_inverse_etf(breakout.symbol):
            detail = "It is an inverse ETF: it is bought on the signal of its underlying, never on its own"
            return self._suppressed(breakout, rule="is_inverse_etf", detail=detail)
        if breakout.direction == "BULLISH":
            return self._raised(breakout, instrument=breakout.symbol, reference_micros=breakout.close_micros)
        if self.settings.short_type_open != "InverseETF":
            # SHORT_TYPE_OPEN disabled: the operator does not want bearish positions.
            detail = f"SHORT_TYPE_OPEN is {self.settings.short_type_open}"
            return self._suppressed(breakout, rule="short_type_disabled", detail=detail)
        instrument = inverse_of(breakout.symbol)
        if instrument is None:
            # SHORT_TYPE_OPEN InverseETF, but no fund is the opposite of this name.
            detail = f"SHORT_TYPE_OPEN is InverseETF, but no -1x fund is known for {breakout.symbol}"
            return self._suppressed(breakout, rule="no_inverse_etf", detail=detail)
        # The bars are the underlying's: what the fund costs is known to risk alone, from its quote.
        return self._raised(breakout, instrument=instrument, reference_micros=0)

    def _raised(self, breakout: Breakout, *, instrument: str, reference_micros: int) -> SignalRaised:
        date = self.plan.session_date
        return SignalRaised(
            ts_event=breakout.bar_end_ns,
            ts_init=self.now_ns,
            signal_id=f"{date}:open:{breakout.symbol}:{breakout.direction}",
            session_date=date,
            strategy="open",
            symbol=breakout.symbol,
            direction=breakout.direction,
            instrument=instrument,
            reference_micros=reference_micros,
            trail_bps=self.settings.trail_bps,
            expires_ns=self.now_ns + self.settings.signal_ttl_ns,
            exit_at_ns=self.windows.exit_at_ns,
            reasons=self._reasons(breakout),
        )

    def _suppressed(self, breakout: Breakout, *, rule: str, detail: str) -> SignalSuppressed:
        return SignalSuppressed(
            ts_event=breakout.bar_end_ns,
            ts_init=self.now_ns,
            session_date=self.plan.session_date,
            strategy="open",
            symbol=breakout.symbol,
            direction=breakout.direction,
            rule=rule,
            detail=detail,
        )

    def _reasons(self, breakout: Breakout) -> tuple[Reason, ...]:
        is_up = breakout.direction == "BULLISH"
        side, edge = ("above", breakout.high_micros) if is_up else ("below", breakout.low_micros)
        edge_name, sign = ("high", "+") if is_up else ("low", "-")
        buffer = percent(self.settings.open_buffer_ppm)
        windows = self.windows
        range_times = f"{utc_hhmm(windows.start_ns)} to {utc_hhmm(windows.range_end_ns)} UTC"
        breakout_times = f"{utc_hhmm(windows.range_end_ns)} to {utc_hhmm(windows.breakout_end_ns)} UTC"
        return (
            Reason(
                rule=f"close_{side}_range_{edge_name}",
                value=f"close {dollars(breakout.close_micros)}",
                threshold=f"{side} {dollars(breakout.limit_micros)} "
                f"(range {edge_name} {dollars(edge)} {sign} {buffer} %)",
                passed=True,
            ),
            Reason(
                rule="opening_range",
                value=f"high {dollars(breakout.high_micros)}, low {dollars(breakout.low_micros)}",
                threshold=f"complete over {self.settings.analysis_minutes} minutes, {range_times}",
                passed=True,
            ),
            Reason(
                rule="breakout_window",
                value=f"minute of {utc_hhmm(breakout.bar_end_ns - NS_PER_MINUTE)} UTC",
                threshold=breakout_times,
                passed=True,
            ),
        )


def dollars(micros: int) -> str:
    """Write micro-dollars with two decimals, and with up to six where they count.

    >>> dollars(10_500_000), dollars(10_505_250)
    ('$10.50', '$10.50525')
    """
    whole, rest = divmod(micros, MICROS)
    decimals = f"{rest:06d}"
    return f"${whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def percent(ppm: int) -> str:
    """Write parts per million as a percentage with two to four decimals.

    >>> percent(1_000)
    '0.10'
    """
    whole, rest = divmod(ppm, PPM_PER_PERCENT)
    decimals = f"{rest:04d}"
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def utc_hhmm(ts_ns: int) -> str:
    """Write the UTC time of day of nanoseconds since 1970 as HH:MM."""
    return hhmm(ts_ns // NS_PER_MINUTE % (24 * 60))
