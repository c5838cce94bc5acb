"""What a broker, or the shell in front of it, tells the core. Reports never leave the process."""

from typing import Final, Literal

from bus.messages import AssetLine, CashKind, Id, Message, Micros, Nanos, PriceMicros, SignedNanos, Symbol, Text


class BrokerAccepted(Message, frozen=True, kw_only=True):
    """The broker has the order."""

    client_order_id: Id
    broker_order_id: Id


class BrokerRejected(Message, frozen=True, kw_only=True):
    """The broker refused the order, in its own words."""

    client_order_id: Id
    detail: Text


class BrokerDuplicate(Message, frozen=True, kw_only=True):
    """The broker already has an order of this client id: it was accepted before, and has to be looked up."""

    client_order_id: Id
    detail: Text


class BrokerUnknown(Message, frozen=True, kw_only=True):
    """The broker did not answer, or not intelligibly: it may have the order or not."""

    client_order_id: Id
    detail: Text


class BrokerNotFound(Message, frozen=True, kw_only=True):
    """It is proven that the broker does not have the order. A network error is no proof."""

    client_order_id: Id
    detail: Text


class BrokerFill(Message, frozen=True, kw_only=True):
    """One execution. `execution_id` is unique at the broker; two that look alike are two."""

    execution_id: Id
    client_order_id: Id
    broker_order_id: Id
    qty_nanos: Nanos
    price_micros: PriceMicros
    commission_micros: Micros
    broker: Id


class BrokerCancelled(Message, frozen=True, kw_only=True):
    """The order is over at the broker. Every execution it had was reported before this."""

    client_order_id: Id
    filled_qty_nanos: Nanos
    detail: Text


class BrokerAccount(Message, frozen=True, kw_only=True):
    """Cash, buying power, and positions as parallel tuples, sorted by symbol; a short position is below zero."""

    session_date: Id
    broker: Id
    cash_micros: Micros
    buying_power_micros: Micros
    symbols: tuple[Symbol, ...]
    qtys_nanos: tuple[SignedNanos, ...]


class BrokerStatement(BrokerAccount, frozen=True, kw_only=True):
    """The account while nothing trades and every execution is told, for the ledger to compare.

    `working_orders` of ours stand at the broker meanwhile, as stops do that protect over night.
    """

    occasion: Literal["close", "demand"]
    working_orders: int = 0


class BrokerAssets(Message, frozen=True, kw_only=True):
    """What the account may do with each of these symbols; one that the broker does not know is not tradable."""

    session_date: Id
    broker: Id
    assets: tuple[AssetLine, ...]


class BrokerCash(Message, frozen=True, kw_only=True):
    """Money entered the account (positive amount) or left it (negative), and why; `symbol` is whose dividend it is."""

    activity_id: Id
    kind: CashKind
    amount_micros: Micros
    broker: Id
    symbol: str = ""


class BrokerReversal(Message, frozen=True, kw_only=True):
    """The broker took an execution back, or replaced it by another one; it may be reported again and again.

    `corrected` is the execution in its place; a correction may lack it, where the broker does not list it.
    """

    execution_id: Id
    is_correction: bool
    detail: Text
    corrected: BrokerFill | None = None


class BrokerExpiry(Message, frozen=True, kw_only=True):
    """Contracts that were held are gone for nothing, all of them or not; the account may hold more than the bot."""

    activity_id: Id
    symbol: Symbol
    qty_nanos: Nanos
    broker: Id


class BrokerExercise(Message, frozen=True, kw_only=True):
    """Contracts that were held were exercised; the account may hold more than the bot."""

    activity_id: Id
    symbol: Symbol
    qty_nanos: Nanos
    broker: Id


class BrokerSplit(Message, frozen=True, kw_only=True):
    """Every `denominator` shares became `numerator`."""

    activity_id: Id
    symbol: Symbol
    numerator: int
    denominator: int
    broker: Id


#: What changes an account without a trade of its own.
BrokerActivity = BrokerCash | BrokerExpiry | BrokerExercise | BrokerSplit

#: Why money moves, when it comes in and when it goes out: a movement that is taken back is the other one.
DEPOSITS: Final[tuple[CashKind, CashKind]] = ("DEPOSIT", "WITHDRAWAL")
DIVIDENDS: Final[tuple[CashKind, CashKind]] = ("DIVIDEND", "SHORT_DIVIDEND")
INTEREST: Final[tuple[CashKind, CashKind]] = ("INTEREST", "MARGIN_INTEREST")
CHARGES: Final[tuple[CashKind, CashKind]] = ("BROKER_CREDIT", "FEE")


def kind_by_sign(kinds: tuple[CashKind, CashKind], amount_micros: int) -> CashKind:
    """Return the kind of a movement that came in, or of one that went out."""
    return kinds[0] if amount_micros >= 0 else kinds[1]


class OrderNotSent(Message, frozen=True, kw_only=True):
    """The shell gives an order up that it never sent."""

    client_order_id: Id
    detail: Text


class CancelDue(Message, frozen=True, kw_only=True):
    """The broker lists an order of ours that may not stand any more, for this reason."""

    client_order_id: Id
    detail: Text


class StillOpen(Message, frozen=True, kw_only=True):
    """The broker goes on listing an order as open that is over for us, though it was looked up."""

    client_order_id: Id
    detail: Text


class BooksDisagree(Message, frozen=True, kw_only=True):
    """The broker's list of orders or positions contradicts our journal, and did so the look before as well."""

    detail: Text


class StopRequested(Message, frozen=True, kw_only=True):
    """The process was told to stop: STOP_POSITIONS says what becomes of what is held."""


OrderReport = (
    BrokerAccepted
    | BrokerRejected
    | BrokerDuplicate
    | BrokerUnknown
    | BrokerNotFound
    | BrokerFill
    | BrokerCancelled
    | OrderNotSent
)
