"""The order of a night's steps: one function says what comes next, whatever has happened before it. Pure.

Allocate -> sales of a rebalance -> allocate -> up to four sales for the float, each followed by an allocation ->
purchases, where nothing was sold for the float. The core asks after every fill; a preview and the simulation ask after
fills that they make up themselves.
"""

from datetime import date

from msgspec import Struct, structs

from config.holdings import HoldingsSettings
from services.holdings.allocation import Allocated, Rates, allocate, funded
from services.holdings.portfolio import Leg, Portfolio, bought, sold
from services.holdings.rebalance import is_due, is_outside_band, rebalance_sales
from services.holdings.reinvest import Purchase, purchase
from services.holdings.top_up import PASSES_MAX, gain_of, top_up_legs


class Night(Struct, frozen=True, kw_only=True):
    """How far a night is.

    `gain_micros` is what was realized and not allocated yet; None where everything is allocated. `is_rebalance`: the
    funds are put back on target tonight. `sold` are the funds sold so far, `is_float_sold` whether any was for the
    float; `passes` counts those sales.
    """

    portfolio: Portfolio
    gain_micros: int | None
    is_rebalance: bool = False
    is_rebalance_sold: bool = False
    sold: tuple[str, ...] = ()
    passes: int = 0
    is_bought: bool = False
    may_buy: bool = True

    @property
    def is_float_sold(self) -> bool:
        """Tell whether something was sold for the float."""
        return self.passes > 0


class Allocate(Struct, frozen=True, kw_only=True):
    """The next step moves money into the reserves."""

    allocated: Allocated


class Sell(Struct, frozen=True, kw_only=True):
    """The next step sells: for a rebalance, or for the float."""

    legs: tuple[Leg, ...]
    is_for_float: bool


class Buy(Struct, frozen=True, kw_only=True):
    """The next step buys."""

    purchase: Purchase


class Finish(Struct, frozen=True, kw_only=True):
    """Nothing is left to do tonight."""


Step = Allocate | Sell | Buy | Finish


def begin(portfolio: Portfolio, gain_micros: int, *, is_rebalance: bool = False) -> Night:
    """Return a night before its first step."""
    return Night(portfolio=portfolio, gain_micros=gain_micros, is_rebalance=is_rebalance)


def rebalances_tonight(portfolio: Portfolio, settings: HoldingsSettings, last: date | None, today: date) -> bool:
    """Tell whether the schedule puts the funds back on target tonight.

    `is_auto_rebalance` off: never. A band: only where a fund has left it; the clock then begins anew all the same.
    """
    return (
        settings.is_auto_rebalance
        and is_due(last, today, settings.rebalance_months)
        and is_outside_band(portfolio, settings.float_bps, settings.band_bps)
    )


def next_step(night: Night, settings: HoldingsSettings) -> Step:
    """Return what the night does next."""
    portfolio, rates = night.portfolio, rates_of(settings)
    if night.gain_micros is not None:
        return Allocate(allocated=allocate(night.gain_micros, portfolio.cash_micros, portfolio.reserves, rates))
    if night.is_bought:
        return Finish()
    if night.is_rebalance and not night.is_rebalance_sold and (legs := rebalance_sales(portfolio, settings.float_bps)):
        return Sell(legs=legs, is_for_float=False)
    if night.passes < PASSES_MAX and (legs := top_up_legs(portfolio, settings.float_bps, rates)):
        return Sell(legs=legs, is_for_float=True)
    if night.may_buy and not night.is_float_sold:
        planned = purchase(portfolio, settings.float_bps, without=night.sold, respreads=night.is_rebalance)
        if planned.legs:
            return Buy(purchase=planned)
    return Finish()


def rates_of(settings: HoldingsSettings) -> Rates:
    """Return the rates of the settings."""
    return Rates(tax_bps=settings.tax_bps, payroll_bps=settings.payroll_bps)


def after_allocation(night: Night, portfolio: Portfolio) -> Night:
    """Return the night after an allocation; `portfolio` is what the books say then."""
    return structs.replace(night, portfolio=portfolio, gain_micros=None)


def after_sale(night: Night, step: Sell, portfolio: Portfolio, gain_micros: int) -> Night:
    """Return the night after sales, filled or not; `portfolio` and the gain are what the books say then."""
    symbols = {leg.symbol for leg in step.legs}
    return structs.replace(
        night,
        portfolio=portfolio,
        gain_micros=gain_micros,
        is_rebalance_sold=True if not step.is_for_float else night.is_rebalance_sold,
        sold=tuple(sorted({*night.sold, *symbols})),
        passes=night.passes + step.is_for_float,
    )


def after_purchase(night: Night, portfolio: Portfolio) -> Night:
    """Return the night after its purchases, filled or not."""
    return structs.replace(night, portfolio=portfolio, is_bought=True)


def played(night: Night, step: Step) -> Night:
    """Return the night after a step whose orders fill whole at their prices."""
    match step:
        case Allocate():
            return after_allocation(night, funded(night.portfolio, step.allocated))
        case Sell():
            gain = gain_of(night.portfolio, step.legs)
            return after_sale(night, step, sold(night.portfolio, step.legs), gain)
        case Buy():
            return after_purchase(night, bought(night.portfolio, step.purchase.legs))
        case Finish():
            return night
