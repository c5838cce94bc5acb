"""The journal: every line of the books with filters in the address, one whole entry, and its reversal."""

from typing import Any, Final

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.messages import LedgerPage, ReverseEntry
from services.web import books, security
from services.web.books import BooksError
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.site import site

#: Word in the address -> field of the question.
_FILTERS: Final = {"from": "first_day", "to": "last_day", "account": "account", "symbol": "symbol", "text": "text"}
_AMOUNTS: Final = {"min": "amount_min_micros", "max": "amount_max_micros"}
pages = Blueprint("journal", __name__, url_prefix="/books")


@pages.get("/journal")
@security.require("look")
def show() -> Response:
    """Show lines of the journal, newest first, with the balance after each."""
    page, fault, code = None, "", 200
    try:
        page = books.ask("journal", **_wanted(), page=books.page_number())
    except BooksError as error:
        fault, code = str(error), error.code
    query = _query()
    html = render_template(
        "journal.html",
        answer=page,
        lines=books.records(page) if page else [],
        fault=fault,
        query=query,
        text_of=books.cell_text,
        page_url=lambda number: url_for("journal.show", **query, page=number),
    )
    return make_response(html, code)


@pages.get("/journal.csv")
@security.require("export")
def export() -> AnyResponse:
    """Return every line that the page shows with the same filter, as CSV."""
    try:
        page = books.every_row("journal", **_wanted())
    except BooksError as error:
        flash(str(error))
        return redirect(url_for("journal.show", **_query()), 303)
    return csv_response(page, "journal.csv")


@pages.get("/entry")
@security.require("look")
def show_entry() -> Response:
    """Show all that one entry is, with the form that takes it back."""
    return _entry(books.given("seq", 12))


@pages.post("/entry")
@security.require("books")
def reverse() -> AnyResponse:
    """Take one entry back by a further one; nothing is ever edited."""
    seq = request.form.get("seq", "")
    if not (seq.isascii() and seq.isdigit() and 0 < len(seq) <= 12):
        return _entry("", Refusal(400, "There is no such entry. Nothing was changed."))
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _entry(seq, refusal)
    said = books.order(ReverseEntry, receiver="ledger", entry_seq=int(seq))
    if isinstance(said, Refusal):
        return _entry(seq, said)
    site().audit.record("entry_reversed", f"entry {seq}", after=given_reason())
    flash(f"The ledger answers: {said}")
    return redirect(url_for("journal.show_entry", seq=seq), 303)


def csv_response(page: LedgerPage, name: str) -> Response:
    """Return an answer of the books as a file to keep; the export is in the audit log."""
    site().audit.record("exported", name, after=f"{len(page.rows)} rows")
    response = make_response(books.csv_text(page))
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _entry(seq: str, refusal: Refusal | None = None) -> Response:
    rows: list[dict[str, Any]] = []
    fault, code = (refusal.text, refusal.code) if refusal else ("", 200)
    try:
        number = int(seq) if seq.isascii() and seq.isdigit() else 0
        rows = books.records(books.ask("entry", entry_seq=number, rows_max=200)) if number else []
        if not number and not fault:
            fault, code = "Name an entry by its number.", 400
    except BooksError as error:
        fault, code = fault or str(error), error.code if not refusal else code
    header = {row["name"]: row["value"] for row in rows if row["part"] == "header"}
    shown = [(name, books.value_text(str(name), value)) for name, value in header.items()]
    details: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        if row["part"] not in {"header", "line"}:
            pair = (row["name"], books.value_text(str(row["name"]), row["value"]))
            details.setdefault(str(row["part"]), []).append(pair)
    html = render_template(
        "entry.html",
        seq=seq,
        header=header,
        shown=shown,
        lines=[row for row in rows if row["part"] == "line"],
        details=details,
        fault=fault,
        reason=given_reason(),
        text_of=books.cell_text,
        may_reverse=security.may("books"),
    )
    return make_response(html, code)


def _query() -> dict[str, Any]:
    return {name: books.given(name) for name in (*_FILTERS, *_AMOUNTS) if books.given(name)}


def _wanted() -> dict[str, Any]:
    found: dict[str, Any] = {field: books.given(name) for name, field in _FILTERS.items()}
    for name, field in _AMOUNTS.items():
        found[field] = books.micros_of(books.given(name)) if books.given(name) else None
    return found
