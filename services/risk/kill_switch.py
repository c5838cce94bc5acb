"""The kill switch: a day's loss beyond DAILY_LOSS_LIMIT stops the chain, once in a session."""

from bus.messages import KillSwitchTripped

_PPM = 1_000_000


def loss_limit_micros(start_equity_micros: int, daily_loss_limit_ppm: int) -> int:
    """Return the loss that is still allowed, as a positive amount; 0 without equity."""
    return max(start_equity_micros, 0) * daily_loss_limit_ppm // _PPM


def is_breached(pnl_micros: int, limit_micros: int) -> bool:
    """Tell whether the loss is beyond the limit; a loss of exactly the limit is not."""
    return pnl_micros < -limit_micros


def trip(session_date: str, *, pnl_micros: int, limit_micros: int, now_ns: int) -> KillSwitchTripped:
    """Return the event that blocks every entry of the session and, through the watchdog, halts the chain."""
    return KillSwitchTripped(
        ts_event=now_ns,
        ts_init=now_ns,
        session_date=session_date,
        pnl_micros=pnl_micros,
        limit_micros=limit_micros,
    )
