"""What the portfolio holds, laid out so that its result is one pass over the newest bids; it follows each event.

It knows nothing that the portfolio does not: `portfolio.pnl_micros` and its neighbours say the same, one exposure at a
time. A kill switch asks at each moment, and an entry's checks ask several times.
"""

from collections import Counter
from itertools import repeat
from operator import mul
from typing import TYPE_CHECKING, Final

from bus.columns import Picks
from bus.instruments import multiplier_of, notional_of
from bus.messages import NANOS, FillReversed, IntentClosed, Message, OrderFilled, SubmitOrder
from services.risk import portfolio as book
from services.risk.market import NO_MARKS, Market, Marks
from services.risk.portfolio import Exposure, Portfolio

if TYPE_CHECKING:
    from bus.ahead import Ahead

#: Events that change one exposure at most.
_OF_ONE_INTENT: Final = (OrderFilled, SubmitOrder, IntentClosed, FillReversed)
_NOTHING = Exposure(intent_id="", strategy="open", symbol="", ask_micros=0, unfilled_nanos=0)


class Valuation:
    """One portfolio's exposures in places, and their totals."""

    def __init__(self, portfolio: Portfolio) -> None:
        self.portfolio = portfolio
        #: The cost of what is held, and what unfilled entries may still cost.
        self.held_cost_micros = 0
        self.reserved_micros = 0
        self._place: dict[str, int] = {}
        self._exposures: list[Exposure] = []
        self._counts: Counter[str] = Counter()
        #: What of each symbol is held and ordered, in nanos.
        self._nanos: Counter[str] = Counter()
        #: How many times its price each is worth: its shares, or those behind its contracts.
        self._shares: list[int] = []
        #: The newest marks that were asked for, their bid for each place, and what all shares are worth at them.
        self._marks = NO_MARKS
        self._bids: list[int] = []
        self._worth_micros = 0
        #: Exposures of a fraction of a share: the value of each is rounded by itself.
        self._fractions: set[str] = set()
        #: What takes the numbers of all symbols here out of a batch.
        self.picks = Picks()
        for exposure in portfolio.exposures.values():
            self._put(exposure)

    def after(self, portfolio: Portfolio, event: Message) -> "Valuation":
        """Return the valuation of the portfolio that this event has led to from the present one."""
        if not isinstance(event, _OF_ONE_INTENT):
            return Valuation(portfolio)
        self.portfolio = portfolio
        exposure = portfolio.exposures.get(event.intent_id)
        if exposure is not None:
            self._put(exposure)
        elif event.intent_id in self._place:
            self._remove(event.intent_id)
        return self

    def pnl_micros(self, market: Market) -> int:
        """Return the day's result as `portfolio.pnl_micros` does, to the same micro-dollar."""
        bids = self._bids_at(market.marks)
        if self._fractions or (0 in bids and self._is_any_held_at_no_bid(bids)):
            return book.pnl_micros(self.portfolio, market.bids(self.picks.wanted))
        return self.portfolio.realized_micros + self._worth_micros - self.held_cost_micros

    def within(self, ahead: "Ahead", *, low: int, high: int) -> int:
        """Return for how many of the next messages the day's result is `low` to `high` micro-dollars."""
        rest = self.portfolio.realized_micros - self.held_cost_micros
        rows = self.picks.rows_in(ahead.symbols)
        if self._fractions or rows is None:
            return 0
        if not rows:
            return len(ahead) if low <= rest <= high else 0
        return ahead.worth_within(rows, self._shares, low=low - rest, high=high - rest)

    def unmarked_symbols(self, market: Market) -> tuple[str, ...]:
        """Return the held symbols whose bid was not heard since this process began, in order."""
        bids = self._bids_at(market.marks)
        if 0 not in bids or not self._is_any_held_at_no_bid(bids):
            return ()
        return book.unmarked_symbols(self.portfolio, market.bids(self.picks.wanted))

    def has(self, symbol: str) -> bool:
        """Tell whether a position or an entry in this symbol is open."""
        return symbol in self._counts

    def nanos_of(self, symbol: str) -> int:
        """Return how many billionths of a share of this symbol are held and ordered."""
        return self._nanos[symbol]

    def _bids_at(self, marks: Marks) -> list[int]:
        """Return the bid of each place, 0 = none; what comes and goes at the same marks changes single ones."""
        if marks is not self._marks:
            is_same = marks.names is self.picks.wanted
            bids = marks.bids if is_same else map(marks.by_name.get, self.picks.wanted, repeat(0))
            self._marks, self._bids = marks, list(bids)
            self._worth_micros = sum(map(mul, self._bids, self._shares))
        return self._bids

    def _is_any_held_at_no_bid(self, bids: list[int]) -> bool:
        # What was only ordered yet has no worth, whatever its price.
        place = -1
        for _ in range(bids.count(0)):
            place = bids.index(0, place + 1)
            if self._exposures[place].qty_nanos:
                return True
        return False

    def _put(self, exposure: Exposure) -> None:
        place = self._place.get(exposure.intent_id)
        if place is None:
            place = self._place[exposure.intent_id] = len(self._exposures)
            self._exposures.append(_NOTHING)
            self.picks.append(exposure.symbol)
            self._bids.append(self._marks.bid_of(exposure.symbol))
            self._counts[exposure.symbol] += 1
            self._shares.append(0)
        self._count(self._exposures[place], -1)
        self._count(exposure, 1)
        self._exposures[place] = exposure
        units, fraction = divmod(exposure.qty_nanos, NANOS)
        shares = units * multiplier_of(exposure.symbol)
        self._worth_micros += (shares - self._shares[place]) * self._bids[place]
        self._shares[place] = shares
        (self._fractions.add if fraction else self._fractions.discard)(exposure.intent_id)

    def _remove(self, intent_id: str) -> None:
        """Forget an exposure; the last one takes its place."""
        place = self._place.pop(intent_id)
        symbol = self._exposures[place].symbol
        self._count(self._exposures[place], -1)
        self._fractions.discard(intent_id)
        self._counts[symbol] -= 1
        if not self._counts[symbol]:
            del self._counts[symbol]
            del self._nanos[symbol]
        self._worth_micros -= self._shares[place] * self._bids[place]
        last, shares, bid = self._exposures.pop(), self._shares.pop(), self._bids.pop()
        if place < len(self._exposures):
            self._exposures[place], self._shares[place], self._bids[place] = last, shares, bid
            self._place[last.intent_id] = place
        self.picks.drop(place)

    def _count(self, exposure: Exposure, sign: int) -> None:
        self.held_cost_micros += sign * exposure.cost_micros
        self._nanos[exposure.symbol] += sign * (exposure.qty_nanos + exposure.unfilled_nanos)
        if exposure.unfilled_nanos:
            self.reserved_micros += sign * notional_of(exposure.symbol, exposure.ask_micros, exposure.unfilled_nanos)
