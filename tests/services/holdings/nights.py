"""Nights for the tests: settings and funds in dollars, and the same account as a sheet of the second implementation."""

from decimal import Decimal

from msgspec import structs
from spreadsheet import Row, Sheet

from bus.messages import MICROS, NANOS
from config.holdings import HoldingsSettings
from services.holdings.night import begin
from services.holdings.plan import Plan, plan_night
from services.holdings.portfolio import Fund, Lot, Portfolio, Reserves, portfolio_of

SETTINGS = HoldingsSettings(
    is_enabled=True,
    targets=(),
    float_bps=1_000,
    tax_bps=2_000,
    payroll_bps=1_000,
    rebalance_months=6,
    is_auto_rebalance=True,
    band_bps=0,
)


def micros(dollars: str | float) -> int:
    return int(Decimal(str(dollars)) * MICROS)


def fund(symbol: str, weight_bps: int, price: str | float, value: str | float = 0, cost: str | float = "") -> Fund:
    qty = micros(value) * NANOS // micros(price)
    lots = (Lot(qty_nanos=qty, cost_micros=micros(value if cost == "" else cost)),) if qty else ()
    return Fund(symbol=symbol, weight_bps=weight_bps, price_micros=micros(price), lots=lots)


def plan_of(
    cash: str | float,
    funds: list[Fund],
    gain: str | float = 0,
    *,
    reserves: Reserves | None = None,
    is_rebalance: bool = False,
    settings: HoldingsSettings = SETTINGS,
) -> Plan:
    portfolio = portfolio_of(micros(cash), funds, reserves or Reserves())
    return plan_night(begin(portfolio, micros(gain), is_rebalance=is_rebalance), settings)


def sheet_of(portfolio: Portfolio, settings: HoldingsSettings) -> Sheet:
    return Sheet(
        cash=dollars(portfolio.cash_micros),
        rows={
            held.symbol: Row(
                weight=Decimal(held.weight_bps) / 10_000,
                price=dollars(held.price_micros),
                purchases=[(Decimal(lot.qty_nanos) / NANOS, dollars(lot.cost_micros)) for lot in held.lots],
                sold=Decimal(sum(lot.closed_nanos for lot in held.lots)) / NANOS,
            )
            for held in portfolio.funds
        },
        float_part=Decimal(settings.float_bps) / 10_000,
        tax_part=Decimal(settings.tax_bps) / 10_000,
        payroll_part=Decimal(settings.payroll_bps) / 10_000,
        tax_due=dollars(portfolio.reserves.tax_due_micros),
        payroll_due=dollars(portfolio.reserves.payroll_due_micros),
        carry=dollars(portfolio.reserves.carry_micros),
    )


def dollars(amount_micros: int) -> Decimal:
    return Decimal(amount_micros) / MICROS


def repriced(portfolio: Portfolio, prices_micros: dict[str, int], cash_change_micros: int = 0) -> Portfolio:
    funds = tuple(structs.replace(held, price_micros=prices_micros[held.symbol]) for held in portfolio.funds)
    return structs.replace(portfolio, funds=funds, cash_micros=portfolio.cash_micros + cash_change_micros)
