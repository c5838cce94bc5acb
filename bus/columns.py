"""Columns of numbers on the wire: int64, little-endian, packed without gaps; element i belongs to symbol i.

A minute of thousands of names is then a handful of byte strings, which numpy reads without copying and the services
without numpy read one number at a time.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from struct import Struct
from typing import Final

WIDTH: Final = 8
_ONE: Final = Struct("<q")
#: How many lists of names are remembered with their rows. A feed says the same few lists all day.
_KNOWN_MAX: Final = 32
_known: dict[int, tuple[tuple[str, ...], dict[str, int]]] = {}


def pack(values: Iterable[int]) -> bytes:
    """Return integers as a column.

    Raises:
        OverflowError: a value does not fit 64 bits.

    >>> pack([1, -1]).hex()
    '0100000000000000ffffffffffffffff'
    """
    column = array("q", values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def unpack(column: bytes) -> list[int]:
    """Return the integers of a column.

    >>> unpack(pack([3, 0]))
    [3, 0]
    """
    values = array("q", column)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def value_at(column: bytes, row: int) -> int:
    """Return one integer of a column.

    >>> value_at(pack([3, 7]), 1)
    7
    """
    value: int = _ONE.unpack_from(column, row * WIDTH)[0]
    return value


def check_columns(symbols: tuple[str, ...], columns: tuple[bytes, ...]) -> None:
    """Check that each column has one number for each symbol.

    Raises:
        ValueError: it has not.
    """
    size = len(symbols) * WIDTH
    for column in columns:
        if len(column) != size:
            raise ValueError(f"a column has {len(column)} bytes for {len(symbols)} symbols and must have {size}")


class Picks:
    """Takes the numbers of the same few names out of batch after batch.

    Args:
        wanted: the names, in the order of the answers; each may be there more than once.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = tuple(wanted)
        self._symbols: tuple[str, ...] | None = None
        self._take: Callable[[list[int]], Sequence[int]] | None = None

    def of(self, symbols: tuple[str, ...], *columns: bytes) -> list[Sequence[int]] | None:
        """Return each column's numbers for the wanted names; None when the batch does not have them all.

        `symbols` are the batch's; for the very same tuple as last time nothing is looked up again.
        """
        if symbols is not self._symbols:
            self._symbols = symbols
            self._take = self._taker(rows_of(symbols))
        take = self._take
        return None if take is None else [take(unpack(column)) for column in columns]

    def _taker(self, rows: dict[str, int]) -> Callable[[list[int]], Sequence[int]] | None:
        found = [rows[symbol] for symbol in self.wanted if symbol in rows]
        if not found or len(found) < len(self.wanted):
            return None
        if len(found) == 1:
            row = found[0]
            return lambda values: (values[row],)
        return itemgetter(*found)


def rows_of(symbols: tuple[str, ...]) -> dict[str, int]:
    """Return each symbol's place. The answer is remembered for the very same tuple, so it must not be changed.

    >>> rows_of(("AIG", "SPY"))
    {'AIG': 0, 'SPY': 1}
    """
    known = _known.get(id(symbols))
    # Holding the tuple keeps its id from being given to another one.
    if known is not None and known[0] is symbols:
        return known[1]
    rows = {symbol: row for row, symbol in enumerate(symbols)}
    if len(_known) >= _KNOWN_MAX:
        _known.clear()
    _known[id(symbols)] = (symbols, rows)
    return rows
