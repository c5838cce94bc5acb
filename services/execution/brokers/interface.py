"""What execution needs of a broker, what it lends to one, and the three ways in which one can fail."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from bus.decider import Gate
from bus.instruments import is_option
from bus.messages import NANOS, AssetLine, OrderType, QuoteBatch, SessionPlanned, Side
from services.execution.brokers.reports import (
    BrokerAccount,
    BrokerActivity,
    BrokerFill,
    BrokerReversal,
    OrderReport,
)

if TYPE_CHECKING:
    from bus.ahead import Ahead


class RetryableBrokerError(Exception):
    """The broker gave no usable answer now. Ask again later; of an order sent meanwhile nothing is known."""


class PlannedPauseError(RetryableBrokerError):
    """The broker is away by plan, or while nobody needs it: for however long, that is no failure of it."""


class StopTradingError(Exception):
    """The broker cannot be worked with until a person acts; the message says what is wrong and what to do."""


class NotSentError(Exception):
    """The order is certainly not at the broker: it never left, or was turned away unread. It may be sent again.

    Args:
        words: why, in words: the gate closed at the last moment, the rate budget is used up, the broker answered 429.
        after_ns: how long to wait before it is sent again, in nanoseconds of boot time.
    """

    def __init__(self, words: str, after_ns: int) -> None:
        super().__init__(words)
        self.after_ns = after_ns


class BrokerPorts(Struct, frozen=True, kw_only=True):
    """What execution lends to a broker before the first order.

    `gate` is asked for each order once more, right before it is written to the wire, by whoever writes it: what lies
    between (a connection, a thread) may take long. `breathe` is called at least every 50 ms while an answer is waited
    for, in the thread that called the broker: it keeps the process's heartbeat, leases and halts going.
    """

    gate: Gate
    breathe: Callable[[], None]


class BrokerClock(Struct, frozen=True, kw_only=True):
    """The broker's own time in nanoseconds since 1970 UTC, and whether it holds the regular session to be open."""

    utc_ns: int
    is_open: bool


class OrderRequest(Struct, frozen=True, kw_only=True, gc=False):
    """An order as a broker gets it. `ts_ns` is session time; prices that its type does not use are 0.

    `reduces`: it can only lower exposure, which is what the gate is asked. `symbol` of an option is its OCC symbol,
    such as `AAPL  251219P00150000` without the blanks.
    """

    client_order_id: str
    symbol: str
    side: Side
    qty_nanos: int
    order_type: OrderType
    limit_micros: int
    stop_micros: int
    trail_bps: int
    ts_ns: int
    reduces: bool

    @property
    def stands_overnight(self) -> bool:
        """Tell whether it is good until it is cancelled: a stop that protects whole shares, which may be kept.

        Everything else is good for one session: what has not traded by its close is decided anew.
        """
        is_stop = self.order_type in {"STOP", "TRAILING_STOP"}
        return is_stop and self.reduces and self.qty_nanos % NANOS == 0 and not is_option(self.symbol)


class OpenOrder(Struct, frozen=True, kw_only=True, gc=False):
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


#: How long one call to a broker may take, in nanoseconds of boot time.
CALL_NS_MAX: Final = 3_000_000_000
#: A broker in another house may accept late, and may not find at once what it has just accepted.
OUTSIDE_PROOF: Final = NotFoundProof(answers=3, over_ns=60_000_000_000)


class Broker(Protocol):
    """A broker. Any call may raise RetryableBrokerError or StopTradingError, which prove nothing.

    Every call ends within `CALL_NS_MAX` of boot time, whatever the broker does, and breathes meanwhile.
    """

    @property
    def name(self) -> str:
        """Return the code that fills and reports carry."""
        ...

    @property
    def not_found_proof(self) -> NotFoundProof:
        """Return what proves that an order was never accepted."""
        return OUTSIDE_PROOF

    @property
    def refuses_opposite_sides(self) -> bool:
        """Tell whether an order is refused while one of the other side is open in the same symbol."""
        return False

    @property
    def tells_money(self) -> bool:
        """Tell whether `activities` has all money that moves without a trade; where not, an operator tells the rest."""
        return True

    def attach(self, ports: BrokerPorts) -> None:
        """Take what execution lends; an embedded broker has no use for it."""
        return

    def faults(self) -> Sequence[str]:
        """Check at the start whether this broker can be traded through: one plain sentence for each fault.

        Credentials that are missing or refused, an account that is blocked or of the wrong kind, a clock that is off.
        """
        ...

    def planned(self, plan: SessionPlanned) -> None:
        """Take the day's hours; only an embedded broker, which has no calendar of its own, has a use for them."""
        return

    def clock(self, now_ns: int) -> BrokerClock | None:
        """Return the broker's own time and whether its market is open; None for an embedded broker, which has none."""
        return None

    def assets(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Return what the account may do with each of these symbols, in their order."""
        ...

    def assets_anew(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Return the same as it stands now, not as it was said before in the day; a few symbols cost a few questions.

        A broker that tells nothing more within a day says what it said.
        """
        return self.assets(symbols, now_ns)

    def fence(self, *, is_up: bool, now_ns: int) -> None:
        """Ask the broker itself to refuse new orders (up), or to take them again; nothing where it has no such thing.

        After a halt, because any check before a write leaves a gap. What it was told last is not told again.
        """
        return

    def submit(self, request: OrderRequest) -> OrderReport:
        """Place an order: accepted, rejected, or a duplicate of one that was placed before.

        Raises:
            NotSentError: it is certainly not there and may be sent again.
        """
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

    def activities(self, now_ns: int) -> Sequence[BrokerActivity]:
        """Report what changed the account without a trade: money, and what expired, was exercised or split.

        Each has an id that stays the same, so that what is reported again is booked once.
        """
        ...

    def reversals(self, execution_ids: Sequence[str], now_ns: int) -> Sequence[BrokerReversal]:
        """Report which of these booked executions the broker took back or corrected, as far as it tells."""
        return ()

    def hints(self) -> Sequence[str]:
        """Return the client ids of orders that something happened to, by what the broker pushed; forgotten when told.

        They only say where to look sooner: all of them may be lost, and none is a fact.
        """
        return ()

    def on_quotes(self, batch: QuoteBatch, session_date: str) -> Sequence[OrderReport]:
        """Report what market data did; only an embedded broker has an answer."""
        ...

    def quiet_for(self, ahead: "Ahead") -> int:
        """Return how many of the next messages of a replay change nothing that has to be reported."""
        return 0

    def let_pass(self, ahead: "Ahead", session_date: str) -> None:
        """Take quotes of which `quiet_for` has said that they change nothing that has to be reported."""
        return

    def finish(self, now_ns: int) -> Sequence[OrderReport]:
        """Report what became of market orders before the process ends, waiting for a few seconds at most."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
