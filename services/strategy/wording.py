"""Numbers in words, exact to the micro-dollar."""

from functools import lru_cache
from typing import Final

from bus.messages import MICROS, Reason
from config.env_bot_rules import hhmm
from services.strategy.settings import NS_PER_MINUTE, PPM_PER_PERCENT
from services.strategy.windows import Windows

#: The same few settings and minutes are put into words again and again: a day has fewer minutes than this.
_KEPT: Final = 2_048


def dollars(micros: int) -> str:
    """Write micro-dollars with two decimals, and with up to six where they count.

    >>> dollars(10_500_000), dollars(10_505_250)
    ('$10.50', '$10.50525')
    """
    whole, rest = divmod(micros, MICROS)
    decimals = f"{rest:06d}"
    return f"${whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


@lru_cache(_KEPT)
def percent(ppm: int) -> str:
    """Write parts per million as a percentage with two to four decimals.

    >>> percent(1_000)
    '0.10'
    """
    whole, rest = divmod(ppm, PPM_PER_PERCENT)
    decimals = f"{rest:04d}"
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def number(scaled: int, scale: int) -> str:
    """Write a scaled integer as a decimal number with one to three decimals.

    >>> number(25_000, 1_000), number(1_875, 100)
    ('25.0', '18.75')
    """
    text = f"{scaled / scale:.3f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


@lru_cache(_KEPT)
def utc_hhmm(ts_ns: int) -> str:
    """Write the UTC time of day of nanoseconds since 1970 as HH:MM."""
    return hhmm(ts_ns // NS_PER_MINUTE % (24 * 60))


def window_reason(rule: str, windows: Windows, bar_end_ns: int) -> Reason:
    """Return the reason that says in which minute of the signal window something was seen."""
    return Reason(
        rule=rule,
        value=f"minute of {utc_hhmm(bar_end_ns - NS_PER_MINUTE)} UTC",
        threshold=f"{utc_hhmm(windows.signals_from_ns)} to {utc_hhmm(windows.signals_until_ns)} UTC",
        passed=True,
    )
