"""A day's arrays read back by name and minute, so that a test can say what one name did in one minute."""

from typing import NamedTuple

from bus.messages import Bar
from services.screener.steps import MarketDay


class MinuteQuotes(NamedTuple):
    """One minute of one name: four bids and asks in played order, micros, and the sizes, nanos."""

    bid: tuple[int, ...]
    ask: tuple[int, ...]
    bid_size_nanos: int
    ask_size_nanos: int


class SymbolDay(NamedTuple):
    """One name; None where a minute has nothing."""

    symbol: str
    quotes: list[MinuteQuotes | None]
    bars: list[Bar | None]


def symbol_days(day: MarketDay) -> list[SymbolDay]:
    """Return every name of a day, in order."""
    return [SymbolDay(symbol, _quotes(day, i), _bars(day, i)) for i, symbol in enumerate(day.symbols)]


def by_symbol(day: MarketDay) -> dict[str, SymbolDay]:
    return {one.symbol: one for one in symbol_days(day)}


def _quotes(day: MarketDay, i: int) -> list[MinuteQuotes | None]:
    columns = day.quotes
    found: list[MinuteQuotes | None] = []
    for minute in range(len(columns.bids)):
        bid, ask = tuple(columns.bids[minute, :, i].tolist()), tuple(columns.asks[minute, :, i].tolist())
        sizes = int(columns.bid_sizes[minute, i]), int(columns.ask_sizes[minute, i])
        found.append(MinuteQuotes(bid, ask, *sizes) if any(bid) or any(ask) else None)
    return found


def _bars(day: MarketDay, i: int) -> list[Bar | None]:
    bars = day.bars
    columns = (one[:, i].tolist() for one in (bars.opens, bars.highs, bars.lows, bars.closes, bars.volumes))
    return [Bar(day.symbols[i], *row) if row[3] else None for row in zip(*columns, strict=True)]
