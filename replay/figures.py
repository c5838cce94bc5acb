"""Money, shares and ratios as exact text: integers and Decimal in, no float anywhere."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from bus.messages import MICROS, NANOS

_MICRO_DIGITS: Final = 6
_NANO_DIGITS: Final = 9


def money(micros: int) -> str:
    """Write micro-dollars as dollars, exact, with at least two decimals.

    >>> money(-1_234_500)
    '-1.2345'
    """
    return _fixed(micros, MICROS, _MICRO_DIGITS, least=2)


def shares(nanos: int) -> str:
    """Write nano-shares as shares, exact, without needless zeros.

    >>> shares(1_500_000_000)
    '1.5'
    """
    return _fixed(nanos, NANOS, _NANO_DIGITS, least=0)


def ratio(numerator: int | Decimal, denominator: int | Decimal, places: int = 6) -> str | None:
    """Write a quotient with so many decimals, half to even; None when there is nothing to divide by.

    >>> ratio(1, 3, 4)
    '0.3333'
    """
    return rounded(Decimal(numerator) / Decimal(denominator), places) if denominator else None


def rounded(value: Decimal, places: int) -> str:
    """Write a number with so many decimals, half to even."""
    return str(value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN))


def dollars(micros: int) -> str:
    """Write micro-dollars for people: whole cents, half to even, thousands apart, a sign only when negative.

    >>> dollars(-1_234_560_000)
    '-$1,234.56'
    """
    cents = Decimal(abs(micros)).scaleb(-_MICRO_DIGITS).quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)
    return f"{'-' if micros < 0 and cents else ''}${cents:,}"


def _fixed(value: int, scale: int, digits: int, *, least: int) -> str:
    whole, rest = divmod(abs(value), scale)
    decimals = f"{rest:0{digits}d}".rstrip("0").ljust(least, "0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"
