"""The long-term holdings: what they are worth beside their targets, what is set, and what each night did.

Settings go into the vault's part `holdings` and count from the next start of the services. The records of the nights
are read as the holdings service wrote them; a run is ordered from that service, in its window.
"""

import csv
import io
import json
import secrets as random_ids
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
from flask import Blueprint, Response, abort, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.clock import boot_ns, utc_ns
from bus.commands import COMMAND_VALID_NS
from bus.inverse_etfs import INVERSE_ETFS
from bus.messages import PayReserve, PreviewHoldings, Purpose, RunHoldings
from config.holdings import (
    DEFAULTS,
    ETFS_MAX,
    INTERVALS_MONTHS,
    HoldingsSettings,
    HoldingsSettingsError,
    equal_weights,
    percent_text,
    rescaled,
)
from config.vault import VaultConflictError
from services.web import security
from services.web.books import ANSWER_TIMEOUT_S, BooksError, micros_of, order
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.frames import dollars, grouped, shares
from services.web.holdings_records import (
    ACTIONS,
    FUND_COLUMNS,
    MOVEMENT_COLUMNS,
    RECORD_NAME,
    Filter,
    fund_rows,
    movement_rows,
    records_of,
    total_of,
)
from services.web.site import site

_RUNS: Final = {"rebalance": "Rebalance", "top-up": "Top up the float"}
_PERCENTS: Final = ("float_percent", "tax_percent", "payroll_percent", "band_percent")
#: What the reserves are kept for, in the words of the page.
_KEPT_FOR: Final = {"TAX": "tax", "PAYROLL": "payroll"}
_EMPTY_ROWS: Final = 3
#: The steps of a run, as the page lists them while one is under way.
_PHASES: Final = ("PLANNED", "SELLING", "ALLOCATED", "BUYING")
pages = Blueprint("holdings", __name__, url_prefix="/holdings")


@pages.get("")
@security.require("look")
def show() -> Response:
    """Show what is held beside its targets, the settings, and what the nights did."""
    return _page({**DEFAULTS, **site().secrets().holdings}, (), None)


@pages.post("/settings")
@security.require("holdings")
def save() -> AnyResponse:
    """Store the settings, or show the form again with weights that were worked out as the button says."""
    part = _typed()
    how = request.form.get("how", "save")
    if how in {"equal", "actual", "rescale"}:
        return _page({**part, "etfs": _reworked(part["etfs"], how)}, (), None)
    try:
        HoldingsSettings.from_vault(part, day_trading=[row.inverse for row in INVERSE_ETFS])
    except HoldingsSettingsError as error:
        return _page(part, (str(error),), None)
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _page(part, (), refusal)
    return _saved(part)


@pages.get("/run/<kind>")
@security.require("holdings")
def preview(kind: str) -> Response:
    """Show what a run would do, and ask for the confirmation."""
    return _run_page(kind)


@pages.post("/run/<kind>")
@security.require("holdings")
def run(kind: str) -> AnyResponse:
    """Order a run: a rebalance, or a night without one, which restores the float."""
    if kind not in _RUNS:
        abort(404)
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _run_page(kind, refusal)
    said = order(RunHoldings, receiver="holdings", is_rebalance=kind == "rebalance")
    told = said.text if isinstance(said, Refusal) else said
    site().audit.record("holdings_run_ordered", _RUNS[kind], after=f"{given_reason()}: {told}")
    if isinstance(said, Refusal):
        return _run_page(kind, said)
    flash(f"{said}.")
    return redirect(url_for("holdings.show", _anchor="now"), 303)


def _run_page(kind: str, refusal: Refusal | None = None) -> Response:
    if kind not in _RUNS:
        abort(404)
    now = utc_ns()
    question = PreviewHoldings(
        ts_event=now,
        ts_init=now,
        command_id=random_ids.token_hex(16),
        expires_boot_ns=boot_ns() + COMMAND_VALID_NS,
        operator=security.current_user().name,
        receiver="holdings",
        is_rebalance=kind == "rebalance",
    )
    answer = site().bus.command(question, ANSWER_TIMEOUT_S)
    lines = msgspec.json.decode(answer.body, type=list[str]) if answer and answer.is_done and answer.body else []
    fault = "" if lines else answer.detail if answer else "the holdings service does not answer"
    text = render_template("holdings_run.html", kind=kind, title=_RUNS[kind], lines=lines, fault=fault, refusal=refusal)
    return make_response(text, refusal.code if refusal else 200)


@pages.get("/pay/<purpose>")
@security.require("holdings")
def show_payout(purpose: str) -> Response:
    """Ask how much of a reserve was paid out."""
    return _payout_page(purpose)


@pages.post("/pay/<purpose>")
@security.require("holdings")
def pay(purpose: str) -> AnyResponse:
    """Let the ledger book that a reserve was paid out."""
    if purpose not in get_args(Purpose):
        abort(404)
    try:
        amount = micros_of(request.form.get("amount", ""))
    except BooksError as error:
        return _payout_page(purpose, Refusal(error.code, str(error)))
    if amount <= 0:
        return _payout_page(purpose, Refusal(400, "What is paid must be above zero. Nothing was changed."))
    refusal = reason_refusal() or reauth_refusal()
    if refusal:
        return _payout_page(purpose, refusal)
    is_withdrawn = request.form.get("is_withdrawn") == "yes"
    said = order(PayReserve, receiver="ledger", purpose=purpose, amount_micros=amount, is_withdrawn=is_withdrawn)
    told = said.text if isinstance(said, Refusal) else said
    site().audit.record("reserve_paid", purpose, after=f"{dollars(amount)}; {given_reason()}: {told}")
    if isinstance(said, Refusal):
        return _payout_page(purpose, said)
    flash(f"The ledger answers: {said}.")
    return redirect(url_for("holdings.show"), 303)


def _payout_page(purpose: str, refusal: Refusal | None = None) -> Response:
    if purpose not in get_args(Purpose):
        abort(404)
    words = _KEPT_FOR[purpose]
    reserve = _snapshot().get(f"{words}_reserve")
    text = render_template(
        "holdings_pay.html",
        purpose=purpose,
        words=words,
        reserve=None if reserve is None else grouped(str(reserve)),
        given=request.form,
        refusal=refusal,
    )
    return make_response(text, refusal.code if refusal else 200)


@pages.get("/report")
@security.require("look")
def report() -> str:
    """Show what is held and the movements that are wanted as one page to print."""
    wanted, held = Filter.of(request.args), _snapshot()
    return render_template(
        "holdings_report.html",
        held=held,
        funds=fund_rows(held),
        fund_columns=FUND_COLUMNS,
        records=records_of(_folder(), wanted),
        wanted=wanted,
        money=lambda micros: grouped(dollars(micros)),
        units=shares,
    )


@pages.get("/report.<kind>")
@security.require("export")
def export(kind: str) -> Response:
    """Give what is held beside its targets, as CSV; as JSON with every movement that is wanted."""
    if kind == "json":
        actions = [line for record in records_of(_folder(), Filter.of(request.args)) for line in record["actions"]]
        body = json.dumps({"holdings": _snapshot(), "actions": actions}, indent=1) + "\n"
        return _exported(body, "application/json", "holdings.json", len(actions))
    if kind != "csv":
        abort(404)
    rows = fund_rows(_snapshot())
    return _exported(_csv(FUND_COLUMNS, rows), "text/csv", "holdings.csv", len(rows))


@pages.get("/movements.csv")
@security.require("export")
def export_movements() -> Response:
    """Give every movement that is wanted."""
    rows = movement_rows(records_of(_folder(), Filter.of(request.args)))
    return _exported(_csv(MOVEMENT_COLUMNS, rows), "text/csv", "holdings-movements.csv", len(rows))


def _csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _exported(body: str, kind: str, name: str, count: int) -> Response:
    site().audit.record("exported", name, after=f"{count} rows")
    return _file(body, kind, name)


@pages.get("/nights/<name>")
@security.require("export")
def night(name: str) -> Response:
    """Give one record as it was written."""
    path = _folder() / name
    if not RECORD_NAME.match(name) or not path.is_file():
        abort(404)
    return _file(path.read_text(encoding="utf-8"), "application/json", name)


def _saved(part: dict[str, Any]) -> AnyResponse:
    here = site()
    before = here.secrets()
    try:
        generation = here.vault.replace(msgspec.structs.replace(before, holdings=part), before.generation)
    except VaultConflictError as error:
        return _page(part, (), Refusal(409, str(error)))
    was = {**DEFAULTS, **before.holdings}
    for name in DEFAULTS:
        if was[name] != part[name]:
            here.audit.record("holdings_changed", name, before=_words(was[name]), after=_words(part[name]))
    here.audit.record("holdings_saved", "holdings", after=f"generation {generation}: {given_reason()}")
    flash(f"Saved with generation {generation}. In force at the next start of the services.")
    return redirect(url_for("holdings.show"), 303)


def _typed() -> dict[str, Any]:
    form = request.form
    etfs: dict[str, str] = {}
    for place in range(ETFS_MAX):
        symbol = form.get(f"symbol_{place}", "").strip().upper()
        if symbol:
            etfs[symbol] = form.get(f"weight_{place}", "").strip()
    months = form.get("rebalance_months", "")
    return {
        "is_enabled": form.get("is_enabled") == "yes",
        "etfs": etfs,
        "weights": form.get("weights", ""),
        **{name: form.get(name, "").strip() for name in _PERCENTS},
        "rebalance_months": int(months) if months.isdigit() and len(months) <= 2 else months,
        "is_auto_rebalance": form.get("is_auto_rebalance") == "yes",
    }


def _reworked(etfs: Mapping[str, str], how: str) -> dict[str, str]:
    """Return other weights for the typed funds: equal, as they are held now, or in proportion to what was typed."""
    if how == "equal":
        return {target.symbol: percent_text(target.weight_bps) for target in equal_weights(etfs)}
    if how == "actual":
        held = {line["symbol"]: int(line["weight_bps"]) for line in _snapshot().get("funds", [])}
        return rescaled({symbol: str(held.get(symbol, 0) / 100) for symbol in etfs})
    return rescaled(etfs)


def _page(part: Mapping[str, Any], faults: Sequence[str], refusal: Refusal | None) -> Response:
    code = refusal.code if refusal else 422 if faults else 200
    wanted, held = Filter.of(request.args), _snapshot()
    text = render_template(
        "holdings.html",
        part=part,
        rows=[*part["etfs"].items(), *[("", "")] * (ETFS_MAX - len(part["etfs"]))][:ETFS_MAX],
        # As many rows as there are funds, and some for new ones; the rest is folded away.
        shown=len(part["etfs"]) + _EMPTY_ROWS,
        intervals=[str(months) for months in INTERVALS_MONTHS],
        faults=faults,
        refusal=refusal,
        held=held,
        total=grouped(total_of(held)),
        phases=_PHASES,
        records=records_of(_folder(), wanted),
        wanted=wanted,
        actions=ACTIONS,
        may_change=security.may("holdings"),
        percent=percent_text,
        money=lambda micros: grouped(dollars(micros)),
        units=shares,
    )
    return make_response(text, code)


def _snapshot() -> dict[str, Any]:
    found: dict[str, Any] = site().hub.snapshot().get("holdings") or {}
    return found


def _folder() -> Path:
    here = site()
    return here.paths.output / here.secrets().identity.bot_identity / "holdings"


def _file(body: str, kind: str, name: str) -> Response:
    answer = make_response(body)
    answer.headers["Content-Type"] = f"{kind}; charset=utf-8"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _words(value: object) -> str:
    return ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)
