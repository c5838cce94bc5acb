"""The broker's own refusal of new orders after a halt: because any check before a write leaves a gap.

While it is up a broker may refuse every new order, also one that only lowers exposure. So it is let down for as long
as a stop or an exit of ours waits to be sent, and before the first entry after an operator has armed.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from bus import messages as m
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.recovery import broker_halt

#: A broker that was not reached is told again after these, in nanoseconds of boot time; the last one repeats.
#: Source: the failure catalogue, F75: with back-off, at most 10 s apart.
BACK_OFF_NS: Final = tuple(int(seconds * 1_000_000_000) for seconds in (0.5, 1, 2, 5, 10))
_log = logging.getLogger(__name__)


class Fence:
    """Tells the broker, and remembers what it was told in this process.

    Args:
        broker: who is told.
        clock: boot time.
    """

    def __init__(self, broker: Broker, clock: Callable[[], int]) -> None:
        self._broker = broker
        self._boot_ns = clock
        #: What the broker was told last; None = nothing in this process, so it may still be as an earlier one left it.
        self._is_up: bool | None = None
        self._is_wanted: bool | None = None
        self._tries = 0
        self._due_ns = 0

    @property
    def is_down(self) -> bool:
        """Tell whether the broker certainly takes new orders."""
        return self._is_up is False

    def put(self, *, is_up: bool, now_ns: int) -> Sequence[m.Message]:
        """Tell the broker, where it was not told that already and it is time; it may have to be tried again."""
        if self._is_wanted is not is_up:
            self._is_wanted, self._tries, self._due_ns = is_up, 0, 0
        if self._is_up is is_up or self._boot_ns() < self._due_ns:
            return ()
        try:
            self._broker.fence(is_up=is_up, now_ns=now_ns)
        except (RetryableBrokerError, StopTradingError) as error:
            self._is_up = None
            self._tries += 1
            self._due_ns = self._boot_ns() + BACK_OFF_NS[min(self._tries, len(BACK_OFF_NS)) - 1]
            _log.warning("the broker's fence could not be put %s (try %d): %s", _way(is_up=is_up), self._tries, error)
            return (broker_halt(error, now_ns),) if isinstance(error, StopTradingError) else ()
        self._is_up, self._tries = is_up, 0
        return ()

    def words(self) -> str:
        """Return what is not confirmed, for people; empty when nothing is."""
        if self._is_wanted is None or self._is_up is self._is_wanted:
            return ""
        wish = "to refuse new orders" if self._is_wanted else "to take new orders again"
        return f"NOT CONFIRMED: the broker could not be told {wish} ({self._tries} tries)"


def _way(*, is_up: bool) -> str:
    return "up" if is_up else "down"
