"""The arrays that strategies keep: one row for each name of the watch list."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
MaskArray = NDArray[np.bool_]

PPM = 1_000_000


def as_array(values: Sequence[int]) -> IntArray:
    """Return integers as an int64 array."""
    return np.array(values, dtype=np.int64)


def share_of(prices: IntArray, ppm: int) -> IntArray:
    """Return floor(price x ppm / PPM) of each price.

    Splitting the price at PPM keeps each product inside 64 bits for every price a message can carry.
    """
    whole, rest = np.divmod(prices, PPM)
    share: IntArray = whole * ppm + rest * ppm // PPM
    return share
