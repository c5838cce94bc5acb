"""The dashboard: one page, its first state as JSON, and the stream that keeps it live."""

from collections.abc import Iterator

from flask import Blueprint, Response, abort, jsonify, make_response, render_template, session

from config.vault import VaultError
from services.web import security
from services.web.hub import HubFullError, Subscription
from services.web.site import Site, site

pages = Blueprint("dashboard", __name__)


@pages.get("/")
@security.require("look")
def show() -> Response:
    """Show the dashboard."""
    return make_response(render_template("dashboard.html", stopped=site().hub.stopped_streams()))


@pages.get("/api/snapshot")
@security.require("look")
def snapshot() -> Response:
    """Return everything the hub knows."""
    return jsonify(site().hub.snapshot())


@pages.get("/stream")
@security.require("look")
def stream() -> Response:
    """Stream events: a snapshot first, then every change, until the session or the server ends."""
    here, session_id = site(), session.get(security.SESSION_ID)
    try:
        client = here.hub.subscribe()
    except HubFullError as error:
        abort(503, str(error))
    response = Response(_frames_while_logged_in(here, client, session_id), mimetype="text/event-stream")
    # Called even when the browser left before the first frame was read, so that no stream is left behind.
    response.call_on_close(lambda: here.hub.unsubscribe(client))
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _frames_while_logged_in(here: Site, client: Subscription, session_id: str | None) -> Iterator[bytes]:
    for frame in client.read():
        if not _may_still_look(here, session_id):
            return
        yield frame


def _may_still_look(here: Site, session_id: str | None) -> bool:
    try:
        user = here.user_of(session_id)
    except VaultError:
        return False
    return user is not None and "look" in security.PERMISSIONS[user.role]
