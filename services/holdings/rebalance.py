"""When the funds are put back on their targets, and what is sold for it. Pure."""

import calendar
from datetime import date

from services.holdings.portfolio import ORDER_MIN_MICROS, Leg, Portfolio, leg_of, qty_to_sell
from services.holdings.targets import drifts


def add_months(day: date, months: int) -> date:
    """Return the same day some months later, or the last day of a month that is too short.

    >>> add_months(date(2025, 8, 31), 6), add_months(date(2023, 8, 31), 6)
    (datetime.date(2026, 2, 28), datetime.date(2024, 2, 29))
    """
    count = day.year * 12 + day.month - 1 + months
    year, month = divmod(count, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def next_rebalance(last: date, months: int) -> date:
    """Return the day from which a rebalance is due; the first trading day on or after it does it."""
    return add_months(last, months)


def is_due(last: date | None, today: date, months: int) -> bool:
    """Tell whether a rebalance is due: once, however many were missed. None = the clock has not begun."""
    return last is not None and today >= next_rebalance(last, months)


def is_outside_band(portfolio: Portfolio, float_bps: int, band_bps: int) -> bool:
    """Tell whether any fund is further from its target than the band allows, or is held without a weight.

    `band_bps` 0 = no band: every difference counts.
    """
    return any(
        abs(drift.drift_bps) >= band_bps or (drift.target_bps == 0 and drift.value_micros > 0)
        for drift in drifts(portfolio, float_bps)
    )


def rebalance_sales(portfolio: Portfolio, float_bps: int) -> tuple[Leg, ...]:
    """Return the sales of a rebalance: all of what has no weight, and what is at least $1 above its target."""
    above = {drift.symbol: drift.value_micros - drift.target_micros for drift in drifts(portfolio, float_bps)}
    legs = []
    for fund in portfolio.funds:
        excess = above[fund.symbol]
        is_whole = fund.weight_bps == 0 and fund.qty_nanos > 0
        if fund.is_tradable and (is_whole or excess >= ORDER_MIN_MICROS):
            qty = fund.qty_nanos if is_whole else qty_to_sell(fund, excess)
            legs.append(leg_of(fund, qty))
    return tuple(legs)
