"""A broker in another house: its books are the truth, and it answers late, twice, wrongly or not at all.

It goes on while the bot is down. `BrokerHouse` is the house; `BrokerDoor` is what one life of execution has of it. The
log of every order POST is what the checkers read; nothing in it comes from the bot's own memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sim.faults import FaultMix
from sim.host import MS, SECOND, Host, Span

from bus.messages import AssetLine, FeedEnded, MarketMessage, Quote, QuoteBatch, Side, cash_micros
from bus.quote_board import QuoteBoard
from services.execution.brokers import interface
from services.execution.brokers import reports as r
from services.execution.brokers.interface import OrderRequest, RetryableBrokerError

NAME: Final = "PAPER"
STARTING_CASH: Final = 100_000_000_000
_BPS: Final = 10_000
_SHARE: Final = 1_000_000_000


@dataclass
class Post:
    """One order POST: when the bot began to write it, and what it asked for. `market_ns` is the market's time then."""

    boot_ns: int
    client_order_id: str
    side: Side
    symbol: str
    qty_nanos: int
    market_ns: int


@dataclass
class HouseOrder:
    """An order in the broker's books. Times are boot nanoseconds; `over_ns` 0 = it still works."""

    number: int
    request: OrderRequest
    accepted_ns: int
    accepted_market_ns: int
    visible_ns: int
    state: str = "WORKING"
    filled_nanos: int = 0
    peak_micros: int = 0
    over_ns: int = 0
    detail: str = ""
    is_slow: bool = False
    is_stuck: bool = False

    @property
    def key(self) -> str:
        return self.request.client_order_id

    @property
    def broker_order_id(self) -> str:
        return f"SO-{self.number:06d}"

    @property
    def rest_nanos(self) -> int:
        return self.request.qty_nanos - self.filled_nanos

    @property
    def is_entry(self) -> bool:
        return self.request.side == "BUY"


@dataclass
class HouseFill:
    """One execution."""

    number: int
    order: HouseOrder
    qty_nanos: int
    price_micros: int
    market_ns: int
    boot_ns: int

    @property
    def execution_id(self) -> str:
        return f"PX-{self.number:06d}"

    @property
    def cash_micros(self) -> int:
        amount = cash_micros(self.price_micros, self.qty_nanos)
        return -amount if self.order.request.side == "BUY" else amount


@dataclass
class Trouble:
    """A question or a cancel that did not get its answer; `key` is the order of a cancel, empty = any order's."""

    boot_ns: int
    key: str = ""


@dataclass
class BrokerHouse:
    """Orders, executions, cash and positions; and the market as the broker itself sees it."""

    host: Host
    mix: FaultMix
    orders: dict[str, HouseOrder] = field(default_factory=dict)
    fills: list[HouseFill] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    #: Sales of more than is held: the bot may never ask for one. Refusals that were drawn are not in it.
    wrong_asks: list[str] = field(default_factory=list)
    #: Refusals that were drawn, by side: a refused sale lets the bot halt by itself.
    refused_sales: int = 0
    troubles: list[Trouble] = field(default_factory=list)
    #: When the bot stood in a call that timed out.
    waits: list[Span] = field(default_factory=list)
    on_the_way: int = 0
    positions: dict[str, int] = field(default_factory=dict)
    board: QuoteBoard = field(default_factory=QuoteBoard)
    market_ns: int = 0
    #: The market's time as the bot could know it when its order was sent; None = the feed waits, so it is the same.
    told_ns: int | None = None
    step: int = 0
    is_after_last_quote: bool = False
    door: BrokerDoor | None = None
    #: Told of each entry that is sent.
    entered: Callable[[], None] = lambda: None

    @property
    def cash_micros(self) -> int:
        return STARTING_CASH + sum(fill.cash_micros for fill in self.fills)

    def working(self) -> list[HouseOrder]:
        return [order for order in self.orders.values() if order.state == "WORKING"]

    # --- the market -----

    def hear_market(self, data: MarketMessage) -> None:
        """Take the newest market data; what a feed repeats after a restart is no news to a market."""
        if data.step <= self.step:
            return
        self.step, self.market_ns = data.step, data.ts_event
        if isinstance(data, FeedEnded):
            self.is_after_last_quote = True
            for order in self.working():
                self._meet_last_quote(order)
        if not isinstance(data, QuoteBatch):
            return
        self.board = self.board.heard(data)
        for order in self.working():
            if order.accepted_market_ns < self.market_ns:
                self.work(order)

    def _meet_last_quote(self, order: HouseOrder) -> None:
        """Let an order that no quote will come for any more meet the ones that stand: only the recording ends."""
        delay = self.host.between(100 * MS, 2 * SECOND)
        self.host.after(delay, "last quote", lambda: self.work(order, at_once=True))

    def work(self, order: HouseOrder, *, at_once: bool = False) -> None:
        """Let one order meet the quotes that stand; a slow one is filled later, by itself."""
        quote = self.board.quote_of(order.request.symbol)
        if order.is_stuck or quote is None or order.state != "WORKING" or (order.is_slow and not at_once):
            return
        if order.request.order_type == "TRAILING_STOP":
            order.peak_micros = max(order.peak_micros, quote.bid_micros)
            if quote.bid_micros * _BPS > order.peak_micros * (_BPS - order.request.trail_bps):
                return
        if not at_once and self.host.chance(self.mix.slow_fill):
            order.is_slow = True
            self.host.after(
                self.host.between(100 * MS, int(self.mix.slow_fill_s_max * SECOND)),
                "slow fill",
                lambda: self.work(order, at_once=True),
            )
            return
        self._fill(order, quote)

    def _fill(self, order: HouseOrder, quote: Quote) -> None:
        """Fill an order whole, or in parts that look alike: the same quantity at the same price."""
        parts = [order.rest_nanos]
        if self.host.chance(self.mix.partial_fill) and order.rest_nanos >= 4 * _SHARE:
            part = order.rest_nanos // _SHARE // 4 * _SHARE
            parts = [part, part, order.rest_nanos - 2 * part]
        price = quote.ask_micros if order.request.side == "BUY" else quote.bid_micros
        for number, part in enumerate(parts):
            if number and self.host.chance(0.4):
                # The rest comes later.
                order.is_slow = True
                self.host.after(self.host.between(100 * MS, 2 * SECOND), "rest", lambda: self.work(order, at_once=True))
                return
            self._book(order, part, price)

    def _book(self, order: HouseOrder, qty: int, price: int) -> None:
        fill = HouseFill(len(self.fills) + 1, order, qty, price, self.market_ns, self.host.boot_ns())
        self.fills.append(fill)
        order.filled_nanos += qty
        symbol = order.request.symbol
        self.positions[symbol] = self.positions.get(symbol, 0) + (qty if order.is_entry else -qty)
        if order.rest_nanos == 0:
            self._end(order, "FILLED")
        self.host.note(f"fill {fill.execution_id} {order.key}")
        if self.door is not None and not self.host.chance(self.mix.stream_lost):
            self.door.stream.append(fill)

    def _end(self, order: HouseOrder, state: str, detail: str = "") -> None:
        order.state, order.detail, order.over_ns = state, detail, self.host.boot_ns()

    # --- requests that have arrived -----

    def accept(self, request: OrderRequest) -> r.OrderReport:
        """Take a request that has arrived, now or late."""
        known = self.orders.get(request.client_order_id)
        if known is not None:
            return r.BrokerDuplicate(
                ts_event=self.market_ns,
                ts_init=self.market_ns,
                client_order_id=known.key,
                detail="client_order_id must be unique",
            )
        now = self.host.boot_ns()
        lag = self.host.between(100 * MS, 3 * SECOND) if self.host.chance(self.mix.lag) else 0
        order = HouseOrder(len(self.orders) + 1, request, now, self.market_ns, now + lag)
        order.is_stuck = order.is_entry and self.host.chance(self.mix.stuck)
        self.orders[order.key] = order
        refusal = self._refusal(request)
        if refusal:
            self._end(order, "REJECTED", refusal)
        elif request.order_type == "TRAILING_STOP" and (quote := self.board.quote_of(request.symbol)):
            order.peak_micros = quote.bid_micros
        self.host.note(f"order {order.key} {order.state}")
        if self.is_after_last_quote:
            self._meet_last_quote(order)
        return self.first_report(order)

    def _refusal(self, request: OrderRequest) -> str:
        held = self.positions.get(request.symbol, 0)
        waiting = sum(
            o.rest_nanos
            for o in self.working()
            if o.request.symbol == request.symbol and not o.is_entry and o.key != request.client_order_id
        )
        if request.side == "SELL" and request.qty_nanos > held - waiting:
            words = f"a sale of {request.qty_nanos} {request.symbol}: {held} held, {waiting} of them for other orders"
            self.wrong_asks.append(f"{request.client_order_id}: {words}")
            return f"short selling is not allowed: {words}"
        if self.host.chance(self.mix.rejected if request.side == "BUY" else self.mix.rejected / 10):
            self.refused_sales += request.side == "SELL"
            return "refused by the exchange"
        return ""

    def late_accept(self, request: OrderRequest) -> None:
        self.on_the_way -= 1
        self.accept(request)

    def cancel(self, key: str) -> None:
        order = self.orders.get(key)
        if order is not None and order.state == "WORKING":
            self._end(order, "CANCELLED", "cancelled on request")
            self.host.note(f"cancelled {key}")

    # --- answers -----

    def first_report(self, order: HouseOrder) -> r.OrderReport:
        if order.state == "REJECTED":
            return r.BrokerRejected(
                ts_event=order.accepted_market_ns,
                ts_init=self.market_ns,
                client_order_id=order.key,
                detail=order.detail,
            )
        return r.BrokerAccepted(
            ts_event=order.accepted_market_ns,
            ts_init=self.market_ns,
            client_order_id=order.key,
            broker_order_id=order.broker_order_id,
        )

    def fill_report(self, fill: HouseFill) -> r.BrokerFill:
        return r.BrokerFill(
            ts_event=fill.market_ns,
            ts_init=self.market_ns,
            execution_id=fill.execution_id,
            client_order_id=fill.order.key,
            broker_order_id=fill.order.broker_order_id,
            qty_nanos=fill.qty_nanos,
            price_micros=fill.price_micros,
            commission_micros=0,
            broker=NAME,
        )

    def reports(self, order: HouseOrder) -> list[r.OrderReport]:
        """Return all that the books know of an order, in its order."""
        said: list[r.OrderReport] = [self.first_report(order)]
        said.extend(self.fill_report(fill) for fill in self.fills if fill.order is order)
        if order.state == "CANCELLED":
            said.append(
                r.BrokerCancelled(
                    ts_event=self.market_ns,
                    ts_init=self.market_ns,
                    client_order_id=order.key,
                    filled_qty_nanos=order.filled_nanos,
                    detail=order.detail,
                )
            )
        return said


class BrokerDoor(interface.Broker):
    """One life of execution's connection to the house: services.execution.brokers.interface.Broker."""

    name: Final = NAME

    def __init__(self, house: BrokerHouse) -> None:
        self.house = house
        self.stream: list[HouseFill] = []
        house.door = self

    @property
    def not_found_proof(self) -> interface.NotFoundProof:
        return interface.OUTSIDE_PROOF

    def _times_out(self, words: str, low_ms: int = 200, high_ms: int = 1_500) -> RetryableBrokerError:
        """Spend the time until we give up, and return the error that this is."""
        host = self.house.host
        since = host.boot_ns()
        host.spend(host.between(low_ms * MS, high_ms * MS))
        self.house.waits.append(Span(since, host.boot_ns()))
        return RetryableBrokerError(words)

    def _asks(self, what: str) -> None:
        """Spend the time of a query that may fail."""
        host, mix = self.house.host, self.house.mix
        host.spend(host.between(1 * MS, 8 * MS))
        if host.chance(mix.query_error):
            error = self._times_out(f"no answer about {what}", 20, 600)
            self.house.troubles.append(Trouble(host.boot_ns()))
            raise error

    def submit(self, request: OrderRequest) -> r.OrderReport:
        house, host, mix = self.house, self.house.host, self.house.mix
        house.posts.append(
            Post(
                host.boot_ns(),
                request.client_order_id,
                request.side,
                request.symbol,
                request.qty_nanos,
                house.market_ns if house.told_ns is None else house.told_ns,
            )
        )
        host.note(f"post {request.client_order_id}")
        if request.side == "BUY":
            house.entered()
        host.spend(host.between(2 * MS, 20 * MS))
        if host.chance(mix.request_lost):
            raise self._times_out("time-out: connection reset")
        if host.chance(mix.late_accept):
            house.on_the_way += 1
            delay = host.between(300 * MS, int(mix.late_accept_s_max * SECOND))
            host.after(delay, "late accept", lambda: house.late_accept(request))
            raise self._times_out("time-out: no answer")
        if host.chance(mix.server_error):
            if host.chance(0.5):
                house.accept(request)
            raise RetryableBrokerError("503 service unavailable")
        answer = house.accept(request)
        if host.chance(mix.response_lost):
            raise self._times_out("time-out: the answer was lost")
        return answer

    def cancel(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        house, host, mix = self.house, self.house.host, self.house.mix
        host.note(f"cancel {client_order_id}")
        host.spend(host.between(2 * MS, 20 * MS))
        order = house.orders.get(client_order_id)
        if host.chance(mix.cancel_lost):
            # Half of them look well to us: the broker took the request and forgot it.
            error = None if host.chance(0.5) else self._times_out("time-out of a cancel")
            house.troubles.append(Trouble(host.boot_ns(), client_order_id))
            if error is not None:
                raise error
            return ()
        if order is None or order.state != "WORKING":
            return self.lookup(client_order_id, now_ns)
        if host.chance(mix.cancel_late):
            delay = host.between(50 * MS, 2 * SECOND)
            host.after(delay, "late cancel", lambda: house.cancel(client_order_id))
            return ()
        house.cancel(client_order_id)
        if host.chance(mix.response_lost):
            raise self._times_out("time-out: the answer to a cancel was lost")
        return house.reports(order)

    def lookup(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        self._asks(client_order_id)
        order = self.house.orders.get(client_order_id)
        if order is None or order.visible_ns > self.house.host.boot_ns():
            return (
                r.BrokerNotFound(
                    ts_event=self.house.market_ns,
                    ts_init=self.house.market_ns,
                    client_order_id=client_order_id,
                    detail="404: no such order",
                ),
            )
        return self.house.reports(order)

    def executions_after(self, execution_id: str, now_ns: int) -> Sequence[r.BrokerFill]:
        self._asks("executions")
        number = int(execution_id.removeprefix("PX-")) if execution_id else 0
        return [self.house.fill_report(fill) for fill in self.house.fills[number:]]

    def open_orders(self, now_ns: int) -> Sequence[interface.OpenOrder]:
        self._asks("open orders")
        return [
            interface.OpenOrder(
                client_order_id=order.key,
                broker_order_id=order.broker_order_id,
                symbol=order.request.symbol,
                side=order.request.side,
            )
            for order in self.house.working()
            if order.visible_ns <= self.house.host.boot_ns()
        ]

    def assets(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        return [AssetLine(symbol=s, is_tradable=True, is_fractionable=True, is_shortable=False) for s in symbols]

    def account(self, session_date: str, now_ns: int) -> r.BrokerAccount:
        self._asks("the account")
        held = {symbol: qty for symbol, qty in self.house.positions.items() if qty}
        symbols = tuple(sorted(held))
        return r.BrokerAccount(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=session_date,
            broker=NAME,
            cash_micros=self.house.cash_micros,
            buying_power_micros=self.house.cash_micros,
            symbols=symbols,
            qtys_nanos=tuple(held[symbol] for symbol in symbols),
        )

    def activities(self, now_ns: int) -> Sequence[r.BrokerCash]:
        self._asks("activities")
        amounts = [("PA-000001", STARTING_CASH), *([("PA-000002", 0)] if self.house.mix.odd_activity else [])]
        return [
            r.BrokerCash(ts_event=1, ts_init=now_ns, activity_id=key, kind="DEPOSIT", amount_micros=amount, broker=NAME)
            for key, amount in amounts
        ]

    def on_quotes(self, batch: QuoteBatch, session_date: str) -> Sequence[r.OrderReport]:
        """Return what the stream has brought since the last call; the fills of this very batch among it."""
        pushed, self.stream = self.stream, []
        return [self.house.fill_report(fill) for fill in pushed]

    def finish(self, now_ns: int) -> Sequence[r.OrderReport]:
        return ()

    def faults(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        if self.house.door is self:
            self.house.door = None
