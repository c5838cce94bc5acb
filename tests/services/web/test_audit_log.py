"""The audit log: whatever is edited, taken out, moved or cut off, the verifier names the first row that is wrong."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from config.paths import HomePaths
from config.vault import Disk
from services.web.audit_log import AuditError, AuditFilter, AuditHead, AuditLog, Entry, Verdict

ROOT = Path(__file__).resolve().parents[3]


def entry(number: int, **changes: str) -> Entry:
    values = {
        "at_utc": f"2025-03-12T13:{number // 60:02d}:{number % 60:02d}.000Z",
        "actor": "adam" if number % 2 else "olga",
        "address": "127.0.0.1",
        "request": "POST /settings",
        "action": "settings_saved" if number % 3 else "logged_in",
        "subject": f"SETTING_{number}",
        "before": str(number),
        "after": str(number + 1),
    }
    return Entry(**{**values, **changes})


@pytest.fixture
def log(home: HomePaths) -> AuditLog:
    made = AuditLog(home)
    for number in range(1, 11):
        made.append(entry(number))
    return made


def tamper(log: AuditLog, *statements: str) -> None:
    """Change the file as somebody would who can write it: without its triggers."""
    db = sqlite3.connect(log.path)
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def swap(log: AuditLog, one: int, other: int) -> None:
    tamper(
        log,
        f"UPDATE audit SET seq = 1000 WHERE seq = {one}",
        f"UPDATE audit SET seq = {one} WHERE seq = {other}",
        f"UPDATE audit SET seq = {other} WHERE seq = 1000",
    )


def test_verify_when_nothing_was_touched_then_every_row_is_sound(log: AuditLog) -> None:
    assert log.verify() == Verdict(10)
    assert log.fault() == ""


@pytest.mark.parametrize(
    "column", ["at_utc", "actor", "address", "request", "action", "subject", "before", "after", "prev_hash", "hash"]
)
@pytest.mark.parametrize("seq", [1, 5, 10])
def test_verify_when_one_cell_is_edited_then_names_its_row(log: AuditLog, column: str, seq: int) -> None:
    tamper(log, f"UPDATE audit SET \"{column}\" = 'other' WHERE seq = {seq}")
    verdict = log.verify()
    assert (verdict.rows, verdict.broken_seq) == (seq - 1, seq)


@pytest.mark.parametrize("seq", [1, 5, 10])
def test_verify_when_a_row_is_deleted_then_names_it(log: AuditLog, seq: int) -> None:
    tamper(log, f"DELETE FROM audit WHERE seq = {seq}")
    assert log.verify().broken_seq == seq


@pytest.mark.parametrize("seq", [1, 5, 10])
def test_verify_when_a_row_is_deleted_and_the_rest_moved_up_then_names_it(log: AuditLog, seq: int) -> None:
    tamper(log, f"DELETE FROM audit WHERE seq = {seq}")
    for later in range(seq + 1, 11):
        tamper(log, f"UPDATE audit SET seq = {later - 1} WHERE seq = {later}")
    assert log.verify().broken_seq == seq


@pytest.mark.parametrize(("one", "other"), [(1, 2), (3, 7), (9, 10)])
def test_verify_when_two_rows_are_swapped_then_names_the_first(log: AuditLog, one: int, other: int) -> None:
    swap(log, one, other)
    assert log.verify().broken_seq == one


@pytest.mark.parametrize("kept", [0, 4, 9])
def test_verify_when_the_end_is_cut_off_then_names_the_first_that_is_gone(log: AuditLog, kept: int) -> None:
    tamper(log, f"DELETE FROM audit WHERE seq > {kept}")
    verdict = log.verify()
    assert (verdict.rows, verdict.broken_seq) == (kept, kept + 1)


def test_append_when_the_end_was_cut_off_then_refuses_to_cover_it(log: AuditLog) -> None:
    tamper(log, "DELETE FROM audit WHERE seq > 4")
    with pytest.raises(AuditError, match=r"no longer has row 10.*verify-audit"):
        log.append(entry(11))
    assert "no longer has row 10" in log.fault()
    assert log.verify().broken_seq == 5


def test_verify_when_the_whole_log_was_written_anew_then_the_head_tells(log: AuditLog, tmp_path: Path) -> None:
    other_home = HomePaths(tmp_path / "other")
    other_home.make()
    other = AuditLog(other_home)
    for number in range(1, 12):
        other.append(entry(number))
    log.path.write_bytes(other.path.read_bytes())
    assert log.verify().broken_seq == 1


def test_log_when_its_file_is_gone_then_is_never_made_anew(log: AuditLog) -> None:
    log.path.unlink()
    assert log.verify().broken_seq == 1
    with pytest.raises(AuditError, match=r"missing.*never made anew"):
        log.append(entry(11))
    assert not log.path.exists()


def test_log_when_its_head_is_gone_or_damaged_then_says_so_and_takes_nothing(log: AuditLog) -> None:
    log.head_path.write_bytes(b"{")
    assert "head of the audit log" in log.fault()
    log.head_path.unlink()
    assert log.verify().broken_seq == 1
    with pytest.raises(AuditError, match=r"head of the audit log.*is missing"):
        log.append(entry(11))


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET after = 'x'", "DELETE FROM audit", "DELETE FROM audit WHERE 0"]
)
def test_rows_when_changed_by_sql_then_the_file_itself_refuses(log: AuditLog, statement: str) -> None:
    db = sqlite3.connect(log.path)
    if statement.endswith("WHERE 0"):
        with pytest.raises(sqlite3.IntegrityError, match="no gaps"):
            db.execute("INSERT INTO audit SELECT 99, 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'h'")
    else:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.close()


class CutDisk(Disk):
    """Loses its power at one operation."""

    def __init__(self, stop_at: int) -> None:
        self._left = stop_at

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError(5, "Input/output error")

    def write_file(self, path: Path, content: bytes) -> None:
        self._step()
        super().write_file(path, content)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        super().sync_folder(folder)


@pytest.mark.parametrize("stop_at", range(8))
def test_append_when_the_disk_fails_at_any_step_then_the_log_stays_sound_and_goes_on(
    home: HomePaths, stop_at: int
) -> None:
    with pytest.raises(AuditError, match="cannot be written"):
        AuditLog(home, CutDisk(stop_at)).append(entry(1))
    log = AuditLog(home)
    assert log.verify().fault == ""
    log.append(entry(2))
    assert log.verify().fault == ""
    assert log.rows(AuditFilter())[0].subject == "SETTING_2"


def test_append_when_many_write_at_once_then_no_row_is_lost_or_doubled(home: HomePaths) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 5):
            AuditLog(home).append(entry(number))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = AuditLog(home)
    assert log.verify() == Verdict(20)
    assert len({row.subject for row in log.rows(AuditFilter())}) == 20
    head = msgspec.json.decode(log.head_path.read_bytes(), type=AuditHead)
    assert head.seq == 20


def test_rows_when_filtered_and_paged_then_are_the_newest_that_match(log: AuditLog) -> None:
    def seqs(**wanted: str) -> list[int]:
        return [row.seq for row in log.rows(AuditFilter(**wanted))]

    assert seqs() == list(range(10, 0, -1))
    assert seqs(actor="adam") == [9, 7, 5, 3, 1]
    assert seqs(action="logged_in", actor="olga") == [6]
    assert seqs(since_utc="2025-03-12T13:00:03", until_utc="2025-03-12T13:00:05.000Z") == [4, 3]
    assert seqs(text="setting_1") == [10, 1]
    assert seqs(text="%") == []
    assert seqs(text="' OR 1=1 --") == []
    assert [row.seq for row in log.rows(AuditFilter(), before_seq=4, limit=2)] == [3, 2]
    assert log.known("actor") == ["adam", "olga"]
    assert log.known("action") == ["logged_in", "settings_saved"]


@pytest.fixture
def verify(home: HomePaths) -> Callable[[], subprocess.CompletedProcess[str]]:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.web", "verify-audit"],
            cwd=ROOT,
            env={**os.environ, "TRADEBOT_HOME": str(home.root)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_command_when_run_then_names_the_first_broken_row_and_its_exit_says_so(
    log: AuditLog, verify: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    found = verify()
    assert (found.returncode, found.stderr) == (0, "")
    assert "10 rows, every one as it was written" in found.stdout
    tamper(log, "UPDATE audit SET actor = 'somebody' WHERE seq = 7")
    found = verify()
    assert found.returncode == 1
    assert "row 7 is not what it was when it was written. The 6 rows before it" in found.stderr
