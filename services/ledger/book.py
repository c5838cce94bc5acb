"""The ledger file: one SQLite connection that checks, posts and reads. The triggers have the last word."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from bus.failpoints import Failpoint
from bus.messages import EntryPosted
from bus.store import roll_back
from config.identity import Identity
from services.ledger import accounts
from services.ledger.coa_utils_ledger import Account, coa_faults, content_hash, schema_faults, stored_accounts
from services.ledger.entry_rows import insert_link, links_of, read_entry
from services.ledger.failures import BackupError, LedgerError
from services.ledger.hash_chain import Head, Kind, Link, Value, genesis_hash, sealed, sha256_hex
from services.ledger.redo import Write
from services.ledger.verify import verify, version_fault

__all__ = ["Balance", "Book", "Keeper", "LedgerError", "harden", "open_book"]

BUSY_TIMEOUT_MS = 5_000
#: Around the write of the redo log, around the commit in the ledger file, around the head outside of it.
_REDO, _COMMIT, _HEAD = Failpoint("ledger.redo"), Failpoint("ledger.file_commit"), Failpoint("ledger.head")
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


_MakeLinks = Callable[[tuple[int, str]], tuple[Link, ...]]


class Balance(Struct, frozen=True, kw_only=True):
    """One account's balance in one commodity, in that commodity's scale: debit positive."""

    code: str
    name: str
    type: str
    commodity: str
    amount: int


class Keeper(Protocol):
    """What keeps each write outside of the ledger file, before and after its commit."""

    def keep(self, write: Write) -> None:
        """Put a write on disk before it is committed."""
        ...

    def take_back(self) -> None:
        """Remove the newest write, whose commit a rule refused."""
        ...

    def committed(self, head: Head) -> None:
        """Remember where the ledger stands after a commit."""
        ...


class Book:
    """An open ledger. Made by `open_book`; `close` it."""

    def __init__(self, path: Path, db: sqlite3.Connection, *, is_buffered: bool = False) -> None:
        self._path = path
        self._db = db
        self._is_buffered = is_buffered
        #: The newest entry of a buffered book, which nobody else writes to; None before the first is written.
        self._newest: int | None = None
        #: None: nothing is kept outside of the file, as in a replay, which nobody resumes.
        self.keeper: Keeper | None = None

    def close(self) -> None:
        """Release the file; a buffered book is committed before."""
        if self._is_buffered and self._db.in_transaction:
            self._db.execute("COMMIT")
        self._db.close()

    def head(self) -> Head:
        """Return where the ledger stands."""
        link, recorded_ns, newest = self._db.execute(
            "SELECT link, recorded_at_ns, hash FROM chain ORDER BY link DESC LIMIT 1"
        ).fetchone()
        return Head(link=link, seq=self.last_seq(), hash=newest, recorded_at_ns=recorded_ns)

    def hash_at(self, link: int) -> str:
        """Return the hash of a link, empty where there is none."""
        row = self._db.execute("SELECT hash FROM chain WHERE link = ?", (link,)).fetchone()
        return "" if row is None else str(row[0])

    def genesis(self) -> str:
        """Return the hash that the first link follows: which ledger this is."""
        row = self._db.execute(
            "SELECT entity_code, jurisdiction_code, currency_code, created_at_utc FROM coa_metadata"
        ).fetchone()
        return genesis_hash(*row)

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
            yield read_entry(self._db, seq)

    def entry(self, seq: int) -> EntryPosted | None:
        """Return one entry; None where there is none of this number."""
        return read_entry(self._db, seq) if 0 < seq <= self.last_seq() else None

    def chart(self) -> tuple[int, tuple[Account, ...]]:
        """Return the number and the accounts of the active chart of accounts."""
        version = self._number("SELECT coa_version FROM coa_metadata")
        return version, stored_accounts(self._db, version)

    def used_accounts(self) -> frozenset[str]:
        """Return the codes of the accounts that have postings."""
        return frozenset(code for (code,) in self._db.execute("SELECT DISTINCT account_code FROM posting"))

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
        marks = ", ".join("?" * len(accounts.COST_ACCOUNTS))
        return self._number(
            f"SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code IN ({marks})",  # noqa: S608 - marks only
            accounts.COST_ACCOUNTS,
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
        self._put(lambda tip: links_of(self._db, entry, tip), entry.seq)
        if self._is_buffered:
            self._newest = entry.seq

    def audit(self, actor: str, action: str, about: str, *, payload: dict[str, Value], at_ns: int) -> None:
        """Write down who did what and when.

        Raises:
            LedgerError: the ledger refuses it.
        """
        text = msgspec.json.encode(payload, order="sorted").decode()
        self._add("AUDIT", "audit_trail", [at_ns, actor, "ledger", action, about, text, None], at_ns)

    def assert_balance(self, scope: str, commodity: str, expected: int, *, source: str, at_ns: int) -> bool:
        """Write down what somebody else says that the account holds, and return whether the books agree.

        `scope` is CASH, in micro-dollars, or UNITS of a commodity.

        Raises:
            LedgerError: the ledger refuses it.
        """
        codes = accounts.CASH_ACCOUNTS if scope == "CASH" else (accounts.UNITS_IN_CUSTODY,)
        actual = sum(self._balance(code, commodity) for code in codes)
        row: list[Value] = [at_ns, scope, commodity, expected, actual, source, int(expected == actual)]
        self._add("ASSERTION", "balance_assertion", row, at_ns)
        return expected == actual

    def adjust_wash_sale(self, values: Sequence[Value], at_ns: int) -> None:
        """Add a wash-sale adjustment to the tax view: the columns of wash_adjustment after the id, without the link.

        Raises:
            LedgerError: the ledger refuses it.
        """
        self._add("WASH", "wash_adjustment", list(values), at_ns)

    def new_chart(self, chart: Sequence[Account], author: str, note: str, *, at_utc: str, at_ns: int) -> int:
        """Make a chart of accounts the next version and the active one, and return its number.

        Raises:
            LedgerError: the ledger refuses it: a used account vanishes, changes, or closes with a balance.
        """
        version = self._number("SELECT coa_version + 1 FROM coa_metadata")
        ordered = sorted(chart, key=lambda account: account.code)
        rows: list[list[Value]] = [
            [version, a.code, a.name, a.type, a.unit_rule, a.lot_rule, a.parent, a.status] for a in ordered
        ]

        def links(tip: tuple[int, str]) -> tuple[Link, ...]:
            header: list[Value] = [version, at_utc, author, "WEB", note, content_hash(tuple(ordered)), tip[0] + 1]
            return (sealed("COA", at_ns, tip, {"coa_version": [header], "coa_account": rows}),)

        self._guarded(links, f"version {version} of the chart of accounts")
        return version

    def apply(self, write: Write) -> None:
        """Do a write of the redo log again, through every rule of the ledger.

        Raises:
            LedgerError: it does not follow, or the ledger refuses it.
        """
        try:
            with self._transaction():
                for link in write.links:
                    insert_link(self._db, link)
        except sqlite3.Error as error:
            raise LedgerError(
                f"The ledger {self._path} refused link {write.links[0].link} of the redo log: {error}. "
                "Nothing of it was written."
            ) from error

    def _add(self, kind: Kind, table: str, values: list[Value], at_ns: int) -> None:
        number = self._number(f"SELECT coalesce(max(id), 0) + 1 FROM {table}")  # noqa: S608 - a name of the schema

        def links(tip: tuple[int, str]) -> tuple[Link, ...]:
            return (sealed(kind, at_ns, tip, {table: [[number, *values, tip[0] + 1]]}),)

        self._guarded(links, f"row {number} of {table}")

    def _guarded(self, links: _MakeLinks, what: str) -> None:
        try:
            self._put(links, self.last_seq())
        except sqlite3.Error as error:
            raise LedgerError(f"The ledger {self._path} refused {what}: {error}. Nothing was written.") from error

    def _balance(self, code: str, commodity: str) -> int:
        return self._number(
            "SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code = ? AND commodity = ?", (code, commodity)
        )

    def _put(self, make_links: _MakeLinks, seq: int) -> None:
        """Write links in one transaction; with a keeper each is kept outside before it is committed."""
        if self._is_buffered:
            self._put_into_open_transaction(make_links)
            return
        keeper = self.keeper
        try:
            self._db.execute("BEGIN IMMEDIATE")
            write = Write(seq=seq, links=self._insert(make_links))
            if keeper is not None:
                with _REDO:
                    keeper.keep(write)
        except BackupError as error:
            # Whether it is on that disk nobody knows: the next start finds out, and until then nothing is written.
            roll_back(self._db, error)
            self._db.close()
            raise
        except BaseException as error:
            roll_back(self._db, error)
            raise
        try:
            with _COMMIT:
                self._db.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            roll_back(self._db, error)
            if keeper is not None:
                keeper.take_back()
            raise
        except BaseException as error:
            roll_back(self._db, error)
            raise
        if keeper is not None:
            with _HEAD:
                keeper.committed(write.head)

    def _put_into_open_transaction(self, make_links: _MakeLinks) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("SAVEPOINT entry")
        try:
            self._insert(make_links)
        except BaseException:
            self._db.execute("ROLLBACK TO entry")
            raise
        finally:
            self._db.execute("RELEASE entry")

    def _insert(self, make_links: _MakeLinks) -> tuple[Link, ...]:
        links = make_links(self._db.execute("SELECT link, hash FROM chain ORDER BY link DESC LIMIT 1").fetchone())
        for link in links:
            insert_link(self._db, link)
        return links

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            roll_back(self._db, error)
            raise

    def _find(self, source_event_id: str) -> EntryPosted | None:
        row = self._db.execute("SELECT seq FROM tx WHERE source_event_id = ?", (source_event_id,)).fetchone()
        return None if row is None else read_entry(self._db, row[0])

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
    db.create_function("tbot_ledger_sha256", 1, sha256_hex, deterministic=True)


def _prepare(db: sqlite3.Connection, identity: Identity, *, may_write: bool) -> tuple[str, ...]:
    db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    # The schema is compared before any of it is trusted to call a function.
    db.execute("PRAGMA trusted_schema = OFF")
    faults = _faults(db, identity)
    if faults or not may_write:
        return faults
    if faults := verify(db).faults:
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
    if fault := version_fault(db):
        return (fault,)
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
