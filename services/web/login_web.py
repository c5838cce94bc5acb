"""Log in and log out."""

import logging

from flask import Blueprint, Response, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from config.users import user_name_fault
from services.web import security
from services.web.site import mark_of, site

WRONG = "The user name, the password or the code is wrong."
log = logging.getLogger(__name__)
pages = Blueprint("login", __name__)


@pages.get("/login")
@security.require("public")
def show() -> AnyResponse:
    """Show the log-in form, or the dashboard to whoever is logged in."""
    if security.may("look"):
        return redirect(url_for("dashboard.show"), 303)
    return make_response(render_template("login.html", fault="", name=""))


@pages.post("/login")
@security.require("public")
def log_in() -> AnyResponse:
    """Check the password; the answer and its time do not tell whether the user exists."""
    name = request.form.get("name", "").strip()
    if not security.may_try_password(name):
        log.warning("log-in locked for %r from %s", _shown(name), request.remote_addr)
        site().audit.record("login_locked", _shown(name), actor=_shown(name))
        return _again(security.locked_words(), name, 429)
    user = site().authenticate(name, request.form.get("password", ""))
    if user is None or not site().has_second_factor(user, request.form.get("totp_code", "")):
        log.warning("log-in refused for %r from %s", _shown(name), request.remote_addr)
        site().audit.record("login_refused", _shown(name), actor=_shown(name))
        return _again(WRONG, name, 401)
    security.forget_password_tries(name)
    site().sessions.end(session.get(security.SESSION_ID))
    session.clear()
    agent = request.headers.get("User-Agent", "")
    session[security.SESSION_ID] = site().sessions.start(
        user.name, request.remote_addr or "", agent, mark=mark_of(user)
    )
    site().audit.record("logged_in", user.name, actor=user.name)
    log.info("%s logged in from %s", user.name, request.remote_addr)
    response = redirect(url_for("account.show" if user.must_change_password else "dashboard.show"), 303)
    security.remember_device(response, user.name)
    return response


@pages.post("/logout")
@security.require("look")
def log_out() -> AnyResponse:
    """End the session on the server; its cookie is worth nothing from now on."""
    site().sessions.end(session.get(security.SESSION_ID))
    session.clear()
    site().audit.record("logged_out", security.current_user().name)
    return redirect(url_for("login.show"), 303)


def _shown(name: str) -> str:
    """Return a name as logs may have it: what cannot be one may be a password that was typed into the wrong field."""
    return name if user_name_fault(name) is None else "what is no user name"


def _again(fault: str, name: str, code: int) -> Response:
    shown = name if user_name_fault(name) is None else ""
    return make_response(render_template("login.html", fault=fault, name=shown), code)
