"""One simulated host: its clocks, its chance, and what happens next. Nothing here knows what a service is."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
#: 2025-03-12 13:00 UTC, an hour after this host was booted.
_UTC_AT_START: Final = 1_741_784_400 * SECOND
_BOOT_AT_START: Final = 3_600 * SECOND


class SimulatedCrash(BaseException):
    """kill -9: no handler of the program may see it, so it is no Exception."""


@dataclass
class Span:
    """A time on a host in boot nanoseconds; `until_ns` 0 = it is not over."""

    since_ns: int
    until_ns: int = 0


class Host:
    """A fake clock and a queue of events, ordered by time and then by the order in which they were planned.

    An event may spend time (a broker that answers late); the clock then shows that event its own later time, while
    others go on from theirs, as on a host with several cores.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.digest = 0
        self.events = 0
        self._now = _BOOT_AT_START
        self._set_by = 0
        self._planned = 0
        self._queue: list[tuple[int, int, str, Callable[[], None]]] = []

    def boot_ns(self) -> int:
        return self._now

    def utc_ns(self) -> int:
        return self._now - _BOOT_AT_START + _UTC_AT_START + self._set_by

    def set_wall_clock(self, by_ns: int) -> None:
        """Move the wall clock as somebody with the right to do so, or a time service, would; boot time goes on."""
        self.note(f"wall clock set by {by_ns}")
        self._set_by += by_ns

    def spend(self, ns: int) -> None:
        self._now += ns

    def at(self, when_ns: int, label: str, action: Callable[[], None]) -> None:
        self._planned += 1
        heapq.heappush(self._queue, (when_ns, self._planned, label, action))

    def after(self, delay_ns: int, label: str, action: Callable[[], None]) -> None:
        self.at(self._now + delay_ns, label, action)

    def between(self, low_ns: int, high_ns: int) -> int:
        return low_ns + int(self.rng.random() * (high_ns - low_ns))

    def chance(self, probability: float) -> bool:
        """Draw; a probability of nothing draws nothing, so that it costs nothing."""
        return probability > 0 and self.rng.random() < probability

    def note(self, text: str) -> None:
        """Mix something that happened into the hash of this run."""
        self.digest = crc32(f"{self._now}{text}".encode(), self.digest)

    def run_until(self, end_ns: int) -> None:
        """Let everything happen that is planned before this moment."""
        queue = self._queue
        while queue and queue[0][0] < end_ns:
            self._now, _, label, action = heapq.heappop(queue)
            self.events += 1
            self.note(label)
            action()
        self._now = end_ns
