"""What the broker knows of an order: asked on a schedule, and believed only where its answer is a proof."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bus import messages as m
from services.execution import failpoints as points
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, PlannedPauseError, RetryableBrokerError, StopTradingError
from services.execution.orders import Order, is_own
from services.execution.state import ExecutionState

#: How long after each try the broker is asked again, in nanoseconds of boot time; the last one repeats.
RETRY_NS: Final = tuple(int(seconds * 1_000_000_000) for seconds in (0.5, 1, 2, 5, 10, 20, 40, 60))
#: While orders are cancelled after a halt, without leases or at the end, the broker is asked again after this at most.
HURRIED_RETRY_NS_MAX: Final = 5_000_000_000
#: An order that nobody can find or exclude for so long stops the chain.
UNKNOWN_NS_MAX: Final = 120_000_000_000
#: The key of the whole account among the orders in the table of retries.
ACCOUNT: Final = "account"
_TEXT_MAX: Final = 400
_log = logging.getLogger(__name__)


@dataclass
class _Retry:
    """When the broker is asked again, how often it was asked, and since when; boot nanoseconds."""

    due_ns: int
    first_ns: int
    tries: int = 0
    has_halted: bool = False


class Recovery:
    """Asks the broker about orders and executions, and reports to the core what is certain.

    Args:
        broker: who is asked.
        clock: boot time.
    """

    def __init__(self, broker: Broker, clock: Callable[[], int]) -> None:
        #: A whole recovery did not get every answer; it is repeated whole until it does, and nothing is sent.
        self.is_behind = False
        #: The broker is asked again sooner, because orders are being cancelled or the process ends.
        self.is_hurried = False
        #: Why the broker is away by plan, and until when it is waited for; empty while it answers or should.
        self.pause_words = ""
        #: Executions of the account that are not ours, by their ids.
        self.external_executions: set[str] = set()
        #: Orders in the bot's name that the journal lacked when an execution of them was reported.
        self._strange: set[str] = set()
        self._broker = broker
        self._boot_ns = clock
        self._retries: dict[str, _Retry] = {}
        #: Authoritative "not found" answers: client id -> (boot ns of the first, how many).
        self._absences: dict[str, tuple[int, int]] = {}

    def has_strange_executions(self, state: ExecutionState) -> bool:
        """Tell whether executions of ours were reported that the journal has no order for: it may be an older copy."""
        return bool(self._strange) and any(state.find(key) is None for key in self._strange)

    def is_due(self, key: str) -> bool:
        """Tell whether the broker may be asked about this now."""
        retry = self._retries.get(key)
        return retry is None or self._boot_ns() >= retry.due_ns

    @property
    def has_misses(self) -> bool:
        """Tell whether the broker did not find any order, and has not proven that it never had it."""
        return bool(self._absences)

    def is_missed(self, key: str) -> bool:
        """Tell whether the broker did not find an order, and has not proven that it never had it."""
        return key in self._absences

    def wait(self, key: str, for_ns: int) -> None:
        """Ask again only after this long; what was tried before does not count any more."""
        now = self._boot_ns()
        self._retries[key] = _Retry(due_ns=now + for_ns, first_ns=now)

    def settled(self, key: str) -> None:
        """Note that the broker has answered about this."""
        self.pause_words = ""
        self._retries.pop(key, None)

    def again(self, key: str, error: Exception | str, now_ns: int) -> Sequence[m.Message]:
        """Note that the broker has to be asked again; once UNKNOWN_NS_MAX has passed the chain halts as well."""
        now = self._boot_ns()
        retry = self._retries.setdefault(key, _Retry(due_ns=now, first_ns=now))
        self.pause_words = str(error) if isinstance(error, PlannedPauseError) else ""
        if isinstance(error, PlannedPauseError):
            # Nobody needs the broker now: that it does not answer counts only from when somebody does.
            retry.first_ns = now
        retry.tries += 1
        wait_ns = RETRY_NS[min(retry.tries, len(RETRY_NS)) - 1]
        if self.is_hurried:
            wait_ns = min(wait_ns, HURRIED_RETRY_NS_MAX)
        left_ns = retry.first_ns + UNKNOWN_NS_MAX - now
        retry.due_ns = now + (min(wait_ns, left_ns) if left_ns > 0 else wait_ns)
        _log.warning("the broker did not settle %s (try %d): %s", key, retry.tries, error)
        if left_ns > 0 or retry.has_halted:
            return ()
        retry.has_halted = True
        return (broker_halt(error, now_ns),)

    def recover(self, state: ExecutionState, orders: Sequence[Order], now_ns: int) -> Sequence[m.Message]:
        """Report what the broker knows of these orders, and every execution that the journal lacks.

        Executions come in the broker's order between the acceptances and the ends. So a crash while they are
        booked leaves no gap behind the newest one, and no order ends before its last fill.
        """
        before: list[m.Message] = []
        after: list[m.Message] = []
        absent: set[str] = set()
        try:
            for order in orders:
                with points.LOOKUP:
                    reports = self._broker.lookup(order.client_order_id, now_ns)
                if any(isinstance(report, r.BrokerNotFound) for report in reports):
                    absent.add(order.client_order_id)
                    continue
                for report in reports:
                    if isinstance(report, r.BrokerCancelled):
                        after.append(report)
                    elif not isinstance(report, r.BrokerFill):
                        before.append(report)
            fills = self.missing_fills(state, now_ns)
        except (RetryableBrokerError, StopTradingError) as error:
            # Half an answer is none: without its fills no order may end, so all of it is asked for again.
            self.is_behind = True
            halts = (broker_halt(error, now_ns),) if isinstance(error, StopTradingError) else ()
            doubts = [unknown(o.client_order_id, error, now_ns) for o in orders if not o.broker_order_id]
            return (*doubts, *self.again(ACCOUNT, error, now_ns), *halts)
        if not self.is_behind:
            self._retries.pop(ACCOUNT, None)
        for order in orders:
            key = order.client_order_id
            if key in absent:
                before.extend(self._absence(key, now_ns))
            else:
                self._absences.pop(key, None)
                self._retries.pop(key, None)
        return (*before, *fills, *after)

    def missing_fills(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Return our executions that the journal lacks, in the broker's order; others' are counted and left alone.

        Raises:
            RetryableBrokerError: the broker did not answer.
            StopTradingError: it cannot be worked with.
        """
        with points.FILLS:
            fills = self._broker.executions_after(state.last_execution_id, now_ns)
        self.external_executions.update(fill.execution_id for fill in fills if not is_own(fill.client_order_id))
        own = [fill for fill in fills if is_own(fill.client_order_id)]
        self._strange.update(fill.client_order_id for fill in own if state.find(fill.client_order_id) is None)
        return own

    def _absence(self, key: str, now_ns: int) -> Sequence[m.Message]:
        """Count an authoritative "not found": proof for the core once there are enough of them over long enough."""
        proof = self._broker.not_found_proof
        now = self._boot_ns()
        first_ns, before = self._absences.get(key, (now, 0))
        answers = before + 1
        if answers >= proof.answers and now - first_ns >= proof.over_ns:
            self._absences.pop(key, None)
            self._retries.pop(key, None)
            detail = f"the broker does not have it: {answers} answer(s) over {(now - first_ns) // 1_000_000_000} s"
            return (r.BrokerNotFound(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=detail),)
        self._absences[key] = (first_ns, answers)
        detail = f"the broker does not find it ({answers} of {proof.answers} answers that would prove it)"
        return (unknown(key, detail, now_ns), *self.again(key, detail, now_ns))


def unknown(key: str, error: Exception | str, now_ns: int) -> m.Message:
    """Return the report that nobody knows whether the broker has an order."""
    return r.BrokerUnknown(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=str(error)[:_TEXT_MAX])


def broker_halt(error: Exception | str, now_ns: int) -> m.HaltRaised:
    """Return the halt for a broker that fails."""
    return m.HaltRaised(
        ts_event=now_ns,
        ts_init=now_ns,
        counter=0,
        source="execution",
        rule="broker_failure",
        detail=str(error)[:_TEXT_MAX],
    )
