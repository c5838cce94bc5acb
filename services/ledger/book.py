"""The ledger file: one SQLite connection that checks, posts and reads. The triggers have the last word."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bus.failpoints import Failpoint
from bus.messages import EntryPosted
from bus.store import roll_back
from config.identity import Identity
from services.ledger import accounts
from services.ledger.coa_utils_ledger import Account, content_hash, stored_accounts
from services.ledger.connection import prepare, sync_with_log, take_log_in
from services.ledger.entry_rows import insert_link, links_of, read_entry
from services.ledger.failures import BackupError, LedgerError
from services.ledger.figures import dollars, shares
from services.ledger.hash_chain import COLUMNS, Head, Kind, Link, Value, genesis_hash, sealed
from services.ledger.lots import BrokenEntryError
from services.ledger.redo import Keeper, Write
from services.ledger.table_ends import TableEnds

__all__ = ["Balance", "Book", "LedgerError", "open_book"]

#: Around the write of the redo log, around the commit in the ledger file, around the head outside of it.
_REDO, _COMMIT, _HEAD = Failpoint("ledger.redo"), Failpoint("ledger.file_commit"), Failpoint("ledger.head")
_WASH_SALES = "BOOK_WASH_SALES"
_REMEDY = "Trading stays stopped. Restore the ledger from its folder's backups/, or ask the one who changed it."


class Balance(Struct, frozen=True, kw_only=True):
    """One account's balance in one commodity, in that commodity's scale: debit positive."""

    code: str
    name: str
    type: str
    commodity: str
    amount: int


class Book:
    """An open ledger. Made by `open_book`; `close` it."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self._path = path
        self._db = db
        self._ends = TableEnds(db)
        #: None: nothing is kept outside of the file, as in a replay, which nobody resumes.
        self._keeper: Keeper | None = None

    def keep_with(self, keeper: Keeper) -> None:
        """Keep every write outside of the file from now on, before it is committed.

        The keeper's sync is then the one that makes a write durable: after a power cut the start does again what the
        file has lost. So the file itself is synced when its write-ahead log is taken into it, and not with each write.
        """
        self._keeper = keeper
        sync_with_log(self._db)

    def close(self) -> None:
        """Release the file."""
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

    def take_log_in(self) -> None:
        """Take the write-ahead log into the file; for a moment in which nobody waits for the books.

        Raises:
            LedgerError: the disk refuses. What was written is in the redo log, and the next start looks at it.
        """
        try:
            take_log_in(self._db)
        except sqlite3.Error as error:
            self._db.close()
            raise LedgerError(f"The ledger {self._path} cannot take its log in: {error}. {_REMEDY}") from error

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
        if self._is_stored(entry):
            return
        try:
            self._put(lambda: [self._write(entry)], f"entry {entry.seq} ({entry.source_event_id})")
        except LedgerError as error:
            if isinstance(error.__cause__, sqlite3.IntegrityError) and (stored := self._find(entry.source_event_id)):
                raise self._told_differently(entry, stored) from error
            raise

    def post_all(self, entries: Sequence[EntryPosted]) -> None:
        """Write entries that follow each other in one transaction, with one sync of the redo log for all of them.

        Each is kept there as a write of its own, so the ledger can be restored to any of them, and a death between
        finds each whole or not at all. Where one is refused, those before it are written, and it is named.

        Raises:
            LedgerError: as `post`.
            BrokenEntryError: as `post`.
        """
        fresh = [entry for entry in entries if not self._is_stored(entry)]
        if len(fresh) > 1:
            what = f"entries {fresh[0].seq} to {fresh[-1].seq}"
            try:
                self._put(lambda: [self._write(e, len(fresh) - n) for n, e in enumerate(fresh, start=1)], what)
            except BackupError:
                raise
            except (LedgerError, BrokenEntryError):
                pass
            else:
                return
        for entry in fresh:
            self.post(entry)

    def _is_stored(self, entry: EntryPosted) -> bool:
        """Tell whether an entry is in the ledger as it is told."""
        try:
            if entry.seq > self._ends.seq:
                return False
            stored = self._find(entry.source_event_id)
        except sqlite3.Error as error:
            raise LedgerError(f"The ledger {self._path} cannot be read: {error}. Nothing was written.") from error
        if stored is None:
            raise self._misplaced(entry)
        if msgspec.structs.replace(entry, ts_init=stored.ts_init) != stored:
            raise self._told_differently(entry, stored)
        return True

    def _misplaced(self, entry: EntryPosted) -> LedgerError:
        if (stored := self._find(entry.source_event_id)) is not None:
            return self._told_differently(entry, stored)
        return LedgerError(
            f"Entry {entry.seq} ({entry.source_event_id}) cannot follow entry {self._ends.seq} of the ledger "
            f"{self._path}. Journal and ledger are not of the same bot or of the same age. {_REMEDY}"
        )

    def _told_differently(self, entry: EntryPosted, stored: EntryPosted) -> LedgerError:
        return LedgerError(
            f"The ledger {self._path} has {entry.source_event_id} already, as entry {stored.seq}, and it is not the "
            f"same as entry {entry.seq} now. Nothing was written. Compare both with the broker's statement: "
            "`python -m services.ledger entries` lists what is booked."
        )

    def _write(self, entry: EntryPosted, followed_by: int = 0) -> Write:
        """Insert the rows of the next entry into the open transaction."""
        if entry.seq != self._ends.seq + 1:
            raise self._misplaced(entry)
        check_amounts(entry)
        links = links_of(self._ends, entry)
        for link in links:
            insert_link(self._db, link)
        return Write(seq=entry.seq, links=links, followed_by=followed_by)

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
        done = self._db.execute(
            "SELECT is_ok FROM balance_assertion "
            "WHERE as_of_ns = ? AND scope = ? AND commodity = ? AND expected = ? AND source = ?",
            (at_ns, scope, commodity, expected, source),
        ).fetchone()
        if done is not None:
            # Told again after a crash.
            return bool(done[0])
        codes = accounts.CASH_ACCOUNTS if scope == "CASH" else (accounts.UNITS_IN_CUSTODY,)
        actual = sum(self._balance(code, commodity) for code in codes)
        row: list[Value] = [at_ns, scope, commodity, expected, actual, source, int(expected == actual)]
        self._add("ASSERTION", "balance_assertion", row, at_ns)
        return expected == actual

    def differences(self) -> str:
        """Return in words what is not explained between broker and books; empty where nothing is."""
        words = []
        if suspense := self._balance(accounts.SUSPENSE, accounts.CURRENCY):
            words.append(f"{dollars(suspense)} are in suspense (account {accounts.SUSPENSE})")
        words += [
            f"{shares(told)} {name} at the broker, {shares(held)} in the books"
            for name, told, held in self._wrong_units()
        ]
        return "; ".join(words)

    def _wrong_units(self) -> Iterable[tuple[str, int, int]]:
        """Return each commodity of which the newest assertion is wrong: what was told, and what the books held."""
        return self._db.execute(
            "SELECT commodity, expected, actual FROM balance_assertion WHERE scope = 'UNITS' AND is_ok = 0 AND id IN "
            "(SELECT max(id) FROM balance_assertion WHERE scope = 'UNITS' GROUP BY commodity) ORDER BY commodity"
        )

    def book_wash_sales(self, version: str, rows: Sequence[Sequence[Value]], operator: str, *, at_ns: int) -> None:
        """Add a version of the tax view, all or none of it; one without rows is told by the audit trail alone.

        Each row is the columns of wash_adjustment after the id, without rule version and link.

        Raises:
            LedgerError: the ledger refuses it.
        """
        first = self._number("SELECT coalesce(max(id), 0) + 1 FROM wash_adjustment")
        tip = self._ends.tip
        links: list[Link] = []
        for number, values in enumerate(rows, start=first):
            row = [number, *values, version, tip[0] + 1]
            links.append(sealed("WASH", at_ns, tip, {"wash_adjustment": [row]}))
            tip = links[-1].link, links[-1].hash
        audit_id = self._number("SELECT coalesce(max(id), 0) + 1 FROM audit_trail")
        text = msgspec.json.encode({"rows": len(links)}).decode()
        row = [audit_id, at_ns, operator, "ledger", _WASH_SALES, version, text, None, tip[0] + 1]
        links.append(sealed("AUDIT", at_ns, tip, {"audit_trail": [row]}))
        self._put(lambda: [self._write_link(link) for link in links], f"{version} of the wash sales")

    def wash_sales(self, version: str) -> list[tuple[Value, ...]]:
        """Return a version of the tax view: the columns of wash_adjustment after the id, without version and link."""
        columns = ", ".join(COLUMNS["wash_adjustment"][1:-2])
        return self._db.execute(
            f"SELECT {columns} FROM wash_adjustment WHERE rule_version = ? ORDER BY id",  # noqa: S608 - names
            (version,),
        ).fetchall()

    def newest_wash_sales(self, prefix: str) -> int:
        """Return the number of the newest version of the tax view whose name begins so; 0 where there is none."""
        found = self._db.execute(
            "SELECT object FROM audit_trail WHERE action = ? AND instr(object, ?) = 1 ORDER BY id DESC LIMIT 1",
            (_WASH_SALES, prefix),
        ).fetchone()
        return 0 if found is None else int(str(found[0]).removeprefix(prefix))

    def was_audited(self, actor: str, action: str, at_ns: int) -> bool:
        """Tell whether somebody's deed at a moment is written down."""
        found = self._db.execute(
            "SELECT 1 FROM audit_trail WHERE at_ns = ? AND actor = ? AND action = ?", (at_ns, actor, action)
        )
        return found.fetchone() is not None

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

        tip = self._ends.tip
        header: list[Value] = [version, at_utc, author, "WEB", note, content_hash(tuple(ordered)), tip[0] + 1]
        link = sealed("COA", at_ns, tip, {"coa_version": [header], "coa_account": rows})
        self._put(lambda: [self._write_link(link)], f"version {version} of the chart of accounts")
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
            self._ends.forget()
        except sqlite3.Error as error:
            raise LedgerError(
                f"The ledger {self._path} refused link {write.links[0].link} of the redo log: {error}. "
                "Nothing of it was written."
            ) from error

    def _add(self, kind: Kind, table: str, values: list[Value], at_ns: int) -> None:
        number = self._number(f"SELECT coalesce(max(id), 0) + 1 FROM {table}")  # noqa: S608 - a name of the schema
        tip = self._ends.tip
        link = sealed(kind, at_ns, tip, {table: [[number, *values, tip[0] + 1]]})
        self._put(lambda: [self._write_link(link)], f"row {number} of {table}")

    def _write_link(self, link: Link) -> Write:
        """Insert the rows of a link that is no entry into the open transaction."""
        insert_link(self._db, link)
        seq = self._ends.seq
        self._ends.forget()
        return Write(seq=seq, links=(link,))

    def _balance(self, code: str, commodity: str) -> int:
        return self._number(
            "SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code = ? AND commodity = ?", (code, commodity)
        )

    def _put(self, make: Callable[[], list[Write]], what: str) -> None:
        """Do writes in one transaction; with a keeper all are kept outside, in one go, before they are committed."""
        try:
            self._commit(make)
        except sqlite3.Error as error:
            self._ends.forget()
            raise LedgerError(
                f"The ledger {self._path} refused {what}: {error}. No part of it was written: it is booked whole or "
                "not at all."
            ) from error
        except BaseException:
            self._ends.forget()
            raise

    def _commit(self, make: Callable[[], list[Write]]) -> None:
        keeper = self._keeper
        try:
            self._db.execute("BEGIN IMMEDIATE")
            writes = make()
            if keeper is not None:
                with _REDO:
                    keeper.keep(writes)
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
                keeper.committed(writes)

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


def check_amounts(entry: EntryPosted) -> None:
    """Refuse an entry with an amount that is no whole number: a STRICT table would quietly make one of the text '12'.

    Raises:
        LedgerError: it has one.
    """
    if {type(line.amount) for line in entry.lines} - {int}:
        raise LedgerError(f"Entry {entry.seq} has an amount that is no whole number. Nothing was written.")


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
        faults = prepare(db, identity, may_write=may_write)
    except sqlite3.Error as error:
        db.close()
        raise LedgerError(_unreadable(path, error)) from error
    if faults:
        db.close()
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise LedgerError(f"The ledger {path} is not as it must be:\n{listed}\n{_REMEDY}")
    if not is_buffered:
        return Book(path, db)
    # It is made of this module's Book.
    from services.ledger.buffered_book import BufferedBook

    return BufferedBook(path, db)


def _unreadable(path: Path, error: sqlite3.Error) -> str:
    return f"The ledger {path} cannot be read: {error}. {_REMEDY}"
