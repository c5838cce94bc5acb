"""The arrays that strategies keep: one row for each name of the watch list."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

S = TypeVar("S")

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
MaskArray = NDArray[np.bool_]

PPM = 1_000_000


def as_array(values: Sequence[int]) -> IntArray:
    """Return integers as an int64 array."""
    return np.array(values, dtype=np.int64)


def with_rows(state: S, more: S, none: S) -> S:
    """Return a state with the rows of another one after its own; what is no array stays as it is.

    Args:
        state: a Struct of arrays and of other such Structs.
        more: the same, of the names that are added.
        none: the same, of no names: an array's axis of names is the one that is empty there.
    """
    if isinstance(state, np.ndarray) and isinstance(more, np.ndarray) and isinstance(none, np.ndarray):
        return np.concatenate((state, more), axis=none.shape.index(0))  # type: ignore[return-value]  # S is an array
    if not isinstance(state, Struct):
        return state
    parts = {
        name: with_rows(getattr(state, name), getattr(more, name), getattr(none, name))
        for name in state.__struct_fields__
    }
    return replace(state, **parts)


def share_of(prices: IntArray, ppm: int) -> IntArray:
    """Return floor(price x ppm / PPM) of each price.

    Splitting the price at PPM keeps each product inside 64 bits for every price a message can carry.
    """
    whole, rest = np.divmod(prices, PPM)
    share: IntArray = whole * ppm + rest * ppm // PPM
    return share
