"""A sale that does not get done before the close: pressed harder three times, and said. Pure: times are given.

Source: the failure catalogue, F54: at 15, 5 and 1 minutes before the close, and never an order for the closing auction.
"""

from typing import Final

from bus.messages import SessionPlanned
from services.execution.intents import Intent
from services.execution.orders import Order
from services.execution.quantities import shares

#: Minutes before the close at which a sale that still waits is cancelled and sent again.
PRESS_MINUTES: Final = (15, 5, 1)
_MINUTE_NS: Final = 60_000_000_000


def pressed_at_ns(plan: SessionPlanned | None, now_ns: int) -> int:
    """Return the newest moment at which late sales are pressed, in session time; 0 = before the first, or closed."""
    if plan is None or not plan.is_trading_day or now_ns >= plan.close_ns:
        return 0
    reached = (plan.close_ns - minutes * _MINUTE_NS for minutes in PRESS_MINUTES)
    return max((at_ns for at_ns in reached if at_ns <= now_ns), default=0)


def is_late(order: Order, pressed_ns: int) -> bool:
    """Tell whether a sale rests at the broker since before the newest moment at which late sales are pressed."""
    return order.leg == "exit" and order.is_resting and order.prepared.ts_init < pressed_ns


def words(plan: SessionPlanned | None, intents: list[Intent], now_ns: int) -> str:
    """Return which positions should be sold by now and are not; empty when there is none."""
    if plan is None or not plan.is_trading_day:
        return ""
    pressed_ns = pressed_at_ns(plan, now_ns)
    if now_ns >= plan.close_ns:
        late = [intent for intent in intents if intent.held_nanos > 0 and intent.exit_reason]
        when = "the session is over"
    else:
        late = [intent for intent in intents if intent.held_nanos > 0 and _was_begun_before(intent, pressed_ns)]
        left = -(-(plan.close_ns - now_ns) // _MINUTE_NS)
        when = f"{left} min before the close"
    if not late:
        return ""
    held = ", ".join(f"{intent.symbol} {shares(intent.held_nanos)}" for intent in late)
    return f"NOT SOLD, {when}: {held}; sell by hand at the broker what stays"


def _was_begun_before(intent: Intent, pressed_ns: int) -> bool:
    return any(order.leg == "exit" and order.prepared.ts_init < pressed_ns for order in intent.orders)
