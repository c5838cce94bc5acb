"""The broker's clock against ours, and its market against our plan: who differs must not enter.

Source: the failure catalogue, F55 and F57: more than 1 s is shown, more than 5 s keeps the chain from trading; plan
and broker have to agree on whether the market is open.
"""

import logging
from collections.abc import Callable
from typing import Final

from bus.clock import utc_ns
from bus.messages import SessionPlanned
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError

#: How often the clocks are compared, in nanoseconds of boot time; sooner after a question without an answer.
COMPARE_EVERY_NS: Final = 60_000_000_000
_AGAIN_NS: Final = 5_000_000_000
SHOWN_NS: Final = 1_000_000_000
REFUSED_NS: Final = 5_000_000_000
#: For so long after the open the broker may still say that the market is closed.
OPEN_GRACE_NS: Final = 60_000_000_000
_log = logging.getLogger(__name__)


class BrokerClockWatch:
    """Compares, and says in words what does not fit.

    Args:
        broker: who is asked; an embedded one has no clock of its own, and there is nothing to compare.
        clock: boot time.
        wall_clock: this machine's UTC, in nanoseconds since 1970.
    """

    def __init__(self, broker: Broker, clock: Callable[[], int], wall_clock: Callable[[], int] = utc_ns) -> None:
        self._broker = broker
        self._boot_ns = clock
        self._wall_ns = wall_clock
        self._due_ns = 0
        #: How far the broker's clock is certainly ahead of ours; below zero when it is behind.
        self._skew_ns = 0
        self._closed_words = ""

    def compare(self, plan: SessionPlanned | None, now_ns: int) -> None:
        """Ask the broker when it is time. One that does not answer proves nothing: what was known stands."""
        if self._boot_ns() < self._due_ns:
            return
        before_ns = self._wall_ns()
        try:
            said = self._broker.clock(now_ns)
        except (RetryableBrokerError, StopTradingError) as error:
            _log.warning("the broker did not say what time it is: %s", error)
            self._due_ns = self._boot_ns() + _AGAIN_NS
            return
        after_ns = self._wall_ns()
        self._due_ns = self._boot_ns() + COMPARE_EVERY_NS
        if said is None:
            return
        # The answer was made at some moment of the question's way: only what is beyond it is certain.
        self._skew_ns = max(said.utc_ns - after_ns, 0) or min(said.utc_ns - before_ns, 0)
        self._closed_words = ""
        if plan is None or not plan.is_trading_day or said.is_open:
            return
        if plan.open_ns + OPEN_GRACE_NS <= said.utc_ns < plan.close_ns:
            self._closed_words = f"the broker holds the market to be closed, the plan of {plan.session_date} to be open"

    @property
    def is_off(self) -> bool:
        """Tell whether the clocks are so far apart that nothing may be traded."""
        return abs(self._skew_ns) > REFUSED_NS

    def entry_refusal(self) -> str | None:
        """Return why nothing may be entered, in words for people; None when it may."""
        return self._skew_words() if self.is_off else self._closed_words or None

    def words(self) -> str:
        """Return what does not fit, for people; empty when everything does."""
        skew = self._skew_words() if abs(self._skew_ns) > SHOWN_NS else ""
        closed = f"{self._closed_words}: no entries" if self._closed_words else ""
        return "; ".join(filter(None, (skew, closed)))

    def _skew_words(self) -> str:
        way = "behind" if self._skew_ns > 0 else "ahead of"
        ms = abs(self._skew_ns) // 1_000_000
        stop = ": set the machine's time right before the chain is armed" if self.is_off else ""
        return f"this machine's clock is {ms} ms {way} the broker's{stop}"
