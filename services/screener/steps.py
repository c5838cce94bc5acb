"""From one day's minutes to market messages: order, times and numbers are the same for every source."""

from collections.abc import Iterator
from itertools import count
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bus.messages import BarBatch, FeedEnded, ListedPut, MarketMessage, QuoteBatch, SessionPlanned
from services.screener.universe import UniverseRow

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MINUTE_NS: Final = 60_000_000_000
#: How many names one message holds: with five numbers each it fits a frame.
BATCH_MAX: Final = 1_000
#: When each of a minute's four quotes is played, from the start of the minute. The first comes a moment after the
#: bars of the minute before: what is decided on those bars is sent before it.
OFFSETS_NS: Final = (100_000_000, 20_000_000_000, 40_000_000_000, 59_900_000_000)
_FIRST_AND_LAST: Final = (OFFSETS_NS[0], OFFSETS_NS[-1])
#: Positions in (open, high, low, close): a minute that closes no lower went down first, else up first.
_RISING: Final = np.array([0, 2, 1, 3])
_FALLING: Final = np.array([0, 1, 2, 3])


class BarColumns(Struct, frozen=True, kw_only=True, eq=False):
    """A day's bars: int64 arrays (minutes, names) in micro-dollars and nano-shares; close 0 = no bar."""

    opens: Ints
    highs: Ints
    lows: Ints
    closes: Ints
    volumes: Ints


class QuoteColumns(Struct, frozen=True, kw_only=True, eq=False):
    """A day's quotes: bids and asks in micro-dollars, int64 (minutes, 4, names), in the order they are played.

    Where a minute's path is not known they are (minutes, 2, names): one after its start and one before its end. The
    sizes are (minutes, names) in nano-shares. A price of 0 = that side is absent.
    """

    bids: Ints
    asks: Ints
    bid_sizes: Ints
    ask_sizes: Ints


class Chain(Struct, frozen=True, kw_only=True):
    """The puts on one name that the data quotes, the nearest strikes first."""

    underlying: str
    puts: tuple[ListedPut, ...]


class MarketDay(Struct, frozen=True, kw_only=True, eq=False):
    """One session of one source, ready to be screened and played. `source` says to people what data it is.

    `symbols` are in order of the alphabet, then come the contracts of `chains`; name i is column i of every array.
    """

    source: str
    rows: tuple[UniverseRow, ...]
    symbols: tuple[str, ...]
    bars: BarColumns
    quotes: QuoteColumns
    chains: tuple[Chain, ...] = ()


def minutes_of(plan: SessionPlanned) -> int:
    """Return how many minutes the session has."""
    return (plan.close_ns - plan.open_ns) // MINUTE_NS


def in_played_order(bids: Ints, asks: Ints) -> tuple[Ints, Ints]:
    """Return open, high, low and close, (minutes, 4, names), in the order in which a minute is played.

    The bid says whether the minute rose; the ask does where the bid's open or close is absent.
    """
    has_bid = (bids[:, 0] > 0) & (bids[:, 3] > 0)
    side = np.where(has_bid[:, None], bids, asks)
    rises = side[:, 3] >= side[:, 0]
    order = np.where(rises[:, None], _RISING[None, :, None], _FALLING[None, :, None])
    return np.take_along_axis(bids, order, axis=1), np.take_along_axis(asks, order, axis=1)


def messages(day: MarketDay, plan: SessionPlanned, names_max: int = BATCH_MAX) -> Iterator[MarketMessage]:
    """Yield the session in order: for each minute its moments of quotes, then its bars; FeedEnded last.

    Steps count from 1 without a gap. Crossed quotes are left out; a batch with nothing in it is not said.
    """
    steps = count(1)
    quoted, traded = _is_quoted(day.quotes), day.bars.closes > 0
    all_quoted: Bools = np.asarray(quoted.all(axis=2))
    all_traded: Bools = np.asarray(traded.all(axis=1))
    lists = _NameLists(day.symbols)
    sayer = _QuoteSayer(day.quotes)
    bars = BarColumns(**{name: _on_wire(getattr(day.bars, name)) for name in BarColumns.__struct_fields__})
    offsets = OFFSETS_NS if day.quotes.bids.shape[1] == len(OFFSETS_NS) else _FIRST_AND_LAST
    for minute in range(minutes_of(plan)):
        start_ns = plan.open_ns + minute * MINUTE_NS
        for moment, offset_ns in enumerate(offsets):
            for names in lists.parts(quoted[minute, moment], names_max, are_all=bool(all_quoted[minute, moment])):
                yield sayer.batch((minute, moment), names, _At(start_ns + offset_ns, next(steps)))
        parts = lists.parts(traded[minute], names_max, are_all=bool(all_traded[minute]))
        for left, names in zip(reversed(range(len(parts))), parts, strict=True):
            yield _bars(bars, minute, names, _At(start_ns + MINUTE_NS, next(steps), left))
    last = next(steps)
    yield FeedEnded(ts_event=plan.close_ns, ts_init=plan.close_ns, step=last, steps=last)


class _At(NamedTuple):
    """When a message is said: session time, its number, and how many more of the same minute follow."""

    ts_ns: int
    step: int
    parts_left: int = 0


class _Names(Struct, frozen=True, eq=False):
    """Names of one message: their symbols, and their columns in the arrays; None = all, in order."""

    symbols: tuple[str, ...]
    columns: Ints | None

    def of(self, row: Ints) -> bytes:
        """Return one row of an array for these names, as a message's column."""
        return (row if self.columns is None else row[self.columns]).tobytes()


def _on_wire(values: Ints) -> Ints:
    """Return an array whose bytes are those of a column; the same one on most machines."""
    return values.astype("<i8", copy=False)


class _NameLists:
    """The lists of names that a day says; equal ones are one and the same, so that who hears them knows them again."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self._symbols = symbols
        self._all = [_Names(symbols, None)]
        self._newest: tuple[bytes, list[_Names]] = (b"", [])

    def parts(self, present: Bools, names_max: int, *, are_all: bool) -> list[_Names]:
        """Return the names that are present, cut into messages; `are_all`: every name is."""
        if are_all and len(self._symbols) <= names_max:
            return self._all
        key = present.tobytes()
        if key != self._newest[0]:
            self._newest = (key, self._cut(np.flatnonzero(present), names_max))
        return self._newest[1]

    def _cut(self, columns: Ints, names_max: int) -> list[_Names]:
        starts = range(0, len(columns), names_max)
        pieces = [columns[start : start + names_max] for start in starts]
        return [_Names(tuple(self._symbols[column] for column in piece.tolist()), piece) for piece in pieces]


def _is_quoted(quotes: QuoteColumns) -> Bools:
    """Return which quotes are said, (minutes, 4, names): one side at least, and not crossed."""
    present: Bools = (quotes.bids > 0) | (quotes.asks > 0)
    return present & ~_is_crossed(quotes)


def _is_crossed(quotes: QuoteColumns) -> Bools:
    crossed: Bools = (quotes.asks > 0) & (quotes.asks < quotes.bids)
    return crossed


class _QuoteSayer:
    """Makes the messages of a day's quotes."""

    def __init__(self, quotes: QuoteColumns) -> None:
        self._quotes = QuoteColumns(
            **{name: _on_wire(getattr(quotes, name)) for name in QuoteColumns.__struct_fields__}
        )
        #: A minute, the names, and the columns of their sizes.
        self._newest: tuple[int, _Names | None, tuple[bytes, bytes]] = (-1, None, (b"", b""))
        self._is_two_sided = bool((quotes.bids > 0).all() and (quotes.asks > 0).all())

    def batch(self, place: tuple[int, int], names: _Names, at: _At) -> QuoteBatch:
        """Return the quotes of one moment, place (minute, moment)."""
        quotes = self._quotes
        bids, asks = quotes.bids[place], quotes.asks[place]
        bid_sizes, ask_sizes = self._sizes(place, names)
        return QuoteBatch(
            ts_event=at.ts_ns,
            ts_init=at.ts_ns,
            step=at.step,
            symbols=names.symbols,
            bids_micros=names.of(bids),
            asks_micros=names.of(asks),
            bid_sizes_nanos=bid_sizes,
            ask_sizes_nanos=ask_sizes,
            times_ns=at.ts_ns.to_bytes(8, "little") * len(names.symbols),
        )

    def _sizes(self, place: tuple[int, int], names: _Names) -> tuple[bytes, bytes]:
        quotes, minute = self._quotes, place[0]
        if not self._is_two_sided:
            # An absent side has no size either.
            bids, asks = quotes.bids[place] > 0, quotes.asks[place] > 0
            return names.of(quotes.bid_sizes[minute] * bids), names.of(quotes.ask_sizes[minute] * asks)
        if self._newest[0] != minute or self._newest[1] is not names:
            # A minute's moments have the same sizes: they are said with the very same columns.
            sizes = names.of(quotes.bid_sizes[minute]), names.of(quotes.ask_sizes[minute])
            self._newest = minute, names, sizes
        return self._newest[2]


def _bars(bars: BarColumns, minute: int, names: _Names, at: _At) -> BarBatch:
    return BarBatch(
        ts_event=at.ts_ns,
        ts_init=at.ts_ns,
        step=at.step,
        symbols=names.symbols,
        opens_micros=names.of(bars.opens[minute]),
        highs_micros=names.of(bars.highs[minute]),
        lows_micros=names.of(bars.lows[minute]),
        closes_micros=names.of(bars.closes[minute]),
        volumes_nanos=names.of(bars.volumes[minute]),
        parts_left=at.parts_left,
    )


def crossed_quotes(day: MarketDay) -> int:
    """Count the quotes that `messages` leaves out because the bid is above the ask."""
    return int(np.count_nonzero(_is_crossed(day.quotes)))


def minutes_with_data(day: MarketDay) -> int:
    """Count the session's minutes in which any symbol has quotes or a bar."""
    quoted = ((day.quotes.bids > 0) | (day.quotes.asks > 0)).any(axis=(1, 2))
    return int(np.count_nonzero(quoted | (day.bars.closes > 0).any(axis=1)))


def bars_in(day: MarketDay) -> int:
    """Count the bars of all symbols."""
    return int(np.count_nonzero(day.bars.closes))
