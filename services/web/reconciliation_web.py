"""The broker against the books: comparisons, a new one on demand, what suspense was, and what the broker left out."""

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.messages import MICROS, NANOS, ExplainSuspense, ReconcileNow, TellActivity
from services.web import books, security
from services.web.books import BooksError
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.site import site

_ACCOUNT_CHARS_MAX = 32
_RATIO_MAX = 10**6
#: What an operator may tell, and how the form says it.
ACTIVITIES = {
    "DIVIDEND": "dividend received",
    "INTEREST": "interest received",
    "DEPOSIT": "deposit",
    "WITHDRAWAL": "withdrawal",
    "FEE": "fee",
    "BROKER_CREDIT": "credit of the broker",
    "MARGIN_INTEREST": "margin interest paid",
    "BORROW_FEE": "borrow fee",
    "SHORT_DIVIDEND": "dividend paid, or tax withheld on one",
    "DATA_COST": "market data",
    "SPLIT": "split of shares",
    "EXERCISE": "contracts exercised",
    "EXPIRY": "contracts expired",
}
pages = Blueprint("reconciliation", __name__, url_prefix="/books")


@pages.get("/reconciliation")
@security.require("look")
def show() -> Response:
    """Show every comparison, newest first, and what is in suspense."""
    return _page()


@pages.post("/reconciliation")
@security.require("books")
def reconcile() -> AnyResponse:
    """Ask the broker now; the ledger compares, and the result appears in the list."""
    refusal = reason_refusal()
    if refusal:
        return _page(refusal)
    said = books.order(ReconcileNow, receiver="execution")
    if isinstance(said, Refusal):
        return _page(said)
    site().audit.record("reconcile_ordered", "broker and books", after=given_reason())
    flash(f"Execution answers: {said or 'asked'}")
    return redirect(url_for("reconciliation.show"), 303)


@pages.post("/reconciliation/suspense")
@security.require("books")
def explain() -> AnyResponse:
    """Move an amount from suspense to where it belongs; it needs the password again, since it is a posting."""
    account = request.form.get("account", "").strip()
    try:
        amount = books.micros_of(request.form.get("amount", ""))
    except BooksError as error:
        return _page(Refusal(error.code, f"{error} Nothing was changed."))
    if not amount or not account or len(account) > _ACCOUNT_CHARS_MAX:
        return _page(Refusal(400, "Give an amount other than 0 and an account. Nothing was changed."))
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _page(refusal)
    said = books.order(ExplainSuspense, receiver="ledger", amount_micros=amount, account=account)
    if isinstance(said, Refusal):
        return _page(said)
    site().audit.record("suspense_explained", f"account {account}", after=f"{amount} micro-dollars: {given_reason()}")
    flash(f"The ledger answers: {said}")
    return redirect(url_for("reconciliation.show"), 303)


@pages.post("/reconciliation/activity")
@security.require("books")
def tell() -> AnyResponse:
    """Tell execution what the broker does not: it is booked as if the broker had told it, so the password is asked."""
    form = {name: request.form.get(name, "").strip() for name in ("kind", "symbol", "amount", "new", "old", "day")}
    try:
        amount = books.micros_of(form["amount"] or "0")
        new, old = _count(form["new"]), _count(form["old"])
    except BooksError as error:
        return _page(Refusal(error.code, f"{error} Nothing was changed."))
    if form["kind"] not in ACTIVITIES or amount < 0 or len(form["symbol"] + form["day"]) > 2 * _ACCOUNT_CHARS_MAX:
        return _page(Refusal(400, "Choose what happened; amounts are above zero. Nothing was changed."))
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _page(refusal)
    is_of_contracts = form["kind"] in {"EXERCISE", "EXPIRY"}
    said = books.order(
        TellActivity,
        receiver="execution",
        kind=form["kind"],
        symbol=form["symbol"].upper(),
        amount_micros=0 if is_of_contracts else amount,
        # Contracts are counted in the same field as dollars.
        qty_nanos=amount * (NANOS // MICROS) if is_of_contracts else 0,
        numerator=new,
        denominator=old,
        day=form["day"],
    )
    if isinstance(said, Refusal):
        return _page(said)
    what = " ".join(filter(None, (form["kind"], form["symbol"], form["amount"], form["day"])))
    site().audit.record("activity_told", what, after=given_reason())
    flash(f"Execution answers: {said}")
    return redirect(url_for("reconciliation.show"), 303)


def _count(text: str) -> int:
    """Return a whole number as typed; empty is 0.

    Raises:
        BooksError: it is none, or too large for a ratio.
    """
    if text and (not text.isdecimal() or not 0 < int(text) <= _RATIO_MAX):
        raise BooksError(f"'{text[:40]}' is no whole number up to {_RATIO_MAX}.", 400)
    return int(text or 0)


def _page(refusal: Refusal | None = None) -> Response:
    fault, code = (refusal.text, refusal.code) if refusal else ("", 200)
    answer = None
    try:
        answer = books.ask("reconciliation", page=books.page_number())
    except BooksError as error:
        fault, code = fault or str(error), code if refusal else error.code
    rows = books.records(answer) if answer else []
    suspense = next((row["actual"] for row in books.records(answer, "totals")), None) if answer else None
    html = render_template(
        "reconciliation.html",
        answer=answer,
        rows=rows,
        newest=rows[0] if rows and books.page_number() == 1 else None,
        open_count=sum(1 for row in rows if not row["is_ok"]),
        suspense=suspense,
        fault=fault,
        reason=given_reason(),
        activities=ACTIVITIES,
        text_of=books.cell_text,
        may_change=security.may("books"),
        page_url=lambda number: url_for("reconciliation.show", page=number),
    )
    return make_response(html, code)
