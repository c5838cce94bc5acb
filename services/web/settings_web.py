"""Change settings: the form, what would change and what is dangerous about it, and what two people at once have typed.

Nothing is saved before a person has seen the difference, given a reason and confirmed with the password. What is saved
is in force from the next session on; the running chain keeps the settings that it started with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from config import env_bot
from config.settings_change import Change, changes, dangers, merge
from config.vault import Secrets, VaultConflictError
from services.web import security
from services.web.audit_log import AuditError
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.settings_fields import (
    Faults,
    broker_fault,
    groups,
    setting_faults,
    typed_settings,
    unmet_needs,
)
from services.web.settings_history import history, newest, record_changes
from services.web.site import site

_WAS: Final = "was."
_NOTHING: Final = "Nothing differs from what is in force, so there is nothing to save."
_UNREAD: Final = "The dangers of this change are not confirmed: tick the box after you have read them."
pages = Blueprint("settings", __name__, url_prefix="/settings")


@dataclass
class _Proposed:
    """What a form asks for, against the settings in force.

    Args:
        secrets: what is in force.
        was: the settings that the form was made from.
        typed: what was typed.
    """

    secrets: Secrets
    was: dict[str, str]
    typed: dict[str, str]
    faults: Faults = field(default_factory=dict)

    @property
    def wanted(self) -> dict[str, str]:
        """Return the whole set as it would be saved; keys that this version does not know are dropped."""
        kept = {key: text for key, text in self.secrets.settings.items() if key in env_bot.BY_KEY}
        differs = {key: text for key, text in self.typed.items() if text != self.was.get(key)}
        return {key: text for key in env_bot.BY_KEY if (text := differs.get(key, kept.get(key))) is not None}

    @property
    def changes(self) -> tuple[Change, ...]:
        """Return what saving it would change."""
        return changes(self.secrets.settings, self.wanted)

    @property
    def is_outdated(self) -> bool:
        """Tell whether somebody has changed settings since the form was made."""
        return self.was != self.secrets.settings

    def check(self) -> None:
        """Find everything that is wrong with the whole set."""
        wanted = self.wanted
        self.faults = setting_faults(wanted)
        words = broker_fault(wanted, self.secrets.identity)
        if words:
            self.faults.setdefault("BROKER_NAME", []).append(
                f"BROKER_NAME is {wanted['BROKER_NAME']}, but this bot is {self.secrets.identity.bot_identity}: its "
                "ledger and folders are named after its broker. Set up another home for another broker"
            )
        for key, found in unmet_needs(wanted, self.secrets.credentials).items():
            self.faults.setdefault(key, []).extend(found)


@pages.get("")
@security.require("settings")
def show() -> Response:
    """Show every setting with what is in force; what this version adds is filled in with its proposal."""
    secrets = site().secrets()
    upgrade = env_bot.upgrade_of(secrets.settings)
    typed = {**{setting.key: setting.proposal for setting in upgrade.added}, **secrets.settings}
    return _form(_Proposed(secrets=secrets, was=secrets.settings, typed=typed), 200)


@pages.post("/edit")
@security.require("settings")
def edit() -> AnyResponse:
    """Show the form again with what was typed, from the page that shows the difference."""
    proposed = _read()
    return _conflict(proposed) if proposed.is_outdated else _form(proposed, 200)


@pages.post("/review")
@security.require("settings")
def review() -> AnyResponse:
    """Check everything that was typed, and show what saving it would change."""
    proposed = _read()
    refused = _unsavable(proposed)
    return refused if refused is not None else _difference(proposed)


@pages.post("/save")
@security.require("settings")
def save() -> AnyResponse:
    """Save what was reviewed, with its reason, as a new generation."""
    proposed = _read()
    refused = _unsavable(proposed)
    if refused is not None:
        return refused
    refusal = reason_refusal() or _unread_refusal(proposed) or reauth_refusal()
    if refusal:
        return _difference(proposed, refusal)
    here, changed = site(), proposed.changes
    try:
        after = msgspec.structs.replace(proposed.secrets, settings=proposed.wanted)
        generation = here.vault.replace(after, proposed.secrets.generation)
    except VaultConflictError:
        # Somebody was faster between the look and the save. What was typed is not lost.
        proposed.secrets = here.secrets()
        return _conflict(proposed) if proposed.is_outdated else _difference(proposed, _again())
    record_changes(changed, generation, given_reason())
    # Where settings of another version kept the bus shut, it is listened to from now on.
    here.on_provisioned(here.secrets())
    flash(f"Saved as generation {generation}: {len(changed)} changed. {_in_force(changed)}")
    return redirect(url_for("settings.show"), 303)


@pages.get("/history")
@security.require("settings")
def show_history() -> Response:
    """Show who changed what when, of all settings or of one."""
    key = request.args.get("key", "")
    if key not in env_bot.BY_KEY:
        key = ""
    try:
        rows, fault = history(key), ""
    except AuditError as error:
        rows, fault = [], str(error)
    page = render_template("settings_history.html", key=key, keys=list(env_bot.BY_KEY), rows=rows, fault=fault)
    return make_response(page, 503 if fault else 200)


@pages.get("/identity")
@security.require("settings")
def show_identity() -> Response:
    """Show who this bot is, and why none of it changes."""
    return make_response(render_template("identity.html", identity=site().secrets().identity))


def _read() -> _Proposed:
    form = request.form
    was = {name.removeprefix(_WAS): form[name] for name in form if name.startswith(_WAS)}
    return _Proposed(secrets=site().secrets(), was=was, typed=typed_settings())


def _unsavable(proposed: _Proposed) -> Response | None:
    """Return the page that says why this cannot be saved as it is, or None."""
    if proposed.is_outdated:
        return _conflict(proposed)
    proposed.check()
    if not proposed.changes and not proposed.faults:
        proposed.faults[""] = [_NOTHING]
    return _form(proposed, 422) if proposed.faults else None


def _form(proposed: _Proposed, code: int) -> Response:
    upgrade = env_bot.upgrade_of(proposed.secrets.settings)
    try:
        changed, audit_fault = newest("setting_changed"), ""
    except AuditError as error:
        changed, audit_fault = {}, str(error)
    page = render_template(
        "settings.html",
        groups=groups(),
        values={**proposed.secrets.settings, **proposed.typed},
        was=proposed.was,
        stored=proposed.secrets.settings,
        faults=proposed.faults,
        faults_total=sum(len(found) for found in proposed.faults.values()),
        added={setting.key for setting in upgrade.added},
        removed=upgrade.removed,
        changed=changed,
        audit_fault=audit_fault,
        **_generations(proposed.secrets.generation),
    )
    return make_response(page, code)


def _difference(proposed: _Proposed, refusal: Refusal | None = None) -> Response:
    page = render_template(
        "settings_review.html",
        changes=[(change, dangers(change)) for change in proposed.changes],
        has_dangers=_has_dangers(proposed),
        was=proposed.was,
        reason=given_reason(),
        fault=refusal.text if refusal else "",
        **_generations(proposed.secrets.generation),
    )
    return make_response(page, refusal.code if refusal else 200)


def _conflict(proposed: _Proposed) -> Response:
    found = merge(proposed.was, proposed.typed, proposed.secrets.settings)
    try:
        changed = newest("setting_changed")
    except AuditError:
        changed = {}
    page = render_template("settings_conflict.html", merge=found, was=proposed.secrets.settings, changed=changed)
    return make_response(page, 409)


def _has_dangers(proposed: _Proposed) -> bool:
    return any(dangers(change) for change in proposed.changes)


def _unread_refusal(proposed: _Proposed) -> Refusal | None:
    if _has_dangers(proposed) and request.form.get("has_read") != "yes":
        return Refusal(400, f"{_UNREAD} Nothing was changed.")
    return None


def _again() -> Refusal:
    return Refusal(409, "Something else was saved at this moment, but no setting. Nothing was changed: save once more.")


def _in_force(changed: tuple[Change, ...]) -> str:
    when = sorted({change.takes_effect for change in changed})
    return f"In force {', or '.join(when)}." if when else ""


def _generations(stored: int) -> Mapping[str, Any]:
    """Return which generation is stored, and which one the chain was armed with."""
    arm = site().control.read().arm
    return {"generation": stored, "chain_generation": arm.generation if arm else 0}
