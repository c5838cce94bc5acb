"""Buy with what is above the float: the most under-weight funds first. Pure."""

from collections.abc import Collection

from msgspec import Struct

from services.holdings.levels import Stand, purchase_legs
from services.holdings.portfolio import (
    ORDER_MIN_MICROS,
    Leg,
    Portfolio,
    down_to_cent,
    float_target_micros,
    purchase_of,
)


class Purchase(Struct, frozen=True, kw_only=True):
    """The orders of tonight's purchase; `unplaced` says what could not be bought, by fund, in micro-dollars."""

    legs: tuple[Leg, ...] = ()
    unplaced: tuple[tuple[str, int], ...] = ()


def excess_micros(portfolio: Portfolio, float_bps: int) -> int:
    """Return the whole cents that may be spent: what is above the float, of cash that is settled."""
    above = portfolio.free_micros - float_target_micros(portfolio, float_bps)
    return down_to_cent(min(above, portfolio.cash_micros))


def purchase(portfolio: Portfolio, float_bps: int, *, without: Collection[str], respreads: bool) -> Purchase:
    """Return the purchases of tonight, none where less than $1 is above the float.

    `without` are the funds that were sold tonight. A fund that cannot be traded keeps its part in cash; with
    `respreads` (on a rebalance) its part goes to the others.
    """
    excess = excess_micros(portfolio, float_bps)
    if excess < ORDER_MIN_MICROS:
        return Purchase()
    funds = {
        fund.symbol: fund
        for fund in portfolio.funds
        if fund.symbol not in without and (fund.is_tradable or not respreads)
    }
    stands = {s: Stand(value_micros=fund.value_micros, weight_bps=fund.weight_bps) for s, fund in funds.items()}
    legs: list[Leg] = []
    unplaced: list[tuple[str, int]] = []
    for symbol, amount in purchase_legs(excess, stands).items():
        fund = funds[symbol]
        leg = purchase_of(fund, amount if fund.is_tradable else 0)
        if leg.qty_nanos:
            legs.append(leg)
        if amount > leg.amount_micros:
            unplaced.append((symbol, amount - leg.amount_micros))
    return Purchase(legs=tuple(legs), unplaced=tuple(unplaced))
