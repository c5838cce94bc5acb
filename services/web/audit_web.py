"""The audit log for administrators: filters in the address, pages, exports, and the check of the whole chain."""

import csv
import io
import re
from typing import Final
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from services.web import security
from services.web.audit_log import AuditError, AuditFilter, Row, Verdict
from services.web.site import site

ROWS_A_PAGE: Final = 100
EXPORT_ROWS_MAX: Final = 100_000
COLUMNS: Final = tuple(field.name for field in msgspec.structs.fields(Row))
_TEXT_CHARS_MAX: Final = 200
#: A day, or a moment as the log writes it.
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?Z?)?")
#: A cell that begins so is a formula to a spreadsheet. Source: OWASP, CSV Injection.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
pages = Blueprint("audit", __name__, url_prefix="/audit")


@pages.get("")
@security.require("audit")
def show() -> Response:
    """Show the newest rows that match the filters in the address."""
    return _page(None)


@pages.post("/verify")
@security.require("audit")
def verify() -> Response:
    """Check every row of the log, and name the first one that is not as it was written."""
    log = site().audit.log
    try:
        verdict = log.verify()
    except AuditError as error:
        raise ServiceUnavailable(str(error)) from error
    site().audit.record("audit_verified", f"{verdict.rows} rows", after=verdict.fault or "every one as it was written")
    return _page(verdict)


@pages.get("/export.csv")
@security.require("audit")
def export_csv() -> Response:
    """Return every matching row as CSV, newest first."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in _exported("CSV"):
        writer.writerow([_cell(getattr(row, name)) for name in COLUMNS])
    return _file(text.getvalue().encode(), "text/csv; charset=utf-8", "audit.csv")


@pages.get("/export.json")
@security.require("audit")
def export_json() -> Response:
    """Return every matching row as JSON, newest first; with every column, so that the chain can be checked."""
    return _file(msgspec.json.encode(_exported("JSON")), "application/json", "audit.json")


def _exported(kind: str) -> list[Row]:
    found = _rows(_wanted(), limit=EXPORT_ROWS_MAX)
    site().audit.record("audit_exported", f"{len(found)} rows", after=kind)
    return found


def _rows(wanted: AuditFilter, *, before_seq: int = 0, limit: int) -> list[Row]:
    try:
        return site().audit.log.rows(wanted, before_seq=before_seq, limit=limit)
    except AuditError as error:
        raise ServiceUnavailable(str(error)) from error


def _wanted() -> AuditFilter:
    values = {name: request.args.get(name, "").strip()[:_TEXT_CHARS_MAX] for name in ("who", "what", "text")}
    since, until = (_time(name) for name in ("since", "until"))
    return AuditFilter(
        actor=values["who"], action=values["what"], text=values["text"], since_utc=since, until_utc=until
    )


def _time(name: str) -> str:
    value = request.args.get(name, "").strip()
    if value and not _TIME.fullmatch(value):
        raise BadRequest
    # The log writes fractions of a second before the Z: without it the shorter text is the earlier moment.
    return value.removesuffix("Z")


def _before() -> int:
    value = request.args.get("before", "")
    if not value:
        return 0
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise BadRequest
    return int(value)


def _page(verdict: Verdict | None) -> Response:
    wanted, log = _wanted(), site().audit.log
    found = _rows(wanted, before_seq=_before(), limit=ROWS_A_PAGE + 1)
    rows = found[:ROWS_A_PAGE]
    filters = {name: value for name in ("who", "what", "text", "since", "until") if (value := request.args.get(name))}
    page = render_template(
        "audit.html",
        rows=rows,
        wanted=wanted,
        verdict=verdict,
        fault=site().audit.fault(),
        actors=log.known("actor"),
        actions=log.known("action"),
        query=urlencode(filters),
        older=urlencode({**filters, "before": rows[-1].seq}) if len(found) > len(rows) else "",
        is_first=not _before(),
    )
    return make_response(page)


def _cell(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _file(content: bytes, kind: str, name: str) -> Response:
    response = make_response(content)
    response.headers["Content-Type"] = kind
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
