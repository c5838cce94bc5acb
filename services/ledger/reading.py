"""Read a ledger file for reports and exports: all of it, as it was at one moment, and never a write.

The file is opened with `mode=ro` and read inside one transaction, so that a service which writes meanwhile is not
disturbed and the reader sees no half of anything. `immutable` is not used: on a live file it would give wrong answers.
"""

import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from bus.clock import NS_PER_SECOND
from bus.messages import EntryPosted
from config.identity import Identity
from config.paths import HomePaths
from config.vault import Vault
from services.ledger import accounts
from services.ledger.book import LedgerError, open_book
from services.ledger.coa_utils_ledger import Account, stored_accounts
from services.ledger.connection import BUSY_TIMEOUT_MS
from services.ledger.provision import ledger_path

_FILE_NAME = re.compile(r"^([A-Z0-9]+)_([A-Z0-9]+)_([a-z0-9]+)_([A-Z0-9]+)_([A-Z0-9]+)_BOT_ledger\.db$")
_NS_PER_DAY = 86_400 * NS_PER_SECOND
_EPOCH = date(1970, 1, 1).toordinal()
_Row = TypeVar("_Row")


class Period(Struct, frozen=True, kw_only=True):
    """Whole UTC days, first and last included. `first` None = since the first entry."""

    first: date | None
    last: date

    @property
    def start_ns(self) -> int:
        """Return the first moment, in UTC nanoseconds; 0 where the period has no first day."""
        return 0 if self.first is None else (self.first.toordinal() - _EPOCH) * _NS_PER_DAY

    @property
    def end_ns(self) -> int:
        """Return the moment after the last day, in UTC nanoseconds."""
        return (self.last.toordinal() + 1 - _EPOCH) * _NS_PER_DAY


class Line(Struct, frozen=True, kw_only=True):
    """One posting: debit positive, in the commodity's scale."""

    account: str
    commodity: str
    amount: int


class LotRow(Struct, frozen=True, kw_only=True):
    """A lot as it was opened: quantity in the commodity's scale, cost in micro-dollars."""

    lot_id: int
    open_tx: int
    account: str
    commodity: str
    acquired_ns: int
    qty: int
    cost: int


class CloseRow(Struct, frozen=True, kw_only=True):
    """What an entry took from a lot, and what it left there; `kind` is SALE, EXPIRE, EXERCISE, SPLIT or REVERSAL."""

    close_id: int
    lot_id: int
    tx_seq: int
    qty: int
    cost: int
    proceeds: int
    gain: int
    qty_left: int
    cost_left: int
    term: str
    kind: str = "SALE"

    @property
    def is_sale(self) -> bool:
        """Tell whether a gain was made: an exercise moves its cost on, a split its lots, a reversal takes back."""
        return self.kind in ("SALE", "EXPIRE")


class Commodity(Struct, frozen=True, kw_only=True):
    """What an amount counts. A stored amount is `10**scale` times the number of dollars, shares or contracts."""

    symbol: str
    kind: str
    scale: int
    multiplier: int


class Entry(Struct, frozen=True, kw_only=True):
    """An entry with its lines and what it did to lots. `reverses_seq` 0 = it takes back no other entry."""

    seq: int
    event_type: str
    source_event_id: str
    symbol: str
    description: str
    gain_micros: int
    occurred_ns: int
    recorded_ns: int
    reverses_seq: int = 0
    lines: tuple[Line, ...] = ()
    opened: tuple[LotRow, ...] = ()
    closed: tuple[CloseRow, ...] = ()

    def amount_on(self, codes: Iterable[str]) -> int:
        """Return the sum of the lines in dollars on some accounts, in micro-dollars."""
        wanted = frozenset(codes)
        return sum(line.amount for line in self.lines if line.commodity == accounts.CURRENCY and line.account in wanted)


class Books(Struct, frozen=True, kw_only=True, dict=True):
    """All that a ledger holds. `is_named`: the identity is known whole, not only its entity and jurisdiction."""

    identity: Identity
    is_named: bool
    accounts: dict[str, Account]
    commodities: dict[str, Commodity]
    entries: tuple[Entry, ...]

    @cached_property
    def by_seq(self) -> dict[int, Entry]:
        """Entries by their number."""
        return {entry.seq: entry for entry in self.entries}

    @cached_property
    def lots(self) -> dict[int, LotRow]:
        """Lots by their number."""
        return {lot.lot_id: lot for entry in self.entries for lot in entry.opened}

    @cached_property
    def lot_accounts(self) -> dict[str, bool]:
        """Codes of the accounts that hold lots at cost; True where they hold short ones."""
        return {
            code: account.type == "LIABILITY"
            for code, account in self.accounts.items()
            if account.lot_rule == "REQUIRED" and account.unit_rule == "BASE"
        }

    @cached_property
    def undone(self) -> frozenset[int]:
        """Numbers of the entries that were taken back, and of those that took them back."""
        return frozenset(seq for entry in self.entries if entry.reverses_seq for seq in (entry.seq, entry.reverses_seq))

    def sale_figures(self, close: CloseRow) -> tuple[int, int]:
        """Return what was received and what was paid for the units of a closed lot, micro-dollars.

        A short lot's cost is what its sale has brought; what closing it took is that less the gain.
        """
        if self.lot_accounts.get(self.lots[close.lot_id].account, False):
            return close.cost, close.cost - close.gain
        return close.cost + close.gain, close.cost

    def until(self, end_ns: int) -> tuple[Entry, ...]:
        """Return the entries whose event was before a moment, by their number."""
        return tuple(entry for entry in self.entries if entry.occurred_ns < end_ns)

    def within(self, period: Period) -> tuple[Entry, ...]:
        """Return the entries whose event was in a period, by the time of the event and then by number."""
        found = [entry for entry in self.until(period.end_ns) if entry.occurred_ns >= period.start_ns]
        return tuple(sorted(found, key=lambda entry: (entry.occurred_ns, entry.seq)))

    def open_lots(self, end_ns: int) -> tuple[tuple[LotRow, int, int], ...]:
        """Return each lot that was open at a moment, with the quantity and cost that it had left, by its number."""
        left = {lot.lot_id: (lot.qty, lot.cost) for entry in self.until(end_ns) for lot in entry.opened}
        for entry in self.until(end_ns):
            for close in entry.closed:
                qty, cost = left.get(close.lot_id, (0, 0))
                left[close.lot_id] = (qty - close.qty, cost - close.cost)
        return tuple((self.lots[lot_id], qty, cost) for lot_id, (qty, cost) in sorted(left.items()) if qty)

    def last_day(self) -> date:
        """Return the UTC day of the newest event; 1970-01-01 in an empty ledger."""
        return utc_day(max((entry.occurred_ns for entry in self.entries), default=0))


def utc_day(ts_ns: int) -> date:
    """Return the UTC day of a moment."""
    return date.fromordinal(_EPOCH + ts_ns // _NS_PER_DAY)


def find_ledger(paths: HomePaths, ledger: Path | None) -> tuple[Path, Identity, bool]:
    """Return the file to read, whose it is, and whether that is known whole.

    It is the ledger of the home, or else the given file, whose name says whose it is where it has its own name.

    Raises:
        VaultError: the home's identity cannot be read.
        LedgerError: the given file is no ledger.
    """
    if ledger is None:
        identity = Vault(paths).open().identity
        return ledger_path(paths, identity), identity, True
    if (parts := _FILE_NAME.match(ledger.name)) is not None:
        names = ("entity_code", "jurisdiction_code", "account_name", "broker_code", "bot_id")
        return ledger, Identity(**dict(zip(names, parts.groups(), strict=True))), True
    entity, jurisdiction = _owner(ledger)
    identity = Identity(
        entity_code=entity, jurisdiction_code=jurisdiction, account_name="unknown", broker_code="UNKNOWN", bot_id="NONE"
    )
    return ledger, identity, False


def read_books(paths: HomePaths, ledger: Path | None) -> Books:
    """Check a ledger as the service does when it starts, and read all of it.

    Raises:
        VaultError: the home's identity cannot be read.
        LedgerError: there is no ledger, it is not sound, or it cannot be read now.
    """
    path, identity, is_named = find_ledger(paths, ledger)
    open_book(path, identity, may_write=False).close()
    return _read(path, lambda db: _books(db, identity, is_named=is_named))


def read_file(path: Path, identity: Identity) -> Books:
    """Read all of a ledger that its service has open, and so has checked.

    Raises:
        LedgerError: it cannot be read now.
    """
    return _read(path, lambda db: _books(db, identity, is_named=True))


def read_posted(paths: HomePaths, ledger: Path | None) -> list[EntryPosted]:
    """Check a ledger as the service does, and return its entries as the service posted them, by their number.

    Raises:
        VaultError: the home's identity cannot be read.
        LedgerError: there is no ledger, it is not sound, or it cannot be read now.
    """
    path, identity, _ = find_ledger(paths, ledger)
    try:
        with closing(open_book(path, identity, may_write=False)) as book:
            return list(book.entries())
    except sqlite3.Error as error:
        raise LedgerError(f"The ledger {path} cannot be read: {error}. Try again, or restore it.") from error


def _owner(path: Path) -> tuple[str, str]:
    def owner(db: sqlite3.Connection) -> tuple[str, str]:
        row = db.execute("SELECT entity_code, jurisdiction_code FROM coa_metadata").fetchone()
        if row is None:
            raise LedgerError(f"The ledger {path} does not say whose it is. Name a whole ledger with --ledger.")
        return str(row[0]), str(row[1])

    if not path.is_file():
        raise LedgerError(f"There is no ledger at {path}. Name an existing file with --ledger.")
    return _read(path, owner)


def _read(path: Path, question: Callable[[sqlite3.Connection], _Row]) -> _Row:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
            db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            db.execute("PRAGMA trusted_schema = OFF")
            db.execute("BEGIN")
            return question(db)
    except sqlite3.Error as error:
        raise LedgerError(f"The ledger {path} cannot be read: {error}. Try again, or restore it.") from error


def _books(db: sqlite3.Connection, identity: Identity, *, is_named: bool) -> Books:
    (version,) = db.execute("SELECT coa_version FROM coa_metadata").fetchone()
    commodities = db.execute("SELECT symbol, kind, scale, multiplier FROM commodity ORDER BY symbol")
    return Books(
        identity=identity,
        is_named=is_named,
        accounts={account.code: account for account in stored_accounts(db, version)},
        commodities={
            symbol: Commodity(symbol=symbol, kind=kind, scale=scale, multiplier=multiplier)
            for symbol, kind, scale, multiplier in commodities
        },
        entries=_entries(db),
    )


def _entries(db: sqlite3.Connection) -> tuple[Entry, ...]:
    lines: defaultdict[int, list[Line]] = defaultdict(list)
    for seq, account, commodity, amount in db.execute(
        "SELECT tx_seq, account_code, commodity, amount FROM posting ORDER BY tx_seq, line_no"
    ):
        lines[seq].append(Line(account=account, commodity=commodity, amount=amount))
    opened, closed = _lots(db), _closes(db)
    rows = db.execute(
        "SELECT seq, event_type, source_event_id, symbol, description, gain_micros, occurred_at_ns, recorded_at_ns, "
        "coalesce(reverses_seq, 0) FROM tx ORDER BY seq"
    )
    return tuple(
        Entry(
            seq=row[0],
            event_type=row[1],
            source_event_id=row[2],
            symbol=row[3],
            description=row[4],
            gain_micros=row[5],
            occurred_ns=row[6],
            recorded_ns=row[7],
            reverses_seq=row[8],
            lines=tuple(lines[row[0]]),
            opened=tuple(opened[row[0]]),
            closed=tuple(closed[row[0]]),
        )
        for row in rows
    )


def _lots(db: sqlite3.Connection) -> defaultdict[int, list[LotRow]]:
    found: defaultdict[int, list[LotRow]] = defaultdict(list)
    for lot_id, open_tx, account, commodity, acquired, qty, cost in db.execute(
        "SELECT lot_id, open_tx, account_code, commodity, acquired_at_ns, qty, cost FROM lot ORDER BY lot_id"
    ):
        lot = LotRow(
            lot_id=lot_id,
            open_tx=open_tx,
            account=account,
            commodity=commodity,
            acquired_ns=acquired,
            qty=qty,
            cost=cost,
        )
        found[open_tx].append(lot)
    return found


def _closes(db: sqlite3.Connection) -> defaultdict[int, list[CloseRow]]:
    found: defaultdict[int, list[CloseRow]] = defaultdict(list)
    for row in db.execute(
        "SELECT close_id, lot_id, tx_seq, qty, cost, proceeds, gain, qty_left, cost_left, term, kind "
        "FROM lot_close ORDER BY close_id"
    ):
        close = CloseRow(
            close_id=row[0],
            lot_id=row[1],
            tx_seq=row[2],
            qty=row[3],
            cost=row[4],
            proceeds=row[5],
            gain=row[6],
            qty_left=row[7],
            cost_left=row[8],
            term=row[9],
            kind=row[10],
        )
        found[close.tx_seq].append(close)
    return found
