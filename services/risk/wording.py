"""Amounts, shares, ratios and times as a person reads them. Integers only: nothing goes through a float."""

from bus.messages import MICROS, NANOS

_CENT_MICROS = 10_000
_HUNDREDTH_MICROS = 100
_SHARE_STEP_NANOS = 100_000
_NS_PER_SECOND = 1_000_000_000
_SECONDS_PER_DAY = 86_400


def dollars(micros: int) -> str:
    """Write micro-dollars: $12.10, -$3.00; four decimals where there is less than a cent.

    >>> dollars(-12_345_000)
    '-$12.3450'
    """
    sign = "-" if micros < 0 else ""
    whole, rest = divmod(abs(micros), MICROS)
    if rest % _CENT_MICROS:
        return f"{sign}${whole:,}.{rest // _HUNDREDTH_MICROS:04d}"
    return f"{sign}${whole:,}.{rest // _CENT_MICROS:02d}"


def percent(part: int, whole: int) -> str:
    """Write part/whole as a percentage, rounded up to two decimals: over a limit never reads as equal."""
    hundredths = -(-part * 10_000 // whole)
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def ppm_percent(ppm: int) -> str:
    """Write millionths as a percentage without idle zeros.

    >>> ppm_percent(15_000)
    '1.5 %'
    """
    whole, rest = divmod(ppm, 10_000)
    decimals = f"{rest:04d}".rstrip("0")
    return f"{whole}.{decimals} %" if decimals else f"{whole} %"


def times(percent_of: int) -> str:
    """Write a factor in percent as how many times, without idle zeros.

    >>> times(1_000), times(250)
    ('10', '2.5')
    """
    whole, rest = divmod(percent_of, 100)
    decimals = f"{rest:02d}".rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)


def shares(nanos: int) -> str:
    """Write billionths of a share as shares, cut to ten-thousandths and without idle zeros.

    >>> shares(1_234 * NANOS), shares(1_500_000_000)
    ('1,234 shares', '1.5 shares')
    """
    whole, rest = divmod(nanos, NANOS)
    decimals = f"{rest // _SHARE_STEP_NANOS:04d}".rstrip("0")
    return f"{whole:,}.{decimals} shares" if decimals else f"{whole:,} shares"


def seconds(ns: int) -> str:
    """Write a duration in seconds with one decimal, rounded up: over a limit never reads as equal to it."""
    tenths = -(-ns * 10 // _NS_PER_SECOND)
    return f"{tenths // 10}.{tenths % 10} s"


def clock_time(ns: int) -> str:
    """Write the time of day of UTC nanoseconds, such as 14:30:00 UTC."""
    of_day = ns // _NS_PER_SECOND % _SECONDS_PER_DAY
    return f"{of_day // 3600:02d}:{of_day // 60 % 60:02d}:{of_day % 60:02d} UTC"
