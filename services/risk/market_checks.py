"""Checks of the market: the instrument's quote, its distance from the signal, and its volume."""

from bus.instruments import is_option
from bus.messages import Quote, SignalRaised
from services.risk.facts import PPM, Facts, Finding
from services.risk.wording import dollars, percent, ppm_percent, seconds, shares, times


def _quote_of(signal: SignalRaised, facts: Facts) -> Quote | None:
    return facts.quote_of(signal.instrument)


def _no_quote(signal: SignalRaised) -> Finding:
    return (f"no quote of {signal.instrument} was heard", f"a quote of {signal.instrument}")


def quoted(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny what has no quote."""
    return None if _quote_of(signal, facts) else _no_quote(signal)


def two_sided(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny what lacks a price or a size on one side."""
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    if min(quote.bid_micros, quote.ask_micros, quote.bid_size_nanos, quote.ask_size_nanos) > 0:
        return None
    bid = f"{shares(quote.bid_size_nanos)} at {dollars(quote.bid_micros)}"
    return (
        f"bid {bid}, ask {shares(quote.ask_size_nanos)} at {dollars(quote.ask_micros)}",
        "both sides quoted",
    )


def not_crossed(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a bid above the ask."""
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    if quote.bid_micros <= quote.ask_micros:
        return None
    return (f"bid {dollars(quote.bid_micros)}, ask {dollars(quote.ask_micros)}", "a bid below the ask")


def not_locked(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a bid at the ask."""
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    if quote.bid_micros != quote.ask_micros:
        return None
    return (f"bid and ask are both {dollars(quote.ask_micros)}", "a bid below the ask")


def fresh(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a quote older than MAX_QUOTE_AGE, or from the future."""
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    # A quote from the future is as little to be believed as an old one: the clocks disagree.
    age_ns = abs(facts.now_ns - quote.ts_event)
    if age_ns <= facts.limits.max_quote_age_ns:
        return None
    direction = "old" if quote.ts_event < facts.now_ns else "ahead of the clock"
    return (f"{seconds(age_ns)} {direction}", f"at most {seconds(facts.limits.max_quote_age_ns)}")


def no_jump(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny an ask that is MAX_PRICE_JUMP times the signal's price or more, or as small a part of it."""
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    reference, ask, most = signal.reference_micros, quote.ask_micros, facts.limits.price_jump_percent
    # A signal through an inverse ETF carries no price of its instrument (0), so there is nothing to compare.
    if reference == 0 or (reference * 100 < ask * most and ask * 100 < reference * most):
        return None
    return (
        f"ask {dollars(ask)}, signal at {dollars(reference)}",
        f"less than {times(most)} times apart",
    )


def spread(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a market wider than MAX_SPREAD, or of an option than PUT_SPREAD_MAX."""
    quote = _quote_of(signal, facts)
    if quote is None or quote.ask_micros == 0:
        return _no_quote(signal)
    # MAX_SPREAD is measured against the ask, the price of the entry.
    most = facts.limits.options.spread_max_ppm if is_option(signal.instrument) else facts.limits.max_spread_ppm
    gap = quote.ask_micros - quote.bid_micros
    if gap * PPM <= quote.ask_micros * most:
        return None
    value = f"{percent(gap, quote.ask_micros)} of {dollars(quote.ask_micros)}"
    return (value, f"at most {ppm_percent(most)}")


def volume(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny what has traded less than MIN_VOLUME_THRESHOLD since the open.

    An option has no such minutes: its open interest says how much of it there is, and another check asks for that.
    """
    if is_option(signal.instrument):
        return None
    least = facts.limits.min_volume_nanos
    volume = facts.market.volumes.of(signal.instrument)
    # MIN_VOLUME_THRESHOLD counts the minutes heard by this process: a restart begins again at nothing.
    if volume is not None and volume >= least:
        return None
    heard = f"no minute of {signal.instrument} was heard" if volume is None else shares(volume)
    return (heard, f"at least {shares(least)} since the open")


def within_collar(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny an ask too far from the price that the signal was made at."""
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    limit, reference = facts.limits.price_collar_ppm, signal.reference_micros
    if reference == 0:
        # A signal through an inverse ETF has seen no price of its instrument; one for the name itself always has.
        is_through_fund = signal.instrument != signal.symbol
        return None if is_through_fund else ("the signal brings no price", f"within {ppm_percent(limit)} of its price")
    gap = abs(quote.ask_micros - reference)
    if gap * PPM <= reference * limit:
        return None
    value = f"ask {dollars(quote.ask_micros)} is {percent(gap, reference)} from {dollars(reference)}"
    return (value, f"within {ppm_percent(limit)} of the signal's price")
