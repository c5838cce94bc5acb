"""What goes to the broker: an order that is prepared leaves once, through the gate, and only while it may."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from bus import messages as m
from bus.decider import Gate
from services.execution import failpoints as points
from services.execution.brokers import reports as r
from services.execution.brokers.interface import (
    Broker,
    NotSentError,
    OrderRequest,
    RetryableBrokerError,
    StopTradingError,
)
from services.execution.decisions import send_refusal
from services.execution.entry_checks import EntryChecks
from services.execution.fence import Fence
from services.execution.gate import ClosedGate
from services.execution.orders import OPENING_LEGS, Order, OrderState
from services.execution.recovery import Recovery, broker_halt, unknown
from services.execution.state import ExecutionState
from services.execution.watch import Watch

#: How long an entry waits for the gate, in nanoseconds of boot time, whatever the session's clock does meanwhile.
LEASE_WAIT_NS_MAX: Final = 60_000_000_000
#: More orders than this turned away unread within the time, and nothing is entered for as long.
#: Source: the failure catalogue, F39: more than 3 in 60 s.
TURNED_AWAY_MAX: Final = 3
DEGRADED_NS: Final = 60_000_000_000
#: SIGNAL_TTL is at most this: an entry that is prepared later after the start was never sent by an earlier process.
LIFE_OVERLAP_NS: Final = 60_000_000_000
_TEXT_MAX: Final = 400
_WORDS_MAX: Final = 120
_log = logging.getLogger(__name__)


class Sending:
    """Sends what this process has prepared; until `gate` is the runtime's, nothing leaves.

    Args:
        broker: where orders go.
        recovery: what is asked of the broker when nobody knows whether it has an order.
        watch: what the newest look at the broker found.
        checks: the limits that execution holds an entry against by itself.
        fence: the broker's own refusal of new orders, which has to be down.
        clock: boot time.
    """

    def __init__(
        self,
        broker: Broker,
        recovery: Recovery,
        watch: Watch,
        *,
        checks: EntryChecks,
        fence: Fence,
        clock: Callable[[], int],
    ) -> None:
        self.gate: Gate = ClosedGate()
        #: The process was told to stop: it enters nothing any more.
        self.is_stopping = False
        #: Prepared in this process and not sent, with the boot time of that: only these may be sent later. After a
        #: restart nobody knows whether a prepared order was sent, so it is looked up.
        self.unsent: dict[str, int] = {}
        self._broker = broker
        self._recovery = recovery
        self._watch = watch
        self._checks = checks
        self._fence = fence
        self._boot_ns = clock
        #: Why nothing may be entered, in words; the shell knows of the broker's clock.
        self.entry_refusal: Callable[[], str | None] = lambda: None
        #: When orders were turned away unread, and until when nothing is entered for that; boot nanoseconds.
        self._turned_away_ns: deque[int] = deque(maxlen=TURNED_AWAY_MAX + 1)
        self._degraded_until_ns = 0
        self._turned_away_words = ""
        #: Orders that certainly did not get to the broker, and the boot time before which they are not sent again.
        self._not_before_ns: dict[str, int] = {}
        #: Session time when this process first knew it; 0 = not yet.
        self._began_ns = 0

    def begin(self, now_ns: int) -> None:
        """Note the session time at which this process first knew it."""
        self._began_ns = self._began_ns or now_ns

    def note_prepared(self, key: str) -> None:
        """Note that this process has prepared an order, and has not sent it."""
        self.unsent[key] = self._boot_ns()

    def degraded_words(self) -> str:
        """Return why nothing is entered since the broker has turned orders away, for people; empty when it has not."""
        left_ns = self._degraded_until_ns - self._boot_ns() if self._degraded_until_ns else 0
        if left_ns <= 0:
            return ""
        seconds = -(-left_ns // 1_000_000_000)
        words = f"DEGRADED: more than {TURNED_AWAY_MAX} orders were turned away in a minute, no entries for {seconds} s"
        return f"{words} ({self._turned_away_words})"

    def has_waiting_sale(self, state: ExecutionState) -> bool:
        """Tell whether an order that only lowers exposure waits to be sent."""
        orders = (state.find(key) for key in self.unsent)
        return any(order is not None and order.is_open and not order.is_opening for order in orders)

    def send_or_give_up(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        """Send an order that has waited, or report that its time is over."""
        refusal = self._refusal(state, order, now_ns)
        if refusal is None:
            return self.send(state, order, now_ns)
        self._forget(order.client_order_id)
        return (
            r.OrderNotSent(
                ts_event=now_ns,
                ts_init=now_ns,
                client_order_id=order.client_order_id,
                detail=refusal[:_TEXT_MAX],
            ),
        )

    def send(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        """Send one order; when its time is over or the gate is closed it waits for the next idle call."""
        self.begin(now_ns)
        if order.state is not OrderState.PREPARED or self._refusal(state, order, now_ns):
            return ()
        if self._has_to_wait(state, order):
            return ()
        if not self._fence.is_down:
            lowered = self._fence.put(is_up=False, now_ns=now_ns)
            if not self._fence.is_down:
                return lowered
        if not self._watch.has_agreed or self._may_be_of_another_life(order):
            found = self._found_before_sending(state, order, now_ns)
            if found is not None:
                return found
        return self._write(state, order, now_ns)

    def _write(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        key = order.client_order_id
        request = request_of(order.prepared, now_ns)
        prepared_ns = self.unsent.pop(key, self._boot_ns())
        # Nothing may come between this question and the write to the broker.
        if self.gate.refusal(reduces=request.reduces):
            self.unsent[key] = prepared_ns
            return ()
        if not request.reduces:
            self._checks.note_sent(order.prepared, now_ns)
        try:
            with points.SUBMIT:
                answer = self._broker.submit(request)
        except NotSentError as error:
            self.unsent[key] = prepared_ns
            self._turned_away(key, error, is_held_back=self.gate.refusal(reduces=request.reduces) is not None)
            return ()
        except RetryableBrokerError as error:
            return self._in_doubt(key, error, now_ns)
        except StopTradingError as error:
            return (*self._in_doubt(key, error, now_ns), broker_halt(error, now_ns))
        self._not_before_ns.pop(key, None)
        if isinstance(answer, r.BrokerDuplicate):
            # It was accepted before, whatever we remember: it is adopted, never sent again.
            return self._recovery.recover(state, [order], now_ns)
        return (answer,)

    def _refusal(self, state: ExecutionState, order: Order, now_ns: int) -> str | None:
        """Return why an order may not be sent, before the gate is asked: its times, and what only the shell knows."""
        prepared = order.prepared
        refusal = send_refusal(state, prepared, now_ns)
        if refusal or not order.is_opening:
            return refusal
        words = self.degraded_words() or self.entry_refusal()
        if words:
            return words
        is_external = prepared.symbol in self._watch.external_symbols
        refusal = self._checks.refusal(state, prepared, now_ns, is_external=is_external)
        if refusal:
            return refusal
        # The session's time may stand still while the permission is missing; this clock does not.
        now = self._boot_ns()
        waited_ns = now - self.unsent.get(order.client_order_id, now)
        return "too late: it has waited for a lease for a minute" if waited_ns > LEASE_WAIT_NS_MAX else None

    def _has_to_wait(self, state: ExecutionState, order: Order) -> bool:
        key = order.client_order_id
        # It certainly did not get there, and the broker or its adapter said when to try again.
        if key in self._not_before_ns and self._boot_ns() < self._not_before_ns[key]:
            return True
        # What may be at the broker without our knowing of it decides first; and a bot that stops enters nothing.
        is_in_doubt = self._recovery.is_behind or self._watch.lacks_history(state, key)
        if order.leg == "stop" and self._broker.refuses_opposite_sides and state.intent_with(order).has_open_entry:
            # The core has asked for the cancel of what is left of the entry.
            return True
        return is_in_doubt or (self.is_stopping and order.is_opening)

    def _turned_away(self, key: str, error: NotSentError, *, is_held_back: bool) -> None:
        """Wait as long as the broker or its adapter said; what our own gate held back is no fault of theirs."""
        now = self._boot_ns()
        self._not_before_ns[key] = now + error.after_ns
        if is_held_back:
            return
        times = self._turned_away_ns
        times.append(now)
        if len(times) > TURNED_AWAY_MAX and now - times[0] <= DEGRADED_NS:
            self._degraded_until_ns = now + DEGRADED_NS
            self._turned_away_words = str(error)[:_WORDS_MAX]
            _log.warning("%s", self.degraded_words())

    def _in_doubt(self, key: str, error: Exception, now_ns: int) -> Sequence[m.Message]:
        self._not_before_ns.pop(key, None)
        return (unknown(key, error, now_ns), *self._recovery.again(key, error, now_ns))

    def _forget(self, key: str) -> None:
        self.unsent.pop(key, None)
        self._not_before_ns.pop(key, None)

    def _may_be_of_another_life(self, order: Order) -> bool:
        """Tell whether an entry may have been requested, and sent, before this process began.

        A request is heard within its time to live. What is prepared longer after the beginning was made after it.
        """
        return order.is_opening and order.prepared.ts_init < self._began_ns + LIFE_OVERLAP_NS

    def _found_before_sending(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message] | None:
        """Ask whether the broker has an order that this process has never sent; None when it does not.

        Before the two views have agreed once, the journal may be a copy that was put back: then this very order may
        have been sent, and be over, so that no list of open orders shows it.
        """
        key = order.client_order_id
        if not self._recovery.is_due(key):
            return ()
        try:
            with points.LOOKUP:
                reports = self._broker.lookup(key, now_ns)
        except (RetryableBrokerError, StopTradingError) as error:
            halts = (broker_halt(error, now_ns),) if isinstance(error, StopTradingError) else ()
            return (*self._recovery.again(key, error, now_ns), *halts)
        self._recovery.settled(key)
        if any(isinstance(report, r.BrokerNotFound) for report in reports):
            return None
        self._forget(key)
        detail = f"the broker has {key}, which this process has not sent: the journal is older than the broker's books"
        disagree = r.BooksDisagree(ts_event=now_ns, ts_init=now_ns, detail=detail)
        return (*self._recovery.recover(state, [order], now_ns), disagree)


def request_of(prepared: m.OrderPrepared, now_ns: int) -> OrderRequest:
    """Return a prepared order as a broker gets it."""
    return OrderRequest(
        client_order_id=prepared.client_order_id,
        symbol=prepared.symbol,
        side=prepared.side,
        qty_nanos=prepared.qty_nanos,
        order_type=prepared.order_type,
        limit_micros=prepared.limit_micros,
        stop_micros=prepared.stop_micros,
        trail_bps=prepared.trail_bps,
        ts_ns=now_ns,
        reduces=prepared.leg not in OPENING_LEGS,
    )
