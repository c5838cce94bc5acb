"""Columns of numbers on the wire: int64, little-endian, packed without gaps; element i belongs to symbol i.

A minute of thousands of names is then a handful of byte strings, which numpy reads without copying and the services
without numpy read one number at a time.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Final

WIDTH: Final = 8
#: The row of a name that a batch does not have.
_ABSENT: Final = -1
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
    return _values(column).tolist()


def _values(column: bytes) -> "array[int]":
    values = array("q", column)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def views_of(*columns: bytes) -> tuple[Sequence[int], ...]:
    """Return the columns as sequences of integers; on most machines nothing is copied.

    >>> [view[1] for view in views_of(pack([3, 7]), pack([0, 1]))]
    [7, 1]
    """
    return tuple([_view_of(column) for column in columns])


def _view_of(column: bytes) -> Sequence[int]:
    return _values(column) if sys.byteorder == "big" else memoryview(column).cast("q")


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
    """Takes the numbers of the same few names out of batch after batch; names come and go one at a time.

    Args:
        wanted: the names, in the order of the answers; each may be there more than once.
    """

    def __init__(self, wanted: Iterable[str] = ()) -> None:
        self._names = list(wanted)
        self._wanted: tuple[str, ...] | None = None
        self._symbols: tuple[str, ...] | None = None
        #: The place of each name in the newest list of symbols, and how many names it lacks.
        self._rows: list[int] = []
        self._absent = 0
        self._take: Callable[[Sequence[int]], Sequence[int]] | None = None
        #: The newest columns, and what was taken out of each.
        self._taken: tuple[tuple[bytes, ...], list[Sequence[int]]] = ((), [])

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the names; the very same tuple until one comes or goes."""
        if self._wanted is None:
            self._wanted = tuple(self._names)
        return self._wanted

    def append(self, name: str) -> None:
        """Want one more name, after the others."""
        self._names.append(name)
        self._wanted = self._take = None
        if self._symbols is not None:
            row = rows_of(self._symbols).get(name, _ABSENT)
            self._rows.append(row)
            self._absent += row == _ABSENT

    def drop(self, place: int) -> None:
        """Want the name of this place no longer; the last one takes its place."""
        last = self._names.pop()
        if place < len(self._names):
            self._names[place] = last
        self._wanted = self._take = None
        if self._symbols is not None:
            self._absent -= self._rows[place] == _ABSENT
            row = self._rows.pop()
            if place < len(self._rows):
                self._rows[place] = row

    def rows_in(self, symbols: tuple[str, ...]) -> list[int] | None:
        """Return the place of each wanted name in a batch's list of names; None when it does not have them all.

        For the very same tuple as last time nothing is looked up again. The answer must not be changed.
        """
        if symbols is not self._symbols:
            place_of = rows_of(symbols)
            self._symbols = symbols
            self._rows = [place_of.get(name, _ABSENT) for name in self._names]
            self._absent, self._take = self._rows.count(_ABSENT), None
        return None if self._absent else self._rows

    def of(self, symbols: tuple[str, ...], *columns: bytes) -> list[Sequence[int]] | None:
        """Return each column's numbers for the wanted names; None when the batch does not have them all.

        `symbols` are the batch's; for the very same tuple as last time nothing is looked up again.
        """
        if not self.rows_in(symbols):
            return None
        take = self._take
        if take is None:
            take = self._take = _taker(self._rows)
            self._taken = ((), [])
        said, taken = self._taken
        if len(said) != len(columns):
            said, taken = (b"",) * len(columns), [()] * len(columns)
        found = [
            # What a feed says again it often says with the very same column.
            old if column is known else take(_view_of(column))
            for column, known, old in zip(columns, said, taken, strict=True)
        ]
        self._taken = columns, found
        return found


def _taker(rows: list[int]) -> Callable[[Sequence[int]], Sequence[int]]:
    if len(rows) == 1:
        row = rows[0]
        return lambda values: (values[row],)
    return itemgetter(*rows)


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
