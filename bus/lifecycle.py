"""The chain's state and the session's phase, as tables; pure."""

from enum import Enum, auto
from typing import Final

from bus.messages import BotState, ChainState, SessionPlanned


class Trigger(Enum):
    """What can happen to the chain."""

    READY = auto()  # every service is up, of one build, and has nothing unacknowledged
    UNREADY = auto()  # one of them is not
    ARMED = auto()  # a valid arm record stands
    STOPPED = auto()  # an operator asked for no new positions, or no arm record stands
    HALT = auto()  # a halt record stands that no operator has answered


#: (state, trigger) -> next state. A pair that is not here leaves the state as it is.
CHAIN: Final[dict[tuple[ChainState, Trigger], ChainState]] = {
    ("STARTING", Trigger.READY): "DISARMED",
    ("STARTING", Trigger.HALT): "HALTED",
    ("DISARMED", Trigger.UNREADY): "STARTING",
    ("DISARMED", Trigger.ARMED): "ACTIVE",
    ("DISARMED", Trigger.HALT): "HALTED",
    # An armed chain that loses a service is not "starting": the watchdog raises a halt for it.
    ("ACTIVE", Trigger.STOPPED): "REDUCING",
    ("ACTIVE", Trigger.HALT): "HALTED",
    ("REDUCING", Trigger.ARMED): "ACTIVE",
    ("REDUCING", Trigger.HALT): "HALTED",
    # Answering a halt brings the chain through its start again: it must be ready before it may be armed.
    ("HALTED", Trigger.ARMED): "STARTING",
}

MEANING: Final[dict[ChainState, str]] = {
    "STARTING": "Services are starting. Nothing is traded.",
    "DISARMED": "Ready, not armed. Nothing is traded until an operator arms the chain.",
    "ACTIVE": "Armed. The strategies may open positions within the limits.",
    "REDUCING": "Stopped by an operator. No new positions; stops and exits go on.",
    "HALTED": "Halted. No new positions, open entries are cancelled; positions by HALT_POSITIONS. "
    "Only an operator can arm again.",
}


def next_state(state: ChainState, trigger: Trigger) -> ChainState:
    """Return the state after a trigger."""
    return CHAIN.get((state, trigger), state)


def phase_at(plan: SessionPlanned | None, now_ns: int) -> BotState:
    """Return the phase of the session at a moment; a day without trading is CLOSED."""
    if plan is None:
        return "PROVISIONED"
    if not plan.is_trading_day or now_ns >= plan.close_ns:
        return "CLOSED"
    if now_ns < plan.open_ns:
        return "PRE_OPEN"
    return "TRADING" if now_ns < plan.flatten_ns else "FLATTENING"
