"""The paper broker's working orders, laid out so that one look at a batch of quotes tells which of them it concerns."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.columns import Picks, rows_of
from bus.messages import Quote, QuoteBatch
from services.execution.brokers import matching
from services.execution.brokers.matching import BookOrder

if TYPE_CHECKING:
    from bus.ahead import Ahead


class WorkingOrders:
    """The orders that may still fill, in the order of acceptance.

    Args:
        orders: those of the books.
        keeps_peaks: most of what quotes do is to raise the peaks of trailing stops. They are raised here, and the books
            need them only when they are closed (`take_risen`). Without it, such orders are told as any that change.
    """

    def __init__(self, orders: Iterable[BookOrder], *, keeps_peaks: bool = False) -> None:
        self.buys: dict[str, BookOrder] = {}
        #: A peak was raised here since the books were written last.
        self.has_risen = False
        self._keeps_peaks = keeps_peaks
        #: The orders by id; those of `_risen` may have an older peak than `_above` says.
        self._orders: dict[str, BookOrder] = {}
        self._risen: dict[str, None] = {}
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
        return self._newest(client_order_id) if client_order_id in self._orders else None

    def values(self) -> Iterable[BookOrder]:
        """Return all, in the order of acceptance."""
        return [self._newest(key) for key in self._orders] if self._risen else self._orders.values()

    def of(self, symbol: str) -> Iterable[BookOrder]:
        """Return the orders in one symbol."""
        return [self._newest(key) for key in self._by_symbol.get(symbol, ())]

    def take_risen(self) -> list[BookOrder]:
        """Return the orders whose peaks were raised here and that the books have not been told of; once."""
        risen = [self._newest(key) for key in self._risen]
        self._risen.clear()
        return risen

    def _newest(self, key: str) -> BookOrder:
        order = self._orders[key]
        if key in self._risen:
            place = self._place[key]
            if order.peak_micros != self._above[place]:
                order = replace(order, peak_micros=self._above[place])
                self._placed[place] = self._orders[key] = order
        return order

    def _raise(self, place: int, peak: int) -> None:
        self._above[place] = peak
        self._below[place] = peak * (matching.BASIS_POINTS - self._trails[place]) // matching.BASIS_POINTS
        self._risen[self._keys[place]] = None
        self.has_risen = True

    def put(self, order: BookOrder) -> None:
        """Take a new order, or an order that has changed."""
        key = order.client_order_id
        self._orders[key] = order
        self._risen.pop(key, None)
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
        self._risen.pop(key, None)
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
        best = ahead.best_bids(rows or ())
        risen = [place for place, bid, above in zip(range(len(best)), best, self._above, strict=True) if bid > above]
        if not self._keeps_peaks:
            return [replace(self._placed[place], peak_micros=best[place]) for place in risen]
        for place in risen:
            self._raise(place, best[place])
        return []

    @property
    def is_empty(self) -> bool:
        """Tell whether no order may still fill."""
        return not self._placed

    def moved_by(self, batch: QuoteBatch, heard_ns: int) -> list[BookOrder]:
        """Return the orders that these quotes may fill or change, in the order of acceptance.

        A trailing stop whose bid is neither above its peak nor at its stop only goes on waiting; most do. What was
        accepted at `heard_ns` or later does not meet these quotes.
        """
        if not self._placed:
            return []
        found = self._picks.of(batch.symbols, batch.bids_micros)
        if found is None:
            quoted = rows_of(batch.symbols)
            return [order for order in self.values() if order.symbol in quoted]
        bids = found[0]
        places = [
            place
            for place, bid, above, below in zip(range(len(bids)), bids, self._above, self._below, strict=True)
            if bid > above or bid <= below
        ]
        if self._keeps_peaks and places:
            rows = self._picks.rows_in(batch.symbols) or ()
            places = [p for p in places if not self._only_follows(p, bids[p], batch.quote_at(rows[p]), heard_ns)]
        moved = [self._newest(self._keys[place]) for place in places]
        moved.sort(key=_by_acceptance)
        return moved

    def _only_follows(self, place: int, bid: int, quote: Quote | None, heard_ns: int) -> bool:
        """Tell whether a quote does no more to an order than to raise its peak, and raise it."""
        if not 0 <= self._above[place] < bid:
            return False
        if quote is not None and heard_ns > self._placed[place].accepted_ns and matching.is_tradable(quote):
            self._raise(place, bid)
        return True


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
