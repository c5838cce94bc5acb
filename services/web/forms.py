"""What the operator's forms have in common: the reason, the password again, and how a refusal is answered."""

from dataclasses import dataclass
from typing import Final

from flask import request

from services.web import security
from services.web.login_web import LOCKED
from services.web.site import site

REASON_CHARS_MAX: Final = 300


@dataclass(frozen=True)
class Refusal:
    """Why an order of the operator was not carried out, and the status to answer with."""

    code: int
    text: str


def given_reason() -> str:
    """Return the reason in the form, on one line."""
    return " ".join(request.form.get("reason", "").split())


def reason_refusal() -> Refusal | None:
    """Return what is wrong with the reason, or None."""
    if not given_reason():
        return Refusal(400, "Give a reason: it is kept with the record. Nothing was changed.")
    if len(given_reason()) > REASON_CHARS_MAX:
        return Refusal(400, f"The reason is longer than {REASON_CHARS_MAX} characters. Nothing was changed.")
    return None


def password_refusal(name: str) -> Refusal | None:
    """Return why the password of this user does not confirm the order, or None; wrong ones are counted."""
    if not security.may_try_password(name):
        return Refusal(429, LOCKED)
    if site().authenticate(name, request.form.get("password", "")) is None:
        return Refusal(401, "The password is wrong. Nothing was changed.")
    security.forget_password_tries(name)
    return None
