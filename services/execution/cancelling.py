"""What is asked back from the broker: a cancel is asked for a few times, then a person has to do it."""

from collections.abc import Callable, Sequence
from typing import Final

from bus import messages as m
from bus.decider import Gate
from services.execution import failpoints as points
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.gate import ClosedGate
from services.execution.orders import Order, OrderState
from services.execution.recovery import Recovery, broker_halt
from services.execution.state import ExecutionState
from services.execution.watch import Watch

#: A cancel that the broker answered without doing it is asked for again after these, in nanoseconds of boot time;
#: after as many tries the chain halts, and the order is only looked up from then on, after the last of them.
CANCEL_RETRY_NS: Final = tuple(seconds * 1_000_000_000 for seconds in (2, 2, 5, 5, 5))


class Cancelling:
    """Asks the broker for cancels.

    Args:
        broker: who is asked.
        recovery: what asks about orders when a cancel tells of something that is not known here.
        watch: what the newest look at the broker found.
        clock: boot time.
    """

    def __init__(self, broker: Broker, recovery: Recovery, watch: Watch, clock: Callable[[], int]) -> None:
        self.gate: Gate = ClosedGate()
        self._broker = broker
        self._recovery = recovery
        self._watch = watch
        self._boot_ns = clock
        #: How often the broker was asked for a cancel and answered without one.
        self._tries: dict[str, int] = {}

    def begin_session(self) -> None:
        """Forget what was asked for in the session before."""
        self._tries.clear()

    def cancel(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        """Ask for a cancel. A stop goes only when the exit after it may be sent: until then it protects."""
        key = order.client_order_id
        if order.state is not OrderState.CANCEL_PENDING and not self._watch.is_still_listed(key):
            return ()
        if order.leg == "stop" and (self._recovery.is_behind or self.gate.refusal(reduces=True)):
            return ()
        tries = self._tries.get(key, 0)
        if tries >= len(CANCEL_RETRY_NS):
            return self._look_up_again(state, order, now_ns)
        try:
            if self._watch.drain.is_active:
                with points.DRAIN:
                    reports = self._ask(key, now_ns)
            else:
                reports = self._ask(key, now_ns)
        except RetryableBrokerError as error:
            return self._recovery.again(key, error, now_ns)
        except StopTradingError as error:
            return (*self._recovery.again(key, error, now_ns), broker_halt(error, now_ns))
        # A broker that confirms later is not asked again at once, and not for ever.
        self._tries[key] = tries + 1
        reports = self._told_whole(state, order, reports, now_ns)
        self._recovery.wait(key, CANCEL_RETRY_NS[tries])
        return reports

    def _ask(self, key: str, now_ns: int) -> Sequence[m.Message]:
        with points.CANCEL:
            return self._broker.cancel(key, now_ns)

    def _told_whole(
        self, state: ExecutionState, order: Order, reports: Sequence[m.Message], now_ns: int
    ) -> Sequence[m.Message]:
        """Return the answer to a cancel, or all that the broker knows when it tells of what we have not heard."""
        match reports:
            case []:
                return ()
            case [r.BrokerCancelled(filled_qty_nanos=filled)] if filled == order.filled_nanos:
                return reports
            case _:
                # Executions are only ever booked in the broker's order, so none may be taken out of this answer.
                return self._recovery.recover(state, [order], now_ns)

    def _look_up_again(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        """Look an order up whose cancel the broker does not do; halt the first time, in words."""
        key = order.client_order_id
        tries = self._tries[key]
        self._tries[key] = tries + 1
        reports = self._recovery.recover(state, [order], now_ns)
        self._recovery.wait(key, CANCEL_RETRY_NS[-1])
        if tries > len(CANCEL_RETRY_NS):
            return reports
        detail = (
            f"the broker was asked {len(CANCEL_RETRY_NS)} times to cancel {key} ({order.leg} {order.prepared.symbol}) "
            "and has not done it: cancel it at the broker, then arm again"
        )
        return (*reports, broker_halt(detail, now_ns))
