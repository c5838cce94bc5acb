"""Alpaca's adapter for the cards: its house is a stand-in that speaks Alpaca's protocol, behind a line that fails."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alpaca_trading import AlpacaTrading
from conformance.rig import STARTING_CASH_MICROS, Call, Outcome, Rig
from conformance.rigs import RIGS
from exchange import Exchange, Ticket
from fault_proxy import FaultProxy

from bus import messages as m
from bus.clock import boot_ns, iso_utc, utc_ns
from bus.instruments import option_terms
from services.execution.brokers.alpaca import AlpacaBroker
from services.execution.brokers.interface import BrokerPorts

SECOND = m.NANOS
DAY_NS = 86_400 * SECOND
#: The put of the options' cards expires so long after the first session.
LIFE_OF_PUT = timedelta(days=3)
#: Silence is waited for so long: a card looks at what follows from it, not at the three seconds that the port allows.
CALL_NS = SECOND
#: Call -> the requests that it begins with.
ROUTES: dict[Call, tuple[str, str]] = {
    "submit": ("POST", "/v2/orders"),
    "cancel": ("DELETE", "/v2/orders/.*"),
    "lookup": ("GET", "/v2/orders:by_client_order_id"),
    "open_orders": ("GET", "/v2/orders"),
    "executions_after": ("GET", "/v2/account/activities/FILL"),
    "account": ("GET", "/v2/account"),
    "activities": ("GET", "/v2/account/activities"),
    "assets": ("GET", "/v2/assets"),
    "clock": ("GET", "/v2/clock"),
    "fence": ("PATCH", "/v2/account/configurations"),
}
SPOILED: dict[Outcome, tuple[str, dict[str, Any]]] = {
    Outcome.TIMEOUT_BEFORE: ("silent_before", {}),
    Outcome.TIMEOUT_AFTER_ACCEPT: ("silent_after", {}),
    Outcome.RESET_AFTER_ACCEPT: ("reset_after", {}),
    Outcome.HTTP_500_AFTER: ("status_after", {"status": 500}),
    Outcome.HTTP_504_AFTER: ("status_after", {"status": 504}),
    Outcome.RATE_LIMITED: ("status_before", {"status": 429, "headers": {"Retry-After": "1"}}),
    Outcome.UNREADABLE: ("garbage", {}),
    Outcome.LATE_ACCEPT: ("late", {}),
    Outcome.UNAUTHORIZED: ("status_before", {"status": 401, "body": b'{"message": "request is not authorized"}'}),
}


class HouseClock:
    """The wall clock and what a card let pass, in which no time goes by here.

    Each look at it is a millisecond later: executions stand in the order of milliseconds.
    """

    def __init__(self) -> None:
        self.passed_ns = 0
        self._last_ns = 0

    def __call__(self) -> int:
        self._last_ns = max(utc_ns() + self.passed_ns, self._last_ns + SECOND // 1000)
        return self._last_ns


class AlpacaRig(Rig):
    """The adapter, a proxy that spoils what it is told, and the stand-in."""

    name = "alpaca"
    capabilities = RIGS["alpaca"].capabilities

    def __init__(self, house: AlpacaTrading, line: FaultProxy, clock: HouseClock) -> None:
        super().__init__()
        self.house = house
        self.line = line
        self._clock = clock
        self.put = f"SPY{datetime.fromtimestamp(utc_ns() // SECOND, UTC) + LIFE_OF_PUT:%y%m%d}P00100000"
        self._opened: list[AlpacaBroker] = []
        self._passed_ns = 0
        self._now_ns = clock()
        self.restart()

    @property
    def now_ns(self) -> int:
        return self._now_ns

    @property
    def session_date(self) -> str:
        return iso_utc(self.now_ns)[:10]

    def boot_ns(self) -> int:
        return boot_ns() + self._passed_ns

    def quote(
        self, symbol: str, bid_micros: int, ask_micros: int, bid_shares: int = 1000, ask_shares: int = 1000
    ) -> None:
        sizes = {"bid_nanos": bid_shares * m.NANOS, "ask_nanos": ask_shares * m.NANOS}
        self.house.exchange.set_quote(symbol, bid_micros, ask_micros, **sizes)

    def settle(self) -> None:
        self._passed_ns += 2 * SECOND
        self._now_ns = self._clock()
        self.line.release_late()
        self.house.exchange.release_cancels()

    def restart(self) -> None:
        broker = AlpacaBroker(
            ("", ""), "simulator", simulator_port=self.line.port, clock=self.boot_ns, call_ns=CALL_NS, listens=False
        )
        broker.attach(BrokerPorts(gate=self.gate, breathe=self.breathe))
        self._opened.append(broker)
        self.broker = broker

    def end_session(self) -> None:
        self.house.open_market = False
        self.house.exchange.expire_day()
        self.house.exchange.holds_fills = True
        if self.session_date >= option_terms(self.put).expiry:
            self.house.expire_option(self.put)

    def next_session(self) -> None:
        self._clock.passed_ns += DAY_NS
        self._passed_ns += DAY_NS
        self._now_ns = self._clock()
        # What was quoted yesterday trades no more.
        self.house.exchange.quotes.clear()
        self.house.exchange.holds_fills = False
        self.house.open_market = True

    def close(self) -> None:
        for broker in self._opened:
            broker.close()

    def foreign_order(self, symbol: str, side: m.Side, qty_nanos: int, limit_micros: int) -> str:
        ticket = Ticket(str(uuid.uuid4()), symbol, side, qty_nanos, "LIMIT", limit_micros=limit_micros)
        self.house.exchange.place(ticket)
        return self.house.shown(ticket.client_id)["id"]

    def foreign_position(self, symbol: str, qty_nanos: int) -> None:
        with self.house.exchange.lock:
            self.house.exchange.positions[symbol] = qty_nanos

    def asset(self, symbol: str, *, is_tradable: bool = True, is_fractionable: bool = True) -> None:
        self.house.assets[symbol].update(tradable=is_tradable, fractionable=is_fractionable)

    def fail_next(self, call: Call, outcome: Outcome) -> None:
        match outcome:
            case Outcome.REJECT:
                self.house.exchange.reject_next("this account may not open new positions")
            case Outcome.CANCEL_PENDING:
                self.house.exchange.holds_cancels = True
            case Outcome.FILLED_BEFORE:
                # This house trades as soon as a quote allows it: whatever could trade has traded by now.
                return
            case _:
                kind, more = SPOILED[outcome]
                self.line.spoil(*ROUTES[call], kind, **more)

    def disconnect(self) -> None:
        self.line.cut()

    def reconnect(self) -> None:
        self.line.mend()

    def repeat_executions(self) -> None:
        self.house.repeat_events()

    def hide_execution(self, trade: Callable[[], None]) -> None:
        self.house.hides_executions = {len(self.house.exchange.trades()) + 1}
        trade()

    def show_executions(self) -> None:
        self.house.hides_executions.clear()

    def pay_dividend(self, amount_micros: int) -> None:
        self.house.exchange.move_cash("DIV", amount_micros)

    def correct_first_execution(self, price_micros: int) -> None:
        self.house.correct(1, price_micros)
        self._let_a_second_pass()

    def bust_first_execution(self) -> None:
        self.house.bust(1)
        self._let_a_second_pass()

    def _let_a_second_pass(self) -> None:
        # Alpaca's filters are whole seconds.
        self._clock.passed_ns += SECOND

    def houses_orders(self) -> list[str]:
        return [order.ticket.client_id for order in self.house.exchange.all_orders()]


@contextmanager
def make(_folder: Path) -> Iterator[Rig]:
    """Give a rig on a new account."""
    clock = HouseClock()
    exchange = Exchange(STARTING_CASH_MICROS, clock)
    with AlpacaTrading(exchange, clock=clock) as house, FaultProxy(house.port) as line:
        house.requests_a_minute = 100_000
        rig = AlpacaRig(house, line, clock)
        yield rig
        rig.close()
