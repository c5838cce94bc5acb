"""The world of execution: the gate, the broker, and what a crash or a silent broker left open."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

from bus import messages as m
from bus.assembly import Assembly, Ports, Setup
from bus.clock import boot_ns
from bus.decider import Gate, Shell
from services.execution import failpoints as points
from services.execution.brokers import reports as r
from services.execution.brokers.choice import open_broker
from services.execution.brokers.interface import (
    Broker,
    BrokerPorts,
    OrderRequest,
    RetryableBrokerError,
    StopTradingError,
)
from services.execution.core import ExecutionCore
from services.execution.decisions import send_refusal
from services.execution.gate import ClosedGate
from services.execution.orders import Order, OrderState
from services.execution.recovery import ACCOUNT, Recovery, broker_halt, unknown
from services.execution.settings import ExecutionSettings
from services.execution.state import ExecutionState
from services.execution.stopping import has_more_to_stop, words_of_stop
from services.execution.watch import Watch

#: A cancel that the broker answered without doing it is asked for again after these, in nanoseconds of boot time;
#: after as many tries the chain halts, and the order is only looked up from then on, after the last of them.
CANCEL_RETRY_NS: Final = tuple(seconds * 1_000_000_000 for seconds in (2, 2, 5, 5, 5))
#: How long an entry waits for the gate, in nanoseconds of boot time, whatever the session's clock does meanwhile.
LEASE_WAIT_NS_MAX: Final = 60_000_000_000
_TEXT_MAX: Final = 400
#: SIGNAL_TTL is at most this: an entry that is prepared later after the start was never sent by an earlier process.
LIFE_OVERLAP_NS: Final = 60_000_000_000
#: The key of the report of the session's account in the table of retries.
_ACCOUNT_REPORT: Final = "the account report"
_log = logging.getLogger(__name__)

#: Put a halt on disk: (rule, detail).
RaiseHalt = Callable[[str, str], object]


class ExecutionShell(Shell[ExecutionState]):
    """Sends what is prepared, once and only through the gate; asks the broker about what is not known.

    The runtime's ports come by `attach`; until then nothing is sent.

    Args:
        broker: where orders go.
        stop_positions: the setting STOP_POSITIONS.
        clock: boot time.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        stop_positions: Literal["keep", "flatten"],
        clock: Callable[[], int] = boot_ns,
    ) -> None:
        self.gate: Gate = ClosedGate()
        self._raise_halt: RaiseHalt = _nobody_hears
        self._broker = broker
        self._stop_positions: Literal["keep", "flatten"] = stop_positions
        self._boot_ns = clock
        self._recovery = Recovery(broker, clock)
        self._watch = Watch(broker, self._recovery, clock)
        #: Prepared in this process and not sent, with the boot time of that: only these may be sent later. After a
        #: restart nobody knows whether a prepared order was sent, so it is looked up.
        self._unsent: dict[str, int] = {}
        #: How often the broker was asked for a cancel and answered without one.
        self._cancels: dict[str, int] = {}
        #: The journal had open orders at the start, or every lease was valid once: orders of ours may be anywhere.
        self._may_have_orders = False
        self._is_stopping = False
        #: Session time when this process first knew it; 0 = not yet.
        self._began_ns = 0
        self._has_finished = False
        #: The broker has not reported the account of this session yet.
        self._lacks_account = False
        #: What is said at the end when the broker has not confirmed all of it by then.
        self._last_words = ""

    def attach(self, ports: Ports) -> None:
        """Take the runtime's gate and its way to halt; from now on orders may leave."""
        self.gate = ports.gate
        self._raise_halt = ports.raise_halt
        self._broker.attach(BrokerPorts(gate=ports.gate, breathe=ports.breathe))

    def reconciled_ms(self) -> int:
        """Return how long ago the broker's view and ours agreed; -1 when they do not, or were never compared."""
        at_ns = self._watch.reconciled_ns
        return -1 if at_ns is None or self._recovery.is_behind else (self._boot_ns() - at_ns) // 1_000_000

    def on_start(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Ask the broker about every open order, and for every execution that is not in the journal."""
        self._may_have_orders = state.has_open_orders
        reports: list[m.Message] = [*self._watch.list_first(state, now_ns), *self._recover_all(state, now_ns)]
        if state.plan is not None:
            reports.extend(self._account(state.plan, now_ns))
        return reports

    def on_gap(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Bring everything up to date again; nothing is sent before that has succeeded."""
        self._watch.look_soon()
        return self._recover_all(state, now_ns)

    def on_market(self, state: ExecutionState, data: m.MarketMessage, now_ns: int) -> Sequence[m.Message]:
        """Let an embedded broker hear quotes, and report what it filled."""
        if not isinstance(data, m.QuoteBatch):
            return ()
        try:
            with points.FILLS:
                reports = self._broker.on_quotes(data, state.plan.session_date if state.plan else "")
        except RetryableBrokerError as error:
            # The broker kept nothing of this batch; its orders meet the next one.
            _log.warning("the broker missed market step %d: %s", data.step, error)
            return ()
        except StopTradingError as error:
            return (broker_halt(error, now_ns),)
        # While older executions may be missing these wait for them: all are taken from the broker, in their order.
        if self._recovery.is_behind or not reports:
            return ()
        # What is pushed is a hint: a fill before these may have been lost on its way, and whoever books these alone
        # never asks for it again.
        return self._recovery.recover(state, (), now_ns)

    def before_commit(self, event: m.Message) -> None:
        """Put execution's own halts on disk, and tell everybody, before they count."""
        if isinstance(event, m.HaltRaised) and event.source == "execution" and event.counter == 0:
            self._raise_halt(event.rule, event.detail)

    def after_commit(self, state: ExecutionState, event: m.Message, now_ns: int) -> Sequence[m.Message]:
        """Send, cancel, or report the account, now that the event is on disk."""
        match event:
            case m.SessionPlanned():
                self._cancels.clear()
                return self._account(event, now_ns)
            case m.OrderPrepared():
                self._unsent[event.client_order_id] = self._boot_ns()
                order = state.find(event.client_order_id)
                return () if order is None else self._send(state, order, now_ns)
            case m.CancelRequested():
                order = state.find(event.client_order_id)
                return () if order is None else self._cancel(state, order, now_ns)
            case _:
                return ()

    def on_idle(self, state: ExecutionState, now_ns: int) -> Iterator[m.Message]:
        """Take up what waits: unsent orders, cancels the broker did not confirm, orders nobody knows of; then look."""
        self._began_ns = self._began_ns or now_ns
        self._judge(state)
        is_quiet = True
        for report in self._take_up(state, now_ns):
            is_quiet = False
            yield report
        # What is reported has to be decided before the two sides are compared.
        if is_quiet and self._watch.is_due():
            yield from self._watch.look(state, self._unsent, now_ns)
        self._watch.show(state)

    def on_stop(self, state: ExecutionState, now_ns: int) -> Iterator[m.Message]:
        """Cancel entries, sell where STOP_POSITIONS says so, and say what stays; until nothing is left to be done."""
        # The core decides what is still to be done; what it has decided already it does not decide again.
        requested = r.StopRequested(ts_event=now_ns, ts_init=now_ns)
        is_first = not self._is_stopping
        self._is_stopping = self._recovery.is_hurried = True
        words = words_of_stop(state, self._stop_positions, now_ns)
        self._last_words = f"stopped before the broker had confirmed everything: {words}"
        if is_first:
            yield requested
            return
        is_quiet = True
        for report in self._take_up(state, now_ns):
            is_quiet = False
            yield report
        if not is_quiet:
            return
        if self._recovery.is_behind or has_more_to_stop(state, self._stop_positions, now_ns):
            yield requested
            return
        if not self._has_finished:
            self._has_finished = True
            for report in self._finish(now_ns):
                is_quiet = False
                yield report
        if is_quiet:
            self._last_words = ""
            _log.warning("stopped %s", words)

    def is_settled(self, state: ExecutionState) -> bool:
        """Tell whether no order waits for the gate or for the broker.

        A chain that is stopped waits for a person, not for a lease, so what is unsent then holds up nothing.
        """
        if self._recovery.is_behind:
            return False
        may_wait = state.is_armed and not state.is_halted
        waiting = (OrderState.PREPARED, OrderState.CANCEL_PENDING)
        return not any(
            order.state is OrderState.UNKNOWN or (may_wait and order.state in waiting) for order in state.open_orders()
        )

    def close(self) -> None:
        """Close the broker; a stop that did not get everything confirmed says so."""
        if self._last_words:
            _log.warning("%s", self._last_words)
        self._broker.close()

    # --- what waits -----

    def _judge(self, state: ExecutionState) -> None:
        """Tell the drain whether the chain may trade."""
        lapsed_ns = self.gate.lapsed_ns()
        self._may_have_orders = self._may_have_orders or lapsed_ns == 0
        self._watch.drain.judge(
            self._boot_ns(),
            lapsed_ns=lapsed_ns,
            is_halted=state.is_halted,
            may_have_orders=self._may_have_orders or state.has_open_orders or self._watch.lists_unaccounted,
        )
        self._recovery.is_hurried = self._watch.drain.is_active or self._is_stopping

    def _take_up(self, state: ExecutionState, now_ns: int) -> Iterator[m.Message]:
        if self._recovery.is_behind and self._recovery.is_due(ACCOUNT):
            yield from self._recover_all(state, now_ns)
            return
        if self._lacks_account and state.plan is not None and self._recovery.is_due(_ACCOUNT_REPORT):
            yield from self._account(state.plan, now_ns)
            return
        # An order that rests at the broker is only taken up where the broker has once not found it.
        keys = state.restless_orders
        if self._recovery.has_misses:
            keys = [order.client_order_id for order in state.open_orders()]
        for key in keys:
            # What was reported of the one before may have changed this one.
            order = state.find(key)
            if order is not None:
                yield from self._take_up_order(state, order, now_ns)

    def _take_up_order(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        key = order.client_order_id
        match order.state:
            case OrderState.PREPARED if key in self._unsent:
                return self._send_or_give_up(state, order, now_ns)
            case OrderState.CANCEL_PENDING if self._recovery.is_due(key):
                return self._cancel(state, order, now_ns)
            case OrderState.PREPARED | OrderState.UNKNOWN if self._may_ask_about(key):
                return self._recovery.recover(state, [order], now_ns)
            case _ if self._recovery.is_missed(key) and self._may_ask_about(key):
                return self._recovery.recover(state, [order], now_ns)
            case _:
                return ()

    def _may_ask_about(self, key: str) -> bool:
        return not self._recovery.is_behind and self._recovery.is_due(key)

    # --- sending -----

    def _send_or_give_up(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        refusal = self._refusal(state, order, now_ns)
        if refusal is None:
            return self._send(state, order, now_ns)
        self._unsent.pop(order.client_order_id, None)
        return (
            r.OrderNotSent(
                ts_event=now_ns,
                ts_init=now_ns,
                client_order_id=order.client_order_id,
                detail=refusal[:_TEXT_MAX],
            ),
        )

    def _refusal(self, state: ExecutionState, order: Order, now_ns: int) -> str | None:
        """Return why an order may not be sent, before the gate is asked: its times, and what only the shell knows."""
        prepared = order.prepared
        refusal = send_refusal(state, prepared, now_ns)
        if refusal or order.leg != "entry":
            return refusal
        if prepared.symbol in self._watch.external_symbols:
            return f"{prepared.symbol}: somebody else has an order or a position in it at the broker"
        # The session's time may stand still while the permission is missing; this clock does not.
        waited_ns = self._boot_ns() - self._unsent.get(order.client_order_id, self._boot_ns())
        return "too late: it has waited for a lease for a minute" if waited_ns > LEASE_WAIT_NS_MAX else None

    def _send(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        """Send one order; when its time is over or the gate is closed it waits for the next idle call."""
        key = order.client_order_id
        is_entry = order.leg == "entry"
        self._began_ns = self._began_ns or now_ns
        if order.state is not OrderState.PREPARED or self._refusal(state, order, now_ns):
            return ()
        # What may be at the broker without our knowing of it decides first; and a bot that stops enters nothing.
        if self._recovery.is_behind or self._watch.lacks_history(state, key) or (self._is_stopping and is_entry):
            return ()
        if not self._watch.has_agreed or self._may_be_of_another_life(order):
            found = self._found_before_sending(state, order, now_ns)
            if found is not None:
                return found
        request = _request(order.prepared, now_ns)
        prepared_ns = self._unsent.pop(key, self._boot_ns())
        # Nothing may come between this question and the write to the broker.
        if self.gate.refusal(reduces=not is_entry):
            self._unsent[key] = prepared_ns
            return ()
        try:
            with points.SUBMIT:
                answer = self._broker.submit(request)
        except RetryableBrokerError as error:
            return (unknown(key, error, now_ns), *self._recovery.again(key, error, now_ns))
        except StopTradingError as error:
            doubts = (unknown(key, error, now_ns), *self._recovery.again(key, error, now_ns))
            return (*doubts, broker_halt(error, now_ns))
        if isinstance(answer, r.BrokerDuplicate):
            # It was accepted before, whatever we remember: it is adopted, never sent again.
            return self._recovery.recover(state, [order], now_ns)
        return (answer,)

    def _may_be_of_another_life(self, order: Order) -> bool:
        """Tell whether an entry may have been requested, and sent, before this process began.

        A request is heard within its time to live. What is prepared longer after the beginning was made after it.
        """
        return order.leg == "entry" and order.prepared.ts_init < self._began_ns + LIFE_OVERLAP_NS

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
        self._unsent.pop(key, None)
        detail = f"the broker has {key}, which this process has not sent: the journal is older than the broker's books"
        disagree = r.BooksDisagree(ts_event=now_ns, ts_init=now_ns, detail=detail)
        return (*self._recovery.recover(state, [order], now_ns), disagree)

    def _cancel(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        """Ask for a cancel. A stop goes only when the exit after it may be sent: until then it protects."""
        key = order.client_order_id
        if order.state is not OrderState.CANCEL_PENDING and not self._watch.is_still_listed(key):
            return ()
        if order.leg == "stop" and (self._recovery.is_behind or self.gate.refusal(reduces=True)):
            return ()
        tries = self._cancels.get(key, 0)
        if tries >= len(CANCEL_RETRY_NS):
            return self._look_up_again(state, order, now_ns)
        try:
            if self._watch.drain.is_active:
                with points.DRAIN:
                    reports = self._ask_cancel(key, now_ns)
            else:
                reports = self._ask_cancel(key, now_ns)
        except RetryableBrokerError as error:
            return self._recovery.again(key, error, now_ns)
        except StopTradingError as error:
            return (*self._recovery.again(key, error, now_ns), broker_halt(error, now_ns))
        # A broker that confirms later is not asked again at once, and not for ever.
        self._cancels[key] = tries + 1
        reports = self._told_whole(state, order, reports, now_ns)
        self._recovery.wait(key, CANCEL_RETRY_NS[tries])
        return reports

    def _ask_cancel(self, key: str, now_ns: int) -> Sequence[m.Message]:
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
        tries = self._cancels[key]
        self._cancels[key] = tries + 1
        reports = self._recovery.recover(state, [order], now_ns)
        self._recovery.wait(key, CANCEL_RETRY_NS[-1])
        if tries > len(CANCEL_RETRY_NS):
            return reports
        detail = (
            f"the broker was asked {len(CANCEL_RETRY_NS)} times to cancel {key} ({order.leg} {order.prepared.symbol}) "
            "and has not done it: cancel it at the broker, then arm again"
        )
        return (*reports, broker_halt(detail, now_ns))

    # --- recovering -----

    def _recover_all(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Bring every open order and every execution up to date, or note that it has to be tried again."""
        self._recovery.is_behind = False
        # What this process prepared and holds back was never sent: the broker has nothing to say about it.
        orders = [order for order in state.open_orders() if order.client_order_id not in self._unsent]
        return self._recovery.recover(state, orders, now_ns)

    def _finish(self, now_ns: int) -> Sequence[m.Message]:
        """Let the broker tell what became of market orders; one that cannot will be asked at the next start."""
        try:
            with points.FINISH:
                return self._broker.finish(now_ns)
        except (RetryableBrokerError, StopTradingError) as error:
            _log.warning("the broker did not say what became of the market orders: %s", error)
            return ()

    def _account(self, plan: m.SessionPlanned, now_ns: int) -> Sequence[m.Message]:
        # Before any market data a replayed session has no time yet; the account is reported as of its open.
        at_ns = now_ns or plan.open_ns
        self._lacks_account = False
        try:
            with points.ACCOUNT:
                self._broker.planned(plan)
                reports = (*self._broker.activities(at_ns), self._broker.account(plan.session_date, at_ns))
        except (RetryableBrokerError, StopTradingError) as error:
            # Risk allows nothing on an account it does not know, so it is asked for until it is there.
            self._lacks_account = True
            halts = (broker_halt(error, now_ns),) if isinstance(error, StopTradingError) else ()
            return (*self._recovery.again(_ACCOUNT_REPORT, error, now_ns), *halts)
        self._recovery.settled(_ACCOUNT_REPORT)
        return reports


def _nobody_hears(rule: str, _detail: str) -> None:
    raise RuntimeError(f"the halt {rule} was raised before the runtime's ports were attached")


def _request(prepared: m.OrderPrepared, now_ns: int) -> OrderRequest:
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
        reduces=prepared.leg != "entry",
    )


def build(setup: Setup) -> Assembly[ExecutionState]:
    """Open the broker and put execution together.

    Raises:
        CannotStartError: the broker that BROKER_NAME names cannot be opened.
    """
    settings = ExecutionSettings.from_env(setup.env)
    broker = open_broker(setup, settings)
    shell = ExecutionShell(broker, stop_positions=settings.stop_positions)
    core = ExecutionCore(settings, setup.identity.bot_identity)
    return Assembly(
        core=core,
        shell=shell,
        self_check=broker.faults,
        attach=shell.attach,
        reconciled_ms=shell.reconciled_ms,
    )
