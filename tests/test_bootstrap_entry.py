"""The configuration page is the only way to a configured home: no command line makes users, keys, a chart or a ledger.

A replay plays in a temporary folder that is removed with it, which is no home of a bot; the demonstration and TEST_MODE
fill in the same page as a person does. A second host is given what the page of the first one has made.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.paths import HOME_VARIABLE, HomePaths
from config.vault import Vault

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("bus", "config", "services", "supervisor", "replay", "scripts")
#: Who may call what makes a bot, with the reason in the module's docstring or in the one above.
MAKERS = {
    "provision": {"services/web/configuration_web.py", "config/second_host.py"},
    "create_ledger": {"services/ledger/provision.py"},
    "added": {"services/web/registration_web.py", "services/web/users_web.py"},
}
#: Who names the request for a ledger: the page that writes it, the service that takes it, the temporary home.
REQUESTERS = {
    "services/web/configuration_web.py",
    "services/ledger/provision.py",
    "replay/local.py",
}
COMMANDS = [
    *(
        f"-m services.{name} --self-check"
        for name in ("screener", "strategy", "risk", "execution", "ledger", "holdings")
    ),
    "-m services.web --self-check",
    "-m services.web verify-audit",
    *(f"-m services.ledger {verb}" for verb in ("verify", "backup", "drill", "export-ofx", "upgrade", "report")),
    "-m services.screener build-universe",
    "-m services.screener screen",
    "-m config doctor --offline",
    "-m bus.processes --write",
    "-m bus.second_host join",
    "-m replay report --date 2025-03-12",
    "supervisor/auto_backup.py make",
    "supervisor/after_close.py",
]


def _calls(source: str) -> set[str]:
    nodes = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in nodes}


def _has_content(path: Path) -> bool:
    """Tell a file that says something from a lock, which is empty or has a process's number."""
    return path.is_file() and path.name != "LOCK" and path.stat().st_size > 0


def _sources() -> dict[str, str]:
    found = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in found}


def test_what_makes_a_bot_when_searched_for_then_only_the_pages_call_it() -> None:
    sources = _sources()
    for maker, allowed in MAKERS.items():
        assert {name for name, source in sources.items() if maker in _calls(source)} == allowed, maker
    named = {name for name, source in sources.items() if '"provision_ledger.json"' in source}
    assert named == REQUESTERS


def test_a_temporary_home_when_a_replay_opens_its_ledger_then_is_a_folder_that_goes_with_it() -> None:
    callers = {name for name, source in _sources().items() if {"play", "play_in", "play_days"} & _calls(source)}
    for name in callers - {"replay/local.py", "replay/run.py"}:
        assert name.startswith("replay/"), name
        assert "TemporaryDirectory" in (ROOT / name).read_text(encoding="utf-8") or "play_in" not in _calls(name), name


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_line_when_run_on_a_new_home_then_nothing_of_a_bot_is_made(command: str, tmp_path: Path) -> None:
    paths = HomePaths(tmp_path / "h")
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=ROOT,
        env={**os.environ, HOME_VARIABLE: str(paths.root), "PYTHONSAFEPATH": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert not Vault(paths).is_provisioned()
    made = {path.relative_to(paths.root).as_posix() for path in paths.root.rglob("*") if _has_content(path)}
    parts = ("storage/", "entities/", "state/", "audit/", "backups/")
    assert {name for name in made if name.startswith(parts) or "provision" in name} == set(), done.stdout + done.stderr
