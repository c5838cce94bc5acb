"""Who has taken the newest halt, pure: noted from the halt counter of each service's heartbeat."""

from bus.heartbeat import Liveness
from bus.messages import ServiceName

_NS_PER_MS = 1_000_000


class HaltAcks:
    """The newest halt and when each service acted on it.

    Args:
        services: who has to.
    """

    def __init__(self, services: tuple[ServiceName, ...]) -> None:
        self._services = services
        self._counter = 0
        self._raised_ns = 0
        self._taken_ns: dict[ServiceName, int] = {}
        self._is_told = False

    def note_halt(self, counter: int, now_ns: int) -> None:
        """Begin to wait for a halt that is newer than the one known."""
        if counter > self._counter:
            self._counter, self._raised_ns, self._is_told = counter, now_ns, False
            self._taken_ns = {}

    def note_beats(self, liveness: Liveness, now_ns: int) -> str | None:
        """Take what the heartbeats say; return the line for the log when the last service has acknowledged, once."""
        for name in self._services:
            pulse = liveness.pulses.get(name)
            if pulse and self._counter and pulse.beat.halt_counter >= self._counter and not pulse.beat.ends:
                self._taken_ns.setdefault(name, now_ns)
        if not self._counter or self._is_told or self._waiting():
            return None
        self._is_told = True
        times = ", ".join(f"{name} {(at - self._raised_ns) // _NS_PER_MS} ms" for name, at in self._taken_ns.items())
        total = len(self._services)
        return f"halt {self._counter} acknowledged by all {total} services after {self.took_ms()} ms ({times})"

    def took_ms(self) -> int:
        """Return how long the slowest of those that acknowledged took, in milliseconds."""
        return (max(self._taken_ns.values(), default=self._raised_ns) - self._raised_ns) // _NS_PER_MS

    def words(self, counter: int) -> str:
        """Return how far the acknowledgement of this halt is; empty when it is not the one waited for."""
        if counter == 0 or counter != self._counter:
            return ""
        total, waiting = len(self._services), self._waiting()
        if not waiting:
            return f"Halt {counter} acknowledged by all {total} services."
        return (
            f"Halt {counter} acknowledged by {total - len(waiting)} of {total} services "
            f"(waiting for {', '.join(waiting)})."
        )

    def _waiting(self) -> list[ServiceName]:
        return [name for name in self._services if name not in self._taken_ns]
