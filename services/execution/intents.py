"""One intent and all its orders: the entry, the stop of each fill, the exit; folded from events."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bus import messages as m
from bus.instruments import is_option
from services.execution.orders import FINAL_STATES, OPENING_LEGS, Order, OrderState, Trigger, next_state

OrderEvent = (
    m.OrderPrepared
    | m.OrderUnknown
    | m.OrderAccepted
    | m.OrderRejected
    | m.OrderExpired
    | m.OrderFilled
    | m.FillReversed
    | m.CancelRequested
    | m.OrderCancelled
)
_ENDS: Final = frozenset({m.OrderRejected, m.OrderExpired, m.OrderCancelled})
#: What an event is to the table of its order, but for a fill: that may leave a rest.
_TRIGGERS: Final[dict[type[m.Message], Trigger]] = {
    m.FillReversed: Trigger.REVERSED,
    m.OrderAccepted: Trigger.ACCEPTED,
    m.OrderRejected: Trigger.REJECTED,
    m.OrderExpired: Trigger.EXPIRED,
    m.OrderUnknown: Trigger.UNKNOWN,
    m.CancelRequested: Trigger.CANCEL_REQUESTED,
    m.OrderCancelled: Trigger.CANCELLED,
}
IntentEvent = OrderEvent | m.CloseIntent | m.IntentClosed


#: Decided and not committed yet: by the id of the event, with the intent before and after it.
_FOLDED_MAX: Final = 4_096
_folded: dict[int, tuple["Intent", IntentEvent, "Intent"]] = {}


class Intent(Struct, frozen=True, kw_only=True, gc=False):
    """What risk approved, and what became of it.

    `exit_reason` is set once something other than the time wants the position sold, and stays set. `guarded_nanos` is
    what was bought of an option or in fractions of a share, for which execution keeps the stop itself, and
    `guarded_from_micros` the highest price that was paid for it. `gone_nanos` left without a trade, as by an expiry;
    below zero = it came, as by a split. `end_detail` is what was said of the order that ended last without being filled
    whole.
    """

    intent_id: str
    session_date: str
    strategy: m.OrderOwner
    symbol: str
    trail_bps: int
    cancel_at_ns: int
    exit_at_ns: int
    target_micros: int = 0
    orders: tuple[Order, ...] = ()
    guarded_nanos: int = 0
    guarded_from_micros: int = 0
    gone_nanos: int = 0
    exit_reason: str = ""
    end_detail: str = ""
    is_closed: bool = False

    @property
    def held_nanos(self) -> int:
        """Return what was bought and not yet sold; negative only when a broker contradicts us.

        What an order of the holdings has bought is none of it: nothing here protects or sells that.
        """
        held = -self.gone_nanos
        for order in self.orders:
            filled = order.filled_nanos
            if filled:
                prepared = order.prepared
                if prepared.leg != "fund":
                    held += filled if prepared.side == "BUY" else -filled
        return held

    @property
    def is_of_holdings(self) -> bool:
        """Tell whether it is an order of the long-term holdings, and no position of a strategy."""
        return self.strategy == "holdings"

    @property
    def open_orders(self) -> tuple[Order, ...]:
        """Return the orders that may still fill or be sent, oldest first."""
        return tuple([order for order in self.orders if order.state not in FINAL_STATES])

    @property
    def has_open_entry(self) -> bool:
        """Tell whether more may still be bought."""
        return bool([o for o in self.orders if o.state not in FINAL_STATES and o.prepared.leg in OPENING_LEGS])

    def order(self, client_order_id: str) -> Order:
        """Return one of its orders.

        Raises:
            KeyError: the intent has no such order.
        """
        for order in self.orders:
            if order.prepared.client_order_id == client_order_id:
                return order
        raise KeyError(client_order_id)

    def attempts(self, leg: m.Leg) -> int:
        """Return how many orders of a leg there have been."""
        return len([order for order in self.orders if order.prepared.leg == leg])


def intent_of(entry: m.OrderPrepared) -> Intent:
    """Return the new intent that an entry opens, still without the order itself."""
    return Intent(
        intent_id=entry.intent_id,
        session_date=entry.session_date,
        strategy=entry.strategy,
        symbol=entry.symbol,
        trail_bps=entry.trail_bps,
        cancel_at_ns=entry.cancel_at_ns,
        exit_at_ns=entry.exit_at_ns,
        target_micros=entry.target_micros,
    )


def gone_without_a_trade(intent: Intent, qty_nanos: int) -> Intent:
    """Return the intent after so much of what it held has left without a trade; below zero = has come."""
    return replace(intent, gone_nanos=intent.gone_nanos + qty_nanos)


def split(intent: Intent, numerator: int, denominator: int) -> Intent:
    """Return the intent after a split of what it holds, rounded down to a billionth of a share."""
    held = max(intent.held_nanos, 0)
    return gone_without_a_trade(intent, held - held * numerator // denominator)


def needs_guard(fill: m.OrderFilled) -> bool:
    """Tell whether a fill of an entry is one that brokers take no stop for: of an option, or with a fraction."""
    return fill.leg == "entry" and (fill.qty_nanos % m.NANOS != 0 or is_option(fill.symbol))


def fold(intent: Intent, event: IntentEvent) -> Intent:
    """Return the intent after one of its events.

    What is decided is folded when the decision goes on, and once more when it is committed. The second time the very
    same intent and event give what they gave before.

    Raises:
        IllegalTransitionError: the event does not fit the order's state.
        KeyError: the event is about an order of another intent.
    """
    key = id(event)
    known = _folded.pop(key, None)
    if known is not None and known[0] is intent and known[1] is event:
        return known[2]
    after = _fold(intent, event)
    if len(_folded) >= _FOLDED_MAX:
        _folded.clear()
    # Holding both keeps their ids from being given to others.
    _folded[key] = intent, event, after
    return after


def _fold(intent: Intent, event: IntentEvent) -> Intent:
    if type(event) is m.OrderPrepared:
        return replace(intent, orders=(*intent.orders, Order(prepared=event, ts_ns=event.ts_init)))
    if type(event) is m.IntentClosed:
        return replace(intent, is_closed=True)
    if type(event) is m.CloseIntent:
        return replace(intent, exit_reason=intent.exit_reason or event.reason or "its strategy wants it sold")
    if type(event) is m.OrderFilled and needs_guard(event):
        guarded = _fold_order(intent, event)
        return replace(
            guarded,
            guarded_nanos=guarded.guarded_nanos + event.qty_nanos,
            guarded_from_micros=max(guarded.guarded_from_micros, event.price_micros),
        )
    return _fold_order(intent, event)  # type: ignore[arg-type]  # what is none of an order was looked for above


def _fold_order(intent: Intent, event: OrderEvent) -> Intent:
    before = intent.order(event.client_order_id)
    after = fold_order(before, event)
    orders = tuple([after if order is before else order for order in intent.orders])
    return replace(
        intent,
        orders=orders,
        end_detail=event.detail if type(event) in _ENDS else intent.end_detail,  # type: ignore[union-attr]  # each has one
        exit_reason=intent.exit_reason or _lost_protection(before, after) or _given_up_protection(before, event),
        # A fill after the end, or the loss of one, re-opens the intent: what it holds has to be protected and sold.
        is_closed=intent.is_closed and not isinstance(event, m.OrderFilled | m.FillReversed) and not after.is_open,
    )


def fold_order(order: Order, event: OrderEvent) -> Order:
    """Return the order after one of its events, other than its preparation.

    Raises:
        IllegalTransitionError: the event does not fit the order's state.
    """
    state = next_state(order.state, trigger_of(order, event))
    if type(event) is m.OrderFilled:
        return replace(
            order,
            state=state,
            ts_ns=event.ts_event,
            broker_order_id=event.broker_order_id,
            filled_nanos=order.filled_nanos + event.qty_nanos,
            paid=order.paid + event.price_micros * event.qty_nanos,
            execution_ids=(*order.execution_ids, event.execution_id),
        )
    if type(event) is m.OrderAccepted:
        return replace(order, state=state, ts_ns=event.ts_event, broker_order_id=event.broker_order_id)
    if type(event) is m.FillReversed:
        # Its id stays known: the broker may go on listing what it took back.
        return replace(
            order,
            state=state,
            ts_ns=event.ts_event,
            filled_nanos=order.filled_nanos - event.qty_nanos,
            paid=order.paid - event.price_micros * event.qty_nanos,
        )
    return replace(order, state=state, ts_ns=event.ts_event)


def trigger_of(order: Order, event: OrderEvent) -> Trigger:
    """Return what an event is to the order's table."""
    if type(event) is m.OrderFilled:
        return order.trigger_of_fill(event.qty_nanos)
    trigger = _TRIGGERS.get(type(event))
    if trigger is None:
        raise ValueError("an order is prepared once, before it has a state")
    return trigger


def _lost_protection(before: Order, after: Order) -> str:
    """Return why a position lost its stop without our asking; empty when it did not."""
    if after.leg != "stop" or before.state in FINAL_STATES:
        return ""
    if after.state is OrderState.REJECTED:
        return "its protective stop was rejected"
    if after.state is OrderState.CANCELLED and before.state is not OrderState.CANCEL_PENDING:
        return "its protective stop was cancelled by the broker"
    return ""


def _given_up_protection(stop: Order, event: OrderEvent) -> str:
    """Return why a stop is cancelled on our request: only ever to sell what it guards, also after a crash."""
    return event.detail if type(event) is m.CancelRequested and stop.leg == "stop" else ""
