"""The kill switch: a day's loss beyond DAILY_LOSS_LIMIT stops the chain, once in a session.

DAILY_LOSS_FROM says what the loss is counted from: the day's start, or the day's best result. Market facts are not
journaled, so a best result is: in steps of a hundredth of the limit and rounded up, which makes the limit tighter.
"""

from typing import Literal

from bus.messages import KillSwitchTripped, ResultPeaked

_PPM = 1_000_000
_STEPS_PER_LIMIT = 100


def loss_limit_micros(start_equity_micros: int, daily_loss_limit_ppm: int) -> int:
    """Return the loss that is still allowed, as a positive amount; 0 without equity."""
    return max(start_equity_micros, 0) * daily_loss_limit_ppm // _PPM


def base_micros(daily_loss_from: Literal["start", "peak"], peak_micros: int) -> int:
    """Return the result that a loss is counted from: the day's best so far, or the 0 that the day began with."""
    # DAILY_LOSS_FROM
    return peak_micros if daily_loss_from == "peak" else 0


def is_breached(pnl_micros: int, limit_micros: int) -> bool:
    """Tell whether the loss is beyond the limit; a loss of exactly the limit is not.

    Args:
        pnl_micros: the result, counted from the day's start or from its peak.
        limit_micros: the loss that is still allowed.
    """
    return pnl_micros < -limit_micros


def peak(session_date: str, *, pnl_micros: int, limit_micros: int, now_ns: int) -> ResultPeaked:
    """Return the event that makes this result, rounded up to the next step, the one that a loss is counted from."""
    step = max(limit_micros // _STEPS_PER_LIMIT, 1)
    return ResultPeaked(
        ts_event=now_ns, ts_init=now_ns, session_date=session_date, peak_micros=-(-pnl_micros // step) * step
    )


def trip(
    session_date: str, *, pnl_micros: int, limit_micros: int, now_ns: int, peak_micros: int = 0
) -> KillSwitchTripped:
    """Return the event that blocks every entry of the session and, through the watchdog, halts the chain."""
    return KillSwitchTripped(
        ts_event=now_ns,
        ts_init=now_ns,
        session_date=session_date,
        pnl_micros=pnl_micros,
        limit_micros=limit_micros,
        peak_micros=peak_micros,
    )
