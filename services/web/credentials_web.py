"""Replace credentials, which are never shown, and try whether a provider lets the bot in with them.

A connection is tried by a process of its own, which gets what was typed through its standard input. Its words come
back; what was typed does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from flask import Blueprint, Response, abort, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from config.connection_check import Answer, Question
from config.credentials import needs_of
from config.vault import Secrets, VaultConflictError
from services.web import security
from services.web.audit import REPLACED
from services.web.audit_log import AuditError, Row
from services.web.credential_fields import BY_KEY, PROVIDERS, Provider, malformed
from services.web.forms import Refusal, given_reason, reason_refusal, reauth_refusal
from services.web.settings_history import CREDENTIAL_CHANGED, newest
from services.web.short_process import Job, TooManyAtOnceError, run
from services.web.site import site

#: Longer than any provider is waited for by whoever tries it.
TEST_S_MAX: Final = 50.0
SET, NOT_SET, FORGOTTEN = "set", "not set", "forgotten"
_BUSY: Final = "Other tests run at this moment. Wait until they have ended, then try again. Nothing was changed."
_LATE: Final = "There was no answer in time. See whether this machine reaches the provider, then try again."
pages = Blueprint("credentials", __name__, url_prefix="/credentials")


@dataclass(frozen=True)
class _Said:
    """What the page says at one provider after a form was sent: faults by field, a refusal, or how a test went."""

    provider: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None
    answer: Answer | None = None

    @property
    def code(self) -> int:
        if self.refusal:
            return self.refusal.code
        return 422 if self.faults else 200


@pages.get("")
@security.require("credentials")
def show() -> Response:
    """Show of every provider what is set, by whom and when, and never a part of it."""
    return _page(_Said())


@pages.post("/<key>/test")
@security.require("credentials")
def test(key: str) -> Response:
    """Try the connection with what was typed, or with what is kept where nothing was, and say how it went."""
    provider = _provider(key)
    typed = _typed(provider)
    faults = _faults(provider, typed) if typed else {}
    if faults:
        return _page(_Said(provider=key, faults=faults))
    return _page(_tried(provider, typed))


@pages.post("/<key>/replace")
@security.require("credentials")
def replace(key: str) -> AnyResponse:
    """Replace a provider's credentials; where it is asked for, only when the provider lets the bot in with them."""
    provider = _provider(key)
    typed = _typed(provider)
    faults = _faults(provider, typed)
    if faults:
        return _page(_Said(provider=key, faults=faults))
    refusal = _outdated(provider) or reason_refusal() or reauth_refusal()
    if refusal:
        return _page(_Said(provider=key, refusal=refusal))
    if request.form.get("test_first") == "yes":
        said = _tried(provider, typed)
        if said.answer is None or not said.answer.is_in:
            return _page(said)
    return _saved(provider, typed)


@pages.post("/<key>/forget")
@security.require("credentials")
def forget(key: str) -> AnyResponse:
    """Remove a provider's credentials, unless a setting does not work without them."""
    provider = _provider(key)
    refusal = _needed(provider) or _outdated(provider) or reason_refusal() or reauth_refusal()
    if refusal:
        return _page(_Said(provider=key, refusal=refusal))
    return _saved(provider, {})


def _saved(provider: Provider, typed: Mapping[str, str]) -> AnyResponse:
    """Store a provider's credentials anew; none = remove them."""
    here = site()
    before = here.secrets()
    kept = {name: text for name, text in before.credentials.items() if name not in provider.names}
    try:
        after = msgspec.structs.replace(before, credentials={**kept, **typed})
        generation = here.vault.replace(after, before.generation)
    except VaultConflictError as error:
        return _page(_Said(provider=provider.key, refusal=Refusal(409, str(error))))
    word = REPLACED if typed else FORGOTTEN
    for name in provider.names:
        had, has = name in before.credentials, name in typed
        if had or has:
            here.audit.record(
                CREDENTIAL_CHANGED, name, before=SET if had else NOT_SET, after=word if has else FORGOTTEN
            )
    here.audit.record("credentials_saved", provider.title, after=f"{word}, generation {generation}: {given_reason()}")
    flash(f"{provider.title}: {word} with generation {generation}. In force at the next session start.")
    return redirect(url_for("credentials.show"), 303)


def _tried(provider: Provider, typed: dict[str, str]) -> _Said:
    question = msgspec.json.encode(Question(provider=provider.key, keys=typed))
    job = Job(module=provider.service, arguments=provider.arguments, given=question, timeout_s=TEST_S_MAX)
    try:
        done = run(site().paths, job)
    except TooManyAtOnceError:
        return _Said(provider=provider.key, refusal=Refusal(409, _BUSY))
    if done.code is None:
        answer = Answer(is_in=False, words=(_LATE,))
    else:
        try:
            answer = msgspec.json.decode(done.out, type=Answer)
        except msgspec.MsgspecError:
            # Its standard error is for the log of whoever runs it by hand: nothing here says what is in it.
            answer = Answer(is_in=False, words=(f"The test itself failed: {provider.service} ended with {done.code}.",))
    what = "what was typed" if typed else "what is kept"
    site().audit.record(
        "connection_tested", provider.title, after=f"{what}: {'let in' if answer.is_in else 'not let in'}"
    )
    return _Said(provider=provider.key, answer=answer)


def _provider(key: str) -> Provider:
    return BY_KEY.get(key) or abort(404)


def _typed(provider: Provider) -> dict[str, str]:
    typed = {name: request.form.get(name, "").strip() for name in provider.names}
    return {name: text for name, text in typed.items() if text}


def _faults(provider: Provider, typed: Mapping[str, str]) -> dict[str, str]:
    missing = [field for field in provider.fields if field.name not in typed]
    words = "Enter it" if len(provider.fields) == 1 else "They belong together: enter each of them"
    return {**{field.name: words for field in missing}, **malformed(typed)}


def _needed(provider: Provider) -> Refusal | None:
    secrets = site().secrets()
    left = {name: text for name, text in secrets.credentials.items() if name not in provider.names}
    for need in needs_of(secrets.settings, left):
        if set(need.credentials) & set(provider.names):
            return Refusal(409, f"{need.words}. Change the setting first. Nothing was changed.")
    return None


def _outdated(provider: Provider) -> Refusal | None:
    """Refuse to write over what somebody else has entered since the page was loaded."""
    try:
        changed = newest(CREDENTIAL_CHANGED)
    except AuditError as error:
        return Refusal(503, f"{error} Nothing was changed.")
    row = _newest_of(provider, changed)
    if row is None or request.form.get("seen", "") == str(row.seq):
        return None
    return Refusal(
        409,
        f"{row.actor} has changed these credentials at {row.at_utc}, after your page was loaded. Nothing was changed: "
        "look at the page as it is now, then decide again.",
    )


def _newest_of(provider: Provider, changed: Mapping[str, Row]) -> Row | None:
    rows = [changed[name] for name in provider.names if name in changed]
    return max(rows, key=lambda row: row.seq) if rows else None


def _page(said: _Said) -> Response:
    secrets: Secrets = site().secrets()
    try:
        changed, fault = newest(CREDENTIAL_CHANGED), ""
    except AuditError as error:
        changed, fault = {}, str(error)
    page = render_template(
        "credentials.html",
        providers=[(provider, _newest_of(provider, changed)) for provider in PROVIDERS],
        kept={name for name, text in secrets.credentials.items() if text},
        settings=secrets.settings,
        changed=changed,
        audit_fault=fault,
        said=said,
        reason=given_reason(),
    )
    return make_response(page, said.code)
