"""What could be restored: copies of the ledger and of the secrets, a check of each, and how a person restores.

Nothing is restored from here: that needs the chain to be stopped, and somebody at the machine who looks at the result.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from flask import Blueprint, Response, abort, make_response, render_template
from msgspec import Struct

from services.web import security
from services.web.short_process import Job, Outcome, TooManyAtOnceError, run
from services.web.site import site

LEDGER_SERVICE: Final = "services.ledger"
#: Listing reads folders; a check reads every row, or every copy.
LIST_S_MAX: Final = 20.0
CHECK_S_MAX: Final = 300.0
_BUSY: Final = "Other checks run at this moment. Wait until they have ended, then try again."
_CHECKS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "ledger": ("The ledger, every row against its chain of hashes", ("verify",)),
    "copies": ("The copies of the ledger, read through", ("backups", "--verify")),
}
pages = Blueprint("backups", __name__, url_prefix="/backups")


class Base(Struct, frozen=True, kw_only=True):
    """A whole copy of the ledger, as the ledger's own verb lists it."""

    link: int
    entry: int
    recorded_at_utc: str
    size_bytes: int
    file: str
    fault: str = ""


class Segment(Struct, frozen=True, kw_only=True):
    """A file of the redo log, as the ledger's own verb lists it."""

    first_link: int
    size_bytes: int
    file: str


class Ledger(Struct, frozen=True, kw_only=True):
    """The answer of `python -m services.ledger backups --json`."""

    ledger: str
    entry: int
    link: int
    covered_link: int
    bases: tuple[Base, ...]
    redo: tuple[Segment, ...]


@dataclass(frozen=True)
class Checked:
    """How a check went: what was checked, whether it is sound, and what it said."""

    what: str
    is_sound: bool
    output: str


@pages.get("")
@security.require("backups")
def show() -> Response:
    """List what could be restored."""
    return _page(None, 200)


@pages.post("/verify/<what>")
@security.require("backups")
def verify(what: str) -> Response:
    """Check the ledger or its copies in a process of its own, and show what it says."""
    if what not in _CHECKS:
        abort(404)
    words, arguments = _CHECKS[what]
    done = _asked(arguments, CHECK_S_MAX)
    if done is None:
        return _page(Checked(words, is_sound=False, output=_BUSY), 409)
    output = (done.out + done.err).strip()
    if done.code is None:
        output = f"{output}\nThe check did not end within {CHECK_S_MAX:.0f} seconds and was stopped.".strip()
    found = Checked(words, is_sound=done.code == 0, output=output)
    site().audit.record("backups_verified", words, after="sound" if found.is_sound else "not sound")
    return _page(found, 200)


def _asked(arguments: tuple[str, ...], timeout_s: float) -> Outcome | None:
    try:
        return run(site().paths, Job(module=LEDGER_SERVICE, arguments=arguments, timeout_s=timeout_s))
    except TooManyAtOnceError:
        return None


def _listed() -> tuple[Ledger | None, str]:
    """Return the ledger's copies; or None, and why they are not known."""
    done = _asked(("backups", "--json"), LIST_S_MAX)
    if done is None:
        return None, _BUSY
    try:
        return msgspec.json.decode(done.out, type=Ledger), ""
    except msgspec.MsgspecError:
        return None, done.err.strip() or "The ledger did not say what copies there are."


def _page(checked: Checked | None, code: int) -> Response:
    ledger, fault = _listed()
    home = shlex.quote(str(site().paths.root))
    page = render_template(
        "backups.html",
        ledger=ledger,
        fault=fault,
        checked=checked,
        checks={what: words for what, (words, _) in _CHECKS.items()},
        home=home,
        home_path=str(site().paths.root),
        quote=shlex.quote,
    )
    return make_response(page, code)
