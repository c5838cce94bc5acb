"""Years of nights of the holdings over daily prices: the same pure steps as the service's, whole fills, no clock."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from msgspec import structs

from bus.messages import CENT_MICROS, round_to_cent
from config.holdings import HoldingsSettings
from replay.holdings_market import FundDay, Market
from services.holdings.night import begin, rebalances_tonight
from services.holdings.plan import Plan, plan_night
from services.holdings.portfolio import Fund, Lot, Portfolio, Reserves, portfolio_of
from services.holdings.rebalance import is_due

#: The strategies' result of a day in dollars, as a simulation draws it: the average, and the usual distance from it.
GAIN_MEAN, GAIN_SPREAD = 15.0, 120.0


@dataclass(frozen=True)
class NightResult:
    """One night: what the strategies had gained, its plan, and the reserves after it; micro-dollars."""

    day: date
    gain_micros: int
    dividend_micros: int
    plan: Plan
    is_rebalance: bool
    tax_micros: int
    payroll_micros: int

    @property
    def value_micros(self) -> int:
        """Return everything in the account: free cash, funds and reserves."""
        after = self.plan.after
        return after.cash_micros + after.holdings_micros + self.tax_micros + self.payroll_micros


def daily_gains(seed: int, days: int) -> list[int]:
    """Return the strategies' result of each day, whole cents in micro-dollars: the same seed, the same results."""
    draw = random.Random(seed)
    return [round(draw.gauss(GAIN_MEAN, GAIN_SPREAD) * 100) * CENT_MICROS for _ in range(days)]


def play_nights(
    market: Market, settings: HoldingsSettings, gains: Sequence[int], cash_micros: int
) -> Iterator[NightResult]:
    """Play every day of a market: its splits and dividends, the strategies' result, then the night.

    A loss is at most the free cash, since nothing else pays for it.
    """
    portfolio = portfolio_of(
        cash_micros,
        [
            Fund(symbol=symbol, weight_bps=settings.weights_bps.get(symbol, 0), price_micros=0)
            for symbol in market.funds
        ],
        Reserves(),
    )
    tax = payroll = 0
    last = market.days[0]
    for place, day in enumerate(market.days):
        today = {symbol: rows[place] for symbol, rows in market.funds.items()}
        portfolio, dividend = _morning(portfolio, today)
        gain = max(gains[place], -max(portfolio.cash_micros, 0))
        portfolio = structs.replace(portfolio, cash_micros=portfolio.cash_micros + gain)
        is_rebalance = rebalances_tonight(portfolio, settings, last, day)
        plan = plan_night(begin(portfolio, gain, is_rebalance=is_rebalance), settings)
        if settings.is_auto_rebalance and is_due(last, day, settings.rebalance_months):
            last = day
        portfolio = plan.after
        tax += sum(step.allocated.tax_funded_micros for step in plan.allocations)
        payroll += sum(step.allocated.payroll_funded_micros for step in plan.allocations)
        yield NightResult(day, gain, dividend, plan, is_rebalance, tax, payroll)


def _morning(portfolio: Portfolio, today: dict[str, FundDay]) -> tuple[Portfolio, int]:
    """Pay the dividends of the old shares, split the lots, take the new prices."""
    funds, paid = [], 0
    for fund in portfolio.funds:
        row = today[fund.symbol]
        paid += dividend_micros(row, fund.qty_nanos)
        lots = fund.lots if row.split == 1 else tuple(_split(lot, row.split) for lot in fund.lots)
        funds.append(structs.replace(fund, price_micros=row.close_micros, lots=lots))
    return structs.replace(portfolio, funds=tuple(funds), cash_micros=portfolio.cash_micros + paid), paid


def dividend_micros(row: FundDay, qty_nanos: int) -> int:
    """Return what a quantity is paid, in whole cents."""
    exact = row.dividend_micros * qty_nanos / 1_000_000_000
    return round_to_cent(exact.numerator, exact.denominator)


def _split(lot: Lot, ratio: Fraction) -> Lot:
    """Return a lot after a split: whole billionths of a share, the same cost."""
    return Lot(
        qty_nanos=int(lot.qty_nanos * ratio), cost_micros=lot.cost_micros, closed_nanos=int(lot.closed_nanos * ratio)
    )


def totals(nights: Sequence[NightResult]) -> list[tuple[str, str]]:
    """Return the figures of the whole time, in dollars."""
    last = nights[-1]
    return [
        ("nights", str(len(nights))),
        ("value of the account", _dollars(last.value_micros)),
        ("funds", _dollars(last.plan.after.holdings_micros)),
        ("free cash", _dollars(last.plan.after.cash_micros)),
        ("tax reserve", _dollars(last.tax_micros)),
        ("payroll reserve", _dollars(last.payroll_micros)),
        ("owed to the reserves", _dollars(last.plan.after.reserves.due_micros)),
        ("losses carried forward", _dollars(last.plan.after.reserves.carry_micros)),
        ("results of the strategies", _dollars(sum(night.gain_micros for night in nights))),
        ("dividends", _dollars(sum(night.dividend_micros for night in nights))),
        ("nights that bought", str(sum(bool(night.plan.purchases) for night in nights))),
        (
            "nights that sold for the float",
            str(sum(any(step.is_for_float for step in night.plan.sales) for night in nights)),
        ),
        ("rebalances", str(sum(night.is_rebalance for night in nights))),
    ]


def _dollars(micros: int) -> str:
    sign, cents = ("-" if micros < 0 else ""), abs(micros) // CENT_MICROS
    return f"{sign}{cents // 100:,}.{cents % 100:02d}"
