"""Facts of the market: the newest quote, the last good bid and today's volume of each symbol.

They are not journaled. After a restart, what depends on them denies until they are heard again. Emptied when
a new session begins.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import le
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bus.columns import WIDTH, Picks, rows_of, unpack
from bus.messages import PRICE_MICROS_MAX, BarBatch, PastBars, Quote, QuoteBatch
from bus.quote_board import QuoteBoard

_NS_PER_MINUTE = 60_000_000_000
#: A feed says few different lists of names. Of more than that the oldest are laid out by symbol.
_LISTS_MAX = 8
_BITS: Final = 64
_PART: Final = (1 << _BITS) - 1


class Volumes:
    """How much of each symbol was traded since the open, in nano-shares; added to in place.

    The volumes of one list of names are added up together, as one long number of 64 bits for each name: it is the same
    names minute after minute. The top bit of a name's part stays free, so nothing is carried from one into the next.
    """

    def __init__(self) -> None:
        self._lists: list[tuple[tuple[str, ...], int]] = []
        self._older: dict[str, int] = {}

    def add(self, batch: BarBatch) -> None:
        """Add a minute; what is below zero is no volume, and adds nothing."""
        minute, tops = int.from_bytes(batch.volumes_nanos, "little"), _tops(len(batch.symbols))
        if minute & tops:
            for symbol, volume in zip(batch.symbols, unpack(batch.volumes_nanos), strict=True):
                self._older[symbol] = self._older.get(symbol, 0) + max(volume, 0)
            return
        for place, (symbols, sums) in enumerate(self._lists):
            if symbols is batch.symbols or symbols == batch.symbols:
                total = sums + minute
                if total & tops:
                    self._put_away(symbols, sums)
                    total = minute
                self._lists[place] = (symbols, total)
                return
        self._lists.append((batch.symbols, minute))
        if len(self._lists) > _LISTS_MAX:
            self._put_away(*self._lists.pop(0))

    def of(self, symbol: str) -> int | None:
        """Return a symbol's volume; None when no minute of it was heard."""
        found = [
            (sums >> (_BITS * row)) & _PART
            for symbols, sums in self._lists
            if (row := rows_of(symbols).get(symbol)) is not None
        ]
        if symbol in self._older:
            found.append(self._older[symbol])
        return sum(found) if found else None

    def _put_away(self, symbols: tuple[str, ...], sums: int) -> None:
        for symbol in symbols:
            self._older[symbol] = self._older.get(symbol, 0) + (sums & _PART)
            sums >>= _BITS


@lru_cache(maxsize=_LISTS_MAX)
def _tops(names: int) -> int:
    """Return the top bits of so many parts."""
    return int.from_bytes((1 << (_BITS - 1)).to_bytes(WIDTH, "little") * names, "little")


class Marks(Mapping[str, int]):
    """The newest good bid of each of these names, as parallel sequences; looked up by name only when asked."""

    __slots__ = ("_by_name", "bids", "names", "sizes")

    def __init__(self, names: tuple[str, ...] = (), bids: Sequence[int] = (), sizes: Sequence[int] = ()) -> None:
        self.names = names
        self.bids = bids
        #: The bids' sizes, where each is above zero.
        self.sizes = sizes
        self._by_name: dict[str, int] | None = None

    @property
    def by_name(self) -> dict[str, int]:
        """Return the bids by name."""
        if self._by_name is None:
            self._by_name = dict(zip(self.names, self.bids, strict=True))
        return self._by_name

    def bid_of(self, name: str) -> int:
        """Return the bid of one name, 0 where there is none; for a few names this is less work than `by_name`."""
        if self._by_name is not None:
            return self._by_name.get(name, 0)
        return self.bids[self.names.index(name)] if name in self.names else 0

    def __getitem__(self, name: str) -> int:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)


NO_MARKS = Marks()


class Market(Struct, frozen=True, kw_only=True, gc=False):
    """What was heard. `marks` is the newest good bid of what is held; `volumes` are nanos since the open.

    `bars_step` is the newest market step that brought bars, 0 before any. `volumes` is changed in place: only
    the newest state is ever kept.
    """

    board: QuoteBoard
    marks: Marks
    volumes: Volumes
    bars_step: int

    def quote_of(self, symbol: str) -> Quote | None:
        """Return the symbol's newest quote."""
        return self.board.quote_of(symbol)

    def bids(self, symbols: Iterable[str]) -> dict[str, int]:
        """Return the newest good bid of each symbol that has had one: what a share of it can be sold for."""
        found = {}
        marks = self.marks.by_name
        for symbol in symbols:
            bid = marks.get(symbol)
            if bid is None:
                # It was not held yet when the newest quotes came.
                quote = self.board.quote_of(symbol)
                bid = quote.bid_micros if quote is not None and _has_bid(quote) else None
            if bid is not None:
                found[symbol] = bid
        return found


def blank() -> Market:
    """Return a market that nothing was heard of."""
    return Market(board=QuoteBoard(), marks=NO_MARKS, volumes=Volumes(), bars_step=0)


def hear_quotes(market: Market, batch: QuoteBatch, held: Picks) -> Market:
    """Keep the quotes, and the newest good bid of each symbol that is held."""
    board = market.board.heard(batch)
    columns = held.of(batch.symbols, batch.bids_micros, batch.asks_micros, batch.bid_sizes_nanos)
    if columns is not None and _are_good(columns, market.marks.sizes):
        marks = Marks(held.wanted, columns[0], columns[2])
    elif held.wanted:
        found = market.bids(held.wanted) | _good_bids(batch, held.wanted)
        marks = Marks(tuple(found), tuple(found.values()))
    else:
        marks = NO_MARKS
    return Market(board=board, marks=marks, volumes=market.volumes, bars_step=market.bars_step)


def _are_good(columns: Sequence[Sequence[int]], good: Sequence[int]) -> bool:
    """Tell whether each of these is a bid as `_has_bid` wants it, and below its ask.

    `columns` are bids, asks, and sizes of the bids; `good` are sizes that were all found to be above zero.
    """
    bids, asks, sizes = columns
    if sizes is not good and min(sizes) <= 0:
        return False
    return min(bids) > 0 and max(bids) <= PRICE_MICROS_MAX and all(map(le, bids, asks))


def _good_bids(batch: QuoteBatch, symbols: Iterable[str]) -> dict[str, int]:
    quotes = (batch.quote_of(symbol) for symbol in symbols)
    return {quote.symbol: quote.bid_micros for quote in quotes if quote is not None and _has_bid(quote)}


def hear_bars(market: Market, batch: BarBatch, *, open_ns: int) -> Market:
    """Add the volume of a minute that began at or after the open; a repeated step adds nothing."""
    # Counting a step twice would let a thin name pass MIN_VOLUME_THRESHOLD; missing one only denies.
    if batch.step <= market.bars_step or batch.ts_event - _NS_PER_MINUTE < open_ns:
        return market
    market.volumes.add(batch)
    return replace(market, bars_step=batch.step)


def hear_past(market: Market, batch: PastBars, *, open_ns: int) -> Market:
    """Add a minute that a live feed says again; with the first message of them every volume begins anew."""
    if not batch.begins:
        return hear_bars(market, batch, open_ns=open_ns)
    if batch.step <= market.bars_step:
        return market
    return replace(market, volumes=Volumes(), bars_step=batch.step)


def _has_bid(quote: Quote) -> bool:
    is_crossed = 0 < quote.ask_micros < quote.bid_micros
    return quote.bid_micros > 0 and quote.bid_size_nanos > 0 and not is_crossed
