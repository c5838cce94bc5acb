"""A home's own supervisord: its configuration, its port, and one chain for each home."""

import json
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.lock import service_lock
from bus.processes import (
    ROOT,
    Chain,
    ChainError,
    check_port,
    free_port,
    is_in_use,
    main,
    running_supervisor,
    write_configuration,
)
from bus.routes import SERVICES
from config.paths import HomePaths

#: Reads a configuration as supervisord does, and prints what it would do.
READ = """
import json, sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["-n", "-c", sys.argv[1]])
group, = options.process_group_configs
print(json.dumps({
    "pidfile": options.pidfile, "logfile": options.logfile, "directory": options.directory,
    "home": options.configroot.supervisord.environment["TRADEBOT_HOME"],
    "socket": options.server_configs[0]["file"],
    "programs": {p.name: [p.command, p.stdout_logfile, p.environment] for p in group.process_configs},
}))
"""


def _home(folder: Path) -> HomePaths:
    paths = HomePaths(folder)
    paths.make()
    return paths


@pytest.fixture
def paths(tmp_path_factory: pytest.TempPathFactory) -> HomePaths:
    return _home(tmp_path_factory.mktemp("h"))


# --- port --------------------------------------------------------------------------------------------------------


def test_a_port_when_taken_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ChainError, match=rf"Port {port} on 127\.0\.0\.1 cannot be used.*make run PORT="):
            check_port(port)


def test_a_port_when_free_passes_and_stays_free() -> None:
    port = free_port()
    check_port(port)
    check_port(port)
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", port))


def test_a_chain_when_its_port_is_taken_does_not_start(paths: HomePaths) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chain = Chain(paths, port)
        with pytest.raises(ChainError, match=f"Port {port}"):
            chain.start(quiet=True)
    assert not chain.is_running()
    assert not (paths.run / "supervisord.conf").exists()


# --- configuration -----------------------------------------------------------------------------------------------


def test_the_configuration_when_written_has_all_programs_and_no_relative_path(paths: HomePaths) -> None:
    target = write_configuration(paths)
    assert target == paths.run / "supervisord.conf"
    text = target.read_text(encoding="utf-8")
    assert not re.search(r"@[A-Z]+@", text)
    parser = RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(text)
    programs = {name.removeprefix("program:") for name in parser.sections() if name.startswith("program:")}
    assert programs == set(SERVICES)
    assert set(parser["group:tradebot"]["programs"].split(",")) == set(SERVICES)
    for section in parser.sections():
        for key, value in parser[section].items():
            if key in ("file", "logfile", "pidfile", "childlogdir", "directory", "stdout_logfile"):
                assert Path(value).is_absolute(), f"{section} {key}"
                assert Path(value) == Path(os.path.normpath(value)), f"{section} {key}"
            if key == "command":
                assert Path(shlex.split(value)[0]).is_absolute(), section


@pytest.mark.parametrize("name", ["plain", "100% sure", "two words"])
def test_the_configuration_when_read_by_supervisord_serves_this_home_whatever_its_name(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    paths = _home(tmp_path_factory.mktemp("h") / name)
    result = subprocess.run(
        [sys.executable, "-c", READ, str(write_configuration(paths))],
        cwd=ROOT,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    read = json.loads(result.stdout.splitlines()[-1])
    assert read["home"] == str(paths.root)
    assert read["pidfile"] == str(paths.run / "supervisord.pid")
    assert read["logfile"] == str(paths.logs / "supervisord.log")
    assert read["socket"] == str(paths.run / "supervisor.sock")
    assert read["directory"] == str(ROOT)
    assert set(read["programs"]) == set(SERVICES)
    for service, (command, log, environment) in read["programs"].items():
        assert shlex.split(command) == [sys.executable, "-m", "bus.supervised", service]
        assert log == str(paths.logs / f"{service}.log")
        assert environment["TRADEBOT_HOME"] == str(paths.root)


def _password(configuration: Path) -> str:
    parser = RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(configuration.read_text(encoding="utf-8"))
    return parser["unix_http_server"]["password"]


def test_the_configuration_when_written_again_has_another_password_and_is_the_same_for_the_rest(
    paths: HomePaths,
) -> None:
    first = write_configuration(paths)
    before, password = first.read_text(), _password(first)
    again = write_configuration(paths)
    assert _password(again) != password
    assert again.read_text().replace(_password(again), password) == before
    assert list(paths.run.iterdir()) == [again]


def test_the_configuration_when_it_is_being_written_is_readable_for_its_owner_alone(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    (paths.run / "supervisord.conf").write_text("old")
    (paths.run / "supervisord.conf").chmod(0o644)
    modes: list[int] = []

    def replace(part: Path, target: Path) -> Path:
        modes.append(stat.S_IMODE(part.stat().st_mode))
        os.replace(part, target)
        return target

    monkeypatch.setattr(Path, "replace", replace)
    before = os.umask(0)
    try:
        target = write_configuration(paths)
    finally:
        os.umask(before)
    assert [*modes, stat.S_IMODE(target.stat().st_mode)] == [0o600, 0o600]


def test_the_command_when_told_to_write_writes_and_starts_nothing(
    paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(paths.root), "--write"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{paths.run / 'supervisord.conf'}\n"
    assert _password(paths.run / "supervisord.conf") not in said.out + said.err
    assert not is_in_use(paths)


# --- one chain for each home -------------------------------------------------------------------------------------


@contextmanager
def _listening(paths: HomePaths) -> Iterator[None]:
    """Stand in for a supervisord on this home: something answers on its socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(paths.run / "supervisor.sock"))
        server.listen()
        yield


@pytest.mark.parametrize("text", ["", "not a number", "12 34"])
def test_a_supervisor_when_its_pid_file_says_nothing_is_known_by_its_socket_alone(paths: HomePaths, text: str) -> None:
    assert running_supervisor(paths) is None
    (paths.run / "supervisord.pid").write_text(text)
    assert running_supervisor(paths) is None
    with _listening(paths):
        assert running_supervisor(paths) == 0


def test_a_supervisor_when_killed_does_not_run_though_its_pid_file_names_a_process(paths: HomePaths) -> None:
    (paths.run / "supervisord.pid").write_text(f"{os.getpid()}\n")
    with _listening(paths):
        assert running_supervisor(paths) == os.getpid()
    assert (paths.run / "supervisor.sock").exists()
    assert running_supervisor(paths) is None
    assert not is_in_use(paths)


def test_a_home_when_it_was_never_made_is_not_in_use(tmp_path: Path) -> None:
    assert not is_in_use(HomePaths(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_a_chain_when_another_runs_on_the_home_does_not_start_and_says_how_to_stop_it(paths: HomePaths) -> None:
    configuration = write_configuration(paths)
    password = _password(configuration)
    (paths.run / "supervisord.pid").write_text(f"{os.getpid()}\n")
    chain = Chain(paths, free_port())
    with (
        _listening(paths),
        pytest.raises(ChainError, match=rf"already runs on the home .*process {os.getpid()}.*shutdown"),
    ):
        chain.start(quiet=True)
    assert not chain.is_running()
    chain.stop()
    assert chain.wait() == 0
    assert _password(configuration) == password


def test_a_chain_when_a_service_runs_alone_on_the_home_does_not_start(paths: HomePaths) -> None:
    chain = Chain(paths, free_port())
    with service_lock(paths, "ledger"):
        assert is_in_use(paths)
        with pytest.raises(ChainError, match=r"A service runs on the home .*\*\.lock name the processes"):
            chain.start(quiet=True)
    assert not chain.is_running()
    assert not (paths.run / "supervisord.conf").exists()


def test_a_chain_when_supervisord_cannot_start_says_where_to_look(
    paths: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = paths.run / "broken.conf"
    broken.write_text("[supervisord]\nlogfile=/nowhere/at/all.log\n")
    monkeypatch.setattr("bus.processes.write_configuration", lambda _paths: broken)
    chain = Chain(paths, free_port())
    with pytest.raises(ChainError, match=r"supervisord did not start; see .*supervisord\.log"):
        chain.start(quiet=True)
    assert not chain.is_running()


@pytest.mark.parametrize("arguments", [[], ["--write"]])
def test_the_command_when_another_chain_runs_ends_with_one_message(
    paths: HomePaths, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with _listening(paths):
        assert main(["--home", str(paths.root), "--port", str(free_port()), *arguments]) == 2
    shown = capsys.readouterr()
    assert "already runs" in shown.err
    assert shown.out == ""


def test_the_command_when_the_home_is_too_deep_ends_with_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / ("x" * 100)
    assert main(["--home", str(home), "--port", str(free_port())]) == 2
    assert "too deep" in capsys.readouterr().err
    assert not home.exists()


def test_the_command_when_the_home_is_a_file_ends_with_one_message(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path_factory.mktemp("h") / "file"
    home.write_text("mine")
    assert main(["--home", str(home), "--port", str(free_port())]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert home.read_text() == "mine"


def test_a_chain_when_asked_for_its_page_names_the_loopback_address(paths: HomePaths) -> None:
    assert Chain(paths, 8790).url == "http://127.0.0.1:8790/"
