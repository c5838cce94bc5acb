"""An adapter for Interactive Brokers on a stand-in gateway, with a clock and a gate that tests move."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from exchange import MICROS, NANOS, Exchange
from ib_gateway import IbGateway

from services.execution.brokers.ibkr import IbkrBroker
from services.execution.brokers.ibkr_line import IbkrAccess
from services.execution.brokers.interface import BrokerPorts, OrderRequest

#: Long enough for a machine that is busy, short enough for a test that waits for it.
PATIENCE_NS = 600_000_000
#: The gateway of a test takes more messages in a second than a real one.
PACE_NS = 20_000_000


def new_york_ns(text: str) -> int:
    """Return a time in New York, such as 2025-07-01 10:00, in nanoseconds since 1970 UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9


class OpenGate:
    """A gate that tests open and close; `at_question` happens before it answers."""

    def __init__(self) -> None:
        self.is_open = True
        self.asked: list[bool] = []
        self.at_question: Callable[[], None] = lambda: None

    def refusal(self, *, reduces: bool) -> str | None:
        act, self.at_question = self.at_question, lambda: None
        act()
        self.asked.append(reduces)
        return None if self.is_open else "no lease"

    def lapsed_ns(self) -> int:
        return 0


class Bench:
    """One gateway, one exchange, and as many adapters as a test opens on one file."""

    def __init__(self, folder: Path, library: str, *, patience_ns: int = PATIENCE_NS) -> None:
        self.exchange = Exchange()
        self.gateway = IbGateway(self.exchange)
        self.library = library
        self.path = folder / "ibkr_books.db"
        self.patience_ns = patience_ns
        self.pace_ns = PACE_NS
        self.now_ns = new_york_ns("2025-07-01 10:00")
        self.gate = OpenGate()
        self.breaths = 0
        self.opened: list[IbkrBroker] = []
        self.exchange.set_quote("AAPL", 100 * MICROS, 100 * MICROS + 20_000)
        self.broker = self.open()

    def open(self, **access: Any) -> IbkrBroker:
        """Open an adapter on the same file, as a new process would; what an older one had connected breaks."""
        self.gateway.drop()
        values = {"port": self.gateway.port, "client_id": 11, "account": "", "mode": "paper"} | access
        broker = IbkrBroker(
            IbkrAccess(**values),
            library=self.library,
            path=self.path,
            patience_ns=self.patience_ns,
            pace_ns=self.pace_ns,
            clock=lambda: self.now_ns,
        )
        broker.attach(BrokerPorts(gate=self.gate, breathe=self.breathe))
        self.opened.append(broker)
        self.broker = broker
        return broker

    def breathe(self) -> None:
        self.breaths += 1

    def close(self) -> None:
        for broker in self.opened:
            broker.close()
        self.gateway.close()

    def request(self, key: str, side: Literal["BUY", "SELL"] = "BUY", shares: float = 10, **more: Any) -> OrderRequest:
        """Build an order: at market, unless a limit, a stop (dollars) or a trail says otherwise."""
        limit, stop, trail = more.pop("limit", 0), more.pop("stop", 0), more.pop("trail_bps", 0)
        kind = "LIMIT" if limit else "STOP" if stop else "TRAILING_STOP" if trail else "MARKET"
        values: dict[str, Any] = {
            "client_order_id": key,
            "symbol": "AAPL",
            "side": side,
            "qty_nanos": int(shares * NANOS),
            "order_type": kind,
            "limit_micros": int(limit * MICROS),
            "stop_micros": int(stop * MICROS),
            "trail_bps": trail,
            "ts_ns": self.now_ns,
            "reduces": side == "SELL",
        }
        return OrderRequest(**(values | more))

    def submit(self, key: str, side: Literal["BUY", "SELL"] = "BUY", shares: float = 10, **more: Any) -> Any:
        return self.broker.submit(self.request(key, side, shares, **more))

    def lookup(self, key: str) -> list[Any]:
        return list(self.broker.lookup(key, self.now_ns))

    def kinds(self, key: str) -> list[str]:
        """Return the names of the reports of a look-up."""
        return [type(report).__name__.removeprefix("Broker") for report in self.lookup(key)]

    def listed(self) -> list[str]:
        return [order.client_order_id for order in self.broker.open_orders(self.now_ns)]

    def fills(self, after: str = "") -> list[Any]:
        return list(self.broker.executions_after(after, self.now_ns))

    def quote(self, bid: float, ask: float, symbol: str = "AAPL", size: float = 1000) -> None:
        nanos = int(size * NANOS)
        self.exchange.set_quote(symbol, int(bid * MICROS), int(ask * MICROS), bid_nanos=nanos, ask_nanos=nanos)
