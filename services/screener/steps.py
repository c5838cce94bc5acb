"""From one day's minutes to market messages: order, times and numbers are the same for every source."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TypeVar

from msgspec import Struct

from bus.messages import Bar, BarBatch, FeedEnded, MarketMessage, Quote, QuoteBatch, SessionPlanned
from services.screener.universe import UniverseRow

T = TypeVar("T")

MINUTE_NS = 60_000_000_000
BATCH_MAX = 500
#: When each of a minute's four quotes is played, from the start of the minute. The first comes a moment after the
#: bars of the minute before: what is decided on those bars is sent before it.
OFFSETS_NS = (100_000_000, 20_000_000_000, 40_000_000_000, 59_900_000_000)
# Positions in (open, high, low, close): a minute that closes no lower went down first, else up first.
_RISING = (0, 2, 1, 3)
_FALLING = (0, 1, 2, 3)


class MinuteQuotes(Struct, frozen=True):
    """One minute of one symbol's quotes: (open, high, low, close) of each side in micros, and the last sizes.

    Zero = that side is absent.
    """

    bid: tuple[int, int, int, int]
    ask: tuple[int, int, int, int]
    bid_size_nanos: int
    ask_size_nanos: int

    def path(self) -> tuple[int, int, int, int]:
        """Return the order in which open, high, low and close are played; the ask decides where no bid is."""
        side = self.bid if self.bid[0] and self.bid[3] else self.ask
        return _RISING if side[3] >= side[0] else _FALLING

    def is_crossed(self, letter: int) -> bool:
        """Tell whether bid > ask at this position of (open, high, low, close), both being present."""
        return 0 < self.ask[letter] < self.bid[letter]


class SymbolDay(Struct, frozen=True, kw_only=True):
    """One symbol's session: element i is minute i from the open, None where the minute has nothing."""

    symbol: str
    quotes: Sequence[MinuteQuotes | None]
    bars: Sequence[Bar | None]


class MarketDay(Struct, frozen=True, kw_only=True):
    """One session of one source, ready to be screened and played. `source` says to people what data it is."""

    source: str
    rows: tuple[UniverseRow, ...]
    symbols: tuple[SymbolDay, ...]


def minutes_of(plan: SessionPlanned) -> int:
    """Return how many minutes the session has."""
    return (plan.close_ns - plan.open_ns) // MINUTE_NS


def messages(day: MarketDay, plan: SessionPlanned) -> Iterator[MarketMessage]:
    """Yield the session in order: for each minute four moments of quotes, then its bars; FeedEnded last.

    Steps count from 1 without a gap. Crossed quotes are left out; a batch with nothing in it is not said.
    """
    steps = count(1)
    ordered = sorted(day.symbols, key=lambda one: one.symbol)
    for minute in range(minutes_of(plan)):
        start_ns = plan.open_ns + minute * MINUTE_NS
        quoted = [(one.symbol, quotes) for one in ordered if (quotes := one.quotes[minute]) is not None]
        for moment, offset_ns in enumerate(OFFSETS_NS):
            at_ns = start_ns + offset_ns
            present = [quote for pair in quoted if (quote := _quote(pair, moment, at_ns)) is not None]
            for part in _parts(present):
                yield QuoteBatch(ts_event=at_ns, ts_init=at_ns, step=next(steps), quotes=part)
        end_ns = start_ns + MINUTE_NS
        parts = list(_parts([bar for one in ordered if (bar := one.bars[minute]) is not None]))
        for left, bars in zip(reversed(range(len(parts))), parts, strict=True):
            yield BarBatch(ts_event=end_ns, ts_init=end_ns, step=next(steps), bars=bars, parts_left=left)
    last = next(steps)
    yield FeedEnded(ts_event=plan.close_ns, ts_init=plan.close_ns, step=last, steps=last)


def crossed_quotes(day: MarketDay) -> int:
    """Count the quotes that `messages` leaves out because the bid is above the ask."""
    return sum(
        quotes.is_crossed(letter)
        for one in day.symbols
        for quotes in one.quotes
        if quotes is not None
        for letter in range(4)
    )


def minutes_with_data(day: MarketDay) -> int:
    """Count the session's minutes in which any symbol has quotes or a bar."""
    return sum(
        any(item is not None for item in minute)
        for minute in zip(*(column for one in day.symbols for column in (one.quotes, one.bars)), strict=True)
    )


def bars_in(day: MarketDay) -> int:
    """Count the bars of all symbols."""
    return sum(bar is not None for one in day.symbols for bar in one.bars)


def _quote(pair: tuple[str, MinuteQuotes], moment: int, at_ns: int) -> Quote | None:
    """Return the quote of this moment; None when it is crossed or both sides are absent."""
    symbol, quotes = pair
    letter = quotes.path()[moment]
    bid, ask = quotes.bid[letter], quotes.ask[letter]
    if quotes.is_crossed(letter) or not (bid or ask):
        return None
    bid_size = quotes.bid_size_nanos if bid else 0
    ask_size = quotes.ask_size_nanos if ask else 0
    return Quote(symbol, bid, ask, bid_size, ask_size, at_ns)


def _parts(items: list[T]) -> Iterator[tuple[T, ...]]:
    for start in range(0, len(items), BATCH_MAX):
        yield tuple(items[start : start + BATCH_MAX])
