"""What changes an account without an order of ours: money, an expiry, an exercise, a split. Pure.

The account may hold more than the bot: of contracts that are gone only those are told that the bot holds, so what is
reported again changes nothing.
"""

from collections.abc import Sequence

from bus import messages as m
from services.execution import telling
from services.execution.brokers import reports as r
from services.execution.decisions import Decision
from services.execution.intents import gone_without_a_trade
from services.execution.state import ExecutionState


def on_activity(state: ExecutionState, report: r.BrokerActivity, account: str, now_ns: int) -> Sequence[m.Message]:
    """Return what follows from one activity of the account; nothing where it is known already."""
    if report.activity_id in state.activity_ids:
        return ()
    match report:
        case r.BrokerCash():
            return (telling.cash_moved(report, now_ns),)
        case r.BrokerSplit():
            return (telling.shares_split(report, now_ns),)
        case r.BrokerExpiry() | r.BrokerExercise():
            return _gone(state, report, account, now_ns)


def _gone(
    state: ExecutionState, report: r.BrokerExpiry | r.BrokerExercise, account: str, now_ns: int
) -> Sequence[m.Message]:
    holders = state.holders(report.symbol, report.qty_nanos)
    if not holders:
        return ()
    events: list[m.Message] = [telling.contracts_gone(report, sum(qty for _, qty in holders), now_ns)]
    for intent, qty in holders:
        step = Decision(gone_without_a_trade(intent, qty), account, now_ns)
        step.close_when_over()
        events.extend(step.events)
    return events
