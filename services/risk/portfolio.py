"""What is open, reserved, earned and spent in a session, folded from approvals and fills.

Fills are counted in exact micro-dollars; a broker that books whole cents may differ by half a cent a fill.
"""

from collections.abc import Collection, Mapping

from msgspec import Struct
from msgspec.structs import replace

from bus.instruments import multiplier_of, notional_of
from bus.messages import NANOS, FillReversed, OrderFilled, OrderOwner, SubmitOrder
from services.risk.seen import Seen

#: How many execution ids are kept. The bus's cursor is the first net against repeats, this is the second.
EXECUTIONS_MAX = 20_000


class Exposure(Struct, frozen=True, kw_only=True, gc=False):
    """One intent from its approval until it is closed.

    What `unfilled_nanos` costs at `ask_micros` stays reserved until it is filled or known to be dead. `cost_micros` is
    what the held quantity cost, and `bought_nanos` what fills of the entry have bought in all.
    """

    intent_id: str
    strategy: OrderOwner
    symbol: str
    ask_micros: int
    unfilled_nanos: int
    qty_nanos: int = 0
    cost_micros: int = 0
    bought_nanos: int = 0
    is_closed: bool = False


class Portfolio(Struct, frozen=True, kw_only=True, gc=False):
    """The day's book.

    `externals` are positions the account had before the session's first order, in nanos; a short one is below zero.
    `cash_flow_micros` is what fills moved since the account report. `oversold` says in words what was sold
    beyond what was held, and is empty while the books agree. `entries` has the intent of each client id that a fill of
    an entry has named.
    """

    exposures: dict[str, Exposure]
    externals: dict[str, int]
    executions: Seen
    realized_micros: int = 0
    cash_flow_micros: int = 0
    oversold: str = ""
    entries: dict[str, str] = {}


EMPTY = Portfolio(exposures={}, externals={}, executions=Seen(EXECUTIONS_MAX))


def begin_session(portfolio: Portfolio, externals: Mapping[str, int]) -> Portfolio:
    """Return the book of a new session: what was held over is external, since only its quantity is known."""
    held = {symbol: qty for symbol, qty in externals.items() if qty}
    return replace(EMPTY, externals=held, executions=portfolio.executions)


def reserve(portfolio: Portfolio, order: SubmitOrder) -> Portfolio:
    """Reserve an approved entry at the ask it was approved at."""
    exposure = Exposure(
        intent_id=order.intent_id,
        strategy=order.strategy,
        symbol=order.symbol,
        ask_micros=order.reference_micros,
        unfilled_nanos=order.qty_nanos,
    )
    return _with(portfolio, exposure)


def book_fill(portfolio: Portfolio, fill: OrderFilled) -> Portfolio:
    """Book one execution; a known execution id changes nothing."""
    if fill.execution_id in portfolio.executions:
        return portfolio
    noted = replace(
        portfolio,
        executions=portfolio.executions.adding(fill.execution_id),
        realized_micros=portfolio.realized_micros - fill.commission_micros,
        cash_flow_micros=portfolio.cash_flow_micros - fill.commission_micros,
    )
    return _buy(noted, fill) if fill.side == "BUY" else _sell(noted, fill)


def take_back(portfolio: Portfolio, fill: FillReversed) -> Portfolio:
    """Book an execution the other way round that the broker took back; once, and only where it was booked.

    A sale that is taken back is a position again, at the price it was sold at: the day's result is then the same as if
    it had never been sold, whatever it had cost.
    """
    key = f"reversed {fill.execution_id}"
    if key in portfolio.executions or fill.execution_id not in portfolio.executions:
        return portfolio
    noted = replace(
        portfolio,
        executions=portfolio.executions.adding(key),
        realized_micros=portfolio.realized_micros + fill.commission_micros,
        cash_flow_micros=portfolio.cash_flow_micros + fill.commission_micros,
    )
    return _unbuy(noted, fill) if fill.side == "BUY" else _unsell(noted, fill)


def release_entry(portfolio: Portfolio, client_order_id: str, filled_nanos: int = 0) -> Portfolio:
    """Drop the reservation of an entry that is over; an order whose intent is not known changes nothing.

    An order without fills never told its intent: it stays reserved, the safe side, until IntentClosed. So does what
    the broker has filled, `filled_nanos` in all, and nobody has told risk yet.
    """
    exposure = portfolio.exposures.get(portfolio.entries.get(client_order_id, ""))
    if exposure is None:
        return portfolio
    rest = min(max(filled_nanos - exposure.bought_nanos, 0), exposure.unfilled_nanos)
    return _with(portfolio, replace(exposure, unfilled_nanos=rest))


def close_intent(portfolio: Portfolio, intent_id: str) -> Portfolio:
    """Release what the intent reserved; what our fills say is still held stays counted until it is sold."""
    exposure = portfolio.exposures.get(intent_id)
    if exposure is None:
        return portfolio
    return _with(portfolio, replace(exposure, unfilled_nanos=0, is_closed=True))


def reserved_micros(portfolio: Portfolio) -> int:
    """Return what unfilled entries may still cost, at the asks they were approved at."""
    unfilled = (e for e in portfolio.exposures.values() if e.unfilled_nanos)
    return sum(notional_of(e.symbol, e.ask_micros, e.unfilled_nanos) for e in unfilled)


def allocated_micros(portfolio: Portfolio) -> int:
    """Return the cost of what is held plus what is reserved."""
    return sum(e.cost_micros for e in portfolio.exposures.values()) + reserved_micros(portfolio)


def unrealized_micros(portfolio: Portfolio, bids: Mapping[str, int]) -> int:
    """Return the gain of what is held, at the last known bids; a position without any counts at its cost."""
    return sum(position_gain_micros(exposure, bids) for exposure in portfolio.exposures.values())


def position_gain_micros(exposure: Exposure, bids: Mapping[str, int]) -> int:
    """Return the gain of one position at its last known bid; 0 where there is none."""
    bid = bids.get(exposure.symbol)
    if bid is None:
        return 0
    return notional_of(exposure.symbol, bid, exposure.qty_nanos) - exposure.cost_micros


def pnl_micros(portfolio: Portfolio, bids: Mapping[str, int]) -> int:
    """Return the day's result: realized, commissions included, and unrealized."""
    return portfolio.realized_micros + unrealized_micros(portfolio, bids)


def unmarked_symbols(portfolio: Portfolio, bids: Mapping[str, int]) -> tuple[str, ...]:
    """Return the held symbols whose bid was not heard since this process began, in order."""
    held = {e.symbol for e in portfolio.exposures.values() if e.qty_nanos > 0}
    return tuple(sorted(held - bids.keys()))


def open_symbols(portfolio: Portfolio) -> list[str]:
    """Return the symbols of all positions and entries that are not over; one may be there twice."""
    return [exposure.symbol for exposure in portfolio.exposures.values()]


def open_count(portfolio: Portfolio, funds: Collection[str] = ()) -> int:
    """Return how many positions and entries are open, positions that are not the bot's included.

    `funds` are the long-term holdings: they are the bot's, and none of the strategies' positions.
    """
    return len(portfolio.exposures) + sum(symbol not in funds for symbol in portfolio.externals)


def has_intent(portfolio: Portfolio, intent_id: str) -> bool:
    """Tell whether this intent still holds something or may still buy."""
    return intent_id in portfolio.exposures


def average_micros(exposure: Exposure) -> int:
    """Return the average entry price of what is held, of an option a share's; 0 where nothing is."""
    units = exposure.qty_nanos * multiplier_of(exposure.symbol)
    return exposure.cost_micros * NANOS // units if units else 0


def _with(portfolio: Portfolio, exposure: Exposure) -> Portfolio:
    """Put an exposure in its place; one that is closed and holds nothing leaves the book."""
    exposures = portfolio.exposures.copy()
    if exposure.is_closed and exposure.qty_nanos == 0:
        exposures.pop(exposure.intent_id, None)
    else:
        exposures[exposure.intent_id] = exposure
    return replace(portfolio, exposures=exposures)


def _buy(portfolio: Portfolio, fill: OrderFilled) -> Portfolio:
    cost = notional_of(fill.symbol, fill.price_micros, fill.qty_nanos)
    # An entry of an intent that was approved before this session began is counted as well: it is exposure.
    exposure = portfolio.exposures.get(fill.intent_id) or Exposure(
        intent_id=fill.intent_id,
        strategy=fill.strategy,
        symbol=fill.symbol,
        ask_micros=fill.price_micros,
        unfilled_nanos=max(fill.order_qty_nanos - fill.cumulative_qty_nanos, 0) + fill.qty_nanos,
    )
    bought = replace(
        exposure,
        unfilled_nanos=max(exposure.unfilled_nanos - fill.qty_nanos, 0),
        qty_nanos=exposure.qty_nanos + fill.qty_nanos,
        cost_micros=exposure.cost_micros + cost,
        bought_nanos=exposure.bought_nanos + fill.qty_nanos,
    )
    entries = {**portfolio.entries, fill.client_order_id: fill.intent_id}
    paid = replace(portfolio, cash_flow_micros=portfolio.cash_flow_micros - cost, entries=entries)
    return _with(paid, bought)


def _sell(portfolio: Portfolio, fill: OrderFilled) -> Portfolio:
    proceeds = notional_of(fill.symbol, fill.price_micros, fill.qty_nanos)
    paid = replace(portfolio, cash_flow_micros=portfolio.cash_flow_micros + proceeds)
    exposure = portfolio.exposures.get(fill.intent_id)
    own = min(fill.qty_nanos, exposure.qty_nanos) if exposure else 0
    if exposure and own:
        cost = exposure.cost_micros * own // exposure.qty_nanos
        sold = replace(exposure, qty_nanos=exposure.qty_nanos - own, cost_micros=exposure.cost_micros - cost)
        gain = notional_of(fill.symbol, fill.price_micros, own) - cost
        paid = _with(replace(paid, realized_micros=paid.realized_micros + gain), sold)
    return _sell_external(paid, fill, fill.qty_nanos - own)


def _unbuy(portfolio: Portfolio, fill: FillReversed) -> Portfolio:
    cost = notional_of(fill.symbol, fill.price_micros, fill.qty_nanos)
    paid = replace(portfolio, cash_flow_micros=portfolio.cash_flow_micros + cost)
    exposure = portfolio.exposures.get(fill.intent_id)
    own = min(fill.qty_nanos, exposure.qty_nanos) if exposure else 0
    if exposure and own:
        back = min(notional_of(fill.symbol, fill.price_micros, own), exposure.cost_micros)
        left = exposure.qty_nanos - own
        # What is left of nothing costs nothing; a part keeps what its own fills cost.
        cost_micros = exposure.cost_micros - back if left else 0
        bought = max(exposure.bought_nanos - fill.qty_nanos, 0)
        paid = _with(paid, replace(exposure, qty_nanos=left, cost_micros=cost_micros, bought_nanos=bought))
    return _sell_external(paid, fill, fill.qty_nanos - own)


def _unsell(portfolio: Portfolio, fill: FillReversed) -> Portfolio:
    proceeds = notional_of(fill.symbol, fill.price_micros, fill.qty_nanos)
    exposure = portfolio.exposures.get(fill.intent_id) or Exposure(
        intent_id=fill.intent_id,
        strategy=fill.strategy,
        symbol=fill.symbol,
        ask_micros=fill.price_micros,
        unfilled_nanos=0,
    )
    held = replace(exposure, qty_nanos=exposure.qty_nanos + fill.qty_nanos, cost_micros=exposure.cost_micros + proceeds)
    return _with(replace(portfolio, cash_flow_micros=portfolio.cash_flow_micros - proceeds), held)


def _sell_external(portfolio: Portfolio, fill: OrderFilled | FillReversed, qty_nanos: int) -> Portfolio:
    """Take from a position that was there before: its cost is not known, so its sale is cash but no gain."""
    if qty_nanos == 0:
        return portfolio
    # A short position has nothing to sell.
    held = max(portfolio.externals.get(fill.symbol, 0), 0)
    rest = {key: value for key, value in portfolio.externals.items() if key != fill.symbol}
    if qty_nanos < held:
        return replace(portfolio, externals={**rest, fill.symbol: held - qty_nanos})
    if qty_nanos == held:
        return replace(portfolio, externals=rest)
    verb = "sold" if isinstance(fill, OrderFilled) else "was taken back, so the bot has sold"
    words = f"{fill.symbol}: execution {fill.execution_id} {verb} more than was held"
    return replace(portfolio, externals=rest, oversold=words[:120])
