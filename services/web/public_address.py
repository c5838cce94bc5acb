"""How other machines reach the pages: through a proxy on this machine that ends TLS, under one address that is set.

The server itself listens on the loopback address alone, whatever is set. What does not come over TLS and is not from
this machine is refused.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask, Request
from flask import request as present_request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response

#: The address that browsers elsewhere use, as https://bot.example.org; empty = there is none.
ORIGIN_VARIABLE: Final = "TRADEBOT_WEB_ORIGIN"
#: Names of this machine itself: what asks for one of them needs no TLS, for nothing of it is on a network.
OWN_NAMES: Final = ("127.0.0.1", "localhost")
#: RFC 6797: browsers that have been here over TLS ask for nothing else for a year.
TRANSPORT_SECURITY: Final = "max-age=31536000"
#: What a proxy adds to what it passes on.
_PROXY_HEADERS: Final = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via")
#: Waitress believes two headers of the proxy, who asks and by which scheme, and takes all others of the kind away.
_BELIEVED: Final[dict[str, Any]] = {
    "trusted_proxy": "127.0.0.1",
    "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-proto"},
    "clear_untrusted_proxy_headers": True,
}
#: Without an address that is set nobody is believed, and the headers stay, so that a proxy is noticed.
_NOBODY: Final[dict[str, Any]] = {"clear_untrusted_proxy_headers": False}


def origin_fault(origin: str) -> str | None:
    """Return what is wrong with the address that is set in one sentence, or None."""
    parts, example = urlsplit(origin), "it must be like https://bot.example.org"
    if not origin:
        return None
    if parts.scheme != "https":
        return f"{ORIGIN_VARIABLE} is '{origin}': {example}; without TLS the pages are for this machine alone"
    try:
        is_plain = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain or origin.rstrip("/") != f"https://{parts.netloc}" or "@" in parts.netloc:
        return f"{ORIGIN_VARIABLE} is '{origin}': {example}, a name and nothing after it"
    if parts.hostname in OWN_NAMES:
        return f"{ORIGIN_VARIABLE} is '{origin}': that is this machine itself, which needs no address to be set"
    return None


def names_of(origin: str) -> list[str]:
    """Return the names under which the pages answer; any other may be a foreign page that points its own name here."""
    name = urlsplit(origin).hostname
    return [*OWN_NAMES, name] if name else [*OWN_NAMES]


def server_options(origin: str) -> Mapping[str, Any]:
    """Return what waitress is told about proxies."""
    return _BELIEVED if origin else _NOBODY


def refuse_plain(request: Request, *, has_origin: bool) -> None:
    """Stop what comes from another machine without TLS.

    Raises:
        werkzeug.exceptions.Forbidden: with the way to mend it.
    """
    if not has_origin and any(name in request.headers for name in _PROXY_HEADERS):
        raise Forbidden(
            f"This came through a proxy, and none is expected: set {ORIGIN_VARIABLE}, see docs/security.md."
        )
    if not request.is_secure and not (_is_own(request.host) and is_loopback(request.remote_addr)):
        raise Forbidden(
            "From another machine the pages are reached over TLS alone. The proxy has to end it, and to say so by "
            "X-Forwarded-Proto; see docs/security.md."
        )


def is_loopback(address: str | None) -> bool:
    """Tell whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def cookie_name(base: str) -> str:
    """Return the name of a cookie; over TLS with the prefix that ties it to this host, this path and TLS."""
    return f"__Host-{base}" if present_request.is_secure else base


class SessionCookie(SecureCookieSessionInterface):
    """The session's cookie: `Secure` and `__Host-` over TLS, neither on the loopback address without it."""

    def get_cookie_name(self, app: Flask) -> str:
        """Return the name that fits how the request came."""
        return cookie_name(super().get_cookie_name(app))

    def get_cookie_secure(self, app: Flask) -> bool:
        """Tell whether the cookie may travel over TLS alone."""
        return present_request.is_secure


def add_transport_security(response: Response) -> None:
    """Let browsers ask for nothing but TLS from now on, where this came over TLS."""
    if present_request.is_secure:
        response.headers["Strict-Transport-Security"] = TRANSPORT_SECURITY


def _is_own(host: str) -> bool:
    return urlsplit(f"//{host}").hostname in OWN_NAMES
