"""The decider: what to prepare, cancel, expire, protect and close. Pure: facts in, events out."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from bus import messages as m
from bus.decider import Core
from services.execution import account_events, closing, guarding, reversing, telling
from services.execution import decisions as d
from services.execution.brokers import reports as r
from services.execution.decisions import Decision
from services.execution.intents import Intent, OrderEvent, needs_guard
from services.execution.orders import FINAL_STATES, IllegalTransitionError, Order, OrderState
from services.execution.settings import ExecutionSettings
from services.execution.state import KILL_SWITCH_REASON, ExecutionState, halt_reason

if TYPE_CHECKING:
    from bus.ahead import Ahead

SNAPSHOT_ORDERS_MAX: Final = 150
#: A fill of an order in one of these contradicts what the broker said: it is booked, and the chain halts.
_CANNOT_FILL: Final = frozenset({OrderState.REJECTED, OrderState.EXPIRED, OrderState.FILLED})

#: The broker may be asked to cancel these though they are over for us.
_MAY_BE_ASKED_AGAIN: Final = frozenset({OrderState.FILLED, OrderState.CANCELLED})
#: Why orders are cancelled and positions sold when the process was told to stop.
STOP_REASON: Final = "stopped: the bot was told to stop"

_Handler = Callable[[ExecutionState, Any, int], Sequence[m.Message]]


class ExecutionCore(Core[ExecutionState]):
    """Decides on orders.

    Args:
        settings: what the operator set.
        account: names the bot in every client order id.
        one_side_at_a_time: the broker takes no stop while the rest of an entry is open in the same symbol.
    """

    def __init__(self, settings: ExecutionSettings, account: str, *, one_side_at_a_time: bool = False) -> None:
        self._settings = settings
        self._account = account
        self._one_side_at_a_time = one_side_at_a_time
        self._handlers: dict[type[m.Message], _Handler] = {
            m.QuoteBatch: self._on_market,
            m.BarBatch: self._on_market,
            m.PastBars: self._on_market,
            m.FeedEnded: self._on_market,
            m.SessionPlanned: _journaled,
            m.ChainArmed: _journaled,
            m.ChainDisarmed: self._on_disarmed,
            m.HaltRaised: self._on_halt,
            m.KillSwitchTripped: self._on_kill_switch,
            m.SubmitOrder: self._on_submit,
            m.CloseIntent: self._on_close_intent,
            r.BrokerAccepted: self._on_accepted,
            r.BrokerRejected: self._on_rejected,
            r.BrokerUnknown: self._on_unknown,
            r.BrokerNotFound: self._on_not_found,
            r.OrderNotSent: self._on_not_sent,
            r.BrokerFill: self._on_fill,
            r.BrokerCancelled: self._on_cancelled,
            r.BrokerAccount: _on_account,
            r.BrokerStatement: _on_statement,
            r.BrokerAssets: _on_assets,
            r.BrokerCash: self._on_activity,
            r.BrokerExpiry: self._on_activity,
            r.BrokerExercise: self._on_activity,
            r.BrokerSplit: self._on_activity,
            r.BrokerReversal: self._on_reversal,
            r.CancelDue: self._on_cancel_due,
            r.StillOpen: self._on_still_open,
            r.BooksDisagree: self._on_disagreement,
            r.StopRequested: self._on_stop_requested,
        }

    def initial(self) -> ExecutionState:
        """Return the state of a chain that nobody has armed."""
        # HALT_POSITIONS
        return ExecutionState(flattens_on_halt=self._settings.halt_positions == "flatten")

    def observe(self, state: ExecutionState, data: m.MarketMessage) -> ExecutionState:
        """Fold what execution watches itself; what market data does to orders, the broker tells."""
        if isinstance(data, m.QuoteBatch):
            state.hear(data)
        return state

    def quiet_for(self, state: ExecutionState, ahead: "Ahead") -> int:
        """Return how many messages come before an intent has to be looked at; none while a quote may end one."""
        return 0 if state.watches_quotes else ahead.until(state.due_ns)

    def let_pass(self, state: ExecutionState, ahead: "Ahead") -> ExecutionState:
        """Keep nothing: no quote is watched."""
        return state

    def decide(self, state: ExecutionState, message: m.Message, now_ns: int) -> Sequence[m.Message]:
        """Return what follows from a command, a broker's report, or the time that market data brings.

        Raises:
            TypeError: execution does not hear this type.
        """
        handler = self._handlers.get(type(message))
        if handler is None:
            raise TypeError(f"execution does not hear {type(message).__name__}: see bus/routes.py")
        return handler(state, message, now_ns)

    def evolve(self, state: ExecutionState, event: m.Message) -> ExecutionState:
        """Fold one event; the state is changed in place and returned, and only the newest is ever kept."""
        return state.folded(event)

    def snapshot(self, state: ExecutionState, now_ns: int) -> Sequence[m.StatusMessage]:
        """Return the orders of the day, the newest 150, oldest first."""
        orders = state.orders()
        lines = telling.order_lines(orders[-SNAPSHOT_ORDERS_MAX:], state.stops)
        return (
            m.OrdersSnapshot(
                ts_event=now_ns,
                ts_init=now_ns,
                orders=lines,
                orders_total=len(orders),
                drain=state.drain,
                external=state.external,
                warnings=d.warnings(state, now_ns),
                stops=telling.stop_lines(state.open_intents(), state.stops, state.peaks_micros),
            ),
        )

    # --- commands and time -----

    def _on_submit(self, state: ExecutionState, message: m.SubmitOrder, now_ns: int) -> Sequence[m.Message]:
        if message.intent_id in state.intent_ids:
            return ()
        entry = d.entry_of(message, self._account, now_ns)
        step = Decision.opened_by(entry, self._account, now_ns)
        # Every request gets an answer: an order that may not be sent is prepared too, and expires at once.
        refusal = d.send_refusal(state, entry, now_ns)
        if refusal:
            step.expire(entry.client_order_id, refusal)
            step.close_when_over()
        return step.events

    def _on_close_intent(self, state: ExecutionState, message: m.CloseIntent, now_ns: int) -> Sequence[m.Message]:
        # The event sets the intent's exit reason, so from now on it is what a time exit is: tried until it is done.
        intent = state.open_intent(message.intent_id)
        if intent is None or intent.exit_reason:
            return ()
        step = self._step(intent, now_ns)
        step.say(message)
        step.leave(state, step.intent.exit_reason)
        return step.events

    def _on_market(self, state: ExecutionState, message: m.Message, now_ns: int) -> Sequence[m.Message]:
        events: list[m.Message] = []
        for intent in state.open_intents() if now_ns >= state.due_ns else state.watched_intents():
            step = self._step(intent, now_ns)
            reason = d.exit_reason(state, intent, now_ns)
            if reason:
                step.leave(state, reason)
                step.press(closing.pressed_at_ns(state.plan, now_ns))
            elif reached := self._reached(state, intent, message):
                step.say(d.close_of(intent, reached, now_ns))
                step.leave(state, reached)
            elif now_ns >= intent.cancel_at_ns:
                step.cancel_entries("unfilled for longer than ENTRY_TIMEOUT allows")
            events.extend(step.events)
        return events

    def _reached(self, state: ExecutionState, intent: Intent, message: m.Message) -> str:
        """Return why a quote ends what execution watches itself: a target, or the stop of a fraction of a share."""
        if not isinstance(message, m.QuoteBatch) or not guarding.is_watched(intent):
            return ""
        peak = state.peaks_micros.get(intent.intent_id, 0)
        return guarding.reason_to_sell(intent, message.quote_of(intent.symbol), peak)

    def _on_disarmed(self, state: ExecutionState, message: m.ChainDisarmed, now_ns: int) -> Sequence[m.Message]:
        return (message, *self._stop_entries(state, state.open_intents(), "disarmed", now_ns))

    def _on_kill_switch(self, state: ExecutionState, message: m.KillSwitchTripped, now_ns: int) -> Sequence[m.Message]:
        # A loss beyond DAILY_LOSS_LIMIT always sells, whatever HALT_POSITIONS says.
        return (message, *self._leave_all(state, KILL_SWITCH_REASON, now_ns))

    def _on_halt(self, state: ExecutionState, message: m.HaltRaised, now_ns: int) -> Sequence[m.Message]:
        if state.has_answered(message):
            return ()
        return (message, *self._after_halt(state, state.open_intents(), message, now_ns))

    def _after_halt(
        self, state: ExecutionState, intents: Iterable[Intent], halt: m.HaltRaised, now_ns: int
    ) -> Sequence[m.Message]:
        # HALT_POSITIONS: flatten sells everything; keep leaves the positions to their protective stops.
        if self._settings.halt_positions == "flatten":
            return self._leave_all(state, halt_reason(halt), now_ns, intents=intents)
        return self._stop_entries(state, intents, halt_reason(halt), now_ns)

    def _leave_all(
        self, state: ExecutionState, reason: str, now_ns: int, *, intents: Iterable[Intent] | None = None
    ) -> Sequence[m.Message]:
        events: list[m.Message] = []
        for intent in state.open_intents() if intents is None else intents:
            step = self._step(intent, now_ns)
            step.leave(state, reason)
            events.extend(step.events)
        return events

    def _stop_entries(
        self, state: ExecutionState, intents: Iterable[Intent], reason: str, now_ns: int
    ) -> Sequence[m.Message]:
        events: list[m.Message] = []
        for intent in intents:
            step = self._step(intent, now_ns)
            step.cancel_entries(reason)
            step.close_when_over()
            events.extend(step.events)
        return events

    def _on_cancel_due(self, state: ExecutionState, report: r.CancelDue, now_ns: int) -> Sequence[m.Message]:
        """Cancel an entry that may not stand; a stop or an exit only goes where everything is being sold."""
        order = state.find(report.client_order_id)
        if order is None or not order.is_open:
            return ()
        step = self._step(state.intent_with(order), now_ns)
        if order.is_opening:
            step.cancel_entries(report.detail)
            step.close_when_over()
        elif state.is_flattening:
            step.leave(state, step.intent.exit_reason or report.detail)
        return step.events

    def _on_stop_requested(self, state: ExecutionState, report: r.StopRequested, now_ns: int) -> Sequence[m.Message]:
        # STOP_POSITIONS: flatten sells while the market is open; keep leaves the protective stops at the broker.
        if self._settings.stop_positions == "flatten" and d.is_market_open(state, now_ns):
            return self._leave_all(state, STOP_REASON, now_ns)
        return self._stop_entries(state, state.open_intents(), STOP_REASON, now_ns)

    def _step(self, intent: Intent, now_ns: int) -> Decision:
        return Decision(intent, self._account, now_ns)

    # --- the broker's reports -----

    def _on_accepted(self, state: ExecutionState, report: r.BrokerAccepted, now_ns: int) -> Sequence[m.Message]:
        order = state.find(report.client_order_id)
        if order is None:
            return self._strange_order(state, report, now_ns)
        if order.broker_order_id not in {"", report.broker_order_id}:
            pair = f"{order.broker_order_id} and {report.broker_order_id}"
            detail = f"{order.client_order_id} is two orders at the broker: {pair}"
            return self._anomaly(state, detail, now_ns)
        if order.broker_order_id:
            return ()
        event = m.OrderAccepted(
            ts_event=report.ts_event,
            ts_init=now_ns,
            client_order_id=report.client_order_id,
            broker_order_id=report.broker_order_id,
        )
        was_given_up = order.state is OrderState.EXPIRED
        step = self._legal(state, order, event, now_ns)
        if step is None:
            return self._contradiction(state, order, event, now_ns)
        # An acceptance that is heard late may meet a chain that has stopped since: the entry must not stay.
        refusal = d.stands_refusal(state, order.prepared, now_ns)
        if refusal:
            step.cancel_entries(refusal)
        if was_given_up:
            return self._halted_after(
                state, step, f"{order.client_order_id} was given up, but the broker has it", now_ns
            )
        return step.events

    def _on_rejected(self, state: ExecutionState, report: r.BrokerRejected, now_ns: int) -> Sequence[m.Message]:
        order = state.find(report.client_order_id)
        if order is None:
            return self._strange_order(state, report, now_ns)
        if order.state is OrderState.REJECTED:
            return ()
        event = m.OrderRejected(
            ts_event=report.ts_event,
            ts_init=now_ns,
            client_order_id=report.client_order_id,
            detail=report.detail,
        )
        step = self._legal(state, order, event, now_ns)
        if step is None:
            return self._contradiction(state, order, event, now_ns)
        step.close_when_over()
        if order.is_opening:
            return step.events
        # A stop or an exit that is refused leaves a position that nothing protects: a person must know.
        # The next market data sells what the stop does not guard, up to EXIT_ATTEMPTS_MAX times.
        return self._halted_after(state, step, f"the {order.leg} order was rejected: {report.detail}", now_ns)

    def _on_unknown(self, state: ExecutionState, report: r.BrokerUnknown, now_ns: int) -> Sequence[m.Message]:
        order = state.find(report.client_order_id)
        if order is None:
            return self._strange_order(state, report, now_ns)
        if order.state is not OrderState.PREPARED:
            # The order is known by now, or known to be unknown: the report adds nothing.
            return ()
        step = self._step(state.intent_with(order), now_ns)
        step.say(
            m.OrderUnknown(
                ts_event=report.ts_event,
                ts_init=now_ns,
                client_order_id=report.client_order_id,
                detail=report.detail,
            )
        )
        return step.events

    def _on_not_found(self, state: ExecutionState, report: r.BrokerNotFound, now_ns: int) -> Sequence[m.Message]:
        order = state.find(report.client_order_id)
        if order is None:
            return self._strange_order(state, report, now_ns)
        if order.state in FINAL_STATES and not order.broker_order_id:
            return ()
        event = m.OrderExpired(
            ts_event=report.ts_event,
            ts_init=now_ns,
            client_order_id=report.client_order_id,
            detail=report.detail,
        )
        step = self._legal(state, order, event, now_ns)
        if step is None:
            return self._contradiction(state, order, event, now_ns)
        if order.leg == "stop" and not step.intent.exit_reason:
            # It is proven that no stop rests for these shares, so the next attempt cannot double one.
            step.say(step.renewed_stop(order))
        self._go_on(state, step, now_ns)
        return step.events

    def _on_not_sent(self, state: ExecutionState, report: r.OrderNotSent, now_ns: int) -> Sequence[m.Message]:
        order = state.find(report.client_order_id)
        if order is None or order.state is not OrderState.PREPARED:
            return ()
        step = self._step(state.intent_with(order), now_ns)
        step.expire(order.client_order_id, report.detail)
        step.close_when_over()
        return step.events

    def _on_fill(self, state: ExecutionState, report: r.BrokerFill, now_ns: int) -> Sequence[m.Message]:
        order = state.find(report.client_order_id)
        if order is None:
            return self._strange_order(state, report, now_ns)
        if report.execution_id in order.execution_ids:
            return ()
        step = self._step(state.intent_with(order), now_ns)
        filled = d.filled_of(order, report, now_ns)
        step.say(filled)
        # One stop for each fill, at once: what is protected is always exactly what is held. No broker takes one for a
        # fraction of a share or an option, so that is guarded here, on the quotes that are heard.
        if order.leg == "entry" and not needs_guard(filled):
            step.say(step.stop_for(filled))
            if self._one_side_at_a_time:
                # A part that is protected is worth more than the rest; the stop is sent once the cancel is confirmed.
                step.cancel_entries("a part is filled, and its stop is refused while the rest may still be bought")
        self._go_on(state, step, now_ns)
        surprise = _surprise(order, filled, step.intent)
        return self._halted_after(state, step, surprise, now_ns) if surprise else step.events

    def _on_reversal(self, state: ExecutionState, report: r.BrokerReversal, now_ns: int) -> Sequence[m.Message]:
        filled = state.booked_fill(report.execution_id)
        if filled is None or report.execution_id in state.reversed_fills:
            # Somebody else's, or not booked yet: then it is reported again, and taken back once it is.
            return ()
        events, step, halt = reversing.decide(state, filled, report, account=self._account, now_ns=now_ns)
        if not halt:
            return events
        return self._halted_after(state, step, halt, now_ns) if step else (*events, *self._anomaly(state, halt, now_ns))

    def _on_activity(self, state: ExecutionState, report: r.BrokerActivity, now_ns: int) -> Sequence[m.Message]:
        return account_events.on_activity(state, report, self._account, now_ns)

    def _on_cancelled(self, state: ExecutionState, report: r.BrokerCancelled, now_ns: int) -> Sequence[m.Message]:
        order = state.find(report.client_order_id)
        if order is None:
            return self._strange_order(state, report, now_ns)
        if order.state is OrderState.CANCELLED:
            return ()
        event = m.OrderCancelled(
            ts_event=report.ts_event,
            ts_init=now_ns,
            client_order_id=report.client_order_id,
            filled_qty_nanos=report.filled_qty_nanos,
            detail=report.detail,
        )
        step = self._legal(state, order, event, now_ns)
        if step is None or report.filled_qty_nanos != order.filled_nanos:
            return self._contradiction(state, order, event, now_ns)
        self._go_on(state, step, now_ns)
        return step.events

    def _go_on(self, state: ExecutionState, step: Decision, now_ns: int) -> None:
        """Take the next step of an exit that has begun, or close what is over."""
        reason = d.exit_reason(state, step.intent, now_ns)
        if reason and step.intent.held_nanos > 0:
            step.exit_when_free(state, reason)
        step.close_when_over()

    # --- contradictions -----

    def _legal(self, state: ExecutionState, order: Order, event: OrderEvent, now_ns: int) -> Decision | None:
        """Return the decision that begins with this event, or None when the order's table forbids it."""
        step = self._step(state.intent_with(order), now_ns)
        try:
            step.say(event)
        except IllegalTransitionError:
            return None
        return step

    def _on_still_open(self, state: ExecutionState, report: r.StillOpen, now_ns: int) -> Sequence[m.Message]:
        """Halt, and ask once more for the cancel of what would add exposure, where its table allows the question."""
        order = state.find(report.client_order_id)
        if order is None or order.is_open:
            return ()
        asked: Sequence[m.Message] = ()
        if order.is_opening and order.state in _MAY_BE_ASKED_AGAIN:
            asked = (
                m.CancelRequested(
                    ts_event=now_ns, ts_init=now_ns, client_order_id=order.client_order_id, detail=report.detail
                ),
            )
        return (*asked, *self._disagreement(state, report.detail, now_ns))

    def _on_disagreement(self, state: ExecutionState, report: r.BooksDisagree, now_ns: int) -> Sequence[m.Message]:
        return self._disagreement(state, report.detail, now_ns)

    def _disagreement(self, state: ExecutionState, detail: str, now_ns: int) -> Sequence[m.Message]:
        """Halt for what a look at the broker found: it is found again and again, so one halt stands for all of it."""
        return () if state.is_halted else self._anomaly(state, detail, now_ns)

    def _strange_order(self, state: ExecutionState, report: r.OrderReport, now_ns: int) -> Sequence[m.Message]:
        kind = type(report).__name__
        detail = f"the broker reports {kind} for {report.client_order_id}, which is not an order of this day"
        return self._anomaly(state, detail, now_ns)

    def _contradiction(
        self, state: ExecutionState, order: Order, event: OrderEvent, now_ns: int
    ) -> Sequence[m.Message]:
        detail = (
            f"{type(event).__name__} cannot follow: {order.client_order_id} ({order.leg} "
            f"{order.prepared.symbol}) is {order.state}, with {order.filled_nanos} of "
            f"{order.prepared.qty_nanos} billionths of a share filled"
        )
        return self._anomaly(state, detail, now_ns)

    def _anomaly(self, state: ExecutionState, detail: str, now_ns: int) -> Sequence[m.Message]:
        halt = d.anomaly_halt(detail, now_ns)
        return self._on_halt(state, halt, now_ns)

    def _halted_after(self, state: ExecutionState, step: Decision, detail: str, now_ns: int) -> Sequence[m.Message]:
        """Return a decision's events and the halt they call for, which sees the intent as they leave it."""
        halt = d.anomaly_halt(detail, now_ns)
        if state.has_answered(halt):
            return step.events
        others = [intent for intent in state.open_intents() if intent.intent_id != step.intent.intent_id]
        intents = others if step.intent.is_closed else [*others, step.intent]
        return (*step.events, halt, *self._after_halt(state, intents, halt, now_ns))


def _journaled(state: ExecutionState, message: m.Message, now_ns: int) -> Sequence[m.Message]:
    return (message,)


def _on_account(state: ExecutionState, report: r.BrokerAccount, now_ns: int) -> Sequence[m.Message]:
    return (telling.account_reported(report, now_ns),)


def _on_statement(state: ExecutionState, report: r.BrokerStatement, now_ns: int) -> Sequence[m.Message]:
    return (telling.account_stated(report, now_ns),)


def _on_assets(state: ExecutionState, report: r.BrokerAssets, now_ns: int) -> Sequence[m.Message]:
    return (telling.assets_reported(report, now_ns),)


def _surprise(order: Order, filled: m.OrderFilled, after: Intent) -> str:
    """Return what is wrong with a fill that was booked because money has moved; empty when nothing is."""
    if order.state in _CANNOT_FILL:
        return f"{filled.execution_id} fills {order.client_order_id}, which was {order.state}"
    if order.broker_order_id not in {"", filled.broker_order_id}:
        pair = f"{order.broker_order_id} and {filled.broker_order_id}"
        return f"{order.client_order_id} is two orders at the broker: {pair}"
    if filled.cumulative_qty_nanos > filled.order_qty_nanos:
        return f"{filled.execution_id} fills more of {order.client_order_id} than was ordered"
    if after.held_nanos < 0:
        return f"{filled.execution_id} sold more {filled.symbol} than was held"
    return ""
