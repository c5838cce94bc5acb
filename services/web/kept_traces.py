"""What the services keep of each intent, for good: read from their journals, read-only, beside services that go on.

What this process hears is gone with it. A reader of SQLite's write-ahead log holds up no writer, so the order path
does not notice that somebody looks; a question by message would have to be answered there.
"""

import heapq
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bus import messages as m
from bus.store import StoreError, read_journal
from services.web.traces import MESSAGES_MAX, Trace, TraceBook

#: Who says what of an intent, in the order of the chain; what a service keeps because another one said it is left out.
_SAID_BY: Final[dict[m.ServiceName, tuple[type[m.Message], ...]]] = {
    "strategy": (m.SignalRaised, m.ExitSignalled),
    "risk": (m.SubmitOrder, m.OrderDenied, m.CloseIntent),
    "execution": (
        m.OrderPrepared,
        m.OrderUnknown,
        m.OrderAccepted,
        m.OrderRejected,
        m.OrderExpired,
        m.CancelRequested,
        m.OrderCancelled,
        m.OrderFilled,
        m.IntentClosed,
    ),
    "ledger": (m.EntryPosted,),
}
_NEWEST_OF_EACH: Final = 10_000
log = logging.getLogger(__name__)


def newest_messages(state: Path) -> list[m.Message]:
    """Return what the journals in a folder say of the newest intents, in the order in which it happened.

    A journal that is not there, or cannot be read, is left out; the log says why.
    """
    return _in_order(*(_read(state, service, newest=_NEWEST_OF_EACH) for service in _SAID_BY))


def kept_trace(state: Path, intent_id: str) -> Trace | None:
    """Return everything that the journals in a folder have of one intent, None when they have nothing."""
    if not intent_id:
        return None
    prepared = [
        message
        for message in _read(state, "execution", intent_id)
        if isinstance(message, m.OrderPrepared) and message.intent_id == intent_id
    ]
    orders = [message.client_order_id for message in prepared]
    told = [_read(state, service, intent_id) for service in ("strategy", "risk")]
    told.append(_read(state, "execution", intent_id, *orders))
    if orders:
        told.append(_read(state, "ledger", *orders))
    book = TraceBook()
    for message in _in_order(*told):
        book.add(message)
    return book.trace(intent_id)


def _in_order(*told: Sequence[m.Message]) -> list[m.Message]:
    """Merge by time; what one service said stays in its order, and what happened at once in the chain's.

    A broker's clock may be behind ours: an entry in the books comes after its order and its fill all the same.
    """
    happened_ns: dict[str, int] = {}
    for message in (message for messages in told for message in messages):
        if isinstance(message, m.OrderPrepared | m.OrderFilled):
            name = message.client_order_id if isinstance(message, m.OrderPrepared) else message.execution_id
            happened_ns[name] = message.ts_init

    def at_ns(message: m.Message) -> int:
        line = message.trade if isinstance(message, m.EntryPosted) else None
        names = (line.order_id, line.fill_id) if line else ()
        return max(message.ts_init, max((happened_ns.get(name, 0) for name in names), default=0))

    return list(heapq.merge(*told, key=at_ns))


def _read(
    state: Path, service: m.ServiceName, *about: str, newest: int = MESSAGES_MAX * len(_SAID_BY)
) -> list[m.Message]:
    path = state / f"{service}.db"
    if not path.exists():
        # It has not run in this home yet, or runs on another machine.
        return []
    try:
        return read_journal(path, _SAID_BY[service], about=about, newest=newest)
    except StoreError:
        log.exception("the journal of %s is left out", service)
        return []
