"""What the stand-in for Alpaca takes and what it refuses, in the words and codes of the paper API (2026-10-08)."""

from dataclasses import dataclass, field
from typing import Any

from alpaca_words import order_uuid, scaled
from exchange import MICROS, NANOS, OPTION, Exchange, Ticket

TYPES = {"market": "MARKET", "limit": "LIMIT", "stop": "STOP", "trailing_stop": "TRAILING_STOP"}


@dataclass
class Reply:
    """What goes back; `body` None is an answer without one."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class ProblemError(Exception):
    """A refusal in Alpaca's words."""

    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.reply = Reply(status, {"code": code, "message": message, **more})


def ticket_of(body: Any, assets: dict[str, dict[str, Any]], count: int) -> Ticket:
    """Return an order as the exchange takes it; `count` names one that has no client id.

    Raises:
        ProblemError: Alpaca would not take it.
    """
    if not isinstance(body, dict):
        raise ProblemError(422, 40010001, "request body format is invalid")
    for name in ("symbol", "side", "type", "time_in_force"):
        if not body.get(name):
            raise ProblemError(422, 40010001, f"{name} is required")
    if body.get("order_class", "simple") not in {"", "simple"} or body.get("notional"):
        raise ProblemError(422, 42210000, "this stand-in takes simple orders with a quantity")
    kind, symbol, is_option = body["type"], body["symbol"], bool(OPTION.fullmatch(body["symbol"]))
    if kind not in TYPES or body["side"] not in {"buy", "sell"}:
        raise ProblemError(422, 40010001, "invalid type or side")
    if len(body.get("client_order_id") or "") > 128:
        raise ProblemError(422, 40010001, "client_order_id must be no more than 128 characters")
    qty = scaled(body.get("qty"), NANOS)
    _check_asset(body, assets.get(symbol), qty, is_option=is_option)
    _check_prices(body, kind, is_option=is_option)
    return Ticket(
        client_id=body.get("client_order_id") or f"made-by-alpaca-{count}",
        symbol=symbol,
        side=body["side"].upper(),
        qty_nanos=qty,
        order_type=TYPES[kind],
        limit_micros=scaled(body.get("limit_price"), MICROS),
        stop_micros=scaled(body.get("stop_price"), MICROS),
        trail_bps=scaled(body.get("trail_percent"), 100),
        is_gtc=body["time_in_force"] == "gtc",
    )


def _check_asset(body: dict[str, Any], asset: dict[str, Any] | None, qty: int, *, is_option: bool) -> None:
    symbol = body["symbol"]
    if asset is None and not is_option:
        raise ProblemError(422, 42210000, f'asset "{symbol}" not found')
    if asset is not None and not asset["tradable"]:
        raise ProblemError(422, 42210000, f'asset "{symbol}" is not tradable')
    if is_option and body["time_in_force"] != "day":
        raise ProblemError(422, 42210000, "options orders must be DAY orders")
    if qty % NANOS == 0:
        return
    if is_option:
        raise ProblemError(422, 42210000, "options orders must be whole contracts")
    if body["time_in_force"] != "day":
        raise ProblemError(422, 42210000, "fractional orders must be DAY orders")
    if body["type"] not in {"market", "limit"}:
        raise ProblemError(422, 42210000, "fractional orders must be market or limit orders")
    if asset is not None and not asset["fractionable"]:
        raise ProblemError(403, 40310000, f'asset "{symbol}" is not fractionable')


def check_wash(ticket: Ticket, exchange: Exchange) -> None:
    """Refuse what could trade with an order of the same account."""
    for order in exchange.open_orders():
        other = order.ticket
        if other.symbol != ticket.symbol or other.side == ticket.side:
            continue
        both_limits = other.order_type == ticket.order_type == "LIMIT"
        buys, sells = (ticket, other) if ticket.side == "BUY" else (other, ticket)
        if not both_limits or buys.limit_micros >= sells.limit_micros:
            raise ProblemError(
                403,
                40310000,
                "potential wash trade detected. use complex orders",
                existing_order_id=order_uuid(order.order_id),
                reject_reason="opposite side market/stop order exists",
            )


def _check_prices(body: dict[str, Any], kind: str, *, is_option: bool) -> None:
    needs = {"limit": "limit_price", "stop": "stop_price", "trailing_stop": "trail_percent"}.get(kind)
    if needs and not body.get(needs):
        raise ProblemError(422, 42210000, f"{kind} orders require {needs}")
    for name in ("limit_price", "stop_price"):
        micros = scaled(body.get(name), MICROS)
        if is_option and micros % 10_000:
            raise ProblemError(422, 42210000, "limit price must be limited to 2 decimal places")
        if micros % (10_000 if micros >= MICROS else 100):
            words = f"invalid {name} {body[name]}. sub-penny increment does not fulfill minimum pricing criteria"
            raise ProblemError(422, 42210000, words)
