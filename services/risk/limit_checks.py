"""Checks of size and pace: how much there may be of one order, one symbol and everything, and how fast."""

from bus.instruments import is_option, notional_of
from bus.messages import NANOS, SignalRaised
from services.risk import portfolio as book
from services.risk.facts import Facts, Finding
from services.risk.pace import MINUTE_NS, SECOND_NS, Placed
from services.risk.sizing import allocation_limit_micros, symbol_limit_micros
from services.risk.wording import dollars, seconds, shares


def room(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny when MAX_OPEN_POSITIONS are open or ordered."""
    count, most = book.open_count(facts.day.portfolio, facts.limits.funds), facts.limits.max_open_positions
    return None if count < most else (f"{count} positions and entries are open", f"at most {most}")


def not_open(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a second position in an instrument, whoever holds the first."""
    if not (facts.valuation.has(signal.instrument) or signal.instrument in facts.day.portfolio.externals):
        return None
    return (f"{signal.instrument} is open or ordered", f"one position in {signal.instrument}")


def allocation(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny when TOTAL_ALLOCATION does not leave enough for one share, or for the least fraction of it."""
    quote = facts.quote_of(signal.instrument)
    limit = allocation_limit_micros(facts.limits, facts.means.start_equity_micros)
    if quote is None:
        return (f"no quote of {signal.instrument} was heard", f"at most {dollars(limit)}")
    used, step = facts.means.allocated_micros, facts.step_nanos(signal.instrument)
    least = notional_of(signal.instrument, quote.ask_micros, step)
    if used + least <= limit:
        return None
    unit = "contract" if is_option(signal.instrument) else "share"
    what = f"one {unit} costs" if step == NANOS else "the least order costs"
    return (f"{dollars(used)} in use, {what} {dollars(least)}", f"at most {dollars(limit)}")


def sized(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny when the limits together leave less than a share, or than the least fraction of it."""
    sizing, step = facts.size_of(signal), facts.step_nanos(signal.instrument)
    if sizing.qty_nanos >= step:
        return None
    if is_option(signal.instrument):
        return (f"no whole contract: {sizing.bound}", "at least 1 contract")
    if step == NANOS:
        return (f"no whole share: {sizing.bound}", "at least 1 share")
    return (f"not even a fraction: {sizing.bound}", f"at least {shares(step)}")


def within_symbol(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny what would make one symbol worth more than MAX_POSITION_PER_SYMBOL, whoever holds it."""
    quote = facts.quote_of(signal.instrument)
    limit = symbol_limit_micros(facts.limits, facts.means.start_equity_micros)
    there, more = facts.symbol_nanos(signal.instrument), facts.order_nanos(signal)
    has_ask = quote is not None and quote.ask_micros != 0
    if quote and has_ask and notional_of(signal.instrument, quote.ask_micros, there + more) <= limit:
        return None
    words = f"at most {dollars(limit)} of {signal.instrument}"
    if quote is None or not has_ask:
        return (f"no ask of {signal.instrument} was heard", words)
    held, cost = (dollars(notional_of(signal.instrument, quote.ask_micros, nanos)) for nanos in (there, more))
    return (f"{held} held or ordered, {cost} more", words)


def within_shares(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny an order of more shares than MAX_ORDER_SHARES."""
    nanos, limit = facts.order_nanos(signal), facts.limits.order_max_nanos
    return None if nanos <= limit else (f"an order of {shares(nanos)}", f"at most {shares(limit)}")


def within_notional(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny an order that costs more than MAX_ORDER_NOTIONAL, also where that is one share."""
    cost, limit = facts.cost_micros(signal), facts.limits.order_notional_max_micros
    if cost == 0:
        return (f"no ask of {signal.instrument} was heard", f"at most {dollars(limit)}")
    return None if cost <= limit else (f"an order for {dollars(cost)}", f"at most {dollars(limit)}")


def within_means(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny what costs more than the cash and the buying power that no other order has a claim on."""
    cost, means = facts.cost_micros(signal), facts.means
    spendable = min(means.cash_micros, means.buying_power_micros)
    is_known = facts.day.account is not None and cost != 0
    if is_known and cost <= spendable:
        return None
    words = f"at most {dollars(max(spendable, 0))} in cash and buying power"
    return (f"an order for {dollars(cost)}" if is_known else "the account or the ask is not known", words)


def within_trades(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny after MAX_TRADES_PER_DAY entries of the session, filled or not."""
    count, most = facts.day.pace.total, facts.limits.trades_per_day_max
    return None if count < most else (f"{count} entries were approved today", f"at most {most}")


def within_second(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny what is more than MAX_ORDERS_PER_SECOND."""
    count, most = facts.day.pace.count_within(SECOND_NS, facts.now_ns), facts.limits.orders_per_second_max
    return None if count < most else (f"{count} entries within a second", f"at most {most}")


def within_minute(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny what is more than MAX_ORDERS_PER_MINUTE."""
    count, most = facts.day.pace.count_within(MINUTE_NS, facts.now_ns), facts.limits.orders_per_minute_max
    return None if count < most else (f"{count} entries within a minute", f"at most {most}")


def not_repeated(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny an order that was approved MAX_REPEATED_ORDERS times just now; the core halts for it."""
    quote = facts.quote_of(signal.instrument)
    # REPEATED_ORDERS_WINDOW
    most, window_ns = facts.limits.repeated_orders_max, facts.limits.repeats_window_ns
    words = f"at most {most} equal orders in {seconds(window_ns)}"
    if quote is None:
        return (f"no quote of {signal.instrument} was heard", words)
    nanos = facts.order_nanos(signal)
    wanted = Placed("BUY", nanos, quote.ask_micros, facts.now_ns)
    count = facts.day.pace.repeats(signal.instrument, wanted, window_ns)
    if count < most:
        return None
    order = f"BUY {shares(nanos)} {signal.instrument} at {dollars(quote.ask_micros)}"
    return (f"{order} was approved {count} times", words)
