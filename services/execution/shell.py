"""The world of execution: the gate, the broker, and what a crash or a silent broker left open."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

from bus import messages as m
from bus.assembly import Assembly, Ports, Setup
from bus.clock import boot_ns
from bus.commands import Deciding, Outcome, Pending
from bus.decider import Gate, Shell
from services.execution import failpoints as points
from services.execution import told_activities
from services.execution.activities import Activities
from services.execution.assets import Assets
from services.execution.broker_clock import BrokerClockWatch
from services.execution.brokers import reports as r
from services.execution.brokers.call_log import CallLog, LoggedBroker
from services.execution.brokers.choice import open_broker
from services.execution.brokers.interface import Broker, BrokerPorts, RetryableBrokerError, StopTradingError
from services.execution.cancelling import Cancelling
from services.execution.core import ExecutionCore
from services.execution.drop_copy import DropCopy
from services.execution.entry_checks import EntryChecks
from services.execution.fence import Fence
from services.execution.orders import Order, OrderState
from services.execution.recovery import ACCOUNT, Recovery, broker_halt
from services.execution.sending import Sending
from services.execution.settings import ExecutionSettings
from services.execution.state import ExecutionState
from services.execution.statements import Statements
from services.execution.stopping import has_more_to_stop, words_of_stop
from services.execution.unresolved import UnresolvedOrders
from services.execution.watch import Watch

if TYPE_CHECKING:
    from bus.ahead import Ahead

#: The key of the report of the session's account in the table of retries.
_ACCOUNT_REPORT: Final = "the account report"
#: So long one idle call takes up orders, in nanoseconds of boot time: a broker that answers slowly must not keep this
#: process from hearing others for longer than they wait for an acknowledgement.
TURN_NS_MAX: Final = 1_000_000_000
_log = logging.getLogger(__name__)
#: Events after which something is done at the broker, or remembered.
_WITH_EFFECTS: Final = frozenset({m.SessionPlanned, m.OrderRejected, m.CancelRequested})

#: Put a halt on disk: (rule, detail).
RaiseHalt = Callable[[str, str], object]


class ExecutionShell(Shell[ExecutionState]):
    """Sends what is prepared, once and only through the gate; asks the broker about what is not known.

    The runtime's ports come by `attach`; until then nothing is sent.

    Args:
        broker: where orders go.
        stop_positions: the setting STOP_POSITIONS.
        checks: the limits that execution holds an entry against by itself.
        unresolved: the log of orders that nobody knew of.
        clock: boot time.
    """

    prepares = frozenset({m.HaltRaised})

    def __init__(
        self,
        broker: Broker,
        *,
        stop_positions: Literal["keep", "flatten"],
        checks: EntryChecks,
        unresolved: UnresolvedOrders,
        clock: Callable[[], int] = boot_ns,
    ) -> None:
        self._raise_halt: RaiseHalt = _nobody_hears
        self._broker = broker
        self._stop_positions: Literal["keep", "flatten"] = stop_positions
        self._boot_ns = clock
        self._recovery = Recovery(broker, clock)
        self._watch = Watch(broker, self._recovery, clock)
        self._checks = checks
        self._unresolved = unresolved
        self._fence = Fence(broker, clock)
        self._sending = Sending(broker, self._recovery, self._watch, checks=checks, fence=self._fence, clock=clock)
        self._clock_watch = BrokerClockWatch(broker, clock)
        self._sending.entry_refusal = self._clock_watch.entry_refusal
        self._cancelling = Cancelling(broker, self._recovery, self._watch, clock)
        self._assets = Assets(broker, clock)
        self._activities = Activities(broker, clock)
        self._drop_copy = DropCopy(broker, self._recovery, clock)
        self.statements = Statements(broker, self._activities, self._recovery, clock)
        #: Positions that our fills do not explain, when executions were last compared for them.
        self._differences = self._watch.differences
        #: The journal had open orders at the start, or every lease was valid once: orders of ours may be anywhere.
        self._may_have_orders = False
        self._has_finished = False
        #: The broker has not reported the account of this session yet.
        self._lacks_account = False
        #: What is said at the end when the broker has not confirmed all of it by then.
        self._last_words = ""

    @property
    def gate(self) -> Gate:
        """Return what is asked right before an order leaves."""
        return self._sending.gate

    @gate.setter
    def gate(self, gate: Gate) -> None:
        self._sending.gate = self._cancelling.gate = gate

    def attach(self, ports: Ports) -> None:
        """Take the runtime's gate and its way to halt; from now on orders may leave."""
        self.gate = ports.gate
        self._raise_halt = ports.raise_halt
        self._broker.attach(BrokerPorts(gate=ports.gate, breathe=ports.breathe))

    def reconciled_ms(self) -> int:
        """Return how long ago the broker's view and ours agreed; -1 when they do not, or were never compared."""
        at_ns = self._watch.reconciled_ns
        if at_ns is None or self._recovery.is_behind or self._clock_watch.is_off:
            return -1
        return (self._boot_ns() - at_ns) // 1_000_000

    def on_request(self, request: m.OperatorRequest, deciding: Deciding) -> Outcome | Pending:
        """Do what an operator asks for: the account told to the ledger, or what the broker does not tell."""
        if isinstance(request, m.TellActivity):
            return told_activities.on_request(request, self._broker, deciding)
        return self.statements.on_request(request, deciding)

    def unready(self) -> str:
        """Return why the chain may not be armed, in words; empty when nothing here is against it."""
        return self._clock_watch.words() if self._clock_watch.is_off else ""

    def on_start(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Ask the broker about every open order, and for every execution that is not in the journal."""
        self._may_have_orders = state.has_open_orders
        self._unresolved.begin(state, now_ns)
        self._clock_watch.compare(state.plan, now_ns)
        reports: list[m.Message] = [*self._watch.list_first(state, now_ns), *self._recover_all(state, now_ns)]
        if state.plan is not None:
            reports.extend(self._account(state.plan, now_ns))
        return reports

    def on_gap(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Bring everything up to date again; nothing is sent before that has succeeded."""
        self._watch.look_soon()
        self._drop_copy.soon()
        return self._recover_all(state, now_ns)

    def on_market(self, state: ExecutionState, data: m.MarketMessage, now_ns: int) -> Sequence[m.Message]:
        """Report symbols that are new today, let an embedded broker hear quotes, and report what it filled."""
        if type(data) is not m.QuoteBatch:
            return ()
        self._checks.hear(data)
        # Risk has to know an instrument before it judges a signal for it.
        return (*self._assets.report(state, data, now_ns), *self._fills_on(state, data, now_ns))

    def quiet_for(self, state: ExecutionState, ahead: "Ahead") -> int:
        """Return how many messages neither fill anything nor end the session, while nothing waits for a moment."""
        plan = state.plan
        if plan is None or state.restless_orders or self._lacks_account or self._recovery.is_behind:
            return 0
        if ahead.symbols and not self._assets.are_reported(state, ahead.symbols):
            return 0
        count = min(ahead.until(plan.close_ns), self._broker.quiet_for(ahead))
        return 0 if self._sending.unsent or self._recovery.has_misses else count

    def let_pass(self, state: ExecutionState, ahead: "Ahead") -> ExecutionState:
        """Keep the newest quotes, and let an embedded broker keep what they change."""
        quotes = ahead.newest_quotes
        if quotes is not None:
            self._checks.hear(quotes)
            self._broker.let_pass(ahead, state.plan.session_date if state.plan else "")
        return state

    def _fills_on(self, state: ExecutionState, batch: m.QuoteBatch, now_ns: int) -> Sequence[m.Message]:
        try:
            with points.FILLS:
                reports = self._broker.on_quotes(batch, state.plan.session_date if state.plan else "")
        except RetryableBrokerError as error:
            # The broker kept nothing of this batch; its orders meet the next one.
            _log.warning("the broker missed market step %d: %s", batch.step, error)
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
        if type(event) is m.HaltRaised and event.source == "execution" and event.counter == 0:
            self._raise_halt(event.rule, event.detail)

    def after_commit(self, state: ExecutionState, event: m.Message, now_ns: int) -> Sequence[m.Message]:
        """Send, cancel, or report the account, now that the event is on disk."""
        self._unresolved.note(state, event)
        if type(event) is m.OrderPrepared:
            self._sending.note_prepared(event.client_order_id)
            order = state.find(event.client_order_id)
            return () if order is None else self._sending.send(state, order, now_ns)
        if type(event) not in _WITH_EFFECTS:
            return ()
        match event:
            case m.SessionPlanned():
                self._cancelling.begin_session()
                return self._account(event, now_ns)
            case m.OrderRejected():
                order = state.find(event.client_order_id)
                if order is not None:
                    self._assets.note_refusal(order.prepared.symbol, event.detail)
                return ()
            case m.CancelRequested():
                order = state.find(event.client_order_id)
                return () if order is None else self._cancelling.cancel(state, order, now_ns)
            case _:
                return ()

    def on_idle(self, state: ExecutionState, now_ns: int) -> Iterator[m.Message]:
        """Take up what waits: unsent orders, cancels the broker did not confirm, orders nobody knows of; then look."""
        self._sending.begin(now_ns)
        self._judge(state)
        self._clock_watch.compare(state.plan, now_ns)
        yield from self._put_fence(state, now_ns)
        is_quiet = True
        for report in self._take_up(state, now_ns):
            is_quiet = False
            yield report
        # What is reported has to be decided before the two sides are compared.
        if is_quiet and self._watch.is_due():
            yield from self._watch.look(state, self._sending.unsent, now_ns)
            self._ask_what_was_taken_back()
            yield from self._drop_copy.look(state, now_ns)
        if is_quiet:
            yield from self._assets.look(state, now_ns)
            yield from self._activities.look(state, now_ns)
            yield from self.statements.at_close(state, now_ns)
        self._watch.show(state, self._fence.words())
        words = (self._clock_watch.words(), self._sending.degraded_words(), self._recovery.pause_words)
        state.warn("; ".join(filter(None, words)))

    def on_stop(self, state: ExecutionState, now_ns: int) -> Iterator[m.Message]:
        """Cancel entries, sell where STOP_POSITIONS says so, and say what stays; until nothing is left to be done."""
        # The core decides what is still to be done; what it has decided already it does not decide again.
        requested = r.StopRequested(ts_event=now_ns, ts_init=now_ns)
        is_first = not self._sending.is_stopping
        self._sending.is_stopping = self._recovery.is_hurried = True
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

    def _ask_what_was_taken_back(self) -> None:
        """Let all executions be compared at once when positions begin to differ: one may have been taken back.

        What explains a difference has to be heard before it contradicts us, which it does at the second look.
        """
        if self._watch.differences != self._differences:
            self._differences = self._watch.differences
            self._drop_copy.soon()

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
        self._recovery.is_hurried = self._watch.drain.is_active or self._sending.is_stopping

    def _put_fence(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Let the broker refuse new orders under a halt, but not while a stop or an exit of ours has to get there."""
        if state.is_halted and not self._sending.has_waiting_sale(state):
            return self._fence.put(is_up=True, now_ns=now_ns)
        if state.is_armed and not self._fence.is_down:
            return self._fence.put(is_up=False, now_ns=now_ns)
        return ()

    def _take_up(self, state: ExecutionState, now_ns: int) -> Iterator[m.Message]:
        if self._recovery.is_behind and self._recovery.is_due(ACCOUNT):
            # The broker was away: what it has to say may be more than what is newest.
            self._drop_copy.soon()
            yield from self._recover_all(state, now_ns)
            return
        if self._lacks_account and state.plan is not None and self._recovery.is_due(_ACCOUNT_REPORT):
            yield from self._account(state.plan, now_ns)
            return
        yield from self._heed_hints(state, now_ns)
        # An order that rests at the broker is only taken up where the broker has once not found it.
        keys = state.restless_orders
        if self._recovery.has_misses:
            keys = [order.client_order_id for order in state.open_orders()]
        began_ns = self._boot_ns() if keys else 0
        for key in keys:
            if self._boot_ns() - began_ns > TURN_NS_MAX:
                return
            # What was reported of the one before may have changed this one.
            order = state.find(key)
            if order is not None:
                yield from self._take_up_order(state, order, now_ns)

    def _heed_hints(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Look up what the broker pushed news of: what it pushed itself may be old, or not all."""
        if self._recovery.is_behind:
            return ()
        orders = [order for key in self._broker.hints() if (order := state.find(key)) is not None and order.is_open]
        return self._recovery.recover(state, orders, now_ns) if orders else ()

    def _take_up_order(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        key = order.client_order_id
        match order.state:
            case OrderState.PREPARED if key in self._sending.unsent:
                return self._sending.send_or_give_up(state, order, now_ns)
            case OrderState.CANCEL_PENDING if self._recovery.is_due(key):
                return self._cancelling.cancel(state, order, now_ns)
            case OrderState.PREPARED | OrderState.UNKNOWN if self._may_ask_about(key):
                return self._recovery.recover(state, [order], now_ns)
            case _ if self._recovery.is_missed(key) and self._may_ask_about(key):
                return self._recovery.recover(state, [order], now_ns)
            case _:
                return ()

    def _may_ask_about(self, key: str) -> bool:
        return not self._recovery.is_behind and self._recovery.is_due(key)

    # --- recovering -----

    def _recover_all(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Bring every open order and every execution up to date, or note that it has to be tried again."""
        self._recovery.is_behind = False
        # What this process prepared and holds back was never sent: the broker has nothing to say about it.
        orders = [order for order in state.open_orders() if order.client_order_id not in self._sending.unsent]
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


def build(setup: Setup) -> Assembly[ExecutionState]:
    """Open the broker and put execution together.

    Raises:
        CannotStartError: the broker that BROKER_NAME names cannot be opened.
    """
    settings = ExecutionSettings.from_env(setup.env)
    broker, logs = open_broker(setup, settings), setup.paths.output / setup.identity.bot_identity / "logs"
    if settings.broker_name != "PAPER":
        broker = LoggedBroker(broker, CallLog(logs, broker.name))
    shell = ExecutionShell(
        broker,
        stop_positions=settings.stop_positions,
        checks=EntryChecks(settings.entry_limits),
        unresolved=UnresolvedOrders(logs),
    )
    one_side = broker.refuses_opposite_sides
    core = ExecutionCore(settings, setup.identity.bot_identity, one_side_at_a_time=one_side)
    return Assembly(
        core=core,
        shell=shell,
        self_check=broker.faults,
        attach=shell.attach,
        reconciled_ms=shell.reconciled_ms,
        unready=shell.unready,
        on_request=shell.on_request,
    )
