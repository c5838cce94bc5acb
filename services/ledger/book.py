"""The ledger file: one SQLite connection that checks, posts and reads. The triggers have the last word."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bus.failpoints import Failpoint
from bus.messages import EntryPosted, PostingLine
from bus.store import roll_back
from config.identity import Identity
from services.ledger import accounts
from services.ledger.coa_utils_ledger import coa_faults, schema_faults
from services.ledger.lots import Lot, LotMove, closes_of, lot_move

BUSY_TIMEOUT_MS = 5_000
#: Before it the lines of an entry are in the file and its lots are not; after it all is but the header that seals it.
_POSTING = Failpoint("ledger.posting")
_REMEDY = "Trading stays stopped. Restore the ledger from its folder's backups/, or ask the one who changed it."
#: What the service's own connection may never do once it is open.
_FORBIDDEN_ACTIONS = frozenset(
    {
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_DROP_TRIGGER,
        sqlite3.SQLITE_DROP_VIEW,
        sqlite3.SQLITE_PRAGMA,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
    }
)


class LedgerError(Exception):
    """The ledger file cannot be used or refused an entry; the message says what, where and what to do."""


class Balance(Struct, frozen=True, kw_only=True):
    """One account's balance in one commodity, in that commodity's scale: debit positive."""

    code: str
    name: str
    type: str
    commodity: str
    amount: int


class Book:
    """An open ledger. Made by `open_book`; `close` it."""

    def __init__(self, path: Path, db: sqlite3.Connection, *, is_buffered: bool = False) -> None:
        self._path = path
        self._db = db
        self._is_buffered = is_buffered
        #: The newest entry of a buffered book, which nobody else writes to; None before the first is written.
        self._newest: int | None = None

    def close(self) -> None:
        """Release the file; a buffered book is committed before."""
        if self._is_buffered and self._db.in_transaction:
            self._db.execute("COMMIT")
        self._db.close()

    def last_seq(self) -> int:
        """Return the number of the newest entry, 0 in an empty ledger."""
        return self._number("SELECT coalesce(max(seq), 0) FROM tx")

    def source_of(self, seq: int) -> str:
        """Return the source event id of an entry, empty where there is none."""
        row = self._db.execute("SELECT source_event_id FROM tx WHERE seq = ?", (seq,)).fetchone()
        return "" if row is None else str(row[0])

    def entries(self) -> Iterator[EntryPosted]:
        """Yield every entry, oldest first; `ts_init` is when it was recorded."""
        for (seq,) in self._db.execute("SELECT seq FROM tx ORDER BY seq"):
            yield self._read(seq)

    def balances(self) -> tuple[Balance, ...]:
        """Return every account that was used, by code, and by commodity within it."""
        rows = self._db.execute(
            "SELECT p.account_code, a.name, a.type, p.commodity, sum(p.amount) FROM posting AS p "
            "JOIN coa_metadata AS m JOIN coa_account AS a ON a.version = m.coa_version AND a.code = "
            "p.account_code "
            "GROUP BY p.account_code, p.commodity ORDER BY p.account_code, p.commodity"
        )
        return tuple(
            Balance(code=code, name=name, type=kind, commodity=commodity, amount=amount)
            for code, name, kind, commodity, amount in rows
        )

    def totals(self) -> dict[str, int]:
        """Return the sum of all postings of each commodity; in a sound ledger every one is 0."""
        return dict(self._db.execute("SELECT commodity, sum(amount) FROM posting GROUP BY commodity ORDER BY 1"))

    def open_units(self) -> dict[str, int]:
        """Return the units in custody of each commodity that has any."""
        rows = self._db.execute(
            "SELECT commodity, sum(amount) FROM posting WHERE account_code = ? GROUP BY commodity HAVING "
            "sum(amount) <> 0",
            (accounts.UNITS_IN_CUSTODY,),
        )
        return dict(rows)

    def open_cost(self) -> int:
        """Return the cost of all open lots in micro-dollars."""
        return self._number(
            "SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code = ?",
            (accounts.EQUITIES_AT_COST,),
        )

    def post(self, entry: EntryPosted) -> None:
        """Write an entry, with its lots, in one transaction; one that is there already is only verified.

        Raises:
            LedgerError: the stored entry differs, entries are missing before it, or the ledger refuses it.
            BrokenEntryError: the entry contradicts the open lots.
        """
        try:
            stored = self._find(entry.source_event_id)
            if stored is None:
                self._write(entry)
                return
        except sqlite3.Error as error:
            raise LedgerError(
                f"The ledger {self._path} refused entry {entry.seq} ({entry.source_event_id}): {error}. "
                "No part of it was written: it is booked whole or not at all."
            ) from error
        if msgspec.structs.replace(entry, ts_init=stored.ts_init) != stored:
            raise LedgerError(
                f"The ledger {self._path} has {entry.source_event_id} already, as entry {stored.seq}, and "
                "it is not "
                f"the same as entry {entry.seq} now. Nothing was written. Compare both with the broker's "
                "statement: "
                "`python -m services.ledger entries` lists what is booked."
            )

    def _write(self, entry: EntryPosted) -> None:
        last = self.last_seq() if self._newest is None else self._newest
        if entry.seq != last + 1:
            raise LedgerError(
                f"Entry {entry.seq} ({entry.source_event_id}) cannot follow entry {last} of the ledger "
                f"{self._path}. "
                "Journal and ledger are not of the same bot or of the same age. " + _REMEDY
            )
        if any(type(line.amount) is not int for line in entry.lines):
            # A STRICT table would quietly turn the text '12' into a number.
            raise LedgerError(f"Entry {entry.seq} has an amount that is no whole number. Nothing was written.")
        if self._is_buffered:
            self._write_into_open_transaction(entry)
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._insert(entry)
            self._db.execute("COMMIT")
        except BaseException as error:
            roll_back(self._db, error)
            raise

    def _write_into_open_transaction(self, entry: EntryPosted) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("SAVEPOINT entry")
        try:
            self._insert(entry)
        except BaseException:
            self._db.execute("ROLLBACK TO entry")
            raise
        finally:
            self._db.execute("RELEASE entry")
        self._newest = entry.seq

    def _insert(self, entry: EntryPosted) -> None:
        """Lines and lots first, the header last: the header's trigger seals the entry."""
        for commodity in sorted({line.commodity for line in entry.lines} - {accounts.CURRENCY}):
            self._db.execute(
                "INSERT INTO commodity (symbol, kind, scale, multiplier) SELECT ?1, 'EQUITY', ?2, 1 "
                "WHERE NOT EXISTS (SELECT 1 FROM commodity WHERE symbol = ?1)",
                (commodity, accounts.SHARE_SCALE),
            )
        self._db.executemany(
            "INSERT INTO posting (tx_seq, line_no, account_code, commodity, amount) VALUES (?, ?, ?, ?, ?)",
            [
                (entry.seq, number, line.account, line.commodity, line.amount)
                for number, line in enumerate(entry.lines, start=1)
            ],
        )
        with _POSTING:
            move = lot_move(entry)
            if move is not None and move.units_nanos > 0:
                self._open_lot(entry, move)
            elif move is not None:
                self._close_lots(entry, move)
        self._db.execute(
            "INSERT INTO tx (seq, source_event_id, event_type, symbol, description, gain_micros, "
            "occurred_at_ns, "
            "recorded_at_ns, coa_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT coa_version FROM "
            "coa_metadata))",
            (
                entry.seq,
                entry.source_event_id,
                entry.event_type,
                entry.symbol,
                entry.description,
                entry.gain_micros,
                entry.ts_event,
                entry.ts_init,
            ),
        )

    def _open_lot(self, entry: EntryPosted, move: LotMove) -> None:
        self._db.execute(
            "INSERT INTO lot (lot_id, open_tx, account_code, commodity, queue_pos, acquired_at_ns, qty, "
            "cost) VALUES ("
            "(SELECT coalesce(max(lot_id), 0) + 1 FROM lot), ?1, ?2, ?3, "
            "(SELECT coalesce(max(queue_pos), 0) + 1 FROM lot WHERE commodity = ?3), ?4, ?5, ?6)",
            (
                entry.seq,
                accounts.EQUITIES_AT_COST,
                move.commodity,
                entry.ts_event,
                move.units_nanos,
                move.cost_micros,
            ),
        )

    def _close_lots(self, entry: EntryPosted, move: LotMove) -> None:
        ids, lots = self._open_lots(move.commodity)
        for close in closes_of(entry, move, lots):
            self._db.execute(
                "INSERT INTO lot_close (close_id, lot_id, tx_seq, qty, cost, proceeds, gain, qty_left, "
                "cost_left, term) "
                "VALUES ((SELECT coalesce(max(close_id), 0) + 1 FROM lot_close), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    ids[close.index],
                    entry.seq,
                    close.qty_nanos,
                    close.cost_micros,
                    close.proceeds_micros,
                    close.gain_micros,
                    close.left_nanos,
                    close.left_micros,
                    close.term,
                ),
            )

    def _open_lots(self, commodity: str) -> tuple[list[int], list[Lot]]:
        """Ids and lots, oldest first; read from the newest back, for open lots are the end of the queue."""
        ids: list[int] = []
        lots: list[Lot] = []
        rows = self._db.execute(
            "SELECT l.lot_id, l.acquired_at_ns, l.qty, l.cost, coalesce(c.qty_left, l.qty), "
            "coalesce(c.cost_left, l.cost) FROM lot AS l LEFT JOIN lot_close AS c ON c.close_id = "
            "(SELECT close_id FROM lot_close WHERE lot_id = l.lot_id ORDER BY close_id DESC LIMIT 1) "
            "WHERE l.commodity = ? ORDER BY l.queue_pos DESC",
            (commodity,),
        )
        for lot_id, acquired_ns, qty, cost, qty_left, cost_left in rows:
            if qty_left == 0:
                break
            ids.append(lot_id)
            lots.append(
                Lot(
                    acquired_ns=acquired_ns,
                    qty_nanos=qty,
                    cost_micros=cost,
                    closed_nanos=qty - qty_left,
                    closed_micros=cost - cost_left,
                )
            )
        return ids[::-1], lots[::-1]

    def _find(self, source_event_id: str) -> EntryPosted | None:
        row = self._db.execute("SELECT seq FROM tx WHERE source_event_id = ?", (source_event_id,)).fetchone()
        return None if row is None else self._read(row[0])

    def _read(self, seq: int) -> EntryPosted:
        event_type, source, description, symbol, gain, occurred, recorded = self._db.execute(
            "SELECT event_type, source_event_id, description, symbol, gain_micros, occurred_at_ns, "
            "recorded_at_ns "
            "FROM tx WHERE seq = ?",
            (seq,),
        ).fetchone()
        lines = self._db.execute(
            "SELECT account_code, commodity, amount FROM posting WHERE tx_seq = ? ORDER BY line_no", (seq,)
        )
        return EntryPosted(
            ts_event=occurred,
            ts_init=recorded,
            seq=seq,
            event_type=event_type,
            source_event_id=source,
            description=description,
            symbol=symbol,
            gain_micros=gain,
            lines=tuple(PostingLine(account=code, commodity=unit, amount=amount) for code, unit, amount in lines),
        )

    def _number(self, sql: str, parameters: tuple[Any, ...] = ()) -> int:
        return int(self._db.execute(sql, parameters).fetchone()[0])


def open_book(path: Path, identity: Identity, *, may_write: bool, is_buffered: bool = False) -> Book:
    """Open a ledger and check all of it: integrity, schema, chart of accounts, owner, and that it balances.

    Raises:
        LedgerError: there is no ledger, or it is not sound; one sentence for each fault.
    """
    if not path.is_file():
        raise LedgerError(
            f"There is no ledger at {path}. A ledger is created once, by the bootstrap page of the web "
            "interface; "
            "if this bot had one, restore it from its folder's backups/."
        )
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rw' if may_write else 'ro'}", uri=True, isolation_level=None
        )
    except sqlite3.Error as error:
        raise LedgerError(_unreadable(path, error)) from error
    try:
        faults = _prepare(db, identity, may_write=may_write)
    except sqlite3.Error as error:
        db.close()
        raise LedgerError(_unreadable(path, error)) from error
    if faults:
        db.close()
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise LedgerError(f"The ledger {path} is not as it must be:\n{listed}\n{_REMEDY}")
    return Book(path, db, is_buffered=is_buffered)


def harden(db: sqlite3.Connection) -> None:
    """Set what SQLite keeps per connection: foreign keys, triggers on REPLACE, full sync, writer's mark."""
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA recursive_triggers = ON")
    db.execute("PRAGMA synchronous = FULL")
    db.create_function("tbot_ledger_writer", 0, lambda: 1)


def _prepare(db: sqlite3.Connection, identity: Identity, *, may_write: bool) -> tuple[str, ...]:
    db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    # The schema is compared before any of it is trusted to call a function.
    db.execute("PRAGMA trusted_schema = OFF")
    faults = _faults(db, identity)
    if faults or not may_write:
        return faults
    harden(db)
    # The insert triggers call tbot_ledger_writer(), which an untrusted schema may not; Python cannot mark
    # a function as harmless. By now the schema is known to be ours, word for word.
    db.execute("PRAGMA trusted_schema = ON")
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        return ("its file system does not allow SQLite's write-ahead log",)
    db.set_authorizer(_authorize)
    return ()


def _faults(db: sqlite3.Connection, identity: Identity) -> tuple[str, ...]:
    """Every fault of a ledger; later checks need the earlier ones to have passed."""
    damage = [str(row[0]) for row in db.execute("PRAGMA quick_check(5)")]
    if damage != ["ok"]:
        return tuple(f"it is damaged: {line}" for line in damage)
    if faults := schema_faults(db):
        return faults
    faults = coa_faults(db, identity)
    if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
        faults = (*faults, "some of its rows point to rows that do not exist")
    count, last = db.execute("SELECT count(*), coalesce(max(seq), 0) FROM tx").fetchone()
    if count != last:
        faults = (*faults, f"it has {count} entries, but the newest is number {last}: some are missing")
    unbalanced = db.execute("SELECT commodity, sum(amount) FROM posting GROUP BY commodity HAVING sum(amount) <> 0")
    return (
        *faults,
        *(f"{commodity} does not balance: the sum is {total}, not 0" for commodity, total in unbalanced),
    )


def _authorize(action: int, *_details: str | None) -> int:
    return sqlite3.SQLITE_DENY if action in _FORBIDDEN_ACTIONS else sqlite3.SQLITE_OK


def _unreadable(path: Path, error: sqlite3.Error) -> str:
    return f"The ledger {path} cannot be read: {error}. {_REMEDY}"
