"""Who may use the web interface, for administrators: add, change, disable, and end sessions."""

from collections.abc import Callable
from typing import Final

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from config.user_rules import (
    UserChangeError,
    Users,
    added,
    user_named,
    with_activity,
    with_password,
    with_role,
    with_second_factor,
)
from config.users import ROLES, Role, User, hash_password, password_fault
from services.web import security
from services.web.forms import Refusal, reauth_refusal
from services.web.site import site

ROLE_WORDS: Final[dict[Role, str]] = {
    "viewer": "sees everything but settings, users and the audit log; changes nothing",
    "operator": "also arms, stops and halts, and works with holdings and books",
    "admin": "also settings, credentials, users, backups and the audit log",
}
pages = Blueprint("users", __name__, url_prefix="/users")


@pages.get("")
@security.require("users")
def show() -> Response:
    """Show every user, with the forms that change them."""
    return _page()


@pages.post("/add")
@security.require("users")
def add() -> AnyResponse:
    """Add a user with a first password, which they have to change when they log in."""
    name, role, refusal = request.form.get("name", "").strip(), _role(), _new_password_refusal()
    if role is None:
        refusal = Refusal(400, "There is no such role. Nothing was changed.")
    if refusal is None:
        # Before the password is asked for: a name that cannot be costs nobody an attempt.
        refusal = _try(lambda users: added(users, User(name=name, password_hash="", role=role or "viewer")))
    refusal = refusal or reauth_refusal()
    if refusal or role is None:
        return _page(refusal)
    stored = hash_password(request.form["new_password"])
    user = User(name=name, password_hash=stored, role=role, must_change_password=True)
    return _change(
        lambda users: added(users, user),
        action="user_added",
        name=name,
        words=("", role),
        said=f"{name} can log in.",
    )


@pages.post("/role")
@security.require("users")
def change_role() -> AnyResponse:
    """Put a user into another role; what they may do changes with their next click."""
    name, role = request.form.get("name", ""), _role()
    if role is None:
        return _page(Refusal(400, "There is no such role. Nothing was changed."))
    return _change(
        lambda users: with_role(users, name, role),
        action="role_changed",
        name=name,
        words=(_role_of(name), role),
        said=f"{name} is {role} now.",
    )


@pages.post("/disable")
@security.require("users")
def disable() -> AnyResponse:
    """Let a user log in no more; their sessions end. The name stays, for the audit log."""
    name = request.form.get("name", "")
    return _change(
        lambda users: with_activity(users, name, is_active=False),
        action="user_disabled",
        name=name,
        words=("active", "disabled"),
        said=f"{name} cannot log in any more, and every session of theirs has ended.",
        ends_sessions=True,
    )


@pages.post("/enable")
@security.require("users")
def enable() -> AnyResponse:
    """Let a disabled user log in again."""
    name = request.form.get("name", "")
    return _change(
        lambda users: with_activity(users, name, is_active=True),
        action="user_enabled",
        name=name,
        words=("disabled", "active"),
        said=f"{name} can log in again.",
    )


@pages.post("/password")
@security.require("users")
def reset_password() -> AnyResponse:
    """Give a user another password, which they have to change when they log in; their sessions end."""
    name, refusal = request.form.get("name", ""), _new_password_refusal() or reauth_refusal()
    if refusal:
        return _page(refusal)
    stored = hash_password(request.form["new_password"])
    return _change(
        lambda users: with_password(users, name, stored, must_change=True),
        action="password_reset",
        name=name,
        words=("", "replaced"),
        said=f"{name} has a new password, and has to change it when logging in.",
        ends_sessions=True,
    )


@pages.post("/second-factor-off")
@security.require("users")
def remove_second_factor() -> AnyResponse:
    """Take a user's second factor away, who has lost the app and the codes; their sessions end."""
    name = request.form.get("name", "")
    return _change(
        lambda users: with_second_factor(users, name, "", ()),
        action="second_factor_removed",
        name=name,
        words=("password and code", "password"),
        said=f"{name} logs in with the password alone.",
        ends_sessions=True,
    )


@pages.post("/sessions")
@security.require("users")
def end_sessions() -> AnyResponse:
    """End every session of a user, or without a name of everybody but oneself."""
    here, name = site(), request.form.get("name", "")
    names = [name] if name else [user.name for user in here.secrets().users]
    ended = sum(here.sessions.end_all_of(one, but=session.get(security.SESSION_ID)) for one in names)
    here.audit.record("sessions_ended", name or "everybody", after=str(ended))
    return _done(f"{ended} session{'' if ended == 1 else 's'} ended.")


def _change(
    change: Callable[[Users], Users],
    *,
    action: str,
    name: str,
    words: tuple[str, str],
    said: str,
    ends_sessions: bool = False,
) -> AnyResponse:
    """Save a change of the users, unless the rules or a missing confirmation refuse it."""
    refusal = _try(change) or reauth_refusal()
    if refusal:
        return _page(refusal)
    try:
        site().change_users(change)
    except UserChangeError as error:
        return _page(Refusal(409, f"{error}. Nothing was changed."))
    if ends_sessions:
        site().sessions.end_all_of(name)
    site().audit.record(action, name, *words)
    return _done(said)


def _try(change: Callable[[Users], Users]) -> Refusal | None:
    """Return why a change would be refused as the users are now, or None."""
    try:
        change(site().secrets().users)
    except UserChangeError as error:
        return Refusal(409, f"{error}. Nothing was changed.")
    return None


def _role() -> Role | None:
    return next((role for role in ROLES if role == request.form.get("role")), None)


def _role_of(name: str) -> str:
    try:
        return user_named(site().secrets().users, name).role
    except UserChangeError:
        return ""


def _new_password_refusal() -> Refusal | None:
    fault = password_fault(request.form.get("new_password", ""))
    return Refusal(400, f"{fault}. Nothing was changed.") if fault else None


def _page(refusal: Refusal | None = None) -> Response:
    here = site()
    sessions = here.sessions.open_sessions()
    page = render_template(
        "users.html",
        users=here.secrets().users,
        fault=refusal.text if refusal else "",
        roles=ROLE_WORDS,
        typed={"name": request.form.get("name", ""), "role": request.form.get("role", "viewer")} if refusal else {},
        sessions={user.name: sum(one.user_name == user.name for one in sessions) for user in here.secrets().users},
    )
    return make_response(page, refusal.code if refusal else 200)


def _done(text: str) -> AnyResponse:
    flash(text)
    return redirect(url_for("users.show"), 303)
