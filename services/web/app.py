"""The Flask application: settings, guards, error pages, fixed files; the views are registered here."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flask import (
    Flask,
    Response,
    abort,
    current_app,
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
    account_web,
    alerts_web,
    assets,
    audit_web,
    backups_web,
    candidates_web,
    coa_web,
    configuration_web,
    control_web,
    credentials_web,
    dashboard_web,
    forms,
    golive_web,
    help_web,
    holdings_web,
    journal_web,
    ledger_files_web,
    login_web,
    logs_web,
    metrics_web,
    navigation,
    orders_web,
    preferences_web,
    public_address,
    reconciliation_web,
    registration_web,
    reports_web,
    security,
    settings_web,
    streams_web,
    styleguide_web,
    test_web,
    trades_web,
    users_web,
)
from services.web.alerts import SILENCE_MS_MAX
from services.web.frames import grouped
from services.web.hub import StatusHub
from services.web.site import Bus, NoBus, Site, site
from services.web.times import ZONES, chosen_zone, ms_of, when, when_utc
from services.web.venue import venue_of

REQUEST_BYTES_MAX = 1024 * 1024
_VIEWS: Final = (
    configuration_web,
    registration_web,
    login_web,
    preferences_web,
    dashboard_web,
    control_web,
    candidates_web,
    trades_web,
    orders_web,
    journal_web,
    coa_web,
    reconciliation_web,
    reports_web,
    ledger_files_web,
    alerts_web,
    logs_web,
    metrics_web,
    streams_web,
    holdings_web,
    settings_web,
    credentials_web,
    backups_web,
    test_web,
    account_web,
    users_web,
    audit_web,
    golive_web,
    help_web,
)
_OK: Final = 200
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
    has_styleguide: bool = False,
    origin: str = "",
) -> Flask:
    """Return the application for one home; `on_provisioned` is called once, after the first configuration.

    `origin` is the address that browsers on other machines use, through a proxy; empty = there is none. With
    `has_styleguide` the page /styleguide shows every component that pages are made of.
    """
    app = Flask(__name__, static_folder=None)
    found = Site(paths, hub, on_provisioned, bus=bus or NoBus())
    app.extensions["tradebot"] = found
    app.config.update(
        **security.COOKIES,
        TRUSTED_HOSTS=public_address.names_of(origin),
        HAS_ORIGIN=bool(origin),
        MAX_CONTENT_LENGTH=REQUEST_BYTES_MAX,
        WTF_CSRF_TIME_LIMIT=None,
        SECRET_KEY=found.session_key(),
    )
    app.session_interface = public_address.SessionCookie()
    app.before_request(lambda: security.guard(app))
    CSRFProtect(app)
    found.limiter.init_app(app)
    app.after_request(security.add_headers)
    for view in _VIEWS:
        app.register_blueprint(view.pages)
    if has_styleguide:
        app.register_blueprint(styleguide_web.pages)
    _add_fixed_files(app)
    _add_errors(app)
    app.add_url_rule("/healthz", "healthz", _healthz)
    app.context_processor(_page_facts)
    app.jinja_env.globals.update(when=when, when_utc=when_utc, ms_of=ms_of)
    app.jinja_env.filters["grouped"] = grouped
    app.context_processor(forms.reauth_facts)
    return app


@security.require("public")
def _healthz() -> Response:
    """Say that this process answers, and whether it hears the chain; nothing that a stranger may not know."""
    age_ms = site().hub.chain_age_ms()
    is_heard = age_ms is not None and age_ms <= SILENCE_MS_MAX
    return jsonify(status="ok", configured=site().is_configured(), hears_chain=is_heard)


def _add_fixed_files(app: Flask) -> None:
    versions = assets.versions()

    @security.require("public")
    def static_file(name: str) -> Response:
        return _fixed(assets.STATIC_FOLDER, name, versions.get(f"static/{name}"))

    @security.require("public")
    def vendor_file(name: str) -> Response:
        if name not in assets.VENDOR:
            abort(404)
        return _fixed(assets.PACKAGES_FOLDER, assets.VENDOR[name], versions.get(f"vendor/{name}"))

    def asset(name: str) -> str:
        return f"/{name}?v={versions.get(name, 'missing')}"

    app.add_url_rule("/static/<name>", "static_file", static_file)
    app.add_url_rule("/vendor/<name>", "vendor_file", vendor_file)
    app.jinja_env.globals["asset"] = asset


def _fixed(folder: Path, name: str, version: str | None) -> Response:
    """Send a file, compressed for who takes it so; for good when its address carries the version of its content."""
    response = send_from_directory(folder, name)
    response.headers["Vary"] = "Accept-Encoding"
    if version is not None and request.accept_encodings.quality("gzip") > 0 and response.status_code == _OK:
        response.direct_passthrough = False
        response.set_data(assets.compressed(folder / name, version))
        response.headers["Content-Encoding"] = "gzip"
        response.set_etag(f"{version}-gz")
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
    """Return what every page shows: who is logged in, where orders go, where this page stands, how it is to look."""
    theme, user, zone = preferences_web.chosen("theme"), g.get("user"), chosen_zone()
    facts: dict[str, Any] = {
        "user": user,
        "theme": "" if theme == "auto" else theme,
        "gain": preferences_web.chosen("gain"),
        "zone": zone,
        "zones": ZONES,
        "may_control": security.may("control"),
    }
    if user is not None:
        facts["venue"] = venue_of(site().running().settings)
        facts["chain"] = site().hub.chain()
        facts["unseen_alerts"] = site().hub.alerts.unseen()
        facts["bot_identity"] = site().secrets().identity.bot_identity
        facts["menu"] = navigation.menu(current_app, request.endpoint)
        facts["place"] = navigation.place(request.endpoint)
    return facts
