"""The day's names in rank order, and where the bars of a batch lie in arrays of that order."""

from operator import attrgetter
from typing import Literal

import numpy as np
from msgspec import Struct

from bus.messages import BarBatch, CandidatesRanked
from services.strategy.open import IntArray, as_array

BarField = Literal["highs_micros", "lows_micros", "closes_micros"]


class WatchList(Struct, frozen=True, kw_only=True):
    """The names of a session; row i of every array is `symbols[i]`. No date before the first list."""

    session_date: str
    symbols: tuple[str, ...]
    row_of: dict[str, int]


class Alignment(Struct, frozen=True, kw_only=True, eq=False):
    """Where a batch's bars lie: bar `picks[k]` of the batch belongs to row `rows[k]`. None picks all bars."""

    batch_symbols: tuple[str, ...]
    picks: IntArray | None
    rows: IntArray


NO_WATCH_LIST = WatchList(session_date="", symbols=(), row_of={})


def watch_list(ranked: CandidatesRanked) -> WatchList:
    """Return the candidates' names in rank order, each once."""
    in_order = sorted(ranked.candidates, key=attrgetter("rank"))
    symbols = tuple(dict.fromkeys(candidate.symbol for candidate in in_order))
    row_of = {symbol: row for row, symbol in enumerate(symbols)}
    return WatchList(session_date=ranked.session_date, symbols=symbols, row_of=row_of)


def align(watch: WatchList, symbols: tuple[str, ...], last: Alignment | None) -> Alignment:
    """Find the rows of these names' bars; those of other names, and a second bar of a name, are left out.

    `last` is the previous answer for the same watch list: it stands when the batch has the same names in
    the same order, which is the common case and spares one dictionary look-up per name.
    """
    if last is not None and symbols == last.batch_symbols:
        return last
    first_pick: dict[int, int] = {}
    for pick, symbol in enumerate(symbols):
        row = watch.row_of.get(symbol)
        if row is not None:
            first_pick.setdefault(row, pick)
    is_all = len(first_pick) == len(symbols)
    picks = None if is_all else as_array(list(first_pick.values()))
    return Alignment(batch_symbols=symbols, picks=picks, rows=as_array(list(first_pick)))


def column(batch: BarBatch, alignment: Alignment, field: BarField) -> IntArray:
    """Return one column of the aligned bars, in micro-dollars, parallel to `alignment.rows`; read-only."""
    values: IntArray = np.frombuffer(getattr(batch, field), dtype="<i8")
    return values if alignment.picks is None else values[alignment.picks]
