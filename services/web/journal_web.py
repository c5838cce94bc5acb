"""The journal: every line of the books with its balance, one entry whole, and the reversal in place of an edit."""

import csv
import io
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from flask import Blueprint, Response, abort, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.clock import iso_utc
from bus.messages import LEDGER_ROWS_MAX, MICROS, LedgerCell, ReverseEntry
from services.web import security
from services.web.books import Answer, Column, ask, ask_all, exported, order, shown
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.frames import dollars, shares
from services.web.site import site

COLUMNS: Final = (
    Column(name="entry", head="Entry", kind="number"),
    Column(name="time_utc", head="Time (UTC)", kind="time"),
    Column(name="description", head="Description"),
    Column(name="account", head="Account"),
    Column(name="account_name", head="Name"),
    Column(name="commodity", head="Unit"),
    Column(name="amount", head="Debit (+) or credit (-)", kind="money"),
    Column(name="balance", head="Balance after", kind="money"),
    Column(name="source_event_id", head="Source"),
)
_LINES: Final = (
    Column(name="account", head="Account"),
    Column(name="account_name", head="Name"),
    Column(name="commodity", head="Unit"),
    Column(name="amount", head="Debit (+) or credit (-)", kind="money"),
)
#: The filter's fields in the address, in the ledger's words.
_TEXTS: Final = ("first_day", "last_day", "account", "symbol", "text")
_AMOUNTS: Final = ("amount_min", "amount_max")
_DOLLARS_MAX: Final = 10**12
#: Fields that the ledger keeps in micro-dollars without saying so in their names.
_MONEY: Final = ("gross", "commission", "fees", "cost", "proceeds", "gain")
pages = Blueprint("journal", __name__, url_prefix="/journal")


@pages.get("")
@security.require("look")
def show() -> Response:
    """Show one page of lines, newest first; the filter is in the address."""
    wanted, fault = _wanted()
    answer = Answer(page=None, fault=fault) if fault else ask("journal", page=_page_number(), **wanted)
    return make_response(
        render_template(
            "journal.html",
            answer=answer,
            columns=COLUMNS,
            shown=shown,
            given=_given(),
            link=lambda seq: url_for("journal.entry", seq=seq),
            url_of=lambda number: url_for("journal.show", page=number, **_given()),
        ),
        200 if answer.page else 503 if not fault else 422,
    )


@pages.get("/csv")
@security.require("export")
def export() -> Response:
    """Return every line that the filter lets through, oldest last, with a row of counts at the end."""
    wanted, fault = _wanted()
    if fault:
        abort(422, fault)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([column.name for column in COLUMNS])
    count = 0
    for answer in ask_all("journal", **wanted):
        if answer.page is None:
            abort(503, answer.fault)
        for row in answer.rows():
            writer.writerow([exported(column, row) for column in COLUMNS])
            count += 1
    writer.writerow([f"{count} lines"])
    site().audit.record("exported", "journal.csv", after=f"{count} rows")
    response = make_response(out.getvalue())
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = 'attachment; filename="journal.csv"'
    return response


@pages.get("/<int:seq>")
@security.require("look")
def entry(seq: int) -> Response:
    """Show one entry whole: header, lines, lots, and the trade as the broker told it."""
    return _entry(seq)


@pages.post("/<int:seq>/reverse")
@security.require("books")
def reverse(seq: int) -> AnyResponse:
    """Take an entry back by another one; nothing is edited."""
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _entry(seq, refusal)
    said = order(ReverseEntry, entry_seq=seq)
    if isinstance(said, Refusal):
        return _entry(seq, said)
    flash(f"Taken back. {said}.")
    return redirect(url_for("journal.entry", seq=seq), 303)


def _entry(seq: int, refusal: Refusal | None = None) -> Response:
    answer = ask("entry", entry_seq=seq, rows_max=LEDGER_ROWS_MAX)
    rows = answer.rows()
    header = {str(row["name"]): row["value"] for row in rows if row["part"] == "header"}
    parts: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        fact = _fact(str(row["name"]), row["value"])
        if row["part"] != "line" and fact:
            parts.setdefault(str(row["part"]), []).append(fact)
    page = render_template(
        "entry.html",
        seq=seq,
        fault=refusal.text if refusal else "",
        answer=answer,
        header=header,
        lines=[row for row in rows if row["part"] == "line"],
        columns=_LINES,
        shown=shown,
        parts=parts,
        reason=given_reason(),
        may_change=security.may("books"),
    )
    return make_response(page, refusal.code if refusal else 200 if answer.page else 404)


def _fact(name: str, value: LedgerCell) -> tuple[str, str] | None:
    """Return a stored field as people read it: dollars, shares, days; None for what is empty, or said twice."""
    if value is None or value == "" or name.endswith("_hash"):
        return None
    for suffix, read in (("_micros", dollars), ("_nanos", shares), ("_at_ns", _utc)):
        if name.endswith(suffix) and isinstance(value, int):
            return name.removesuffix(suffix).replace("_", " "), read(value)
    if name in _MONEY and isinstance(value, int):
        return name, dollars(value)
    return name.replace("_", " "), str(value)


def _utc(ns: int) -> str:
    return f"{iso_utc(ns)[:19].replace('T', ' ')} UTC"


def _given() -> dict[str, Any]:
    """Return the filter as it was typed, without what is empty."""
    return {name: text for name in (*_TEXTS, *_AMOUNTS) if (text := request.args.get(name, "").strip()[:200])}


def _wanted() -> tuple[dict[str, Any], str]:
    """Return the filter in the ledger's words; or what is wrong with it."""
    given = _given()
    wanted: dict[str, Any] = {name: given[name] for name in _TEXTS if name in given}
    for name in _AMOUNTS:
        if name not in given:
            continue
        try:
            amount = Decimal(given[name].replace(",", "").removeprefix("$"))
        except InvalidOperation:
            return {}, f"'{given[name]}' is not an amount: write dollars such as 1,250.50."
        if not amount.is_finite() or not 0 <= amount <= _DOLLARS_MAX:
            return {}, f"'{given[name]}' is not an amount between 0 and {_DOLLARS_MAX:,} dollars."
        wanted[f"{name}_micros"] = int(amount * MICROS)
    return wanted, ""


def _page_number() -> int:
    given = request.args.get("page", "1")
    return int(given) if given.isascii() and given.isdigit() and int(given[:9]) > 0 else 1
