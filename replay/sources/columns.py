"""One session as columns: int64 arrays over (minutes, names), and the two ways between them and a MarketDay.

Prices are micro-dollars, volumes and sizes nano-shares. A volume of 0 means that nothing traded in that minute, a
price or a size of 0 that this side was not quoted.
"""

import hashlib

import numpy as np
from msgspec import Struct
from msgspec.json import encode
from numpy.typing import NDArray

from bus.messages import Bar
from services.screener.steps import MarketDay, MinuteQuotes, SymbolDay
from services.screener.universe import UniverseRow

Ints = NDArray[np.int64]
_MOMENTS = 4


class BarColumns(Struct, frozen=True, kw_only=True, eq=False):
    """Bars, each array of shape (minutes, names)."""

    opens: Ints
    highs: Ints
    lows: Ints
    closes: Ints
    volumes: Ints


class QuoteColumns(Struct, frozen=True, kw_only=True, eq=False):
    """Quotes: `bids` and `asks` of shape (minutes, 4, names) in the order played, sizes of shape (minutes, names)."""

    bids: Ints
    asks: Ints
    bid_sizes: Ints
    ask_sizes: Ints


class DayColumns(Struct, frozen=True, kw_only=True, eq=False):
    """One session of one source. `symbols` are sorted: they name the last axis of every array."""

    source: str
    rows: tuple[UniverseRow, ...]
    symbols: tuple[str, ...]
    bars: BarColumns
    quotes: QuoteColumns

    @property
    def minutes(self) -> int:
        """Return how many minutes the session has."""
        return len(self.bars.closes)

    def digest(self) -> str:
        """Return the SHA-256 of everything that is played, in hex; the source's name is not part of it."""
        said = hashlib.sha256(encode((self.symbols, self.rows)))
        for columns in (self.bars, self.quotes):
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


def market_day(day: DayColumns) -> MarketDay:
    """Return the session as the screener plays it."""
    return MarketDay(
        source=day.source[:400],
        rows=day.rows,
        symbols=tuple(_symbol_day(day, place) for place in range(len(day.symbols))),
    )


def day_columns(day: MarketDay) -> DayColumns:
    """Return a session that a reader of the screener's has opened as columns."""
    ordered = sorted(day.symbols, key=lambda one: one.symbol)
    minutes = len(ordered[0].bars) if ordered else 0
    bars, quotes = empty_bars(minutes, len(ordered)), empty_quotes(minutes, len(ordered))
    for place, one in enumerate(ordered):
        for minute, bar in enumerate(one.bars):
            if bar is not None:
                bars.opens[minute, place] = bar.open_micros
                bars.highs[minute, place] = bar.high_micros
                bars.lows[minute, place] = bar.low_micros
                bars.closes[minute, place] = bar.close_micros
                bars.volumes[minute, place] = bar.volume_nanos
        for minute, quote in enumerate(one.quotes):
            if quote is not None:
                path = quote.path()
                quotes.bids[minute, :, place] = [quote.bid[letter] for letter in path]
                quotes.asks[minute, :, place] = [quote.ask[letter] for letter in path]
                quotes.bid_sizes[minute, place] = quote.bid_size_nanos
                quotes.ask_sizes[minute, place] = quote.ask_size_nanos
    return DayColumns(
        source=day.source, rows=day.rows, symbols=tuple(one.symbol for one in ordered), bars=bars, quotes=quotes
    )


def _symbol_day(day: DayColumns, place: int) -> SymbolDay:
    symbol, bars, quotes = day.symbols[place], day.bars, day.quotes
    numbers = np.stack(
        [bars.opens[:, place], bars.highs[:, place], bars.lows[:, place], bars.closes[:, place], bars.volumes[:, place]]
    ).T.tolist()
    bids, asks = quotes.bids[:, :, place].tolist(), quotes.asks[:, :, place].tolist()
    sizes = np.stack([quotes.bid_sizes[:, place], quotes.ask_sizes[:, place]]).T.tolist()
    return SymbolDay(
        symbol=symbol,
        bars=[Bar(symbol, *row) if row[-1] else None for row in numbers],
        quotes=[
            _minute_quotes(bid, ask, size) if any(bid) or any(ask) else None
            for bid, ask, size in zip(bids, asks, sizes, strict=True)
        ],
    )


def _minute_quotes(bid: list[int], ask: list[int], sizes: list[int]) -> MinuteQuotes:
    """Put four quotes in the order played back to open, high, low, close: the inverse of MinuteQuotes.path."""
    side = bid if bid[0] and bid[-1] else ask
    places = (0, 2, 1, 3) if side[-1] >= side[0] else (0, 1, 2, 3)
    b, a = [bid[place] for place in places], [ask[place] for place in places]
    return MinuteQuotes((b[0], b[1], b[2], b[3]), (a[0], a[1], a[2], a[3]), *sizes)
