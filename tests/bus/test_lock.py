"""One copy of a service for each home, and one chain: on real processes, because the kernel keeps the locks."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.lock import LockTakenError, home_lock, is_held, service_lock
from config.paths import HomePaths

HOLD_SERVICE = (
    "import sys; from pathlib import Path; from bus.lock import service_lock; from config.paths import HomePaths\n"
    "with service_lock(HomePaths(Path(sys.argv[1])), sys.argv[2]):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)
#: Says that it is ready, waits for a line, and then tries to hold the home for the supervisord of its argument.
HOLD_HOME = (
    "import sys; from pathlib import Path; from bus.lock import LockTakenError, home_lock\n"
    "from config.paths import HomePaths\n"
    "print('ready', flush=True); sys.stdin.readline()\n"
    "try:\n"
    "    with home_lock(HomePaths(Path(sys.argv[1])), int(sys.argv[2])):\n"
    "        print('held', flush=True); sys.stdin.read()\n"
    "except LockTakenError as error:\n"
    "    print(error, flush=True)\n"
)
Process = subprocess.Popen[str]
Start = Callable[..., Process]


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    home.make()
    return home


@pytest.fixture
def start(paths: HomePaths) -> Iterator[Start]:
    """Return a starter of processes that hold something of this home; whatever still runs is killed in the end."""
    started: list[Process] = []

    def run(script: str, *arguments: object) -> Process:
        command = [sys.executable, "-c", script, str(paths.root), *map(str, arguments)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def _line(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def _held_by(start: Start, supervisor: int) -> Process:
    process = start(HOLD_HOME, supervisor)
    assert _line(process) == "ready"
    _go(process)
    assert _line(process) == "held"
    return process


# --- service -----------------------------------------------------------------------------------------------------


def test_a_second_copy_when_the_first_runs_is_refused_with_its_process_id(paths: HomePaths, start: Start) -> None:
    holder = start(HOLD_SERVICE, "risk")
    assert _line(holder) == "held"
    with pytest.raises(LockTakenError, match=f"process {holder.pid}"), service_lock(paths, "risk"):
        pass
    with service_lock(paths, "strategy"):
        pass
    assert (paths.run / "risk.lock").read_text() == str(holder.pid)
    holder.kill()
    holder.communicate()
    with service_lock(paths, "risk"):
        assert (paths.run / "risk.lock").read_text() == str(os.getpid())


def test_a_copy_when_the_first_ends_within_a_moment_starts(
    paths: HomePaths, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = start(HOLD_SERVICE, "risk")
    assert _line(holder) == "held"

    def end_holder(_seconds: float) -> None:
        holder.kill()
        holder.communicate()

    monkeypatch.setattr("bus.lock.time.sleep", end_holder)
    with service_lock(paths, "risk"):
        pass


def test_a_lock_when_looked_at_is_neither_made_nor_changed(paths: HomePaths, start: Start) -> None:
    assert not is_held(paths, "risk.lock")
    assert list(paths.run.iterdir()) == []
    holder = start(HOLD_SERVICE, "risk")
    assert _line(holder) == "held"
    assert is_held(paths, "risk.lock")
    holder.kill()
    holder.communicate()
    assert not is_held(paths, "risk.lock")
    assert (paths.run / "risk.lock").read_text() == str(holder.pid)


# --- home --------------------------------------------------------------------------------------------------------


def test_a_service_when_of_the_same_chain_joins_it(paths: HomePaths, start: Start) -> None:
    first = _held_by(start, 4711)
    with home_lock(paths, 4711):
        assert is_held(paths, "home.lock")
    first.kill()
    first.communicate()
    assert not is_held(paths, "home.lock")


def test_a_service_when_of_another_chain_is_refused_with_the_name_of_its_supervisord(
    paths: HomePaths, start: Start
) -> None:
    holder = _held_by(start, 4711)
    with pytest.raises(LockTakenError, match=r"supervisord is process 4711.*shutdown"), home_lock(paths, 4712):
        pass
    with home_lock(paths, 4711):
        pass
    holder.kill()
    holder.communicate()
    with home_lock(paths, 4712):
        assert (paths.run / "home.lock").read_text() == "4712"


def test_a_service_when_the_founder_of_its_chain_is_gone_still_holds_the_home(paths: HomePaths, start: Start) -> None:
    founder, second = _held_by(start, 4711), _held_by(start, 4711)
    founder.kill()
    founder.communicate()
    with pytest.raises(LockTakenError, match="4711"), home_lock(paths, 4712):
        pass
    assert second.poll() is None


@pytest.mark.parametrize("text", ["", "not a number", "99999999999"])
def test_a_home_when_nobody_holds_it_is_free_whatever_its_file_says(paths: HomePaths, text: str) -> None:
    (paths.run / "home.lock").write_text(text)
    with home_lock(paths, 4711):
        assert (paths.run / "home.lock").read_text() == "4711"


@pytest.mark.parametrize("round_", range(5))
def test_two_chains_when_their_services_start_at_the_same_moment_are_never_both_there(
    start: Start, round_: int
) -> None:
    services = [(chain, start(HOLD_HOME, chain)) for _ in range(4) for chain in (4711, 4712)]
    if round_ % 2:
        services.reverse()
    assert [_line(process) for _, process in services] == ["ready"] * 8
    for _, process in services:
        _go(process)
    answers = [(chain, _line(process)) for chain, process in services]
    holders = {chain for chain, answer in answers if answer == "held"}
    assert len(holders) == 1, answers
    (winner,) = holders
    for chain, answer in answers:
        assert answer == "held" if chain == winner else f"supervisord is process {winner}" in answer, answers
