"""What changed the account without a trade: money, and what expired, was exercised or split.

It is read before the account of each session is reported, and once after the close; each time it is one question, or a
few where there is much. What is entered in the night is heard the next morning.
"""

import logging
from collections.abc import Callable, Sequence

from bus import messages as m
from services.execution import failpoints as points
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.recovery import RETRY_NS, broker_halt
from services.execution.state import ExecutionState

_log = logging.getLogger(__name__)


class Activities:
    """Reads them after the close of each session.

    Args:
        broker: who is asked.
        clock: boot time.
    """

    def __init__(self, broker: Broker, clock: Callable[[], int]) -> None:
        self._broker = broker
        self._boot_ns = clock
        self._tries = 0
        self._due_ns = 0
        #: The session after whose close they were read.
        self._closed = ""

    def are_read(self, session_date: str) -> bool:
        """Tell whether they were read after the close of this session."""
        return self._closed == session_date

    def look(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Report every activity once the session is over; nothing before, and nothing a second time.

        A broker that does not answer is asked again: until it does, only the books wait.
        """
        plan = state.plan
        if plan is None or now_ns < plan.close_ns or self.are_read(plan.session_date):
            return ()
        if self._boot_ns() < self._due_ns:
            return ()
        try:
            with points.ACCOUNT:
                reports = self._broker.activities(now_ns)
        except RetryableBrokerError as error:
            self._tries += 1
            self._due_ns = self._boot_ns() + RETRY_NS[min(self._tries, len(RETRY_NS)) - 1]
            _log.warning("the broker did not tell the account's activities (try %d): %s", self._tries, error)
            return ()
        except StopTradingError as error:
            self._due_ns = self._boot_ns() + RETRY_NS[-1]
            return (broker_halt(error, now_ns),)
        self._tries, self._closed = 0, plan.session_date
        return [report for report in reports if report.activity_id not in state.activity_ids]
