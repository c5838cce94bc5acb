"""Alerts: everything that a person has to look at, newest first, and the word that it was seen."""

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from services.web import security
from services.web.alerts import SILENCE_MS_MAX
from services.web.site import site

pages = Blueprint("alerts", __name__)


@pages.get("/alerts")
@security.require("look")
def show() -> Response:
    """Show every alert; whoever may control can say that one was seen."""
    return _page()


@pages.post("/alerts")
@security.require("control")
def acknowledge() -> AnyResponse:
    """Mark one alert as seen, or all; an alert of a state that lasts comes again by itself."""
    number = request.form.get("number", "")
    if number != "all" and not (number.isascii() and number.isdigit() and len(number) < 10):
        return _page("There is no such alert. Nothing was changed.", 400)
    count = site().hub.acknowledge(None if number == "all" else int(number), security.current_user().name)
    if count:
        site().audit.record("alerts_acknowledged", "all" if number == "all" else f"alert {number}", after=str(count))
    flash(f"Seen: {count} alert{'' if count == 1 else 's'}." if count else "It was seen before. Nothing was changed.")
    return redirect(url_for("alerts.show"), 303)


def _page(fault: str = "", code: int = 200) -> Response:
    hub = site().hub
    age_ms = hub.chain_age_ms()
    page = render_template(
        "alerts.html",
        alerts=hub.alerts.newest_first(),
        unseen=hub.alerts.unseen(),
        fault=fault,
        silent_s=age_ms // 1000 if age_ms is not None and age_ms > SILENCE_MS_MAX else 0,
    )
    return make_response(page, code)
