"""What comes from a live feed, before it is a market message, and the ports that it comes through."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from bus.messages import PRICE_MICROS_MAX


class LiveQuote(Struct, frozen=True):
    """The best bid and ask of a name; prices in micro-dollars, 0 = that side is absent; sizes in nano-shares.

    `ts_ns` is the exchange's time, UTC.
    """

    symbol: str
    bid_micros: int
    ask_micros: int
    bid_size_nanos: int
    ask_size_nanos: int
    ts_ns: int


class LiveBar(Struct, frozen=True):
    """One minute of a name in micro-dollars and nano-shares; `end_ns` is the END of the minute, UTC."""

    symbol: str
    open_micros: int
    high_micros: int
    low_micros: int
    close_micros: int
    volume_nanos: int
    end_ns: int

    @property
    def is_sound(self) -> bool:
        """Tell whether it can be a bar at all: prices in order and none too large."""
        low, high = self.low_micros, self.high_micros
        inside = low <= self.open_micros <= high and low <= self.close_micros <= high
        return low > 0 and high <= PRICE_MICROS_MAX and inside and self.volume_nanos >= 0


class Heard(Struct, frozen=True, kw_only=True):
    """What has come since it was asked for last: the newest quote of each name, and every bar.

    `life` counts connections: it rises when names are subscribed on a new one. `is_up`: that one stands. `newest_ns`
    is the newest of the feed's own times so far, and `lag_ns` how far the host's clock was past it when it came.
    `malformed` counts what could not be read since the start. `fault` is why the feed is given up, in words; `remark`
    is what else a person should know of it. `barred` are the names whose bars come now, each whole minute that begins.
    """

    quotes: Mapping[str, LiveQuote]
    bars: Sequence[LiveBar]
    life: int
    is_up: bool
    newest_ns: int = 0
    lag_ns: int = 0
    malformed: int = 0
    fault: str = ""
    remark: str = ""
    barred: frozenset[str] = frozenset()


class Stream(Protocol):
    """A live feed in a thread of its own; every call returns at once."""

    def want(self, symbols: Sequence[str], barred: Collection[str]) -> None:
        """Subscribe these names' quotes, and the bars of those that are `barred`, beside those of before."""
        ...

    def drop(self, symbols: Collection[str]) -> None:
        """End the subscription of these names, before any other is asked for."""
        ...

    def take(self) -> Heard:
        """Return what has come since the last call."""
        ...

    def close(self) -> None:
        """Hang up, without waiting for the other side."""
        ...


class PutQuotes(Protocol):
    """The newest quotes of some puts; every call returns at once."""

    def watch(self, puts: Collection[str]) -> None:
        """Quote these puts, by their OCC symbols, and no others."""
        ...

    def take(self) -> Mapping[str, LiveQuote]:
        """Return the quotes that have come since the last call."""
        ...

    def close(self) -> None:
        """Ask for nothing more."""
        ...


class BarsError(Exception):
    """Past bars cannot be had now; the message says why, and whether asking again helps. It has no key in it."""


class PastBarSource(Protocol):
    """Where minutes that were missed come from."""

    def bars(self, symbols: Sequence[str], from_ns: int, until_ns: int) -> Sequence[LiveBar]:
        """Return every bar of these names whose minute starts in [from_ns, until_ns); may take seconds.

        Raises:
            BarsError: there is no whole answer.
        """
        ...
