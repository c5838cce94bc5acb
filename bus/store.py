"""One SQLite file per service: journal, outbox, cursors. State change, outbox rows and cursor commit together."""

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from bus.codec import MalformedMessageError, decode_message, encode_message
from bus.delivery import ROWS_IN_MEMORY, InboxCursor, OutboxLink, OutboxRow
from bus.failpoints import Failpoint
from bus.messages import Message, StoppedStream, StreamResolved

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, ts_ns INTEGER NOT NULL, type TEXT NOT NULL,
    payload BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outbox (receiver TEXT NOT NULL, seq INTEGER NOT NULL, step INTEGER NOT NULL,
    payload BLOB NOT NULL, PRIMARY KEY (receiver, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS acked (receiver TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursor (sender TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stopped (sender TEXT PRIMARY KEY, rule TEXT NOT NULL, seq INTEGER NOT NULL,
    detail TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS command (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (id INTEGER PRIMARY KEY, sender TEXT NOT NULL, reason TEXT NOT NULL,
    payload BLOB NOT NULL) STRICT;
"""

_WHOLE_JOURNAL: Final = "SELECT id, payload FROM journal ORDER BY id"
_QUARANTINE_MAX: Final = 1_000
#: SQLite moves the log into the file, and begins it again, once it has 1,000 pages of 4 KiB.
_LOG_BYTES: Final = 4 * 1024 * 1024
_SPILLING_PAGES: Final = 20
#: SQLite's own default: 2,000 KiB.
_CACHE_PAGES: Final = -2_000
#: What SQLite says when it is the disk that has failed, and not a row or another process.
_DISK_FAILED: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
)
Synchronous = Literal["NORMAL", "FULL"]


class StoreError(Exception):
    """A service's own file cannot be used; the message names it and says what to do."""


class Store:
    """The durable side of one service; one connection, one writer.

    Args:
        path: the SQLite file, or ":memory:" for a chain in one process.
        synchronous: FULL where a power cut must not lose a commit (execution, ledger), else NORMAL.
        connection: the kind of connection to open; tests give one whose disk fails.
    """

    def __init__(
        self,
        path: Path | Literal[":memory:"],
        synchronous: Synchronous,
        connection: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        self.path = path
        self._midway = Failpoint(f"{path.stem if isinstance(path, Path) else 'memory'}.transaction")
        try:
            self._db = sqlite3.connect(path, isolation_level=None, cached_statements=64, factory=connection)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={synchronous}")
            self._db.execute("PRAGMA busy_timeout=2000")
            self._check_pages()
            self._db.executescript(_SCHEMA)
            if synchronous == "FULL":
                self._lay_out_log()
            row = self._db.execute("SELECT value FROM meta WHERE key='epoch'").fetchone()
            if row is None:
                self.epoch = secrets.token_hex(8)
                self._db.execute("INSERT INTO meta VALUES ('epoch', ?)", (self.epoch,))
            else:
                self.epoch = str(row[0])
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"The service's file {path} cannot be opened: {error}. Stop the chain and restore the file from a "
                "backup; the ledger and the broker's books are not in it."
            ) from error

    def events(self) -> Iterator[Message]:
        """Yield the whole journal in order.

        Raises:
            StoreError: a row is damaged or of another version.
        """
        yield from _decoded(self._db, self.path)

    def links(self, receivers: Sequence[str], now_ns: int) -> dict[str, OutboxLink]:
        """Return the sending end of each stream as it was committed."""
        links = {}
        for receiver in receivers:
            acked = self._one("SELECT seq FROM acked WHERE receiver=?", receiver)
            last = max(acked, self._one("SELECT coalesce(max(seq), 0) FROM outbox WHERE receiver=?", receiver))
            kept = self._db.execute("SELECT value FROM meta WHERE key=?", (f"base:{receiver}",)).fetchone()
            base = last if kept is None else int(kept[0])
            # What is made from now on was never sent before this receiver has agreed, however often we die until then.
            self.keep_base(receiver, base)
            link = OutboxLink(acked=acked, last=last, base=base)
            link.refill(self.outbox_after(receiver, acked), now_ns)
            links[receiver] = link
        return links

    def outbox_after(self, receiver: str, seq: int) -> Iterator[OutboxRow]:
        """Yield the next rows of one stream in order, as many as memory may hold."""
        query = "SELECT seq, step, payload FROM outbox WHERE receiver=? AND seq>? ORDER BY seq LIMIT ?"
        for row in self._db.execute(query, (receiver, seq, ROWS_IN_MEMORY)):
            yield OutboxRow(*row)

    def keep_base(self, receiver: str, base: int) -> None:
        """Remember what this stream had before its receiver agreed to it, until it does: see `Standing.base`."""
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (f"base:{receiver}", str(base)))

    def drop_base(self, receiver: str) -> None:
        """Forget it: the receiver agrees again."""
        self._db.execute("DELETE FROM meta WHERE key=?", (f"base:{receiver}",))

    def stopped(self) -> dict[str, StoppedStream]:
        """Return the streams that this receiver takes nothing from, by their sender."""
        rows = self._db.execute("SELECT sender, rule, seq, detail FROM stopped")
        return {row[0]: StoppedStream(sender=row[0], rule=row[1], seq=row[2], detail=row[3]) for row in rows}

    def stop_stream(self, stop: StoppedStream, payload: bytes) -> None:
        """Take nothing more from a sender until an operator decides, and keep the bytes that were the reason."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO stopped VALUES (?, ?, ?, ?)", (stop.sender, stop.rule, stop.seq, stop.detail)
            )
            self._keep(stop.sender, stop.detail, payload)

    def resolve_stream(self, event: StreamResolved) -> bool:
        """Let a stream go on after `event.seq`; False when this command was carried out before.

        The command's id, the cursor and the journal change together or not at all.
        """
        with self._transaction() as db:
            is_new = db.execute("INSERT OR IGNORE INTO command VALUES (?)", (event.command_id,)).rowcount == 1
            if is_new:
                self._journal([event])
                db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", (event.sender, event.epoch, event.seq))
                db.execute("DELETE FROM stopped WHERE sender=?", (event.sender,))
        return is_new

    def take_command(self, command_id: str) -> bool:
        """Keep the id of an operator's command before it is carried out; False when it was there already."""
        with self._transaction() as db:
            return db.execute("INSERT OR IGNORE INTO command VALUES (?)", (command_id,)).rowcount == 1

    def cursors(self, senders: Sequence[str]) -> dict[str, InboxCursor]:
        """Return the receiving end of each stream as it was committed."""
        known = {s: (e, q) for s, e, q in self._db.execute("SELECT sender, epoch, seq FROM cursor")}
        return {sender: InboxCursor(*known.get(sender, ("", 0))) for sender in senders}

    def commit(
        self,
        events: Sequence[Message],
        outgoing: Sequence[tuple[str, OutboxRow]],
        cursor: tuple[str, str, int] | None,
    ) -> None:
        """Commit all of it or nothing.

        Args:
            events: appended to the journal.
            outgoing: (receiver, row) pairs for the outbox.
            cursor: (sender, epoch, seq) of the message that caused it, or None.
        """
        with self._transaction() as db:
            self._journal(events)
            with self._midway:
                for receiver, row in outgoing:
                    db.execute("INSERT INTO outbox VALUES (?, ?, ?, ?)", (receiver, row.seq, row.step, row.payload))
            if cursor:
                db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", cursor)

    def forget_acked(self, acked: dict[str, int]) -> None:
        """Drop the outbox rows that receivers have acknowledged: receiver -> the newest number it has."""
        with self._transaction() as db:
            for receiver, seq in acked.items():
                db.execute("INSERT OR REPLACE INTO acked VALUES (?, ?)", (receiver, seq))
                db.execute("DELETE FROM outbox WHERE receiver=? AND seq<=?", (receiver, seq))

    def quarantine(self, sender: str, reason: str, payload: bytes) -> None:
        """Keep bytes that could not be taken, for a person to look at; at most 1,000 of them.

        What stops a stream is kept beyond that: see `stop_stream`.
        """
        if self._db.execute("SELECT count(*) FROM quarantine").fetchone()[0] < _QUARANTINE_MAX:
            self._keep(sender, reason, payload)

    def _keep(self, sender: str, reason: str, payload: bytes) -> None:
        self._db.execute("INSERT INTO quarantine (sender, reason, payload) VALUES (?, ?, ?)", (sender, reason, payload))

    def _journal(self, events: Sequence[Message]) -> None:
        for event in events:
            self._db.execute(
                "INSERT INTO journal (ts_ns, type, payload) VALUES (?, ?, ?)",
                (event.ts_init, type(event).__name__, encode_message(event)),
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit all that is done inside the block, or nothing of it."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            roll_back(self._db, error)
            raise

    def _check_pages(self) -> None:
        """Read every page: a damaged one would show itself only where it is used, perhaps in mid-session."""
        damage = [str(found[0]) for found in self._db.execute("PRAGMA quick_check(3)")]
        if damage != ["ok"]:
            raise sqlite3.DatabaseError("; ".join(damage))

    def _lay_out_log(self) -> None:
        """Let the write-ahead log have its size from the start: a sync of what overwrites costs half of an append.

        What does not fit into the cache goes to the log before it is committed. It never is, so the next commit begins
        at the start of the log.
        """
        self._db.execute(f"PRAGMA cache_size={_SPILLING_PAGES}")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO quarantine (sender, reason, payload) VALUES ('', '', zeroblob(?))", (_LOG_BYTES,))
        self._db.execute("ROLLBACK")
        self._db.execute(f"PRAGMA cache_size={_CACHE_PAGES}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _one(self, query: str, argument: str) -> int:
        row = self._db.execute(query, (argument,)).fetchone()
        return int(row[0]) if row else 0


def roll_back(db: sqlite3.Connection, error: BaseException) -> None:
    """Undo an open transaction after an error; close the connection when the disk has failed under it.

    After a write or a sync that failed nobody knows what is on the disk, and a second sync may succeed without having
    written anything. So nothing goes on with that connection: the process ends, and the next one reads the file anew.
    """
    with suppress(sqlite3.Error):
        # A full disk may have ended the transaction already, and a second error must not hide the first.
        if db.in_transaction:
            db.execute("ROLLBACK")
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF in _DISK_FAILED:
        db.close()


def read_journal(
    path: Path, kinds: Sequence[type[Message]] = (), *, about: Sequence[str] = (), newest: int | None = None
) -> list[Message]:
    """Return the events of a service's journal in order, read-only: for reports, beside a service that goes on.

    Args:
        path: the service's file.
        kinds: the types wanted; none = all.
        about: ids of which an event must hold at least one, in any of its fields; none = all.
        newest: at most so many, the newest; None = all.

    Raises:
        StoreError: no such file, or it is not a journal.
    """
    if not path.is_file():
        raise StoreError(f"There is no journal at {path}: has this chain ever run in this home?")
    names = [kind.__name__ for kind in kinds]
    where = [f"type IN ({','.join('?' * len(names))})"] if names else []
    where += [f"({' OR '.join(['instr(payload, ?) > 0'] * len(about))})"] if about else []
    chosen = f"SELECT id, payload FROM journal WHERE {' AND '.join(where or ['true'])}"  # noqa: S608 - question marks only
    query = f"SELECT * FROM ({chosen} ORDER BY id DESC LIMIT ?) ORDER BY id"  # noqa: S608 - as above
    # A negative limit is none to SQLite.
    values: tuple[str | bytes | int, ...] = (
        *names,
        *(part.encode() for part in about),
        -1 if newest is None else newest,
    )
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            return list(_decoded(db, path, query, values))
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        raise StoreError(f"The journal {path} cannot be read: {error}") from error


def _decoded(
    db: sqlite3.Connection, path: Path | str, query: str = _WHOLE_JOURNAL, values: Sequence[str | bytes | int] = ()
) -> Iterator[Message]:
    for row, payload in db.execute(query, values):
        try:
            yield decode_message(payload)
        except MalformedMessageError as error:
            raise StoreError(
                f"Row {row} of the journal {path} is damaged or of another version ({error}). Stop the chain and "
                "restore the file from a backup, or start with a new home."
            ) from error
