"""The soak's judgement: growth, descriptors, restarts and halts fail it, and what is bounded does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import chain_soak as soak

from bus.control import ControlFolder
from config.paths import HomePaths

MINUTE = 60.0


def track(pid: int, memory: list[float], descriptors: list[float]) -> soak.Track:
    """Return what a process took, one look a minute."""
    at = [number * MINUTE for number in range(len(memory))]
    return soak.Track(pid, list(zip(at, memory, strict=True)), list(zip(at, descriptors, strict=True)))


@pytest.mark.parametrize(
    ("memory", "descriptors", "says"),
    [
        ([80, 100, 100, 104, 104], [9, 9, 9, 9, 9], []),
        ([80, 100, 100, 107, 107], [9, 9, 9, 9, 9], ["risk grew by 7.0%"]),
        ([80, 100, 100, 100, 100], [9, 9, 9, 10, 10], ["risk has 10 descriptors open, 9 before"]),
        ([80, 100, 100, 90, 90], [12, 9, 9, 8, 8], []),
    ],
)
def test_process_when_it_grows_after_the_warm_up_then_fails(
    memory: list[float], descriptors: list[float], says: list[str]
) -> None:
    found = soak.line_of("risk", track(1, memory, descriptors), MINUTE).faults()
    assert [one.split(":")[0] for one in found] == says


def test_descriptors_when_a_log_is_opened_once_then_do_not_count_and_twice_do(tmp_path: Path) -> None:
    before = soak.descriptors_of(os.getpid())
    with (tmp_path / "mid.log").open("w"):
        assert soak.descriptors_of(os.getpid()) == before
        with (tmp_path / "mid.log").open("a"), (tmp_path / "data.db").open("w"):
            assert soak.descriptors_of(os.getpid()) == before + 2


def test_process_when_it_is_gone_then_takes_nothing() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert soak.descriptors_of(done.pid) == 0


def test_breaks_when_a_service_was_started_anew_and_the_chain_was_halted_then_both_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = HomePaths(tmp_path)
    paths.make()
    monkeypatch.setattr(soak, "read_journal", lambda _path: iter(()))
    monkeypatch.setattr(soak, "compare_books", lambda _paths, _identity: ["cash: broker 1, ledger 2 micro-dollars"])
    ControlFolder(paths).raise_halt("risk", "critical_error", "out of memory")
    found = soak.breaks_of(paths, {"risk": soak.Track(1)}, {"risk": 2})
    assert [one.split(":")[0] for one in found] == ["risk was started anew", "halt on disk", "cash"]
