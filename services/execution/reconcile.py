"""What the broker lists against what the journal says. Pure: both sides in, differences out."""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from bus import messages as m
from bus.instruments import is_option, option_terms
from services.execution.brokers.interface import OpenOrder
from services.execution.orders import FINAL_STATES, OrderState, is_own
from services.execution.quantities import shares
from services.execution.state import ExecutionState

#: The broker has confirmed these to us, so it has to list them.
_MUST_BE_LISTED = frozenset({OrderState.WORKING, OrderState.PARTIALLY_FILLED, OrderState.CANCEL_PENDING})


class OrderFindings(Struct, frozen=True, kw_only=True):
    """What a list of open orders says.

    `to_look_up`: ours, and the list says something else than the journal. `over`: those of them that the broker lists
    though they are over for us. `strangers`: in our name, but not in the journal. `unaccounted`: those, and what by the
    journal never reached the broker and is listed nevertheless. `external`: not ours.
    """

    to_look_up: tuple[str, ...]
    over: tuple[str, ...]
    strangers: tuple[str, ...]
    unaccounted: frozenset[str]
    external: tuple[OpenOrder, ...]


class PositionFindings(Struct, frozen=True, kw_only=True):
    """What a list of positions says: symbols short of what we hold, in words; and what is not ours, in signed nanos.

    `lapsed` are contracts that we hold by our fills, in nanos, and that are gone since their last day is over.
    """

    short: tuple[str, ...]
    external: dict[str, int]
    lapsed: dict[str, int]


def compare_orders(state: ExecutionState, listed: Sequence[OpenOrder], unsent: Collection[str]) -> OrderFindings:
    """Compare the broker's open orders with the journal's; `unsent` are prepared here and were never sent."""
    to_look_up: dict[str, None] = {}
    over: list[str] = []
    strangers: list[str] = []
    unaccounted: set[str] = set()
    external: list[OpenOrder] = []
    for item in listed:
        order = state.find(item.client_order_id)
        if order is None:
            if is_own(item.client_order_id):
                strangers.append(item.client_order_id)
            else:
                external.append(item)
        elif order.state not in _MUST_BE_LISTED:
            # Accepted late or unheard of, or over for us.
            to_look_up[order.client_order_id] = None
            if order.state in FINAL_STATES:
                over.append(order.client_order_id)
            if order.client_order_id in unsent or (order.state is OrderState.EXPIRED and not order.broker_order_id):
                unaccounted.add(order.client_order_id)
    keys = {item.client_order_id for item in listed}
    for order in state.open_orders():
        if order.state in _MUST_BE_LISTED and order.client_order_id not in keys:
            # Filled or cancelled without our hearing of it.
            to_look_up[order.client_order_id] = None
    return OrderFindings(
        to_look_up=tuple(key for key in to_look_up if key not in unsent),
        over=tuple(over),
        strangers=tuple(strangers),
        unaccounted=frozenset(unaccounted.union(strangers)),
        external=tuple(external),
    )


def compare_positions(state: ExecutionState, reported: Mapping[str, int]) -> PositionFindings:
    """Compare the broker's positions, in nanos, with what the journal's fills add up to."""
    held: dict[str, int] = {}
    for intent in state.open_intents():
        held[intent.symbol] = held.get(intent.symbol, 0) + intent.held_nanos
    lapsed = {
        symbol: own
        for symbol, own in held.items()
        if own > 0 and not reported.get(symbol, 0) and _has_lapsed(symbol, state.plan, reported)
    }
    short = tuple(
        f"{symbol}: {shares(reported.get(symbol, 0))} at the broker, {shares(own)} by our fills"
        for symbol, own in sorted(held.items())
        if reported.get(symbol, 0) < own and symbol not in lapsed
    )
    external = {
        symbol: qty - held.get(symbol, 0)
        for symbol, qty in reported.items()
        # What we hold and is short there contradicts us; a short position in anything else is somebody else's.
        if qty > held.get(symbol, 0) or (qty < 0 and not held.get(symbol, 0))
    }
    return PositionFindings(short=short, external=external, lapsed=lapsed)


def _has_lapsed(symbol: str, plan: m.SessionPlanned | None, reported: Mapping[str, int]) -> bool:
    """Tell whether an option's last day is over and nothing looks as if it had been exercised.

    A put that was exercised leaves its shares short, where they were not held: that is for a person to see.
    """
    if plan is None or not is_option(symbol):
        return False
    terms = option_terms(symbol)
    return terms.expiry < plan.session_date and reported.get(terms.root, 0) >= 0
