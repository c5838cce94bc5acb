"""What execution needs of a broker, and the two ways in which one can fail."""

from collections.abc import Sequence
from typing import Final, Protocol

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


class OpenOrder(Struct, frozen=True, kw_only=True):
    """An order that rests at the broker. `client_order_id` is empty where whoever placed it gave it none.

    `stop_micros` is where a stop rests now, also one that trails; 0 for other orders.
    """

    client_order_id: str
    broker_order_id: str
    symbol: str
    side: Side
    stop_micros: int = 0


class NotFoundProof(Struct, frozen=True, kw_only=True):
    """How many authoritative "not found" answers, over how long, prove that an order was never accepted."""

    answers: int
    over_ns: int


#: A broker in another house may accept late, and may not find at once what it has just accepted.
OUTSIDE_PROOF: Final = NotFoundProof(answers=3, over_ns=60_000_000_000)


class Broker(Protocol):
    """A broker. Any call may raise RetryableBrokerError or StopTradingError, which prove nothing."""

    @property
    def name(self) -> str:
        """Return the code that fills and reports carry."""
        ...

    @property
    def not_found_proof(self) -> NotFoundProof:
        """Return what proves that an order was never accepted."""
        return OUTSIDE_PROOF

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

    def open_orders(self, now_ns: int) -> Sequence[OpenOrder]:
        """Return every order that rests in the account, whoever placed it."""
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

    def finish(self, now_ns: int) -> Sequence[OrderReport]:
        """Report what became of market orders before the process ends, waiting for a few seconds at most."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
