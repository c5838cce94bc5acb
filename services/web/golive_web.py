"""Going live: what has been shown on this home, and what has not, before money is behind it."""

import threading
from collections.abc import Mapping
from typing import Final

from flask import Blueprint, Response, make_response, render_template

from bus.clock import boot_ns
from config.credentials import WEBHOOK_URL
from config.env_bot import EnvBot, SettingsError, parse
from services.web import navigation, security
from services.web.alerts import SILENCE_MS_MAX
from services.web.audit_log import AuditError, AuditFilter, Row
from services.web.golive import Evidence, Fact, facts
from services.web.settings_history import CREDENTIAL_CHANGED, newest
from services.web.short_process import Job, TooManyAtOnceError, run
from services.web.site import Site, site
from services.web.venue import venue_of

VERIFY_S_MAX: Final = 60.0
#: A page that stays open while the chain trades does not read the whole ledger for every fill.
VERIFY_EVERY_NS: Final = 30_000_000_000
_TESTS_MAX: Final = 200
_TESTED: Final = "connection_tested"
_TAKEN: Final = ": let in"
#: Title of the provider in the audit log -> the credential whose change makes its test old.
_WAYS: Final[Mapping[str, str]] = {"Mail server": "smtp_password", "Webhook": WEBHOOK_URL}
pages = Blueprint("golive", __name__)


class LedgerCheck:
    """The ledger's own check, asked again only when its file has changed: it reads every row."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamp: tuple[object, ...] = ()
        self._due_ns = 0
        self._found: tuple[bool | None, str] = (None, "")

    def ask(self, here: Site) -> tuple[bool | None, str]:
        """Return whether the ledger is sound, None where nobody could look, and what the check says."""
        identity = here.secrets().identity
        path = here.paths.entities / identity.entity_folder / identity.ledger_file
        files = [file for file in (path, path.with_name(f"{path.name}-wal")) if file.is_file()]
        if not files:
            return None, "There is no ledger yet."
        stamp = (path, *(figure for file in files for figure in (file.stat().st_size, file.stat().st_mtime_ns)))
        with self._lock:
            is_same_file = self._stamp[:1] == (path,)
            if stamp != self._stamp and (not is_same_file or boot_ns() >= self._due_ns):
                job = Job(program="services.ledger", arguments=("verify",), timeout_s=VERIFY_S_MAX)
                try:
                    done = run(here.paths, job)
                except TooManyAtOnceError:
                    return None, "Other checks run at this moment: load the page again."
                words = " ".join((done.out + done.err).split())[:300]
                self._found = (done.code == 0, words or "The check did not end in time.")
                self._stamp, self._due_ns = stamp, boot_ns() + VERIFY_EVERY_NS
            return self._found


_check: Final = LedgerCheck()


@pages.get("/going-live")
@security.require("look")
def show() -> Response:
    """Show each fact as it is now."""
    here = site()
    settings = here.running().settings
    try:
        found, fault = facts(_evidence(here, parse(settings))), ""
    except SettingsError as error:
        found, fault = (), str(error)
    page = render_template(
        "golive.html", facts=found, labels=_labels(found), fault=fault, venue_now=venue_of(settings), done=_done(found)
    )
    return make_response(page)


def _labels(found: tuple[Fact, ...]) -> dict[str, str]:
    """Return what each page that a line leads to is called."""
    pages_of = ((fact.endpoint, navigation.page_of(fact.endpoint)) for fact in found)
    return {endpoint: page.label for endpoint, page in pages_of if page is not None}


def _done(found: tuple[Fact, ...]) -> int:
    return sum(fact.is_shown for fact in found)


def _evidence(here: Site, env: EnvBot) -> Evidence:
    age_ms = here.hub.chain_age_ms()
    is_heard = age_ms is not None and age_ms <= SILENCE_MS_MAX
    return Evidence(
        paths=here.paths,
        env=env,
        identity=here.secrets().identity,
        beat=here.hub.tally.beat("execution") if is_heard else None,
        verify=lambda: _check.ask(here),
        tested_at=_tests(here),
        has_webhook=bool(here.secrets().credentials.get(WEBHOOK_URL)),
    )


def _tests(here: Site) -> list[str]:
    """Return for each way the newest test that was taken since its credentials were entered."""
    try:
        rows = here.audit.log.rows(AuditFilter(action=_TESTED), limit=_TESTS_MAX)
        changed = newest(CREDENTIAL_CHANGED)
    except AuditError:
        # An unreadable log proves nothing.
        return []
    taken: dict[str, Row] = {}
    for row in rows:
        change = changed.get(_WAYS.get(row.subject, ""))
        if row.subject in _WAYS and row.after.endswith(_TAKEN) and (change is None or row.seq > change.seq):
            taken.setdefault(row.subject, row)
    return [f"{way} at {row.at_utc}, asked for by {row.actor}" for way, row in sorted(taken.items())]
