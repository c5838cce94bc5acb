"""The day's names in rank order, and a minute's bars as arrays of that order.

This is the only place of the service that knows what a BarBatch looks like.
"""

from operator import attrgetter

import numpy as np
from msgspec import Struct

from bus.messages import BarBatch, CandidatesRanked
from services.strategy.arrays import IntArray, as_array


class WatchList(Struct, frozen=True, kw_only=True):
    """The names of a session; row i of every array is `symbols[i]`. No date before the first list.

    A later list adds rows after those that are there. `off` are the rows that are not on the newest list, which is as
    of `listed_ns`.
    """

    session_date: str
    symbols: tuple[str, ...]
    row_of: dict[str, int]
    listed_ns: int = 0
    off: frozenset[int] = frozenset()


class Alignment(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """Where a batch's bars lie: bar `picks[k]` of the batch belongs to row `rows[k]`; rows ascend.

    `picks` is None when every bar is picked in its place. `index` selects the same rows of a state array: a slice
    where they have no gap, which spares copying, else `rows`.
    """

    batch_symbols: tuple[str, ...]
    picks: IntArray | None
    rows: IntArray
    index: slice | IntArray


class Minute(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """The bars of one minute, or of one part of it, as parallel int64 arrays; row `rows[k]` had `closes[k]`.

    Prices are micro-dollars, volumes billionths of a share; `ts_event` is the end of the minute. `index` selects the
    same rows of a state array. Rows ascend, each at most once; names without a trade are absent.
    """

    ts_event: int
    is_last_part: bool
    rows: IntArray
    index: slice | IntArray
    opens: IntArray
    highs: IntArray
    lows: IntArray
    closes: IntArray
    volumes: IntArray


NO_WATCH_LIST = WatchList(session_date="", symbols=(), row_of={})


def watch_list(ranked: CandidatesRanked) -> WatchList:
    """Return the candidates' names in rank order, each once."""
    in_order = sorted(ranked.candidates, key=attrgetter("rank"))
    symbols = tuple(dict.fromkeys(candidate.symbol for candidate in in_order))
    row_of = {symbol: row for row, symbol in enumerate(symbols)}
    return WatchList(session_date=ranked.session_date, symbols=symbols, row_of=row_of, listed_ns=ranked.ts_event)


def followed(watch: WatchList, ranked: CandidatesRanked) -> WatchList:
    """Return the watch list after a later list of its session: names keep their rows, new ones get the next."""
    newest = watch_list(ranked)
    symbols = (*watch.symbols, *(symbol for symbol in newest.symbols if symbol not in watch.row_of))
    off = frozenset(row for row, symbol in enumerate(symbols) if symbol not in newest.row_of)
    row_of = {symbol: row for row, symbol in enumerate(symbols)}
    return WatchList(
        session_date=watch.session_date, symbols=symbols, row_of=row_of, listed_ns=ranked.ts_event, off=off
    )


def minute_of(watch: WatchList, batch: BarBatch, last: Alignment | None) -> tuple[Minute, Alignment]:
    """Return a batch's bars of watched names as arrays, and how they lie, to be given back with the next batch.

    Bars of other names, and a second bar of a name, are left out. So is broken data: a bar without a low or a close,
    or whose low is above its high. `last` stands when the batch has the same names in the same order, which is the
    common case and spares one dictionary look-up per name.
    """
    alignment = _align(watch, batch.symbols, last)
    picks = alignment.picks
    said = (batch.opens_micros, batch.highs_micros, batch.lows_micros, batch.closes_micros, batch.volumes_nanos)
    whole = [_column(column) for column in said]
    columns = whole if picks is None else [column[picks] for column in whole]
    opens, highs, lows, closes, volumes = columns
    rows, index = alignment.rows, alignment.index
    is_sound = (lows > 0) & (highs >= lows) & (closes > 0)
    if np.count_nonzero(is_sound) < is_sound.size:
        rows = index = rows[is_sound]
        opens, highs, lows, closes, volumes = (column[is_sound] for column in columns)
    minute = Minute(
        ts_event=batch.ts_event,
        is_last_part=batch.parts_left == 0,
        rows=rows,
        index=index,
        opens=opens,
        highs=highs,
        lows=lows,
        closes=closes,
        volumes=volumes,
    )
    return minute, alignment


def _column(column: bytes) -> IntArray:
    """Return a column as an array, without copying: it cannot be written to."""
    return np.frombuffer(column, dtype="<i8")


def _align(watch: WatchList, symbols: tuple[str, ...], last: Alignment | None) -> Alignment:
    if last is not None and symbols == last.batch_symbols:
        return last
    pick_of: dict[int, int] = {}
    for pick, symbol in enumerate(symbols):
        row = watch.row_of.get(symbol)
        if row is not None:
            pick_of.setdefault(row, pick)
    in_order = sorted(pick_of)
    picks = [pick_of[row] for row in in_order]
    rows = as_array(in_order)
    is_gapless = bool(in_order) and in_order[-1] - in_order[0] + 1 == len(in_order)
    return Alignment(
        batch_symbols=symbols,
        picks=None if picks == list(range(len(symbols))) else as_array(picks),
        rows=rows,
        index=slice(in_order[0], in_order[-1] + 1) if is_gapless else rows,
    )
