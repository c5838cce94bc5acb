"""A service as supervisord starts it, on real processes: this test is the supervisord."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus import exit_codes, service, supervised
from bus.control import ControlFolder
from bus.lock import home_lock
from config.paths import HomePaths

Process = subprocess.Popen[str]


@pytest.fixture
def start(short_home: HomePaths) -> Iterator[Callable[[str], Process]]:
    """Return a starter of services on this home, which nobody has configured: they wait, and say so."""
    started: list[Process] = []

    def run(name: str) -> Process:
        environment = {**os.environ, "TRADEBOT_HOME": str(short_home.root), "SUPERVISOR_ENABLED": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "bus.supervised", name], env=environment, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def _said(process: Process) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def _end(process: Process) -> tuple[int, str]:
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def _crash(process: Process) -> None:
    assert "waits for the configuration" in _said(process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)


@pytest.mark.parametrize("name", ["risk", "watchdog"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_when_told_to_stop_ends_with_zero_and_its_start_is_forgotten(
    short_home: HomePaths, start: Callable[[str], Process], name: str, number: int
) -> None:
    process = start(name)
    assert "waits for the configuration" in _said(process)
    assert (short_home.run / f"{name}.starts.json").exists()
    assert (short_home.run / f"{name}.lock").read_text() == str(process.pid)
    process.send_signal(number)
    assert _end(process) == (exit_codes.EXIT_STOPPED, "")
    assert not (short_home.run / f"{name}.starts.json").exists()


def test_a_service_when_killed_over_and_over_halts_the_chain_and_stays_down_until_somebody_starts_it(
    short_home: HomePaths, start: Callable[[str], Process]
) -> None:
    for _ in range(4):
        _crash(start("risk"))
        assert not ControlFolder(short_home).read().is_halted()
    code, said = _end(start("risk"))
    assert code == exit_codes.EXIT_CRASH_LOOP
    assert "more than 3 times within 60 s" in said
    halt = ControlFolder(short_home).read().halt
    assert halt is not None
    assert (halt.source, halt.rule) == ("risk", "crash_loop")
    assert str(short_home.logs / "risk.log") in halt.detail
    assert "start tradebot:risk" in halt.detail
    _crash(start("risk"))
    assert ControlFolder(short_home).read().halt_counter == halt.counter


def test_a_service_when_it_cannot_even_be_imported_is_a_crash_loop_too(
    short_home: HomePaths, start: Callable[[str], Process]
) -> None:
    codes = [_end(start("no_such_service"))[0] for _ in range(5)]
    assert codes == [1, 1, 1, 1, exit_codes.EXIT_CRASH_LOOP]
    assert ControlFolder(short_home).read().is_halted()


def test_a_service_when_its_halt_cannot_be_written_stays_down_all_the_same(
    short_home: HomePaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervised.Starts, "note", lambda _starts, _now_ns: False)
    short_home.halts.rmdir()
    assert supervised._run(short_home, "risk", supervised.Starts(short_home, "risk", 1)) == exit_codes.EXIT_CRASH_LOOP
    assert "halt could not be written" in capsys.readouterr().err


def test_a_start_anew_for_other_settings_is_no_crash_however_often(
    short_home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turn(_service: str) -> None:
        raise SystemExit(exit_codes.EXIT_NEW_SETTINGS)

    monkeypatch.setattr(supervised, "_run_service", turn)
    for _ in range(6):
        with pytest.raises(SystemExit) as ended:
            supervised._run(short_home, "risk", supervised.Starts(short_home, "risk", 1))
        assert ended.value.code == exit_codes.EXIT_NEW_SETTINGS
    assert exit_codes.EXIT_NEW_SETTINGS not in exit_codes.NOT_REPEATED
    assert ControlFolder(short_home).read().halt_counter == 0


def test_a_start_when_it_cannot_be_counted_is_a_start_all_the_same(
    short_home: HomePaths, start: Callable[[str], Process]
) -> None:
    (short_home.run / "risk.starts.json").mkdir()
    process = start("risk")
    assert "this start is not counted" in _said(process)
    assert "waits for the configuration" in _said(process)


def test_a_service_when_another_chain_has_the_home_ends_with_75_before_it_takes_anything(
    short_home: HomePaths, start: Callable[[str], Process]
) -> None:
    with home_lock(short_home, 4711):
        code, said = _end(start("risk"))
    assert code == exit_codes.EXIT_LOCKED
    assert "supervisord is process 4711" in said
    assert sorted(path.name for path in short_home.run.iterdir()) == ["home.lock"]


def test_a_service_when_refused_is_not_counted_as_a_crash(
    short_home: HomePaths, start: Callable[[str], Process]
) -> None:
    holder = start("risk")
    assert "waits for the configuration" in _said(holder)
    assert [_end(start("risk"))[0] for _ in range(6)] == [exit_codes.EXIT_LOCKED] * 6
    assert not ControlFolder(short_home).read().is_halted()


def test_a_service_when_its_supervisord_died_before_it_could_look_does_not_start(
    short_home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert supervised._is_orphan(short_home, 1)
    assert not supervised._is_orphan(short_home, os.getpid())
    (short_home.run / "supervisord.pid").write_text("4711\n")
    assert supervised._is_orphan(short_home, 1)
    (short_home.run / "supervisord.pid").write_text("1\n")
    assert not supervised._is_orphan(short_home, 1)
    monkeypatch.setenv("TRADEBOT_HOME", str(short_home.root))
    monkeypatch.setattr(supervised, "die_with", lambda _parent: False)
    monkeypatch.setattr(supervised, "_end_on_request", lambda _starts: None)
    assert supervised.main(["risk"]) == exit_codes.EXIT_STOPPED
    assert not (short_home.run / "home.lock").exists()


def test_a_service_when_its_home_cannot_be_used_ends_with_78(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRADEBOT_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(supervised, "die_with", lambda _parent: True)
    monkeypatch.setattr(supervised, "_end_on_request", lambda _starts: None)
    assert supervised.main(["risk"]) == exit_codes.EXIT_CONFIGURATION
    assert "risk cannot start" in capsys.readouterr().err


def test_the_command_when_it_names_no_service_says_how_to_use_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervised, "die_with", lambda _parent: True)
    assert supervised.main([]) == exit_codes.EXIT_USAGE
    assert "usage" in capsys.readouterr().err


def test_the_codes_of_a_service_are_those_that_are_not_repeated() -> None:
    refused = {service.EXIT_STOPPED, service.EXIT_USAGE, service.EXIT_LOCKED, service.EXIT_CONFIGURATION}
    assert refused == set(exit_codes.NOT_REPEATED) - {exit_codes.EXIT_CRASH_LOOP}
    assert service.EXIT_FAULT not in exit_codes.NOT_REPEATED
