"""/metrics for Prometheus and its relatives: for this machine alone, and for who has the token of the vault."""

import hmac
from collections.abc import Iterator
from typing import Final

from flask import Blueprint, Response, make_response, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from werkzeug.exceptions import Forbidden, Unauthorized

from config.credentials import METRICS_TOKEN
from services.web import security
from services.web.site import Site, site
from services.web.tally import home_figures

#: The text format, of the version that every scraper reads.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SCHEME: Final = "Bearer "
pages = Blueprint("metrics", __name__)


class _Home(Collector):
    """What the home's disk says."""

    def __init__(self, here: Site) -> None:
        self._here = here

    def collect(self) -> Iterator[Metric]:
        """Return free space and ages."""
        return home_figures(self._here.paths)


@pages.get("/metrics")
@security.require("public")
def show() -> Response:
    """Return every figure in Prometheus' text format; the token is in a header, never in the address."""
    security.refuse_unless_here("Figures are given to this machine alone: let the scraper run here, or use a tunnel.")
    token = site().secrets().credentials.get(METRICS_TOKEN, "")
    if not token:
        raise Forbidden("No figures are given: set the token for monitoring on the page of credentials.")
    said = request.headers.get("Authorization", "")
    if not (said.startswith(_SCHEME) and hmac.compare_digest(said.removeprefix(_SCHEME).encode(), token.encode())):
        raise Unauthorized("Say the token for monitoring in the header: Authorization: Bearer …")
    home = CollectorRegistry()
    home.register(_Home(site()))
    answer = make_response(generate_latest(site().hub.tally.registry) + generate_latest(home))
    answer.headers["Content-Type"] = CONTENT_TYPE
    return answer
