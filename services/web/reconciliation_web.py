"""Broker against books: every comparison with its difference, what stands in suspense, and the two orders about it."""

from decimal import Decimal, InvalidOperation
from typing import Final

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.messages import LEDGER_ROWS_MAX, MICROS, ExplainSuspense, ReconcileNow
from services.web import security
from services.web.books import Column, ask, order, shown
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.frames import dollars

COLUMNS: Final = (
    Column(name="as_of_utc", head="Time (UTC)", kind="time"),
    Column(name="scope", head="What"),
    Column(name="commodity", head="Unit"),
    Column(name="expected", head="Broker says", kind="money"),
    Column(name="actual", head="Books say", kind="money"),
    Column(name="difference", head="Difference", kind="money"),
    Column(name="source", head="Source"),
)
_DOLLARS_MAX: Final = 10**9
pages = Blueprint("reconciliation", __name__, url_prefix="/reconciliation")


@pages.get("")
@security.require("look")
def show() -> Response:
    """Show the comparisons, newest first, and what stands in suspense."""
    return _page()


@pages.post("/compare")
@security.require("books")
def compare() -> AnyResponse:
    """Ask the broker for cash and positions now; the ledger compares them with the books."""
    refusal = reason_refusal()
    if refusal:
        return _page(refusal)
    said = order(ReconcileNow, receiver="execution")
    if isinstance(said, Refusal):
        return _page(said)
    flash(said)
    return redirect(url_for("reconciliation.show"), 303)


@pages.post("/explain")
@security.require("books")
def explain() -> AnyResponse:
    """Move an amount from suspense to the account where it belongs."""
    micros = _typed_micros()
    if micros is None:
        return _page(Refusal(400, "Write the amount in dollars, such as 12.50 or -12.50. Nothing was changed."))
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _page(refusal)
    said = order(ExplainSuspense, amount_micros=micros, account=request.form.get("account", "").strip()[:32])
    if isinstance(said, Refusal):
        return _page(said)
    flash(f"{said}.")
    return redirect(url_for("reconciliation.show"), 303)


def _typed_micros() -> int | None:
    try:
        amount = Decimal(request.form.get("amount", "").strip().replace(",", ""))
    except InvalidOperation:
        return None
    scaled = amount * MICROS if amount.is_finite() and 0 < abs(amount) <= _DOLLARS_MAX else Decimal("0.5")
    return int(scaled) if scaled == scaled.to_integral_value() else None


def _page(refusal: Refusal | None = None) -> Response:
    number = request.args.get("page", "1")
    page_number = int(number) if number.isascii() and number.isdigit() and int(number[:9]) > 0 else 1
    answer = ask("reconciliation", page=page_number)
    accounts = ask("coa", rows_max=LEDGER_ROWS_MAX) if security.may("books") else None
    suspense = next((row["actual"] for row in answer.totals() if row["scope"] == "SUSPENSE"), 0)
    newest: dict[tuple[str, str], bool] = {}
    for row in answer.rows():
        newest.setdefault((str(row["scope"]), str(row["commodity"])), bool(row["is_ok"]))
    page = render_template(
        "reconciliation.html",
        answer=answer,
        columns=COLUMNS,
        shown=shown,
        suspense=suspense if isinstance(suspense, int) else 0,
        differing=[" ".join(what) for what, is_ok in newest.items() if not is_ok],
        accounts=[row for row in accounts.rows() if _takes_differences(row)] if accounts else [],
        dollars=dollars,
        fault=refusal.text if refusal else "",
        typed=request.form if refusal else {},
        reason=given_reason(),
        may_change=security.may("books"),
        url_of=lambda one: url_for("reconciliation.show", page=one),
    )
    return make_response(page, refusal.code if refusal else 200 if answer.page else 503)


def _takes_differences(row: dict[str, str | int | bool | None]) -> bool:
    is_open = row["status"] == "OPEN" and row["unit_rule"] == "BASE" and row["lot_rule"] == "NONE"
    return is_open and row["type"] in ("INCOME", "EXPENSE", "EQUITY")
