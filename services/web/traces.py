"""What became of each signal: the messages of one intent in order, from the signal to the postings. Pure.

In memory are the newest intents; the services' journals have all of them for good, see kept_traces.
"""

from collections import OrderedDict, deque
from typing import Final

from msgspec import Struct, field

from bus import messages as m

TRACES_MAX: Final = 500
MESSAGES_MAX: Final = 300
_OF_SIGNAL: Final = (m.SignalRaised, m.ExitSignalled)
_OF_INTENT: Final = (
    m.SubmitOrder,
    m.OrderDenied,
    m.CloseIntent,
    m.OrderPrepared,
    m.OrderFilled,
    m.IntentClosed,
)
_OF_ORDER: Final = (
    m.OrderUnknown,
    m.OrderAccepted,
    m.OrderRejected,
    m.OrderExpired,
    m.CancelRequested,
    m.OrderCancelled,
)
#: What says in words what the broker, or execution in its place, did with an order.
_ENDS_WITH_WORDS: Final = (m.OrderRejected, m.OrderExpired, m.OrderCancelled, m.OrderUnknown)


class Trace(Struct):
    """The messages of one intent in the order in which they were heard; of too many the first ones stay."""

    intent_id: str
    messages: list[m.Message] = field(default_factory=list)
    left_out: int = 0

    def first(self, kind: type[m.Message]) -> m.Message | None:
        """Return the first message of a type, None when there is none."""
        return next((message for message in self.messages if isinstance(message, kind)), None)


class TraceBook:
    """The newest intents with their messages; not thread-safe, its owner has the lock."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, Trace] = OrderedDict()
        self._intent_of: OrderedDict[str, str] = OrderedDict()
        self._words: OrderedDict[str, str] = OrderedDict()
        self._posted: deque[int] = deque(maxlen=TRACES_MAX * 4)

    def add(self, message: m.Message) -> bool:
        """Keep a message with its intent; False when it belongs to none that is known."""
        intent_id = self._intent_id(message)
        if not intent_id:
            return False
        if isinstance(message, m.OrderPrepared):
            _keep(self._intent_of, message.client_order_id, intent_id)
        if isinstance(message, _ENDS_WITH_WORDS):
            _keep(self._words, message.client_order_id, message.detail)
        if isinstance(message, m.EntryPosted):
            # A ledger that starts again says its newest entry again.
            if message.seq in self._posted:
                return True
            self._posted.append(message.seq)
        trace = self._traces.get(intent_id)
        if trace is None:
            trace = self._traces[intent_id] = Trace(intent_id)
            while len(self._traces) > TRACES_MAX:
                self._traces.popitem(last=False)
        if len(trace.messages) < MESSAGES_MAX:
            trace.messages.append(message)
        else:
            trace.left_out += 1
        return True

    def trace(self, intent_id: str) -> Trace | None:
        """Return a copy of one intent's trace, None when it is not known."""
        found = self._traces.get(intent_id)
        return None if found is None else Trace(found.intent_id, list(found.messages), found.left_out)

    def traces(self) -> list[Trace]:
        """Return copies of all traces, oldest first."""
        return [Trace(one.intent_id, list(one.messages), one.left_out) for one in self._traces.values()]

    def intent_of(self, client_order_id: str) -> str:
        """Return whose order this is, empty when it is not known."""
        return self._intent_of.get(client_order_id, "")

    def broker_words(self, client_order_id: str) -> str:
        """Return the newest words about an order that was refused, cancelled, expired or lost; empty without."""
        return self._words.get(client_order_id, "")

    def _intent_id(self, message: m.Message) -> str:
        if isinstance(message, _OF_SIGNAL):
            return message.signal_id
        if isinstance(message, _OF_INTENT):
            return message.intent_id
        if isinstance(message, _OF_ORDER):
            return self._intent_of.get(message.client_order_id, "")
        if isinstance(message, m.EntryPosted) and message.trade is not None:
            return self._intent_of.get(message.trade.order_id, "")
        return ""


def _keep(table: OrderedDict[str, str], key: str, value: str) -> None:
    """Put a pair into a table that forgets its oldest ones."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > TRACES_MAX * 10:
        table.popitem(last=False)
