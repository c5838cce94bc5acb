"""TEST_MODE on disk: the flag by page and by hand, the records of runs, and their logs by name alone."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.clock import NS_PER_SECOND
from bus.test_mode import (
    FLAG_FILE,
    RUNS_KEPT,
    Request,
    RoutineRecord,
    RunRecord,
    ask,
    ended,
    home_for_tests,
    log_of,
    new_run_id,
    newest_run,
    prune,
    read_request,
    read_run,
    runs,
    write_run,
)
from config.paths import HomePaths

RUN = RunRecord(run_id="20250312T140000Z", state="running", asked_by="olga")


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path)
    paths.make()
    return paths


def test_flag_when_the_page_makes_it_then_says_who_asks_and_for_what(home: HomePaths) -> None:
    assert read_request(home) is None
    ask(home, Request(operator="olga", reason="new build", sends_letter=True))
    assert read_request(home) == Request(operator="olga", reason="new build", sends_letter=True)


@pytest.mark.parametrize("content", [b"", b"please\n", b'{"operator": 7}', b"\xff" * 9000])
def test_flag_when_made_by_hand_then_whatever_is_in_it_asks_for_a_plain_run(home: HomePaths, content: bytes) -> None:
    (home.control / FLAG_FILE).write_bytes(content)
    assert read_request(home) == Request()


def test_home_when_tests_play_then_lies_under_the_production_home_and_is_another(home: HomePaths) -> None:
    assert home_for_tests(home).root.parent == home.root


def test_record_when_written_again_then_readers_have_the_newest_and_strange_names_do_not_count(tmp_path: Path) -> None:
    assert runs(tmp_path / "none") == []
    assert newest_run(tmp_path) is None
    write_run(tmp_path, RUN)
    later = replace(RUN, run_id=new_run_id(tmp_path, 1_800_000_000 * NS_PER_SECOND))
    write_run(tmp_path, later)
    write_run(tmp_path, replace(later, state="passed"))
    (tmp_path / "notes").mkdir()
    assert runs(tmp_path) == [later.run_id, RUN.run_id]
    assert newest_run(tmp_path) == replace(later, state="passed")
    (tmp_path / later.run_id / "run.json").write_text("{")
    assert newest_run(tmp_path) == RUN
    assert read_run(tmp_path, "20990101T000000Z") is None


def test_record_when_a_run_is_over_then_what_ran_has_failed_and_what_waited_was_left_out() -> None:
    states = ("passed", "running", "waiting")
    lines = tuple(RoutineRecord(name=one, title=one, limit_s=1, state=one) for one in states)  # type: ignore[arg-type] # each is one
    over = ended(replace(RUN, routines=lines), "interrupted", "told to end")
    assert [(one.state, one.words) for one in over.routines] == [
        ("passed", ""),
        ("failed", "told to end"),
        ("left out", "told to end"),
    ]
    assert over.state == "interrupted"
    assert over.ended_at_utc


@pytest.mark.parametrize("name", ["../../run.json", "run.json", "..", "", "01_bus_up.log/", "linked.log", "none.log"])
def test_log_when_the_name_is_not_one_of_a_log_then_there_is_none(tmp_path: Path, name: str) -> None:
    write_run(tmp_path, RUN)
    (tmp_path / RUN.run_id / "linked.log").symlink_to("/etc/hostname")
    (tmp_path / RUN.run_id / "01_bus_up.log").write_text("up\n")
    assert log_of(tmp_path, RUN.run_id, name) is None
    assert log_of(tmp_path, f"../{tmp_path.name}/{RUN.run_id}", "01_bus_up.log") is None
    assert log_of(tmp_path, RUN.run_id, "01_bus_up.log") == tmp_path / RUN.run_id / "01_bus_up.log"


def test_runs_when_there_are_many_then_the_oldest_go(tmp_path: Path) -> None:
    made = []
    for _ in range(RUNS_KEPT + 3):
        made.append(new_run_id(tmp_path, 0))
        write_run(tmp_path, replace(RUN, run_id=made[-1]))
    assert len(set(made)) == len(made)
    prune(tmp_path)
    assert runs(tmp_path) == sorted(made, reverse=True)[:RUNS_KEPT]
