"""Time: UTC wall time, boot time that counts suspend, and the session's time, which in replay follows the feed.

The specification calls this module utils_time; `utc_now` is its promise.
"""

import time
from datetime import UTC, datetime

NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def utc_now() -> datetime:
    """Return the wall time as an aware UTC datetime."""
    return datetime.now(UTC)  # noqa: TID251 - the one place that reads the wall clock as a date


def utc_ns() -> int:
    """Return the wall time in nanoseconds since 1970-01-01 UTC."""
    return time.time_ns()


def boot_ns() -> int:
    """Return nanoseconds since boot, suspend included where the system can (CLOCK_BOOTTIME), else monotonic."""
    return time.clock_gettime_ns(_BOOT_CLOCK)


def iso_utc(ts_ns: int) -> str:
    """Write nanoseconds since 1970 as ISO 8601 UTC with milliseconds, such as 2013-10-08T13:30:00.000Z."""
    whole, rest = divmod(ts_ns, NS_PER_SECOND)
    stamp = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{rest // 1_000_000:03d}Z"


class SessionClock:
    """The clock a core is given: wall time when live; in replay, the time of the newest market data heard.

    Leases, ages and time-outs never use it: they stay on `boot_ns`.
    """

    def __init__(self, *, follows_feed: bool) -> None:
        self.follows_feed = follows_feed
        self._feed_ns = 0

    def heard(self, ts_ns: int) -> None:
        """Advance to the time of market data; it never goes back."""
        self._feed_ns = max(self._feed_ns, ts_ns)

    def now_ns(self) -> int:
        """Return session time, UTC nanoseconds; 0 in replay before any data was heard."""
        return self._feed_ns if self.follows_feed else utc_ns()
