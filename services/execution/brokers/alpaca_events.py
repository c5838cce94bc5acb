"""Executions that Alpaca took back or corrected, from its list of activity events.

The list of executions itself has fills alone, so this is where a bust is told: each event names the execution that it
changes. The list is asked for a span of time that is over, so the answer ends. Not every account has it: then nothing
is told here, and an execution that is not listed any more stops the chain.

Source: Alpaca, "Subscribe to Activity Events (SSE)", OpenAPI "Trading API" 2.0.1: GET /v2beta1/events/activities with
`since` and `until`, `details.execution_type` trade_bust and trade_correct, `previous_id` the id of the execution that
is changed, which is the second half of its activity's id. Read 2026-11.
"""

import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from bus.clock import NS_PER_SECOND, utc_ns
from services.execution.brokers import alpaca_answers as a
from services.execution.brokers.alpaca_history import History, own_id
from services.execution.brokers.alpaca_line import Line
from services.execution.brokers.interface import RetryableBrokerError
from services.execution.brokers.reports import BrokerReversal

#: The first question goes back so far: to the session before this one, over a long weekend.
BACK_NS: Final = 5 * 86_400 * NS_PER_SECOND
#: The last minutes are read again: an event may be listed late.
AGAIN_NS: Final = 300 * NS_PER_SECOND
#: A correction is told without the execution in its place when Alpaca has not listed that after so long.
UNLISTED_NS: Final = 60 * NS_PER_SECOND
#: An account that has no such list, or one that never ends, is not asked again in this process after so many failures.
FAILURES_MAX: Final = 3
_EVENTS: Final = "/v2beta1/events/activities"
_DATA: Final = b"data:"
_CORRECTION: Final = "trade_correct"
_log = logging.getLogger(__name__)


class _Details(Struct, frozen=True):
    execution_type: str = ""
    order_id: str = ""


class _Event(Struct, frozen=True):
    ref_id: str
    previous_id: str | None = None
    price: Decimal | None = None
    qty: Decimal | None = None
    details: _Details | None = None


class ActivityEvents:
    """Reads which executions were changed, in memory.

    Args:
        line: who is asked.
        history: the executions, of which one takes the place of another that is corrected.
        clock: boot time.
    """

    def __init__(self, line: Line, history: History, clock: Callable[[], int]) -> None:
        self._line = line
        self._history = history
        self._boot_ns = clock
        #: What changed an execution, by that execution's own id, and when it was first heard in boot time.
        self._changes: dict[str, tuple[_Event, int]] = {}
        self._read_ns = 0
        self._failures = 0
        self._has_begun = False

    def reversals(self, execution_ids: Sequence[str], now_ns: int) -> list[BrokerReversal]:
        """Return which of these executions were taken back or corrected.

        A list that does not answer holds nothing up: what it would tell shows as a missing execution as well.

        Raises:
            RetryableBrokerError: the execution in the place of a corrected one cannot be asked for.
            StopTradingError: the keys are refused.
        """
        if not execution_ids:
            return []
        if self._failures < FAILURES_MAX:
            self._try_to_read(now_ns)
        found: list[BrokerReversal] = []
        for name in execution_ids:
            event, heard_ns = self._changes.get(own_id(name), (None, 0))
            if event is not None and event.details is not None:
                found += self._reversal(name, event, event.details, heard_ns=heard_ns, now_ns=now_ns)
        return found

    def read_first(self, now_ns: int) -> None:
        """Read the list once before this process reports executions: one may stand in the place of a booked one."""
        if not self._has_begun:
            self._has_begun = True
            # Before any market data a session has no time yet.
            self._try_to_read(now_ns or utc_ns())

    def _try_to_read(self, now_ns: int) -> None:
        try:
            self._read(now_ns)
        except RetryableBrokerError as error:
            self._failures += 1
            _log.warning("Alpaca's list of activity events was not read (%d): %s", self._failures, error)
        else:
            self._failures = 0

    def _read(self, now_ns: int) -> None:
        # A simulated session may be of an earlier day than the clock by which the list was read first.
        since_ns = min(max(self._read_ns - AGAIN_NS, now_ns - BACK_NS), now_ns - AGAIN_NS)
        span = {"since": a.iso_seconds(since_ns), "until": a.iso_seconds(now_ns)}
        answer = self._line.ask("GET", _EVENTS, "the list of changed executions", span)
        body = a.checked(answer.status, answer.body, "the list of changed executions", ())
        for line in body.splitlines():
            if not line.startswith(_DATA):
                # Comments, names and blank lines of the stream's form.
                continue
            event = a.decoded(line.removeprefix(_DATA).strip(), _Event)
            if event.previous_id and event.details is not None and _is_change(event.details):
                self._changes.setdefault(event.previous_id, (event, self._boot_ns()))
                if event.details.execution_type == _CORRECTION:
                    self._history.replaces[event.ref_id] = event.previous_id
        self._read_ns = now_ns

    def _reversal(
        self, name: str, event: _Event, details: _Details, *, heard_ns: int, now_ns: int
    ) -> list[BrokerReversal]:
        is_correction = details.execution_type == _CORRECTION
        corrected = self._history.replacement(details.order_id, event.ref_id, now_ns) if is_correction else None
        if is_correction and corrected is None and self._boot_ns() - heard_ns < UNLISTED_NS:
            return []
        self._history.taken_back.add(name)
        right = f", the right one is {event.qty} at {event.price}" if is_correction else ""
        return [
            BrokerReversal(
                ts_event=now_ns,
                ts_init=now_ns,
                execution_id=name,
                is_correction=is_correction,
                detail=f"Alpaca tells a {details.execution_type} {event.ref_id}{right}"[: a.TEXT_MAX],
                corrected=corrected,
            )
        ]


def _is_change(details: _Details) -> bool:
    return details.execution_type in {"trade_bust", _CORRECTION}
