"""What the books can be told, as small typed facts; the bus's messages are mapped onto them. Pure."""

from typing import Any, Literal

from msgspec import Struct

from bus.instruments import option_terms
from bus.messages import (
    CashKind,
    CashMoved,
    ContractsExercised,
    ContractsExpired,
    EntryPosted,
    ExplainSuspense,
    FillReversed,
    Message,
    OrderFilled,
    PayReserve,
    ReverseEntry,
    SharesSplit,
    Side,
)


class BookEvent(Struct, frozen=True, kw_only=True, gc=False):
    """What every event has. `key` is the source's own id; `ts_ns` when it happened, `told_ns` when it was told."""

    broker: str
    key: str
    ts_ns: int
    told_ns: int


class Traded(BookEvent, frozen=True, kw_only=True):
    """One fill. `gross_micros` is the broker's own amount; None where it has to be computed from the price.

    `for_holdings`: the fund holdings' book and not the strategies'.
    """

    side: Side
    symbol: str
    qty_nanos: int
    price_micros: int
    commission_micros: int = 0
    fees_micros: int = 0
    gross_micros: int | None = None
    for_holdings: bool = False
    order_id: str = ""
    strategy: str = ""
    leg: str = ""
    reason: str = ""


class CashChanged(BookEvent, frozen=True, kw_only=True):
    """Money came (positive) or went (negative) without a trade; `symbol` is whose dividend it is."""

    kind: CashKind
    amount_micros: int
    symbol: str = ""


class ShareSplit(BookEvent, frozen=True, kw_only=True):
    """`numerator` new shares for `denominator` old ones: 2 for 1 doubles what is held."""

    symbol: str
    numerator: int
    denominator: int


class OptionExpired(BookEvent, frozen=True, kw_only=True):
    """Contracts that were held expired without value."""

    symbol: str
    qty_nanos: int


class OptionExercised(BookEvent, frozen=True, kw_only=True):
    """Contracts that were held were exercised: a call buys the underlying at the strike, a put sells it."""

    symbol: str
    qty_nanos: int
    right: Literal["CALL", "PUT"]
    underlying: str
    strike_micros: int


class ReserveMoved(BookEvent, frozen=True, kw_only=True):
    """Cash was set aside (positive) or released (negative); `basis` says from which amount and rate."""

    purpose: Literal["TAX", "PAYROLL"]
    amount_micros: int
    basis: str


class ReservePaid(BookEvent, frozen=True, kw_only=True):
    """A reserve was paid out to whom it was kept for; the amount is positive."""

    purpose: Literal["TAX", "PAYROLL"]
    amount_micros: int
    is_withdrawn: bool = False


class PayoutWithdrawn(BookEvent, frozen=True, kw_only=True):
    """A withdrawal at the broker carried what was paid out of the reserves: so much of it is no draw of the owner's."""

    amount_micros: int


class SuspenseBooked(BookEvent, frozen=True, kw_only=True):
    """The broker has more (positive) or less cash than the books, and nobody knows yet why."""

    amount_micros: int
    reason: str


class SuspenseCleared(BookEvent, frozen=True, kw_only=True):
    """Part of the suspense is explained: the amount moves to the account where it belongs."""

    amount_micros: int
    account: str
    reason: str


class Reversed(BookEvent, frozen=True, kw_only=True):
    """An entry was wrong: it is taken back whole. The right one is then told under a key of its own."""

    original: EntryPosted
    reason: str


class EntryReversed(Message, frozen=True, kw_only=True):
    """A report of the shell: an operator takes this entry back. Not in the catalogue, for nobody says it on the bus."""

    command_id: str
    operator: str
    reason: str
    original: EntryPosted

    @classmethod
    def of(cls, command: ReverseEntry, original: EntryPosted) -> "EntryReversed":
        """Return the report of a command and the entry that it names."""
        return cls(
            ts_event=command.ts_event,
            ts_init=command.ts_init,
            command_id=command.command_id,
            operator=command.operator,
            reason=command.reason,
            original=original,
        )


class SuspenseExplained(Message, frozen=True, kw_only=True):
    """A report of the shell: an operator knows where an amount in suspense belongs."""

    command_id: str
    operator: str
    reason: str
    amount_micros: int
    account: str

    @classmethod
    def of(cls, command: ExplainSuspense) -> "SuspenseExplained":
        """Return the report of a command."""
        return cls(
            ts_event=command.ts_event,
            ts_init=command.ts_init,
            command_id=command.command_id,
            operator=command.operator,
            reason=command.reason,
            amount_micros=command.amount_micros,
            account=command.account,
        )


class PayoutOrdered(Message, frozen=True, kw_only=True):
    """A report of the shell: an operator has paid a reserve out."""

    command: PayReserve

    @classmethod
    def of(cls, command: PayReserve) -> "PayoutOrdered":
        """Return the report of a command."""
        return cls(ts_event=command.ts_event, ts_init=command.ts_init, command=command)


LedgerEvent = (
    Traded
    | CashChanged
    | ShareSplit
    | OptionExpired
    | OptionExercised
    | ReserveMoved
    | ReservePaid
    | PayoutWithdrawn
    | SuspenseBooked
    | SuspenseCleared
    | Reversed
)


#: What the bus tells the books, beside a fill that is taken back: that needs the entry which booked it.
BookMessage = OrderFilled | CashMoved | ContractsExpired | ContractsExercised | SharesSplit


def event_of(message: BookMessage) -> LedgerEvent:
    """Return what a message of the bus tells the books."""
    return _traded(message) if isinstance(message, OrderFilled) else _activity(message)


def reversal_of(message: FillReversed, original: EntryPosted) -> Reversed:
    """Return the taking back of the entry that booked a fill."""
    return Reversed(
        broker=message.broker,
        key=message.execution_id,
        ts_ns=message.ts_event,
        told_ns=message.ts_init,
        original=original,
        reason=message.detail,
    )


def _activity(message: CashMoved | ContractsExpired | ContractsExercised | SharesSplit) -> LedgerEvent:
    common: dict[str, Any] = {
        "broker": message.broker,
        "key": message.activity_id,
        "ts_ns": message.ts_event,
        "told_ns": message.ts_init,
        "symbol": message.symbol,
    }
    match message:
        case CashMoved():
            return CashChanged(**common, kind=message.kind, amount_micros=message.amount_micros)
        case ContractsExpired():
            return OptionExpired(**common, qty_nanos=message.qty_nanos)
        case ContractsExercised():
            terms = option_terms(message.symbol)
            return OptionExercised(
                **common,
                qty_nanos=message.qty_nanos,
                right=terms.right,
                underlying=terms.root,
                strike_micros=terms.strike_micros,
            )
        case SharesSplit():
            return ShareSplit(**common, numerator=message.numerator, denominator=message.denominator)


def _traded(message: OrderFilled) -> Traded:
    return Traded(
        broker=message.broker,
        key=message.execution_id,
        ts_ns=message.ts_event,
        told_ns=message.ts_init,
        side=message.side,
        symbol=message.symbol,
        qty_nanos=message.qty_nanos,
        price_micros=message.price_micros,
        commission_micros=message.commission_micros,
        for_holdings=message.leg == "fund",
        order_id=message.client_order_id,
        strategy=message.strategy,
        leg=message.leg,
        reason=message.reason,
    )


def ordered_event(report: EntryReversed | SuspenseExplained, broker: str, now_ns: int) -> Reversed | SuspenseCleared:
    """Return what an operator's order tells the books; it happens now, on the session's clock."""
    reason = f"{report.reason} ({report.operator})"
    # A replay that was just started has heard of no time yet: then it is the time of the order.
    now_ns = now_ns or report.ts_init
    if isinstance(report, EntryReversed):
        at_ns = max(now_ns, report.original.ts_event)
        return Reversed(
            broker=broker, key=report.command_id, ts_ns=at_ns, told_ns=now_ns, original=report.original, reason=reason
        )
    return SuspenseCleared(
        broker=broker,
        key=report.command_id,
        ts_ns=now_ns,
        told_ns=now_ns,
        amount_micros=report.amount_micros,
        account=report.account,
        reason=reason,
    )
