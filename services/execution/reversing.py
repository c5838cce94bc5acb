"""An execution that the broker takes back or corrects: booked the other way round, and what it means for a position.

Pure. Source: the failure catalogue, F47: a reversing entry, and a halt beyond 0.1 % of the equity.
"""

from collections.abc import Sequence
from typing import Final

from bus import messages as m
from bus.instruments import notional_of
from services.execution import decisions as d
from services.execution.brokers import reports as r
from services.execution.decisions import Decision
from services.execution.quantities import shares
from services.execution.state import ExecutionState

#: A reversal that moves more than this part of the day's first cash halts: one part in a thousand.
HALT_PART: Final = 1_000
_TEXT_MAX: Final = 400


def reversed_fill(filled: m.OrderFilled, report: r.BrokerReversal, now_ns: int) -> m.FillReversed:
    """Return the event that takes a booked execution back."""
    return m.FillReversed(
        ts_event=report.ts_event,
        ts_init=now_ns,
        execution_id=filled.execution_id,
        client_order_id=filled.client_order_id,
        intent_id=filled.intent_id,
        leg=filled.leg,
        session_date=filled.session_date,
        strategy=filled.strategy,
        symbol=filled.symbol,
        side=filled.side,
        qty_nanos=filled.qty_nanos,
        price_micros=filled.price_micros,
        commission_micros=filled.commission_micros,
        broker=filled.broker,
        is_correction=report.is_correction,
        detail=f"{words(filled, is_correction=report.is_correction)}: {report.detail}"[:_TEXT_MAX],
    )


def words(event: m.OrderFilled | m.FillReversed, *, is_correction: bool) -> str:
    """Return a reversal as a person reads it."""
    verb = "corrected" if is_correction else "took back"
    cents = event.price_micros // (m.MICROS // 100)
    trade = f"{event.side} {shares(event.qty_nanos)} {event.symbol} at {cents // 100}.{cents % 100:02d}"
    return f"the broker {verb} {trade} ({event.execution_id})"


def decide(
    state: ExecutionState, filled: m.OrderFilled, report: r.BrokerReversal, *, account: str, now_ns: int
) -> tuple[Sequence[m.Message], Decision | None, str]:
    """Return the events of a reversal, the intent as they leave it, and why the chain has to halt; empty = it need not.

    Where the quantity changes, what the stops guard is not what is held any more: everything is cancelled, and what is
    really held is sold. A fill of an intent that is forgotten by now is booked alone, and halts.
    """
    event = reversed_fill(filled, report, now_ns)
    order, corrected = state.find(filled.client_order_id), report.corrected
    if order is None:
        return (event,), None, f"{event.detail}. It is of an earlier day: see by hand what it leaves at the broker"
    step = Decision(state.intent_with(order), account, now_ns)
    was_held = step.intent.held_nanos
    step.say(event)
    if corrected is not None and corrected.execution_id not in order.execution_ids:
        step.say(d.filled_of(step.intent.order(order.client_order_id), corrected, now_ns))
    held = step.intent.held_nanos
    if held != was_held and (held or step.intent.open_orders):
        reason = f"{event.detail}; what is left is sold"[:_TEXT_MAX]
        step.say(d.close_of(step.intent, reason, now_ns))
        step.leave(state, reason)
    else:
        step.close_when_over()
    return step.events, step, _why_halt(state, event, corrected, held)


def _why_halt(state: ExecutionState, event: m.FillReversed, corrected: r.BrokerFill | None, held_nanos: int) -> str:
    said = words(event, is_correction=event.is_correction)
    if held_nanos < 0:
        return f"{said}: {shares(-held_nanos)} more are sold than held, buy them back by hand"
    if event.is_correction and corrected is None:
        return f"{said}, and does not list what takes its place: compare the position"
    before = notional_of(event.symbol, event.price_micros, event.qty_nanos)
    after = notional_of(event.symbol, corrected.price_micros, corrected.qty_nanos) if corrected else 0
    cash = state.account.cash_micros if state.account else 0
    # A day's first cash is at most its equity, where nothing is held; so this is the stricter measure.
    return said if abs(before - after) * HALT_PART > max(cash, 0) else ""
