"""The registration: the second of the first steps, where whoever configured the bot becomes its administrator."""

from typing import Final

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as AnyResponse

from bus.clock import utc_ns
from config.bootstrap_token import VALID_NS
from config.user_rules import UserChangeError, Users, added
from config.users import User, hash_password, password_fault, user_name_fault
from config.vault import VaultError
from services.web import security
from services.web.settings_fields import Faults
from services.web.site import site

#: In the session of the browser that configured the bot: until when it need not show the token again.
_PROVED_UNTIL: Final = "registers_until_ns"
_NAME_PROPOSED: Final = "admin"
pages = Blueprint("registration", __name__)


@pages.get("/registration")
@security.require("bootstrap")
def show() -> Response:
    """Show the form of the first administrator."""
    security.refuse_unless_loopback()
    return _page(_NAME_PROPOSED, {}, 200)


@pages.post("/registration")
@security.require("bootstrap")
def save() -> AnyResponse:
    """Make the first administrator and go to the log-in, or show every fault and save nothing."""
    security.refuse_unless_loopback()
    name, password = request.form.get("admin_name", "").strip(), request.form.get("password", "")
    faults: Faults = {}
    token_fault = None if has_proved() else security.bootstrap_fault()
    found = {
        "bootstrap_token": token_fault,
        "admin_name": user_name_fault(name),
        "password": password_fault(password),
        "password_again": None if request.form.get("password_again", "") == password else "The two passwords differ",
    }
    faults.update({field: [fault] for field, fault in found.items() if fault})
    if faults:
        return _page(name, faults, 422)
    here, admin = site(), User(name=name, password_hash=hash_password(password), role="admin")
    try:
        with here.configuring:
            here.change_users(lambda users: _first(users, admin))
    except UserChangeError as error:
        return make_response(render_template("message.html", code=409, text=f"{error}. Nothing was changed."), 409)
    except VaultError as error:
        return _page(name, {"": [str(error)]}, 503)
    here.bootstrap.use_up()
    session.clear()
    here.audit.record("registered", name, after="role admin", actor=name)
    flash(f"{name} is the administrator of this bot. Third step: log in; then the dashboard says what the chain does.")
    return redirect(url_for("login.show"), 303)


def prove() -> None:
    """Note in the browser's session that it has shown the one-time token; it need not show it again at once."""
    session[_PROVED_UNTIL] = utc_ns() + VALID_NS


def has_proved() -> bool:
    """Tell whether this browser has shown the one-time token within the last half hour."""
    until = session.get(_PROVED_UNTIL)
    return isinstance(until, int) and utc_ns() <= until


def _first(users: Users, admin: User) -> Users:
    if users:
        raise UserChangeError("This bot has an administrator already: log in, or let them add you")
    return added(users, admin)


def _page(name: str, faults: Faults, code: int) -> Response:
    page = render_template(
        "registration.html",
        admin_name=name,
        faults=faults,
        faults_total=sum(len(found) for found in faults.values()),
        needs_token=not has_proved(),
    )
    return make_response(page, code)
