"""Lock-step replay: the next market message goes out when everybody has finished the one before."""

from collections.abc import Iterator
from typing import Final

from bus.messages import FeedEnded, MarketMessage

REPEAT_NS: Final = 400_000_000


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
        self._not_before = 0

    @property
    def has_ended(self) -> bool:
        """Tell whether the last message was published and finished by everybody."""
        return isinstance(self._current, FeedEnded) and self._is_finished

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
        if isinstance(self._current, FeedEnded) or now_ns < self._not_before:
            return None
        before = self._current
        self._current = next(self._feed, None)
        if self._current is None:
            raise RuntimeError("the feed ended without a FeedEnded message")
        self._is_finished = False
        self._sent_at = now_ns
        if self._speed and before is not None:
            gap_ns = max(0, self._current.ts_event - before.ts_event) // self._speed
            # The pace is kept from message to message; time lost to a slow chain is not made up in a burst.
            self._not_before = now_ns + gap_ns
        return self._current
