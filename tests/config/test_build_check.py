"""A checkout that cannot run the bot is found before anything is started, and says what to do."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from config import build_check
from config.build_check import COA, FILES, ROOT, SCHEMA, build_faults
from config.env_bot import proposals


def test_this_checkout_can_run() -> None:
    assert build_faults() == ()


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Make a small checkout: every file that has to be there, two dependencies, and their lock."""
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in (SCHEMA, COA):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["flask>=3.1.1", "Flask-WTF>=1.3"]\n')
    (tmp_path / "requirements.lock").write_text("flask==3.1.3 \\\n    --hash=x\nflask-wtf==1.3.0 \\\n")
    return tmp_path


GOOD = {"flask": "3.1.3", "flask-wtf": "1.3.0"}


def test_checkout_that_is_whole_has_no_fault(release: Path) -> None:
    assert build_faults(release, GOOD) == ()


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_missing_is_named(release: Path, name: str) -> None:
    (release / name).unlink()

    assert any(str(release / name) in fault or "no whole checkout" in fault for fault in build_faults(release, GOOD))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (SCHEMA, "CREATE TABLE broken (", "makes no ledger"),
        (COA, "{", "cannot be read"),
        (COA, '{"accounts": []}', "is no chart of accounts"),
        (COA, '{"accounts": [{"code": "1010", "parent": "1000"}]}', "is no chart of accounts (1010)"),
    ],
)
def test_schema_or_chart_of_accounts_that_is_damaged_is_named(
    release: Path, name: str, content: str, words: str
) -> None:
    (release / name).write_text(content)

    (fault,) = build_faults(release, GOOD)

    assert str(release / name) in fault
    assert words in fault


def test_settings_that_contradict_themselves_are_named(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled = proposals() | {"MAX_OPEN_POSITIONS": "many"}
    monkeypatch.setattr(build_check, "proposals", lambda: spoiled)

    (fault,) = build_faults(release, GOOD)

    assert "MAX_OPEN_POSITIONS" in fault


def test_package_of_another_version_is_named_with_both(release: Path) -> None:
    faults = build_faults(release, {**GOOD, "flask": "3.1.0"})

    assert faults == ("flask 3.1.0 is installed, and requirements.lock has 3.1.3: run 'make setup'.",)


def test_package_that_is_not_installed_or_not_locked_is_named(release: Path) -> None:
    assert build_faults(release, {"flask": "3.1.3"}) == ("flask-wtf is not installed: run 'make setup'.",)
    (release / "requirements.lock").write_text("flask==3.1.3 \\\n")
    assert build_faults(release, GOOD) == ("flask-wtf is not in requirements.lock: run 'make lock'.",)


def test_runtime_that_is_too_old_is_named(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    monkeypatch.setattr("zmq.zmq_version_info", lambda: (4, 3, 1))
    monkeypatch.setattr("zmq.has", lambda _feature: False)
    monkeypatch.setattr(build_check, "PYTHON_MIN", (9, 0))

    words = " ".join(build_faults(release, GOOD))

    for part in ("Python", "SQLite", "libzmq", "CURVE"):
        assert part in words, part


def test_chain_of_a_checkout_that_cannot_run_is_not_started(tmp_path: Path) -> None:
    program = (
        "import config.build_check as b, bus.processes as p, sys; p.build_faults = lambda: ('flask is old.',);"
        f"sys.exit(p.main(['--home', {str(tmp_path / 'home')!r}]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 2
    assert done.stderr == "flask is old.\nNothing was started.\n"
    assert not (tmp_path / "home").exists()
