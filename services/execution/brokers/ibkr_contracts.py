"""Orders, contracts and numbers as Interactive Brokers' library has them, and as the port has them. Pure.

The library gives and takes floats; here they become scaled integers through their shortest decimal form.
"""

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final

from bus.ib_library import UNSET_ABOVE, IbLibrary, zone_named
from bus.instruments import is_option
from bus.messages import MICROS, NANOS
from services.execution.brokers.interface import OrderRequest

_NOT_IN_SYMBOLS: Final = re.compile(r"[^A-Z0-9.\-/]")
_SYMBOL_LENGTH: Final = 24
BASIS_POINTS: Final = 10_000
_BASIS_POINTS_PER_PERCENT: Final = 100
_TYPES: Final = {"MARKET": "MKT", "LIMIT": "LMT", "STOP": "STP", "TRAILING_STOP": "TRAIL"}


def contract_for(library: IbLibrary, symbol: str) -> Any:
    """Return the contract that stands for a symbol, as it is asked for."""
    return library.option(symbol) if is_option(symbol) else library.stock(symbol)


def symbol_of(contract: Any) -> str:
    """Return the symbol of a contract as everywhere here: BRK.B, AAPL251219P00150000; of others what is readable."""
    kind = str(contract.secType)
    text = str(contract.symbol if kind == "STK" else contract.localSymbol or contract.symbol).upper()
    text = text.replace(" ", "." if kind == "STK" else "")
    return _NOT_IN_SYMBOLS.sub("", text)[:_SYMBOL_LENGTH] or f"CON{int(contract.conId)}"


def order_for(library: IbLibrary, request: OrderRequest, account: str) -> Any:
    """Return an order as it is sent: in the regular session only, at once, with our id as its reference.

    It is good for the day, but a stop that protects shares is good until it is cancelled. None trades outside the
    regular session, where a stop would sell into a market that hardly anybody is in.
    """
    order = library.package.Order()
    order.action = request.side
    order.orderType = _TYPES[request.order_type]
    order.totalQuantity = request.qty_nanos // NANOS
    order.orderRef = request.client_order_id
    order.account = account
    order.tif = "GTC" if request.stands_overnight else "DAY"
    order.outsideRth = False
    order.transmit = True
    match request.order_type:
        case "LIMIT":
            order.lmtPrice = _dollars(request.limit_micros)
        case "STOP":
            order.auxPrice = _dollars(request.stop_micros)
        case "TRAILING_STOP":
            order.trailingPercent = float(Decimal(request.trail_bps) / _BASIS_POINTS_PER_PERCENT)
        case "MARKET":
            pass
    return order


def unsendable(request: OrderRequest) -> str:
    """Return in words why an order cannot be sent in this form; empty when it can."""
    if request.qty_nanos <= 0 or request.qty_nanos % NANOS:
        noun = "contracts" if is_option(request.symbol) else "shares"
        return f"Interactive Brokers takes whole {noun} only, and this order is for a part of one"
    if request.order_type == "TRAILING_STOP" and not 0 < request.trail_bps < BASIS_POINTS:
        return "a trailing stop needs a distance above zero and below the whole price"
    needed = {"LIMIT": request.limit_micros, "STOP": request.stop_micros}.get(request.order_type, 1)
    return "" if needed > 0 else f"a {request.order_type.lower()} order needs a price above zero"


def micros_of(number: object) -> int:
    """Return a library's number of dollars in micros; 0 for "none".

    >>> micros_of(100.02), micros_of(1.7976931348623157e308), micros_of("")
    (100020000, 0, 0)
    """
    return _scaled(number, MICROS)


def nanos_of(number: object) -> int:
    """Return a library's quantity in nanos; 0 for "none"."""
    return _scaled(number, NANOS)


def _scaled(number: object, scale: int) -> int:
    try:
        value = Decimal(str(number))
    except InvalidOperation:
        return 0
    if not value.is_finite() or abs(value) > Decimal(UNSET_ABOVE):
        return 0
    return int((value * scale).to_integral_value(ROUND_HALF_EVEN))


def _dollars(micros: int) -> float:
    """Return a price for the library, which writes it in its shortest form: to the line it is exact."""
    return float(Decimal(micros) / MICROS)


def is_within(hours: str, zone: str, utc_ns: int) -> bool:
    """Tell whether a moment is within a contract's hours.

    `hours` as the library has them: `20250701:0930-20250701:1600;20250704:CLOSED`, or `20250701:0930-1600`.

    Raises:
        ValueError: they cannot be read.
    """
    at = datetime.fromtimestamp(utc_ns // 1_000_000_000, UTC).astimezone(zone_named(zone)).strftime("%Y%m%d:%H%M")
    for part in filter(None, hours.split(";")):
        if part.endswith("CLOSED"):
            continue
        begins, _, ends = part.partition("-")
        if ":" not in ends:
            ends = f"{begins.partition(':')[0]}:{ends}"
        if not (_is_stamp(begins) and _is_stamp(ends)):
            raise ValueError(f"the trading hours '{part}' cannot be read")
        if begins <= at < ends:
            return True
    return False


def _is_stamp(text: str) -> bool:
    return re.fullmatch(r"\d{8}:\d{4}", text) is not None
