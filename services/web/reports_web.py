"""Reports of the books: statements, gains, purchases and sales, the ledger's audit trail; each as a page and as CSV."""

from typing import Any, Final

from flask import Blueprint, Response, flash, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.messages import LedgerKind
from services.web import books, security
from services.web.books import BooksError
from services.web.journal_web import csv_response

#: What is offered, with its name and what it says.
REPORTS: Final[dict[LedgerKind, tuple[str, str]]] = {
    "trial_balance": (
        "Trial balance",
        "What each account held before the days, took in and gave, and held in the end.",
    ),
    "income_statement": ("Income statement", "Income, expenses and the result of the days."),
    "balance_sheet": ("Balance sheet", "What is owned and owed at the end of the last day; securities at cost."),
    "gains": ("Realized gains", "What each sale took from each lot, and what it gained."),
    "trades": ("Purchases and sales", "Every execution that was booked; what was taken back is not in the sums."),
    "audit": ("Ledger's audit trail", "Who did what to the books."),
}
#: These have whole statements on one page.
_ROWS: Final[dict[LedgerKind, int]] = {"trial_balance": 200, "income_statement": 200, "balance_sheet": 200}
#: What a page leaves to the CSV, which has every column.
_NOT_SHOWN: Final = frozenset({"fill_id", "venue", "leg", "service", "description"})
pages = Blueprint("reports", __name__, url_prefix="/books")


@pages.get("/reports")
@security.require("look")
def show() -> Response:
    """Show one report; `report`, `from`, `to`, `symbol`, `text` and `page` are in the address."""
    kind, fault, code, answer = _kind(), "", 200, None
    try:
        answer = books.ask(kind, **_wanted(), page=books.page_number(), rows_max=_ROWS.get(kind, books.ROWS_A_PAGE))
    except BooksError as error:
        fault, code = str(error), error.code
    query = _query()
    html = render_template(
        "reports.html",
        reports=REPORTS,
        kind=kind,
        title=REPORTS[kind][0],
        words=REPORTS[kind][1],
        answer=answer,
        shown=[index for index, name in enumerate(answer.columns) if name not in _NOT_SHOWN] if answer else [],
        fault=fault,
        query=query,
        text_of=books.cell_text,
        numbers=books.NUMBERS,
        page_url=lambda number: url_for("reports.show", **query, page=number),
    )
    return make_response(html, code)


@pages.get("/reports.csv")
@security.require("export")
def export() -> AnyResponse:
    """Return the whole report with the same filter, and its totals, as CSV."""
    kind = _kind()
    try:
        page = books.every_row(kind, **_wanted())
    except BooksError as error:
        flash(str(error))
        return redirect(url_for("reports.show", **_query()), 303)
    return csv_response(page, f"{kind}.csv")


def _kind() -> LedgerKind:
    wanted = books.given("report")
    return next((kind for kind in REPORTS if kind == wanted), "trial_balance")


def _wanted() -> dict[str, str]:
    return {
        "first_day": books.given("from"),
        "last_day": books.given("to"),
        "symbol": books.given("symbol"),
        "text": books.given("text"),
    }


def _query() -> dict[str, Any]:
    found = {name: books.given(name) for name in ("from", "to", "symbol", "text") if books.given(name)}
    return {"report": _kind(), **found}
