"""Time: UTC wall time, boot time that counts suspend, and the session's time, which in replay follows the feed.

The specification calls this module utils_time; `utc_now` is its promise.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class HostClock(Protocol):
    """The two clocks of a host, in nanoseconds: wall time since 1970 UTC, and time since boot."""

    def utc_ns(self) -> int:
        """Return the wall time."""
        ...

    def boot_ns(self) -> int:
        """Return the time since boot, suspend included where the system can."""
        ...


class SystemClock:
    """This machine's clocks."""

    def utc_ns(self) -> int:
        """Return the wall time."""
        return time.time_ns()

    def boot_ns(self) -> int:
        """Return CLOCK_BOOTTIME where there is one, else the monotonic clock."""
        return time.clock_gettime_ns(_BOOT_CLOCK)


_host: HostClock = SystemClock()


@contextmanager
def on_host(clock: HostClock) -> Iterator[None]:
    """Let everything in this process read another host's clocks inside the block: a simulated one's."""
    global _host  # noqa: PLW0603 - the one clock of the process is what the simulation replaces
    before, _host = _host, clock
    try:
        yield
    finally:
        _host = before


def utc_now() -> datetime:
    """Return the wall time as an aware UTC datetime."""
    return datetime.fromtimestamp(_host.utc_ns() / NS_PER_SECOND, UTC)


def utc_ns() -> int:
    """Return the wall time in nanoseconds since 1970-01-01 UTC."""
    return _host.utc_ns()


def boot_ns() -> int:
    """Return nanoseconds since boot, suspend included where the system can (CLOCK_BOOTTIME), else monotonic."""
    return _host.boot_ns()


def iso_utc(ts_ns: int) -> str:
    """Write nanoseconds since 1970 as ISO 8601 UTC with milliseconds, such as 2013-10-08T13:30:00.000Z."""
    whole, rest = divmod(ts_ns, NS_PER_SECOND)
    stamp = datetime.fromtimestamp(whole, UTC).isoformat()[:19]
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
