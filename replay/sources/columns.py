"""A session's columns for those who make them: empty arrays to be filled in, and what tells two sessions apart."""

import hashlib

import numpy as np
from msgspec.json import encode

from services.screener.steps import BarColumns, MarketDay, QuoteColumns

_MOMENTS = 4


def digest_of(day: MarketDay) -> str:
    """Return the SHA-256 of everything that is played, in hex; the source's name is not part of it."""
    said = hashlib.sha256(encode((day.symbols, day.rows)))
    if day.chains:
        said.update(encode(day.chains))
    for columns in (day.bars, day.quotes):
        for name in columns.__struct_fields__:
            said.update(np.ascontiguousarray(getattr(columns, name), dtype="<i8").tobytes())
    return said.hexdigest()


def empty_bars(minutes: int, names: int) -> BarColumns:
    """Return bars in which nothing trades, to be filled in."""
    blank = [np.zeros((minutes, names), dtype=np.int64) for _ in BarColumns.__struct_fields__]
    return BarColumns(**dict(zip(BarColumns.__struct_fields__, blank, strict=True)))


def empty_quotes(minutes: int, names: int) -> QuoteColumns:
    """Return quotes without any side, to be filled in."""
    sides = [np.zeros((minutes, _MOMENTS, names), dtype=np.int64) for _ in range(2)]
    sizes = [np.zeros((minutes, names), dtype=np.int64) for _ in range(2)]
    return QuoteColumns(bids=sides[0], asks=sides[1], bid_sizes=sizes[0], ask_sizes=sizes[1])
