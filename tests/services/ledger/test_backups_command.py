"""The list of copies: how far they reach, which are sound, and an answer that a program can read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.messages import Message
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.backup_ledgers import BackupFolder
from services.ledger.provision import ledger_path
from services.ledger.redo import segments
from services.ledger.verbs import run_verb

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ledger_file(
    start: Callable[..., Any], ask: Callable[..., Path], day: list[Message], paths: HomePaths, identity: Identity
) -> Path:
    """A ledger whose service has booked three entries: one copy, and a redo log after it."""
    ask()
    journal = start()
    for message in day[:3]:
        journal.hear(message)
    return ledger_path(paths, identity)


@pytest.fixture
def call(ledger_file: Path, paths: HomePaths, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_verb(["backups", "--ledger", str(ledger_file), *arguments], paths)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_backups_when_all_is_there_then_lists_the_copy_the_redo_log_and_how_far_they_reach(call: Call) -> None:
    code, out, err = call()
    assert (code, err) == (0, "")
    assert "copy of entry 0 (link 3)" in out
    assert "redo log from link 4" in out
    assert "every entry to 3 can be restored" in out


def test_backups_when_asked_as_json_then_one_line_with_everything(call: Call, ledger_file: Path) -> None:
    code, out, _ = call("--json", "--verify")
    assert code == 0
    listed = json.loads(out)
    assert (listed["ledger"], listed["entry"], listed["covered_link"]) == (str(ledger_file), 3, listed["link"])
    (base,) = listed["bases"]
    assert base["size_bytes"] == Path(base["file"]).stat().st_size
    assert (base["entry"], base["fault"]) == (0, "")
    assert base["recorded_at_utc"].startswith("20")
    assert [one["first_link"] for one in listed["redo"]] == [4]


def test_backups_when_a_copy_was_changed_then_only_reading_it_through_shows_it(call: Call, ledger_file: Path) -> None:
    folder = BackupFolder(ledger_file)
    base = folder.base_of(folder.manifests()[0])
    base.chmod(0o600)
    base.write_bytes(base.read_bytes()[:-1] + b"\xff")
    assert call()[0] == 0
    code, out, _ = call("--verify")
    assert code == 1
    assert f"NOT SOUND, the base {base} was changed since it was verified" in out


def test_backups_when_a_copy_is_gone_then_said(call: Call, ledger_file: Path) -> None:
    folder = BackupFolder(ledger_file)
    folder.base_of(folder.manifests()[0]).unlink()
    code, out, _ = call()
    assert code == 1
    assert "is gone, though its manifest is there" in out


def test_backups_when_the_redo_log_has_a_gap_then_says_what_could_not_be_restored(
    call: Call, ledger_file: Path
) -> None:
    for path in segments(BackupFolder(ledger_file).redo):
        path.unlink()
    code, out, _ = call()
    assert code == 1
    assert "The copies reach link 3 of 7: what is after it could not be restored" in out


def test_backups_when_there_is_no_ledger_then_says_when_it_is_made(
    paths: HomePaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(["backups", "--ledger", str(tmp_path / "none.db")], paths) == 1
    assert "it is made when the ledger service first starts" in capsys.readouterr().err


def test_backups_when_the_file_is_no_ledger_then_says_what_to_do(
    paths: HomePaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    assert run_verb(["backups", "--ledger", str(tmp_path / "broken.db")], paths) == 1
    assert "Verify it" in capsys.readouterr().err
