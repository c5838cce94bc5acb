"""How many calls may be made: so many in any minute and so many in any second, whenever either one begins."""

from collections import deque
from collections.abc import Callable
from typing import Final

NS_PER_SECOND: Final = 1_000_000_000
NS_PER_MINUTE: Final = 60 * NS_PER_SECOND
_WAITS_MAX: Final = 1_000


class CallBudget:
    """Wait until one more call keeps both limits.

    A bucket that is refilled evenly would let a full bucket and its refill through in one minute, twice the limit; so
    the times of the last calls are kept instead.

    Args:
        per_minute: the most calls in any 60 seconds.
        per_second: the most calls in any second.
        now_ns: a clock that never goes back, in nanoseconds.
        sleep: waits for so many seconds; what it raises ends the wait.
    """

    def __init__(
        self, per_minute: int, per_second: int, *, now_ns: Callable[[], int], sleep: Callable[[float], object]
    ) -> None:
        self._windows = ((per_minute, NS_PER_MINUTE), (per_second, NS_PER_SECOND))
        self._made: deque[int] = deque(maxlen=max(per_minute, per_second))
        self._now_ns = now_ns
        self._sleep = sleep

    def take(self) -> None:
        """Wait as long as it takes, then count one call.

        Raises:
            RuntimeError: the clock stands still while this waits.
        """
        for _ in range(_WAITS_MAX):
            wait_ns = self.wait_ns()
            if wait_ns <= 0:
                self._made.append(self._now_ns())
                return
            self._sleep(wait_ns / NS_PER_SECOND)
        raise RuntimeError("The clock of the call budget stands still: no call was made.")

    def wait_ns(self) -> int:
        """Return how long the next call has to wait; 0 or less = not at all."""
        now = self._now_ns()
        waits = [self._made[-calls] + window_ns - now for calls, window_ns in self._windows if len(self._made) >= calls]
        return max(waits, default=0)
