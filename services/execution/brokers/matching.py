"""How the paper broker fills: pure rules over one order and one quote, in integers."""

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from bus.messages import NANOS, OrderType, Quote, Side

PPM: Final = 1_000_000
BASIS_POINTS: Final = 10_000
BookState = Literal["WORKING", "FILLED", "CANCELLED", "REJECTED"]


class BookOrder(Struct, frozen=True, kw_only=True, gc=False):
    """An order in the broker's own books.

    `seq` is the order of acceptance; `peak_micros` the best bid since acceptance, for a trailing stop;
    `is_triggered` says that a stop has become a market order. `session_date` is the day for whose session the order
    is good, where that is known.
    """

    seq: int
    client_order_id: str
    symbol: str
    side: Side
    qty_nanos: int
    order_type: OrderType
    limit_micros: int
    stop_micros: int
    trail_bps: int
    accepted_ns: int
    state: BookState
    filled_nanos: int = 0
    peak_micros: int = 0
    is_triggered: bool = False
    detail: str = ""
    session_date: str = ""

    @property
    def broker_order_id(self) -> str:
        """Return the broker's own id."""
        return f"PO-{self.seq:06d}"

    @property
    def is_trailing(self) -> bool:
        """Tell whether it is a stop that follows the best bid and was not hit yet."""
        return self.order_type == "TRAILING_STOP" and not self.is_triggered

    @property
    def rest_nanos(self) -> int:
        """Return what is not filled yet."""
        return self.qty_nanos - self.filled_nanos


def is_tradable(quote: Quote) -> bool:
    """Tell whether a quote can fill anything: both sides there, and the bid not above the ask."""
    sizes = quote.bid_size_nanos > 0 and quote.ask_size_nanos > 0
    return sizes and 0 < quote.bid_micros <= quote.ask_micros


def watched(order: BookOrder, quote: Quote) -> BookOrder:
    """Return the order after it has seen a tradable quote: its peak, and whether its stop is hit.

    A sell stop is hit by the bid and a buy stop by the ask, because those are the prices it would trade at.
    """
    if order.is_triggered:
        return order
    if order.order_type == "STOP":
        hit = quote.bid_micros <= order.stop_micros if order.side == "SELL" else quote.ask_micros >= order.stop_micros
        return replace(order, is_triggered=True) if hit else order
    if order.order_type != "TRAILING_STOP":
        return order
    peak = max(order.peak_micros, quote.bid_micros)
    hit = quote.bid_micros * BASIS_POINTS <= peak * (BASIS_POINTS - order.trail_bps)
    if hit or peak != order.peak_micros:
        return replace(order, peak_micros=peak, is_triggered=hit)
    return order


def fill_price(order: BookOrder, quote: Quote, slippage_ppm: int) -> int | None:
    """Return the price at which the order trades with this quote, or None when it does not.

    Market orders, and stops once hit, pay `slippage_ppm` parts per million more than the quote, rounded
    against the account; a limit order trades at the quote.
    """
    buys = order.side == "BUY"
    price = quote.ask_micros if buys else quote.bid_micros
    if order.order_type == "LIMIT":
        within = price <= order.limit_micros if buys else price >= order.limit_micros
        return price if within else None
    if order.order_type != "MARKET" and not order.is_triggered:
        return None
    if buys:
        return -(-price * (PPM + slippage_ppm) // PPM)
    # A sale at nothing is no sale.
    return price * (PPM - slippage_ppm) // PPM or None


def affordable_nanos(order: BookOrder, unit_micros: int, cash: int) -> int:
    """Return how much of the rest this cash buys, in whole units when the order is in whole units.

    `unit_micros` is what one share or one contract costs, its charge included.
    """
    qty = min(order.rest_nanos, max(cash, 0) * NANOS // unit_micros)
    return qty - qty % NANOS if order.qty_nanos % NANOS == 0 and qty < order.rest_nanos else qty
