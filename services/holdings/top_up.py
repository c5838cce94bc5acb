"""Restore the float: the smallest sale after which cash is the float, its own taxes paid. Pure."""

from collections.abc import Sequence
from typing import Final

from services.holdings.allocation import Rates, allocate, funded
from services.holdings.levels import Stand, sale_legs
from services.holdings.portfolio import (
    ORDER_MIN_MICROS,
    Leg,
    Portfolio,
    float_target_micros,
    gain_of_sale,
    leg_of,
    qty_to_sell,
    sold,
)

#: Sales for the float in one night: prices move between plan and fill, so that one may bring too little.
PASSES_MAX: Final = 4
#: Steps towards the smallest sale. Each shrinks the error by the part of a gain that is set aside, 0.28 with 20 % and
#: 10 %; where nearly all is set aside the steps end short of it, and the next pass goes on.
_STEPS_MAX: Final = 400


def shortfall_micros(portfolio: Portfolio, float_bps: int) -> int:
    """Return what the cash lacks to the float, dues to the reserves counted; negative = there is more."""
    return float_target_micros(portfolio, float_bps) - portfolio.free_micros


def top_up_legs(portfolio: Portfolio, float_bps: int, rates: Rates) -> tuple[Leg, ...]:
    """Return the sales that restore the float, none where less than $1 is missing.

    A sale makes a gain, the gain is taxed the same night, and the tax lowers cash and the total that the float is a
    part of. So the sale is grown by what is still missing after it until nothing is.
    """
    missing = shortfall_micros(portfolio, float_bps)
    if missing < ORDER_MIN_MICROS:
        return ()
    amount, legs = missing, tuple[Leg, ...]()
    for _ in range(_STEPS_MAX):
        grown = legs_to_sell(portfolio, amount)
        missing = shortfall_micros(_after(portfolio, grown, rates), float_bps)
        legs = grown
        if missing <= 0 or amount >= portfolio.holdings_micros:
            break
        amount += missing
    return legs


def legs_to_sell(portfolio: Portfolio, amount_micros: int) -> tuple[Leg, ...]:
    """Return the orders that sell an amount, from the most over-weight funds."""
    funds = {fund.symbol: fund for fund in portfolio.funds if fund.is_tradable and fund.qty_nanos}
    stands = {s: Stand(value_micros=fund.value_micros, weight_bps=fund.weight_bps) for s, fund in funds.items()}
    amounts = sale_legs(amount_micros, stands)
    legs = (leg_of(funds[symbol], qty_to_sell(funds[symbol], amount)) for symbol, amount in amounts.items())
    return tuple(leg for leg in legs if leg.qty_nanos)


def gain_of(portfolio: Portfolio, legs: Sequence[Leg]) -> int:
    """Return what the sales will gain by first in, first out."""
    funds = {fund.symbol: fund for fund in portfolio.funds}
    return sum(gain_of_sale(funds[leg.symbol], leg) for leg in legs)


def _after(portfolio: Portfolio, legs: Sequence[Leg], rates: Rates) -> Portfolio:
    after = sold(portfolio, legs)
    return funded(after, allocate(gain_of(portfolio, legs), after.cash_micros, after.reserves, rates))
