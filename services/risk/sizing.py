"""How many shares an entry may have: the smallest of five bounds, each from one limit."""

from msgspec import Struct

from services.risk.settings import RiskSettings

_PPM = 1_000_000
_BPS = 10_000
#: No order is larger, whatever the settings allow: a price far too low must not become a giant order.
SHARES_MAX = 1_000_000


class Means(Struct, frozen=True, kw_only=True):
    """What there is to spend, in micro-dollars.

    `allocated_micros` is the cost of all positions and reservations; `cash_micros` is what remains of
    the cash when every reservation is taken from it.
    """

    start_equity_micros: int
    allocated_micros: int
    cash_micros: int


class Sizing(Struct, frozen=True, kw_only=True):
    """Whole shares, and the words for the bound that was the tightest."""

    qty_shares: int
    bound: str


def allocation_limit_micros(limits: RiskSettings, start_equity_micros: int) -> int:
    """Return what all positions and orders together may cost, by TOTAL_ALLOCATION; 0 without equity."""
    return max(start_equity_micros, 0) * limits.total_allocation_ppm // _PPM


def size_entry(limits: RiskSettings, means: Means, *, ask_micros: int, trail_bps: int, leverage: int = 1) -> Sizing:
    """Return the largest whole number of shares that breaks no limit; 0 where none does.

    The risk of a share is the way from the ask down to its first stop: ask x trail, which a levered fund's signal has
    widened already. A fund that moves `leverage` times as far also fills its share of the allocation as much sooner.
    """
    if min(ask_micros, trail_bps, leverage) <= 0 or means.start_equity_micros <= 0:
        return Sizing(qty_shares=0, bound="no equity, no ask or no stop distance")
    allocation = allocation_limit_micros(limits, means.start_equity_micros)
    bounds = (
        # MAX_RISK_PER_TRADE: qty x ask x trail <= equity x risk, multiplied out: nothing is rounded twice.
        (
            means.start_equity_micros * limits.max_risk_per_trade_ppm * _BPS // (_PPM * ask_micros * trail_bps),
            "MAX_RISK_PER_TRADE",
        ),
        # MAX_OPEN_POSITIONS: one position never takes the share of the others.
        (
            allocation // limits.max_open_positions // (ask_micros * leverage),
            "TOTAL_ALLOCATION / MAX_OPEN_POSITIONS" + (f" / {leverage}x leverage" if leverage > 1 else ""),
        ),
        # TOTAL_ALLOCATION: what is left of it.
        ((allocation - means.allocated_micros) // ask_micros, "what is left of TOTAL_ALLOCATION"),
        (means.cash_micros // ask_micros, "the cash in the account"),
        (SHARES_MAX, f"the largest order of {SHARES_MAX:,} shares"),
    )
    qty, bound = min(bounds, key=lambda pair: pair[0])
    return Sizing(qty_shares=max(qty, 0), bound=bound)
