"""One's own account: the password, the second factor, and where one is logged in."""

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from config.user_rules import new_recovery_codes, recovery_hash, user_named, with_password, with_second_factor
from config.users import User, hash_password, password_fault
from services.web import security
from services.web.forms import Refusal, reauth_refusal
from services.web.second_factor import new_secret, setup_address, setup_picture
from services.web.site import mark_of, site

pages = Blueprint("account", __name__, url_prefix="/account")


@pages.get("")
@security.require("look")
def show() -> Response:
    """Show the account with its forms."""
    return _page()


@pages.post("/password")
@security.require("look")
def change_password() -> AnyResponse:
    """Set another password; every other session of this user ends, and this one gets a new id."""
    user, chosen = security.current_user(), request.form.get("new_password", "")
    refusal = _password_refusal(chosen) or reauth_refusal()
    if refusal:
        return _page(refusal)
    stored = hash_password(chosen)
    site().change_users(lambda users: with_password(users, user.name, stored, must_change=False))
    site().audit.record("password_changed", user.name)
    _go_on_alone(user.name)
    return _done("Your password is changed. Every other session of yours has ended.")


@pages.post("/second-factor")
@security.require("look")
def begin_second_factor() -> AnyResponse:
    """Show the picture for the authenticator app; nothing is kept before a code from it was right."""
    user, refusal = security.current_user(), reauth_refusal()
    if refusal:
        return _page(refusal)
    site().factors_in_setup[user.name] = new_secret()
    return _page()


@pages.post("/second-factor/confirm")
@security.require("look")
def confirm_second_factor() -> AnyResponse:
    """Keep the second factor once a code of the app is right, and show the recovery codes, this once."""
    here, user = site(), security.current_user()
    secret = here.factors_in_setup.get(user.name, "")
    if not secret:
        return _page(Refusal(409, "The set-up was not begun, or was broken off: begin again. Nothing was changed."))
    if not here.codes.is_right(secret, request.form.get("new_totp_code", "")):
        return _page(Refusal(400, "The code is not the app's present one. Compare the clocks, and type the next one."))
    refusal = reauth_refusal()
    if refusal:
        return _page(refusal)
    codes = _keep_factor(user.name, secret)
    here.factors_in_setup.pop(user.name, None)
    here.audit.record("second_factor_set_up", user.name, "password", "password and code")
    return _page(codes=codes)


@pages.post("/second-factor/off")
@security.require("look")
def remove_second_factor() -> AnyResponse:
    """Let the password alone be enough again."""
    user, refusal = security.current_user(), reauth_refusal()
    if refusal:
        return _page(refusal)
    site().change_users(lambda users: with_second_factor(users, user.name, "", ()))
    site().audit.record("second_factor_removed", user.name, "password and code", "password")
    _go_on_alone(user.name)
    return _done("From now on your password alone is enough. Every other session of yours has ended.")


@pages.post("/recovery-codes")
@security.require("look")
def renew_recovery_codes() -> AnyResponse:
    """Show ten new recovery codes, this once; the old ones are worth nothing from now on."""
    user = security.current_user()
    if not user.totp_secret:
        return _page(Refusal(409, "Recovery codes belong to a second factor: set one up first. Nothing was changed."))
    refusal = reauth_refusal()
    if refusal:
        return _page(refusal)
    codes = _keep_factor(user.name, user.totp_secret)
    site().audit.record("recovery_codes_renewed", user.name)
    return _page(codes=codes)


@pages.post("/sessions")
@security.require("look")
def end_sessions() -> AnyResponse:
    """End one other session of this user, or all of them but this one."""
    here, user, handle = site(), security.current_user(), request.form.get("session", "")
    if handle:
        ended = here.sessions.end_handle(handle, user_name=user.name)
    else:
        ended = here.sessions.end_all_of(user.name, but=session.get(security.SESSION_ID))
    here.audit.record("sessions_ended", user.name, after=str(ended))
    return _done(f"{ended} session{'' if ended == 1 else 's'} of yours ended.")


def _keep_factor(name: str, secret: str) -> tuple[str, ...]:
    codes = new_recovery_codes()
    hashes = tuple(recovery_hash(code) for code in codes)
    site().change_users(lambda users: with_second_factor(users, name, secret, hashes))
    _go_on_alone(name)
    return codes


def _go_on_alone(name: str) -> None:
    """Keep this session, under a new id, after what opens it has changed; all others of the user end."""
    here, old_id = site(), session.get(security.SESSION_ID)
    here.sessions.end_all_of(name, but=old_id)
    here.sessions.set_mark(old_id, mark_of(user_named(here.secrets().users, name)))
    new_id = here.sessions.confirm(old_id)
    if new_id is not None:
        session[security.SESSION_ID] = new_id


def _password_refusal(chosen: str) -> Refusal | None:
    fault = password_fault(chosen)
    if fault:
        return Refusal(400, f"{fault}. Nothing was changed.")
    if request.form.get("new_password_again", "") != chosen:
        return Refusal(400, "The two new passwords differ. Nothing was changed.")
    if chosen == request.form.get("password"):
        return Refusal(400, "The new password is the old one. Nothing was changed.")
    return None


def _page(refusal: Refusal | None = None, codes: tuple[str, ...] = ()) -> Response:
    here = site()
    user: User = user_named(here.secrets().users, security.current_user().name)
    secret = here.factors_in_setup.get(user.name, "") if not user.totp_secret else ""
    address = setup_address(user.name, secret, here.secrets().identity.bot_identity) if secret else ""
    page = render_template(
        "account.html",
        account=user,
        fault=refusal.text if refusal else "",
        setup_secret=secret,
        setup_picture=setup_picture(address) if address else "",
        codes=codes,
        sessions=here.sessions.open_sessions(user.name),
        own=here.sessions.handle_of(session.get(security.SESSION_ID)),
    )
    return make_response(page, refusal.code if refusal else 200)


def _done(text: str) -> AnyResponse:
    flash(text)
    return redirect(url_for("account.show"), 303)
