"""Lock-step replay: the next market message goes out when everybody has finished the one before."""

from collections.abc import Iterator
from typing import Final

from bus.messages import FeedEnded, MarketMessage

REPEAT_NS: Final = 400_000_000
#: Being this late or less is made up by the following messages; a longer stall is not, or they would come in a burst.
_LATE_NS: Final = 100_000_000


class FeedDriver:
    """Paces one session's market data; times are boot nanoseconds.

    Args:
        feed: every message of the session, in order, numbered from 1.
        speed: how many times faster than real time; 0 = as fast as the chain goes.
    """

    def __init__(self, feed: Iterator[MarketMessage], speed: int) -> None:
        self._feed = feed
        self._speed = speed
        self._current: MarketMessage | None = None
        self._is_finished = True
        self._sent_at = 0
        self._scheduled_at = 0

    @property
    def has_ended(self) -> bool:
        """Tell whether the last message was published and finished by everybody."""
        return isinstance(self._current, FeedEnded) and self._is_finished

    def wait_ns(self, now_ns: int) -> int:
        """Return how long there is nothing to publish, for the loop that waits; 0 = look now."""
        if self.has_ended:
            return REPEAT_NS
        at = self._scheduled_at if self._is_finished else self._sent_at + REPEAT_NS
        return max(0, at - now_ns)

    def heard_mark(self, step: int) -> None:
        """Note that the chain has finished a step."""
        if self._current is not None and step >= self._current.step:
            self._is_finished = True

    def due(self, now_ns: int) -> MarketMessage | None:
        """Return what to publish now: the next message, the present one again, or nothing yet."""
        if not self._is_finished:
            if now_ns - self._sent_at < REPEAT_NS:
                return None
            self._sent_at = now_ns
            return self._current
        if isinstance(self._current, FeedEnded) or now_ns < self._scheduled_at:
            return None
        published = self._current
        self._current = next(self._feed, None)
        if self._current is None:
            raise RuntimeError("the feed ended without a FeedEnded message")
        self._is_finished = False
        self._sent_at = now_ns
        if self._speed:
            gap_ns = max(0, self._current.ts_event - published.ts_event) if published else 0
            self._scheduled_at = max(self._scheduled_at, now_ns - _LATE_NS) + gap_ns // self._speed
        return self._current
