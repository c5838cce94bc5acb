"""Facts of the market: the newest quote, the last good bid and today's volume of each symbol.

They are not journaled. After a restart, what depends on them denies until they are heard again. One row for
each symbol of the feed; emptied when a new session begins.
"""

from msgspec import Struct
from msgspec.structs import replace

from bus.messages import BarBatch, Quote, QuoteBatch

_NS_PER_MINUTE = 60_000_000_000


class Market(Struct, frozen=True, kw_only=True):
    """What was heard. `bids` are marks: the last good bid; `volumes` are nanos since the open.

    `quotes_step` and `bars_step` are the newest market steps that brought them, 0 before any.
    """

    quotes: dict[str, Quote]
    bids: dict[str, int]
    volumes: dict[str, int]
    quotes_step: int
    bars_step: int


EMPTY = Market(quotes={}, bids={}, volumes={}, quotes_step=0, bars_step=0)


def hear_quotes(market: Market, batch: QuoteBatch) -> Market:
    """Keep each symbol's newest quote, and its bid where the quote has a usable one."""
    return replace(
        market,
        quotes=market.quotes | {quote.symbol: quote for quote in batch.quotes},
        bids=market.bids | {quote.symbol: quote.bid_micros for quote in batch.quotes if _has_bid(quote)},
        quotes_step=batch.step,
    )


def hear_bars(market: Market, batch: BarBatch, *, open_ns: int) -> Market:
    """Add the volume of a minute that began at or after the open; a repeated step adds nothing."""
    # Counting a step twice would let a thin name pass MIN_VOLUME_THRESHOLD; missing one only denies.
    if batch.step <= market.bars_step or batch.ts_event - _NS_PER_MINUTE < open_ns:
        return market
    known = market.volumes
    heard = {bar.symbol: known.get(bar.symbol, 0) + bar.volume_nanos for bar in batch.bars}
    return replace(market, volumes=known | heard, bars_step=batch.step)


def _has_bid(quote: Quote) -> bool:
    is_crossed = 0 < quote.ask_micros < quote.bid_micros
    return quote.bid_micros > 0 and quote.bid_size_nanos > 0 and not is_crossed
