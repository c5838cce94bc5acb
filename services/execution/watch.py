"""The regular look at the broker: its open orders, executions and positions against the journal, and the drain."""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

from bus import messages as m
from bus.clock import utc_ns
from services.execution import failpoints as points
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, OpenOrder, RetryableBrokerError, StopTradingError
from services.execution.drain import Drain
from services.execution.orders import is_own
from services.execution.quantities import shares
from services.execution.reconcile import OrderFindings, PositionFindings, compare_orders, compare_positions
from services.execution.recovery import Recovery, broker_halt
from services.execution.state import ExecutionState

#: How often open orders and positions are compared with the broker's, in nanoseconds of boot time.
ORDERS_EVERY_NS: Final = 5_000_000_000
POSITIONS_EVERY_NS: Final = 30_000_000_000
#: An order at market that was made less than IN_FLIGHT_NS ago, in session time, should be filled by now.
IN_FLIGHT_EVERY_NS: Final = 1_000_000_000
IN_FLIGHT_NS: Final = 10_000_000_000
#: A difference is looked at again after this; only one that is still there then contradicts us.
RECHECK_NS: Final = 500_000_000
#: How often an order that is over for us is reported as still open; a cancel that did nothing so often will not.
STILL_OPEN_MAX: Final = 5
_OPEN_ORDERS: Final = "the list of open orders"
_TEXT_MAX: Final = 400
_log = logging.getLogger(__name__)


class Watch:
    """Looks at the broker when it is time, and reports what differs.

    Args:
        broker: who is looked at.
        recovery: what asks about single orders and executions.
        clock: boot time.
    """

    def __init__(self, broker: Broker, recovery: Recovery, clock: Callable[[], int]) -> None:
        self.drain = Drain()
        #: Boot time of the newest comparison that found no difference; None when the newest found one.
        self.reconciled_ns: int | None = None
        #: Symbols in which somebody else has orders or positions at the broker.
        self.external_symbols: frozenset[str] = frozenset()
        self._has_agreed = False
        self._broker = broker
        self._recovery = recovery
        self._boot_ns = clock
        self._orders_at_ns = 0
        self._positions_at_ns = 0
        self._protective = 0
        self._external_positions: dict[str, int] = {}
        self._external_words = ""
        #: Where stops rested at the newest look, by client id.
        self._stops: dict[str, int] = {}
        #: Orders in the bot's name that the journal lacks, in the newest list.
        self._strangers: frozenset[str] = frozenset()
        #: Those, and what by the journal never reached the broker and was listed; None before the first list.
        self._unaccounted: frozenset[str] | None = None
        self._short: tuple[str, ...] = ()
        #: Over for us and yet listed: client id -> how many looks in a row.
        self._over: dict[str, int] = {}

    def look_soon(self) -> None:
        """Forget when the last comparison was: what it found is no longer known to be so."""
        self.reconciled_ns = None
        self._orders_at_ns = self._positions_at_ns = 0

    @property
    def has_agreed(self) -> bool:
        """Tell whether the broker's view and ours have agreed since this process began."""
        return self._has_agreed

    @property
    def lists_unaccounted(self) -> bool:
        """Tell whether the newest list has orders of ours that by the journal are not there."""
        return bool(self._unaccounted)

    @property
    def differences(self) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
        """Return what of the newest positions our fills do not explain: what is short, and what is more."""
        return self._short, tuple(sorted(self._external_positions.items()))

    def lacks_history(self, state: ExecutionState, key: str) -> bool:
        """Tell whether the broker may know of orders of ours that the journal lacks; then `key` may not be sent.

        A journal that was put back from an older copy knows neither what protects a position nor what sells it
        already: whoever acts on it sends a second stop, or sells what is not held any more. The order itself is looked
        up before it is sent, so it does not hold itself up.
        """
        if self._unaccounted is None or (self._unaccounted and self._unaccounted - {key}):
            return True
        return self._recovery.has_strange_executions(state)

    def list_first(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """List the broker's open orders at the start, before anything is decided."""
        try:
            with points.RECONCILE:
                listed = self._broker.open_orders(now_ns)
        except (RetryableBrokerError, StopTradingError) as error:
            return self._unanswered(error, now_ns)
        self._unaccounted = compare_orders(state, listed, ()).unaccounted
        return ()

    def _unanswered(self, error: Exception, now_ns: int) -> Sequence[m.Message]:
        halts = (broker_halt(error, now_ns),) if isinstance(error, StopTradingError) else ()
        return (*self._recovery.again(_OPEN_ORDERS, error, now_ns), *halts)

    def is_still_listed(self, key: str) -> bool:
        """Tell whether the broker goes on listing an order that is over for us."""
        return self._over.get(key, 0) > 1

    def is_due(self) -> bool:
        """Tell whether to look now. While the journal is behind only a drain looks: it must not wait."""
        now = self._boot_ns()
        if self.drain.is_active:
            return self.drain.is_due(now)
        return now >= self._orders_at_ns and not self._recovery.is_behind and self._recovery.is_due(_OPEN_ORDERS)

    def look(self, state: ExecutionState, unsent: Collection[str], now_ns: int) -> Sequence[m.Message]:
        """Compare, and report what the core has to decide: fills, late acceptances, ends, cancels, contradictions."""
        now = self._boot_ns()
        account: r.BrokerAccount | None = None
        try:
            with points.RECONCILE:
                listed = self._broker.open_orders(now_ns)
                if now >= self._positions_at_ns and state.plan is not None:
                    account = self._broker.account(state.plan.session_date, now_ns)
        except (RetryableBrokerError, StopTradingError) as error:
            self.drain.unanswered(now)
            return self._unanswered(error, now_ns)
        self._recovery.settled(_OPEN_ORDERS)
        found = compare_orders(state, listed, unsent)
        asked = [order for key in found.to_look_up if (order := state.find(key)) is not None]
        # Executions come with it, whether or not an order has to be looked up. While a whole recovery is due, it asks.
        recovered = () if self._recovery.is_behind else self._recovery.recover(state, asked, now_ns)
        is_in_step = not (recovered or asked or self._recovery.is_behind)
        positions = None
        if account is not None and is_in_step:
            positions = compare_positions(state, dict(zip(account.symbols, account.qtys_nanos, strict=True)))
        self._unaccounted = found.unaccounted
        self._stops = {item.client_order_id: item.stop_micros for item in listed if item.stop_micros}
        contradictions = [*self._contradictions(found, positions, now_ns), *self._lapsed(positions, now_ns)]
        self._note_external(found.external, positions)
        is_clean = is_in_step and not (found.unaccounted or self._short)
        every_ns = IN_FLIGHT_EVERY_NS if _has_in_flight(state, now_ns) else ORDERS_EVERY_NS
        self._schedule(now, every_ns, is_clean=is_clean, with_positions=positions is not None)
        return (*recovered, *contradictions, *self._drained(state, listed, now_ns))

    def show(self, state: ExecutionState, fence_words: str) -> None:
        """Put into words what the snapshot says of the broker's side; of the fence while it is not as it should be."""
        drain = "; ".join(filter(None, (self.drain.words(self._protective), fence_words)))
        state.show(drain=drain, external=self._external_words, stops=self._stops)

    def _schedule(self, now: int, every_ns: int, *, is_clean: bool, with_positions: bool) -> None:
        if is_clean:
            self._has_agreed = True
            self.reconciled_ns = now
            self._orders_at_ns = now + every_ns
            if with_positions:
                self._positions_at_ns = now + POSITIONS_EVERY_NS
            return
        self.reconciled_ns = None
        self._orders_at_ns = self._positions_at_ns = now + RECHECK_NS

    def _contradictions(
        self, found: OrderFindings, positions: PositionFindings | None, now_ns: int
    ) -> Sequence[m.Message]:
        """Return what was different at the look before as well: what one side hears late is no contradiction."""
        reports: list[m.Message] = []
        self._over = {key: self._over.get(key, 0) + 1 for key in found.over}
        for key, looks in self._over.items():
            if 1 < looks <= STILL_OPEN_MAX:
                detail = f"the broker lists {key} as open, but it is over by the journal"
                reports.append(r.StillOpen(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=detail))
        strangers = frozenset(found.strangers)
        words = [f"the broker has {key} in the bot's name, not in the journal" for key in sorted(strangers)]
        if strangers != self._strangers:
            words = []
        self._strangers = strangers
        if positions is not None:
            if positions.short and positions.short == self._short:
                words.extend(positions.short)
            self._short = positions.short
        if words:
            detail = "; ".join(words)[:_TEXT_MAX]
            reports.append(r.BooksDisagree(ts_event=now_ns, ts_init=now_ns, detail=detail))
        return reports

    def _lapsed(self, positions: PositionFindings | None, now_ns: int) -> Sequence[m.Message]:
        """Report contracts whose last day is over and that are gone, where the broker itself tells of no expiry."""
        lapsed = positions.lapsed if positions is not None else {}
        return [
            r.BrokerExpiry(
                ts_event=now_ns,
                ts_init=now_ns,
                activity_id=f"lapsed-{symbol}",
                symbol=symbol,
                qty_nanos=qty,
                broker=self._broker.name,
            )
            for symbol, qty in lapsed.items()
        ]

    def _note_external(self, orders: Sequence[OpenOrder], positions: PositionFindings | None) -> None:
        """Count what is not ours, and say so when it changes; it is never touched."""
        if positions is not None:
            self._external_positions = positions.external
        symbols = {order.symbol for order in orders}
        self.external_symbols = frozenset(symbols | self._external_positions.keys())
        parts = []
        if orders:
            parts.append(f"{len(orders)} open order(s) in {', '.join(sorted(symbols))}")
        if self._external_positions:
            sizes = sorted(self._external_positions.items())
            held = ", ".join(f"{symbol} (short {shares(qty)})" if qty < 0 else symbol for symbol, qty in sizes)
            parts.append(f"{len(self._external_positions)} position(s) in {held}")
        if self._recovery.external_executions:
            parts.append(f"{len(self._recovery.external_executions)} execution(s)")
        words = f"EXTERNAL, not the bot's and left alone: {'; '.join(parts)}" if parts else ""
        if words and words != self._external_words:
            _log.warning("%s", words)
        self._external_words = words

    def _drained(self, state: ExecutionState, listed: Sequence[OpenOrder], now_ns: int) -> Sequence[m.Message]:
        """Report the cancels that are due of what the broker lists."""
        if not self.drain.is_active:
            return ()
        own = [item for item in listed if is_own(item.client_order_id)]
        keys = [item.client_order_id for item in own if _may_not_stand(state, item)]
        self._protective = len(own) - len(keys)
        why = f"halted: {state.halt_detail}" if state.is_halted else "dead man: no valid leases for a second"
        detail = why[:_TEXT_MAX]
        reports: list[m.Message] = []
        for key in self.drain.heard(self._boot_ns(), keys, utc_ns()):
            order = state.find(key)
            if order is None:
                reports.extend(self._cancel_stranger(key, now_ns))
                continue
            # What was only now accepted was looked up above; what waits for its cancel is asked for again elsewhere.
            if order.is_resting:
                reports.append(r.CancelDue(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=detail))
        return reports

    def _cancel_stranger(self, key: str, now_ns: int) -> Sequence[m.Message]:
        """Cancel an order of ours that the journal lacks; whether it worked is in the next list."""
        _log.warning("cancelling %s at the broker: it is in the bot's name and not in the journal", key)
        try:
            with points.DRAIN:
                self._broker.cancel(key, now_ns)
        except RetryableBrokerError as error:
            _log.warning("the broker did not cancel %s: %s", key, error)
        except StopTradingError as error:
            return (broker_halt(error, now_ns),)
        return ()


def _has_in_flight(state: ExecutionState, now_ns: int) -> bool:
    """Tell whether an order at market was made a moment ago and is still open."""
    orders = (order.prepared for order in state.open_orders())
    return any(order.order_type == "MARKET" and now_ns - order.ts_init < IN_FLIGHT_NS for order in orders)


def _may_not_stand(state: ExecutionState, item: OpenOrder) -> bool:
    """Tell whether a drain cancels an order; of those that the journal lacks, the ones that would add exposure."""
    order = state.find(item.client_order_id)
    if order is None:
        return item.side == "BUY"
    return state.is_flattening or order.is_opening
