"""The universe as columns: what each rule measures, one array over all names, by the part of the day."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus.messages import ScanMode
from services.screener.universe import UniverseRow

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Stands for "nobody knows" in every column; no price, count or ratio is as small.
UNKNOWN: Final = int(np.iinfo(np.int64).min)
_BPS: Final = 10_000
#: Above this many micros a price times 10,000 does not fit 64 bits.
_EXACT_MICROS_MAX: Final = (2**63 - 1) // _BPS
_GAP_MAX: Final = 2**62
Column = Literal["price", "gap", "gap_at_least", "volume", "float", "market_cap", "pe", "debt_to_equity"]


class Columns(NamedTuple):
    """All names, in the order of the rows; UNKNOWN where a value is not known.

    `numbers`: price in micros; gap in basis points, its sign kept, rounded away from zero, and `gap_at_least` its size
    rounded towards zero; volume in nanoshares; float in shares; market_cap in dollars; pe and debt_to_equity in
    thousandths. `reference` is what the gap is measured from. `is_outstanding`: the float is the shares outstanding.
    """

    mode: ScanMode
    rows: Sequence[UniverseRow]
    symbols: NDArray[np.str_]
    reference: Ints
    numbers: dict[Column, Ints]
    is_outstanding: Bools


def columns_of(rows: Sequence[UniverseRow], mode: ScanMode) -> Columns:
    """Turn rows into the columns that this part of the day uses.

    pre-market and intraday measure the gap from the prior close, after-hours from the day's own close. pre-market
    counts the volume of the day before, the others that of the day.
    """
    count = len(rows)
    price = _column((row.price_micros for row in rows), count)
    is_after = mode == "after-hours"
    reference = _column((row.day_close_micros if is_after else row.prior_close_micros for row in rows), count)
    is_before = mode == "pre-market"
    volume = _column((row.prior_volume_nanos if is_before else row.day_volume_nanos for row in rows), count)
    floats = _column((row.float_shares for row in rows), count)
    outstanding = _column((row.shares_outstanding for row in rows), count)
    is_outstanding = (floats == 0) & (outstanding > 0)
    gap, at_least = _gaps(price, reference)
    return Columns(
        mode=mode,
        rows=rows,
        symbols=np.array([row.symbol for row in rows], dtype=np.str_),
        reference=reference,
        numbers={
            "price": _known(price),
            "gap": gap,
            "gap_at_least": at_least,
            "volume": _known(volume),
            "float": _known(np.where(is_outstanding, outstanding, floats)),
            "market_cap": _known(_column((row.market_cap_dollars for row in rows), count)),
            "pe": _column((UNKNOWN if row.pe_milli is None else row.pe_milli for row in rows), count),
            "debt_to_equity": _column(
                (UNKNOWN if row.debt_to_equity_milli is None else row.debt_to_equity_milli for row in rows), count
            ),
        },
        is_outstanding=is_outstanding,
    )


def _column(values: Iterable[int], count: int) -> Ints:
    return np.fromiter(values, dtype=np.int64, count=count)


def _known(values: Ints) -> Ints:
    """Say that zero is unknown."""
    return np.where(values == 0, UNKNOWN, values)


def _gaps(price: Ints, reference: Ints) -> tuple[Ints, Ints]:
    """Return how far each price is from its reference in basis points, exactly: (signed and up, size and down).

    Rounded away from zero, a gap beyond an upper limit of whole basis points never rounds onto it; rounded towards
    zero, a gap below a lower limit never does.
    """
    known = (price > 0) & (reference > 0)
    large = known & ((price > _EXACT_MICROS_MAX) | (reference > _EXACT_MICROS_MAX))
    base = np.where(known & ~large, reference, 1)
    moved = np.where(known & ~large, price - reference, 0)
    scaled = np.abs(moved) * _BPS
    down = scaled // base
    up = -(-scaled // base)
    # A share of nine hundred million dollars is no real price, but it must not wrap around: Python's integers do it.
    for place in np.flatnonzero(large).tolist():
        size, rest = divmod(abs(int(price[place]) - int(reference[place])) * _BPS, int(reference[place]))
        down[place], up[place] = min(size, _GAP_MAX), min(size + bool(rest), _GAP_MAX)
    signed = np.where(price >= reference, up, -up)
    return np.where(known, signed, UNKNOWN), np.where(known, down, UNKNOWN)
