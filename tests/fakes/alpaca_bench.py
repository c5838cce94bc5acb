"""Alpaca's adapter on a bench: the stand-in, a line that can be spoiled, and a boot time that a test moves on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alpaca_trading import AlpacaTrading
from exchange import Exchange
from fault_proxy import FaultProxy

from bus.clock import utc_ns
from bus.messages import MICROS, NANOS
from services.execution.brokers.alpaca import AlpacaBroker
from services.execution.brokers.interface import CALL_NS_MAX, BrokerPorts, OrderRequest

SECOND = 1_000_000_000
NOW = 1_795_700_000 * SECOND


class BenchGate:
    """Lets orders through while it is open, and notes the questions."""

    def __init__(self) -> None:
        self.is_open = True
        self.asked: list[bool] = []

    def refusal(self, *, reduces: bool) -> str | None:
        self.asked.append(reduces)
        return None if self.is_open else "no lease"

    def lapsed_ns(self) -> int:
        return 0 if self.is_open else 1


class HouseClock:
    """The wall clock, a millisecond later at each look, unless `stands_at` says what it shows."""

    def __init__(self) -> None:
        self.stands_at = 0
        self._last_ns = 0

    def __call__(self) -> int:
        if self.stands_at:
            return self.stands_at
        self._last_ns = max(utc_ns(), self._last_ns + SECOND // 1000)
        return self._last_ns


class Bench:
    """One account, one adapter; `house` is the stand-in and `line` what lies between."""

    def __init__(self, house: AlpacaTrading, line: FaultProxy, clock: HouseClock) -> None:
        self.house, self.line, self.house_clock = house, line, clock
        self.exchange = house.exchange
        self.gate = BenchGate()
        self.breaths = 0
        self.passed_ns = 0
        self.opened: list[AlpacaBroker] = []
        self.broker = self.restart()

    def boot_ns(self) -> int:
        """Return a boot time that stands still until a test moves it."""
        return NOW + self.passed_ns

    def restart(self, call_ns: int = CALL_NS_MAX, listens: bool = False, **more: Any) -> AlpacaBroker:
        """Put a new adapter in front of the same account."""
        options = {"simulator_port": self.line.port, "clock": self.boot_ns} | more
        self.broker = AlpacaBroker(("", ""), "simulator", call_ns=call_ns, listens=listens, **options)
        self.broker.attach(BrokerPorts(gate=self.gate, breathe=self._breathe))
        self.opened.append(self.broker)
        return self.broker

    def _breathe(self) -> None:
        self.breaths += 1

    def quote(self, bid_cents: int, shown: int = 1_000_000, symbol: str = "AAPL") -> None:
        """Show a bid and an ask a cent above."""
        price = bid_cents * MICROS // 100
        sizes = {"bid_nanos": shown * NANOS, "ask_nanos": shown * NANOS}
        self.exchange.set_quote(symbol, price, price + MICROS // 100, **sizes)

    def submit(self, key: str, side: str = "BUY", shares: float = 10, **more: Any) -> Any:
        return self.broker.submit(a_request(key, side, shares, **more))

    def lookup(self, key: str) -> list[Any]:
        return list(self.broker.lookup(key, NOW))

    def after(self, cursor: str = "") -> list[Any]:
        return list(self.broker.executions_after(cursor, NOW))

    def posts(self) -> int:
        """Return how many new orders came to the line."""
        return self.line.count("POST", "/v2/orders")


def a_request(key: str, side: str = "BUY", shares: float = 10, **more: Any) -> OrderRequest:
    """Return an order for AAPL at market."""
    values = {
        "client_order_id": key,
        "symbol": "AAPL",
        "side": side,
        "qty_nanos": round(shares * NANOS),
        "order_type": "MARKET",
        "limit_micros": 0,
        "stop_micros": 0,
        "trail_bps": 0,
        "ts_ns": NOW,
        "reduces": side == "SELL",
    }
    return OrderRequest(**(values | more))


@contextmanager
def opened_bench(**house_options: Any) -> Iterator[Bench]:
    """Give a bench whose account has 100,000 dollars and sees AAPL at 100."""
    clock = HouseClock()
    with AlpacaTrading(Exchange(clock=clock, **house_options)) as house, FaultProxy(house.port) as line:
        house.requests_a_minute = 100_000
        bench = Bench(house, line, clock)
        bench.quote(10_000)
        yield bench
        for broker in bench.opened:
            broker.close()
