"""The Flask application: settings, guards, error pages, fixed files; the views are registered here."""

import logging
from collections.abc import Callable
from typing import Any

from flask import (
    Flask,
    Response,
    abort,
    g,
    jsonify,
    make_response,
    render_template,
    request,
    send_from_directory,
)
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException

from config.paths import HomePaths
from config.vault import Secrets, VaultError
from services.web import (
    assets,
    configuration_web,
    control_web,
    dashboard_web,
    forms,
    login_web,
    security,
    streams_web,
)
from services.web.hub import StatusHub
from services.web.site import Bus, NoBus, Site, site
from services.web.venue import venue_of

REQUEST_BYTES_MAX = 1024 * 1024
_YEAR_S = 365 * 24 * 3600
log = logging.getLogger(__name__)


def _nothing(_secrets: Secrets) -> None:
    return


def create_app(
    paths: HomePaths,
    hub: StatusHub,
    on_provisioned: Callable[[Secrets], None] = _nothing,
    *,
    bus: Bus | None = None,
) -> Flask:
    """Return the application for one home; `on_provisioned` is called once, after the first configuration."""
    app = Flask(__name__, static_folder=None)
    found = Site(paths, hub, on_provisioned, bus=bus or NoBus())
    app.extensions["tradebot"] = found
    app.config.update(
        **security.COOKIES,
        TRUSTED_HOSTS=security.TRUSTED_HOSTS,
        MAX_CONTENT_LENGTH=REQUEST_BYTES_MAX,
        WTF_CSRF_TIME_LIMIT=None,
        SECRET_KEY=found.session_key(),
    )
    app.before_request(lambda: security.guard(app))
    CSRFProtect(app)
    found.limiter.init_app(app)
    app.after_request(security.add_headers)
    for view in (configuration_web, login_web, dashboard_web, control_web, streams_web):
        app.register_blueprint(view.pages)
    _add_fixed_files(app)
    _add_errors(app)
    app.add_url_rule("/healthz", "healthz", _healthz)
    app.context_processor(_page_facts)
    app.context_processor(forms.reauth_facts)
    return app


@security.require("public")
def _healthz() -> Response:
    return jsonify(status="ok", configured=site().is_configured())


def _add_fixed_files(app: Flask) -> None:
    versions = assets.versions()

    @security.require("public")
    def static_file(name: str) -> Response:
        return _fixed(send_from_directory(assets.STATIC_FOLDER, name), versions.get(f"static/{name}"))

    @security.require("public")
    def vendor_file(name: str) -> Response:
        if name not in assets.VENDOR:
            abort(404)
        path = assets.VENDOR[name]
        return _fixed(send_from_directory(assets.PACKAGES_FOLDER, path), versions.get(f"vendor/{name}"))

    def asset(name: str) -> str:
        return f"/{name}?v={versions.get(name, 'missing')}"

    app.add_url_rule("/static/<name>", "static_file", static_file)
    app.add_url_rule("/vendor/<name>", "vendor_file", vendor_file)
    app.jinja_env.globals["asset"] = asset


def _fixed(response: Response, version: str | None) -> Response:
    """Let browsers keep a file for good when its address carries the version of its content."""
    if version is not None and request.args.get("v") == version:
        response.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable"
    else:
        response.headers["Cache-Control"] = "no-cache"
    return response


def _add_errors(app: Flask) -> None:
    app.register_error_handler(CSRFError, _csrf_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(VaultError, _vault_error)
    app.register_error_handler(500, _server_error)


def _csrf_error(_error: CSRFError) -> Response:
    return _error_page(403, "The form is too old or came from elsewhere. Load the page again and repeat.")


def _http_error(error: HTTPException) -> Response:
    texts = {
        404: "There is no such page.",
        405: "This page does not do that.",
        413: f"The form is larger than {REQUEST_BYTES_MAX} bytes.",
        400: "The request is not understood.",
    }
    code = error.code or 500
    return _error_page(code, texts.get(code) or error.description or "The request was refused.")


def _vault_error(error: VaultError) -> Response:
    log.error("the secrets cannot be read: %s", error)
    return _error_page(503, str(error))


def _server_error(_error: Exception) -> Response:
    return _error_page(500, "The page failed. The reason is in the web log; the chain itself is not affected.")


def _error_page(code: int, text: str) -> Response:
    if request.endpoint in security.FOR_SCRIPTS:
        return make_response(jsonify(error=text), code)
    return make_response(render_template("message.html", code=code, text=text), code)


def _page_facts() -> dict[str, Any]:
    """Return what every page shows: who is logged in, where orders go, the theme."""
    theme = request.cookies.get("theme", "")
    user = g.get("user")
    facts: dict[str, Any] = {"user": user, "theme": theme if theme in {"dark", "light"} else ""}
    facts["may_control"] = security.may("control")
    if user is not None:
        facts["venue"] = venue_of(site().secrets().settings)
        facts["chain"] = site().hub.chain()
        facts["bot_identity"] = site().secrets().identity.bot_identity
    return facts
