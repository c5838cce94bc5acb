"""Orders, executions, positions and refusals of the stand-in for Alpaca, in Alpaca's words."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from exchange import MICROS, NANOS, Cash, Exchange, Execution, Order, Ticket

SECOND = 1_000_000_000
NEW_YORK = ZoneInfo("America/New_York")
_SPACE = uuid.UUID("5f1c2b7e-8d4a-4c6e-9f2a-5b7d1e0c9a84")
_STATUS = {
    "PENDING": "pending_new",
    "WORKING": "new",
    "CANCEL_PENDING": "pending_cancel",
    "FILLED": "filled",
    "CANCELLED": "canceled",
    "REJECTED": "rejected",
    "EXPIRED": "expired",
}


def order_uuid(name: str) -> str:
    """Return the UUID that Alpaca would give this."""
    return str(uuid.uuid5(_SPACE, name))


def iso(ts_ns: int) -> str:
    """Write a time with nine decimals, UTC."""
    whole, rest = divmod(ts_ns, SECOND)
    return f"{datetime.fromtimestamp(whole, UTC).strftime('%Y-%m-%dT%H:%M:%S')}.{rest:09d}Z"


def ns_of(text: str) -> int:
    """Read a time that a filter names."""
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.replace(microsecond=0).timestamp()) * SECOND + at.microsecond * 1_000


def amount(value: int, scale: int) -> str:
    """Write an integer amount as a decimal."""
    text = f"{Decimal(value) / scale:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def scaled(text: Any, scale: int) -> int:
    """Read a decimal as an integer amount; what is no number is 0."""
    try:
        return int(Decimal(str(text)) * scale) if text not in (None, "") else 0
    except InvalidOperation:
        return 0


def local_id(ts_ns: int, name: str) -> str:
    """Return an activity's id, which begins with the LOCAL time of New York in milliseconds."""
    at = datetime.fromtimestamp(ts_ns // SECOND, NEW_YORK)
    return f"{at.strftime('%Y%m%d%H%M%S')}{ts_ns % SECOND // MICROS:03d}::{order_uuid(name)}"


def order_json(order: Order, body: dict[str, Any]) -> dict[str, Any]:
    """Return an order as GET /v2/orders/{id} shows it."""
    ticket, status = order.ticket, _STATUS[order.state]
    if status == "new" and order.filled_nanos:
        status = "partially_filled"
    ended = iso(order.updated_ns)
    kind = ticket.order_type.lower()
    stop = order.stop_micros if ticket.order_type in {"STOP", "TRAILING_STOP"} else 0
    shown = {
        "id": order_uuid(order.order_id),
        "client_order_id": ticket.client_id,
        "status": status,
        "created_at": iso(order.created_ns),
        "updated_at": iso(order.updated_ns),
        "submitted_at": iso(order.created_ns),
        "filled_at": ended if status == "filled" else None,
        "expired_at": ended if status == "expired" else None,
        "canceled_at": ended if status == "canceled" else None,
        "failed_at": ended if status == "rejected" else None,
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": order_uuid(f"asset {ticket.symbol}"),
        "symbol": ticket.symbol,
        "asset_class": "us_option" if len(ticket.symbol) > 15 else "us_equity",
        "notional": None,
        "qty": amount(ticket.qty_nanos, NANOS),
        "filled_qty": amount(order.filled_nanos, NANOS),
        "filled_avg_price": amount(order.average_micros, MICROS) if order.filled_nanos else None,
        "order_class": "",
        "order_type": kind,
        "type": kind,
        "side": ticket.side.lower(),
        "time_in_force": body.get("time_in_force", "day"),
        "limit_price": amount(ticket.limit_micros, MICROS) if ticket.limit_micros else None,
        "stop_price": amount(stop, MICROS) if stop else None,
        "trail_percent": amount(ticket.trail_bps, 100) if ticket.trail_bps else None,
        "trail_price": None,
        "hwm": amount(order.peak_micros, MICROS) if order.peak_micros else None,
        "extended_hours": False,
        "legs": None,
    }
    return shown | {"reject_reason": order.words} if status == "rejected" else shown


def activity_of_fill(one: Execution, order: Order | None) -> tuple[int, dict[str, Any]]:
    """Return an execution as an activity, with its time."""
    done = sum(e.qty_nanos for e in order.executions if e.number <= one.number) if order else one.qty_nanos
    left = order.ticket.qty_nanos - done if order else 0
    return one.ts_ns, {
        "id": local_id(one.ts_ns, one.execution_id),
        "activity_type": "FILL",
        "transaction_time": iso(one.ts_ns),
        "type": "fill" if left <= 0 else "partial_fill",
        "price": amount(one.price_micros, MICROS),
        "qty": amount(one.qty_nanos, NANOS),
        "side": one.side.lower(),
        "symbol": one.symbol,
        "leaves_qty": amount(max(0, left), NANOS),
        "cum_qty": amount(done, NANOS),
        "order_id": order_uuid(one.order_id),
        "order_status": "filled" if left <= 0 else "partially_filled",
    }


def activity_of_cash(move: Cash) -> tuple[int, dict[str, Any]]:
    """Return a movement of money as an activity, with the time it was entered."""
    return move.ts_ns, {
        "id": local_id(move.ts_ns // (86_400 * SECOND) * 86_400 * SECOND, move.activity_id),
        "activity_type": move.kind,
        "date": iso(move.ts_ns),
        "created_at": iso(move.ts_ns),
        "net_amount": amount(move.amount_micros, MICROS),
        "currency": "USD",
        "status": "executed",
    }


def position_json(symbol: str, qty_nanos: int, exchange: Exchange) -> dict[str, Any]:
    """Return a position as GET /v2/positions shows it."""
    with exchange.lock:
        quote = exchange.quotes.get(symbol)
        waiting = sum(o.rest_nanos for o in exchange.orders.values() if o.is_open and o.ticket.symbol == symbol)
    price = quote.bid_micros if quote else 0
    zeros = ("cost_basis", "unrealized_pl", "unrealized_plpc", "unrealized_intraday_pl", "unrealized_intraday_plpc")
    return {
        "asset_id": order_uuid(f"asset {symbol}"),
        "symbol": symbol,
        "exchange": "NASDAQ",
        "asset_class": "us_equity",
        "asset_marginable": True,
        "qty": amount(qty_nanos, NANOS),
        "qty_available": amount(max(0, qty_nanos - waiting), NANOS),
        "side": "long" if qty_nanos > 0 else "short",
        "avg_entry_price": amount(price, MICROS),
        "market_value": amount(price * qty_nanos // NANOS, MICROS),
        "current_price": amount(price, MICROS),
        "lastday_price": amount(price, MICROS),
        "change_today": "0",
        **dict.fromkeys(zeros, "0"),
    }


def refusal_of(words: str, ticket: Ticket, exchange: Exchange) -> tuple[Any, ...]:
    """Return status, code and message for what the exchange refused."""
    if "must be unique" in words:
        return 422, 40010001, words
    if words.startswith("insufficient qty"):
        with exchange.lock:
            held = exchange.positions.get(ticket.symbol, 0)
        text = f"{words} (requested: {amount(ticket.qty_nanos, NANOS)}, available: {amount(held, NANOS)})"
        return 403, 40310000, text
    if words.startswith("qty must"):
        return 422, 42210000, words
    return 403, 40310000, words


def asset_json(symbol: str) -> dict[str, Any]:
    """Return an asset as GET /v2/assets shows it."""
    return {
        "id": order_uuid(f"asset {symbol}"),
        "class": "us_equity",
        "exchange": "NASDAQ",
        "symbol": symbol,
        "name": f"{symbol} Common Stock",
        "status": "active",
        "tradable": True,
        "marginable": True,
        "shortable": symbol != "THIN",
        "fractionable": symbol != "THIN",
    }


#: What an account is set to at first.
CONFIGURATIONS: dict[str, Any] = {
    "suspend_trade": False,
    "no_shorting": False,
    "fractional_trading": True,
    "max_margin_multiplier": "4",
    "trade_confirm_email": "all",
    "ptp_no_exception_entry": False,
    "disable_overnight_trading": False,
    "max_options_trading_level": 2,
}
