"""One chain under its supervisord, as an operator handles it, on real processes. Nobody has configured these homes.

Services wait for their configuration then, which is all that starting, stopping and dying needs.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import is_alive, until

from bus.control import ControlFolder
from bus.lock import service_lock
from bus.processes import ROOT, Chain, ChainError, free_port, is_in_use, write_configuration
from bus.routes import SERVICES
from config.paths import HomePaths

pytestmark = pytest.mark.processes

SUPERVISORD = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c"]
STATUS = re.compile(r"tradebot:(\w+)\s+(\w+)(?:\s+pid (\d+))?")


@pytest.fixture
def chain(short_home: HomePaths) -> Iterator[Chain]:
    """Return a chain that runs; it is stopped whatever happens."""
    made = Chain(short_home, free_port())
    try:
        made.start(quiet=True)
        until(lambda: _all_run(made), "not all run")
        yield made
    finally:
        made.stop()


def _states(status: str) -> dict[str, str]:
    return {name: state for name, state, _ in STATUS.findall(status)}


def _pids(chain: Chain) -> dict[str, int]:
    return {name: int(pid) for name, _, pid in STATUS.findall(chain.control("status")) if pid}


def _is_through(chain: Chain, service: str, pid: int) -> bool:
    """Tell whether this life of a service has come through its start: then it has its lock."""
    lock = chain.paths.run / f"{service}.lock"
    return lock.is_file() and lock.read_text() == str(pid)


def _runs_again(chain: Chain, service: str, before: int) -> int:
    """Return the process id of the service's next life, once it is through."""

    def next_pid() -> int:
        pid = _pids(chain).get(service, before)
        return pid if pid != before and _is_through(chain, service, pid) else 0

    return int(until(next_pid, f"{service} does not come back"))


def _all_run(chain: Chain) -> bool:
    pids = _pids(chain)
    return set(pids) == set(SERVICES) and all(_is_through(chain, service, pid) for service, pid in pids.items())


# --- start, stop, restart, status --------------------------------------------------------------------------------


def test_one_service_when_stopped_started_and_restarted_leaves_the_others_alone(chain: Chain) -> None:
    before = _pids(chain)
    assert set(before) == set(SERVICES)
    assert chain.control("stop", "tradebot:risk").strip() == "tradebot:risk: stopped"
    assert not is_alive(before["risk"])
    assert _states(chain.control("status"))["risk"] == "STOPPED"
    assert chain.control("start", "tradebot:risk").strip() == "tradebot:risk: started"
    started = _runs_again(chain, "risk", before["risk"])
    assert chain.control("restart", "tradebot:risk").split("\n")[:2] == [
        "tradebot:risk: stopped",
        "tradebot:risk: started",
    ]
    restarted = _runs_again(chain, "risk", started)
    assert _pids(chain) == before | {"risk": restarted}


def test_the_group_when_restarted_stopped_and_started_is_all_there_or_all_gone(chain: Chain) -> None:
    before = _pids(chain)
    assert chain.control("restart", "tradebot:*").count("started") == 8
    after = {service: _runs_again(chain, service, before[service]) for service in SERVICES}
    assert not [pid for pid in before.values() if is_alive(pid)]
    assert chain.control("stop", "tradebot:*").count("stopped") == 8
    assert not [pid for pid in after.values() if is_alive(pid)]
    assert _states(chain.control("status")) == dict.fromkeys(SERVICES, "STOPPED")
    assert chain.is_running()
    assert chain.control("start", "tradebot:*").count("started") == 8
    assert _states(chain.control("status")) == dict.fromkeys(SERVICES, "RUNNING")


def test_a_service_when_restarted_over_and_over_by_an_operator_is_no_crash_loop(chain: Chain) -> None:
    pid = _pids(chain)["risk"]
    for _ in range(6):
        assert "started" in chain.control("restart", "tradebot:risk")
        pid = _runs_again(chain, "risk", pid)
    assert not ControlFolder(chain.paths).read().is_halted()


def test_the_chain_when_shut_down_leaves_no_process_and_a_free_home(chain: Chain) -> None:
    pids = _pids(chain)
    assert chain.control("shutdown").strip() == "Shut down"
    assert chain.wait() == 0
    assert not [pid for pid in pids.values() if is_alive(pid)]
    assert not is_in_use(chain.paths)
    assert not list(chain.paths.run.glob("*.starts.json"))


# --- who may -----------------------------------------------------------------------------------------------------


def _password(configuration: Path) -> str:
    (password,) = set(re.findall(r"^password=(.*)$", configuration.read_text(), re.MULTILINE))
    return str(password)


def test_the_control_socket_when_the_password_is_wrong_refuses(chain: Chain) -> None:
    assert (chain.paths.run / "supervisor.sock").stat().st_mode & 0o077 == 0
    for wrong in (["-p", "guessed"], ["-u", "root"]):
        said = chain.control(*wrong, "stop", "tradebot:risk")
        assert "requires authentication" in said
    assert _states(chain.control("status"))["risk"] == "RUNNING"


def test_the_password_is_in_no_log_no_environment_and_no_command_line(chain: Chain) -> None:
    password = _password(chain.paths.run / "supervisord.conf")
    chain.control("-p", "guessed", "status")
    chain.control("restart", "tradebot:risk")
    shown = subprocess.run(["ps", "axeww", "-o", "command="], capture_output=True, text=True, check=True).stdout
    assert f"TRADEBOT_HOME={chain.paths.root}" in shown
    assert password not in shown
    files = [path for path in chain.paths.root.rglob("*") if path.is_file()]
    assert any(path.name == "supervisord.log" for path in files)
    assert [path.name for path in files if password.encode() in path.read_bytes()] == ["supervisord.conf"]


def test_a_failpoint_when_named_to_supervisord_reaches_the_services(
    short_home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = f"nowhere:before@{short_home.run / 'marker'}"
    monkeypatch.setenv("TRADEBOT_FAILPOINT", value)
    chain = Chain(short_home, free_port())
    try:
        chain.start(quiet=True)
        pid = str(until(lambda: _pids(chain).get("execution"), "execution does not run"))
        shown = subprocess.run(["ps", "eww", "-p", pid], capture_output=True, text=True, check=True).stdout
        assert f"TRADEBOT_FAILPOINT={value}" in shown
    finally:
        chain.stop()


# --- one chain for each home -------------------------------------------------------------------------------------


def test_a_second_supervisord_when_on_the_same_configuration_is_refused_in_words(chain: Chain) -> None:
    before = _pids(chain)
    result = subprocess.run(
        [*SUPERVISORD, str(chain.paths.run / "supervisord.conf")],
        cwd=ROOT,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode != 0
    assert "Another program is already listening" in result.stdout + result.stderr
    assert _pids(chain) == before


def test_chains_when_started_at_the_same_moment_on_one_home_are_one(short_home: HomePaths) -> None:
    chains = [Chain(short_home, free_port()) for _ in range(4)]
    barrier = threading.Barrier(len(chains))
    refusals: list[str] = []

    def start(chain: Chain) -> None:
        barrier.wait()
        try:
            chain.start(quiet=True)
        except ChainError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=start, args=(chain,)) for chain in chains]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (running,) = [chain for chain in chains if chain.is_running()]
        assert len(refusals) == 3
        assert all("already runs" in text or "at this moment" in text for text in refusals), refusals
        assert "tradebot:risk" in running.control("status")
    finally:
        for chain in chains:
            chain.stop()


def test_two_supervisords_when_started_at_once_on_one_home_with_files_of_their_own_are_one_chain(
    short_home: HomePaths,
) -> None:
    configuration = write_configuration(short_home)
    text = configuration.read_text()
    other = short_home.run / "other.conf"
    # Nothing in common but the home: socket, password, process id and logs of the second are its own.
    others = re.sub(r"^password=\S+$", "password=of-its-own", text, flags=re.MULTILINE)
    other.write_text(others.replace("/run/supervis", "/run/x").replace("/output/logs/", "/output/logs/x-"))
    supervisors = [
        subprocess.Popen(
            [*SUPERVISORD, str(path)],
            cwd=ROOT,
            env={**os.environ, "PYTHONSAFEPATH": "1", "TRADEBOT_WEB_PORT": str(free_port())},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for path in (configuration, other)
    ]

    def status(path: Path) -> dict[str, str]:
        command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(path), "status"]
        env = {**os.environ, "PYTHONSAFEPATH": "1"}
        return _states(subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False).stdout)

    def of_states() -> list[set[str]]:
        return sorted((set(status(path).values()) for path in (configuration, other)), key=sorted)

    try:
        until(lambda: of_states() == [{"EXITED"}, {"RUNNING"}], "not one whole chain and one refused")
        (loser,) = [path for path in (configuration, other) if set(status(path).values()) == {"EXITED"}]
        winner = supervisors[1 if loser == configuration else 0]
        assert (short_home.run / "home.lock").read_text() == str(winner.pid)
        log = short_home.logs / ("risk.log" if loser == configuration else "x-risk.log")
        assert f"Another chain (supervisord is process {winner.pid})" in log.read_text()
    finally:
        for supervisor in supervisors:
            supervisor.terminate()
        for supervisor in supervisors:
            supervisor.wait(60)


def test_a_service_when_refused_is_not_tried_again(chain: Chain) -> None:
    chain.control("stop", "tradebot:risk")
    log = chain.paths.logs / "supervisord.log"
    before = log.read_text().count("spawned: 'risk'")
    with service_lock(chain.paths, "risk"):
        chain.control("start", "tradebot:risk")
        until(lambda: _states(chain.control("status"))["risk"] == "EXITED", "risk is not refused")
    assert "already runs on the home" in chain.control("tail", "tradebot:risk")
    assert "exited: risk (exit status 75; expected)" in log.read_text()
    # Whatever supervisord repeats, it would have repeated while it brought another service back.
    _runs_again(chain, "strategy", _crash(chain, "strategy"))
    assert log.read_text().count("spawned: 'risk'") == before + 1


# --- deaths ------------------------------------------------------------------------------------------------------


def _crash(chain: Chain, service: str) -> int:
    pid = _pids(chain)[service]
    os.kill(pid, signal.SIGKILL)
    return pid


def test_supervisord_when_killed_leaves_no_process_not_even_a_frozen_one(chain: Chain) -> None:
    pids = _pids(chain)
    if sys.platform == "linux":
        for service in ("execution", "web"):
            os.kill(pids[service], signal.SIGSTOP)
    os.kill(int((chain.paths.run / "supervisord.pid").read_text()), signal.SIGKILL)
    chain.wait()
    until(lambda: not [pid for pid in pids.values() if is_alive(pid)], "services live on", 20)
    assert not is_in_use(chain.paths)
    chain.start(quiet=True)
    until(lambda: _all_run(chain), "does not start again")


def test_a_service_when_killed_four_times_in_a_minute_halts_the_chain_and_waits_for_a_person(chain: Chain) -> None:
    pid = _pids(chain)["risk"]
    for _ in range(3):
        os.kill(pid, signal.SIGKILL)
        pid = _runs_again(chain, "risk", pid)
    assert not ControlFolder(chain.paths).read().is_halted()
    os.kill(pid, signal.SIGKILL)
    until(lambda: _states(chain.control("status"))["risk"] == "EXITED", "risk does not stay down")
    halt = ControlFolder(chain.paths).read().halt
    assert halt is not None
    assert (halt.source, halt.rule) == ("risk", "crash_loop")
    assert "crash_loop: risk was restarted" in chain.control("tail", "tradebot:risk")
    others = {service: state for service, state in _states(chain.control("status")).items() if service != "risk"}
    assert set(others.values()) == {"RUNNING"}
    assert "started" in chain.control("start", "tradebot:risk")
    _runs_again(chain, "risk", pid)


def test_the_command_when_interrupted_stops_every_service(short_home: HomePaths) -> None:
    command = [sys.executable, "-m", "bus.processes", "--home", str(short_home.root), "--port", str(free_port())]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert "The chain runs on the home" in process.stdout.readline()
        assert is_in_use(short_home)
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        assert process.wait(60) == 0
    assert "Stopping the services." in said
    assert _password(short_home.run / "supervisord.conf") not in said
    assert not is_in_use(short_home)
