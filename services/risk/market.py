"""Facts of the market: the newest quote, the last good bid and today's volume of each symbol.

They are not journaled. After a restart, what depends on them denies until they are heard again. Emptied when
a new session begins.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from bus.columns import unpack
from bus.messages import BarBatch, Quote, QuoteBatch
from bus.quote_board import QuoteBoard

_NS_PER_MINUTE = 60_000_000_000


class Market(Struct, frozen=True, kw_only=True):
    """What was heard. `marks` is the last good bid of what is held; `volumes` are nanos since the open.

    `bars_step` is the newest market step that brought bars, 0 before any. `volumes` is changed in place: only
    the newest state is ever kept.
    """

    board: QuoteBoard
    marks: dict[str, int]
    volumes: dict[str, int]
    bars_step: int

    def quote_of(self, symbol: str) -> Quote | None:
        """Return the symbol's newest quote."""
        return self.board.quote_of(symbol)

    def bids(self, symbols: Iterable[str]) -> dict[str, int]:
        """Return what one share of each symbol can be sold for: the newest bid, else the last good one; or nothing."""
        found = {}
        for symbol in symbols:
            quote = self.board.quote_of(symbol)
            if quote is not None and _has_bid(quote):
                found[symbol] = quote.bid_micros
            elif symbol in self.marks:
                found[symbol] = self.marks[symbol]
        return found


def blank() -> Market:
    """Return a market that nothing was heard of."""
    return Market(board=QuoteBoard(), marks={}, volumes={}, bars_step=0)


def hear_quotes(market: Market, batch: QuoteBatch, held: Iterable[str]) -> Market:
    """Keep the quotes, and the last good bid of each symbol that is held."""
    newer = replace(market, board=market.board.heard(batch))
    marks = newer.bids(held)
    return newer if marks == market.marks else replace(newer, marks=marks)


def hear_bars(market: Market, batch: BarBatch, *, open_ns: int) -> Market:
    """Add the volume of a minute that began at or after the open; a repeated step adds nothing."""
    # Counting a step twice would let a thin name pass MIN_VOLUME_THRESHOLD; missing one only denies.
    if batch.step <= market.bars_step or batch.ts_event - _NS_PER_MINUTE < open_ns:
        return market
    volumes = market.volumes
    for symbol, volume in zip(batch.symbols, unpack(batch.volumes_nanos), strict=True):
        volumes[symbol] = volumes.get(symbol, 0) + volume
    return replace(market, bars_step=batch.step)


def _has_bid(quote: Quote) -> bool:
    is_crossed = 0 < quote.ask_micros < quote.bid_micros
    return quote.bid_micros > 0 and quote.bid_size_nanos > 0 and not is_crossed
