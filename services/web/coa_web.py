"""The chart of accounts: its tree with balances, its changes, its versions, its exports. The ledger checks each change.

No account is ever deleted: one that was used is deactivated, and every version stays.
"""

import os
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.messages import ChangeCoa
from services.web import books, security
from services.web import utils_coa_web as chart
from services.web.books import BooksError
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.site import site

_CODE_CHARS_MAX: Final = 32
_NAME_CHARS_MAX: Final = 120
_VERSION_DIGITS_MAX: Final = 9
pages = Blueprint("coa", __name__, url_prefix="/books")


@pages.get("/accounts")
@security.require("look")
def show() -> Response:
    """Show the tree; `code` in the address chooses an account, whose forms are shown to whoever may change it."""
    return _page()


@pages.post("/accounts")
@security.require("books")
def change() -> AnyResponse:
    """Change one account; the ledger makes the next version of it, or says what blocks it."""
    form = {name: request.form.get(name, "").strip() for name in ("action", "code", "name", "parent")}
    if form["action"] == "add":
        form["account_type"] = request.form.get("account_type", "")
    version = request.form.get("coa_version", "")
    if form["action"] not in chart.ACTIONS or not 0 < len(form["code"]) <= _CODE_CHARS_MAX:
        return _page(Refusal(400, "Choose what to do with which account. Nothing was changed."))
    if not (version.isascii() and version.isdigit() and len(version) <= _VERSION_DIGITS_MAX):
        return _page(Refusal(400, "The version of the chart is missing: load the page again. Nothing was changed."))
    if form.get("account_type", chart.TYPES[0]) not in chart.TYPES or len(form["name"]) > _NAME_CHARS_MAX:
        return _page(Refusal(400, f"Choose a type, and a name of {_NAME_CHARS_MAX} characters. Nothing was changed."))
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _page(refusal)
    said = books.order(
        ChangeCoa, receiver="ledger", coa_version=int(version), is_heading="is_heading" in request.form, **form
    )
    if isinstance(said, Refusal):
        return _page(said)
    site().audit.record(
        "coa_changed", f"account {form['code']}", before=f"version {version}", after=f"{form['action']} {form['name']}"
    )
    flash(f"The ledger answers: {said}")
    return redirect(url_for("coa.show", code=form["code"]), 303)


@pages.get("/accounts/versions")
@security.require("look")
def show_versions() -> Response:
    """Show every version, and what changed between two of them; `version` and `before` are in the address."""
    fault, code, versions, changes, note = "", 200, [], [], ""
    try:
        versions = books.records(books.ask("coa_versions", page=books.page_number()))
        difference = books.ask("coa_diff", version=_number("version"), version_before=_number("before"), rows_max=200)
        changes, note = books.records(difference), difference.note
    except BooksError as error:
        fault, code = str(error), error.code
    html = render_template(
        "coa_versions.html",
        versions=versions,
        changes=changes,
        note=note,
        fault=fault,
        text_of=books.cell_text,
    )
    return make_response(html, code)


@pages.post("/accounts/export")
@security.require("books")
def export() -> AnyResponse:
    """Write the chart as Markdown or CSV into output/{BOT}/ledgers, and send it."""
    kind = request.form.get("format", "")
    if kind not in chart.EXPORTS:
        return _page(Refusal(400, "Choose Markdown or CSV. Nothing was written."))
    here = site()
    identity = here.secrets().identity.bot_identity
    try:
        page = books.every_row("accounts")
        title = f"Chart of accounts of {identity}, {page.note}"
        text = chart.markdown(page, title) if kind == "md" else books.csv_text(page)
        name = f"coa_v{chart.version_of(page)}.{kind}"
        _write(here.paths.output / identity / "ledgers", name, text)
    except BooksError as error:
        return _page(Refusal(error.code, str(error)))
    except OSError as error:
        return _page(Refusal(503, f"The file could not be written: {error.strerror}. Is the disk full?"))
    here.audit.record("exported", name, after=f"{len(page.rows)} accounts")
    response = make_response(text)
    response.headers["Content-Type"] = f"text/{'markdown' if kind == 'md' else 'csv'}; charset=utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _write(folder: Path, name: str, text: str) -> None:
    """Put a file in its place in one step."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    part.write_text(text, encoding="utf-8")
    os.replace(part, folder / name)


def _number(name: str) -> int:
    text = books.given(name, _VERSION_DIGITS_MAX)
    return int(text) if text.isascii() and text.isdigit() else 0


def _page(refusal: Refusal | None = None) -> Response:
    fault, code = (refusal.text, refusal.code) if refusal else ("", 200)
    rows, version = [], 0
    try:
        answer = books.every_row("accounts")
        rows, version = chart.tree_rows(answer), chart.version_of(answer)
    except BooksError as error:
        fault, code = fault or str(error), code if refusal else error.code
    wanted = request.form.get("code", "") or books.given("code", _CODE_CHARS_MAX)
    html = render_template(
        "coa.html",
        rows=rows,
        version=version,
        chosen=next((row for row in rows if row["code"] == wanted), None),
        actions=chart.ACTIONS,
        types=chart.TYPES,
        fault=fault,
        reason=given_reason(),
        form=request.form,
        text_of=books.cell_text,
        may_change=security.may("books"),
    )
    return make_response(html, code)
