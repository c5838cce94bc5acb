"""What execution remembers: the orders of the day by intent, who may trade, and what was ever asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from bus import messages as m
from services.execution.intents import Intent, OrderEvent, fold, intent_of
from services.execution.orders import Order

KILL_SWITCH_REASON: Final = "kill switch: the day's loss went beyond DAILY_LOSS_LIMIT"
#: So many different reasons are journaled between two armings; a person who has to mend the first needs no more.
HALT_DETAILS_MAX: Final = 50
_TEXT_MAX: Final = 400


def halt_reason(halt: m.HaltRaised) -> str:
    """Return the words that an order carries when a halt is why."""
    return f"halt: {halt.rule}: {halt.detail}"[:_TEXT_MAX]


@dataclass
class ExecutionState:
    """Folded from the journal, in place. `intent_ids` and `activity_ids` only grow; the rest is of the day.

    `peaks`, `drain` and `external` are shown only: they are not journaled, and nothing is decided by them.
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
    last_execution_id: str = ""
    intent_ids: set[str] = field(default_factory=set)
    activity_ids: set[str] = field(default_factory=set)
    peaks: dict[str, int] = field(default_factory=dict)
    drain: str = ""
    external: str = ""
    #: What the chain was halted for since it was armed, in words.
    halt_details: set[str] = field(default_factory=set)
    _intents: dict[str, Intent] = field(default_factory=dict)
    _intent_of_order: dict[str, str] = field(default_factory=dict)
    _open: dict[str, None] = field(default_factory=dict)

    def open_intents(self) -> list[Intent]:
        """Return the intents that are not closed, oldest first."""
        return [self._intents[intent_id] for intent_id in self._open]

    def follow_bids(self, bids: Mapping[str, int]) -> None:
        """Raise the peak of every open trailing stop whose symbol has a higher bid now; not journaled."""
        if not self._open:
            self.peaks.clear()
            return
        for order in self.open_orders():
            prepared = order.prepared
            bid = bids.get(prepared.symbol, 0)
            if prepared.order_type == "TRAILING_STOP" and bid > self.peaks.get(prepared.client_order_id, 0):
                self.peaks[prepared.client_order_id] = bid

    def show(self, *, drain: str, external: str) -> None:
        """Keep what the snapshot says about the broker's side; not journaled."""
        self.drain, self.external = drain[:_TEXT_MAX], external[:_TEXT_MAX]

    @property
    def is_flattening(self) -> bool:
        """Tell whether the chain stands halted in a way that sells everything."""
        # HALT_POSITIONS: flatten.
        return self.is_killed or (self.is_halted and self.flattens_on_halt)

    def open_orders(self) -> list[Order]:
        """Return the orders that may still fill or be sent, by intent."""
        return [order for intent_id in self._open for order in self._intents[intent_id].open_orders]

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
        match event:
            case m.SessionPlanned():
                self._plan(event)
            case m.HaltRaised() | m.ChainArmed() | m.ChainDisarmed() | m.KillSwitchTripped():
                self._fold_control(event)
            case m.AccountReported():
                self.account = event
            case m.CashMoved():
                self.activity_ids.add(event.activity_id)
            case m.OrderPrepared():
                self._prepare(event)
            case m.CloseIntent():
                self._intents[event.intent_id] = fold(self._intents[event.intent_id], event)
            case m.IntentClosed():
                self._intents[event.intent_id] = fold(self._intents[event.intent_id], event)
                self._open.pop(event.intent_id, None)
            case (
                m.OrderUnknown()
                | m.OrderAccepted()
                | m.OrderRejected()
                | m.OrderExpired()
                | m.OrderFilled()
                | m.CancelRequested()
                | m.OrderCancelled()
            ):
                self._fold_order(event)
            case _:
                raise TypeError(f"{type(event).__name__} is no event of execution")
        return self

    def _plan(self, event: m.SessionPlanned) -> None:
        if self.plan is None or self.plan.session_date != event.session_date:
            # A new day: what is over is forgotten, and a kill switch counts for the day it tripped on.
            self.is_killed = False
            self._intents = {intent_id: self._intents[intent_id] for intent_id in self._open}
            self._intent_of_order = {k: v for k, v in self._intent_of_order.items() if v in self._intents}
        self.plan = event

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
            self._intents[intent.intent_id] = replace(intent, exit_reason=intent.exit_reason or reason)

    def _prepare(self, event: m.OrderPrepared) -> None:
        intent = self._intents.get(event.intent_id) or intent_of(event)
        self._intents[event.intent_id] = fold(intent, event)
        self._intent_of_order[event.client_order_id] = event.intent_id
        self._open[event.intent_id] = None
        self.intent_ids.add(event.intent_id)

    def _fold_order(self, event: OrderEvent) -> None:
        intent_id = self._intent_of_order[event.client_order_id]
        intent = fold(self._intents[intent_id], event)
        self._intents[intent_id] = intent
        if not intent.is_closed:
            self._open[intent_id] = None
        if isinstance(event, m.OrderFilled):
            newest = max(self.last_execution_id, event.execution_id, key=lambda name: (len(name), name))
            self.last_execution_id = newest
