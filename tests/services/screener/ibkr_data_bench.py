"""A stand-in gateway with market data, and a line to it over one of the two libraries; tests move the day's clock."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from exchange import MICROS, NANOS, Exchange
from ib_gateway import IbGateway
from live_day import MINUTE, OPEN, until
from msgspec.structs import replace

from bus.clock import SystemClock
from bus.ib_library import IB_LIBRARIES
from services.screener.ibkr_line import IbkrDataLine
from services.screener.ibkr_stream import IbkrStream, IbkrStreamSettings
from services.screener.live import Heard, LiveBar, LiveQuote
from services.screener.settings import IbkrDataAccess

OPEN_S = OPEN // NANOS
HOST = SystemClock()
NAMES = ("SPY", "AAPL")


class DataBench:
    """One gateway and one line; `now_ns` is the day's clock, `skipped_ns` what tests let pass of the boot clock."""

    def __init__(self, library: str) -> None:
        self.exchange = Exchange()
        self.gateway = IbGateway(self.exchange)
        self.gateway.clock_s = None
        self.now_ns = OPEN - MINUTE
        self.skipped_ns = 0
        self.library = library
        self.lines: list[IbkrDataLine] = []
        self.streams: list[IbkrStream] = []
        self.line = self.open()

    def boot_ns(self) -> int:
        return HOST.boot_ns() + self.skipped_ns

    def open(self, **access: Any) -> IbkrDataLine:
        values = {
            "port": self.gateway.port,
            "client_id": 12,
            "library": self.library,
            "answer_s": 5.0,
            "backoff_s": (0.05,),
        } | access
        self.line = IbkrDataLine(IbkrDataAccess(**values), self.boot_ns)
        self.lines.append(self.line)
        return self.line

    def stream(self, *names: str, barred: Sequence[str] | None = None) -> IbkrStream:
        """Return a stream of these names that has begun."""
        made = IbkrStream(self.line, IbkrStreamSettings(quiet_s=lambda: 15.0, utc_ns=lambda: self.now_ns))
        self.streams.append(made)
        made.want(names, names if barred is None else barred)
        return made

    def close(self) -> None:
        for stream in self.streams:
            stream.close()
        for line in self.lines:
            line.close()
        for line in self.lines:
            if line._thread is not None:
                line._thread.join(5)
        self.gateway.close()

    # --- what a test does -----

    def rise(self, stream: IbkrStream, *names: str) -> Heard:
        """Wait until these names are subscribed, let the minute turn, and return what is heard when a life begins."""
        # The same may not be asked for again within fifteen seconds.
        self.skipped_ns += 16 * NANOS
        until(lambda: set(names) <= set(self.gateway.names(50)), "bars are asked for")
        self.skipped_ns += 3 * NANOS
        until(lambda: stream._counts_from_ns, "count begins")
        self.now_ns = max(self.now_ns, stream._counts_from_ns)
        life = stream.take().life
        return self.heard(stream, lambda heard: heard.is_up and heard.life > life)

    def heard(self, stream: IbkrStream, has: Callable[[Heard], object]) -> Heard:
        """Wait until what is heard is so; return it with every quote and bar that came meanwhile."""
        quotes: dict[str, LiveQuote] = {}
        bars: list[LiveBar] = []

        def look() -> Heard | None:
            heard = stream.take()
            quotes.update(heard.quotes)
            bars.extend(heard.bars)
            whole = replace(heard, quotes=dict(quotes), bars=list(bars))
            return whole if has(whole) else None

        return until(look, "word of the stream")

    def quote(self, symbol: str, bid: str, ask: str, size: str = "3") -> None:
        self.gateway.say_ticks(symbol, bid=bid, ask=ask, bid_size=size, ask_size=size)

    def bar(self, symbol: str, after_s: int, price: str, volume: str = "100") -> None:
        """Say five seconds that begin so long after the open, at one price."""
        self.gateway.say_bar(symbol, OPEN_S + after_s, (price,) * 4, volume)


def dollars(value: float) -> int:
    return round(value * MICROS)


@pytest.fixture(params=IB_LIBRARIES)
def ib(request: pytest.FixtureRequest) -> Iterator[DataBench]:
    """Give a gateway and a line over one of the libraries."""
    made = DataBench(request.param)
    yield made
    made.close()
