"""An adapter for Interactive Brokers on a stand-in gateway, with a clock and a gate that tests move."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from exchange import MICROS, NANOS, Exchange
from ib_gateway import IbGateway

from bus.clock import boot_ns
from bus.ib_library import IB_LIBRARIES
from services.execution.brokers.ibkr import IbkrBroker
from services.execution.brokers.ibkr_line import IbkrAccess
from services.execution.brokers.interface import BrokerPorts, OrderRequest

#: Long enough for a machine that is busy; and for tests that wait until it is over.
PATIENCE_NS = 2_900_000_000
SHORT_NS = 500_000_000
#: The gateway of a test takes more messages in a second than a real one.
PACE_NS = 20_000_000


def new_york_ns(text: str) -> int:
    """Return a time in New York, such as 2025-07-01 10:00, in nanoseconds since 1970 UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9


def break_lines(gateway: IbGateway, brokers: list[IbkrBroker]) -> None:
    """Let the gateway break every connection, and wait until these adapters have noticed it.

    An adapter that goes on reading what came before would be a process that is not dead yet.
    """
    heard = [broker._line.ears for broker in brokers if broker._line.ears is not None]
    gateway.drop()
    until_ns = boot_ns() + 5 * NANOS
    while not all(ears.is_lost for ears in heard) and boot_ns() < until_ns:
        time.sleep(0.002)


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
        break_lines(self.gateway, self.opened)
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

    def wait_briefly(self, *, is_on: bool = True) -> None:
        """Let calls from now on give up soon: a test waits for it."""
        self.broker._line._patience_ns = SHORT_NS if is_on else self.patience_ns

    def break_line(self) -> None:
        """Let the gateway break the connection, and wait until the adapter has noticed it."""
        break_lines(self.gateway, self.opened)

    def lose_file(self) -> None:
        """End every adapter and delete the file."""
        for broker in self.opened:
            broker.close()
        for rest in self.path.parent.glob(f"{self.path.name}*"):
            rest.unlink()

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
            "limit_micros": round(limit * MICROS),
            "stop_micros": round(stop * MICROS),
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
        self.exchange.set_quote(symbol, round(bid * MICROS), round(ask * MICROS), bid_nanos=nanos, ask_nanos=nanos)
        self.gateway.wait_until_told()


@pytest.fixture(params=IB_LIBRARIES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Give an adapter on one of the libraries."""
    made = Bench(tmp_path, request.param)
    yield made
    made.close()
