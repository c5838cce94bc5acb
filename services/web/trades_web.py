"""Trades and their statistics by strategy, day and month: as the services' journals, and as the books have them."""

import csv
import io
from typing import Final, get_args

from flask import Blueprint, Response, make_response, render_template, request

from bus.clock import iso_utc
from bus.messages import StrategyName
from services.web import books, security
from services.web.books import BooksError, harmless
from services.web.frames import dollars, shares
from services.web.site import site
from services.web.traces import TRACES_MAX
from services.web.trades import GROUPINGS, Grouping, Trade, booked_sales, line_of, statistics, trade_of

STRATEGIES: Final[tuple[str, ...]] = get_args(StrategyName)
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
    names = sorted({trade.strategy for trade in everything} | set(STRATEGIES))
    trades = [trade for trade in everything if strategy in {"", trade.strategy}]
    # A page that only fetches what changed asks the books nothing: many open pages must not keep the ledger busy.
    booked, fault = ([], "") if "X-TradeBot-Part" in request.headers else _booked(strategy)
    page = render_template(
        "trades.html",
        booked_lines=statistics(booked, by),
        booked_total=line_of("all", booked) if booked else None,
        booked_fault=fault,
        first_day=books.given("from"),
        last_day=books.given("to"),
        trades=trades[::-1],
        lines=statistics(trades, by),
        total=line_of("all", trades) if trades else None,
        by=by,
        groupings=GROUPINGS,
        strategy=strategy if strategy in names else "",
        strategies=names,
        intents_max=TRACES_MAX,
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


def _booked(strategy: str) -> tuple[list[Trade], str]:
    """Return the sales in the books, or in words why they are not known now."""
    days = {"first_day": books.given("from"), "last_day": books.given("to")}
    try:
        rows = books.records(books.every_row("trades", **days))
    except BooksError as error:
        return [], str(error)
    return [trade for trade in booked_sales(rows) if strategy in {"", trade.strategy}], ""


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
    return [*cells, *(harmless(words) for words in (trade.why_in, trade.why_out))]
