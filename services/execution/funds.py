"""Orders of the long-term holdings: when they may be sent, what they are held against, how they end. Pure.

Such an order is an intent with one leg, `fund`. What it buys is no position of the strategies: nothing protects it,
nothing sells it at the flatten or on a halt, and it is compared with the broker by the holdings at night. While it is
open it is treated like an entry: it needs the whole gate, and a halt or a disarming cancels it.
"""

from typing import Final

from bus import messages as m
from bus.instruments import notional_of
from services.execution.intents import Intent
from services.execution.orders import Order, OrderState
from services.execution.quantities import shares
from services.execution.state import ExecutionState

_MICROS: Final = 1_000_000
_TEXT_MAX: Final = 400
#: Too short for an order to be filled, and long enough for the window to end while a request is on its way.
_TO_WORK_NS: Final = 1_000_000_000
_ENDS: Final = {
    OrderState.CANCELLED: "cancelled before it was filled whole",
    OrderState.REJECTED: "the broker refused it",
    OrderState.EXPIRED: "it was never sent",
}


def time_refusal(state: ExecutionState, order: m.OrderPrepared, now_ns: int) -> str | None:
    """Return why an order may not be sent at this time: the holdings deal between the flatten and the close.

    In the last second of its window none is sent any more: it would be cancelled on its way.
    """
    plan = state.plan
    if order.qty_nanos <= 0:
        return "an order must be for a positive quantity"
    if plan is None or plan.session_date != order.session_date:
        return f"there is no session plan for {order.session_date}"
    if not plan.is_trading_day or now_ns < plan.flatten_ns:
        return "too early: the strategies still trade"
    if now_ns + _TO_WORK_NS >= min(order.cancel_at_ns, plan.close_ns):
        return "too late: the session ends"
    return "too late: it waited too long" if now_ns > order.expires_ns else None


def amount_refusal(state: ExecutionState, order: m.OrderPrepared, quote: m.Quote | None) -> str | None:
    """Return why an order is larger than the account: no purchase beyond its cash, no sale beyond its shares."""
    account = state.account
    if account is None or account.session_date != order.session_date:
        return "the broker has not reported the account of this session"
    if order.side == "SELL":
        held = dict(zip(account.symbols, account.qtys_nanos, strict=True)).get(order.symbol, 0)
        held += sum(_signed(one.prepared.side, one.filled_nanos) for one in _orders(state, order))
        if order.qty_nanos <= held:
            return None
        return f"{order.symbol}: {shares(order.qty_nanos)} are to be sold and {shares(held)} are held"
    price = max(order.reference_micros, quote.ask_micros if quote else 0)
    cost = notional_of(order.symbol, price, order.qty_nanos)
    moved = sum(_signed(one.prepared.side, one.paid) for one in state.orders())
    cash = account.cash_micros - moved // m.NANOS
    if cost <= cash:
        return None
    return f"${cost // _MICROS:,} for one purchase: the account's cash is ${cash // _MICROS:,}"


def ended(intent: Intent, now_ns: int) -> m.HoldingsOrderEnded:
    """Return the end of an order of the holdings, with what it has filled."""
    order = intent.orders[-1]
    prepared = order.prepared
    is_whole = order.filled_nanos >= prepared.qty_nanos
    words = "" if is_whole else intent.end_detail or _ENDS.get(order.state, "it ended")
    return m.HoldingsOrderEnded(
        ts_event=now_ns,
        ts_init=now_ns,
        intent_id=intent.intent_id,
        session_date=prepared.session_date,
        symbol=prepared.symbol,
        side=prepared.side,
        filled_nanos=order.filled_nanos,
        execution_ids=order.execution_ids,
        detail=words[:_TEXT_MAX],
    )


def _orders(state: ExecutionState, order: m.OrderPrepared) -> list[Order]:
    return [
        one
        for one in state.orders()
        if one.prepared.symbol == order.symbol and one.leg == "fund" and one.prepared.session_date == order.session_date
    ]


def _signed(side: m.Side, amount: int) -> int:
    return amount if side == "BUY" else -amount
