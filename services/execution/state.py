"""What execution remembers: the orders of the day by intent, who may trade, and what was ever asked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from bus import messages as m
from services.execution.guarding import is_watched, usable_bid
from services.execution.intents import Intent, OrderEvent, fold, gone_without_a_trade, intent_of, split
from services.execution.orders import FINAL_STATES, RESTING_STATES, Order

KILL_SWITCH_REASON: Final = "kill switch: the day's loss went beyond DAILY_LOSS_LIMIT"
#: So many different reasons are journaled between two armings; a person who has to mend the first needs no more.
HALT_DETAILS_MAX: Final = 50
#: Later than every session.
NEVER_DUE_NS: Final = 2**63 - 1
_TEXT_MAX: Final = 400
#: What happens to an order once it is prepared.
_OF_ORDERS: Final = frozenset(
    {
        m.OrderUnknown,
        m.OrderAccepted,
        m.OrderRejected,
        m.OrderExpired,
        m.OrderFilled,
        m.FillReversed,
        m.CancelRequested,
        m.OrderCancelled,
    }
)


def halt_reason(halt: m.HaltRaised) -> str:
    """Return the words that an order carries when a halt is why."""
    return f"halt: {halt.rule}: {halt.detail}"[:_TEXT_MAX]


@dataclass
class ExecutionState:
    """Folded from the journal, in place.

    `intent_ids`, `activity_ids` and `reversed_fills` only grow; the rest is of the day.
    `stops`, `drain`, `external` and `warnings` are shown only: they are not journaled, and nothing is decided by them.
    `halt_counter` is the newest halt heard, `armed_counter` the newest that an operator has answered.
    """

    flattens_on_halt: bool
    plan: m.SessionPlanned | None = None
    is_armed: bool = False
    is_halted: bool = False
    is_killed: bool = False
    halt_counter: int = 0
    halt_detail: str = ""
    armed_counter: int = 0
    account: m.AccountReported | None = None
    #: The session at whose close the ledger was told what the broker holds.
    stated_date: str = ""
    last_execution_id: str = ""
    #: The newest execution before this session, and those that were booked in it.
    session_execution_id: str = ""
    session_execution_ids: set[str] = field(default_factory=set)
    intent_ids: set[str] = field(default_factory=set)
    activity_ids: set[str] = field(default_factory=set)
    #: What was booked in this session and the one before it, for what the broker takes back; and what it took back.
    fills: dict[str, m.OrderFilled] = field(default_factory=dict)
    reversed_fills: dict[str, m.FillReversed] = field(default_factory=dict)
    _older_fills: dict[str, m.OrderFilled] = field(default_factory=dict)
    #: What the broker lets the account do with each symbol that was quoted in this session.
    assets: dict[str, m.AssetLine] = field(default_factory=dict)
    stops: dict[str, int] = field(default_factory=dict)
    drain: str = ""
    external: str = ""
    warnings: str = ""
    #: The best bid of each position that execution guards itself, since this process began.
    peaks_micros: dict[str, int] = field(default_factory=dict)
    #: What the chain was halted for since it was armed, in words.
    halt_details: set[str] = field(default_factory=set)
    _intents: dict[str, Intent] = field(default_factory=dict)
    _intent_of_order: dict[str, str] = field(default_factory=dict)
    _open: dict[str, None] = field(default_factory=dict)
    #: When each open intent has to be looked at; 0 = at every moment.
    _due_ns: dict[str, int] = field(default_factory=dict)
    #: The earliest of them, once it was asked for; None = it has to be found again.
    _earliest_due_ns: int | None = field(default=None, compare=False)
    #: Open intents that each quote of their symbol may end.
    _watched: dict[str, None] = field(default_factory=dict)
    #: Of the open orders: all, and those that do not rest at the broker.
    _open_orders: dict[str, None] = field(default_factory=dict)
    _restless: dict[str, None] = field(default_factory=dict)

    def open_intents(self) -> list[Intent]:
        """Return the intents that are not closed, oldest first."""
        return [self._intents[intent_id] for intent_id in self._open]

    def watched_intents(self) -> list[Intent]:
        """Return the open intents that each quote of their symbol may end, oldest first."""
        return [self._intents[intent_id] for intent_id in self._watched]

    @property
    def watches_quotes(self) -> bool:
        """Tell whether a quote may end an open intent."""
        return bool(self._watched)

    def hear(self, batch: m.QuoteBatch) -> None:
        """Raise the peaks of what execution guards itself; not journaled."""
        for intent in self.watched_intents() if self._watched else ():
            if intent.guarded_nanos:
                bid = usable_bid(batch.quote_of(intent.symbol))
                peak = max(self.peaks_micros.get(intent.intent_id, 0), bid)
                self.peaks_micros[intent.intent_id] = peak

    def show(self, *, drain: str, external: str, stops: dict[str, int]) -> None:
        """Keep what the snapshot says about the broker's side; not journaled."""
        self.drain, self.external, self.stops = drain[:_TEXT_MAX], external[:_TEXT_MAX], stops

    def warn(self, warnings: str) -> None:
        """Keep what the snapshot says a person has to know; not journaled."""
        self.warnings = warnings

    @property
    def is_flattening(self) -> bool:
        """Tell whether the chain stands halted in a way that sells everything."""
        # HALT_POSITIONS: flatten.
        return self.is_killed or (self.is_halted and self.flattens_on_halt)

    def is_stuck(self, symbol: str) -> bool:
        """Tell whether the broker says that a symbol may not be traded now."""
        line = self.assets.get(symbol)
        return line is not None and not line.is_tradable

    def holders(self, symbol: str, qty_nanos: int) -> list[tuple[Intent, int]]:
        """Return which open intents hold so much of a symbol, the oldest first, and how many nanos each; or less."""
        found: list[tuple[Intent, int]] = []
        for intent in self.open_intents():
            qty = min(qty_nanos, max(intent.held_nanos, 0)) if intent.symbol == symbol else 0
            if qty:
                found.append((intent, qty))
                qty_nanos -= qty
        return found

    def open_orders(self) -> list[Order]:
        """Return the orders that may still fill or be sent, by intent."""
        return [order for intent_id in self._open for order in self._intents[intent_id].open_orders]

    @property
    def has_open_orders(self) -> bool:
        """Tell whether any order may still fill or be sent."""
        return bool(self._open_orders)

    @property
    def restless_orders(self) -> list[str]:
        """Return the ids of the open orders that do not rest at the broker, oldest first."""
        return list(self._restless)

    @property
    def due_ns(self) -> int:
        """Return the session time at which an open intent has to be looked at, the earliest; 0 = at every moment."""
        if self._earliest_due_ns is None:
            self._earliest_due_ns = min(self._due_ns.values(), default=NEVER_DUE_NS)
        return self._earliest_due_ns

    def orders(self) -> list[Order]:
        """Return every order of the day, in the order of preparation."""
        return [self._intents[intent_id].order(key) for key, intent_id in self._intent_of_order.items()]

    def find(self, client_order_id: str) -> Order | None:
        """Return an order of the day, or None."""
        intent_id = self._intent_of_order.get(client_order_id)
        return None if intent_id is None else self._intents[intent_id].order(client_order_id)

    def open_intent(self, intent_id: str) -> Intent | None:
        """Return an intent that is not closed, or None."""
        return self._intents[intent_id] if intent_id in self._open else None

    def intent(self, intent_id: str) -> Intent:
        """Return an intent of the day.

        Raises:
            KeyError: there is none of this id.
        """
        return self._intents[intent_id]

    def intent_with(self, order: Order) -> Intent:
        """Return the intent that an order belongs to."""
        return self._intents[order.prepared.intent_id]

    def has_answered(self, halt: m.HaltRaised) -> bool:
        """Tell whether a halt is old: the chain stands halted by it, or an operator has answered it.

        `counter` 0 is a halt without a number: it is old while the chain stands halted and has heard the same words, or
        more words than a person reads. What a look finds is found again at each look, all of it.
        """
        if halt.counter == 0:
            has_heard = halt.detail in self.halt_details or len(self.halt_details) >= HALT_DETAILS_MAX
            return self.is_halted and has_heard
        if self.is_halted:
            return halt.counter <= self.halt_counter
        return halt.counter <= self.armed_counter

    def folded(self, event: m.Message) -> "ExecutionState":
        """Fold one event and return this state.

        Raises:
            IllegalTransitionError: the journal holds an event that its order cannot have had.
            TypeError: the event is not one of execution's.
        """
        kind = type(event)
        if kind is m.OrderPrepared:
            self._prepare(event)  # type: ignore[arg-type]  # its very type was just looked at
            return self
        if kind in _OF_ORDERS:
            self._fold_order(event)  # type: ignore[arg-type]  # its very type was just looked at
            return self
        match event:
            case m.SessionPlanned():
                self._plan(event)
            case m.HaltRaised() | m.ChainArmed() | m.ChainDisarmed() | m.KillSwitchTripped():
                self._fold_control(event)
            case m.AccountReported() | m.AccountStated():
                self._fold_account(event)
            case m.AssetsReported():
                self._assets_reported(event)
            case m.CashMoved() | m.ContractsExpired() | m.ContractsExercised() | m.SharesSplit():
                self._fold_activity(event)
            case m.CloseIntent() | m.IntentClosed():
                self._put(fold(self._intents[event.intent_id], event))
            case m.HoldingsOrderEnded():
                # Said to the holdings; the intent's own end was folded right before.
                pass
            case _:
                raise TypeError(f"{type(event).__name__} is no event of execution")
        return self

    def _fold_account(self, event: m.AccountReported | m.AccountStated) -> None:
        if isinstance(event, m.AccountReported):
            self.account = event
        elif event.occasion == "close":
            self.stated_date = event.session_date

    def _assets_reported(self, event: m.AssetsReported) -> None:
        if self.plan is not None and self.plan.session_date == event.session_date:
            self.assets.update((line.symbol, line) for line in event.assets)

    def _plan(self, event: m.SessionPlanned) -> None:
        if self.plan is None or self.plan.session_date != event.session_date:
            # A new day: what is over is forgotten, and a kill switch counts for the day it tripped on.
            self.is_killed = False
            self.session_execution_id, self.session_execution_ids = self.last_execution_id, set()
            self._older_fills, self.fills = self.fills, {}
            self.assets = {}
            self.peaks_micros = {}
            self._intents = {intent_id: self._intents[intent_id] for intent_id in self._open}
            self._intent_of_order = {k: v for k, v in self._intent_of_order.items() if v in self._intents}
        self.plan = event
        for intent in self.open_intents():
            self._put(intent, intent.orders)

    def _fold_control(self, event: m.HaltRaised | m.ChainArmed | m.ChainDisarmed | m.KillSwitchTripped) -> None:
        match event:
            case m.HaltRaised():
                self.is_halted = True
                self.halt_detail = event.detail
                self.halt_details.add(event.detail)
                self.halt_counter = max(self.halt_counter, event.counter)
                # HALT_POSITIONS: flatten.
                if self.flattens_on_halt:
                    self._leave_all(halt_reason(event))
            case m.KillSwitchTripped():
                self.is_halted = self.is_killed = True
                self._leave_all(KILL_SWITCH_REASON)
            case m.ChainArmed():
                self.is_armed = True
                self.armed_counter = max(self.armed_counter, event.halt_counter)
                self.is_halted = self.halt_counter > event.halt_counter
                self.halt_details.clear()
            case m.ChainDisarmed():
                self.is_armed = False

    def _leave_all(self, reason: str) -> None:
        for intent in self.open_intents():
            self._put(replace(intent, exit_reason=intent.exit_reason or reason))

    def _prepare(self, event: m.OrderPrepared) -> None:
        intent = self._intents.get(event.intent_id) or intent_of(event)
        self._intent_of_order[event.client_order_id] = event.intent_id
        intent = fold(intent, event)
        self._put(intent, intent.orders[-1:])
        self.intent_ids.add(event.intent_id)

    def _fold_activity(self, event: m.CashMoved | m.ContractsExpired | m.ContractsExercised | m.SharesSplit) -> None:
        self.activity_ids.add(event.activity_id)
        match event:
            case m.CashMoved():
                return
            case m.ContractsExpired() | m.ContractsExercised():
                for intent, qty in self.holders(event.symbol, event.qty_nanos):
                    self._put(gone_without_a_trade(intent, qty))
            case m.SharesSplit():
                for intent in self.open_intents():
                    if intent.symbol == event.symbol:
                        self._put(split(intent, event.numerator, event.denominator))

    def booked_fill(self, execution_id: str) -> m.OrderFilled | None:
        """Return an execution as it was booked in this session or the one before; None = not booked since then."""
        return self.fills.get(execution_id) or self._older_fills.get(execution_id)

    @property
    def booked_ids(self) -> list[str]:
        """Return the executions that are booked in this session and the one before, and not taken back."""
        return [name for name in (*self._older_fills, *self.fills) if name not in self.reversed_fills]

    def _fold_order(self, event: OrderEvent) -> None:
        if type(event) is m.FillReversed:
            self.reversed_fills[event.execution_id] = event
            self.session_execution_ids.discard(event.execution_id)
            if event.client_order_id not in self._intent_of_order:
                # Of an intent that was over before this session: nothing here holds what it bought or sold.
                return
        intent_id = self._intent_of_order[event.client_order_id]
        intent = fold(self._intents[intent_id], event)
        self._put(intent, (intent.order(event.client_order_id),))
        if type(event) is m.OrderFilled:
            newest, name = self.last_execution_id, event.execution_id
            if (len(name), name) > (len(newest), newest):
                self.last_execution_id = name
            self.session_execution_ids.add(name)
            self.fills[name] = event

    def _put(self, intent: Intent, changed: Iterable[Order] = ()) -> None:
        """Put an intent in its place, and note of it and its changed orders what is asked for at every moment."""
        intent_id = intent.intent_id
        self._intents[intent_id] = intent
        for order in changed:
            key = order.prepared.client_order_id
            if order.state in FINAL_STATES:
                self._open_orders.pop(key, None)
                self._restless.pop(key, None)
                continue
            self._open_orders[key] = None
            if order.state in RESTING_STATES:
                self._restless.pop(key, None)
            else:
                self._restless[key] = None
        if intent.is_closed:
            self._open.pop(intent_id, None)
        else:
            self._open[intent_id] = None
        if is_watched(intent):
            self._watched[intent_id] = None
        elif self._watched:
            self._watched.pop(intent_id, None)
        self._note_due(intent)

    def _note_due(self, intent: Intent) -> None:
        before = self._due_ns.get(intent.intent_id, NEVER_DUE_NS)
        due = NEVER_DUE_NS if intent.is_closed else self._due_of(intent)
        if due == before:
            return
        if intent.is_closed:
            del self._due_ns[intent.intent_id]
        else:
            self._due_ns[intent.intent_id] = due
        earliest = self._earliest_due_ns
        if earliest is None:
            return
        # Whether the one that was the earliest is later now, or gone: another one may be as early.
        self._earliest_due_ns = due if due <= earliest else None if before == earliest else earliest

    def _due_of(self, intent: Intent) -> int:
        """Return when an open intent has to be looked at: for its exit, or for what is unfilled of its entry."""
        if intent.exit_reason:
            return 0
        due = intent.exit_at_ns
        if intent.is_of_holdings:
            return intent.cancel_at_ns
        plan = self.plan
        if plan is not None and plan.flatten_ns < due and plan.session_date == intent.session_date:
            due = plan.flatten_ns
        return intent.cancel_at_ns if intent.cancel_at_ns < due and intent.has_open_entry else due
