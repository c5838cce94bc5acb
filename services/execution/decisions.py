"""What decisions are made of: reasons, the orders that follow from a fill, the steps of an exit."""

from typing import Final

from bus import messages as m
from services.execution import closing, funds, guarding
from services.execution.brokers import reports as r
from services.execution.closing import is_late
from services.execution.intents import Intent, IntentEvent, fold, intent_of
from services.execution.orders import OPENING_LEGS, Order, OrderState, client_order_id
from services.execution.quantities import shares
from services.execution.state import KILL_SWITCH_REASON, ExecutionState

#: An exit that the broker refuses this often needs a person: sending it again has not helped.
EXIT_ATTEMPTS_MAX: Final = 5
_BASIS_POINTS: Final = 10_000
_TEXT_MAX: Final = 400


def anomaly_halt(detail: str, now_ns: int) -> m.HaltRaised:
    """Return execution's own halt; its number is given by the record that the shell writes."""
    return m.HaltRaised(
        ts_event=now_ns,
        ts_init=now_ns,
        counter=0,
        source="execution",
        rule="broker_anomaly",
        detail=f"{detail}. Compare the orders page with the broker, then arm again."[:_TEXT_MAX],
    )


def stands_refusal(state: ExecutionState, order: m.OrderPrepared, now_ns: int) -> str | None:
    """Return why an entry may not stand at the broker now; None when it may, and for stops and exits."""
    if order.leg not in OPENING_LEGS:
        return None
    if state.is_killed:
        return KILL_SWITCH_REASON
    if state.is_halted:
        return "halted"
    if not state.is_armed:
        return "disarmed: an operator arms the chain on the dashboard"
    if now_ns >= order.cancel_at_ns:
        return "too late: ENTRY_TIMEOUT has passed"
    return None


def send_refusal(state: ExecutionState, order: m.OrderPrepared, now_ns: int) -> str | None:
    """Return why an order may not be sent now, before the gate is asked; None when it may."""
    if order.leg == "fund":
        return funds.time_refusal(state, order, now_ns) or stands_refusal(state, order, now_ns)
    if order.leg != "entry":
        return None
    if order.side != "BUY" or order.qty_nanos <= 0:
        return "an entry must buy a positive quantity: this bot does not sell short"
    if state.plan is None or state.plan.session_date != order.session_date:
        return f"there is no session plan for {order.session_date}"
    if now_ns >= min(order.exit_at_ns, state.plan.flatten_ns):
        return "too late: the time to sell has come"
    if now_ns > order.expires_ns:
        return "too late: SIGNAL_TTL has passed"
    return stands_refusal(state, order, now_ns)


def is_market_open(state: ExecutionState, now_ns: int) -> bool:
    """Tell whether a sale would meet the market of the planned session."""
    plan = state.plan
    return plan is not None and plan.is_trading_day and plan.open_ns <= now_ns < plan.close_ns


def exit_reason(state: ExecutionState, intent: Intent, now_ns: int) -> str:
    """Return why the intent has to end now; empty when it has not."""
    if intent.exit_reason or intent.is_of_holdings:
        return intent.exit_reason
    plan = state.plan
    if plan is not None and plan.session_date == intent.session_date and now_ns >= plan.flatten_ns:
        return "end of session: everything is sold FLATTEN_BEFORE_CLOSE"
    if now_ns >= intent.exit_at_ns:
        return "time exit: the planned holding time is over"
    return ""


def close_of(intent: Intent, reason: str, now_ns: int) -> m.CloseIntent:
    """Return the event that execution itself wants an intent sold."""
    return m.CloseIntent(
        ts_event=now_ns,
        ts_init=now_ns,
        intent_id=intent.intent_id,
        session_date=intent.session_date,
        reason=reason,
    )


def warnings(state: ExecutionState, now_ns: int) -> str:
    """Return what a person has to know now, beside the drain and what is not the bot's; at most 400 characters."""
    intents = state.open_intents()
    held = [guarding.words(intent, state.peaks_micros.get(intent.intent_id, 0)) for intent in intents]
    guarded = ", ".join(filter(None, held))
    taken_back = [event.detail for key, event in state.reversed_fills.items() if state.booked_fill(key)]
    parts = (
        closing.words(state.plan, intents, now_ns),
        state.warnings,
        _stuck_words(state),
        _guard_words(state, guarded, now_ns),
        *taken_back,
    )
    return "; ".join(filter(None, parts))[:_TEXT_MAX]


def _stuck_words(state: ExecutionState) -> str:
    """Return which positions cannot be sold as the broker has it now; empty when all can."""
    held = [intent for intent in state.open_intents() if intent.held_nanos > 0]
    stuck = [f"{one.symbol} {shares(one.held_nanos)}" for one in held if state.is_stuck(one.symbol)]
    parts = [
        f"{one.symbol} {shares(one.held_nanos)}"
        for one in held
        if one.held_nanos % m.NANOS and (line := state.assets.get(one.symbol)) is not None and not line.is_fractionable
    ]
    words = [f"STUCK, the broker does not let it be traded now: {', '.join(stuck)}"] if stuck else []
    if parts:
        words.append(f"in fractions that the broker does not take any more: {', '.join(parts)}")
    return "; ".join(words)


def _guard_words(state: ExecutionState, guarded: str, now_ns: int) -> str:
    if not guarded:
        return ""
    if is_market_open(state, now_ns):
        return f"only this process protects, no stop rests at the broker: {guarded}"
    return f"UNPROTECTED until the next session, no broker takes a stop for it: {guarded}"


def entry_of(message: m.SubmitOrder, account: str, now_ns: int) -> m.OrderPrepared:
    """Return the entry order of an approved intent, or the one order of the holdings that it is."""
    leg: m.Leg = "fund" if message.strategy == "holdings" else "entry"
    return m.OrderPrepared(
        ts_event=now_ns,
        ts_init=now_ns,
        client_order_id=client_order_id(account, message.intent_id, leg, attempt=1),
        intent_id=message.intent_id,
        leg=leg,
        attempt=1,
        session_date=message.session_date,
        strategy=message.strategy,
        symbol=message.symbol,
        side=message.side,
        qty_nanos=message.qty_nanos,
        order_type=message.order_type,
        limit_micros=message.limit_micros,
        stop_micros=0,
        trail_bps=message.trail_bps,
        expires_ns=message.expires_ns,
        cancel_at_ns=message.cancel_at_ns,
        exit_at_ns=message.exit_at_ns,
        reason=message.reason,
        reference_micros=message.reference_micros,
        target_micros=message.target_micros,
    )


def filled_of(order: Order, report: r.BrokerFill, now_ns: int) -> m.OrderFilled:
    """Return the event that books one execution of an order."""
    prepared = order.prepared
    return m.OrderFilled(
        ts_event=report.ts_event,
        ts_init=now_ns,
        execution_id=report.execution_id,
        client_order_id=prepared.client_order_id,
        broker_order_id=report.broker_order_id,
        intent_id=prepared.intent_id,
        leg=prepared.leg,
        session_date=prepared.session_date,
        strategy=prepared.strategy,
        symbol=prepared.symbol,
        side=prepared.side,
        qty_nanos=report.qty_nanos,
        price_micros=report.price_micros,
        commission_micros=report.commission_micros,
        cumulative_qty_nanos=order.filled_nanos + report.qty_nanos,
        order_qty_nanos=prepared.qty_nanos,
        broker=report.broker,
        reason=prepared.reason,
    )


class Decision:
    """What is decided about one intent: the events so far, and the intent as they leave it."""

    def __init__(self, intent: Intent, account: str, now_ns: int) -> None:
        self.intent = intent
        self.events: list[m.Message] = []
        self._account = account
        self._now_ns = now_ns

    @classmethod
    def opened_by(cls, entry: m.OrderPrepared, account: str, now_ns: int) -> "Decision":
        """Return the decision that begins a new intent with its entry."""
        decision = cls(intent_of(entry), account, now_ns)
        decision.say(entry)
        return decision

    def say(self, event: IntentEvent) -> None:
        """Add an event."""
        self.events.append(event)
        self.intent = fold(self.intent, event)

    def expire(self, key: str, detail: str) -> None:
        """Give up an order that was never sent."""
        now = self._now_ns
        self.say(m.OrderExpired(ts_event=now, ts_init=now, client_order_id=key, detail=detail[:_TEXT_MAX]))

    def _cancel(self, order: Order, detail: str) -> None:
        """Stop one order: at the broker when it rests there, here when it was never sent."""
        now = self._now_ns
        if order.state is OrderState.PREPARED:
            self.expire(order.client_order_id, detail)
        elif order.is_resting:
            self.say(
                m.CancelRequested(
                    ts_event=now,
                    ts_init=now,
                    client_order_id=order.client_order_id,
                    detail=detail[:_TEXT_MAX],
                )
            )
        # An UNKNOWN order is looked up first, and a pending cancel is not asked for twice.

    def cancel_entries(self, reason: str) -> None:
        """Stop what could still add to the position."""
        for order in self.intent.open_orders:
            if order.is_opening:
                self._cancel(order, reason)

    def leave(self, state: ExecutionState, reason: str) -> None:
        """Take every step towards having nothing that can be taken now: first the cancels, then the sale."""
        for order in self.intent.open_orders:
            if order.leg != "exit":
                self._cancel(order, reason)
        self.exit_when_free(state, reason)
        self.close_when_over()

    def press(self, pressed_ns: int) -> None:
        """Cancel a sale that rests since before this moment; it is sent again once the cancel is confirmed."""
        for order in self.intent.open_orders:
            if is_late(order, pressed_ns):
                self._cancel(order, "not sold yet, and the close is near: sent again once it is cancelled")

    def exit_when_free(self, state: ExecutionState, reason: str) -> None:
        """Prepare the sale of what is held, once no other order can change how much that is."""
        intent = self.intent
        if intent.held_nanos <= 0 or intent.open_orders or intent.attempts("exit") >= EXIT_ATTEMPTS_MAX:
            return
        if intent.attempts("exit") and state.is_stuck(intent.symbol):
            # A sale was tried and refused: the next one follows when the broker lets the symbol be traded again.
            return
        date = state.plan.session_date if state.plan else intent.session_date
        self.say(self._sell("exit", intent.held_nanos, reason=reason, session_date=date))

    def close_when_over(self) -> None:
        """Close the intent when nothing is held and nothing can fill any more."""
        intent = self.intent
        if intent.is_closed or intent.held_nanos or intent.open_orders:
            return
        now = self._now_ns
        self.say(m.IntentClosed(ts_event=now, ts_init=now, intent_id=intent.intent_id, symbol=intent.symbol))
        if intent.is_of_holdings:
            self.events.append(funds.ended(intent, now))

    def stop_for(self, filled: m.OrderFilled) -> m.OrderPrepared:
        """Return the protective stop of one fill of an entry; it begins one trail below that fill."""
        trail_bps = self.intent.trail_bps
        return self._sell(
            "stop",
            filled.qty_nanos,
            reason=f"trailing stop {trail_bps // 100}.{trail_bps % 100:02d} % for {filled.execution_id}",
            session_date=filled.session_date,
            stop_micros=filled.price_micros * (_BASIS_POINTS - trail_bps) // _BASIS_POINTS,
        )

    def renewed_stop(self, lost: Order) -> m.OrderPrepared:
        """Return the next attempt of a stop that never reached the broker."""
        prepared = lost.prepared
        return self._sell(
            "stop",
            prepared.qty_nanos,
            reason=prepared.reason,
            session_date=prepared.session_date,
            stop_micros=prepared.stop_micros,
        )

    def _sell(
        self, leg: m.Leg, qty_nanos: int, *, reason: str, session_date: str, stop_micros: int = 0
    ) -> m.OrderPrepared:
        """Return a sale. Its times are 0: what protects or ends a position is never too late to send."""
        intent = self.intent
        attempt = intent.attempts(leg) + 1
        return m.OrderPrepared(
            ts_event=self._now_ns,
            ts_init=self._now_ns,
            client_order_id=client_order_id(self._account, intent.intent_id, leg, attempt=attempt),
            intent_id=intent.intent_id,
            leg=leg,
            attempt=attempt,
            session_date=session_date,
            strategy=intent.strategy,
            symbol=intent.symbol,
            side="SELL",
            qty_nanos=qty_nanos,
            order_type="TRAILING_STOP" if leg == "stop" else "MARKET",
            limit_micros=0,
            stop_micros=stop_micros,
            trail_bps=intent.trail_bps if leg == "stop" else 0,
            expires_ns=0,
            cancel_at_ns=0,
            exit_at_ns=intent.exit_at_ns,
            reason=reason,
        )
