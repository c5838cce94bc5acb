"""Every execution of the session at the broker against the journal: what no newest id can show.

The usual look asks for what came after the newest execution that is booked. One that the broker reports late, under an
id before that, or that it takes back, is only seen by comparing all of them. What the broker says itself that it took
back or corrected is asked for at the same time.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from bus import messages as m
from services.execution import failpoints as points
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.recovery import Recovery, broker_halt
from services.execution.state import ExecutionState

#: How often everything is compared, in nanoseconds of boot time, beside the start, a gap, a reconnect and the close.
EVERY_NS: Final = 300_000_000_000
#: What the broker does not list any more is looked for again after this; only then it contradicts us.
_AGAIN_NS: Final = 30_000_000_000
_KEY: Final = "the executions of the session"
_TEXT_MAX: Final = 400
_log = logging.getLogger(__name__)


class DropCopy:
    """Compares the session's executions.

    Args:
        broker: who is asked.
        recovery: keeps when the broker is asked again after no answer.
        clock: boot time.
    """

    def __init__(self, broker: Broker, recovery: Recovery, clock: Callable[[], int]) -> None:
        self._broker = broker
        self._recovery = recovery
        self._boot_ns = clock
        self._due_ns = 0
        #: The session whose close was answered by a comparison.
        self._closed = ""
        self._gone: frozenset[str] = frozenset()

    def soon(self) -> None:
        """Compare at the next opportunity: the process stood still, or the broker was away."""
        self._due_ns = 0

    def look(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Report what the journal lacks, and what the broker does not list any more; nothing while it is not time."""
        plan = state.plan
        if plan is None or self._recovery.is_behind or not self._recovery.is_due(_KEY):
            return ()
        is_over = now_ns >= plan.close_ns and self._closed != plan.session_date
        if self._boot_ns() < self._due_ns and not is_over:
            return ()
        # Where nothing is booked in this session, the usual look asks for all of it.
        has_booked = state.session_execution_id != state.last_execution_id
        try:
            with points.DROP_COPY:
                # What was booked in the session before may be taken back in this one.
                reversals = self._broker.reversals(state.booked_ids, now_ns)
                fills = self._broker.executions_after(state.session_execution_id, now_ns) if has_booked else ()
        except (RetryableBrokerError, StopTradingError) as error:
            halts = (broker_halt(error, now_ns),) if isinstance(error, StopTradingError) else ()
            return (*self._recovery.again(_KEY, error, now_ns), *halts)
        self._recovery.settled(_KEY)
        self._due_ns = self._boot_ns() + EVERY_NS
        if now_ns >= plan.close_ns:
            self._closed = plan.session_date
        if reversals:
            # What is taken back need not be listed any more: the lists are compared once it is booked.
            self._due_ns = 0
            return reversals
        if not has_booked:
            return ()
        missing = [fill for fill in fills if _is_missing(state, fill)]
        if missing:
            _log.warning("the journal lacked %d execution(s) that the broker lists", len(missing))
        return (*missing, *self._taken_back(state, {fill.execution_id for fill in fills}, now_ns))

    def _taken_back(self, state: ExecutionState, listed: set[str], now_ns: int) -> Sequence[m.Message]:
        booked = state.session_execution_ids
        gone = frozenset(booked - listed)
        is_sure = gone & self._gone
        self._gone = gone
        if not gone:
            return ()
        if not is_sure:
            self._due_ns = self._boot_ns() + _AGAIN_NS
            return ()
        names = ", ".join(sorted(is_sure))
        detail = f"the broker does not list executions any more that are booked: {names}"[:_TEXT_MAX]
        return (r.BooksDisagree(ts_event=now_ns, ts_init=now_ns, detail=detail),)


def _is_missing(state: ExecutionState, fill: r.BrokerFill) -> bool:
    order = state.find(fill.client_order_id)
    return order is not None and fill.execution_id not in order.execution_ids
