"""Quantities of shares, as people read them."""

from bus.messages import NANOS


def shares(nanos: int) -> str:
    """Return a quantity in shares, with a sign below zero and as many decimals as it needs.

    >>> shares(1_500_000_000), shares(-3 * NANOS)
    ('1.5', '-3')
    """
    whole, rest = divmod(abs(nanos), NANOS)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nanos < 0 else text
