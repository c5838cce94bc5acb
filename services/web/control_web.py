"""Arm, stop and kill: each tells its consequence, asks for a reason, writes to the control folder."""

import logging
from typing import Final, Literal

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.build import build_id
from bus.clock import iso_utc, utc_ns
from bus.halt import ArmRecord, ControlState
from bus.vital_signs import drift_refusal
from config import env_bot
from services.web import security
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.site import site

Action = Literal["arm", "stop", "kill"]
KILL_WORD: Final = "KILL"
CONSEQUENCES: Final[dict[Action, str]] = {
    "arm": "From now on the bot sends orders by itself whenever a strategy raises a signal and every risk "
    "check passes, {until} it is stopped or halted.",
    "stop": "No new positions are opened. Open positions keep their protective stops and their planned "
    "exits. Arming the chain takes the stop back.",
    "kill": "The chain halts now: working orders are cancelled and no new ones are sent. Open positions stay "
    "with their stops or are sold, as the setting HALT_POSITIONS says. Only arming ends a halt, also after a "
    "restart.",
}
log = logging.getLogger(__name__)
pages = Blueprint("control", __name__, url_prefix="/control")


@pages.get("/arm")
@security.require("control")
def show_arm() -> Response:
    """Show what arming does, with its form."""
    return _page("arm")


@pages.get("/stop")
@security.require("control")
def show_stop() -> Response:
    """Show what a stop does, with its form."""
    return _page("stop")


@pages.get("/kill")
@security.require("control")
def show_kill() -> Response:
    """Show what the kill switch does, with its form."""
    return _page("kill")


@pages.post("/arm")
@security.require("control")
def arm() -> AnyResponse:
    """Write the arm record, which answers the halts that the operator has seen.

    ARM_EXPIRES=session: the record names the session after whose close it is no permission any more.
    """
    here, user, state = site(), security.current_user(), site().control.read()
    # ARM_EXPIRES=session: the permission ends with the session that the watchdog has planned.
    is_for_session = here.running().settings.get("ARM_EXPIRES") == "session"
    session_date = str((here.hub.chain() or {}).get("session_date", "")) if is_for_session else ""
    refusal = reason_refusal() or _settings_refusal() or _state_refusal(state) or _stream_refusal() or _clock_refusal()
    if is_for_session:
        refusal = refusal or _session_refusal(session_date)
    refusal = refusal or reauth_refusal()
    if refusal:
        return _page("arm", refusal)
    record = ArmRecord(
        operator=user.name,
        reason=given_reason(),
        armed_at_utc=iso_utc(utc_ns()),
        halt_counter=state.halt_counter,
        generation=here.running().generation,
        build=build_id(),
        expires=session_date,
    )
    try:
        here.control.arm(record)
    except OSError as error:
        return _page("arm", _unwritten(error))
    here.audit.record("armed", f"halt counter {state.halt_counter}", after=record.reason)
    return _done("Armed. The chain becomes active when every service is up and its checks pass.")


@pages.post("/stop")
@security.require("control")
def stop() -> AnyResponse:
    """Write the stop request."""
    refusal = reason_refusal()
    if refusal:
        return _page("stop", refusal)
    try:
        site().control.request_stop(f"{security.current_user().name}: {given_reason()}")
    except OSError as error:
        return _page("stop", _unwritten(error))
    site().audit.record("stop_requested", "new positions", after=given_reason())
    return _done("Stop requested. No new positions are opened.")


@pages.post("/kill")
@security.require("control")
def kill() -> AnyResponse:
    """Write a halt record, unless one of this operator stands already; every service is told again in any case."""
    refusal = _word_refusal() or reason_refusal()
    if refusal:
        return _page("kill", refusal)
    control, name = site().control, security.current_user().name
    # Another operator's press is a record of its own: whoever is about to arm has to see it first.
    standing = next(
        (r for r in control.unanswered() if r.rule == "operator" and r.detail.startswith(f"{name}: ")), None
    )
    try:
        record = standing or control.raise_halt(source="web", rule="operator", detail=f"{name}: {given_reason()}")
    except OSError as error:
        return _page("kill", _unwritten(error))
    site().bus.tell_halt(record)
    site().audit.record("kill_pressed", f"halt {record.counter}", after=given_reason())
    if standing:
        log.warning("%s pressed the kill button again under halt %d: %s", name, record.counter, given_reason())
        return _done(f"The chain is halted already: your halt {record.counter} stands until an operator arms again.")
    return _done(f"Halt {record.counter} is on disk. The chain stops within a second.")


def _word_refusal() -> Refusal | None:
    if request.form.get("word", "").strip() == KILL_WORD:
        return None
    return Refusal(400, f"Type the word {KILL_WORD} in capital letters to confirm. Nothing was changed.")


def _settings_refusal() -> Refusal | None:
    try:
        env_bot.parse(site().secrets().settings)
    except env_bot.SettingsError as error:
        return Refusal(409, f"The chain cannot be armed. {error} Nothing was changed.")
    return None


def _state_refusal(state: ControlState) -> Refusal | None:
    if state.fault:
        return Refusal(409, f"The chain cannot be armed: {state.fault}. Correct that first.")
    if state.is_kill_file_present:
        return Refusal(409, "The file control/kill.txt is present. Remove it on the machine, then arm again.")
    if request.form.get("halt_counter", "") != str(state.halt_counter):
        return Refusal(409, "A halt was raised after this page was shown. Read it below, then decide again.")
    return None


def _session_refusal(session_date: str) -> Refusal | None:
    if not session_date:
        return Refusal(
            409,
            "ARM_EXPIRES is session, and the watchdog has not said yet which session it plans: wait until the page "
            "shows its date, then arm again. Nothing was changed.",
        )
    if site().hub.has_closed():
        return Refusal(
            409,
            f"ARM_EXPIRES is session, and the session of {session_date} is over: arm again when the next one is "
            "planned. Nothing was changed.",
        )
    return None


def _stream_refusal() -> Refusal | None:
    if not site().hub.stopped_streams():
        return None
    return Refusal(409, "A stream is stopped. Resolve it first on the page of stopped streams. Nothing was changed.")


def _clock_refusal() -> Refusal | None:
    chain = site().hub.chain() or {}
    words = drift_refusal(int(chain.get("clock_drift_ms", 0)) * 1_000_000)
    if words is None:
        return None
    return Refusal(409, f"The chain cannot be armed: {words}, then arm again. Nothing was changed.")


def _unwritten(error: OSError) -> Refusal:
    folder = site().paths.control
    return Refusal(
        503,
        f"Nothing could be written in {folder}: {error.strerror}. To halt the chain anyway, make the file "
        f"{folder / 'kill.txt'} on the machine, or stop the processes with 'supervisorctl -c "
        f"{site().paths.run / 'supervisord.conf'} stop tradebot:*'.",
    )


def _page(action: Action, refusal: Refusal | None = None) -> Response:
    state = site().control.read()
    positions, allocated = site().hub.open_positions()
    is_for_session = site().running().settings.get("ARM_EXPIRES") == "session"
    until = "to the close of this session, unless" if is_for_session else "today and on every trading day, until"
    page = render_template(
        "control.html",
        action=action,
        consequence=CONSEQUENCES[action].format(until=until),
        fault=refusal.text if refusal else "",
        reason=given_reason(),
        state=state,
        chain_refusal=state.refusal(build_id()),
        stopped=site().hub.stopped_streams(),
        positions=positions,
        allocated=allocated,
        kill_word=KILL_WORD,
    )
    return make_response(page, refusal.code if refusal else 200)


def _done(text: str) -> AnyResponse:
    flash(text)
    return redirect(url_for("dashboard.show"), 303)
