"""Who may do what, the headers of every answer, the limit on passwords tried. What is not named is denied."""

import secrets as random_ids
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, g, make_response, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from itsdangerous import BadSignature, URLSafeSerializer
from limits import RateLimitItemPerMinute
from werkzeug.exceptions import Conflict, Forbidden, Gone, NotFound, SecurityError, Unauthorized
from werkzeug.wrappers import Response as AnyResponse

from config.bootstrap_token import State
from config.users import Role, User
from services.web import public_address
from services.web.site import Phase, site

Permission = Literal[
    "public",
    "bootstrap",
    "look",
    "control",
    "settings",
    "credentials",
    "users",
    "books",
    "holdings",
    "export",
    "audit",
    "backups",
]
View = TypeVar("View", bound=Callable[..., Any])

_VIEWER: Final[frozenset[Permission]] = frozenset({"look", "export"})
_OPERATOR: Final[frozenset[Permission]] = _VIEWER | {"control", "holdings", "books"}
#: Each role's permissions; "public" needs none, "bootstrap" exists only until somebody is registered. "export" is
#: for what the page it is taken from shows anyway: a route that exports more needs that page's permission.
PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    "viewer": _VIEWER,
    "operator": _OPERATOR,
    "admin": _OPERATOR | {"settings", "credentials", "users", "audit", "backups"},
}
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
COOKIES: Final = {
    "SESSION_COOKIE_NAME": "tradebot",
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Strict",
}
SESSION_ID: Final = "sid"
DEVICE_COOKIE: Final = "tradebot_browser"
_DEVICE_S: Final = 180 * 24 * 3600
_GET_ANOTHER: Final = "Get a new one on the machine: python -m services.web bootstrap-token"
_TOKEN_WORDS: Final[dict[State, str | None]] = {
    "good": None,
    "wrong": f"This is not the one-time token that was shown last. {_GET_ANOTHER}",
    "expired": f"The one-time token was good for 30 minutes, which are over. {_GET_ANOTHER}",
    "used": f"The one-time token was used already. {_GET_ANOTHER}",
    "none": f"No one-time token was given out yet. {_GET_ANOTHER}",
}
#: What somebody whose password an administrator has chosen may do before it is changed.
_BEFORE_CHANGE: Final = frozenset({"account.show", "account.change_password", "login.log_out", "preferences.choose"})
#: Answered with JSON and a status, never with a page or a redirect.
FOR_SCRIPTS: Final = frozenset(
    {"dashboard.stream", "dashboard.snapshot", "logs.lines", "test_mode.progress", "metrics.show"}
)
_OPEN_ALWAYS: Final = frozenset({"static_file", "vendor_file", "healthz"})
#: The pages of the two phases before the bot is as it stays; each has one of its own, and leads to the next.
_FIRST_PAGES: Final[dict[Phase, str]] = {"configuration": "configuration.show", "registration": "registration.show"}
_MARK: Final = "tradebot_permission"


def require(permission: Permission) -> Callable[[View], View]:
    """Mark a view with the permission that it needs; a view without a mark answers nobody."""

    def mark(view: View) -> View:
        setattr(view, _MARK, permission)
        return view

    return mark


def permission_of(app: Flask, endpoint: str | None) -> Permission | None:
    """Return the permission that an endpoint is marked with, or None."""
    found: Permission | None = getattr(app.view_functions.get(endpoint or ""), _MARK, None)
    return found


def current_user() -> User:
    """Return who is logged in; only for views that need a permission of a role."""
    user = g.get("user")
    if not isinstance(user, User):
        raise Unauthorized
    return user


def may(permission: Permission) -> bool:
    """Tell whether whoever asks has a permission."""
    user = g.get("user")
    return isinstance(user, User) and permission in PERMISSIONS[user.role]


def guard(app: Flask) -> ResponseReturnValue | None:
    """Answer instead of the view when the phase, the origin or the role forbids it; None lets it pass."""
    if isinstance(request.routing_exception, SecurityError):
        # A name that is not ours may be a foreign page that points its own name at this machine.
        raise request.routing_exception
    public_address.refuse_plain(request, has_origin=app.config["HAS_ORIGIN"])
    phase = site().phase()
    if phase != "main":
        return _guard_first_steps(app, phase)
    if request.endpoint is None:
        # The answer is that there is no such page; whoever is logged in keeps the menu beside it.
        g.user = site().user_of(session.get(SESSION_ID))
        return None
    _refuse_foreign_origin()
    permission = permission_of(app, request.endpoint)
    if permission == "bootstrap":
        return _guard_after_first_steps()
    user = g.user = site().user_of(session.get(SESSION_ID))
    if user and user.must_change_password and permission != "public" and request.endpoint not in _BEFORE_CHANGE:
        return _change_password_first()
    if permission == "public" or (permission is not None and may(permission)):
        return None
    if user is None and permission is not None:
        return _log_in_first()
    why = f"your role '{user.role}' does not have the permission '{permission}'" if user else "it is open to nobody"
    raise Forbidden(f"This page is refused: {why}.")


def _guard_first_steps(app: Flask, phase: Phase) -> ResponseReturnValue | None:
    """Let the page of the phase and its files pass, and nothing else."""
    _refuse_foreign_origin()
    first_page = _FIRST_PAGES[phase]
    if request.endpoint in _OPEN_ALWAYS or request.endpoint in {first_page, first_page.replace(".show", ".save")}:
        return None
    if request.endpoint == "configuration.save":
        raise Conflict("This bot is already configured; nothing was changed. What comes next is the registration.")
    if request.method == "GET" and request.path == "/":
        return make_response(app.view_functions[first_page]())
    if request.method == "GET" and request.accept_mimetypes.accept_html and request.endpoint not in FOR_SCRIPTS:
        return redirect(url_for(first_page), 303)
    raise NotFound


def _guard_after_first_steps() -> ResponseReturnValue:
    if request.method in {"GET", "HEAD"}:
        return redirect(url_for("dashboard.show"), 303)
    if site().bootstrap.state_of(request.form.get("bootstrap_token", "")) == "used":
        raise Gone("This one-time token was used: the bot has an administrator. Log in to see it; nothing was changed.")
    raise Conflict("This bot is configured and has an administrator. Log in to see it; nothing was changed.")


def _change_password_first() -> ResponseReturnValue:
    if request.method == "GET" and request.endpoint not in FOR_SCRIPTS:
        return redirect(url_for("account.show"), 303)
    raise Forbidden("An administrator has chosen your password. Change it first; nothing was changed.")


def _log_in_first() -> ResponseReturnValue:
    if request.method == "GET" and request.endpoint not in FOR_SCRIPTS:
        return redirect(url_for("login.show"), 303)
    raise Unauthorized("Your session has ended. Log in again; nothing was changed.")


def _refuse_foreign_origin() -> None:
    origin = request.headers.get("Origin")
    if request.method not in {"GET", "HEAD", "OPTIONS"} and origin and urlsplit(origin).netloc != request.host:
        raise Forbidden("The form came from another site. Nothing was changed.")


def refuse_unless_loopback() -> None:
    """Stop a first step that does not come from this machine itself."""
    refuse_unless_here("The first steps are done on the machine itself, through 127.0.0.1.")


def refuse_unless_here(words: str) -> None:
    """Stop a request that does not come from this machine itself; `words` say why."""
    if not public_address.is_loopback(request.remote_addr):
        raise Forbidden(words)


def may_try_password(name: str) -> bool:
    """Count an attempt and tell whether it may go on: WEB_LOGIN_TRIES in WEB_LOGIN_WAIT, by user name and place.

    It counts before the password is checked, so many attempts at once get no further than that.
    """
    return site().limiter.limiter.hit(_password_tries(), name[:64], _place(name))


def forget_password_tries(name: str) -> None:
    """Start the count of attempts anew after the right password."""
    site().limiter.limiter.clear(_password_tries(), name[:64], _place(name))


def locked_words() -> str:
    """Return what somebody reads who has tried too often."""
    return f"Too many attempts for this user. Wait {site().limits().wait_minutes} minutes, then try again."


def _password_tries() -> RateLimitItemPerMinute:
    limits = site().limits()
    return RateLimitItemPerMinute(limits.tries, limits.wait_minutes)


def _place(name: str) -> str:
    """Return where an attempt comes from: a session, a browser that knew this user's password once, or an address.

    So whoever guesses at the log-in locks out himself and not the only administrator, who has been there before.
    """
    user, here = g.get("user"), site()
    if isinstance(user, User) and user.name == name:
        return f"session {here.sessions.handle_of(session.get(SESSION_ID))}"
    known = _device()
    if known is not None and known["user"] == name:
        return f"browser {known['id']}"
    return request.remote_addr or ""


def _device() -> dict[str, str] | None:
    try:
        found = _device_seal().loads(request.cookies.get(public_address.cookie_name(DEVICE_COOKIE), ""))
    except BadSignature:
        return None
    return found if isinstance(found, dict) and found.keys() == {"user", "id"} else None


def _device_seal() -> URLSafeSerializer:
    return URLSafeSerializer(site().session_key(), salt="browser that knew the password")


def remember_device(response: AnyResponse, name: str) -> None:
    """Let this browser be known as one from which the user has logged in; it opens nothing."""
    known = _device()
    if known is None or known["user"] != name:
        sealed = str(_device_seal().dumps({"user": name, "id": random_ids.token_hex(16)}))
        cookie, is_secure = public_address.cookie_name(DEVICE_COOKIE), request.is_secure
        response.set_cookie(cookie, sealed, max_age=_DEVICE_S, secure=is_secure, httponly=True, samesite="Strict")


def bootstrap_fault() -> str | None:
    """Return what is wrong with the one-time token in the form of one of the first steps, or None."""
    return _TOKEN_WORDS[site().bootstrap.state_of(request.form.get("bootstrap_token", ""))]


def add_headers(response: Response) -> Response:
    """Put the security headers on an answer, and no-store on everything that is not a fixed file."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    public_address.add_transport_security(response)
    if "Cache-Control" not in response.headers or request.endpoint not in {"static_file", "vendor_file"}:
        response.headers["Cache-Control"] = "no-store"
    return response
