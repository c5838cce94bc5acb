"""TEST_MODE with real processes: every routine passes, production stays as it is, and what is broken is found."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from waiting import is_alive, until

from bus.ballast import Ballast
from bus.processes import ROOT, free_port, is_in_use, running_supervisor
from bus.test_mode import FLAG_FILE, REFUSED_FILE, RunRecord, home_for_tests, newest_run, runs_folder
from config.paths import HOME_VARIABLE, HomePaths
from replay.selftest.books import backup_restore, head_faults, ofx_faults
from replay.selftest.chain import bus_up, session_faults
from replay.selftest.ground import TEST_IDENTITY, Ground, RoutineFailedError
from replay.selftest.routines import ROUTINES
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import Stage, StageError

pytestmark = pytest.mark.processes

PATIENT = {"HEARTBEAT_TIMEOUT": "10000"}
NAMES = [one.name for one in ROUTINES]


def sums(paths: HomePaths) -> dict[str, str]:
    """Return the sum of every file of a home, save what a run of TEST_MODE is told by and plays in."""
    records = runs_folder(paths, DEMO_IDENTITY)
    return {
        str(path.relative_to(paths.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths.root.rglob("*")
        if path.is_file() and records not in path.parents and home_for_tests(paths).root not in path.parents
    }


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A production chain, configured and up, that is not armed."""
    made = Stage(HomePaths(tmp_path_factory.mktemp("h")), free_port())
    try:
        made.configure(SessionChoice().settings() | PATIENT, DEMO_IDENTITY)
        made.wait_until_ready()
        yield made
    finally:
        made.stop()
        Ballast(made.chain.paths).release()


def newest(stage: Stage) -> RunRecord | None:
    return newest_run(runs_folder(stage.chain.paths, DEMO_IDENTITY))


def begun(stage: Stage, before: str) -> str:
    """Return the id of a run that is newer than one, once its own chain has a supervisord."""
    tests = home_for_tests(stage.chain.paths)

    def is_begun() -> str:
        found = newest(stage)
        is_up = found is not None and found.run_id != before and running_supervisor(tests)
        return found.run_id if is_up and found else ""

    return until(is_begun, "no run begins")


def run_id(stage: Stage) -> str:
    found = newest(stage)
    return found.run_id if found else ""


def halts(stage: Stage) -> list[str]:
    return sorted(path.name for path in stage.chain.paths.halts.glob("*.json"))


def pids(stage: Stage) -> str:
    return "".join(re.findall(r"pid \d+", stage.chain.control("status")))


def test_run_when_an_operator_asks_on_the_page_then_all_pass_beside_a_chain_that_is_not_disturbed(
    stage: Stage,
) -> None:
    before = pids(stage)
    stage.browser.fill_in("/test", {"word": "TEST", "reason": "new build"})

    def is_over() -> RunRecord | None:
        found = newest(stage)
        return found if found and found.state != "running" else None

    record = until(is_over, "the run does not end", 300)
    assert {one.name: one.state for one in record.routines} == dict.fromkeys(NAMES, "passed"), record
    assert (record.state, record.asked_by, record.reason) == ("passed", "admin", "new build")
    assert "as the running chain writes them" in record.routines[-1].words
    assert all(one.duration_ms > 0 for one in record.routines if one.name != "notification")
    until(lambda: not (stage.chain.paths.control / FLAG_FILE).exists(), "the flag is not taken away")
    assert not home_for_tests(stage.chain.paths).root.exists()
    assert pids(stage) == before
    assert halts(stage) == []


def test_run_when_its_flag_is_taken_away_then_every_process_of_it_ends(stage: Stage) -> None:
    flag, tests = stage.chain.paths.control / FLAG_FILE, home_for_tests(stage.chain.paths)
    before = run_id(stage)
    flag.touch()
    begun(stage, before)
    flag.unlink()
    until(lambda: (found := newest(stage)) and found.state == "interrupted", "the run goes on", 90)
    until(lambda: not is_in_use(tests), "a process of the run goes on")


def test_run_when_the_watchdog_is_killed_then_dies_with_it_and_is_not_begun_anew(stage: Stage) -> None:
    flag, tests = stage.chain.paths.control / FLAG_FILE, home_for_tests(stage.chain.paths)
    before = run_id(stage)
    flag.touch()
    its_id = begun(stage, before)
    supervisor = running_supervisor(tests)
    os.kill(int(stage.chain.control("pid", "tradebot:watchdog")), signal.SIGKILL)
    assert supervisor
    until(lambda: not is_alive(supervisor), "the supervisord of the run goes on")
    until(lambda: not is_in_use(tests), "a process of the run goes on")
    until(lambda: not flag.exists(), "the next watchdog does not take the flag away")
    found = newest(stage)
    assert found is not None
    assert (found.run_id, found.state) == (its_id, "interrupted")
    assert "ended" in found.words


def test_run_when_the_chain_is_armed_in_its_session_then_refused_and_the_session_goes_on(stage: Stage) -> None:
    flag, refused = stage.chain.paths.control / FLAG_FILE, stage.chain.paths.control / REFUSED_FILE
    stage.arm("test")
    until(lambda: stage.chain_state().get("state") == "ACTIVE", "the chain does not become active")
    flag.touch()
    until(refused.exists, "the flag is not refused")
    until(lambda: not flag.exists(), "the flag is not taken away")
    found = newest(stage)
    assert found is not None
    assert (found.state, found.routines) == ("refused", ())
    assert "its session is on" in found.words
    assert not is_in_use(home_for_tests(stage.chain.paths))
    assert stage.chain_state()["state"] == "ACTIVE"
    stage.browser.fill_in("/control/stop", {"reason": "test"})


@pytest.fixture(scope="module")
def played(stage: Stage) -> tuple[Stage, dict[str, str], dict[str, str], subprocess.CompletedProcess[str]]:
    """One run by hand on the stopped home, with the sums of production before and after; its home is kept."""
    stage.stop()
    paths = stage.chain.paths
    before = sums(paths)
    done = subprocess.run(
        [sys.executable, "-m", "replay.selftest", "--keep"],
        env={**os.environ, HOME_VARIABLE: str(paths.root)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    return stage, before, sums(paths), done


Played = tuple[Stage, dict[str, str], dict[str, str], "subprocess.CompletedProcess[str]"]


def test_run_when_the_chain_is_stopped_then_passes_and_every_file_of_production_is_byte_for_byte_the_same(
    played: Played,
) -> None:
    _, before, after, done = played
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["name"], line["state"]) for line in lines] == [(name, "passed") for name in NAMES], done
    assert done.returncode == 0
    # Everything counts here, the files of state, audit and logs as well: nothing else writes to a stopped home.
    assert len(before) > 50
    assert {"state/risk.db", "control/control_start.txt", "output/status.json"} & before.keys()
    assert after == before


@pytest.fixture
def broken(played: Played, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A copy of the home that the run has left, for a test to break."""
    root = tmp_path_factory.mktemp("b") / "t"
    shutil.copytree(home_for_tests(played[0].chain.paths).root, root, ignore=shutil.ignore_patterns("*.sock*", "again"))
    paths = HomePaths(root)
    return Ground(production=played[0].chain.paths, identity=DEMO_IDENTITY, paths=paths, is_live=False)


def damage(path: Path, statement: str) -> None:
    """Change a database as only somebody with the file can: without the rules that it has of its own."""
    with closing(sqlite3.connect(path)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(statement)
        db.commit()


def test_signal_to_ledger_when_an_entry_lacks_or_nothing_was_signalled_then_fails(broken: Ground) -> None:
    assert session_faults(broken.paths)[0] == []
    damage(
        broken.ledger,
        "UPDATE posting SET amount = amount + 1 WHERE tx_seq = (SELECT max(tx_seq) FROM posting) AND line_no = 1",
    )
    assert session_faults(broken.paths)[0]
    (broken.paths.state / "strategy.db").unlink()
    shutil.copy(broken.paths.state / "holdings.db", broken.paths.state / "strategy.db")
    assert "was bought without a signal" in "; ".join(session_faults(broken.paths)[0])


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        (rb"<TRNAMT>[^<]+", b"<TRNAMT>1.00", "the lines add up to"),
        (rb"<BALAMT>[^<]+", b"<BALAMT>1.00", "the balance is 1.00 in the file"),
        (rb"(?s)<SELLSTOCK>.*?</SELLSTOCK>", b"", "trades are in the file"),
        (rb"<FITID>[^<]+", b"<FITID>same", "stands in the file twice"),
        (rb"<\?OFX[^>]+>", b"", "no OFX header"),
    ],
)
def test_ofx_when_the_file_is_not_what_the_ledger_has_then_fails(
    broken: Ground, was: bytes, now: bytes, says: str
) -> None:
    document = (home_for_tests(broken.production).run / "export-1.ofx").read_bytes()
    assert ofx_faults(document, broken.ledger)[0] == []
    count = 0 if b"FITID" in was else 1
    assert says in "; ".join(ofx_faults(re.sub(was, now, document, count=count), broken.ledger)[0])


def test_backup_when_the_ledger_is_damaged_then_fails(broken: Ground) -> None:
    damage(broken.ledger, "UPDATE posting SET amount = -amount WHERE tx_seq = 2")
    with pytest.raises(RoutineFailedError):
        backup_restore(broken)


def test_backup_when_what_was_restored_is_another_ledger_then_fails(broken: Ground) -> None:
    copy = broken.paths.run / "restored.db"
    assert head_faults(broken.ledger, copy) == []
    damage(copy, "UPDATE chain SET hash = lower(hex(zeroblob(32))) WHERE link = (SELECT max(link) FROM chain)")
    damage(copy, "DELETE FROM tx WHERE seq = (SELECT max(seq) FROM tx)")
    assert len(head_faults(broken.ledger, copy)) == 2


def test_bus_up_when_a_service_cannot_start_then_fails_with_its_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    paths = HomePaths(tmp_path_factory.mktemp("h"))
    paths.make()
    (paths.state / "strategy.db").write_text("this is no database\n" * 500)
    ground = Ground(production=paths, identity=TEST_IDENTITY, paths=paths, is_live=False)
    try:
        with pytest.raises((StageError, RoutineFailedError), match="strategy"):
            bus_up(ground)
    finally:
        ground.chain.stop()
        ground.letters.close()
        Ballast(paths).release()
