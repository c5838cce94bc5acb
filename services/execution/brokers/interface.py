"""What execution needs of a broker, and the two ways in which one can fail."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from bus.messages import OrderType, QuoteBatch, Side
from services.execution.brokers.reports import BrokerAccount, BrokerCash, BrokerFill, OrderReport


class RetryableBrokerError(Exception):
    """The broker gave no usable answer now. Ask again later; of an order sent meanwhile nothing is known."""


class StopTradingError(Exception):
    """The broker cannot be worked with until a person acts; the message says what is wrong and what to do."""


class OrderRequest(Struct, frozen=True, kw_only=True):
    """An order as a broker gets it. `ts_ns` is session time; prices that its type does not use are 0."""

    client_order_id: str
    symbol: str
    side: Side
    qty_nanos: int
    order_type: OrderType
    limit_micros: int
    stop_micros: int
    trail_bps: int
    ts_ns: int


class Broker(Protocol):
    """A broker. Any call may raise RetryableBrokerError or StopTradingError."""

    @property
    def name(self) -> str:
        """Return the code that fills and reports carry."""
        ...

    def submit(self, request: OrderRequest) -> OrderReport:
        """Place an order: accepted, rejected, or a duplicate of one that was placed before."""
        ...

    def cancel(self, client_order_id: str, now_ns: int) -> Sequence[OrderReport]:
        """Ask for a cancel; when the order was over already, report what a look-up would."""
        ...

    def lookup(self, client_order_id: str, now_ns: int) -> Sequence[OrderReport]:
        """Report what the broker knows: acceptance, executions, end; or that it has no such order."""
        ...

    def executions_after(self, execution_id: str, now_ns: int) -> Sequence[BrokerFill]:
        """Report every execution of the account after this one, in their order; all when the id is empty."""
        ...

    def account(self, session_date: str, now_ns: int) -> BrokerAccount:
        """Report cash and positions."""
        ...

    def activities(self, now_ns: int) -> Sequence[BrokerCash]:
        """Report every movement of money that is not a trade."""
        ...

    def on_quotes(self, batch: QuoteBatch, session_date: str) -> Sequence[OrderReport]:
        """Report what market data did; only an embedded broker has an answer."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
