"""How much an entry may have: the smallest of its bounds, each from one limit."""

from typing import Final

from msgspec import Struct

from bus.messages import NANOS
from services.risk.settings import RiskSettings

_PPM = 1_000_000
_BPS = 10_000
#: Fractions are sized in ten-thousandths of a share, which both kinds of broker take.
#: Source: Interactive Brokers, "Fractional Shares Order", 2024-06-11: quantities of four decimals; Alpaca takes nine.
FRACTION_STEP_NANOS: Final = 100_000


class Means(Struct, frozen=True, kw_only=True, gc=False):
    """What there is to spend, in micro-dollars.

    `allocated_micros` is the cost of all positions and reservations; `cash_micros` and `buying_power_micros` are what
    remains of each when every reservation is taken from it.
    """

    start_equity_micros: int
    allocated_micros: int
    cash_micros: int
    buying_power_micros: int


class Wanted(Struct, frozen=True, kw_only=True, gc=False):
    """What is to be sized. `symbol_nanos` is how much of it there is already, `step_nanos` the least quantity of it.

    `ask_micros` is what one unit costs: a share, or a contract; `premium_max_micros` is None for a share.
    """

    ask_micros: int
    trail_bps: int
    leverage: int = 1
    step_nanos: int = NANOS
    symbol_nanos: int = 0
    premium_max_micros: int | None = None


class Sizing(Struct, frozen=True, kw_only=True, gc=False):
    """A quantity in whole steps, and the words for the bound that was the tightest."""

    qty_nanos: int
    bound: str


def allocation_limit_micros(limits: RiskSettings, start_equity_micros: int) -> int:
    """Return what all positions and orders together may cost, by TOTAL_ALLOCATION; 0 without equity."""
    return max(start_equity_micros, 0) * limits.total_allocation_ppm // _PPM


def symbol_limit_micros(limits: RiskSettings, start_equity_micros: int) -> int:
    """Return what one symbol may be worth, by MAX_POSITION_PER_SYMBOL; 0 without equity."""
    return max(start_equity_micros, 0) * limits.position_per_symbol_ppm // _PPM


def size_entry(limits: RiskSettings, means: Means, wanted: Wanted) -> Sizing:
    """Return the largest quantity in whole steps that breaks no limit; 0 where none does.

    The risk of a share is the way from the ask down to its first stop: ask x trail, which a levered fund's signal has
    widened already. A fund that moves `leverage` times as far also fills its share of the allocation as much sooner.
    """
    ask, step = wanted.ask_micros, wanted.step_nanos
    if min(ask, wanted.trail_bps, wanted.leverage, limits.max_open_positions, means.start_equity_micros) <= 0:
        return Sizing(qty_nanos=0, bound="no equity, no ask or no stop distance")
    equity = means.start_equity_micros
    allocation = allocation_limit_micros(limits, equity)
    nanos, bound = min(
        # MAX_RISK_PER_TRADE: qty x ask x trail <= equity x risk, multiplied out: nothing is rounded twice.
        (
            equity * limits.max_risk_per_trade_ppm * _BPS * NANOS // (_PPM * ask * wanted.trail_bps),
            "MAX_RISK_PER_TRADE",
        ),
        # MAX_OPEN_POSITIONS: one position never takes the share of the others.
        (allocation // limits.max_open_positions * NANOS // (ask * wanted.leverage), _share_words(wanted.leverage)),
        # TOTAL_ALLOCATION: what is left of it.
        ((allocation - means.allocated_micros) * NANOS // ask, "what is left of TOTAL_ALLOCATION"),
        (means.cash_micros * NANOS // ask, "the cash in the account"),
        (means.buying_power_micros * NANOS // ask, "the account's buying power"),
        # MAX_POSITION_PER_SYMBOL: what there is of the symbol already counts at the ask as well.
        (symbol_limit_micros(limits, equity) * NANOS // ask - wanted.symbol_nanos, "MAX_POSITION_PER_SYMBOL"),
        (limits.order_notional_max_micros * NANOS // ask, "MAX_ORDER_NOTIONAL"),
        *_premium_bound(wanted),
        # A price far too low must not become a giant order.
        (limits.order_max_nanos, "MAX_ORDER_SHARES"),
        # In steps: of bounds that allow the same, the first is named.
        key=lambda pair: pair[0] // step,
    )
    return Sizing(qty_nanos=max(nanos, 0) // step * step, bound=bound)


def _premium_bound(wanted: Wanted) -> tuple[tuple[int, str], ...]:
    if wanted.premium_max_micros is None:
        return ()
    return ((wanted.premium_max_micros * NANOS // wanted.ask_micros, "MAX_OPTION_PREMIUM"),)


def _share_words(leverage: int) -> str:
    return "TOTAL_ALLOCATION / MAX_OPEN_POSITIONS" + (f" / {leverage}x leverage" if leverage > 1 else "")
