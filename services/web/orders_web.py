"""The whole chain of one trade on one page: signal, checks of risk, orders and the broker's answers, postings."""

from collections.abc import Sequence
from typing import Any, Final

from flask import Blueprint, Response, make_response, render_template, request

from bus import messages as m
from services.web import security
from services.web.frames import decimal_text, dollars, sentence, shares
from services.web.kept_traces import kept_trace
from services.web.site import site
from services.web.traces import Trace
from services.web.trades import trade_of

#: Kinds of the broker's side of an order, in words.
_STEP_WORDS: Final[dict[type[m.Message], str]] = {
    m.OrderPrepared: "written down, then sent",
    m.OrderUnknown: "arrival unknown",
    m.OrderAccepted: "accepted by the broker",
    m.OrderRejected: "refused by the broker",
    m.OrderExpired: "not sent",
    m.OrderFilled: "filled",
    m.CancelRequested: "cancel asked",
    m.OrderCancelled: "cancelled",
}
_CASH_COMMODITY: Final = "USD"
pages = Blueprint("orders", __name__, url_prefix="/orders")


@pages.get("/chain")
@security.require("look")
def chain() -> Response:
    """Show everything that is known of one intent; `intent` in the address names it.

    The services' journals have all of it; where they run on other machines there is what was heard here.
    """
    intent_id = request.args.get("intent", "")
    trace = kept_trace(site().paths.state, intent_id) or site().hub.trace(intent_id)
    page = render_template(
        "order_chain.html",
        intent_id=intent_id[:96],
        dollars=dollars,
        shares=shares,
        **(chain_view(trace) if trace else {"trace": None}),
    )
    return make_response(page, 200 if trace else 404)


def chain_view(trace: Trace) -> dict[str, Any]:
    """Return one intent's messages in the order of the chain, for the template."""
    found = trace.messages
    entries = [message for message in found if isinstance(message, m.EntryPosted)]
    return {
        "trace": trace,
        "trade": trade_of(trace),
        "signal": trace.first(m.SignalRaised),
        "approved": trace.first(m.SubmitOrder),
        "denied": [message for message in found if isinstance(message, m.OrderDenied)],
        "exits": [
            (type(message).__name__, sentence(message), message.ts_event // 1_000_000)
            for message in found
            if isinstance(message, m.ExitSignalled | m.CloseIntent)
        ],
        "orders": order_steps(found),
        "entries": [(entry, [_posting(line) for line in entry.lines]) for entry in entries],
        "closed": trace.first(m.IntentClosed),
        "symbol": next((str(symbol) for one in found if (symbol := getattr(one, "symbol", ""))), ""),
    }


def order_steps(messages: Sequence[m.Message]) -> list[tuple[m.OrderPrepared, list[tuple[int, str, str]]]]:
    """Return each order with its steps: time in milliseconds, what happened, in whose words."""
    orders: dict[str, tuple[m.OrderPrepared, list[tuple[int, str, str]]]] = {}
    for message in messages:
        if isinstance(message, m.OrderPrepared):
            orders.setdefault(message.client_order_id, (message, []))
        known = orders.get(str(getattr(message, "client_order_id", "")))
        if known is None:
            continue
        known[1].append((message.ts_event // 1_000_000, _STEP_WORDS[type(message)], _words(message)))
    return list(orders.values())


def _words(message: m.Message) -> str:
    match message:
        case m.OrderPrepared():
            return message.reason
        case m.OrderAccepted():
            return f"as {message.broker_order_id}"
        case m.OrderFilled():
            part = f"{shares(message.cumulative_qty_nanos)} of {shares(message.order_qty_nanos)}"
            fee = f", commission ${dollars(message.commission_micros)}" if message.commission_micros else ""
            return f"{shares(message.qty_nanos)} at ${dollars(message.price_micros)} ({part}){fee}"
        case _:
            return str(getattr(message, "detail", ""))


def _posting(line: m.PostingLine) -> tuple[str, str, str, str]:
    """Return account, commodity, debit and credit; one of the two is empty."""
    is_cash = line.commodity == _CASH_COMMODITY
    text = dollars(abs(line.amount)) if is_cash else decimal_text(abs(line.amount), m.NANOS)
    return line.account, line.commodity, text if line.amount >= 0 else "", text if line.amount < 0 else ""
