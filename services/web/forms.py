"""What the operator's forms have in common: the reason, the password again, and how a refusal is answered."""

from dataclasses import dataclass
from typing import Final

from flask import g, request, session

from config.users import User
from services.web import security
from services.web.site import site

REASON_CHARS_MAX: Final = 300


@dataclass(frozen=True)
class Refusal:
    """Why an order of the operator was not carried out, and the status to answer with."""

    code: int
    text: str


def given_reason() -> str:
    """Return the reason in the form, on one line, and without a secret that was typed into it by mistake."""
    return site().audit.without_secrets(" ".join(request.form.get("reason", "").split()))


def reason_refusal() -> Refusal | None:
    """Return what is wrong with the reason, or None."""
    if not given_reason():
        return Refusal(400, "Give a reason: it is kept with the record. Nothing was changed.")
    if len(given_reason()) > REASON_CHARS_MAX:
        return Refusal(400, f"The reason is longer than {REASON_CHARS_MAX} characters. Nothing was changed.")
    return None


def reauth_refusal() -> Refusal | None:
    """Return why whoever is logged in may not do what needs the password again, or None.

    It is typed into the form's `password`, with the code of the app in `totp_code` where the user has one; it is
    good for WEB_CONFIRM_TIME in the same session. A wrong one is refused also within them, and counted like one at the
    log-in. It comes last of a form's checks, so that a form with another fault costs nobody an attempt. While the
    audit log cannot be written it refuses everything.
    """
    here, user, given = site(), security.current_user(), request.form.get("password", "")
    fault = here.audit.fault()
    if fault:
        return Refusal(503, f"{fault} Nothing was changed.")
    if not given and here.sessions.is_confirmed(session.get(security.SESSION_ID)):
        return None
    if not security.may_try_password(user.name):
        here.audit.record("confirmation_locked", user.name)
        return Refusal(429, security.locked_words())
    if here.authenticate(user.name, given) is None:
        here.audit.record("confirmation_refused", user.name)
        return Refusal(401, "The password is wrong. Nothing was changed.")
    if not here.has_second_factor(user, request.form.get("totp_code", "")):
        here.audit.record("confirmation_refused", user.name)
        return Refusal(401, "The code is wrong or was used: wait for the next one. Nothing was changed.")
    security.forget_password_tries(user.name)
    new_id = here.sessions.confirm(session.get(security.SESSION_ID))
    if new_id is None:
        return Refusal(401, "Your session has ended. Log in again; nothing was changed.")
    session[security.SESSION_ID] = new_id
    here.audit.record("confirmed", user.name)
    return None


def reauth_facts() -> dict[str, bool]:
    """Return what the template reauth.html needs: whether the password must be typed now, and whether a code too."""
    user = g.get("user")
    return {
        "must_reauth": not site().sessions.is_confirmed(session.get(security.SESSION_ID)),
        "has_second_factor": isinstance(user, User) and bool(user.totp_secret),
    }
