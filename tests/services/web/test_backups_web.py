"""What could be restored: listed and checked by the ledger itself, and never restored from a page."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from flask import Flask

from bus.assembly import Setup
from config.env_bot import parse, proposals
from config.paths import HomePaths
from config.vault import Vault
from services.ledger.coa_utils_ledger import TEMPLATE_FILE
from services.ledger.shell import build
from services.web import backups_web
from services.web.audit_log import AuditFilter
from services.web.backups_web import Base, Ledger, Segment
from services.web.short_process import Job, Outcome, TooManyAtOnceError

LISTED = Ledger(
    ledger="/h/entities/E/L.db",
    entry=1204,
    link=1210,
    covered_link=1210,
    bases=(
        Base(link=3, entry=0, recorded_at_utc="2025-03-12T13:00:00Z", size_bytes=90_112, file="/h/b/000000000003.db"),
    ),
    redo=(Segment(first_link=4, size_bytes=70_001, file="/h/r/000000000004.redo"),),
)


@pytest.fixture
def adam(person_of: Callable[[str], Any]) -> Any:
    return person_of("adam")


class LedgerService:
    """Stands in for the ledger's verbs."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.listed = Outcome(code=0, out=msgspec.json.encode(LISTED).decode(), err="")
        self.checked = Outcome(code=0, out="sound: 1204 entries in 1210 links\n", err="")

    def run(self, _paths: HomePaths, job: Job) -> Outcome:
        self.jobs.append(job)
        return self.listed if "--json" in job.arguments else self.checked


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> LedgerService:
    found = LedgerService()
    monkeypatch.setattr(backups_web, "run", found.run)
    return found


@pytest.mark.parametrize("name", ["vera", "olga"])
def test_page_when_the_role_may_not_then_refused(
    person_of: Callable[[str], Any], ledger: LedgerService, name: str
) -> None:
    person = person_of(name)
    assert person.get("/backups").status_code == 403
    assert person.post("/backups/verify/ledger", form_on="/").status_code == 403
    assert ledger.jobs == []


def test_page_when_opened_then_lists_copies_redo_log_and_the_commands_of_this_home(
    adam: Any, ledger: LedgerService, home: HomePaths
) -> None:
    page = adam.get("/backups").text
    for words in ("1,204", "every entry can be restored", "000000000003.db", "000000000004.redo", "90,112"):
        assert words in page
    assert f"TRADEBOT_HOME={home.root} .venv/bin/python -m services.ledger restore --to restored.db" in page
    assert "mv restored.db.head" in page
    assert not re.search(r'action="[^"]*restore', page)


def test_page_when_copies_do_not_reach_the_end_then_says_what_to_do(adam: Any, ledger: LedgerService) -> None:
    short = msgspec.structs.replace(LISTED, covered_link=3, bases=(), redo=())
    ledger.listed = Outcome(code=1, out=msgspec.json.encode(short).decode(), err="")
    page = adam.get("/backups").text
    assert "copies reach link 3 only" in page
    assert "There is no copy yet" in page


def test_page_when_there_is_no_ledger_then_shows_the_words_of_the_verb(adam: Any, ledger: LedgerService) -> None:
    ledger.listed = Outcome(code=1, out="", err="There is no ledger at /h/L.db: it is made when …\n")
    page = adam.get("/backups")
    assert page.status_code == 200
    assert "There is no ledger at /h/L.db" in page.text


@pytest.mark.parametrize(("what", "arguments"), [("ledger", ("verify",)), ("copies", ("backups", "--verify"))])
def test_verify_when_asked_then_runs_the_verb_shows_what_it_says_and_is_audited(
    adam: Any, app: Flask, ledger: LedgerService, what: str, arguments: tuple[str, ...]
) -> None:
    answer = adam.post(f"/backups/verify/{what}", form_on="/backups")
    assert answer.status_code == 200
    assert "sound: 1204 entries in 1210 links" in answer.text
    assert "✓ sound" in answer.text
    assert arguments in [job.arguments for job in ledger.jobs]
    (row,) = app.extensions["tradebot"].audit.log.rows(AuditFilter(action="backups_verified"))
    assert row.after == "sound"


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Outcome(code=1, out="NOT SOUND L.db\n  - row 7 of posting was changed <b>\n", err=""), "row 7 of posting"),
        (Outcome(code=None, out="", err=""), "did not end within 300 seconds"),
    ],
)
def test_verify_when_it_is_not_sound_then_said_and_shown_as_text(
    adam: Any, ledger: LedgerService, outcome: Outcome, says: str
) -> None:
    ledger.checked = outcome
    page = adam.post("/backups/verify/ledger", form_on="/backups").text
    assert "✗ not sound, or not checked" in page
    assert says in page
    assert "<b>" not in page


def test_verify_when_others_run_then_refused(adam: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_paths: HomePaths, _job: Job) -> Outcome:
        raise TooManyAtOnceError

    monkeypatch.setattr(backups_web, "run", busy)
    answer = adam.post("/backups/verify/ledger", form_on="/backups")
    assert answer.status_code == 409
    assert "Other checks run" in answer.text


def test_verify_when_what_is_unknown_then_not_found(adam: Any, ledger: LedgerService) -> None:
    assert adam.post("/backups/verify/restore", form_on="/backups").status_code == 404


def test_page_when_real_then_the_ledger_of_this_home_lists_and_verifies_itself(adam: Any, home: HomePaths) -> None:
    assert "There is no ledger at" in adam.get("/backups").text
    request = {"coa": msgspec.json.decode(TEMPLATE_FILE.read_bytes()), "currency_code": "USD"}
    (home.control / "provision_ledger.json").write_bytes(msgspec.json.encode(request))
    assembly = build(Setup(paths=home, env=parse(proposals()), identity=Vault(home).open().identity))
    assembly.shell.on_start(assembly.core.initial(), 1)
    assembly.shell.close()
    page = adam.get("/backups").text
    assert "every entry can be restored" in page
    assert "TBOT_USA_main_PAPER_BOT01_BOT_ledger.db" in page
    for what, says in (("ledger", "sound: 0 entries"), ("copies", "every entry to 0 can be restored")):
        assert says in adam.post(f"/backups/verify/{what}", form_on="/backups").text
