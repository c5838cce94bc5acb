"""The chain's state and the bot's state, as tables, and what each keeps from happening, in words; pure."""

from enum import Enum, auto
from typing import Final, NamedTuple

from msgspec import Struct

from bus.messages import BotState, ChainState

#: How long before the open an armed chain counts as waiting for it.
PRE_OPEN_LEAD_MINUTES: Final = 60
_NS_PER_MINUTE: Final = 60_000_000_000


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
    "REDUCING": "Stopped. No new positions; stops and exits go on.",
    "HALTED": "Halted. No new positions, open entries are cancelled; positions by HALT_POSITIONS. "
    "Only an operator can arm again.",
}


def next_state(state: ChainState, trigger: Trigger) -> ChainState:
    """Return the state after a trigger."""
    return CHAIN.get((state, trigger), state)


class Moment(Enum):
    """Where the clock is in the trading day."""

    NO_SESSION = auto()  # a holiday, a week-end, a weekday that TRADING_DAYS excludes, or no plan yet
    EARLY = auto()  # longer before the open than PRE_OPEN_LEAD_MINUTES
    PRE_OPEN = auto()
    ANALYSIS = auto()  # a strategy analyses and none may enter
    ENTRY = auto()  # a strategy may enter
    WATCH = auto()  # between the open and the flatten, and neither of the two
    FLATTEN = auto()
    AFTER = auto()  # from the close on


class Window(NamedTuple):
    """A stretch of time in UTC nanoseconds; the end is not part of it."""

    start_ns: int
    end_ns: int

    def holds(self, now_ns: int) -> bool:
        """Tell whether a moment is inside."""
        return self.start_ns <= now_ns < self.end_ns


class SessionWindows(Struct, frozen=True, kw_only=True):
    """One day of the enabled strategies, UTC nanoseconds; no analysis or entry lies outside open and flatten."""

    is_trading_day: bool
    open_ns: int
    flatten_ns: int
    close_ns: int
    analyses: tuple[Window, ...]
    entries: tuple[Window, ...]


def moment_at(windows: SessionWindows | None, now_ns: int) -> Moment:
    """Return where a moment lies in the day; without a plan there is no session."""
    if windows is None or not windows.is_trading_day:
        return Moment.NO_SESSION
    if now_ns < windows.open_ns:
        is_near = windows.open_ns - now_ns <= PRE_OPEN_LEAD_MINUTES * _NS_PER_MINUTE
        return Moment.PRE_OPEN if is_near else Moment.EARLY
    if now_ns >= windows.flatten_ns:
        return Moment.AFTER if now_ns >= windows.close_ns else Moment.FLATTEN
    if any(window.holds(now_ns) for window in windows.entries):
        return Moment.ENTRY
    return Moment.ANALYSIS if any(window.holds(now_ns) for window in windows.analyses) else Moment.WATCH


#: What an armed chain does at each moment.
ARMED_BOT: Final[dict[Moment, BotState]] = {
    Moment.NO_SESSION: "IDLE",
    Moment.EARLY: "IDLE",
    Moment.PRE_OPEN: "PRE_OPEN",
    Moment.ANALYSIS: "ANALYZING",
    Moment.ENTRY: "TRADING",
    Moment.WATCH: "MONITORING",
    Moment.FLATTEN: "FLATTENING",
    Moment.AFTER: "CLOSED",
}

#: (state of the chain, moment) -> state of the bot. A chain that may not open positions says why it may not, at any
#: moment: the clock decides in an active chain alone.
BOT: Final[dict[tuple[ChainState, Moment], BotState]] = {
    **{("STARTING", moment): "PROVISIONED" for moment in Moment},
    **{("DISARMED", moment): "PROVISIONED" for moment in Moment},
    **{("ACTIVE", moment): said for moment, said in ARMED_BOT.items()},
    **{("REDUCING", moment): "REDUCING" for moment in Moment},
    **{("HALTED", moment): "HALTED" for moment in Moment},
}


def bot_state(state: ChainState, moment: Moment, *, has_failed: bool) -> BotState:
    """Return the bot's state; `has_failed`: a service cannot start, which a person must mend before anything else.

    UNCONFIGURED is not among the answers: before the home is configured there is no chain to have a state.
    """
    return "ERROR" if has_failed else BOT[state, moment]


BOT_MEANING: Final[dict[BotState, str]] = {
    "UNCONFIGURED": "The home has no configuration yet: open the configuration page.",
    "PROVISIONED": "Configured, not armed, or not all services are ready.",
    "IDLE": f"Armed. No session today, or its open is more than {PRE_OPEN_LEAD_MINUTES} minutes away.",
    "PRE_OPEN": f"Armed. The session opens within {PRE_OPEN_LEAD_MINUTES} minutes.",
    "ANALYZING": "A strategy analyses the market; none may enter yet.",
    "TRADING": "At least one strategy may enter.",
    "MONITORING": "No strategy may enter; open positions are watched until they are sold.",
    "FLATTENING": "All intraday positions are sold before the close.",
    "CLOSED": "The session is over.",
    "REDUCING": "Stopped: no new positions; what is open is brought to its end.",
    "HALTED": "A halt stands; only an operator can arm again.",
    "ERROR": "A service cannot start; the service table says why.",
}


class Effects(NamedTuple):
    """What a state keeps from happening and what it does not, in plain words."""

    stopped: str
    goes_on: str


_UNARMED: Final = Effects(
    "New positions; entries still working are cancelled. Planned exits and the flatten before the close wait too, "
    "until the chain has been armed once since it was started: market data begins then.",
    "Protective stops that rest at the broker, booking of their fills, the web page.",
)
_EXITS: Final = "Protective stops, planned exits, the flatten before the close, bookkeeping, the web page."
_ALL_GOES_ON: Final = Effects(
    "Nothing.",
    "New positions within the limits, protective stops, planned exits, the flatten before the close, bookkeeping, "
    "the web page.",
)
#: What each state stops; a halt with HALT_POSITIONS=flatten stops more.
EFFECTS: Final[dict[ChainState, Effects]] = {
    "STARTING": _UNARMED,
    "DISARMED": _UNARMED,
    "ACTIVE": _ALL_GOES_ON,
    "REDUCING": Effects("New positions; entries still working are cancelled.", _EXITS),
    "HALTED": Effects(
        "New positions; entries still working are cancelled. After a loss beyond DAILY_LOSS_LIMIT open positions are "
        "sold.",
        _EXITS,
    ),
}
HALTED_FLATTEN: Final = Effects(
    "New positions; entries still working are cancelled. Open positions are sold now, not at their planned exits "
    "(HALT_POSITIONS is flatten).",
    "Protective stops until each position is sold, bookkeeping, the web page.",
)
NO_LEASE: Final = Effects(
    "New positions, for as long as no lease is granted; entries still working may be cancelled.", _EXITS
)
UNCONFIGURED: Final = Effects("Everything: there is no configuration yet.", "The configuration page.")


def effects(state: ChainState, halt_positions: str, *, has_lease: bool = True) -> Effects:
    """Return what a state stops and what goes on.

    Args:
        state: the chain's state.
        halt_positions: the setting HALT_POSITIONS, keep or flatten.
        has_lease: whether the watchdog grants leases; an active chain without one sends no entries.
    """
    if state == "ACTIVE" and not has_lease:
        return NO_LEASE
    if state == "HALTED" and halt_positions == "flatten":
        return HALTED_FLATTEN
    return EFFECTS[state]
