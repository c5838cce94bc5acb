"""Liveness, pure: who was heard when, who is dead, frozen or stopped, who came back as another process."""

from dataclasses import dataclass, field
from typing import Final

from bus.messages import Heartbeat, ServiceHealth, ServiceName

_NS_PER_MS = 1_000_000
#: A service that is restarted more often than this within the time loops: restarting it again does not help.
CRASH_LOOP_RESTARTS_MAX: Final = 3
CRASH_LOOP_NS: Final = 60_000_000_000
CANNOT_START: Final = "cannot start"


@dataclass
class Pulse:
    """The newest heartbeat of one service and when it was heard, in boot nanoseconds."""

    beat: Heartbeat
    heard_ns: int
    restarts: int = 0
    #: When it was heard as another process, the newest last; no more than a crash loop needs.
    restarted_ns: tuple[int, ...] = ()


@dataclass
class Liveness:
    """All pulses of the chain.

    Args:
        timeout_ms: HEARTBEAT_TIMEOUT; a service silent for longer is dead or frozen.
    """

    timeout_ms: int
    pulses: dict[ServiceName, Pulse] = field(default_factory=dict)

    def hear(self, beat: Heartbeat, now_ns: int) -> bool:
        """Note a heartbeat; return True when this service is another process than before."""
        before = self.pulses.get(beat.service)
        is_restart = before is not None and before.beat.boot_id != beat.boot_id
        restarts = (before.restarts if before else 0) + is_restart
        times = (before.restarted_ns if before else ()) + ((now_ns,) if is_restart else ())
        self.pulses[beat.service] = Pulse(beat, now_ns, restarts, times[-CRASH_LOOP_RESTARTS_MAX - 1 :])
        return is_restart

    def is_crash_loop(self, service: ServiceName, now_ns: int) -> bool:
        """Tell whether a service was restarted more than CRASH_LOOP_RESTARTS_MAX times within CRASH_LOOP_NS."""
        pulse = self.pulses.get(service)
        recent = [at for at in pulse.restarted_ns if now_ns - at <= CRASH_LOOP_NS] if pulse else []
        return len(recent) > CRASH_LOOP_RESTARTS_MAX

    def boot_ids(self, services: tuple[ServiceName, ...], now_ns: int) -> dict[ServiceName, str]:
        """Return which process of each service is alive; those silent, stopped or never heard are not in it."""
        gone = {*self.silent(services, now_ns), *self.ended(services)}
        return {name: self.pulses[name].beat.boot_id for name in services if name not in gone}

    def ended(self, services: tuple[ServiceName, ...]) -> tuple[ServiceName, ...]:
        """Return those whose last heartbeat said that they were told to stop."""
        return tuple(name for name in services if name in self.pulses and self.pulses[name].beat.ends)

    def of_other_build(self, services: tuple[ServiceName, ...], build: str) -> tuple[ServiceName, ...]:
        """Return those heard with another build than this."""
        return tuple(name for name in services if name in self.pulses and self.pulses[name].beat.build != build)

    def failed(self, services: tuple[ServiceName, ...]) -> tuple[ServiceName, ...]:
        """Return those that say they cannot start."""
        return tuple(
            name for name in services if name in self.pulses and self.pulses[name].beat.state.startswith(CANNOT_START)
        )

    def age_ms(self, service: ServiceName, now_ns: int) -> int | None:
        """Return how long ago a service was heard; None = never."""
        pulse = self.pulses.get(service)
        return (now_ns - pulse.heard_ns) // _NS_PER_MS if pulse else None

    def silent(self, services: tuple[ServiceName, ...], now_ns: int) -> tuple[ServiceName, ...]:
        """Return those that were never heard or not within the time-out."""
        return tuple(name for name in services if (age := self.age_ms(name, now_ns)) is None or age > self.timeout_ms)

    def stuck(self, services: tuple[ServiceName, ...], unacked_ms_max: int) -> tuple[ServiceName, ...]:
        """Return those whose oldest message has waited longer than this for its acknowledgement."""
        return tuple(
            name
            for name in services
            if name in self.pulses and self.pulses[name].beat.oldest_unacked_ms > unacked_ms_max
        )

    def unready(self, services: tuple[ServiceName, ...], build: str, now_ns: int) -> str | None:
        """Return in words why the chain cannot be armed yet, or None when every service is ready.

        Ready = heard in time, of this build, with its work done: nothing unacknowledged, no failure.
        """
        for name in services:
            pulse = self.pulses.get(name)
            if pulse is None:
                return f"{name} has not been heard yet"
            if pulse.beat.ends:
                return f"{name} was stopped"
            if (now_ns - pulse.heard_ns) // _NS_PER_MS > self.timeout_ms:
                return f"{name} is silent for {(now_ns - pulse.heard_ns) // _NS_PER_MS} ms"
            if pulse.beat.build != build:
                return f"{name} runs another build ({pulse.beat.build}) than the watchdog ({build}): restart the chain"
            if pulse.beat.state != "ready":
                return f"{name}: {pulse.beat.state}"
            if pulse.beat.outbox_depth:
                return f"{name} waits for {pulse.beat.outbox_depth} message(s) to be acknowledged"
        return None

    def table(self, services: tuple[ServiceName, ...], now_ns: int) -> tuple[ServiceHealth, ...]:
        """Return one line for each service, for people."""
        return tuple(self._line(name, now_ns) for name in services)

    def _line(self, name: ServiceName, now_ns: int) -> ServiceHealth:
        pulse = self.pulses.get(name)
        if pulse is None:
            return ServiceHealth(
                service=name,
                status="never seen",
                pid=0,
                age_ms=0,
                restarts=0,
                step=0,
                outbox_depth=0,
                detail="not started yet",
            )
        age_ms = (now_ns - pulse.heard_ns) // _NS_PER_MS
        is_late = age_ms > self.timeout_ms
        is_down = pulse.beat.ends or age_ms > 4 * self.timeout_ms
        return ServiceHealth(
            service=name,
            status="down" if is_down else "stale" if is_late else "up",
            pid=pulse.beat.pid,
            age_ms=age_ms,
            restarts=pulse.restarts,
            step=pulse.beat.step,
            outbox_depth=pulse.beat.outbox_depth,
            detail=f"silent for {age_ms} ms" if is_late and not pulse.beat.ends else _detail(pulse.beat),
            market_holes=pulse.beat.market_holes,
        )


def _detail(beat: Heartbeat) -> str:
    if beat.ends:
        return "was stopped"
    messages, connections = beat.rejected_messages, beat.refused_connections
    words = [
        beat.state,
        *([f"refused {messages} message(s)"] if messages else []),
        *([f"refused {connections} connection(s) with an unknown key"] if connections else []),
        *([f"dropped {beat.dropped_messages} broadcast(s) while it waited"] if beat.dropped_messages else []),
        *([f"missed market data {beat.market_holes} time(s)"] if beat.market_holes else []),
        *([beat.remark] if beat.remark else []),
    ]
    return "; ".join(words)[:400]
