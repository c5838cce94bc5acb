"""Split an amount by weights to the cent, and say how far each fund is from its target. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from bus.messages import CENT_MICROS, round_to_cent
from services.holdings.portfolio import BPS, Portfolio, float_target_micros


class Drift(Struct, frozen=True, kw_only=True):
    """How far one fund is from its target; `drift_bps` is positive where too much of it is held."""

    symbol: str
    value_micros: int
    target_micros: int
    weight_bps: int
    target_bps: int

    @property
    def drift_bps(self) -> int:
        """Return the difference of weights in basis points of all funds."""
        return self.weight_bps - self.target_bps


def largest_remainder(numerators: Mapping[str, int], denominator: int) -> dict[str, int]:
    """Round exact shares, numerator / denominator in micro-dollars, to cents that add up to the cents of their sum.

    Each gets its whole cents; the cents left over go to the largest remainders, ties to the first symbol.

    >>> largest_remainder({"A": 30_006, "B": 29_997, "C": 29_997}, 1)
    {'A': 30000, 'B': 30000, 'C': 30000}
    """
    unit = denominator * CENT_MICROS
    parts = {symbol: divmod(share, unit) for symbol, share in sorted(numerators.items())}
    left = sum(numerators.values()) // unit - sum(whole for whole, _ in parts.values())
    first = sorted(parts, key=lambda symbol: (-parts[symbol][1], symbol))[:left]
    return {symbol: (whole + (symbol in first)) * CENT_MICROS for symbol, (whole, _) in parts.items()}


def by_weight(amount_micros: int, weights_bps: Mapping[str, int]) -> dict[str, int]:
    """Split an amount by weight, to the cent; the weights need not fill the whole."""
    return largest_remainder(
        {symbol: amount_micros * weight for symbol, weight in weights_bps.items()}, sum(weights_bps.values()) or 1
    )


def drifts(portfolio: Portfolio, float_bps: int) -> tuple[Drift, ...]:
    """Return each fund's distance from its target: its weight times all that is not the float."""
    investable = max(portfolio.total_micros - float_target_micros(portfolio, float_bps), 0)
    targets = by_weight(investable, {fund.symbol: fund.weight_bps for fund in portfolio.funds})
    held = portfolio.holdings_micros
    return tuple(
        Drift(
            symbol=fund.symbol,
            value_micros=fund.value_micros,
            target_micros=targets[fund.symbol],
            weight_bps=0 if held == 0 else round_to_cent(fund.value_micros * BPS * CENT_MICROS, held) // CENT_MICROS,
            target_bps=fund.weight_bps,
        )
        for fund in portfolio.funds
    )
