"""An order in Alpaca's words, or why Alpaca would not take it. Pure."""

from decimal import Decimal
from typing import Final

from bus.instruments import is_option
from bus.messages import MICROS, NANOS, OrderType
from services.execution.brokers.interface import OrderRequest

#: Source: SEC Rule 612 (17 CFR 242.612): a cent from $1.00 on, a hundredth of a cent below; Alpaca answers 422
#: "sub-penny increment" otherwise. Options: "limit price must be limited to 2 decimal places" (recorded 2026-10-08).
_CENT_MICROS: Final = 10_000
_FINE_MICROS: Final = 100
_TYPES: Final[dict[OrderType, str]] = {
    "MARKET": "market",
    "LIMIT": "limit",
    "STOP": "stop",
    "TRAILING_STOP": "trailing_stop",
}
_BPS_IN_PERCENT: Final = 100
_BPS_MAX: Final = 10_000


def refusal(request: OrderRequest) -> str | None:
    """Return why Alpaca would not take an order, in words; None when it may be asked."""
    if request.qty_nanos <= 0:
        return "the quantity is not positive"
    is_fraction = request.qty_nanos % NANOS != 0
    if is_option(request.symbol):
        if is_fraction:
            return "an option is traded in whole contracts"
        if request.order_type == "TRAILING_STOP":
            return "Alpaca takes no trailing stops for options"
    elif is_fraction and request.order_type in {"STOP", "TRAILING_STOP"}:
        # Source: Alpaca "Fractional Trading", read 2026-11, and the refusals recorded on 2026-10-08.
        return f"Alpaca takes fractions of a share at market or with a limit, not as {_TYPES[request.order_type]}"
    return _price_refusal(request)


def _price_refusal(request: OrderRequest) -> str | None:
    if request.order_type == "LIMIT" and request.limit_micros <= 0:
        return "a limit order needs a limit price"
    if request.order_type == "STOP" and request.stop_micros <= 0:
        return "a stop order needs a stop price"
    if request.order_type == "TRAILING_STOP" and not 0 < request.trail_bps < _BPS_MAX:
        return "a trailing stop needs a trail between 0 and 100 percent"
    asked = {"LIMIT": request.limit_micros, "STOP": request.stop_micros}.get(request.order_type, 0)
    grid = _CENT_MICROS if is_option(request.symbol) or asked >= MICROS else _FINE_MICROS
    if asked % grid:
        places = 2 if grid == _CENT_MICROS else 4
        return f"the price {decimal_text(asked, MICROS)} has more than the {places} decimals that Alpaca takes"
    return None


def body_of(request: OrderRequest) -> dict[str, str]:
    """Return an order as Alpaca reads it: amounts are decimal strings, so that no float comes near them."""
    body = {
        "symbol": request.symbol,
        "qty": decimal_text(request.qty_nanos, NANOS),
        "side": "buy" if request.side == "BUY" else "sell",
        "type": _TYPES[request.order_type],
        # Source: Alpaca "Placing Orders", read 2026-11: `day` and `gtc` for stops and trailing stops of whole shares,
        # which trigger in the regular session only; fractions and options are DAY orders. GTC ends after 90 days.
        "time_in_force": "gtc" if request.stands_overnight else "day",
        "client_order_id": request.client_order_id,
    }
    is_buy = request.side == "BUY"
    if request.order_type == "LIMIT":
        body["limit_price"] = decimal_text(request.limit_micros, MICROS)
    if request.order_type == "STOP":
        body["stop_price"] = decimal_text(request.stop_micros, MICROS)
    if request.order_type == "TRAILING_STOP":
        body["trail_percent"] = decimal_text(request.trail_bps, _BPS_IN_PERCENT)
    if is_option(request.symbol):
        side = "buy" if is_buy else "sell"
        body["position_intent"] = f"{side}_to_close" if request.reduces else f"{side}_to_open"
    return body


def decimal_text(amount: int, scale: int) -> str:
    """Write an integer amount in its unit as a plain decimal.

    >>> decimal_text(1_500_000_000, 1_000_000_000)
    '1.5'
    """
    text = f"{Decimal(amount) / scale:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
