"""unresolved_orders.log: every order of which nobody knew whether the broker has it, and what became of it.

One line when it becomes unknown and one when that is over, in UTC; lines are only ever added. Nothing reads it back.
"""

from pathlib import Path
from typing import Final

from bus import messages as m
from bus.clock import iso_utc
from services.execution.orders import Order, OrderState
from services.execution.quantities import shares
from services.execution.state import ExecutionState

LOG_NAME: Final = "unresolved_orders.log"


class UnresolvedOrders:
    """Writes the log as events are committed.

    Args:
        folder: where the log is, made with the first line; None = it is not kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        #: Orders that are unknown now, with the time they became so.
        self._since_ns: dict[str, int] = {}

    def begin(self, state: ExecutionState, now_ns: int) -> None:
        """Note what the journal left unknown."""
        for order in state.open_orders():
            if order.state is OrderState.UNKNOWN:
                self._since_ns[order.client_order_id] = order.ts_ns
                self._write(now_ns, order, "STILL UNKNOWN after a restart")

    def note(self, state: ExecutionState, event: m.Message) -> None:
        """Add a line where a committed event makes an order unknown, or known again."""
        if type(event) is not m.OrderUnknown and not (self._since_ns and isinstance(event, _ORDER_EVENTS)):
            return
        order = state.find(event.client_order_id)
        if order is None:
            return
        key, at_ns = order.client_order_id, event.ts_init
        if isinstance(event, m.OrderUnknown):
            if key not in self._since_ns:
                self._since_ns[key] = at_ns
                self._write(at_ns, order, f"UNKNOWN: {event.detail}")
        elif key in self._since_ns:
            waited_ms = (at_ns - self._since_ns.pop(key)) // 1_000_000
            how = getattr(event, "detail", "") or f"the broker has it as {order.broker_order_id}"
            self._write(at_ns, order, f"RESOLVED as {order.state} after {waited_ms} ms: {how}")

    def _write(self, at_ns: int, order: Order, words: str) -> None:
        if self._folder is None:
            return
        prepared = order.prepared
        what = f"{order.leg} {prepared.side} {shares(prepared.qty_nanos)} {prepared.symbol}"
        line = f"{iso_utc(at_ns)} {order.client_order_id} {what} {words}"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(" ".join(line.split()) + "\n")


_ORDER_EVENTS: Final = (
    m.OrderUnknown,
    m.OrderAccepted,
    m.OrderRejected,
    m.OrderExpired,
    m.OrderFilled,
    m.OrderCancelled,
)
