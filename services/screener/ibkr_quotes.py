"""One name's quotes at Interactive Brokers: ticks in, the newest quote out. Pure.

Interactive Brokers says of a change of the best bid and ask a few times a second, without the exchange's time; the
time of a quote is the moment at which it was heard. Tick-by-tick data has the time, but is given for three names alone
with 100 lines. Source: Interactive Brokers, "TWS API: Tick Types" and "Market Data Lines", 2025-11.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from services.screener.ibkr_ears import Listener, RequestError
from services.screener.live import LiveQuote
from services.screener.units import micros, nanos


class Tick(Enum):
    """What a tick is of."""

    BID = auto()
    ASK = auto()
    BID_SIZE = auto()
    ASK_SIZE = auto()
    LAST = auto()
    LAST_TIME = auto()
    CLOSE = auto()
    VOLUME = auto()
    AVERAGE_VOLUME = auto()


#: The number of a tick -> what it is of.
TICKS: Final = {
    0: Tick.BID_SIZE,
    1: Tick.BID,
    2: Tick.ASK,
    3: Tick.ASK_SIZE,
    4: Tick.LAST,
    8: Tick.VOLUME,
    9: Tick.CLOSE,
    21: Tick.AVERAGE_VOLUME,
    45: Tick.LAST_TIME,
}
#: The same for data that is delayed.
DELAYED_TICKS: Final = {
    66: Tick.BID,
    67: Tick.ASK,
    68: Tick.LAST,
    69: Tick.BID_SIZE,
    70: Tick.ASK_SIZE,
    74: Tick.VOLUME,
    75: Tick.CLOSE,
    88: Tick.LAST_TIME,
}
#: What a gateway calls its data. Frozen data is what stood when the exchange closed.
LIVE, DELAYED = 1, 3


class QuoteListener(Listener):
    """Keeps what one name's ticks say.

    Args:
        symbol: as everywhere here.
        factor: how many shares one unit of a size is.
        takes_delayed: IBKR_DELAYED_DATA.
    """

    def __init__(self, symbol: str, factor: int, *, takes_delayed: bool) -> None:
        self.symbol = symbol
        self.error: RequestError | None = None
        self.is_delayed = False
        self.bid_micros = self.ask_micros = 0
        self.bid_nanos = self.ask_nanos = 0
        self.last_micros = self.close_micros = 0
        self.volume_nanos = self.average_volume_nanos = 0
        self.last_time_s = 0
        #: It has changed since it was taken last.
        self.is_new = False
        #: How often trades were said, by their volume; and who hears of each: name, last price, shares.
        self.trades = 0
        self.on_trade: Callable[[str, int, int], None] = _ignored
        self._kind = LIVE
        self._factor = factor
        self._takes_delayed = takes_delayed

    def kind(self, kind: int) -> None:
        """Note what the data is from now on; of data that is not taken nothing is kept."""
        self._kind = kind
        self.is_delayed = kind == DELAYED
        if not self._is_taken(delayed_tick=False) and not self._is_taken(delayed_tick=True):
            self.bid_micros = self.ask_micros = 0
            self.is_new = False

    def failed(self, error: RequestError) -> None:
        """Note why there is nothing."""
        self.error = error

    def price(self, tick: int, price: float, size: float) -> None:
        """Take a bid, an ask, a last price or a close; a side that is said to be absent is."""
        match self._what(tick):
            case Tick.BID:
                self.bid_micros, self.bid_nanos, self.is_new = micros(price), self._shares(size), True
            case Tick.ASK:
                self.ask_micros, self.ask_nanos, self.is_new = micros(price), self._shares(size), True
            case Tick.LAST:
                self.last_micros = micros(price)
            case Tick.CLOSE:
                self.close_micros = micros(price)
            case _:
                pass

    def size(self, tick: int, size: float) -> None:
        """Take a size or a volume."""
        match self._what(tick):
            case Tick.BID_SIZE:
                self.bid_nanos = self._shares(size)
                self.is_new = self.is_new or self.bid_micros > 0
            case Tick.ASK_SIZE:
                self.ask_nanos = self._shares(size)
                self.is_new = self.is_new or self.ask_micros > 0
            case Tick.VOLUME:
                volume = self._shares(size)
                if volume > self.volume_nanos > 0:
                    self.trades += 1
                    self.on_trade(self.symbol, self.last_micros, volume - self.volume_nanos)
                self.volume_nanos = volume
            case Tick.AVERAGE_VOLUME:
                self.average_volume_nanos = self._shares(size)
            case _:
                pass

    def text(self, tick: int, value: str) -> None:
        """Take the time of the last trade, seconds since 1970."""
        if self._what(tick) == Tick.LAST_TIME and value.isdecimal():
            self.last_time_s = int(value)

    def quote(self, ts_ns: int) -> LiveQuote:
        """Return the newest quote, heard at this time."""
        self.is_new = False
        return LiveQuote(
            symbol=self.symbol,
            bid_micros=self.bid_micros,
            ask_micros=self.ask_micros,
            bid_size_nanos=self.bid_nanos if self.bid_micros else 0,
            ask_size_nanos=self.ask_nanos if self.ask_micros else 0,
            ts_ns=ts_ns,
        )

    def _what(self, tick: int) -> Tick | None:
        if tick in DELAYED_TICKS:
            self.is_delayed = True
            return DELAYED_TICKS[tick] if self._is_taken(delayed_tick=True) else None
        return TICKS.get(tick) if self._is_taken(delayed_tick=False) else None

    def _is_taken(self, *, delayed_tick: bool) -> bool:
        # IBKR_DELAYED_DATA: without it nothing that is not live is ever a quote.
        if delayed_tick or self._kind == DELAYED:
            return self._takes_delayed
        return self._kind == LIVE

    def _shares(self, size: float) -> int:
        return nanos(size * self._factor)


def _ignored(_symbol: str, _price_micros: int, _volume_nanos: int) -> None:
    return
