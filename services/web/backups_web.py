"""What could be restored: copies of the ledger and of the secrets, a check of each, and how a person restores.

Nothing is restored from here: that needs the chain to be stopped, and somebody at the machine who looks at the result.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from flask import Blueprint, Response, abort, make_response, render_template, request
from msgspec import Struct

from bus.clock import iso_utc
from config.archive import SUFFIX
from config.credentials import ARCHIVE_PASSPHRASE
from config.vault import VaultError
from services.web import security
from services.web.short_process import Job, Outcome, TooManyAtOnceError, run
from services.web.site import site

LEDGER_SERVICE: Final = "services.ledger"
ARCHIVER: Final = "supervisor/auto_backup.py"
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
class ArchiveFile:
    """An archive of the whole home, as it lies in its folder."""

    name: str
    size_bytes: int
    made_at_utc: str


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
    return _checked(words, _asked(arguments, CHECK_S_MAX))


@pages.post("/verify-archive")
@security.require("backups")
def verify_archive() -> Response:
    """Read one archive whole with the passphrase that is kept, in a process of its own, and show what it says."""
    name = request.form.get("name", "")
    # A name is only ever compared: no path is made of what was sent, unless it is the name of an archive here.
    if name not in {one.name for one in _archives()}:
        abort(404)
    passphrase = site().secrets().credentials.get(ARCHIVE_PASSPHRASE, "")
    job = Job(
        program=ARCHIVER,
        arguments=("verify", str(site().paths.root / "backups" / name)),
        given=f"{passphrase}\n".encode(),
        timeout_s=CHECK_S_MAX,
    )
    return _checked(f"The archive {name}, read whole", _run(job))


@pages.post("/verify-secrets")
@security.require("backups")
def verify_secrets() -> Response:
    """Open every copy of a generation of the secrets with its own key, and say which ones do not open."""
    vault, faults = site().vault, []
    numbers = vault.backups()
    for number in numbers:
        try:
            vault.open_backup(number)
        except VaultError as error:
            faults.append(f"generation {number}: {error}")
    words = "Copies of the secrets, each opened with its own key"
    said = "\n".join(faults) or f"{len(numbers)} copies open whole."
    site().audit.record("backups_verified", words, after="not sound" if faults else "sound")
    return _page(Checked(words, is_sound=not faults, output=said), 200)


def _checked(words: str, done: Outcome | None) -> Response:
    if done is None:
        return _page(Checked(words, is_sound=False, output=_BUSY), 409)
    output = (done.out + done.err).strip()
    if done.code is None:
        output = f"{output}\nThe check did not end within {CHECK_S_MAX:.0f} seconds and was stopped.".strip()
    found = Checked(words, is_sound=done.code == 0, output=output)
    site().audit.record("backups_verified", words, after="sound" if found.is_sound else "not sound")
    return _page(found, 200)


def _asked(arguments: tuple[str, ...], timeout_s: float) -> Outcome | None:
    return _run(Job(program=LEDGER_SERVICE, arguments=arguments, timeout_s=timeout_s))


def _run(job: Job) -> Outcome | None:
    try:
        return run(site().paths, job)
    except TooManyAtOnceError:
        return None


def _archives() -> list[ArchiveFile]:
    """Return the archives of the home, the newest first."""
    found = []
    for path in (site().paths.root / "backups").glob(f"*{SUFFIX}"):
        try:
            status = path.stat()
        except FileNotFoundError:
            # The archiver has dropped it at this moment.
            continue
        made_at = iso_utc(status.st_mtime_ns)
        found.append(ArchiveFile(name=path.name, size_bytes=status.st_size, made_at_utc=made_at))
    return sorted(found, key=lambda one: (one.made_at_utc, one.name), reverse=True)


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
        archives=_archives(),
        generations=site().vault.backups(),
        in_force=site().secrets().generation,
        has_passphrase=bool(site().secrets().credentials.get(ARCHIVE_PASSPHRASE)),
        checked=checked,
        checks={what: words for what, (words, _) in _CHECKS.items()},
        home=home,
        home_path=str(site().paths.root),
        quote=shlex.quote,
    )
    return make_response(page, code)
