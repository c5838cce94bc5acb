"""Log in and log out."""

import logging

from flask import Blueprint, Response, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from services.web import security
from services.web.site import site

WRONG = "The user name or the password is wrong."
LOCKED = "Too many attempts for this user. Wait 15 minutes, then try again."
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
        log.warning("log-in locked for %r from %s", name[:64], request.remote_addr)
        site().audit.record("login_locked", name[:64], actor=name[:64])
        return _again(LOCKED, name, 429)
    user = site().authenticate(name, request.form.get("password", ""))
    if user is None:
        log.warning("log-in refused for %r from %s", name[:64], request.remote_addr)
        site().audit.record("login_refused", name[:64], actor=name[:64])
        return _again(WRONG, name, 401)
    security.forget_password_tries(name)
    site().sessions.end(session.get(security.SESSION_ID))
    session.clear()
    agent = request.headers.get("User-Agent", "")
    session[security.SESSION_ID] = site().sessions.start(user.name, request.remote_addr or "", agent)
    site().audit.record("logged_in", user.name, actor=user.name)
    log.info("%s logged in from %s", user.name, request.remote_addr)
    return redirect(url_for("dashboard.show"), 303)


@pages.post("/logout")
@security.require("look")
def log_out() -> AnyResponse:
    """End the session on the server; its cookie is worth nothing from now on."""
    site().sessions.end(session.get(security.SESSION_ID))
    session.clear()
    site().audit.record("logged_out", security.current_user().name)
    return redirect(url_for("login.show"), 303)


def _again(fault: str, name: str, code: int) -> Response:
    return make_response(render_template("login.html", fault=fault, name=name[:64]), code)
