"""What one state of the portfolio holds, laid out so that its result is one pass over the newest bids."""

from operator import mul
from typing import Final

from bus.columns import Picks
from bus.messages import NANOS
from services.risk import portfolio as book
from services.risk.market import Market
from services.risk.portfolio import Portfolio

_NONE: Final = Picks(())


class Valuation:
    """The open exposures of a portfolio; made anew when it changes, which most market messages do not do."""

    def __init__(self, portfolio: Portfolio) -> None:
        self.portfolio = portfolio
        exposures = tuple(portfolio.exposures.values())
        self.picks = Picks([one.symbol for one in exposures]) if exposures else _NONE
        #: Whole shares of each; None where a quantity has a fraction, whose value has to be rounded by itself.
        self._shares: list[int] | None = None
        if all(one.qty_nanos % NANOS == 0 for one in exposures):
            self._shares = [one.qty_nanos // NANOS for one in exposures]
        self._cost_micros = sum(one.cost_micros for one in exposures)

    def pnl_micros(self, market: Market) -> int:
        """Return the day's result as `portfolio.pnl_micros` does, to the same micro-dollar."""
        symbols, marks = self.picks.wanted, market.marks
        if self._shares is None or any(symbol not in marks for symbol in symbols):
            return book.pnl_micros(self.portfolio, market.bids(symbols))
        value: int = sum(map(mul, map(marks.__getitem__, symbols), self._shares))
        return self.portfolio.realized_micros + value - self._cost_micros
