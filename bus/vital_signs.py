"""The watchdog's judgement of the chain's health, pure: whether a lease may be granted, and what must halt the chain.

Source: the limits are those of docs/operations.md; a lease needs all of them at the moment it is granted.
"""

from dataclasses import dataclass
from typing import Final

from bus.heartbeat import Liveness
from bus.messages import ChainState, ServiceName

#: How old execution's last clean comparison with the broker may be.
RECONCILED_MS_MAX: Final = 60_000
#: A message unacknowledged for longer: no new entries; and for longer still: a halt.
UNACKED_LEASE_MS_MAX: Final = 2_000
UNACKED_HALT_MS_MAX: Final = 5_000
#: Free bytes under the home below which nothing new is opened.
FREE_BYTES_MIN: Final = 256 * 1024 * 1024
#: How far the wall clock may have moved against the clock since boot: beyond it nothing new is opened; is shown.
DRIFT_NS_MAX: Final = 5_000_000_000
DRIFT_NS_SHOWN: Final = 1_000_000_000
ARMED_STATES: Final[tuple[ChainState, ...]] = ("ACTIVE", "REDUCING")
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class VitalSigns:
    """What the watchdog can see at one moment.

    Args:
        state: the chain's state.
        permission: why no arm record stands that is valid now; None when one does.
        origin: why the running processes are not known to be those the chain was armed with; None when they are.
        liveness: all pulses.
        critical: the services without which nothing is traded.
        build: this process's build.
        now_ns: time since boot.
        drift_ns: how far the wall clock has moved against it since the watchdog's start.
        free_bytes: free space under the home.
    """

    state: ChainState
    permission: str | None
    origin: str | None
    liveness: Liveness
    critical: tuple[ServiceName, ...]
    build: str
    now_ns: int
    drift_ns: int
    free_bytes: int

    def lease_refusal(self) -> str | None:
        """Return the first condition of a lease that is not met, in words; None when all are."""
        if self.state not in ARMED_STATES:
            return f"the chain is {self.state}"
        return self.permission or self._service_fault() or self.origin or self._machine_fault()

    def halts(self) -> list[tuple[str, str]]:
        """Return what must halt an armed chain now, as (rule, detail)."""
        if self.state not in ARMED_STATES:
            return []
        found = [*self._silence(), *self._stuck()]
        others = self.liveness.of_other_build(self.critical, self.build)
        if others:
            found.append(("mixed_build", mixed_build_words(self.liveness, others, self.build)))
        if self.free_bytes < FREE_BYTES_MIN:
            found.append(("disk_full", disk_words(self.free_bytes)))
        return found

    def warnings(self) -> list[str]:
        """Return what does not stop anything yet but should be looked at."""
        if DRIFT_NS_SHOWN < abs(self.drift_ns) <= DRIFT_NS_MAX:
            return [drift_words(self.drift_ns)]
        return []

    def _service_fault(self) -> str | None:
        live = self.liveness
        for name in self.critical:
            age_ms = live.age_ms(name, self.now_ns)
            if age_ms is None:
                return f"{name} has not been heard yet"
            if live.pulses[name].beat.ends:
                return f"{name} was stopped"
            if age_ms > live.timeout_ms:
                return f"no heartbeat from {name} for {age_ms} ms"
        others = live.of_other_build(self.critical, self.build)
        if others:
            return mixed_build_words(live, others, self.build)
        return self._unreconciled() or self._slow()

    def _unreconciled(self) -> str | None:
        beat = live.beat if (live := self.liveness.pulses.get("execution")) else None
        if beat is None or beat.reconciled_ms < 0:
            return "execution has not found itself in agreement with the broker"
        age_ms = beat.reconciled_ms + (self.liveness.age_ms("execution", self.now_ns) or 0)
        if age_ms > RECONCILED_MS_MAX:
            return f"execution last agreed with the broker {age_ms // 1000} s ago; 60 s are allowed"
        return None

    def _slow(self) -> str | None:
        slow = self.liveness.stuck(self.critical, UNACKED_LEASE_MS_MAX)
        return f"messages of {' and '.join(slow)} are not acknowledged for over 2 s" if slow else None

    def _machine_fault(self) -> str | None:
        if self.free_bytes <= FREE_BYTES_MIN:
            return disk_words(self.free_bytes)
        return drift_refusal(self.drift_ns)

    def _silence(self) -> list[tuple[str, str]]:
        silent = self.liveness.silent(self.critical, self.now_ns)
        stopped = [name for name in self.liveness.ended(self.critical) if name in silent]
        dead = [name for name in silent if name not in stopped]
        found = []
        if stopped:
            names = " and ".join(stopped)
            found.append(("service_stopped", f"{names} {_was(stopped)} stopped while the chain was armed"))
        if dead:
            ages = ", ".join(f"{name} ({self.liveness.age_ms(name, self.now_ns)} ms)" for name in dead)
            found.append(("service_silent", f"no heartbeat from {ages}: dead or frozen"))
        return found

    def _stuck(self) -> list[tuple[str, str]]:
        stuck = self.liveness.stuck(self.critical, UNACKED_HALT_MS_MAX)
        detail = f"messages of {' and '.join(stuck)} are not acknowledged for over 5 s"
        return [("message_stuck", detail)] if stuck else []


def mixed_build_words(liveness: Liveness, others: tuple[ServiceName, ...], build: str) -> str:
    """Return which services run another build than the watchdog."""
    named = ", ".join(f"{name} ({liveness.pulses[name].beat.build})" for name in others)
    return f"another build than the watchdog's ({build}) runs in {named}: restart the whole chain"


def disk_words(free_bytes: int) -> str:
    """Return how little space there is and what to do."""
    return f"the disk of the home is nearly full: {free_bytes >> 20} MiB free, {FREE_BYTES_MIN >> 20} are needed"


def drift_refusal(drift_ns: int) -> str | None:
    """Return why nothing may be opened, and the chain not be armed, with a wall clock that was set so far; or None."""
    if abs(drift_ns) <= DRIFT_NS_MAX:
        return None
    return f"{drift_words(drift_ns)}; set the machine's time right, then restart the watchdog"


def drift_words(drift_ns: int) -> str:
    """Return how far the wall clock has moved."""
    return f"the wall clock was set by {drift_ns / _NS_PER_MS / 1000:+.1f} s since the watchdog started"


def _was(names: list[ServiceName]) -> str:
    return "was" if len(names) == 1 else "were"
