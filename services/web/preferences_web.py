"""How a person wants the pages: dark or light, the time zone, the colours of gain and loss. Kept in cookies."""

from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, request, url_for
from flask import redirect as redirect_to
from werkzeug.wrappers import Response as AnyResponse

from services.web import security
from services.web.times import ZONE_COOKIE, ZONES

_YEAR_S: Final = 365 * 24 * 3600
#: Cookie -> the words it may hold; the first one of each is what holds without a cookie, and is not stored.
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "theme": ("auto", "dark", "light"),
    ZONE_COOKIE: tuple(zone.key for zone in ZONES),
    "gain": ("green", "red"),
}
pages = Blueprint("preferences", __name__)


@pages.post("/preferences")
@security.require("public")
def choose() -> AnyResponse:
    """Remember what was chosen, and lead back to where the form stood; any other word means the first choice."""
    response = redirect_to(_back(), 303)
    for name, words in CHOICES.items():
        if name not in request.form:
            continue
        word = request.form[name]
        if word in words[1:]:
            response.set_cookie(name, word, max_age=_YEAR_S, secure=request.is_secure, httponly=True, samesite="Strict")
        else:
            response.delete_cookie(name, secure=request.is_secure, httponly=True, samesite="Strict")
    return response


def chosen(name: str) -> str:
    """Return what was chosen of CHOICES, the first word where nothing was."""
    word = request.cookies.get(name, "")
    return word if word in CHOICES[name] else CHOICES[name][0]


def _back() -> str:
    """Return the path to lead back to: one of this server alone, whatever the form says."""
    path = request.form.get("back", "")
    parts = urlsplit(path)
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return path if is_ours and path.isprintable() else url_for("dashboard.show")
