"""What the whole source tree keeps: no credential in it, logs that nobody reads back, parts that start alone."""

import ast
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from canaries import SESSION_KEY

from bus.exit_codes import EXIT_CONFIGURATION
from bus.keys import make_pairs
from bus.routes import SERVICES
from config.env_bot import proposals
from config.identity import Identity
from config.paths import HOME_VARIABLE, HomePaths
from config.vault import Secrets, Vault

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("bus", "config", "services", "supervisor", "replay", "scripts", "deploy", ".ci")
#: What a real credential looks like: keys of providers, private keys, Fernet and CURVE keys, passwords in addresses.
CREDENTIALS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:PK|AK|CK)(?!SIMULATOR)[A-Z0-9]{18}\b|\bAKIA[A-Z0-9]{16}\b|\bgh[pousr]_\w{36}|"
    r"['\"][A-Za-z0-9_\-]{43}=['\"]|://[^\s/:@'\"{}]+:[^\s/@'\"{}]+@|AGE-SECRET-KEY-1[A-Z0-9]{20}"
)
#: Who may read a log: the page that shows them to people.
LOG_READERS = {"services/web/log_files.py"}
READING = {"read_text", "read_bytes", "open", "readlines"}
WRITING = {"a", "ab", "w", "wb", "x", "xb"}


def _sources(*suffixes: str) -> list[Path]:
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in suffixes)
    return sorted(path for path in found if "__pycache__" not in path.parts)


def test_sources_when_searched_then_hold_nothing_that_looks_like_a_credential() -> None:
    sources = _sources(".py", ".sh", ".json", ".yml", ".conf", ".service", ".sql", ".html", ".js", "")
    assert len(sources) > 300
    hits = {
        f"{path.relative_to(ROOT)}: {found[0][:12]}…"
        for path in sources
        if path.is_file() and (found := CREDENTIALS.search(path.read_text(encoding="utf-8")))
    }
    assert hits == set()


def test_the_search_for_credentials_when_one_is_there_then_finds_it() -> None:
    for planted in (
        '"' + "A" * 43 + '="',
        "PK" + "A1" * 9,
        "https://" + "me:pw" + "@host",
        "-----BEGIN RSA PRIVATE KEY",
    ):
        assert CREDENTIALS.search(planted)


def _reads(tree: ast.Module) -> list[int]:
    """Return the lines of calls that read a file whose name is made of a log's."""
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name not in READING:
            continue
        words = ast.unparse(call)
        modes = {node.value for node in ast.walk(call) if isinstance(node, ast.Constant)}
        if re.search(r"\blogs\b|\.log\b|_log\b|summaries|\btrades\b", words) and not modes & WRITING:
            found.append(call.lineno)
    return found


def test_logs_reports_and_trade_files_when_written_then_no_part_of_the_bot_reads_them_back() -> None:
    readers = {
        path.relative_to(ROOT).as_posix(): lines
        for path in _sources(".py")
        if path.parts[len(ROOT.parts)] in {"bus", "config", "services", "supervisor"}
        and (lines := _reads(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert {name: lines for name, lines in readers.items() if name not in LOG_READERS} == {}


def test_the_search_for_readers_of_logs_when_there_is_one_then_finds_it() -> None:
    assert _reads(ast.parse('x = (paths.logs / "open.log").read_text()')) == [1]
    assert _reads(ast.parse('open(folder / "unresolved_orders.log", "a")')) == []


def _home(folder: Path, **settings: str) -> HomePaths:
    paths = HomePaths(folder / "h")
    paths.make()
    if settings:
        Vault(paths).provision(
            Secrets(
                generation=0,
                settings=proposals() | settings,
                identity=Identity(
                    entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="B01"
                ),
                users=(),
                credentials={"web_session_key": SESSION_KEY},
                coa={},
                curve=make_pairs(),
            )
        )
    return paths


def _alone(service: str, paths: HomePaths) -> subprocess.CompletedProcess[str]:
    program = [str(ROOT / "supervisor" / "watchdog_bot.py")] if service == "watchdog" else ["-m", f"services.{service}"]
    return subprocess.run(
        [sys.executable, *program, "--self-check"],
        cwd=ROOT,
        env={**os.environ, HOME_VARIABLE: str(paths.root), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "web"])
def test_a_service_when_started_alone_on_an_unconfigured_home_then_says_so_and_ends(
    tmp_path: Path, service: str
) -> None:
    done = _alone(service, _home(tmp_path))
    assert done.returncode == EXIT_CONFIGURATION
    assert "is not configured" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("service", ["screener", "strategy", "risk", "execution"])
def test_a_service_when_a_setting_is_malformed_then_ends_with_the_code_and_the_name_of_the_key(
    tmp_path: Path, service: str
) -> None:
    done = _alone(service, _home(tmp_path, MAX_OPEN_POSITIONS="many"))
    assert done.returncode == EXIT_CONFIGURATION
    assert "MAX_OPEN_POSITIONS" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("service", ["screener", "strategy", "risk", "execution", "ledger", "holdings"])
def test_a_service_when_imported_then_brings_no_web_library_along(service: str) -> None:
    web = "{'flask', 'waitress', 'services.web'}"
    code = f"import sys, services.{service}.shell; print(sorted({web} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_setup_when_python_is_too_old_then_refused_with_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "--always-make", "setup", f"PYTHON={old}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "TradeBot needs Python 3.11 or newer" in done.stdout


def test_files_to_leave_out_of_a_copy_when_compared_with_a_home_then_cover_all_that_is_secret(tmp_path: Path) -> None:
    paths = _home(tmp_path, MAX_OPEN_POSITIONS="4")
    lines = (ROOT / ".scpignore_deploy").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    secret = [path for folder in (paths.keys, paths.secrets, paths.secrets_backups) for path in folder.rglob("*")]
    names = [path.name for path in secret if path.is_file() and path.suffix in {".enc", ".key"}]
    assert len(names) > 10
    assert [name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)] == []
    assert {"home/", "home-*/", ".git/"} <= set(patterns)


def test_sources_when_searched_for_ways_to_move_money_then_name_no_request_that_does() -> None:
    ways = re.compile(r"ach_relationships|/transfers|/wallets|/journals|cash_transfer", re.IGNORECASE)
    brokers = sorted((ROOT / "services" / "execution").rglob("*.py"))
    assert len(brokers) > 40
    found = [str(path) for path in brokers if ways.search(path.read_text(encoding="utf-8"))]
    assert found == []
