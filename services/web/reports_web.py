"""Statements of the books by period, and files for other programs: OFX, beancount, hledger, pages and JSON."""

import csv
import io
import re
from datetime import date
from typing import Any, Final, Literal

from flask import Blueprint, Response, abort, make_response, render_template, request, send_file, url_for
from msgspec import Struct

from bus.clock import iso_utc, utc_ns
from bus.messages import LedgerKind
from services.web import security
from services.web.books import Column, ask, ask_all, exported, shown
from services.web.short_process import Job, TooManyAtOnceError, run
from services.web.site import site


class Report(Struct, frozen=True, kw_only=True):
    """One statement: its question to the ledger, its title, what it says, its columns."""

    kind: LedgerKind
    title: str
    text: str
    columns: tuple[Column, ...]


_STATEMENT: Final = (
    Column(name="section", head="Part"),
    Column(name="code", head="Code"),
    Column(name="account", head="Account"),
    Column(name="amount", head="Dollars", kind="money"),
)
REPORTS: Final = (
    Report(
        kind="income_statement",
        title="Income statement",
        text="What came in and went out in the period, and the result.",
        columns=_STATEMENT,
    ),
    Report(
        kind="balance_sheet",
        title="Balance sheet",
        text="What the account owned and owed at the end of the period; securities at cost.",
        columns=_STATEMENT,
    ),
    Report(
        kind="trial_balance",
        title="Trial balance",
        text="Every account: what it held before the period, took and gave in it, and held in the end.",
        columns=(
            Column(name="code", head="Code"),
            Column(name="account", head="Account"),
            Column(name="opening", head="Before", kind="money"),
            Column(name="debits", head="Debits", kind="money"),
            Column(name="credits", head="Credits", kind="money"),
            Column(name="closing_debit", head="Debit balance", kind="money"),
            Column(name="closing_credit", head="Credit balance", kind="money"),
        ),
    ),
    Report(
        kind="gains",
        title="Realized gains",
        text="What each sale took from each lot, first in first out; ST short-term, LT long-term. Not tax advice.",
        columns=(
            Column(name="entry", head="Entry", kind="number"),
            Column(name="symbol", head="Symbol"),
            Column(name="quantity", head="Quantity", kind="number"),
            Column(name="acquired_utc", head="Acquired (UTC)", kind="time"),
            Column(name="sold_utc", head="Sold (UTC)", kind="time"),
            Column(name="term", head="Term"),
            Column(name="proceeds", head="Proceeds", kind="money"),
            Column(name="cost", head="Cost", kind="money"),
            Column(name="gain", head="Gain", kind="money"),
        ),
    ),
    Report(
        kind="trades",
        title="Trades booked",
        text="Every purchase and sale as it was booked; what was taken back is marked and not in the sums.",
        columns=(
            Column(name="entry", head="Entry", kind="number"),
            Column(name="time_utc", head="Time (UTC)", kind="time"),
            Column(name="side", head="Side"),
            Column(name="symbol", head="Symbol"),
            Column(name="quantity", head="Quantity", kind="number"),
            Column(name="price", head="Price", kind="money"),
            Column(name="commission", head="Commission", kind="money"),
            Column(name="fees", head="Fees", kind="money"),
            Column(name="gain", head="Gain", kind="money"),
            Column(name="strategy", head="Strategy"),
            Column(name="is_undone", head="Taken back", kind="flag"),
        ),
    ),
)


class FileKind(Struct, frozen=True, kw_only=True):
    """A file that the ledger's own program writes: its verb, its ending, and what it is for."""

    key: Literal["ofx", "ofx-bank", "ofx-investment", "html", "json", "beancount", "hledger"]
    title: str
    verb: tuple[str, ...]
    suffix: str
    text: str
    has_period: bool = True


FILES: Final = (
    FileKind(key="ofx", title="OFX 2.2, both statements", verb=("export-ofx",), suffix="ofx",
             text="For accounting software that reads bank and investment statements apart."),
    FileKind(key="ofx-bank", title="OFX 2.2, bank statement", verb=("export-ofx", "--view", "bank"), suffix="ofx",
             text="Cash alone."),
    FileKind(key="ofx-investment", title="OFX 2.2, investment statement",
             verb=("export-ofx", "--view", "investment"), suffix="ofx", text="Trades, positions and their list."),
    FileKind(key="html", title="All reports as one page", verb=("reports", "--format", "html"), suffix="html",
             text="To read and to print, with tax lots and wash sales."),
    FileKind(key="json", title="All reports as JSON", verb=("reports", "--format", "json"), suffix="json",
             text="The same for a program."),
    FileKind(key="beancount", title="beancount", verb=("export-beancount",), suffix="beancount",
             text="The whole ledger for the plain-text bookkeeper beancount.", has_period=False),
    FileKind(key="hledger", title="hledger", verb=("export-hledger",), suffix="journal",
             text="The whole ledger for the plain-text bookkeeper hledger.", has_period=False),
)  # fmt: skip
_EXPORT_S_MAX: Final = 120.0
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
pages = Blueprint("reports", __name__, url_prefix="/reports")


@pages.get("")
@security.require("look")
def show() -> Response:
    """Show one statement for the period in the address."""
    report, period = _report(), _period()
    number = request.args.get("page", "1")
    page_number = int(number) if number.isascii() and number.isdigit() and int(number[:9]) > 0 else 1
    answer = ask(report.kind, page=page_number, rows_max=100, **period)
    page = render_template(
        "reports.html",
        reports=REPORTS,
        report=report,
        answer=answer,
        shown=shown,
        files=FILES,
        period=period,
        today=iso_utc(utc_ns())[:10],
        url_of=lambda one: url_for("reports.show", kind=report.kind, page=one, **period),
    )
    return make_response(page, 200 if answer.page else 503)


@pages.get("/csv")
@security.require("export")
def export_csv() -> Response:
    """Return the statement that the page shows as CSV, all of its pages and its sums."""
    report, period = _report(), _period()
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([column.name for column in report.columns])
    count = 0
    totals: list[Any] = []
    for answer in ask_all(report.kind, **period):
        if answer.page is None:
            abort(503, answer.fault)
        for row in answer.rows():
            writer.writerow([exported(column, row) for column in report.columns])
            count += 1
        totals = answer.totals()
    writer.writerows([exported(column, row) for column in report.columns] for row in totals)
    site().audit.record("exported", f"{report.kind}.csv", after=f"{count} rows")
    response = make_response(out.getvalue())
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="{report.kind}.csv"'
    return response


@pages.post("/file/<key>")
@security.require("export")
def export_file(key: str) -> Response:
    """Let the ledger's own program write a file into the output folder's `ledgers`, and return it."""
    kind = next((one for one in FILES if one.key == key), None)
    if kind is None:
        abort(404)
    here, period = site(), _period()
    folder = here.paths.output / here.secrets().identity.bot_identity / "ledgers"
    stamp = iso_utc(utc_ns())[:19].replace("-", "").replace(":", "")
    path = folder / f"ledger_{kind.key}_{stamp}.{kind.suffix}"
    days = [word for option, name in (("--from", "first_day"), ("--to", "last_day")) if name in period
            for word in (option, period[name])]  # fmt: skip
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    arguments = (*kind.verb, *(days if kind.has_period else ()), "--out", str(path))
    try:
        done = run(here.paths, Job(module="services.ledger", arguments=arguments, timeout_s=_EXPORT_S_MAX))
    except TooManyAtOnceError:
        abort(503, "Other exports and checks run at this moment. Wait until they have ended, then try again.")
    if done.code != 0 or not path.is_file():
        abort(503, (done.err or done.out).strip()[:400] or "The export did not end in time and was stopped.")
    here.audit.record("exported", path.name, after=" ".join(days) or "everything")
    return make_response(send_file(path, as_attachment=True, download_name=path.name))


def _report() -> Report:
    wanted = request.values.get("kind", "")
    return next((one for one in REPORTS if one.kind == wanted), REPORTS[0])


def _period() -> dict[str, Any]:
    """Return the days in the address or the form; what is no day is answered 422."""
    found = {}
    for name in ("first_day", "last_day"):
        text = request.values.get(name, "").strip()
        if not text:
            continue
        try:
            is_day = bool(_DAY.fullmatch(text)) and bool(date.fromisoformat(text))
        except ValueError:
            is_day = False
        if not is_day:
            abort(422, f"'{text[:20]}' is not a day: write it as 2026-03-31.")
        found[name] = text
    if len(found) == 2 and found["first_day"] > found["last_day"]:
        abort(422, "The first day is after the last day: give the earlier day first.")
    return found
