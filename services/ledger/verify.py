"""Check a ledger file from its rows alone, and name the first row that is broken. It writes nothing.

Nothing here asks the schema's triggers or the program that wrote the file: numbers, hashes, balances, lots and gains
are derived again. The time is linear in the number of rows; entries are not kept in memory, open lots are.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from services.ledger.coa_utils_ledger import schema_faults
from services.ledger.figures import dollars
from services.ledger.hash_chain import COLUMNS, HEADERS, TABLES, Head, Kind, genesis_hash, link_hash
from services.ledger.verify_entries import BrokenRowError, EntryChecker

APPLICATION_ID: Final = 1413631047
USER_VERSION: Final = 4
#: By which column the rows of a table belong to their header, and in which order they are in the hash.
_OWNERS: Final[dict[str, tuple[str, str]]] = {
    "coa_account": ("version", "code"),
    "posting": ("tx_seq", "line_no"),
    "lot": ("open_tx", "lot_id"),
    "lot_close": ("tx_seq", "close_id"),
    "trade_detail": ("tx_seq", "tx_seq"),
}
#: The number of a header row that its other rows name.
_NUMBERS: Final[dict[Kind, str]] = {"COA": "version", "TX": "seq"}
_METADATA: Final = ("currency_code", "entity_code", "jurisdiction_code", "coa_version", "created_at_utc",
                    "last_updated_utc")  # fmt: skip
_ROWS_AT_ONCE: Final = 2_000


class Verdict(Struct, frozen=True, kw_only=True):
    """What was found. `faults` is empty in a sound ledger; of broken rows the first alone is named.

    `head` is where the check came to, None where it did not begin.
    """

    links: int
    entries: int
    faults: tuple[str, ...]
    head: Head | None


def verify_file(path: Path, head: Head | None = None) -> Verdict:
    """Check a ledger file; `head` is where it must at least stand, kept outside of it. None: a cut tail is not seen."""
    if not path.is_file():
        return _verdict((f"There is no ledger at {path}.",))
    try:
        with closing(open_reader(path)) as db:
            return verify(db, head)
    except sqlite3.Error as error:
        return _verdict((f"The file cannot be read as a ledger: {error}.",))


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a ledger read-only, trusting nothing in it.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    db.execute("PRAGMA trusted_schema = OFF")
    return db


def verify(db: sqlite3.Connection, head: Head | None = None) -> Verdict:
    """Check a ledger through an open connection, in one read transaction.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    began = not db.in_transaction
    if began:
        db.execute("BEGIN")
    try:
        return _verify(db, head)
    finally:
        if began:
            db.execute("ROLLBACK")


def version_fault(db: sqlite3.Connection) -> str:
    """Return why a file is no ledger of this program's version; empty when it is one."""
    (application,), (version,) = db.execute("PRAGMA application_id").fetchone(), db.execute(
        "PRAGMA user_version"
    ).fetchone()  # fmt: skip
    if application != APPLICATION_ID:
        return "it is not a ledger of this program: its application id is another"
    if version != USER_VERSION:
        return (
            f"its schema is of version {version}, and this program books in version {USER_VERSION}. "
            "Bring one of an older version over with `python -m services.ledger upgrade`; the rows stay as they are"
        )
    return ""


def digest_of(db: sqlite3.Connection) -> str:
    """Return the SHA-256 over every row of every table: two ledgers with the same digest hold the same."""
    total = sha256()
    tables = {"coa_metadata": _METADATA, **COLUMNS, "chain": ("link", "kind", "recorded_at_ns", "prev_hash", "hash")}
    for table, columns in tables.items():
        total.update(table.encode())
        for row in db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2"):  # noqa: S608 - names above
            total.update(msgspec.json.encode(row))
    return total.hexdigest()


def _verdict(faults: tuple[str, ...], walker: "_Walker | None" = None) -> Verdict:
    if walker is None:
        return Verdict(links=0, entries=0, faults=faults, head=None)
    return Verdict(links=walker.link, entries=walker.checker.seq, faults=faults, head=walker.head())


def _verify(db: sqlite3.Connection, head: Head | None) -> Verdict:
    if fault := version_fault(db):
        return _verdict((fault,))
    damage = [str(row[0]) for row in db.execute("PRAGMA integrity_check(3)")]
    if damage != ["ok"]:
        return _verdict(tuple(f"the file is damaged: {line}" for line in damage))
    faults = schema_faults(db)
    if any("table" in fault and "is missing" in fault for fault in faults):
        return _verdict(faults)
    walker = _Walker(db, head)
    try:
        walker.walk()
    except BrokenRowError as error:
        faults = (*faults, str(error))
    else:
        if head is not None and head.link > walker.link:
            faults = (
                *faults,
                f"entries are missing at its end: the head that is kept outside tells of link {head.link} (entry "
                f"{head.seq}), and the file ends at link {walker.link} (entry {walker.checker.seq})",
            )
    return _verdict(faults, walker)


class _Table:
    """The rows of one table in order, taken owner by owner."""

    def __init__(self, db: sqlite3.Connection, name: str) -> None:
        owner, key = _OWNERS.get(name, ("link", "link"))
        columns = COLUMNS[name]
        self._owner_at = columns.index(owner)
        self._key_at = columns.index(key)
        self.name = name
        cursor = db.execute(f"SELECT {', '.join(columns)} FROM {name} ORDER BY {owner}, {key}")  # noqa: S608 - as above
        cursor.arraysize = _ROWS_AT_ONCE
        self._rows: Iterator[tuple[Any, ...]] = iter(cursor)
        self._next = next(self._rows, None)

    def take(self, owner: int) -> list[tuple[Any, ...]]:
        """Return the rows of one owner; the owners come in rising order."""
        row = self._next
        if row is None or row[self._owner_at] > owner:
            return []
        if row[self._owner_at] < owner:
            self.check_empty()
        at, rows, found = self._owner_at, self._rows, []
        while row is not None and row[at] == owner:
            found.append(row)
            row = next(rows, None)
        self._next = row
        return found

    def check_empty(self) -> None:
        """Raise where a row is left that nobody owns."""
        if self._next is not None:
            owner, key = self._next[self._owner_at], self._next[self._key_at]
            raise BrokenRowError(f"a row of {self.name} ({owner}, {key}) belongs to no row that is in the chain")


class _Walker:
    """Goes along the chain once."""

    def __init__(self, db: sqlite3.Connection, head: Head | None) -> None:
        self._db = db
        self._outside = head
        self._tables = {name: _Table(db, name) for name in COLUMNS}
        self.checker = EntryChecker(db)
        self.link = 0
        self._hash = ""
        self._recorded_at_ns = 0
        self._versions = 0

    def head(self) -> Head | None:
        """Return where the walk stands."""
        if not self.link:
            return None
        return Head(link=self.link, seq=self.checker.seq, hash=self._hash, recorded_at_ns=self._recorded_at_ns)

    def walk(self) -> None:
        """Check every link and every row.

        Raises:
            BrokenRowError: at the first that is broken.
        """
        metadata = self._db.execute(f"SELECT {', '.join(_METADATA)} FROM coa_metadata").fetchall()  # noqa: S608 - above
        if len(metadata) != 1:
            raise BrokenRowError("its coa_metadata table does not have exactly one row")
        currency, entity, jurisdiction, active, created, updated = metadata[0]
        self._hash = genesis_hash(entity, jurisdiction, currency, created)
        self.checker.currency = currency
        for row in self._db.execute("SELECT link, kind, recorded_at_ns, prev_hash, hash FROM chain ORDER BY link"):
            self._check_link(row)
        for table in self._tables.values():
            table.check_empty()
        newest = self._db.execute("SELECT max(version), max(created_at_utc) FROM coa_version").fetchone()
        if (active, updated) != newest:
            raise BrokenRowError(
                f"coa_metadata names version {active} of the chart of accounts, updated {updated}, but the newest is "
                f"{newest[0]} of {newest[1]}"
            )

    def _check_link(self, row: tuple[int, Kind, int, str, str]) -> None:
        link, kind, recorded_at_ns, prev_hash, told = row
        if link != self.link + 1:
            raise BrokenRowError(f"link {link} follows link {self.link}: what was between is missing")
        rows = self._rows_of(link, kind)
        where = self._where(link, kind, rows)
        if prev_hash != self._hash:
            raise BrokenRowError(f"{where} does not carry the hash of the link before it")
        if link_hash(kind, link, recorded_at_ns, prev_hash, rows=rows) != told:
            raise BrokenRowError(f"{where} was changed: its rows do not give the hash that it was sealed with")
        if self._outside is not None and link == self._outside.link and told != self._outside.hash:
            raise BrokenRowError(f"{where} is another than the one whose hash is kept outside of the file")
        try:
            self._check_content(kind, rows)
        except BrokenRowError as error:
            raise BrokenRowError(f"{where}: {error}") from None
        self.link, self._hash, self._recorded_at_ns = link, told, recorded_at_ns

    def _rows_of(self, link: int, kind: Kind) -> dict[str, list[tuple[Any, ...]]]:
        header = HEADERS[kind]
        found = self._tables[header].take(link)
        if len(found) != 1:
            raise BrokenRowError(f"link {link} seals {len(found)} rows of {header}, and not one: some are missing")
        if kind not in _NUMBERS:
            return {header: found}
        number = found[0][0]
        return {table: found if table == header else self._tables[table].take(number) for table in TABLES[kind]}

    def _where(self, link: int, kind: Kind, rows: dict[str, list[tuple[Any, ...]]]) -> str:
        number = rows[HEADERS[kind]][0][0]
        if kind == "TX":
            return f"entry {number} (link {link}, {rows['tx'][0][1]})"
        return f"row {number} of {HEADERS[kind]} (link {link})"

    def _check_content(self, kind: Kind, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        if kind == "TX":
            self.checker.check(rows)
        elif kind == "COA":
            self._versions += 1
            self.checker.take_chart(rows, self._versions)
        elif kind == "COMMODITY":
            self.checker.take_commodity(rows["commodity"][0])
        elif kind == "ASSERTION":
            _check_assertion(rows["balance_assertion"][0], self.checker)


def _check_assertion(row: tuple[Any, ...], checker: EntryChecker) -> None:
    _, _, scope, commodity, expected, actual, *_ = row
    booked = checker.cash_micros if scope == "CASH" else checker.units.get(commodity, 0)
    if actual != booked:
        words = f"{dollars(actual)} against {dollars(booked)} dollars" if scope == "CASH" else f"{actual}, {booked}"
        raise BrokenRowError(f"it tells of a balance that the ledger did not have then: {words} ({expected} expected)")
