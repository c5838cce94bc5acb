"""The audit log on disk: rows that are only ever added, each sealed by the hash of itself and of the row before.

The rows are a SQLite file; how far they must reach, and with which hash, is kept outside of it in a head file. So a
row that was edited, taken out or moved shows in the chain, and an end that was cut off shows in the head.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from config.paths import HomePaths
from config.vault import Disk

HEAD_FILE: Final = "audit_head.json"
_BUSY_TIMEOUT_S: Final = 2.0
_COLUMNS: Final = ("seq", "at_utc", "actor", "address", "request", "action", "subject", "before", "after")
_LIST: Final = ", ".join(f'"{name}"' for name in (*_COLUMNS, "prev_hash", "hash"))
_SCHEMA: Final = """
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY CHECK (seq > 0), at_utc TEXT NOT NULL, actor TEXT NOT NULL, address TEXT NOT NULL,
  request TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, "before" TEXT NOT NULL, "after" TEXT NOT NULL,
  prev_hash TEXT NOT NULL, hash TEXT NOT NULL UNIQUE
) STRICT;
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_action ON audit (action, seq);
CREATE INDEX audit_time ON audit (at_utc, seq);
CREATE TRIGGER audit_never_updated BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_never_deleted BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_without_gaps BEFORE INSERT ON audit
  WHEN NEW.seq <> 1 + (SELECT coalesce(max(seq), 0) FROM audit)
  BEGIN SELECT RAISE(ABORT, 'the audit log has no gaps'); END;
"""


class AuditError(Exception):
    """The audit log cannot be read or written; the message names the file and says what to do."""


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that somebody did: who, from where, by which request, what, to what; all text, nothing secret."""

    at_utc: str
    actor: str
    address: str
    request: str
    action: str
    subject: str
    before: str = ""
    after: str = ""


class Row(Entry, frozen=True, kw_only=True):
    """An entry with its place in the chain."""

    seq: int
    prev_hash: str
    hash: str


class AuditHead(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the log must reach. `log_id` tells it from any other log; at `seq` 0 it has no row yet."""

    log_id: str
    seq: int
    hash: str


@dataclass(frozen=True)
class Verdict:
    """What a verification found. `broken_seq` is the first row that is not as it was written; None where none is."""

    rows: int
    broken_seq: int | None = None
    fault: str = ""


@dataclass(frozen=True)
class AuditFilter:
    """What to look for; an empty field lets everything pass. Times are ISO 8601 UTC, `until_utc` is not included."""

    actor: str = ""
    action: str = ""
    text: str = ""
    since_utc: str = ""
    until_utc: str = ""


def genesis_hash(log_id: str) -> str:
    """Return what the first row of a log names as the hash before it."""
    return sha256(f"tradebot audit 1 {log_id}".encode()).hexdigest()


def row_hash(entry: Entry, seq: int, prev_hash: str) -> str:
    """Return the SHA-256 of a JSON array: the hash before, and every column of the row in the order of the table."""
    values = [seq if name == "seq" else getattr(entry, name) for name in _COLUMNS]
    return sha256(msgspec.json.encode([prev_hash, *values])).hexdigest()


def chain_fault(rows: Iterator[Row], head: AuditHead) -> Verdict:
    """Check a chain from its first row on; the first row that is not what it must be ends it."""
    count, previous = 0, genesis_hash(head.log_id)
    for row in rows:
        count += 1
        if row.seq != count:
            return Verdict(count - 1, count, f"row {count} is missing: row {row.seq} stands in its place")
        if row.prev_hash != previous:
            return Verdict(count - 1, count, f"row {count} does not follow the row before it")
        if row.hash != row_hash(row, row.seq, row.prev_hash):
            return Verdict(count - 1, count, f"row {count} is not what it was when it was written")
        if row.seq == head.seq and row.hash != head.hash:
            return Verdict(count - 1, count, f"row {count} was written anew: the head outside names another hash")
        previous = row.hash
    if count < head.seq:
        return Verdict(count, count + 1, f"row {count + 1} is missing: the log once reached row {head.seq}")
    return Verdict(count)


class AuditLog:
    """The log of one home. Safe to use from several processes and threads."""

    def __init__(self, paths: HomePaths, disk: Disk | None = None) -> None:
        self.path = paths.audit / "audit.db"
        self.head_path = paths.state / HEAD_FILE
        self._lock_path = paths.audit / "LOCK"
        self._disk = disk or Disk()

    def append(self, entry: Entry) -> Row:
        """Add one row, durably, and move the head.

        Raises:
            AuditError: the disk refuses, or the log no longer reaches its head: then nothing is added.
        """
        try:
            with self._locked():
                head = self._head() or self._new_head()
                with closing(self._open(head)) as db:
                    row = _append(db, entry, head, self.path)
                self._write_head(AuditHead(log_id=head.log_id, seq=row.seq, hash=row.hash))
                return row
        except (sqlite3.Error, OSError) as error:
            raise AuditError(
                f"The audit log {self.path} cannot be written: {error}. Make room or correct the rights."
            ) from error

    def fault(self) -> str:
        """Return why nothing could be added now, or an empty text; cheap: the whole chain is `verify`'s matter."""
        try:
            with self._locked():
                head = self._head()
                if head is not None:
                    with closing(self._open(head)) as db:
                        _tip(db, head, self.path)
        except AuditError as error:
            return str(error)
        except (sqlite3.Error, OSError) as error:
            return f"The audit log {self.path} cannot be written: {error}. Make room or correct the rights."
        return ""

    def verify(self) -> Verdict:
        """Check every row, and that the log reaches its head.

        Raises:
            AuditError: a file cannot be read.
        """
        try:
            with self._locked():
                head = self._head()
                if head is None:
                    if self.path.exists():
                        return Verdict(0, 1, f"the head {self.head_path} is missing: nothing says how far rows go")
                    return Verdict(0)
                if not self.path.exists():
                    gone = "row 1 is missing: the whole log is gone"
                    return Verdict(0, 1, gone) if head.seq else Verdict(0)
                with closing(self._connect()) as db:
                    # The order is that of the file's own numbers: whoever moved rows moved them.
                    found = db.execute(f"SELECT {_LIST} FROM audit ORDER BY seq")  # noqa: S608 - fixed column names
                    return chain_fault((_row(values) for values in found), head)
        except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
            raise AuditError(f"The audit log {self.path} cannot be read: {error}.") from error

    def rows(self, wanted: AuditFilter, *, before_seq: int = 0, limit: int = 100) -> list[Row]:
        """Return matching rows, newest first; `before_seq` continues a page, 0 begins at the newest.

        Raises:
            AuditError: the file cannot be read.
        """
        where, values = _conditions(wanted)
        if before_seq:
            where.append("seq < :before_seq")
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        values |= {"before_seq": before_seq, "limit": limit}
        if not self.path.exists():
            return []
        try:
            with closing(self._connect()) as db:
                query = f"SELECT {_LIST} FROM audit {condition} ORDER BY seq DESC LIMIT :limit"  # noqa: S608 - fixed names
                return [_row(found) for found in db.execute(query, values)]
        except sqlite3.Error as error:
            raise AuditError(f"The audit log {self.path} cannot be read: {error}.") from error

    def known(self, column: str) -> list[str]:
        """Return the different actors or actions there are, in alphabetical order."""
        if column not in {"actor", "action"} or not self.path.exists():
            return []
        try:
            with closing(self._connect()) as db:
                query = f"SELECT DISTINCT {column} FROM audit ORDER BY 1"  # noqa: S608 - one of two fixed names
                return [str(found[0]) for found in db.execute(query)]
        except sqlite3.Error as error:
            raise AuditError(f"The audit log {self.path} cannot be read: {error}.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _head(self) -> AuditHead | None:
        try:
            return msgspec.json.decode(self.head_path.read_bytes(), type=AuditHead)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError:
            raise AuditError(
                f"The head of the audit log {self.head_path} is damaged. Restore it from a backup."
            ) from None

    def _new_head(self) -> AuditHead:
        if self.path.exists():
            raise AuditError(
                f"The head of the audit log {self.head_path} is missing, so nothing says how far {self.path} must "
                "reach. Restore it from a backup."
            )
        log_id = secrets.token_hex(16)
        head = AuditHead(log_id=log_id, seq=0, hash=genesis_hash(log_id))
        self._write_head(head)
        return head

    def _write_head(self, head: AuditHead) -> None:
        part = self.head_path.with_name(f".{HEAD_FILE}.part")
        self._disk.write_file(part, msgspec.json.encode(head))
        self._disk.rename(part, self.head_path)
        self._disk.sync_folder(self.head_path.parent)

    def _open(self, head: AuditHead) -> sqlite3.Connection:
        if self.path.exists():
            return self._connect()
        if head.seq:
            raise AuditError(f"The audit log {self.path} is missing. Restore it from a backup; it is never made anew.")
        # Made under another name: a crash between the file and its table must not leave a log that nobody can use.
        part = self.path.with_name("audit.part")
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(part)) as db:
            db.executescript(_SCHEMA)
        self._disk.rename(part, self.path)
        self._disk.sync_folder(self.path.parent)
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        db.execute("PRAGMA synchronous = EXTRA")
        return db


def _append(db: sqlite3.Connection, entry: Entry, head: AuditHead, path: Path) -> Row:
    db.execute("BEGIN IMMEDIATE")
    seq, prev_hash = _tip(db, head, path)
    row = Row(
        **msgspec.structs.asdict(entry), seq=seq + 1, prev_hash=prev_hash, hash=row_hash(entry, seq + 1, prev_hash)
    )
    values = [getattr(row, name) for name in (*_COLUMNS, "prev_hash", "hash")]
    db.execute(f"INSERT INTO audit ({_LIST}) VALUES ({','.join('?' * len(values))})", values)  # noqa: S608 - fixed names
    db.execute("COMMIT")
    return row


def _tip(db: sqlite3.Connection, head: AuditHead, path: Path) -> tuple[int, str]:
    """Return number and hash of the newest row, once the row that the head names is found to be there."""
    found = db.execute("SELECT hash FROM audit WHERE seq = ?", (head.seq,)).fetchone()
    if head.seq and (found is None or found[0] != head.hash):
        raise AuditError(
            f"The audit log {path} no longer has row {head.seq} as it was written. Verify it with 'python -m "
            "services.web verify-audit', and restore it from a backup."
        )
    newest = db.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return (int(newest[0]), str(newest[1])) if newest else (0, head.hash)


def _row(values: tuple[Any, ...]) -> Row:
    return Row(**dict(zip((*_COLUMNS, "prev_hash", "hash"), values, strict=True)))


def _conditions(wanted: AuditFilter) -> tuple[list[str], dict[str, Any]]:
    text = wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    parts: Mapping[str, tuple[str, str]] = {
        "actor": (wanted.actor, "actor = :actor"),
        "action": (wanted.action, "action = :action"),
        "since": (wanted.since_utc, "at_utc >= :since"),
        "until": (wanted.until_utc, "at_utc < :until"),
        "text": (
            f"%{text}%" if text else "",
            "(subject LIKE :text ESCAPE '\\' OR \"before\" LIKE :text ESCAPE '\\' OR \"after\" LIKE :text ESCAPE '\\' "
            "OR address LIKE :text ESCAPE '\\')",
        ),
    }
    used = {name: (value, sql) for name, (value, sql) in parts.items() if value}
    return [sql for _, sql in used.values()], {name: value for name, (value, _) in used.items()}
