"""How many requests Alpaca is sent a minute: a limit for each purpose, so that a cancel always finds room."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Literal

from bus.clock import NS_PER_MINUTE, NS_PER_SECOND

Purpose = Literal["entry", "query", "exit"]

#: Source: Alpaca "Usage limits", docs.alpaca.markets, read 2026-11: 200 requests a minute for each account.
REQUESTS_A_MINUTE: Final = 200
#: What each purpose may bring the last minute's requests to. `exit` is every cancel and every order that reduces.
LIMITS: Final[Mapping[Purpose, int]] = {"entry": 150, "query": 170, "exit": 195}
#: Above so many requests in the last minute, answers that are a moment old are good enough.
BUSY_ABOVE: Final = 80
#: What a 429 costs at least, and at most, whatever the server's clock says. In nanoseconds of boot time.
PAUSE_NS_MIN: Final = NS_PER_SECOND
PAUSE_NS_MAX: Final = 70 * NS_PER_SECOND
_RESET_NS_MAX: Final = 2**62


class Budget:
    """Counts the requests of the last minute.

    Args:
        boot_ns: boot time, by which requests are counted.
        utc_ns: the wall clock, which the server's X-RateLimit-Reset is compared with.
    """

    def __init__(self, boot_ns: Callable[[], int], utc_ns: Callable[[], int]) -> None:
        self._boot_ns = boot_ns
        self._utc_ns = utc_ns
        self._sent: deque[int] = deque()
        self._paused_until_ns = 0

    def wait_ns(self, purpose: Purpose) -> int:
        """Return how long a request has to wait, and count it when that is 0."""
        now = self._boot_ns()
        self._forget(now)
        # A pause that the server asked for holds up all but what makes the account safer.
        if purpose != "exit" and now < self._paused_until_ns:
            return self._paused_until_ns - now
        limit = LIMITS[purpose]
        if len(self._sent) >= limit:
            return self._sent[len(self._sent) - limit] + NS_PER_MINUTE - now
        self._sent.append(now)
        return 0

    @property
    def is_busy(self) -> bool:
        """Tell whether much of the minute's budget is used."""
        self._forget(self._boot_ns())
        return len(self._sent) > BUSY_ABOVE

    def heard(self, status: int, headers: Mapping[str, str]) -> int:
        """Take what the server says of its limit; return for how long it asks to wait, 0 = not at all."""
        if status != 429:
            return 0
        now = self._boot_ns()
        wait_ns = max(PAUSE_NS_MIN, min(PAUSE_NS_MAX, self._asked_ns(headers)))
        self._paused_until_ns = max(self._paused_until_ns, now + wait_ns)
        return wait_ns

    def _asked_ns(self, headers: Mapping[str, str]) -> int:
        """Return the longer of Retry-After (seconds) and X-RateLimit-Reset (seconds since 1970)."""
        after_ns = _seconds(headers.get("retry-after", "")) * NS_PER_SECOND
        reset = _seconds(headers.get("x-ratelimit-reset", ""))
        until_ns = reset * NS_PER_SECOND - self._utc_ns() if reset else 0
        return min(_RESET_NS_MAX, max(after_ns, until_ns))

    def _forget(self, now: int) -> None:
        while self._sent and self._sent[0] <= now - NS_PER_MINUTE:
            self._sent.popleft()


def _seconds(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
