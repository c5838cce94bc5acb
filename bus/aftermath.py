"""What is done after an order is on its way: acknowledgements, log lines, what the status topic shows.

Nobody trades on any of it, and services share processors: so it is put off until nothing that trades has come for a
moment, and no longer than a bound. Pure timing is in `Rush`; what is put off is in `Aftermath`.
"""

import logging
from collections.abc import Callable
from typing import Final

from bus.clock import boot_ns
from bus.codec import encode_message
from bus.courier import Courier
from bus.messages import Message, ServiceName
from bus.routes import is_told_by
from bus.transport import TOPIC_STATUS, Transport

#: A rush is over when nothing that trades has come for so many nanoseconds.
QUIET_NS: Final = 2_000_000
#: What is put off waits no longer than this, however long the rush goes on. A sender repeats after 250 ms.
LONGEST_NS: Final = 20_000_000

_log = logging.getLogger(__name__)


class Rush:
    """Whether messages that trade keep coming; times are boot nanoseconds."""

    def __init__(self) -> None:
        self._began_ns = 0
        self._newest_ns = 0

    @property
    def goes_on(self) -> bool:
        """Tell whether something is put off."""
        return self._began_ns > 0

    def comes(self, now_ns: int) -> None:
        """Note something that trades, or the first of what is put off."""
        self._began_ns = self._began_ns or now_ns
        self._newest_ns = now_ns

    def is_over(self, now_ns: int) -> bool:
        """Tell whether what was put off is due."""
        return self.goes_on and (now_ns >= self._newest_ns + QUIET_NS or now_ns >= self._began_ns + LONGEST_NS)

    def ends(self) -> None:
        """Begin anew: nothing is put off."""
        self._began_ns = 0


class Aftermath:
    """Keeps what happened until the rush is over.

    Args:
        name: which service this is.
        sockets: what carries its messages.
        changed: called when the status topic should show something new.
    """

    def __init__(self, name: ServiceName, sockets: Transport, changed: Callable[[], None]) -> None:
        #: Committed events that were not told yet.
        self.events: list[Message] = []
        self._name: ServiceName = name
        self._sockets = sockets
        self._changed = changed
        self._rush = Rush()

    def wait_ms(self, longest_ms: int) -> int:
        """Return how long the loop may block, at most `longest_ms`."""
        return min(longest_ms, QUIET_NS // 1_000_000) if self._rush.goes_on else longest_ms

    def comes(self) -> None:
        """Put everything off for another moment: market data came."""
        self._rush.comes(boot_ns())

    def follows(self, courier: Courier) -> None:
        """Do what was put off, if it is time."""
        now = boot_ns()
        if courier.is_changed:
            courier.is_changed = False
            self._changed()
            self._rush.comes(now)
        elif not self._rush.goes_on and (self.events or courier.owes):
            self._rush.comes(now)
        if self._rush.is_over(now):
            self.ends(courier)

    def ends(self, courier: Courier) -> None:
        """Acknowledge, log and publish now."""
        self._rush.ends()
        courier.acknowledge()
        for line in courier.heard:
            _log.info("%s", line)
        for event in self.events:
            _log.info("%s", event)
            if is_told_by(self._name, type(event)):
                self._sockets.publish(TOPIC_STATUS, encode_message(event))
        courier.heard.clear()
        self.events.clear()
