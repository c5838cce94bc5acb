"""Asks the broker what the account holds when nothing moves, so that the ledger can compare its books with it."""

from collections.abc import Sequence
from typing import Final, Literal

from bus import messages as m
from bus.commands import Deciding, Outcome, Pending, refuse_request
from services.execution import failpoints as points
from services.execution.activities import Activities
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.recovery import Recovery
from services.execution.state import ExecutionState

_STATEMENT: Final = "the statement at the close"
Occasion = Literal["close", "demand"]


class Statements:
    """Tells the ledger the account at each close, and when an operator asks for it.

    Args:
        broker: whom to ask.
        activities: what has moved without a trade; the statement at the close comes after it.
        recovery: says whether everything that the broker knows was heard, and when to ask again.
    """

    def __init__(self, broker: Broker, activities: Activities, recovery: Recovery) -> None:
        self._broker = broker
        self._activities = activities
        self._recovery = recovery

    def at_close(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Report the account once after the close of a session, once no order works and its activities were read."""
        plan = state.plan
        if plan is None or not plan.is_trading_day or now_ns < plan.close_ns or state.stated_date == plan.session_date:
            return ()
        if not self._activities.are_read(plan.session_date):
            return ()
        if self.refusal(state) or not self._recovery.is_due(_STATEMENT):
            return ()
        try:
            statement = self._ask(plan, now_ns, "close")
        except (RetryableBrokerError, StopTradingError) as error:
            # The session is over: nothing hangs on it but the comparison, which is asked for until it is there.
            return self._recovery.again(_STATEMENT, error, now_ns)
        self._recovery.settled(_STATEMENT)
        return (statement,)

    def refusal(self, state: ExecutionState) -> str:
        """Return why the account cannot be compared now: what moves meanwhile would look like a difference."""
        if state.plan is None:
            return "the session is not planned yet"
        if self._recovery.is_behind:
            return "the broker has not told everything yet"
        if state.has_open_orders:
            return "orders are working, and may fill meanwhile: ask again when none does"
        return ""

    def on_request(self, request: m.OperatorRequest, deciding: Deciding) -> Outcome | Pending:
        """Ask the broker at an operator's order."""
        if not isinstance(request, m.ReconcileNow):
            return refuse_request(request, deciding)
        state: ExecutionState = deciding.state
        if refusal := self.refusal(state):
            return Outcome(is_done=False, detail=refusal)
        plan = state.plan
        assert plan is not None  # refusal() says so
        try:
            # What has moved without a trade comes first: it is part of the cash.
            with points.ACCOUNT:
                moved = self._broker.activities(deciding.now_ns or plan.open_ns)
            reports = (*moved, self._ask(plan, deciding.now_ns, "demand"))
        except (RetryableBrokerError, StopTradingError) as error:
            return Outcome(is_done=False, detail=f"the broker does not answer: {error}")
        for report in reports:
            deciding.follow(deciding.decided(report))
        return Outcome(is_done=True, detail="The broker has told what it holds; the ledger compares it with the books.")

    def _ask(self, plan: m.SessionPlanned, now_ns: int, occasion: Occasion) -> r.BrokerStatement:
        at_ns = now_ns or plan.open_ns
        with points.ACCOUNT:
            account = self._broker.account(plan.session_date, at_ns)
        return r.BrokerStatement(
            ts_event=account.ts_event,
            ts_init=account.ts_init,
            session_date=account.session_date,
            broker=account.broker,
            cash_micros=account.cash_micros,
            buying_power_micros=account.buying_power_micros,
            symbols=account.symbols,
            qtys_nanos=account.qtys_nanos,
            occasion=occasion,
        )
