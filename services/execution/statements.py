"""Asks the broker what the account holds when nothing moves, so that the ledger can compare its books with it."""

import logging
from collections.abc import Callable, Sequence
from typing import Final, Literal

from bus import messages as m
from bus.clock import boot_ns
from bus.commands import Deciding, Outcome, Pending, refuse_request
from services.execution import decisions as d
from services.execution import failpoints as points
from services.execution.activities import Activities
from services.execution.brokers import reports as r
from services.execution.brokers.interface import Broker, RetryableBrokerError, StopTradingError
from services.execution.orders import Order
from services.execution.recovery import Recovery
from services.execution.state import ExecutionState

_STATEMENT: Final = "the statement at the close"
#: The statement at the close waits so long for orders that should be over by then, in nanoseconds of boot time.
UNSETTLED_NS_MAX: Final = 600_000_000_000
Occasion = Literal["close", "demand"]
_log = logging.getLogger(__name__)


class Statements:
    """Tells the ledger the account at each close, and when an operator asks for it.

    Args:
        broker: whom to ask.
        activities: what has moved without a trade; the statement at the close comes after it.
        recovery: says whether everything that the broker knows was heard, and when to ask again.
        clock: boot time.
    """

    def __init__(
        self, broker: Broker, activities: Activities, recovery: Recovery, clock: Callable[[], int] = boot_ns
    ) -> None:
        self._broker = broker
        self._activities = activities
        self._recovery = recovery
        self._boot_ns = clock
        #: For which session's orders the statement waits, and since when.
        self._unsettled: tuple[str, int] = ("", 0)

    def at_close(self, state: ExecutionState, now_ns: int) -> Sequence[m.Message]:
        """Report the account once after the close of a session, once nothing can trade and its activities were read.

        Stops that protect over night stand meanwhile: they trade in the next session. What else is open should be over
        within seconds; after ten minutes the account is stated all the same, since every execution is told by then.
        """
        plan = state.plan
        if plan is None or not plan.is_trading_day or now_ns < plan.close_ns or state.stated_date == plan.session_date:
            return ()
        if not self._activities.are_read(plan.session_date):
            return ()
        if self._recovery.is_behind or self._waits(state, plan) or not self._recovery.is_due(_STATEMENT):
            return ()
        try:
            statement = self._ask(state, plan, now_ns, "close")
        except (RetryableBrokerError, StopTradingError) as error:
            # The session is over: nothing hangs on it but the comparison, which is asked for until it is there.
            return self._recovery.again(_STATEMENT, error, now_ns)
        self._recovery.settled(_STATEMENT)
        return (statement,)

    def _waits(self, state: ExecutionState, plan: m.SessionPlanned) -> bool:
        if not any(not _rests_until_the_next_session(order) for order in state.open_orders()):
            return False
        if self._unsettled[0] != plan.session_date:
            self._unsettled = (plan.session_date, self._boot_ns())
        if self._boot_ns() - self._unsettled[1] < UNSETTLED_NS_MAX:
            return True
        _log.warning("the account is stated at the close although orders of the session are not known to be over")
        return False

    def refusal(self, state: ExecutionState, now_ns: int = 0) -> str:
        """Return why the account cannot be compared now: what moves meanwhile would look like a difference."""
        if state.plan is None:
            return "the session is not planned yet"
        if self._recovery.is_behind:
            return "the broker has not told everything yet"
        # Before any market data nobody knows what time it is.
        is_open = now_ns == 0 or d.is_market_open(state, now_ns)
        if any(is_open or not _rests_until_the_next_session(order) for order in state.open_orders()):
            return "orders are working, and may fill meanwhile: ask again when none does, or after the close"
        return ""

    def on_request(self, request: m.OperatorRequest, deciding: Deciding) -> Outcome | Pending:
        """Ask the broker at an operator's order."""
        if not isinstance(request, m.ReconcileNow):
            return refuse_request(request, deciding)
        state: ExecutionState = deciding.state
        if refusal := self.refusal(state, deciding.now_ns):
            return Outcome(is_done=False, detail=refusal)
        plan = state.plan
        assert plan is not None  # refusal() says so
        try:
            # What has moved without a trade comes first: it is part of the cash.
            with points.ACCOUNT:
                moved = self._broker.activities(deciding.now_ns or plan.open_ns)
            reports = (*moved, self._ask(state, plan, deciding.now_ns, "demand"))
        except (RetryableBrokerError, StopTradingError) as error:
            return Outcome(is_done=False, detail=f"the broker does not answer: {error}")
        for report in reports:
            deciding.follow(deciding.decided(report))
        return Outcome(is_done=True, detail="The broker has told what it holds; the ledger compares it with the books.")

    def _ask(self, state: ExecutionState, plan: m.SessionPlanned, now_ns: int, occasion: Occasion) -> r.BrokerStatement:
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
            working_orders=len(state.open_orders()),
        )


def _rests_until_the_next_session(order: Order) -> bool:
    """Tell whether an order protects a position over night: it is at the broker, and trades in a session alone."""
    return order.leg == "stop" and order.is_resting
