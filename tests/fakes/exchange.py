"""A small exchange in memory, for stand-ins of real brokers: integers, thread-safe, and settable misbehaviour.

Prices are in micros of a dollar, quantities in nanos of a share. It knows nothing of the code under test. A stand-in
translates its broker's words into `Ticket`, and `Order` and `Execution` back; what happens is told to listeners, in
order, one event at a time, by the thread that caused it.

    exchange = Exchange(clock=lambda: now_ns)
    exchange.listen(lambda event: ...)                 # Event(kind, order, execution)
    exchange.set_quote("AAPL", 99_990_000, 100_010_000)
    order = exchange.place(Ticket(client_id="a", symbol="AAPL", side="BUY", qty_nanos=NANOS, order_type="MARKET"))
    exchange.cancel(order.order_id)

Misbehaviour: `holds_acceptance` (orders stay PENDING until `release_acceptances`), `holds_fills` (nothing trades until
`release_fills`: a fill that comes late), `holds_cancels` (a cancel is taken and not done until `release_cancels`),
`repeats_events` (each event is told twice), `reject_next(words)` (the next order is refused at the door),
`reject_after_acceptance(words)` (the next order is taken, then refused).
"""

import itertools
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

MICROS = 1_000_000
NANOS = 1_000_000_000
BASIS_POINTS = 10_000
OPTION = re.compile(r"[A-Z]{1,6}\d{6}[CP]\d{8}")
CONTRACT_SHARES = 100
SIZE_UNLIMITED = 10**9 * NANOS
OPEN_STATES = ("PENDING", "WORKING", "CANCEL_PENDING")


class RefusalError(Exception):
    """The exchange does not take the order; the words say why."""


@dataclass(frozen=True)
class Ticket:
    """What somebody wants; prices that `order_type` (MARKET, LIMIT, STOP, TRAILING_STOP) does not use are 0.

    `is_gtc`: it is good until it is cancelled, not for the day.
    """

    client_id: str
    symbol: str
    side: str
    qty_nanos: int
    order_type: str
    limit_micros: int = 0
    stop_micros: int = 0
    trail_bps: int = 0
    is_gtc: bool = False


@dataclass(frozen=True)
class Execution:
    """One trade. `number` counts all executions of the exchange from 1; `position_nanos` is what is held after it."""

    number: int
    execution_id: str
    order_id: str
    client_id: str
    symbol: str
    side: str
    qty_nanos: int
    price_micros: int
    position_nanos: int
    ts_ns: int


@dataclass
class Order:
    """An order. `state`: PENDING, WORKING, CANCEL_PENDING, FILLED, CANCELLED, REJECTED, EXPIRED."""

    order_id: str
    ticket: Ticket
    state: str
    created_ns: int
    updated_ns: int
    number: int
    filled_nanos: int = 0
    #: Price times quantity, summed.
    paid: int = 0
    #: Where a stop rests now, and the best price that a trailing one has seen; 0 = none yet.
    stop_micros: int = 0
    peak_micros: int = 0
    is_triggered: bool = False
    words: str = ""
    executions: list[Execution] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def rest_nanos(self) -> int:
        return self.ticket.qty_nanos - self.filled_nanos

    @property
    def average_micros(self) -> int:
        return self.paid // self.filled_nanos if self.filled_nanos else 0


@dataclass(frozen=True)
class Event:
    """What happened. `kind`: accepted, filled, cancelled, rejected, expired; `order` is a copy as of then."""

    kind: str
    order: Order
    execution: Execution | None = None


@dataclass
class Quote:
    """The two sides of one symbol, and how much each still shows."""

    bid_micros: int
    ask_micros: int
    bid_nanos: int
    ask_nanos: int


@dataclass
class Cash:
    """A movement of money that is not a trade. `kind`: CSD, CSW, JNLC, DIV, INT, FEE."""

    activity_id: str
    kind: str
    amount_micros: int
    ts_ns: int


class Exchange:
    """One account at one exchange.

    Args:
        cash_micros: what the account begins with.
        clock: nanoseconds since 1970 UTC; without one, time goes on by a millisecond a step.
        may_short: sales beyond what is held are taken.
    """

    def __init__(
        self,
        cash_micros: int = 100_000 * MICROS,
        clock: Callable[[], int] | None = None,
        may_short: bool = False,
    ) -> None:
        self.lock = threading.RLock()
        self.cash_micros = cash_micros
        self.positions: dict[str, int] = {}
        self.orders: dict[str, Order] = {}
        self.by_client_id: dict[str, Order] = {}
        self.executions: list[Execution] = []
        self.cash_moves: list[Cash] = []
        self.quotes: dict[str, Quote] = {}
        self.may_short = may_short
        self.holds_acceptance = False
        self.holds_fills = False
        self.holds_cancels = False
        self.repeats_events = False
        self._refusals: deque[str] = deque()
        self._late_refusals: deque[str] = deque()
        self._listeners: list[Callable[[Event], None]] = []
        self._events: deque[Event] = deque()
        self._telling = threading.Lock()
        self._numbers = itertools.count(1)
        self._ticks = itertools.count(1_760_000_000_000_000_000, MICROS)
        self._clock = clock or (lambda: next(self._ticks))

    # --- what a stand-in does ---

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Tell this listener of everything from now on."""
        self._listeners.append(listener)

    def place(self, ticket: Ticket) -> Order:
        """Take an order and return a copy of it.

        Raises:
            RefusalError: it is refused at the door: no such order exists afterwards.
        """
        with self.lock:
            if self._refusals:
                raise RefusalError(self._refusals.popleft())
            words = self._fault_of(ticket)
            if words:
                raise RefusalError(words)
            order = self._admit(ticket)
            if not self.holds_acceptance:
                self._accept(order)
            answer = _copy(order)
        self._tell()
        return answer

    def cancel(self, order_id: str) -> bool:
        """Cancel an order; False when there is none of this id that could be cancelled."""
        with self.lock:
            order = self.orders.get(order_id)
            if order is None or not order.is_open:
                return False
            if self.holds_cancels:
                order.state, order.updated_ns = "CANCEL_PENDING", self._clock()
            else:
                self._end(order, "CANCELLED", "cancelled", "cancelled as asked")
        self._tell()
        return True

    def order(self, order_id: str) -> Order | None:
        """Return a copy of an order by the exchange's id."""
        with self.lock:
            order = self.orders.get(order_id)
            return None if order is None else _copy(order)

    def order_of(self, client_id: str) -> Order | None:
        """Return a copy of an order by the id its owner gave it."""
        with self.lock:
            order = self.by_client_id.get(client_id)
            return None if order is None else _copy(order)

    def open_orders(self) -> list[Order]:
        """Return copies of the orders that may still trade, oldest first."""
        with self.lock:
            return [_copy(order) for order in self.orders.values() if order.is_open]

    def all_orders(self) -> list[Order]:
        """Return copies of all orders, oldest first."""
        with self.lock:
            return [_copy(order) for order in self.orders.values()]

    def trades(self) -> list[Execution]:
        """Return every execution, oldest first."""
        with self.lock:
            return list(self.executions)

    @property
    def buying_power_micros(self) -> int:
        """Return the cash that no open purchase waits for."""
        with self.lock:
            buys = (order for order in self.orders.values() if order.is_open and order.ticket.side == "BUY")
            return self.cash_micros - sum(self._cost(order.ticket, order.rest_nanos) for order in buys)

    # --- what a test does ---

    def set_quote(
        self,
        symbol: str,
        bid_micros: int,
        ask_micros: int,
        *,
        bid_nanos: int = SIZE_UNLIMITED,
        ask_nanos: int = SIZE_UNLIMITED,
    ) -> None:
        """Show a new quote; what waits in this symbol trades with it, up to the size it shows."""
        with self.lock:
            self.quotes[symbol] = Quote(bid_micros, ask_micros, bid_nanos, ask_nanos)
            self._match_symbol(symbol)
        self._tell()

    def move_cash(self, kind: str, amount_micros: int) -> Cash:
        """Let money enter (positive) or leave the account."""
        with self.lock:
            ts = self._clock()
            move = Cash(f"cash-{next(self._numbers)}", kind, amount_micros, ts)
            self.cash_micros += amount_micros
            self.cash_moves.append(move)
            return move

    def reject_next(self, words: str) -> None:
        """Refuse the next order at the door; called twice, the next two."""
        self._refusals.append(words)

    def reject_after_acceptance(self, words: str) -> None:
        """Take the next order, and refuse it then."""
        self._late_refusals.append(words)

    def release_acceptances(self) -> None:
        """Accept what was held, in its order."""
        with self.lock:
            self.holds_acceptance = False
            for order in list(self.orders.values()):
                if order.state == "PENDING":
                    self._accept(order)
        self._tell()

    def release_fills(self) -> None:
        """Trade what could have traded meanwhile."""
        with self.lock:
            self.holds_fills = False
            for symbol in list(self.quotes):
                self._match_symbol(symbol)
        self._tell()

    def release_cancels(self) -> None:
        """Do the cancels that were held."""
        with self.lock:
            self.holds_cancels = False
            for order in list(self.orders.values()):
                if order.state == "CANCEL_PENDING":
                    self._end(order, "CANCELLED", "cancelled", "cancelled as asked")
        self._tell()

    def fill(self, order_id: str, qty_nanos: int, price_micros: int) -> Execution:
        """Trade so much of an order at this price, whatever the quotes and the order's state are."""
        with self.lock:
            execution = self._trade(self.orders[order_id], qty_nanos, price_micros)
        self._tell()
        return execution

    def expire_day(self) -> None:
        """End the day: every open order that is good for it expires."""
        with self.lock:
            for order in list(self.orders.values()):
                if order.is_open and not order.ticket.is_gtc:
                    self._end(order, "EXPIRED", "expired", "the day is over")
        self._tell()

    # --- inside; the lock is held ---

    def _fault_of(self, ticket: Ticket) -> str:
        if ticket.client_id and ticket.client_id in self.by_client_id:
            return "client_order_id must be unique"
        if ticket.qty_nanos <= 0:
            return "qty must be > 0"
        if ticket.side == "SELL" and not self.may_short:
            waiting = sum(o.rest_nanos for o in self.orders.values() if o.is_open and _sells(o, ticket.symbol))
            if ticket.qty_nanos > self.positions.get(ticket.symbol, 0) - waiting:
                return "insufficient qty available for order"
        if ticket.side == "BUY" and self._cost(ticket, ticket.qty_nanos) > self.buying_power_micros:
            return "insufficient buying power"
        return ""

    def _cost(self, ticket: Ticket, qty_nanos: int) -> int:
        return value_of(ticket.symbol, self._price_of(ticket), qty_nanos)

    def _price_of(self, ticket: Ticket) -> int:
        quote = self.quotes.get(ticket.symbol)
        return ticket.limit_micros or ticket.stop_micros or (quote.ask_micros if quote else 0)

    def _admit(self, ticket: Ticket) -> Order:
        ts, number = self._clock(), next(self._numbers)
        order = Order(f"order-{number}", ticket, "PENDING", ts, ts, number, stop_micros=ticket.stop_micros)
        self.orders[order.order_id] = order
        if ticket.client_id:
            self.by_client_id[ticket.client_id] = order
        return order

    def _accept(self, order: Order) -> None:
        order.state, order.updated_ns = "WORKING", self._clock()
        self._happened("accepted", order)
        if self._late_refusals:
            self._end(order, "REJECTED", "rejected", self._late_refusals.popleft())
            return
        self._match(order)

    def _match_symbol(self, symbol: str) -> None:
        for order in list(self.orders.values()):
            if order.ticket.symbol == symbol and order.state in {"WORKING", "CANCEL_PENDING"}:
                self._match(order)

    def _match(self, order: Order) -> None:
        quote = self.quotes.get(order.ticket.symbol)
        if quote is None or self.holds_fills:
            return
        is_buy = order.ticket.side == "BUY"
        price = quote.ask_micros if is_buy else quote.bid_micros
        if price <= 0 or not self._may_trade(order, quote, price):
            return
        shown = quote.ask_nanos if is_buy else quote.bid_nanos
        qty = min(order.rest_nanos, shown)
        if qty <= 0:
            return
        if is_buy:
            quote.ask_nanos -= qty
        else:
            quote.bid_nanos -= qty
        self._trade(order, qty, price)

    def _may_trade(self, order: Order, quote: Quote, price: int) -> bool:
        ticket, is_buy = order.ticket, order.ticket.side == "BUY"
        if ticket.order_type == "MARKET":
            return True
        if ticket.order_type == "LIMIT":
            return price <= ticket.limit_micros if is_buy else price >= ticket.limit_micros
        if ticket.order_type == "TRAILING_STOP":
            self._trail(order, quote)
        if not order.is_triggered:
            order.is_triggered = price >= order.stop_micros if is_buy else price <= order.stop_micros
        return order.is_triggered

    def _trail(self, order: Order, quote: Quote) -> None:
        trail = order.ticket.trail_bps
        if order.ticket.side == "BUY":
            order.peak_micros = min(order.peak_micros or quote.ask_micros, quote.ask_micros)
            order.stop_micros = order.peak_micros * (BASIS_POINTS + trail) // BASIS_POINTS
        else:
            order.peak_micros = max(order.peak_micros, quote.bid_micros)
            order.stop_micros = order.peak_micros * (BASIS_POINTS - trail) // BASIS_POINTS

    def _trade(self, order: Order, qty: int, price: int) -> Execution:
        ticket = order.ticket
        sign = 1 if ticket.side == "BUY" else -1
        held = self.positions.get(ticket.symbol, 0) + sign * qty
        self.positions[ticket.symbol] = held
        self.cash_micros -= sign * value_of(ticket.symbol, price, qty)
        number = len(self.executions) + 1
        execution = Execution(
            number,
            f"exec-{number:06d}",
            order.order_id,
            ticket.client_id,
            ticket.symbol,
            ticket.side,
            qty,
            price,
            held,
            self._clock(),
        )
        self.executions.append(execution)
        order.executions.append(execution)
        order.filled_nanos += qty
        order.paid += qty * price
        order.updated_ns = execution.ts_ns
        if order.rest_nanos <= 0:
            order.state = "FILLED"
        self._happened("filled", order, execution)
        return execution

    def _end(self, order: Order, state: str, kind: str, words: str) -> None:
        order.state, order.words, order.updated_ns = state, words, self._clock()
        self._happened(kind, order)

    def _happened(self, kind: str, order: Order, execution: Execution | None = None) -> None:
        for _ in range(2 if self.repeats_events else 1):
            self._events.append(Event(kind, _copy(order), execution))

    def _tell(self) -> None:
        """Tell what has happened, in order; a listener that acts on the exchange is told of it afterwards."""
        while self._events and self._telling.acquire(blocking=False):
            try:
                while self._events:
                    event = self._events.popleft()
                    for listener in list(self._listeners):
                        listener(event)
            finally:
                self._telling.release()


def value_of(symbol: str, price_micros: int, qty_nanos: int) -> int:
    """Return what a quantity costs; a contract of an option (by its OCC symbol) is for a hundred shares."""
    shares = CONTRACT_SHARES if OPTION.fullmatch(symbol) else 1
    return price_micros * qty_nanos * shares // NANOS


def _copy(order: Order) -> Order:
    return replace(order, executions=list(order.executions))


def _sells(order: Order, symbol: str) -> bool:
    return order.ticket.side == "SELL" and order.ticket.symbol == symbol
