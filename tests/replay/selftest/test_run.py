"""One run of TEST_MODE: its record after each step, its logs, its limits, and what it leaves behind."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.clock import NS_PER_SECOND
from bus.store import StoreError
from bus.test_mode import RoutineRecord, RunRecord, home_for_tests, newest_run
from bus.test_runs import RUN_NS_MAX
from config.paths import HomePaths
from replay.selftest.__main__ import AnotherRunError, alone
from replay.selftest.ground import TEST_IDENTITY, Ground, RoutineFailedError
from replay.selftest.routines import ROUTINES, Routine
from replay.selftest.run import Run, print_line

RUN_ID = "20250312T140000Z"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    production = HomePaths(tmp_path)
    production.make()
    return Ground(
        production=production, identity=TEST_IDENTITY, paths=home_for_tests(production), is_live=False, say=print
    )


def routine(name: str, does: Callable[[Ground], str], *, limit_s: int = 30, needs: tuple[str, ...] = ()) -> Routine:
    return Routine(name=name, title=name.upper(), limit_s=limit_s, todo=f"mend {name}", does=does, needs=needs)


def fails(_ground: Ground) -> str:
    raise RoutineFailedError("the subject is broken")


def play(ground: Ground, *routines: Routine, keeps_home: bool = False) -> RunRecord:
    folder = ground.production.output / "test_mode"
    run = Run(ground, folder, RunRecord(run_id=RUN_ID, state="running", asked_by="olga"), routines=routines)
    record = run.play(keeps_home=keeps_home)
    assert newest_run(folder) == record, "what is returned is what is on disk"
    return record


def test_run_when_all_pass_then_says_so_and_leaves_no_home_behind(ground: Ground) -> None:
    def shows(at: Ground) -> str:
        at.say("two\nlines")
        assert at.paths.state.is_dir()
        return "it holds"

    record = play(ground, routine("one", shows))
    (line,) = record.routines
    assert (record.state, line.state, line.words, line.todo) == ("passed", "passed", "it holds", "")
    assert record.ended_at_utc >= record.started_at_utc
    log = (ground.production.output / "test_mode" / RUN_ID / line.log).read_text().splitlines()
    assert [text.split(" ", 1)[1] for text in log] == ["two", "lines", "passed: it holds"]
    assert not ground.paths.root.exists()


def test_run_when_a_routine_keeps_a_file_then_it_is_beside_the_logs_and_outlives_the_home(ground: Ground) -> None:
    def exports(at: Ground) -> str:
        made = at.paths.run / "export.ofx"
        made.write_text("OFXHEADER")
        at.keep(made, "books.ofx")
        return "exported"

    record = play(ground, routine("one", exports))
    folder = ground.production.output / "test_mode" / RUN_ID
    assert not ground.paths.root.exists()
    assert sorted(path.name for path in folder.iterdir()) == [record.routines[0].log, "books.ofx", "run.json"]
    assert (folder / "books.ofx").read_text() == "OFXHEADER"


def test_run_when_one_fails_then_others_go_on_save_those_that_need_it_and_the_home_stays(ground: Ground) -> None:
    record = play(
        ground,
        routine("one", fails),
        routine("two", lambda _ground: "it holds"),
        routine("three", lambda _ground: "it holds", needs=("one",)),
        routine("four", lambda _ground: "it holds", needs=("absent",)),
    )
    assert [one.state for one in record.routines] == ["failed", "passed", "left out", "passed"]
    assert record.routines[0].words == "The subject is broken."
    assert record.routines[0].todo == "mend one"
    assert "did not pass: ONE" in record.routines[2].words
    assert record.state == "failed"
    assert ground.paths.root.is_dir()


def test_run_when_a_routine_fails_then_its_log_ends_with_what_each_service_wrote_last(ground: Ground) -> None:
    def breaks(at: Ground) -> str:
        (at.paths.logs / "risk.log").write_text("cannot start: no such setting\n")
        raise StoreError("the file is damaged")

    record = play(ground, routine("one", breaks))
    log = (ground.production.output / "test_mode" / RUN_ID / record.routines[0].log).read_text()
    assert "cannot start: no such setting" in log
    assert "failed: The file is damaged" in log


def test_run_when_a_routine_does_not_end_then_it_is_ended_by_its_limit(ground: Ground) -> None:
    def hangs(_ground: Ground) -> str:
        time.sleep(60)
        return "never"

    record = play(ground, routine("one", hangs, limit_s=1), routine("two", lambda _ground: "it holds"))
    assert [one.state for one in record.routines] == ["failed", "passed"]
    assert "did not end within 1 s" in record.routines[0].words


def test_run_when_it_is_told_to_end_then_says_so_in_its_record(ground: Ground) -> None:
    def is_told(_ground: Ground) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(ground, routine("one", is_told), routine("two", lambda _ground: "it holds"))
    record = newest_run(ground.production.output / "test_mode")
    assert record is not None
    assert record.state == "interrupted"
    assert [one.state for one in record.routines] == ["failed", "left out"]


def test_run_when_an_older_home_is_there_then_it_is_made_fresh(ground: Ground) -> None:
    ground.paths.root.mkdir()
    (ground.paths.root / "left.over").touch()
    record = play(ground, routine("one", lambda at: str((at.paths.root / "left.over").exists())), keeps_home=True)
    assert record.routines[0].words == "False"


def test_run_when_the_home_cannot_be_made_then_failed_with_the_reason(ground: Ground) -> None:
    ground.paths = HomePaths(ground.production.root / ("d" * 100) / "test_home")
    record = play(ground, routine("one", lambda _ground: "it holds"))
    assert record.state == "failed"
    assert "too deep" in record.words
    assert record.routines[0].state == "left out"


def test_second_run_when_one_is_under_way_then_refused(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(AnotherRunError, match="under way"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_line_when_a_routine_ends_then_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_line(RoutineRecord(name="ofx", title="OFX", limit_s=1, state="passed"))
    assert json.loads(capsys.readouterr().out)["state"] == "passed"


def test_routines_when_listed_then_each_has_a_limit_advice_and_comes_after_what_it_needs() -> None:
    seen: set[str] = set()
    for one in ROUTINES:
        assert set(one.needs) <= seen
        assert one.todo.endswith(".")
        assert 0 < one.limit_s <= 600
        seen.add(one.name)
    assert seen == {
        "bus_up", "broker_dry_run", "signal_to_ledger", "ofx", "backup_restore", "halt_rearm", "notification",
        "production_untouched",
    }  # fmt: skip
    assert sum(one.limit_s for one in ROUTINES) * NS_PER_SECOND < RUN_NS_MAX
