"""What is shipped for a server of one's own: the page, the container definition, the health check."""

import importlib.util
import json
import plistlib
import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from bus.processes import STOP_TIMEOUT_S
from config.build_check import FILES

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
CONTAINER = (ROOT / "Containerfile").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
#: Of another distribution, or of another system.
NOT_DEBIAN = {"python3.11", "python3.11-venv", "python@3.12"}
COMMANDS = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOW = datetime(2026, 1, 2, 15, 0, tzinfo=UTC)


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _commands() -> list[str]:
    text = "\n".join(COMMANDS.findall(PAGE)).replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _installed(lines: list[str]) -> set[str]:
    """Return the packages that commands install with apt-get."""
    found: set[str] = set()
    for line in lines:
        for words in re.findall(r"apt-get install ([^&|]*)", line):
            found |= {word for word in words.split() if not word.startswith(("-", ">"))}
    return found - NOT_DEBIAN


def test_commands_of_the_page_when_they_name_files_modules_or_targets_then_these_are_there() -> None:
    text = "\n".join(_commands())
    paths = set(re.findall(r"(?:^|[ =/])((?:supervisor|scripts|deploy)/[\w./-]+)", text))
    assert paths
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
    modules = set(re.findall(r"-m ([a-z_.]+)", text))
    assert {"bus.processes", "bus.second_host", "config", "services.web"} <= modules
    assert sorted(name for name in modules if importlib.util.find_spec(name) is None) == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE))
    assert {"setup", "demo", "run"} <= targets
    assert sorted(name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)) == []


def test_page_when_tried_then_setup_demo_chain_and_doctor_are_among_what_is_run() -> None:
    lines = "\n".join(_module("try_deploy").blocks(PAGE))
    for part in ("make setup", "make demo", "supervisord -c", "bootstrap-token", "config doctor", "shutdown"):
        assert part in lines
    assert "sudo" not in lines
    done = subprocess.run(["bash", "-n", "-c", _module("try_deploy").script(PAGE)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_page_when_typed_on_servers_then_every_block_has_its_place_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    page = _module("server_page")
    source = (ROOT / "scripts" / "try_server.py").read_text(encoding="utf-8")
    typed = {(heading, int(number)) for heading, number in re.findall(r'"((?:\d\. )?[A-Z][^"]*)", (\d)\)', source)}
    blocks = set(page.Page().blocks)
    assert blocks - typed - set(page.NOT_TYPED) == set()
    assert typed <= blocks, "what is typed is on the page"
    assert set(page.NOT_TYPED) <= blocks
    assert [line.strip() for lines in page.Page().blocks.values() for line in lines] == _commands()


def test_servers_when_something_is_missing_then_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    tool = _module("try_server")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert tool.main([str(tmp_path / "servers")]) == 2
    assert "use sudo" in capsys.readouterr().err
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tool.main([str(tmp_path / "servers")]) == 2
    said = capsys.readouterr().err
    assert "apt-get install --yes debootstrap git iproute2 openssh-client slirp4netns systemd-container" in said
    assert not (tmp_path / "servers").exists()


def test_terminal_when_a_line_is_typed_then_its_end_and_its_answers_are_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    typist = _module("server_typist")
    shell = typist.Typist(
        ["bash", "--norc", "--noprofile", "-c", "PS1='a@b:~$ ' exec bash --norc --noprofile -i"], "a@b"
    )
    try:
        assert shell.type("echo one; printf 'x\\rtwo\\n'").text == "one\ntwo\n"
        assert shell.type("(exit 3)", may_fail=True).status == 3
        with pytest.raises(typist.TypingError, match="`false`, typed at a@b, ended with 1"):
            shell.type("false")
        assert shell.type("read -rsp 'Word: ' w; echo \"[$w]\"", answers=[("Word: ", "open")]).text.endswith("[open]\n")
        assert "ready" in shell.start("sh -c 'echo ready; exec sleep 60'", "ready\r\n")
        assert shell.interrupt().status == 130
    finally:
        shell.close()
    assert "a@b$ (exit 3)" in capsys.readouterr().out


def test_folder_when_it_is_not_empty_then_the_page_is_not_tried_there(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    assert _module("try_deploy").main([str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_packages_when_installed_by_page_container_or_ci_then_the_distribution_has_them() -> None:
    names = _installed([*_commands(), *CONTAINER.replace("\\\n", " ").splitlines(), *CI.splitlines()])
    assert {"git", "make", "python3", "python3-venv", "chrony"} <= names
    if shutil.which("apt-cache"):
        done = subprocess.run(["apt-cache", "show", *sorted(names)], capture_output=True, text=True, check=False)
        known = set(re.findall(r"^Package: (\S+)$", done.stdout, re.MULTILINE))
        assert sorted(names - known) == []
    # Elsewhere nobody can be asked; what CI installs is known to be there.
    assert {"git", "make", "python3", "python3-venv"} <= _installed(CI.splitlines())


def test_container_when_built_then_copies_what_is_there_and_all_that_a_release_needs() -> None:
    copied = [word for line in re.findall(r"^COPY (.*)$", CONTAINER, re.MULTILINE) for word in line.split()[1:-1]]
    assert sorted(name for name in copied if not (ROOT / name).exists()) == []
    assert sorted(name for name in FILES if name.split("/")[0] not in copied) == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert folders <= set(copied)
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").split("\n")
    assert {"home", "home-*", ".git"} <= set(ignored), "no home may come into an image"


def test_container_when_started_then_runs_as_an_ordinary_user_and_ends_on_the_signal_it_gets() -> None:
    lines = CONTAINER.splitlines()
    user = lines.index("USER tradebot")
    assert all(not line.startswith("USER") for line in lines[user + 1 :])
    assert user < next(i for i, line in enumerate(lines) if line.startswith("RUN make setup"))
    assert "STOPSIGNAL SIGTERM" in lines
    entry = next(json.loads(line.removeprefix("ENTRYPOINT ")) for line in lines if line.startswith("ENTRYPOINT"))
    assert entry[:3] == [".venv/bin/python", "-m", "bus.processes"]
    check = next(json.loads(line.split("CMD ")[1]) for line in lines if line.startswith("HEALTHCHECK"))
    assert (ROOT / check[1]).is_file()
    assert not re.search(r"(?i)password|secret|token", CONTAINER)


def test_launch_agent_when_filled_in_as_the_page_says_then_runs_the_chain_of_this_folder(tmp_path: Path) -> None:
    (line,) = [line for line in _commands() if "deploy/launchd" in line]
    filled = tmp_path / "tradebot.plist"
    command = line.replace("~/Library/LaunchAgents/tradebot.plist", str(filled)).replace("$PWD", "/Applications/bot")
    subprocess.run(["bash", "-c", command], cwd=ROOT, check=True)
    agent = plistlib.loads(filled.read_bytes())
    program, *words = agent["ProgramArguments"]
    assert program == "/Applications/bot/.venv/bin/python"
    assert words[:2] == ["-m", "bus.processes"]
    assert words[2:] == ["--home", "/Applications/bot/home", "--port", "8780"]
    assert agent["WorkingDirectory"] == "/Applications/bot"
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["ExitTimeOut"] > STOP_TIMEOUT_S
    assert agent["Umask"] == 0o077
    assert agent["StandardOutPath"] == "/dev/null", "the one-time token is in what is said"


@pytest.mark.parametrize(("age_s", "is_well"), [(0, True), (3, True), (4, False)])
def test_health_when_the_status_is_old_then_the_chain_is_not_alive(tmp_path: Path, age_s: int, is_well: bool) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    at = (NOW - timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    (folder / "status.json").write_text(json.dumps({"written_at_utc": at, "valid_for_ms": 3000, "state": "HALTED"}))
    assert (_module("healthy").fault_of(tmp_path, NOW) == "") is is_well


def test_health_when_there_is_no_status_or_half_of_one_then_says_which_file(tmp_path: Path) -> None:
    fault_of = _module("healthy").fault_of
    assert "status.json cannot be read" in fault_of(tmp_path, NOW)
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "status.json").write_text("{")
    assert "status.json cannot be read" in fault_of(tmp_path, NOW)
