"""A stop of the process: what is still to be done, and what is said at the end. Pure."""

from typing import Literal

from services.execution.decisions import EXIT_ATTEMPTS_MAX, is_market_open
from services.execution.intents import Intent
from services.execution.orders import Order, OrderState
from services.execution.state import ExecutionState

StopPositions = Literal["keep", "flatten"]
#: An order in one of these waits for the broker or for us.
_UNSETTLED = frozenset({OrderState.PREPARED, OrderState.UNKNOWN, OrderState.CANCEL_PENDING})


def has_more_to_stop(state: ExecutionState, policy: StopPositions, now_ns: int) -> bool:
    """Tell whether something has to be sent, cancelled or answered before the process may end.

    An exit that the broker has accepted is not waited for: it fills there, with or without us.
    """
    sells = policy == "flatten" and is_market_open(state, now_ns)
    return any(_waits(order, sells=sells) for order in state.open_orders()) or (
        sells and any(_is_to_be_sold(intent) for intent in state.open_intents())
    )


def words_of_stop(state: ExecutionState, policy: StopPositions, now_ns: int) -> str:
    """Return in a line what is left behind, and by which setting."""
    is_open = is_market_open(state, now_ns)
    where = "in the session" if is_open else "outside the session"
    setting = f"(STOP_POSITIONS={policy})"
    held = [intent for intent in state.open_intents() if intent.held_nanos > 0]
    guarded = [intent for intent in held if _resting_nanos(intent, "stop") >= intent.held_nanos]
    leaving = [intent for intent in held if intent not in guarded and _resting_nanos(intent, "exit") > 0]
    bare = len(held) - len(guarded) - len(leaving)
    entries = sum(1 for order in state.open_orders() if order.is_opening)
    parts = []
    if guarded:
        under = "its protective stop" if len(guarded) == 1 else "their protective stops"
        parts.append(f"{_positions(len(guarded))} under {under} at the broker")
    if leaving:
        parts.append(f"{_positions(len(leaving))} until the exit that waits at the broker is filled")
    if bare:
        parts.append(f"{_positions(bare)} WITHOUT a whole stop or exit at the broker")
    if entries:
        parts.append(f"{entries} entry order(s) may still be open at the broker")
    if parts:
        return f"{where}: {', '.join(parts)} {setting}"
    if is_open and policy == "flatten":
        return f"{where}: nothing is held and no order of ours is open {setting}"
    return f"{where}: no position and no order of ours is open"


def _waits(order: Order, *, sells: bool) -> bool:
    return order.is_opening or order.state in _UNSETTLED or (sells and order.leg == "stop")


def _is_to_be_sold(intent: Intent) -> bool:
    return intent.held_nanos > 0 and not intent.open_orders and intent.attempts("exit") < EXIT_ATTEMPTS_MAX


def _resting_nanos(intent: Intent, leg: str) -> int:
    rests = (order.prepared.qty_nanos - order.filled_nanos for order in intent.orders if _rests(order, leg))
    return sum(rests)


def _rests(order: Order, leg: str) -> bool:
    return order.leg == leg and order.is_resting


def _positions(count: int) -> str:
    return "1 position stays" if count == 1 else f"{count} positions stay"
