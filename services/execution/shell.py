"""The world of execution: the gate, the broker, and what a crash or a silent broker left open."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from bus import messages as m
from bus.assembly import Assembly, CannotStartError, Gate, Ports, Setup
from bus.clock import boot_ns
from bus.control import ControlFolder
from bus.decider import Shell
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, OrderRequest, RetryableBrokerError, StopTradingError
from services.execution.brokers.paper import PaperBroker
from services.execution.core import ExecutionCore
from services.execution.decisions import send_refusal
from services.execution.gate import ClosedGate
from services.execution.orders import Order, OrderState
from services.execution.settings import ExecutionSettings
from services.execution.state import ExecutionState

PAPER_BOOKS: Final = "paper_broker.db"
#: How long after each try the broker is asked again, in nanoseconds of boot time; the last one repeats.
RETRY_NS: Final = tuple(int(seconds * 1_000_000_000) for seconds in (0.5, 1, 2, 5, 10, 20, 40, 60))
#: An order that nobody can find or exclude for so many tries (two minutes and more) stops the chain.
TRIES_BEFORE_HALT: Final = 8
_TEXT_MAX: Final = 400
#: The key of the whole account among the orders in the table of retries.
_ACCOUNT: Final = "account"
_log = logging.getLogger(__name__)

#: Put a halt on disk: (rule, detail).
RaiseHalt = Callable[[str, str], object]


class ExecutionShell(Shell[ExecutionState]):
    """Sends what is prepared, once and only through the gate; asks the broker about what is not known.

    The runtime sets `gate`; until then nothing is sent. `raise_halt` puts a halt of execution's own on disk.
    """

    def __init__(self, broker: Broker, raise_halt: RaiseHalt, *, clock: Callable[[], int] = boot_ns) -> None:
        self.gate: Gate = ClosedGate()
        self._broker = broker
        self._raise_halt = raise_halt
        self._boot_ns = clock
        #: Prepared in this process and not sent: only these may be sent later. After a restart nobody knows
        #: whether a prepared order was sent, so it is looked up.
        self._unsent: set[str] = set()
        #: When the broker is asked again about an order, and how often it was: client id -> (boot ns, tries).
        self._retries: dict[str, tuple[int, int]] = {}
        #: The recovery at the start did not get every answer; it is repeated whole until it does.
        self._is_behind = False

    def attach(self, ports: Ports) -> None:
        """Take the runtime's gate; from now on orders may leave."""
        self.gate = ports.gate

    def on_start(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Ask the broker about every open order, and for every execution that is not in the journal."""
        reports: list[m.Message] = [*self._recover_all(state, now_ns)]
        if state.plan is not None:
            reports.extend(self._account(state.plan, now_ns))
        return reports

    def on_market(self, state: ExecutionState, data: m.MarketMessage, now_ns: int) -> Sequence[m.Message]:
        """Let an embedded broker hear quotes, and report what it filled."""
        if not isinstance(data, m.QuoteBatch):
            return ()
        try:
            return self._broker.on_quotes(data, state.plan.session_date if state.plan else "")
        except RetryableBrokerError as error:
            # The broker kept nothing of this batch; its orders meet the next one.
            _log.warning("the broker missed market step %d: %s", data.step, error)
            return ()
        except StopTradingError as error:
            return (_broker_halt(error, now_ns),)

    def before_commit(self, event: m.Message) -> None:
        """Put execution's own halts on disk before they count; a repeated one only adds a record."""
        if isinstance(event, m.HaltRaised) and event.source == "execution" and event.counter == 0:
            self._raise_halt(event.rule, event.detail)

    def after_commit(self, state: ExecutionState, event: m.Message, now_ns: int) -> Sequence[m.Message]:
        """Send, cancel, or report the account, now that the event is on disk."""
        match event:
            case m.SessionPlanned():
                return self._account(event, now_ns)
            case m.OrderPrepared():
                self._unsent.add(event.client_order_id)
                order = state.find(event.client_order_id)
                return () if order is None else self._send(state, order, now_ns)
            case m.CancelRequested():
                order = state.find(event.client_order_id)
                return () if order is None else self._cancel(order, now_ns)
            case _:
                return ()

    def on_idle(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Take up what waits: unsent orders, cancels the broker did not confirm, orders nobody knows of."""
        if self._is_behind:
            return self._recover_all(state, now_ns) if self._is_due(_ACCOUNT) else ()
        reports: list[m.Message] = []
        for order in state.open_orders():
            match order.state:
                case OrderState.PREPARED if order.client_order_id in self._unsent:
                    reports.extend(self._send_or_give_up(state, order, now_ns))
                case OrderState.CANCEL_PENDING if self._is_due(order.client_order_id):
                    reports.extend(self._cancel(order, now_ns))
                case OrderState.PREPARED | OrderState.UNKNOWN if self._is_due(order.client_order_id):
                    reports.extend(self._recover(state, [order], now_ns))
                case _:
                    continue
        return reports

    def is_settled(self, state: ExecutionState) -> bool:
        """Tell whether no order waits for the gate or for the broker.

        A chain that is stopped waits for a person, not for a lease, so what is unsent then holds up nothing.
        """
        if self._is_behind:
            return False
        may_wait = state.is_armed and not state.is_halted
        waiting = (OrderState.PREPARED, OrderState.CANCEL_PENDING)
        return not any(
            order.state is OrderState.UNKNOWN or (may_wait and order.state in waiting) for order in state.open_orders()
        )

    def close(self) -> None:
        """Close the broker."""
        self._broker.close()

    # --- sending -----

    def _send_or_give_up(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        refusal = send_refusal(state, order.prepared, now_ns)
        if refusal is None:
            return self._send(state, order, now_ns)
        self._unsent.discard(order.client_order_id)
        return (
            r.OrderNotSent(
                ts_event=now_ns,
                ts_init=now_ns,
                client_order_id=order.client_order_id,
                detail=refusal[:_TEXT_MAX],
            ),
        )

    def _send(self, state: ExecutionState, order: Order, now_ns: int) -> Sequence[m.Message]:
        """Send one order; when its time is over or the gate is closed it waits for the next idle call."""
        key = order.client_order_id
        if order.state is not OrderState.PREPARED:
            self._unsent.discard(key)
            return ()
        if send_refusal(state, order.prepared, now_ns):
            return ()
        request = _request(order.prepared, now_ns)
        # Nothing may come between this question and the write to the broker.
        if self.gate.refusal(reduces=order.leg != "entry"):
            return ()
        self._unsent.discard(key)
        try:
            answer = self._broker.submit(request)
            if isinstance(answer, r.BrokerDuplicate):
                # It was accepted before, whatever we remember: it is adopted, never sent again.
                return self._recover(state, [order], now_ns)
        except RetryableBrokerError as error:
            return (_unknown(key, error, now_ns), *self._again(key, error, now_ns))
        except StopTradingError as error:
            return (
                _unknown(key, error, now_ns),
                *self._again(key, error, now_ns),
                _broker_halt(error, now_ns),
            )
        return (answer,)

    def _cancel(self, order: Order, now_ns: int) -> Sequence[m.Message]:
        """Ask for a cancel. A stop goes only when the exit after it may be sent: until then it protects."""
        if order.state is not OrderState.CANCEL_PENDING:
            return ()
        if order.leg == "stop" and self.gate.refusal(reduces=True):
            return ()
        try:
            reports = self._broker.cancel(order.client_order_id, now_ns)
        except RetryableBrokerError as error:
            return self._again(order.client_order_id, error, now_ns)
        except StopTradingError as error:
            return (*self._again(order.client_order_id, error, now_ns), _broker_halt(error, now_ns))
        # A broker that confirms later is not asked again at once.
        self._retries[order.client_order_id] = (self._boot_ns() + RETRY_NS[2], 0)
        return reports

    # --- recovering -----

    def _recover_all(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Bring every open order and every execution up to date, or note that it has to be tried again."""
        self._is_behind = False
        # What this process prepared and holds back was never sent: the broker has nothing to say about it.
        orders = [order for order in state.open_orders() if order.client_order_id not in self._unsent]
        return self._recover(state, orders, now_ns)

    def _recover(self, state: ExecutionState, orders: Sequence[Order], now_ns: int) -> Sequence[m.Message]:
        """Report what the broker knows of these orders, and every execution that the journal lacks.

        Executions come in the broker's order between the acceptances and the ends. So a crash while they are
        booked leaves no gap behind the newest one, and no order ends before its last fill.
        """
        before: list[m.Message] = []
        after: list[m.Message] = []
        try:
            for order in orders:
                for report in self._broker.lookup(order.client_order_id, now_ns):
                    if isinstance(report, r.BrokerCancelled):
                        after.append(report)
                    elif not isinstance(report, r.BrokerFill):
                        before.append(report)
            fills = self._broker.executions_after(state.last_execution_id, now_ns)
        except (RetryableBrokerError, StopTradingError) as error:
            # Half an answer is none: without its fills no order may end, so all of it is asked for again.
            self._is_behind = True
            halts = (_broker_halt(error, now_ns),) if isinstance(error, StopTradingError) else ()
            doubts = [_unknown(o.client_order_id, error, now_ns) for o in orders if not o.broker_order_id]
            return (*doubts, *self._again(_ACCOUNT, error, now_ns), *halts)
        for key in (_ACCOUNT, *(order.client_order_id for order in orders)):
            self._retries.pop(key, None)
        return (*before, *fills, *after)

    def _is_due(self, key: str) -> bool:
        return self._boot_ns() >= self._retries.get(key, (0, 0))[0]

    def _again(self, key: str, error: Exception, now_ns: int) -> Sequence[m.Message]:
        """Note that the broker has to be asked again; after TRIES_BEFORE_HALT the chain halts as well."""
        tries = self._retries.get(key, (0, 0))[1] + 1
        self._retries[key] = (self._boot_ns() + RETRY_NS[min(tries, len(RETRY_NS)) - 1], tries)
        _log.warning("the broker did not answer about %s (try %d): %s", key, tries, error)
        return (_broker_halt(error, now_ns),) if tries == TRIES_BEFORE_HALT else ()

    def _account(self, plan: m.SessionPlanned, now_ns: int) -> Sequence[m.Message]:
        # Before any market data a replayed session has no time yet; the account is reported as of its open.
        at_ns = now_ns or plan.open_ns
        try:
            return (*self._broker.activities(at_ns), self._broker.account(plan.session_date, at_ns))
        except (RetryableBrokerError, StopTradingError) as error:
            # Risk allows nothing on an account it does not know, so a day without this report trades nothing.
            return (_broker_halt(error, now_ns),)


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
    )


def _unknown(key: str, error: Exception, now_ns: int) -> m.Message:
    return r.BrokerUnknown(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=str(error)[:_TEXT_MAX])


def _broker_halt(error: Exception, now_ns: int) -> m.HaltRaised:
    return m.HaltRaised(
        ts_event=now_ns,
        ts_init=now_ns,
        counter=0,
        source="execution",
        rule="broker_failure",
        detail=str(error)[:_TEXT_MAX],
    )


def build(setup: Setup) -> Assembly[ExecutionState]:
    """Open the broker and put execution together.

    Raises:
        CannotStartError: the broker's books cannot be used, or BROKER_NAME is not a broker of this version.
    """
    settings = ExecutionSettings.from_env(setup.env)
    # BROKER_NAME: the embedded paper broker is the one broker of this version.
    if settings.broker_name != "PAPER":
        raise CannotStartError(
            f"BROKER_NAME is '{settings.broker_name}', but this version trades through PAPER only: "
            "set BROKER_NAME to PAPER on the configuration page"
        )
    setup.paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        broker = PaperBroker(
            setup.paths.state / PAPER_BOOKS,
            starting_cash_micros=settings.paper_starting_cash_micros,
            slippage_ppm=settings.paper_slippage_ppm,
        )
    except (RetryableBrokerError, StopTradingError) as error:
        raise CannotStartError(str(error)) from error
    control = ControlFolder(setup.paths)
    shell = ExecutionShell(broker, lambda rule, detail: control.raise_halt("execution", rule, detail))
    core = ExecutionCore(settings, setup.identity.bot_identity)
    return Assembly(core=core, shell=shell, self_check=broker.faults, attach=shell.attach)
