"""The paper broker's working orders, laid out so that one look at a batch of quotes tells which of them it concerns."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.columns import Picks, rows_of
from bus.messages import QuoteBatch
from services.execution.brokers import matching
from services.execution.brokers.matching import BookOrder

if TYPE_CHECKING:
    from bus.ahead import Ahead


class WorkingOrders:
    """The orders that may still fill, in the order of acceptance."""

    def __init__(self, orders: Iterable[BookOrder]) -> None:
        self.buys: dict[str, BookOrder] = {}
        self._orders: dict[str, BookOrder] = {}
        #: Of each symbol the orders' ids.
        self._by_symbol: dict[str, dict[str, None]] = {}
        #: The orders in places, with their symbols, and the bids between which nothing happens to each.
        self._place: dict[str, int] = {}
        self._placed: list[BookOrder] = []
        self._above: list[int] = []
        self._below: list[int] = []
        self._trails: list[int] = []
        self._keys: list[str] = []
        #: How many of them are no trailing stops, and when the newest of all was accepted.
        self._untrailing = 0
        self._accepted_ns = 0
        self._picks = Picks()
        for order in orders:
            self.put(order)

    def get(self, client_order_id: str) -> BookOrder | None:
        """Return an order, None when it is over or never was."""
        return self._orders.get(client_order_id)

    def values(self) -> Iterable[BookOrder]:
        """Return all, in the order of acceptance."""
        return self._orders.values()

    def of(self, symbol: str) -> Iterable[BookOrder]:
        """Return the orders in one symbol."""
        return [self._orders[key] for key in self._by_symbol.get(symbol, ())]

    def put(self, order: BookOrder) -> None:
        """Take a new order, or an order that has changed."""
        key = order.client_order_id
        self._orders[key] = order
        if order.side == "BUY":
            self.buys[key] = order
        above, below = _corridor(order)
        place = self._place.get(key)
        if place is not None:
            self._untrailing += (above < 0) - (self._above[place] < 0)
            self._placed[place], self._above[place], self._below[place] = order, above, below
            return
        self._keys.append(key)
        self._place[key] = len(self._placed)
        self._placed.append(order)
        self._above.append(above)
        self._below.append(below)
        self._trails.append(order.trail_bps)
        self._untrailing += above < 0
        self._accepted_ns = max(self._accepted_ns, order.accepted_ns)
        self._picks.append(order.symbol)
        self._by_symbol.setdefault(order.symbol, {})[key] = None

    def remove(self, order: BookOrder) -> None:
        """Forget an order that is over; the last one takes its place."""
        key = order.client_order_id
        del self._orders[key]
        self.buys.pop(key, None)
        self._by_symbol[order.symbol].pop(key)
        place, last, last_key = self._place.pop(key), self._placed.pop(), self._keys.pop()
        self._untrailing -= self._above[place] < 0
        above, below, trail = self._above.pop(), self._below.pop(), self._trails.pop()
        if place < len(self._placed):
            self._placed[place], self._above[place], self._below[place] = last, above, below
            self._trails[place], self._keys[place], self._place[last_key] = trail, last_key, place
        self._picks.drop(place)

    def quiet_for(self, ahead: "Ahead", latency_ns: int) -> int:
        """Return how many messages come before an order may trade; while anything but a trailing stop works, none."""
        if not self._placed:
            return len(ahead)
        if self._untrailing or (0 < ahead.quoted_from_ns <= self._accepted_ns + latency_ns):
            return 0
        rows = self._picks.rows_in(ahead.symbols)
        return 0 if rows is None else ahead.until_stopped(self._keys, rows, self._above, self._trails)

    def raised_by(self, ahead: "Ahead") -> list[BookOrder]:
        """Return the trailing stops whose peak these quotes raise, with their new peaks."""
        rows = self._picks.rows_in(ahead.symbols)
        return [
            replace(order, peak_micros=bid)
            for order, bid, above in zip(self._placed, ahead.best_bids(rows or ()), self._above, strict=True)
            if bid > above
        ]

    @property
    def is_empty(self) -> bool:
        """Tell whether no order may still fill."""
        return not self._placed

    def moved_by(self, batch: QuoteBatch) -> list[BookOrder]:
        """Return the orders that these quotes may fill or change, in the order of acceptance.

        A trailing stop whose bid is neither above its peak nor at its stop only goes on waiting; most do.
        """
        if not self._placed:
            return []
        found = self._picks.of(batch.symbols, batch.bids_micros)
        if found is None:
            quoted = rows_of(batch.symbols)
            return [order for order in self._orders.values() if order.symbol in quoted]
        moved = [
            order
            for order, bid, above, below in zip(self._placed, found[0], self._above, self._below, strict=True)
            if bid > above or bid <= below
        ]
        moved.sort(key=_by_acceptance)
        return moved


def _by_acceptance(order: BookOrder) -> int:
    return order.seq


def resting_stop(order: BookOrder) -> int:
    """Return where a stop rests now; 0 for other orders."""
    if order.order_type == "TRAILING_STOP":
        return order.peak_micros * (matching.BASIS_POINTS - order.trail_bps) // matching.BASIS_POINTS
    return order.stop_micros


def _corridor(order: BookOrder) -> tuple[int, int]:
    """Return between which bids (above the second, up to the first) nothing happens to an order."""
    if order.order_type != "TRAILING_STOP" or order.is_triggered:
        return -1, -1
    peak = order.peak_micros
    return peak, peak * (matching.BASIS_POINTS - order.trail_bps) // matching.BASIS_POINTS
