"""A disk that is full or fails, at each step of a write and of a copy: refused in words, and booked once afterwards."""

import errno
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bus.messages import Message
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.backup_ledgers import BackupFolder, make_base
from services.ledger.book import LedgerError
from services.ledger.failures import BackupError
from services.ledger.head_file import head_path, read_head
from services.ledger.provision import ledger_path
from services.ledger.redo import Write, read_writes
from services.ledger.verify import verify_file

#: What SQLite says of each error of the disk, and with which code.
FULL = ("database or disk is full", sqlite3.SQLITE_FULL)
FAILED = ("disk I/O error", sqlite3.SQLITE_IOERR_WRITE)
DOUBTFUL = ("disk I/O error", sqlite3.SQLITE_IOERR_FSYNC)


class FailingDisk(sqlite3.Connection):
    """Fails where a statement begins so; `is_after`: the disk has done it, and then says that it has not."""

    at = ""
    error = FULL
    is_after = False

    def _fail(self, sql: str, *, is_after: bool) -> None:
        if self.at and sql.startswith(self.at) and is_after == self.is_after:
            self.at = ""
            words, code = self.error
            failure = sqlite3.OperationalError(words)
            failure.sqlite_errorcode = code
            raise failure

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]  # as the book calls it
        self._fail(sql, is_after=False)
        found = super().execute(sql, *values)
        self._fail(sql, is_after=True)
        return found

    def executemany(self, sql: str, *values: Any) -> sqlite3.Cursor:  # type: ignore[override]  # as the book calls it
        self._fail(sql, is_after=False)
        found = super().executemany(sql, *values)
        self._fail(sql, is_after=True)
        return found


@pytest.fixture
def booked(
    start: Callable[..., Any], ask: Callable[..., Path], day: list[Message], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A service that has booked three entries, on a disk that can fail."""
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *values, **named: real(*values, factory=FailingDisk, **named))
    ask()
    journal = start()
    for message in day[:3]:
        journal.hear(message)
    return journal


STEPS = [
    ("BEGIN", False),
    *[(f"INSERT INTO {table} ", True) for table in ("posting", "lot_close", "trade_detail", "tx", "chain")],
    ("COMMIT", False),
    ("COMMIT", True),
]


@pytest.mark.parametrize("error", [FULL, FAILED, DOUBTFUL], ids=["full", "write", "sync"])
@pytest.mark.parametrize(("at", "is_after"), STEPS)
def test_entry_when_the_ledger_disk_fails_at_a_step_then_refused_and_booked_once_after_the_next_start(
    booked: Any, start: Callable[..., Any], day: list[Message], paths: HomePaths, identity: Identity,
    at: str, is_after: bool, error: tuple[str, int],
) -> None:  # fmt: skip
    disk = booked.assembly.shell._book._db
    disk.at, disk.error, disk.is_after = at, error, is_after
    with pytest.raises(LedgerError, match=f"{error[0]}.*booked whole or not at all"):
        booked.hear(day[3])
    # Nobody knows what is on the disk: nothing goes on with this connection.
    with pytest.raises((LedgerError, sqlite3.Error), match="closed"):
        booked.hear(day[3])
    booked.assembly.shell.close()
    again = start(booked.events)
    for message in (day[3], day[3], day[4]):
        again.hear(message)
    book = again.assembly.shell._book
    assert (book.last_seq(), len(again.events)) == (5, 5)
    ledger = ledger_path(paths, identity)
    writes = list(read_writes(BackupFolder(ledger).redo, book.genesis()))
    assert [write.seq for write in writes if isinstance(write, Write)] == [1, 2, 3, 4, 5]
    head = read_head(head_path(paths, identity.ledger_file))
    assert head == book.head()
    assert verify_file(ledger, head).faults == ()


@contextmanager
def no_file_grows() -> Iterator[None]:
    """Let the system refuse every write of this process to a file: for SQLite that is an error of the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_entry_when_no_file_can_grow_then_refused_and_booked_once_after_the_next_start(
    booked: Any, start: Callable[..., Any], day: list[Message]
) -> None:
    with no_file_grows(), pytest.raises(BackupError, match="cannot be written"):
        booked.hear(day[3])
    booked.assembly.shell.close()
    again = start(booked.events)
    for message in (day[3], day[3], day[4]):
        again.hear(message)
    assert (again.assembly.shell._book.last_seq(), len(again.events)) == (5, 5)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "chmod"])
def test_copy_when_the_disk_fails_then_it_does_not_count_and_the_books_go_on(
    booked: Any, day: list[Message], paths: HomePaths, identity: Identity, monkeypatch: pytest.MonkeyPatch,
    call: str, number: int,
) -> None:  # fmt: skip
    ledger = ledger_path(paths, identity)
    folder = BackupFolder(ledger)
    before = folder.manifests()

    def fail(*_values: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(BackupError, match=os.strerror(number)):
            make_base(ledger, folder)
    with no_file_grows(), pytest.raises(BackupError, match="cannot be written"):
        make_base(ledger, folder)
    assert folder.manifests() == before
    assert [path for path in folder.bases.iterdir() if "part" in path.name] == []
    booked.hear(day[3])
    assert make_base(ledger, folder).seq == 4
