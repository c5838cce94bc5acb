"""What the account holds, as the night's arithmetic needs it: cash, reserves, and funds with their lots. Pure.

Money is integers in micro-dollars, quantities integers in billionths of a share, weights in basis points.
"""

from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct, structs

from bus.messages import CENT_MICROS, MICROS, NANOS, cash_micros, round_to_cent

#: What no order may be below, save for one that sells all of a fund.
#: Source: https://docs.alpaca.markets/docs/fractional-trading (2026-11-27): notional of at least $1.
ORDER_MIN_MICROS = MICROS
#: Basis points in the whole.
BPS = 10_000


class Lot(Struct, frozen=True, kw_only=True):
    """Shares bought together, with their total cost; `closed_nanos` is what sales have taken of them so far."""

    qty_nanos: int
    cost_micros: int
    closed_nanos: int = 0

    @property
    def left_nanos(self) -> int:
        """Return the shares still held."""
        return self.qty_nanos - self.closed_nanos


class Fund(Struct, frozen=True, kw_only=True, dict=True):
    """One fund: its target weight, its price, its open lots with the oldest first.

    `step_nanos` is the smallest quantity that the broker deals in: 1, or a whole share where it takes no fractions.
    `is_tradable` False: it is held and valued, and nothing of it is bought or sold tonight. `price_micros` values and
    sells; `ask_micros` is what a purchase pays, 0 = the same.
    """

    symbol: str
    weight_bps: int
    price_micros: int
    lots: tuple[Lot, ...] = ()
    step_nanos: int = 1
    is_tradable: bool = True
    ask_micros: int = 0

    @cached_property
    def qty_nanos(self) -> int:
        """Return the shares held."""
        return sum(lot.left_nanos for lot in self.lots)

    @cached_property
    def value_micros(self) -> int:
        """Return what the shares are worth, in whole cents."""
        return cash_micros(self.price_micros, self.qty_nanos)


class Reserves(Struct, frozen=True, kw_only=True):
    """What is owed to the reserves and what losses are still to be earned back.

    `tax_due_micros` and `payroll_due_micros` were allocated and could not be funded yet; `carry_micros` is the sum of
    losses that later gains have to cover before anything is reserved of them.
    """

    carry_micros: int = 0
    tax_due_micros: int = 0
    payroll_due_micros: int = 0

    @property
    def due_micros(self) -> int:
        """Return all that is owed and unfunded."""
        return self.tax_due_micros + self.payroll_due_micros


class Portfolio(Struct, frozen=True, kw_only=True):
    """The account in one moment, funds in the order of their symbols.

    `cash_micros` is what may be spent: settled, and outside of the reserves. `unsettled_micros` are proceeds of sales
    that settle later: they count for the float, and nothing is paid from them.
    """

    cash_micros: int
    funds: tuple[Fund, ...]
    reserves: Reserves = Reserves()
    unsettled_micros: int = 0

    @property
    def holdings_micros(self) -> int:
        """Return what all funds are worth."""
        return sum(fund.value_micros for fund in self.funds)

    @property
    def free_micros(self) -> int:
        """Return the cash that belongs to the float: settled or not, less what is owed to the reserves."""
        return self.cash_micros + self.unsettled_micros - self.reserves.due_micros

    @property
    def total_micros(self) -> int:
        """Return the value that the float is a part of: free cash and funds, without the reserves."""
        return self.free_micros + self.holdings_micros


class Leg(Struct, frozen=True, kw_only=True):
    """One order to be: `amount_micros` is what it should bring or cost at `price_micros`, in whole cents."""

    symbol: str
    qty_nanos: int
    amount_micros: int
    price_micros: int


def portfolio_of(cash_micros_: int, funds: Sequence[Fund], reserves: Reserves, unsettled_micros: int = 0) -> Portfolio:
    """Return a portfolio with its funds in the order of their symbols, whatever order they came in."""
    return Portfolio(
        cash_micros=cash_micros_,
        funds=tuple(sorted(funds, key=lambda fund: fund.symbol)),
        reserves=reserves,
        unsettled_micros=unsettled_micros,
    )


def float_target_micros(portfolio: Portfolio, float_bps: int) -> int:
    """Return the float that the account should keep in cash, to the cent: a part of free cash and funds."""
    return round_to_cent(max(portfolio.total_micros, 0) * float_bps, BPS)


def down_to_cent(micros: int) -> int:
    """Return the whole cents in an amount.

    >>> down_to_cent(19_999), down_to_cent(-1)
    (10000, -10000)
    """
    return micros // CENT_MICROS * CENT_MICROS


def qty_to_sell(fund: Fund, amount_micros: int) -> int:
    """Return the shares that bring an amount: up to the broker's step; all where less than $1 would be left."""
    held = fund.qty_nanos
    if fund.value_micros - amount_micros < ORDER_MIN_MICROS:
        return held
    needed = -(-amount_micros * NANOS // fund.price_micros)
    return min(-(-needed // fund.step_nanos) * fund.step_nanos, held)


def qty_to_buy(fund: Fund, amount_micros: int) -> int:
    """Return the shares that an amount pays for: down to the broker's step, so never more than is paid for."""
    return amount_micros * NANOS // buying_price(fund) // fund.step_nanos * fund.step_nanos


def buying_price(fund: Fund) -> int:
    """Return what a share costs now."""
    return fund.ask_micros or fund.price_micros


def leg_of(fund: Fund, qty_nanos: int) -> Leg:
    """Return the sale of a quantity at the fund's price."""
    return _leg(fund.symbol, qty_nanos, fund.price_micros)


def purchase_of(fund: Fund, amount_micros: int) -> Leg:
    """Return the purchase that an amount pays for, at the ask."""
    return _leg(fund.symbol, qty_to_buy(fund, amount_micros), buying_price(fund))


def _leg(symbol: str, qty_nanos: int, price_micros: int) -> Leg:
    return Leg(
        symbol=symbol,
        qty_nanos=qty_nanos,
        amount_micros=cash_micros(price_micros, qty_nanos),
        price_micros=price_micros,
    )


def cost_of_sale(lots: Sequence[Lot], qty_nanos: int) -> tuple[int, tuple[Lot, ...]]:
    """Return what the oldest shares had cost, and the lots that are left.

    A partial sale takes cost by cumulative rounding, as the ledger does: the part taken so far is always the exact
    share of the lot's total, rounded once to the cent; the last sale takes the rest.

    Raises:
        ValueError: more is sold than the lots hold.
    """
    cost, remaining, place = 0, qty_nanos, 0
    changed: tuple[Lot, ...] = ()
    while remaining and place < len(lots):
        lot = lots[place]
        part = min(lot.left_nanos, remaining)
        closed = lot.closed_nanos + part
        cost += cost_through(lot, closed) - cost_through(lot, lot.closed_nanos)
        changed = (structs.replace(lot, closed_nanos=closed),) if closed < lot.qty_nanos else ()
        remaining -= part
        place += 1
    if remaining:
        raise ValueError(f"{qty_nanos} billionths of a share are sold from lots that hold {qty_nanos - remaining}.")
    return cost, (*changed, *lots[place:])


def cost_through(lot: Lot, closed_nanos: int) -> int:
    """Return the cost of the lot's first `closed_nanos`, rounded once."""
    if closed_nanos == lot.qty_nanos:
        return lot.cost_micros
    return min(round_to_cent(lot.cost_micros * closed_nanos, lot.qty_nanos), lot.cost_micros)


def gain_of_sale(fund: Fund, leg: Leg) -> int:
    """Return what the ledger will book as the gain of a sale at the leg's amount; negative = a loss."""
    cost, _ = cost_of_sale(fund.lots, leg.qty_nanos)
    return leg.amount_micros - cost


def sold(portfolio: Portfolio, legs: Sequence[Leg], *, settles_later: bool = False) -> Portfolio:
    """Return the portfolio after sales that fill whole at their price."""
    by_symbol = {leg.symbol: leg for leg in legs}
    funds = tuple(
        structs.replace(fund, lots=cost_of_sale(fund.lots, by_symbol[fund.symbol].qty_nanos)[1])
        if fund.symbol in by_symbol
        else fund
        for fund in portfolio.funds
    )
    proceeds = sum(leg.amount_micros for leg in legs)
    if settles_later:
        return structs.replace(portfolio, funds=funds, unsettled_micros=portfolio.unsettled_micros + proceeds)
    return structs.replace(portfolio, funds=funds, cash_micros=portfolio.cash_micros + proceeds)


def bought(portfolio: Portfolio, legs: Sequence[Leg]) -> Portfolio:
    """Return the portfolio after purchases that fill whole at their price: each opens a lot."""
    by_symbol = {leg.symbol: leg for leg in legs}
    funds = []
    for fund in portfolio.funds:
        leg = by_symbol.get(fund.symbol)
        if leg is not None:
            lot = Lot(qty_nanos=leg.qty_nanos, cost_micros=leg.amount_micros)
            funds.append(structs.replace(fund, lots=(*fund.lots, lot)))
        else:
            funds.append(fund)
    cost = sum(leg.amount_micros for leg in legs)
    return structs.replace(portfolio, funds=tuple(funds), cash_micros=portfolio.cash_micros - cost)
