"""What the conformance suite holds of a broker: the adapter, and the controls of the market and house behind it.

A rig is written once for each adapter. The cards then ask every adapter the same questions. A house here is whatever
stands behind the port: the embedded books of the paper broker, or a local double of another house.

The rules that the cards rely on:

* every rig starts in an open session with `STARTING_CASH_MICROS` in a cash account that holds nothing;
* there is no slippage and no charge, so that a price of a card is a price of every house;
* shares that a quote shows are there once: what traded is gone until the next `quote` of that symbol;
* a house may trade at once or only in `settle`, and may answer late; after `settle` all that was under way has arrived;
* `settle` lets session time pass and never waits in real time for longer than a second.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Literal

from msgspec import Struct

from bus import messages as m
from bus.clock import boot_ns
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, OrderRequest

STARTING_CASH_MICROS: Final = 100_000 * m.MICROS
SYMBOL: Final = "SPY"
OTHER: Final = "QQQ"
#: No house knows it.
UNKNOWN: Final = "ZZZZZ"
#: A put of SPY at 100 dollars, which expires in the week of the first session (2013-10-08).
PUT: Final = "SPY131011P00100000"

State = Literal["NOT_FOUND", "REJECTED", "WORKING", "CANCELLED", "FILLED"]
Call = Literal[
    "submit", "cancel", "lookup", "open_orders", "executions_after", "account", "activities", "assets", "clock", "fence"
]


class Outcome(StrEnum):
    """What becomes of one call to a broker in another house. The name of each is also a capability of the rig."""

    #: The request never arrives, and no answer comes.
    TIMEOUT_BEFORE = "TIMEOUT_BEFORE"
    #: The request is carried out, and no answer comes.
    TIMEOUT_AFTER_ACCEPT = "TIMEOUT_AFTER_ACCEPT"
    #: The request is carried out, and the connection is reset instead of an answer.
    RESET_AFTER_ACCEPT = "RESET_AFTER_ACCEPT"
    #: The request is carried out, and the answer is HTTP 500.
    HTTP_500_AFTER = "HTTP_500_AFTER"
    #: The request is carried out, and the answer is HTTP 504.
    HTTP_504_AFTER = "HTTP_504_AFTER"
    #: The request is turned away unread: too many of them.
    RATE_LIMITED = "RATE_LIMITED"
    #: The request is carried out, and its answer cannot be read.
    UNREADABLE = "UNREADABLE"
    #: No answer comes; the request is carried out in the next `settle`.
    LATE_ACCEPT = "LATE_ACCEPT"
    #: The credentials are refused.
    UNAUTHORIZED = "UNAUTHORIZED"
    #: Of a cancel: the order trades at the quote that stands before the cancel is carried out.
    FILLED_BEFORE = "FILLED_BEFORE"
    #: Of a cancel: it is taken, and carried out only in the next `settle`.
    CANCEL_PENDING = "CANCEL_PENDING"
    #: The order is refused by the house, for a reason of its own.
    REJECT = "REJECT"


class Status(Struct, frozen=True, kw_only=True):
    """What a look-up says of one order, folded. `average_micros` 0 = nothing traded."""

    state: State
    filled_nanos: int = 0
    average_micros: int = 0
    executions: tuple[r.BrokerFill, ...] = ()
    broker_order_id: str = ""
    detail: str = ""

    @property
    def shares(self) -> int:
        """Return the filled quantity in whole shares."""
        return self.filled_nanos // m.NANOS


class RigGate:
    """The gate that the adapter asks at the last moment. `closes_after` = it closes after so many questions."""

    def __init__(self) -> None:
        self.is_open = True
        self.asked: list[bool] = []

    def refusal(self, *, reduces: bool) -> str | None:
        """Note the question, and answer by `is_open`."""
        self.asked.append(reduces)
        return None if self.is_open else "no lease"

    def lapsed_ns(self) -> int:
        """Return 0 while open."""
        return 0 if self.is_open else 1


class Rig(ABC):
    """One adapter, attached to an open gate, and its house.

    `capabilities` says what this house has; see `cards.ABSENT` for what a card asks of one that lacks something.
    """

    name: str
    capabilities: frozenset[str]
    broker: Broker
    gate: RigGate
    #: The put that the cards of options trade; a rig whose session is on another day names one of its own.
    put: str = PUT

    def __init__(self) -> None:
        self.gate = RigGate()
        #: How often the adapter breathed while it waited.
        self.breaths = 0
        self.requested: dict[str, OrderRequest] = {}

    def breathe(self) -> None:
        """Count one breath; the adapter is lent this by `attach`."""
        self.breaths += 1

    def boot_ns(self) -> int:
        """Return the clock that the adapter measures its waiting by; a rig with a clock of its own returns that."""
        return boot_ns()

    # --- controls that each rig has -----

    @property
    @abstractmethod
    def now_ns(self) -> int:
        """Return session time."""

    @property
    @abstractmethod
    def session_date(self) -> str:
        """Return the day of the session, such as 2013-10-08."""

    @abstractmethod
    def quote(
        self, symbol: str, bid_micros: int, ask_micros: int, bid_shares: int = 1000, ask_shares: int = 1000
    ) -> None:
        """Let the market stand at this quote from now on; of an option the sizes are contracts."""

    @abstractmethod
    def settle(self) -> None:
        """Let all that is under way arrive: fills at the quotes that stand, late requests, cancels that wait."""

    @abstractmethod
    def restart(self) -> None:
        """Put a new adapter on the same house, as a new process would; the old one is not closed properly."""

    def end_session(self) -> None:
        """Let the exchange close for the day; what was good for the day is over."""
        raise NotImplementedError

    def next_session(self) -> None:
        """Let the next session open; before it `end_session` was called."""
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None:
        """Release the adapter and the house."""

    # --- controls of a house that is shared, and of the line to it -----

    def foreign_order(self, symbol: str, side: m.Side, qty_nanos: int, limit_micros: int) -> str:
        """Place a limit order by somebody else's hand without a client id; return the broker's own id."""
        raise NotImplementedError

    def foreign_position(self, symbol: str, qty_nanos: int) -> None:
        """Put a position into the account that the bot has not traded; below zero = short."""
        raise NotImplementedError

    def asset(self, symbol: str, *, is_tradable: bool = True, is_fractionable: bool = True) -> None:
        """Say what the house lets the account do with a symbol."""
        raise NotImplementedError

    def fail_next(self, call: Call, outcome: Outcome) -> None:
        """Let this become of the next call of this kind that reaches the line."""
        raise NotImplementedError

    def disconnect(self) -> None:
        """Cut the line: nothing arrives and nothing is answered until `reconnect`."""
        raise NotImplementedError

    def reconnect(self) -> None:
        """Mend the line."""
        raise NotImplementedError

    def repeat_executions(self) -> None:
        """Let the house tell every execution so far once more, as a stream does after a reconnect."""
        raise NotImplementedError

    def correct_first_execution(self, price_micros: int) -> None:
        """Let the house put an execution at another price in the place of the first one."""
        raise NotImplementedError

    def bust_first_execution(self) -> None:
        """Let the house take the first execution back, whole."""
        raise NotImplementedError

    def hide_execution(self, trade: Callable[[], None]) -> None:
        """Let the execution that this makes be listed only once `show_executions` is called, later ones at once."""
        raise NotImplementedError

    def show_executions(self) -> None:
        """Let the house list what was hidden."""
        raise NotImplementedError

    def pay_dividend(self, amount_micros: int) -> None:
        """Let money enter the account as a dividend."""
        raise NotImplementedError

    def at_the_last_moment(self, act: Callable[[], None]) -> None:
        """Let this happen when the next order waits to be written, before the gate is asked."""
        gate, asked = self.gate, self.gate.refusal

        def once(*, reduces: bool) -> str | None:
            gate.refusal = asked
            act()
            return asked(reduces=reduces)

        gate.refusal = once

    def houses_orders(self) -> list[str]:
        """Return the client ids of all orders that the house ever took, from its own memory."""
        raise NotImplementedError

    # --- what cards say -----

    def lacks(self, capability: str) -> bool:
        """Tell whether the house has not got something."""
        return capability not in self.capabilities

    def request(self, key: str, side: m.Side = "BUY", shares: float = 100, **more: object) -> OrderRequest:
        """Build an order: at market unless `limit`, `stop` (dollars) or `trail_bps` says otherwise."""
        symbol = str(more.pop("symbol", SYMBOL))
        limit, stop, trail = (more.pop(name, 0) for name in ("limit", "stop", "trail_bps"))
        kind: m.OrderType = "LIMIT" if limit else "STOP" if stop else "TRAILING_STOP" if trail else "MARKET"
        values: dict[str, object] = {
            "client_order_id": key,
            "symbol": symbol,
            "side": side,
            "qty_nanos": round(shares * m.NANOS),
            "order_type": kind,
            "limit_micros": micros(limit),
            "stop_micros": micros(stop),
            "trail_bps": trail,
            "ts_ns": self.now_ns,
            "reduces": side == "SELL",
        }
        return OrderRequest(**(values | more))

    def submit(self, key: str, side: m.Side = "BUY", shares: float = 100, **more: object) -> r.OrderReport:
        """Place an order and return the first answer."""
        request = self.request(key, side, shares, **more)
        self.requested.setdefault(key, request)
        return self.broker.submit(request)

    def place(self, key: str, side: m.Side = "BUY", shares: float = 100, **more: object) -> Status:
        """Place an order, let it arrive, and return what became of it.

        A house may refuse in its answer and remember nothing, or accept first and refuse afterwards.
        """
        answer = self.submit(key, side, shares, **more)
        self.settle()
        if isinstance(answer, r.BrokerRejected):
            return Status(state="REJECTED", detail=answer.detail)
        return self.reports_of(key)

    def reports_of(self, key: str) -> Status:
        """Look an order up, and fold the reports."""
        return fold(self.broker.lookup(key, self.now_ns), self.requested.get(key))

    def cancel(self, key: str) -> Status:
        """Ask for a cancel, let it arrive, and return what became of the order."""
        self.broker.cancel(key, self.now_ns)
        self.settle()
        return self.reports_of(key)

    def holds(self, shares: float = 100, symbol: str = SYMBOL, price: float = 100) -> None:
        """Buy at this price, so that the account holds it."""
        self.quote(symbol, micros(price - 0.02), micros(price), 10_000, 10_000)
        key = f"tb1-hold-{symbol.lower()}-{len(self.requested)}"
        status = self.place(key, shares=shares, symbol=symbol)
        assert status.state == "FILLED", status

    def positions(self) -> dict[str, int]:
        """Return what the account holds, by symbol, in nanos."""
        account = self.broker.account(self.session_date, self.now_ns)
        return dict(zip(account.symbols, account.qtys_nanos, strict=True))

    def cash_micros(self) -> int:
        """Return the account's cash."""
        return self.broker.account(self.session_date, self.now_ns).cash_micros

    def listed(self) -> list[str]:
        """Return the client ids of the open orders."""
        return [order.client_order_id for order in self.broker.open_orders(self.now_ns)]

    def executions(self, after: str = "") -> Sequence[r.BrokerFill]:
        """Return the account's executions after this one."""
        return self.broker.executions_after(after, self.now_ns)


def micros(dollars: object) -> int:
    """Return dollars as micro-dollars."""
    assert isinstance(dollars, int | float)
    return round(dollars * m.MICROS)


def fold(reports: Sequence[r.OrderReport], request: OrderRequest | None) -> Status:
    """Fold the reports of one order; without its request a filled one cannot be told from a working one."""
    fills = tuple(report for report in reports if isinstance(report, r.BrokerFill))
    filled = sum(fill.qty_nanos for fill in fills)
    accepted = [report.broker_order_id for report in reports if isinstance(report, r.BrokerAccepted)]
    state: State = "FILLED" if request is not None and filled == request.qty_nanos else "WORKING"
    detail = ""
    for report in reports:
        match report:
            case r.BrokerNotFound(detail=words):
                state, detail = "NOT_FOUND", words
            case r.BrokerRejected(detail=words):
                state, detail = "REJECTED", words
            case r.BrokerCancelled(detail=words, filled_qty_nanos=told):
                assert told == filled, f"cancelled after {told}, but {filled} were told before"
                assert report is reports[-1], "something was told after the end"
                state, detail = "CANCELLED", words
            case _:
                pass
    return Status(
        state=state,
        filled_nanos=filled,
        average_micros=sum(fill.price_micros * fill.qty_nanos for fill in fills) // filled if filled else 0,
        executions=fills,
        broker_order_id=accepted[0] if accepted else "",
        detail=detail,
    )
