"""What a loop does every so often, by the boot clock."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Timer:
    """One action and its rhythm; times are boot nanoseconds."""

    every_ns: int
    action: Callable[[], None]
    due_ns: int = 0

    def run(self, now_ns: int) -> None:
        """Act when it is time."""
        if now_ns >= self.due_ns:
            self.due_ns = now_ns + self.every_ns
            self.action()


class Timers:
    """All timers of one loop; looking at them costs one comparison while none is due."""

    def __init__(self, *timers: Timer) -> None:
        self._timers = timers
        self._next_ns = 0

    def run(self, now_ns: int) -> None:
        """Do what is due."""
        if now_ns < self._next_ns:
            return
        for timer in self._timers:
            timer.run(now_ns)
        self._next_ns = min(timer.due_ns for timer in self._timers)
