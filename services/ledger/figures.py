"""Write scaled integers as people read them. Exact: no float."""

from bus.messages import MICROS, NANOS

_CENT_MICROS = 10_000


def dollars(amount_micros: int) -> str:
    """Write micro-dollars with two places, or with six where there is a part of a cent.

    >>> dollars(-1_234_500_000)
    '-1,234.50'
    """
    whole, rest = divmod(abs(amount_micros), MICROS)
    places = f"{rest // _CENT_MICROS:02d}" if rest % _CENT_MICROS == 0 else f"{rest:06d}"
    return f"{'-' if amount_micros < 0 else ''}{whole:,}.{places}"


def shares(qty_nanos: int) -> str:
    """Write billionths of a share without needless zeros.

    >>> shares(2_500_000_000)
    '2.5'
    """
    whole, rest = divmod(abs(qty_nanos), NANOS)
    places = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if qty_nanos < 0 else ''}{whole}{places}"
