"""The chart of accounts: the tree with balances, its versions and what changed, changes, exports. The one place for it.

A change is a command to the ledger, which checks it and makes it the next version. No account with postings goes away.
"""

from typing import Any, Final, Literal

from flask import Blueprint, Response, abort, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.messages import LEDGER_ROWS_MAX, ChangeCoa
from config.vault import Disk
from services.web import security
from services.web.books import Answer, Column, ask, ask_all, order, shown
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.frames import dollars
from services.web.site import site
from services.web.utils_coa_web import TYPES, AccountLine, csv_text, markdown, tree_of

Action = Literal["add", "rename", "move", "deactivate", "activate"]
ACTIONS: Final[tuple[Action, ...]] = ("add", "rename", "move", "deactivate", "activate")
_VERSIONS: Final = (
    Column(name="version", head="Version", kind="number"),
    Column(name="created_utc", head="Made (UTC)", kind="time"),
    Column(name="author", head="By"),
    Column(name="note", head="Why"),
    Column(name="accounts", head="Accounts", kind="number"),
    Column(name="content_hash", head="SHA-256"),
)
_CHANGES: Final = (
    Column(name="code", head="Code"),
    Column(name="change", head="Change"),
    Column(name="field", head="Field"),
    Column(name="before", head="Before"),
    Column(name="after", head="After"),
)
pages = Blueprint("coa", __name__, url_prefix="/coa")


@pages.get("")
@security.require("look")
def show() -> Response:
    """Show the tree, and to whoever may change it the forms."""
    return _page()


@pages.post("")
@security.require("books")
def change() -> AnyResponse:
    """Order one change of the chart."""
    action = next((known for known in ACTIONS if known == request.form.get("action")), None)
    version = request.form.get("coa_version", "")
    if action is None or not (version.isascii() and version.isdigit()):
        return _page(Refusal(400, "The form is not understood. Load the page again. Nothing was changed."))
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _page(refusal)
    said = order(ChangeCoa, coa_version=int(version), action=action, **_fields(action))
    if isinstance(said, Refusal):
        return _page(said)
    flash(said)
    return redirect(url_for("coa.show"), 303)


@pages.get("/versions")
@security.require("look")
def versions() -> Response:
    """Show every version, and what changed from one to another."""
    newest, before = (_number(request.args.get(name, "")) for name in ("version", "before"))
    listed = ask("coa_versions", rows_max=LEDGER_ROWS_MAX)
    changed = ask("coa_diff", version=newest, version_before=before, rows_max=LEDGER_ROWS_MAX)
    page = render_template(
        "coa_versions.html",
        listed=listed,
        changed=changed,
        version_columns=_VERSIONS,
        change_columns=_CHANGES,
        shown=shown,
        newest=newest,
        before=before,
    )
    return make_response(page, 200 if listed.page else 503)


@pages.post("/export")
@security.require("export")
def export() -> AnyResponse:
    """Write the chart as Markdown and as CSV into the output folder's `ledgers`, and say where."""
    here = site()
    lines, version, fault = _tree()
    if fault:
        return _page(Refusal(503, fault))
    folder = here.paths.output / here.secrets().identity.bot_identity / "ledgers"
    stem = f"chart_of_accounts_v{version.rpartition(' ')[2]}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for suffix, text in _files(lines, version).items():
            part = folder / f".{stem}.{suffix}.part"
            Disk().write_file(part, text.encode())
            Disk().rename(part, folder / f"{stem}.{suffix}")
    except OSError as error:
        return _page(Refusal(503, f"Nothing could be written in {folder}: {error.strerror}."))
    here.audit.record("exported", f"{stem}.md and .csv", after=f"{len(lines)} accounts")
    flash(f"Written: {folder / stem}.md and .csv.")
    return redirect(url_for("coa.show"), 303)


@pages.get("/download/<suffix>")
@security.require("export")
def download(suffix: str) -> Response:
    """Return the chart as Markdown (`md`) or CSV (`csv`)."""
    if suffix not in ("md", "csv"):
        abort(404)
    lines, version, fault = _tree()
    if fault:
        abort(503, fault)
    site().audit.record("exported", f"chart_of_accounts.{suffix}", after=f"{len(lines)} accounts")
    response = make_response(_files(lines, version)[suffix])
    kind = "text/csv" if suffix == "csv" else "text/markdown"
    response.headers["Content-Type"] = f"{kind}; charset=utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="chart_of_accounts.{suffix}"'
    return response


def _fields(action: Action) -> dict[str, Any]:
    """Return what the ledger takes for this action, from the form."""
    form = request.form
    code = form.get("code", "").strip()[:32]
    name, parent = " ".join(form.get("name", "").split()), form.get("parent", "").strip()[:32]
    if action == "add":
        kind = form.get("account_type", "")
        return {"code": code, "name": name, "parent": parent, "account_type": kind, "is_heading": "is_heading" in form}
    if action == "rename":
        return {"code": code, "name": name}
    return {"code": code, "parent": parent} if action == "move" else {"code": code}


def _tree() -> tuple[list[AccountLine], str, str]:
    """Return the accounts, the words for their version, and what was in the way."""
    rows: list[Any] = []
    version = ""
    for answer in ask_all("accounts"):
        if answer.page is None:
            return [], "", answer.fault
        rows += answer.rows()
        version = answer.page.note
    return tree_of(rows), version, ""


def _files(lines: list[AccountLine], version: str) -> dict[str, str]:
    title = site().secrets().identity.bot_identity
    return {"md": markdown(lines, version=version, title=title), "csv": csv_text(lines)}


def _page(refusal: Refusal | None = None) -> Response:
    lines, version, fault = _tree()
    page = render_template(
        "coa.html",
        lines=lines,
        version=version.rpartition(" ")[2],
        answer=Answer(page=None, fault=fault),
        fault=refusal.text if refusal else "",
        types=TYPES,
        headings=[line for line in lines if line.is_heading],
        typed=request.form if refusal else {},
        dollars=dollars,
        reason=given_reason(),
        may_change=security.may("books"),
    )
    return make_response(page, refusal.code if refusal else 503 if fault else 200)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
