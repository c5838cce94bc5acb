"""What the watchdog does with the flag of TEST_MODE: one run for each, refused or ended where it would disturb."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.lifecycle import Moment
from bus.messages import ChainState
from bus.test_mode import (
    FLAG_FILE,
    REFUSED_FILE,
    Request,
    RoutineRecord,
    RunRecord,
    ask,
    newest_run,
    read_run,
    runs,
    write_run,
)
from bus.test_runs import END_NS_MAX, RUN_NS_MAX, Situation, TestRuns, refusal
from config.identity import Identity
from config.paths import HomePaths

ME = Identity(entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01")
QUIET = Situation("DISARMED", Moment.WATCH, 0, is_real_money=False)
LIVE = Situation("DISARMED", Moment.WATCH, 3, is_real_money=True)
#: Writes the record of a run that has ended as it is told, or waits for its end.
CHILD = """
import sys, time
from pathlib import Path
from bus.test_mode import RunRecord, RoutineRecord, write_run
verdict, (run_id, operator, *rest) = sys.argv[1], [one.partition("=")[2] for one in sys.argv[3:]]
record = RunRecord(run_id=run_id, state=verdict if verdict in ("passed", "failed") else "running", asked_by=operator,
                   routines=(RoutineRecord(name="ofx", title="OFX", limit_s=1, state="failed"),))
write_run(Path(sys.argv[2]), record)
print("said", flush=True)
time.sleep(60 if verdict == "waits" else 0)
sys.exit(3 if verdict == "crashes" else 0)
"""
Make = Callable[[str], TestRuns]


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path)
    paths.make()
    return paths


@pytest.fixture
def folder(home: HomePaths) -> Path:
    return home.output / ME.bot_identity / "test_mode"


@pytest.fixture
def make(home: HomePaths, folder: Path) -> Iterator[Make]:
    made: list[TestRuns] = []

    def build(verdict: str) -> TestRuns:
        made.append(TestRuns(home, ME, (sys.executable, "-c", CHILD, verdict, str(folder))))
        return made[-1]

    yield build
    for one in made:
        if one._child is not None:
            one._child.kill()
            one._child.wait()


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def play(keeper: TestRuns, now: Situation = QUIET, now_ns: int = 0) -> None:
    """Look until the run that was begun is over."""
    keeper.look(now, now_ns)

    def is_over() -> bool:
        keeper.look(now, now_ns)
        return keeper._child is None

    until(is_over)


def newest(folder: Path) -> RunRecord:
    found = newest_run(folder)
    assert found is not None
    return found


@pytest.mark.parametrize("state", ["ACTIVE", "REDUCING"])
@pytest.mark.parametrize("moment", Moment)
def test_refusal_when_an_armed_chain_is_in_its_session_then_it_is_not_disturbed(
    state: ChainState, moment: Moment
) -> None:
    in_session = moment not in (Moment.NO_SESSION, Moment.EARLY, Moment.AFTER)
    assert (refusal(Situation(state, moment, 0, is_real_money=False)) is not None) == in_session


@pytest.mark.parametrize("state", ["STARTING", "DISARMED", "HALTED"])
def test_refusal_when_the_chain_does_not_trade_then_none(state: ChainState) -> None:
    assert refusal(Situation(state, Moment.ENTRY, 3, is_real_money=False)) is None
    assert refusal(Situation(state, Moment.ENTRY, 0, is_real_money=True)) is None


def test_refusal_when_positions_are_open_with_real_money_or_not_known_then_refused_at_any_time() -> None:
    assert "3 positions are open with real money" in (refusal(LIVE) or "")
    assert "3 positions" in (refusal(Situation("HALTED", Moment.AFTER, 3, is_real_money=True)) or "")
    assert "has not said yet" in (refusal(Situation("DISARMED", Moment.EARLY, None, is_real_money=True)) or "")


def test_flag_when_there_is_one_then_one_run_is_played_and_the_flag_is_gone(
    home: HomePaths, folder: Path, make: Make
) -> None:
    keeper = make("passed")
    keeper.look(QUIET, 0)
    assert runs(folder) == []
    ask(home, Request(operator="olga"))
    play(keeper)
    assert (newest(folder).state, newest(folder).asked_by) == ("passed", "olga")
    assert not (home.control / FLAG_FILE).exists()
    assert (folder / newest(folder).run_id / "run.log").read_text() == "said\n"
    assert keeper.words == ""
    for _ in range(3):
        keeper.look(QUIET, 0)
    assert len(runs(folder)) == 1


def test_flag_when_made_by_hand_then_a_run_that_failed_is_told_until_the_next(home: HomePaths, make: Make) -> None:
    keeper = make("failed")
    (home.control / FLAG_FILE).touch()
    play(keeper)
    assert keeper.words == "TEST_MODE: failed: OFX"


def test_flag_when_it_is_refused_then_consumed_with_a_reason_beside_it_and_in_the_records(
    home: HomePaths, folder: Path, make: Make
) -> None:
    keeper = make("passed")
    (home.control / FLAG_FILE).touch()
    keeper.look(LIVE, 0)
    assert not (home.control / FLAG_FILE).exists()
    assert "real money" in (home.control / REFUSED_FILE).read_text()
    assert (newest(folder).state, newest(folder).asked_by) == ("refused", "by hand")
    assert "real money" in newest(folder).words
    assert keeper.words == ""
    (home.control / FLAG_FILE).touch()
    play(keeper)
    assert newest(folder).state == "passed"
    assert not (home.control / REFUSED_FILE).exists()


def test_flag_when_taken_away_then_the_run_is_told_to_end(home: HomePaths, folder: Path, make: Make) -> None:
    keeper = make("waits")
    (home.control / FLAG_FILE).touch()
    keeper.look(QUIET, 0)
    assert "under way" in keeper.words
    until(lambda: newest_run(folder))
    (home.control / FLAG_FILE).unlink()
    play(keeper)
    assert newest(folder).state == "interrupted"
    assert "was taken away" in newest(folder).words


def test_flag_when_made_anew_while_the_run_before_still_ends_then_asks_for_another_run(
    home: HomePaths, folder: Path, make: Make
) -> None:
    keeper = make("waits")
    (home.control / FLAG_FILE).touch()
    keeper.look(QUIET, 0)
    until(lambda: newest_run(folder))
    (home.control / FLAG_FILE).unlink()
    keeper.look(QUIET, 0)
    ask(home, Request(operator="olga"))
    until(lambda: keeper.look(QUIET, 0) or len(runs(folder)) == 2)
    until(lambda: newest(folder).asked_by == "olga")
    before = read_run(folder, runs(folder)[1])
    assert before is not None
    assert before.state == "interrupted"


def test_run_when_a_session_begins_then_it_is_ended_with_the_reason(home: HomePaths, folder: Path, make: Make) -> None:
    keeper = make("waits")
    (home.control / FLAG_FILE).touch()
    keeper.look(QUIET, 0)
    until(lambda: newest_run(folder))
    play(keeper, Situation("ACTIVE", Moment.PRE_OPEN, 0, is_real_money=False))
    assert newest(folder).state == "interrupted"
    assert "session" in newest(folder).words


def test_run_when_it_neither_ends_in_its_time_nor_when_it_is_told_then_is_killed(home: HomePaths, folder: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    keeper = TestRuns(home, ME, (sys.executable, "-c", deaf))
    for ends in (lambda: None, (home.control / FLAG_FILE).unlink):
        (home.control / FLAG_FILE).touch()
        until(lambda: keeper.look(QUIET, 0) or keeper._child)
        until((folder / keeper._run_id / "run.log").read_bytes)
        ends()
        keeper.look(QUIET, 0)
        assert keeper._child is not None
        assert keeper._child.poll() is None
        play(keeper, now_ns=max(RUN_NS_MAX, END_NS_MAX))
        assert newest(folder).state == "interrupted"


def test_run_when_its_process_crashes_or_cannot_be_started_then_said(home: HomePaths, folder: Path, make: Make) -> None:
    keeper = make("crashes")
    (home.control / FLAG_FILE).touch()
    play(keeper)
    assert newest(folder).state == "interrupted"
    assert "exit code 3" in newest(folder).words
    lost = TestRuns(home, ME, (str(home.root / "missing"),))
    (home.control / FLAG_FILE).touch()
    lost.look(QUIET, 0)
    assert "could not be started" in newest(folder).words
    assert not (home.control / FLAG_FILE).exists()


def test_run_when_the_watchdog_is_stopped_then_ends_and_is_not_begun_anew(
    home: HomePaths, folder: Path, make: Make
) -> None:
    keeper = make("waits")
    (home.control / FLAG_FILE).touch()
    keeper.look(QUIET, 0)
    until(lambda: newest_run(folder))
    child = keeper._child
    keeper.close()
    assert child is not None
    child.wait(20)
    assert "the watchdog was stopped" in newest(folder).words
    again = make("passed")
    again.look(QUIET, 0)
    assert len(runs(folder)) == 1


def test_run_when_the_watchdog_was_killed_then_the_next_one_says_so_and_begins_none(
    home: HomePaths, folder: Path, make: Make
) -> None:
    line = RoutineRecord(name="ofx", title="OFX", limit_s=1, state="running")
    lost = RunRecord(run_id="20250312T140000Z", state="running", asked_by="olga", routines=(line,))
    write_run(folder, lost)
    (home.control / FLAG_FILE).touch()
    make("passed").look(QUIET, 0)
    assert newest(folder).state == "interrupted"
    assert newest(folder).routines[0].state == "failed"
    assert not (home.control / FLAG_FILE).exists()
    assert runs(folder) == [lost.run_id]


def test_flag_when_it_cannot_be_taken_away_then_is_obeyed_once(
    home: HomePaths, folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = make("passed")
    (home.control / FLAG_FILE).touch()

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(home.control), "unlink", refuse)
    keeper.look(LIVE, 0)
    for _ in range(3):
        keeper.look(QUIET, 0)
    assert (home.control / FLAG_FILE).exists()
    assert [newest(folder).state] == ["refused"]
    assert len(runs(folder)) == 1


def test_reading_when_a_record_is_replaced_then_is_never_half_a_record(folder: Path) -> None:
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from bus.test_mode import RunRecord, write_run\n"
            "for n in range(300): write_run(Path(sys.argv[1]), RunRecord(run_id='20250312T140000Z', state='running', "
            "asked_by='a' * (n % 50 * 100)))",
            str(folder),
        ]
    )
    until(lambda: newest_run(folder))
    while writer.poll() is None:
        assert replace(newest(folder), asked_by="") == RunRecord(
            run_id="20250312T140000Z", state="running", asked_by=""
        )
    assert writer.returncode == 0
