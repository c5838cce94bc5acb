"""What execution watches by itself on the quotes it hears: targets, and stops of options and fractions. Pure."""

from typing import Final

from bus.instruments import is_option
from bus.messages import Quote
from services.execution.intents import Intent
from services.execution.quantities import shares

_BASIS_POINTS: Final = 10_000
_MICROS: Final = 1_000_000


def is_watched(intent: Intent) -> bool:
    """Tell whether each quote of the intent's symbol may be a reason to sell what it holds."""
    if not (intent.target_micros > 0 or intent.guarded_nanos > 0):
        return False
    return intent.held_nanos > 0 and not intent.exit_reason and not intent.is_closed


def usable_bid(quote: Quote | None) -> int:
    """Return the bid that a sale could meet, in micros; 0 when the quote has none, or contradicts itself."""
    if quote is None or quote.bid_size_nanos <= 0 or 0 < quote.ask_micros < quote.bid_micros:
        return 0
    return quote.bid_micros


def stop_micros(intent: Intent, peak_micros: int) -> int:
    """Return where the guarded stop stands: a trail below the best bid since the purchase, or its price."""
    peak = max(peak_micros, intent.guarded_from_micros)
    return peak * (_BASIS_POINTS - intent.trail_bps) // _BASIS_POINTS


def reason_to_sell(intent: Intent, quote: Quote | None, peak_micros: int) -> str:
    """Return why what is held has to be sold at this quote; empty when it has not."""
    bid = usable_bid(quote)
    if not bid or not is_watched(intent):
        return ""
    if intent.target_micros and bid >= intent.target_micros:
        return "its target was reached"
    if intent.guarded_nanos and bid <= stop_micros(intent, peak_micros):
        trail = f"{intent.trail_bps // 100}.{intent.trail_bps % 100:02d} %"
        what = "an option" if is_option(intent.symbol) else "a fraction of a share"
        return f"its trailing stop of {trail} was hit: guarded here, as brokers take no stop for {what}"
    return ""


def words(intent: Intent, peak_micros: int) -> str:
    """Return what of an intent only this process protects, and from where; empty when nothing."""
    if not intent.guarded_nanos or intent.held_nanos <= 0:
        return ""
    qty = shares(min(intent.guarded_nanos, intent.held_nanos))
    cents = stop_micros(intent, peak_micros) // (_MICROS // 100)
    return f"{qty} {intent.symbol} at {cents // 100}.{cents % 100:02d}"
