"""Trades and their statistics by strategy, day and month, as far as this process has heard of them."""

import csv
import io
from typing import Final

from flask import Blueprint, Response, make_response, render_template, request

from bus.clock import iso_utc
from services.web import security
from services.web.frames import dollars, shares
from services.web.site import site
from services.web.trades import GROUPINGS, Grouping, Trade, line_of, statistics, trade_of

_HEAD: Final = (
    "intent_id", "strategy", "symbol", "session_date", "opened_utc", "closed_utc", "bought_shares", "sold_shares",
    "entry_usd", "exit_usd", "commission_usd", "gain_usd", "gain_is_booked", "why_in", "why_out",
)  # fmt: skip
pages = Blueprint("trades", __name__)


@pages.get("/trades")
@security.require("look")
def show() -> Response:
    """Show the trades, newest first, and their statistics; `by` and `strategy` are in the address."""
    by, strategy, everything = _by(), request.args.get("strategy", ""), _trades()
    names = sorted({trade.strategy for trade in everything})
    trades = [trade for trade in everything if strategy in {"", trade.strategy}]
    page = render_template(
        "trades.html",
        trades=trades[::-1],
        lines=statistics(trades, by),
        total=line_of("all", trades) if trades else None,
        by=by,
        groupings=GROUPINGS,
        strategy=strategy if strategy in names else "",
        strategies=names,
        since_ms=site().hub.listens_since_ms,
        dollars=dollars,
        shares=shares,
    )
    return make_response(page)


@pages.get("/trades.csv")
@security.require("export")
def export() -> Response:
    """Return the trades that the page shows with the same filter, and their total, as CSV."""
    strategy = request.args.get("strategy", "")
    trades = [trade for trade in _trades() if strategy in {"", trade.strategy}]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_HEAD)
    writer.writerows(_row(trade) for trade in trades)
    total = line_of("all", trades)
    writer.writerow(
        [f"total of {len(trades)}", *[""] * 9, dollars(total.commission_micros), dollars(total.gain_micros)]
    )
    site().audit.record("exported", "trades.csv", after=f"{len(trades)} rows")
    response = make_response(out.getvalue())
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = 'attachment; filename="trades.csv"'
    return response


def _trades() -> list[Trade]:
    return [trade for trace in site().hub.traces() if (trade := trade_of(trace)) is not None]


def _by() -> Grouping:
    wanted = request.args.get("by", "")
    return next((known for known in GROUPINGS if known == wanted), "strategy")


def _row(trade: Trade) -> list[str]:
    cells = [
        trade.intent_id,
        trade.strategy,
        trade.symbol,
        trade.session_date,
        iso_utc(trade.opened_ns),
        iso_utc(trade.closed_ns) if trade.closed_ns else "",
        shares(trade.bought_nanos),
        shares(trade.sold_nanos),
        dollars(trade.entry_micros),
        dollars(trade.exit_micros) if trade.sold_nanos else "",
        dollars(trade.commission_micros),
        dollars(trade.gain_micros),
        "yes" if trade.is_booked else "no",
    ]
    return [*cells, *(_harmless(words) for words in (trade.why_in, trade.why_out))]


def _harmless(text: str) -> str:
    """Return words that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
