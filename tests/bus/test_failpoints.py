"""Named places where a process may die."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bus.failpoints import VARIABLE, Failpoint, failpoints

PROGRAM = """
from bus.failpoints import Failpoint, arm_from_environment
arm_from_environment()
with Failpoint("execution.submit"):
    print("sent", flush=True)
print("noted", flush=True)
"""


def test_a_point_when_passed_tells_both_sides_inside_the_block_alone() -> None:
    reached: list[str] = []
    with failpoints(reached.append), Failpoint("risk.commit"):
        reached.append("done")
    with Failpoint("risk.commit"):
        pass
    assert reached == ["risk.commit:before", "done", "risk.commit:after"]


def test_a_point_when_its_action_fails_is_not_reached_after() -> None:
    reached: list[str] = []
    with failpoints(reached.append), pytest.raises(OSError, match="full"), Failpoint("risk.commit"):
        raise OSError("full")
    assert reached == ["risk.commit:before"]


@pytest.mark.parametrize(("side", "printed"), [("before", ""), ("after", "sent\n")])
def test_a_process_when_its_point_is_named_dies_there_once(tmp_path: Path, side: str, printed: str) -> None:
    environment = {VARIABLE: f"execution.submit:{side}@{tmp_path / 'marker'}"}
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
        for _ in range(2)
    ]
    assert (runs[0].returncode, runs[0].stdout) == (-signal.SIGKILL, printed)
    assert (runs[1].returncode, runs[1].stdout) == (0, "sent\nnoted\n")


@pytest.mark.parametrize("value", ["", "execution.submit:before", "@marker"])
def test_a_process_when_nothing_whole_is_named_lives(value: str) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], env={VARIABLE: value}, capture_output=True, check=False)
    assert run.returncode == 0


def test_a_process_when_several_points_are_named_dies_at_those_without_a_marker(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    environment = {VARIABLE: f"execution.submit:before@{first},execution.submit:after@{second}"}
    first.touch()
    printed = []
    command = [sys.executable, "-c", PROGRAM]
    for _ in range(2):
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        printed.append((run.returncode, run.stdout))
        first.unlink(missing_ok=True)
    assert printed == [(-signal.SIGKILL, "sent\n"), (-signal.SIGKILL, "")]
    assert second.exists()
