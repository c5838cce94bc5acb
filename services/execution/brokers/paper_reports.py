"""What the paper broker's books say, as the port's reports, and its numbers in words."""

from typing import Final

from bus.messages import NANOS
from services.execution.brokers import reports as r
from services.execution.brokers.matching import BookOrder
from services.execution.brokers.paper_books import Activity, Execution, Expiry

NAME: Final = "PAPER"


def accepted(order: BookOrder, now_ns: int) -> r.BrokerAccepted:
    """Report that an order was taken."""
    return r.BrokerAccepted(
        ts_event=order.accepted_ns,
        ts_init=now_ns,
        client_order_id=order.client_order_id,
        broker_order_id=order.broker_order_id,
    )


def rejected(order: BookOrder, now_ns: int) -> r.BrokerRejected:
    """Report that an order was refused, and why."""
    return r.BrokerRejected(
        ts_event=order.accepted_ns, ts_init=now_ns, client_order_id=order.client_order_id, detail=order.detail
    )


def cancelled(order: BookOrder, now_ns: int) -> r.BrokerCancelled:
    """Report that an order is over."""
    return r.BrokerCancelled(
        ts_event=now_ns,
        ts_init=now_ns,
        client_order_id=order.client_order_id,
        filled_qty_nanos=order.filled_nanos,
        detail=order.detail,
    )


def fill(execution: Execution, now_ns: int) -> r.BrokerFill:
    """Report one execution."""
    return r.BrokerFill(
        ts_event=execution.ts_ns,
        ts_init=now_ns,
        execution_id=execution.execution_id,
        client_order_id=execution.client_order_id,
        broker_order_id=f"PO-{execution.order_seq:06d}",
        qty_nanos=execution.qty_nanos,
        price_micros=execution.price_micros,
        commission_micros=execution.commission_micros,
        broker=NAME,
    )


def moved(activity: Activity, now_ns: int) -> r.BrokerCash:
    """Return the report of money that entered or left the account."""
    return r.BrokerCash(
        ts_event=activity.ts_ns,
        ts_init=now_ns,
        activity_id=activity.activity_id,
        kind=r.kind_by_sign(r.DEPOSITS, activity.amount_micros),
        amount_micros=activity.amount_micros,
        broker=NAME,
    )


def expired(expiry: Expiry, now_ns: int) -> r.BrokerExpiry:
    """Return the report of contracts that are gone; a contract expires once, so its symbol names that."""
    return r.BrokerExpiry(
        ts_event=expiry.ts_ns,
        ts_init=max(now_ns, expiry.ts_ns),
        activity_id=f"PE-{expiry.symbol}",
        symbol=expiry.symbol,
        qty_nanos=expiry.qty_nanos,
        broker=NAME,
    )


def shares(qty_nanos: int) -> str:
    """Return a quantity in words, such as 0.5."""
    whole, rest = divmod(qty_nanos, NANOS)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def dollars(micros: int) -> str:
    """Return an amount in words, such as $1,234.56."""
    return f"${micros // 1_000_000:,}.{micros % 1_000_000 // 10_000:02d}"
