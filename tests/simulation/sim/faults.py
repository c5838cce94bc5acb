"""What may go wrong, how often: each seed draws its own mix out of a profile's ranges (swarm testing)."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bus.messages import ServiceName

SERVICES: Final[tuple[ServiceName, ...]] = ("screener", "strategy", "risk", "execution", "ledger", "watchdog")
#: The long-term holdings are there in the profiles that end with a night of theirs.
WITH_HOLDINGS: Final[tuple[ServiceName, ...]] = (*SERVICES, "holdings")
Range = tuple[float, float]


@dataclass
class FaultMix:
    """Probabilities of one run. Rates are per second of simulated time; the rest is per message or per call."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    delay_ms_max: int = 2
    cut_rate: float = 0.0
    crash_rate: float = 0.0
    failpoint_crash: float = 0.0
    pause_rate: float = 0.0
    halt_rate: float = 0.0
    stop_rate: float = 0.0
    clock_rate: float = 0.0
    slow_disk: float = 0.0
    request_lost: float = 0.0
    response_lost: float = 0.0
    late_accept: float = 0.0
    late_accept_s_max: float = 15.0
    server_error: float = 0.0
    rejected: float = 0.0
    query_error: float = 0.0
    lag: float = 0.0
    stream_lost: float = 0.0
    slow_fill: float = 0.0
    slow_fill_s_max: float = 5.0
    partial_fill: float = 0.0
    cancel_lost: float = 0.0
    cancel_late: float = 0.0
    #: Orders that no market fills until somebody cancels them.
    stuck: float = 0.0
    #: Soon after an entry was sent somebody halts the chain, or who grants leases dies; perhaps execution as well.
    strike: float = 0.0
    #: The broker reports a movement of money that no ledger can book.
    odd_activity: float = 0.0

    def calm(self) -> "FaultMix":
        """Return a mix in which nothing goes wrong any more."""
        return FaultMix()


@dataclass(frozen=True)
class Profile:
    """Ranges that a seed draws its mix from, and what a run of it is about."""

    name: str
    ranges: Mapping[str, Range] = field(default_factory=dict)
    #: Each fault is left out altogether in this share of the seeds, so that others can go further.
    leave_out: float = 0.3
    speeds: tuple[int, ...] = (40, 60, 120)
    #: ENTRY_TIMEOUT, in the market's seconds.
    entry_timeout_s: int = 60
    fault_s: Range = (10.0, 25.0)
    #: Who is there at all.
    services: tuple[ServiceName, ...] = SERVICES
    #: Who dies, freezes, and is cut off from whom.
    targets: tuple[ServiceName, ...] = SERVICES
    #: Where a process may die by `failpoint_crash`, as NAME:SIDE; empty = at every point.
    points: tuple[str, ...] = ()
    #: These halts may end the run: the fault is one that nobody but a person can mend.
    ends_in: frozenset[str] = frozenset()
    restores: tuple[ServiceName, ...] = ()
    #: When the copy is made.
    restore_s: Range = (2.0, 9.0)
    #: How long who grants leases stays away when it died.
    restart_s: Range = (0.02, 2.0)
    #: How long the operator leaves a halt standing, once the chain was armed; None = soon.
    answers_after_s: Range | None = None
    #: Whether the feed waits until everybody has finished a step, as a recording does; a live one would not.
    feed_waits: bool = True
    #: What the directed runs of a mutant change in the mix that was drawn.
    fixed: Mapping[str, float] = field(default_factory=dict)

    @property
    def has_night(self) -> bool:
        """Tell whether the session is followed by a night of the holdings."""
        return "holdings" in self.services

    def draw(self, rng: random.Random) -> FaultMix:
        """Return this seed's mix."""
        values: dict[str, float] = {}
        for key, (low, high) in self.ranges.items():
            leaves_out = rng.random() < self.leave_out
            drawn = low + rng.random() * (high - low)
            if not leaves_out:
                values[key] = drawn
        mix = replace(FaultMix(), **{**values, **self.fixed})
        mix.delay_ms_max = int(mix.delay_ms_max)
        return mix


_NET: Final[dict[str, Range]] = {
    "loss": (0.0, 0.3),
    "duplicate": (0.0, 0.2),
    "delay": (0.0, 0.3),
    "delay_ms_max": (2, 300),
    "cut_rate": (0.0, 0.1),
}
_PROCESS: Final[dict[str, Range]] = {
    "crash_rate": (0.0, 0.25),
    "failpoint_crash": (0.0, 0.006),
    "pause_rate": (0.0, 0.15),
    "slow_disk": (0.0, 0.01),
}
_BROKER: Final[dict[str, Range]] = {
    "request_lost": (0.0, 0.2),
    "response_lost": (0.0, 0.25),
    "late_accept": (0.0, 0.15),
    "server_error": (0.0, 0.2),
    "rejected": (0.0, 0.1),
    "query_error": (0.0, 0.2),
    "lag": (0.0, 0.3),
    "stream_lost": (0.0, 0.3),
    "slow_fill": (0.0, 0.5),
    "partial_fill": (0.0, 0.6),
    "cancel_lost": (0.0, 0.3),
    "cancel_late": (0.0, 0.4),
}
_HALTS: Final[dict[str, Range]] = {"halt_rate": (0.0, 0.08), "stop_rate": (0.0, 0.03)}

#: How a chain says that one of its files is from another time than the others'.
LOST_HISTORY: Final = frozenset({"regressed_producer", "lost_history", "refused_stream", "broker_anomaly"})

PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile("calm"),
        Profile("net", _NET),
        # Slower than any retry: what was said before arrives after its answer.
        Profile("late", _NET | {"delay": (0.1, 0.5), "delay_ms_max": (300, 4_000)}, speeds=(40,)),
        Profile("process", _PROCESS),
        Profile("broker", _BROKER),
        Profile("swarm", _NET | _PROCESS | _BROKER | _HALTS),
        Profile("halts", _NET | _PROCESS | _BROKER | {"halt_rate": (0.1, 0.5), "stop_rate": (0.0, 0.1)}),
        Profile(
            "restore",
            _NET,
            restores=("screener", "strategy", "risk", "watchdog"),
            ends_in=LOST_HISTORY,
            speeds=(40,),
            fault_s=(12.0, 20.0),
        ),
        # Of its own: what was sent is not in the journal any more, so only the broker knows of it.
        Profile(
            "restore_execution",
            _NET,
            restores=("execution",),
            ends_in=LOST_HISTORY,
            speeds=(40,),
            fault_s=(12.0, 20.0),
        ),
        # A halt stands for long, who grants leases stays away for long, and entries are filled by nobody.
        Profile(
            "drain",
            _BROKER
            | {
                "slow_disk": (0.0, 0.01),
                "stuck": (0.5, 0.9),
                "strike": (0.3, 1.0),
            },
            leave_out=0.2,
            speeds=(10, 20),
            entry_timeout_s=600,
            fault_s=(20.0, 30.0),
            restart_s=(0.02, 20.0),
            answers_after_s=(5.0, 30.0),
        ),
        # The wall clock is set by seconds and by hours while processes die and people halt.
        Profile("clock", _NET | _PROCESS | _HALTS | {"clock_rate": (0.1, 0.5)}, leave_out=0.2),
        Profile("suspended", fixed={"odd_activity": 1.0}, ends_in=frozenset({"ledger_suspended"})),
        # Funds are bought, put on target again and sold for the float after the session, and reserves are paid out.
        Profile("night_calm", services=WITH_HOLDINGS, speeds=(20,), fault_s=(38.0, 42.0)),
        Profile(
            "night",
            _NET | _PROCESS | _BROKER | _HALTS,
            services=WITH_HOLDINGS,
            targets=WITH_HOLDINGS,
            speeds=(20, 40),
            leave_out=0.4,
            fault_s=(15.0, 40.0),
        ),
    )
}
