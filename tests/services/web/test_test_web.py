"""The page of TEST_MODE: who may ask for a run, what it makes of the flag, and what it shows of the records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from msgspec.structs import replace

from bus.test_mode import FLAG_FILE, Request, RoutineRecord, RunRecord, read_request, runs_folder, write_run
from config.identity import Identity
from config.paths import HomePaths
from config.vault import Vault
from services.web.audit_log import AuditFilter

ME = Identity(entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01")
ASKED = {"word": "TEST", "reason": "new build"}
LINE = RoutineRecord(
    name="ofx",
    title="OFX export and re-read",
    limit_s=120,
    state="failed",
    started_at_utc="2025-03-12T14:00:00.000Z",
    duration_ms=1234,
    words="The balance is <b>1</b>",
    todo="Take no export.",
    log="05_ofx.log",
)
RUN = RunRecord(
    run_id="20250312T140000Z",
    state="failed",
    asked_by="olga",
    reason="new build",
    started_at_utc="2025-03-12T14:00:00.000Z",
    ended_at_utc="2025-03-12T14:00:20.000Z",
    routines=(LINE, RoutineRecord(name="bus_up", title="Bus up", limit_s=9, state="waiting", log="01_bus_up.log")),
)


@pytest.fixture
def folder(configured: HomePaths) -> Path:
    return runs_folder(configured, ME)


@pytest.fixture
def olga(person_of: Callable[[str], Any]) -> Any:
    return person_of("olga")


def test_page_when_there_was_no_run_then_says_so_and_what_one_does(olga: Any) -> None:
    page = olga.get("/test").text
    assert "There was no run yet" in page
    assert "refused while positions of the" in page


def test_start_when_confirmed_then_makes_the_flag_and_is_audited(olga: Any, app: Flask, configured: HomePaths) -> None:
    answer = olga.post("/test", {**ASKED, "letter": "yes", "broker": "yes"})
    assert answer.status_code == 303
    assert read_request(configured) == Request(operator="olga", reason="new build", sends_letter=True, asks_broker=True)
    (row,) = app.extensions["tradebot"].audit.log.rows(AuditFilter(action="test_mode_asked"))
    assert (row.actor, row.after) == ("olga", "new build")
    page = olga.get("/test").text
    assert "Waiting for the watchdog" in page
    assert 'action="/test/stop"' in page
    assert 'action="/test"' not in page


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"reason": "x"}, "Type the word TEST"),
        ({"word": "test", "reason": "x"}, "Type the word TEST"),
        ({"word": "TEST"}, "Give a reason"),
    ],
)
def test_start_when_not_confirmed_then_refused(
    olga: Any, configured: HomePaths, form: dict[str, str], says: str
) -> None:
    answer = olga.post("/test", form)
    assert answer.status_code == 400
    assert says in answer.text
    assert read_request(configured) is None


def test_start_when_a_run_is_asked_for_or_under_way_then_refused(
    olga: Any, configured: HomePaths, folder: Path
) -> None:
    token = olga.token("/test")
    (configured.control / FLAG_FILE).touch()
    assert olga.post_bare("/test", {**ASKED, "csrf_token": token}).status_code == 409
    (configured.control / FLAG_FILE).unlink()
    write_run(folder, replace(RUN, state="running"))
    answer = olga.post_bare("/test", {**ASKED, "csrf_token": token})
    assert answer.status_code == 409
    assert "under way" in answer.text


def test_start_when_the_flag_cannot_be_written_then_said(
    olga: Any, configured: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_paths: HomePaths, _request: Request) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.web.test_web.ask", refuse)
    answer = olga.post("/test", ASKED)
    assert answer.status_code == 503
    assert "No space left on device" in answer.text


def test_stop_when_pressed_then_takes_the_flag_away(olga: Any, configured: HomePaths) -> None:
    olga.post("/test", ASKED)
    assert olga.post("/test/stop", form_on="/test").status_code == 303
    assert read_request(configured) is None


def test_page_when_a_viewer_looks_then_shows_the_run_and_no_button(
    person_of: Callable[[str], Any], folder: Path, configured: HomePaths
) -> None:
    write_run(folder, RUN)
    vera = person_of("vera")
    page = vera.get("/test").text
    for words in ("OFX export and re-read", "✗ failed", "1.2 s", "Take no export.", "olga: new build"):
        assert words in page
    assert "The balance is &lt;b&gt;1&lt;/b&gt;" in page
    assert "Start the run" not in page
    assert vera.post("/test", ASKED, form_on="/").status_code == 403
    assert vera.post("/test/stop", form_on="/").status_code == 403
    assert read_request(configured) is None


def test_page_when_there_are_several_runs_then_leads_to_each(olga: Any, folder: Path) -> None:
    write_run(folder, RUN)
    later = replace(RUN, run_id="20250313T140000Z", state="refused", words="The chain is armed.", routines=())
    write_run(folder, later)
    page = olga.get("/test").text
    assert "The chain is armed." in page
    assert "/test?run=20250312T140000Z" in page
    older = olga.get("/test?run=20250312T140000Z").text
    assert "An older run" in older
    assert "Take no export." in older
    assert "The chain is armed." in olga.get("/test?run=../../x").text


def test_progress_when_asked_then_has_every_routine(olga: Any, folder: Path) -> None:
    assert olga.get("/test/progress").json == {"is_open": False, "run_id": "", "routines": []}
    write_run(folder, replace(RUN, state="running"))
    told = olga.get("/test/progress").json
    assert told["is_open"]
    assert told["routines"][0] == ["ofx", "bad", "failed", "1.2 s", "The balance is <b>1</b> Take no export."]
    assert told["routines"][1] == ["bus_up", "info", "waiting", "", ""]


@pytest.mark.plants_a_secret
def test_log_when_downloaded_then_is_whole_and_without_secrets(
    olga: Any, app: Flask, folder: Path, configured: HomePaths
) -> None:
    write_run(folder, RUN)
    secret = Vault(configured).open().credentials["web_session_key"]
    (folder / RUN.run_id / "05_ofx.log").write_text(f"read\nkey {secret}\n")
    answer = olga.get(f"/test/log?run={RUN.run_id}&name=05_ofx.log")
    assert answer.text == "read\nkey [secret]\n"
    assert f"{RUN.run_id}_05_ofx.log" in answer.headers["Content-Disposition"]
    assert app.extensions["tradebot"].audit.log.rows(AuditFilter(action="exported"))
    page = olga.get("/test?log=05_ofx.log").text
    assert "key [secret]" in page
    assert secret not in page
    assert "05_ofx.log" not in olga.get("/test?log=../05_ofx.log").text.split("Start a run")[0].split("</table>")[1]
    for run, name in ((RUN.run_id, "run.json"), ("..", "05_ofx.log"), (RUN.run_id, "../run.json"), (RUN.run_id, "")):
        assert olga.get(f"/test/log?run={run}&name={name}").status_code == 404
