"""What a feed writes as decimal or binary fractions, in our units: micro-dollars and nano-shares. Pure."""

from decimal import Decimal
from typing import Final

from bus.messages import MICROS, NANOS, PRICE_MICROS_MAX

_SIZE_NANOS_MAX: Final = 2**62


def micros(value: object) -> int:
    """Return dollars as micro-dollars, rounded; 0 where it is no price: absent, not a number, negative, too large.

    >>> micros(100.02), micros(-1.0), micros(1.7976931348623157e308), micros("x")
    (100020000, 0, 0, 0)
    """
    return _scaled(value, MICROS, PRICE_MICROS_MAX)


def nanos(value: object) -> int:
    """Return shares or contracts as billionths, rounded; 0 where it is no count."""
    return _scaled(value, NANOS, _SIZE_NANOS_MAX)


def _scaled(value: object, scale: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    number = Decimal(str(value))
    if not number.is_finite() or not 0 < number * scale <= most:
        return 0
    return round(number * scale)
