"""The paper broker's books on disk: one SQLite file of its own, where each change is one transaction."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict

from bus.instruments import cash_of
from bus.store import roll_back
from services.execution.brokers.interface import RetryableBrokerError, StopTradingError
from services.execution.brokers.matching import BookOrder

_BUSY_MS: Final = 2000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS account (
    id INTEGER PRIMARY KEY CHECK (id = 1), cash_micros INTEGER NOT NULL CHECK (cash_micros >= 0),
    session_date TEXT NOT NULL, step INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS orders (
    seq INTEGER PRIMARY KEY, client_order_id TEXT NOT NULL UNIQUE,
    symbol TEXT NOT NULL, side TEXT NOT NULL, qty_nanos INTEGER NOT NULL, order_type TEXT NOT NULL,
    limit_micros INTEGER NOT NULL, stop_micros INTEGER NOT NULL, trail_bps INTEGER NOT NULL,
    accepted_ns INTEGER NOT NULL, state TEXT NOT NULL, filled_nanos INTEGER NOT NULL,
    peak_micros INTEGER NOT NULL, is_triggered INTEGER NOT NULL, detail TEXT NOT NULL,
    session_date TEXT NOT NULL DEFAULT '',
    CHECK (filled_nanos BETWEEN 0 AND qty_nanos)) STRICT;
CREATE INDEX IF NOT EXISTS orders_working ON orders (seq) WHERE state = 'WORKING';
CREATE TABLE IF NOT EXISTS executions (
    seq INTEGER PRIMARY KEY, client_order_id TEXT NOT NULL REFERENCES orders (client_order_id),
    qty_nanos INTEGER NOT NULL CHECK (qty_nanos > 0), price_micros INTEGER NOT NULL CHECK (price_micros > 0),
    ts_ns INTEGER NOT NULL, commission_micros INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX IF NOT EXISTS executions_by_order ON executions (client_order_id);
CREATE TABLE IF NOT EXISTS positions (
    symbol TEXT PRIMARY KEY, qty_nanos INTEGER NOT NULL CHECK (qty_nanos >= 0)) STRICT;
CREATE TABLE IF NOT EXISTS activities (
    seq INTEGER PRIMARY KEY, amount_micros INTEGER NOT NULL, ts_ns INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS expiries (
    symbol TEXT PRIMARY KEY, qty_nanos INTEGER NOT NULL CHECK (qty_nanos > 0), ts_ns INTEGER NOT NULL) STRICT;
"""
_PUT_ORDER: Final = """
INSERT INTO orders VALUES (:seq, :client_order_id, :symbol, :side, :qty_nanos, :order_type, :limit_micros,
    :stop_micros, :trail_bps, :accepted_ns, :state, :filled_nanos, :peak_micros, :is_triggered, :detail,
    :session_date)
ON CONFLICT (seq) DO UPDATE SET state = excluded.state, filled_nanos = excluded.filled_nanos,
    peak_micros = excluded.peak_micros, is_triggered = excluded.is_triggered, detail = excluded.detail,
    session_date = excluded.session_date
"""
_PUT_POSITION: Final = """
INSERT INTO positions VALUES (?, ?) ON CONFLICT (symbol) DO UPDATE SET qty_nanos = excluded.qty_nanos
"""
_SELECT_EXECUTION: Final = """
SELECT e.seq, e.client_order_id, o.seq, o.symbol, o.side, e.qty_nanos, e.price_micros, e.ts_ns, e.commission_micros
FROM executions e JOIN orders o USING (client_order_id)
"""


class PaperBooksError(Exception):
    """The books failed while they were in use; what is on the disk is not known before they are read anew.

    It is no answer of a broker: nobody catches it, the process halts the chain and ends, and the next one reads the
    books from the beginning.
    """


class Execution(Struct, frozen=True, gc=False):
    """One execution in the broker's books."""

    seq: int
    client_order_id: str
    order_seq: int
    symbol: str
    side: str
    qty_nanos: int
    price_micros: int
    ts_ns: int
    commission_micros: int = 0

    @property
    def execution_id(self) -> str:
        """Return the broker's id of the execution; ids rise."""
        return f"PX-{self.seq:06d}"

    @property
    def cash_micros(self) -> int:
        """Return what it did to the cash, its commission included: negative for a purchase."""
        amount = cash_of(self.symbol, self.price_micros, self.qty_nanos)
        return (-amount if self.side == "BUY" else amount) - self.commission_micros


class Expiry(Struct, frozen=True, gc=False):
    """An option that expired while it was held: what was held is gone, for nothing."""

    symbol: str
    qty_nanos: int
    ts_ns: int


class Activity(Struct, frozen=True):
    """Money that entered the account. `ts_ns` 0 = not dated yet."""

    seq: int
    amount_micros: int
    ts_ns: int

    @property
    def activity_id(self) -> str:
        """Return the broker's id of the activity."""
        return f"PA-{self.seq:06d}"


class Account(Struct, frozen=True, gc=False):
    """Cash, and the newest market step that was worked in."""

    cash_micros: int
    session_date: str
    step: int


class PaperBooks:
    """The file. Every method either commits whole or leaves the file as it was."""

    def __init__(self, path: Path, starting_cash_micros: int) -> None:
        """Read every page of the books, and open the account with its first deposit when the file is new.

        Raises:
            RetryableBrokerError: another process holds the file.
            StopTradingError: the file is damaged, is something else, or cannot be written.
        """
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
        except sqlite3.Error as error:
            raise self._mapped(error) from error
        try:
            self._db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._check_pages()
            self._create(starting_cash_micros)
        except sqlite3.Error as error:
            self._db.close()
            raise self._mapped(error) from error

    def _check_pages(self) -> None:
        damage = [str(found[0]) for found in self._db.execute("PRAGMA quick_check(3)")]
        if damage != ["ok"]:
            raise sqlite3.DatabaseError("; ".join(damage))

    def _create(self, starting_cash_micros: int) -> None:
        self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        self._db.execute("BEGIN IMMEDIATE")
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(executions)")}
        if "commission_micros" not in columns:
            # Books of before there were commissions: nothing was charged then.
            self._db.execute("ALTER TABLE executions ADD COLUMN commission_micros INTEGER NOT NULL DEFAULT 0")
        if "session_date" not in {row[1] for row in self._db.execute("PRAGMA table_info(orders)")}:
            # Books of before orders were good for a day: for which one is not known of theirs.
            self._db.execute("ALTER TABLE orders ADD COLUMN session_date TEXT NOT NULL DEFAULT ''")
        if not self._db.execute("SELECT 1 FROM account").fetchone():
            self._db.execute("INSERT INTO account VALUES (1, ?, '', 0)", (starting_cash_micros,))
            self._db.execute("INSERT INTO activities VALUES (1, ?, 0)", (starting_cash_micros,))
        self._db.execute("COMMIT")

    def _mapped(self, error: sqlite3.Error) -> Exception:
        """Return the broker's failure for SQLite's at the opening: only a lock goes away by itself."""
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return RetryableBrokerError(f"the paper broker's books {self._path} are locked: {error}")
        return StopTradingError(self._words(error))

    def _words(self, error: sqlite3.Error) -> str:
        return (
            f"the paper broker's books {self._path} cannot be used: {error}. Stop the chain, free disk "
            "space or put back a sound copy of the file, and start again."
        )

    def _failed(self, error: sqlite3.Error) -> Exception:
        """Undo what was begun and return the failure; after anything but a lock nothing goes on with this file."""
        roll_back(self._db, error)
        found = self._mapped(error)
        if isinstance(found, RetryableBrokerError):
            return found
        self._db.close()
        return PaperBooksError(self._words(error))

    def write(
        self,
        *,
        account: Account,
        orders: Iterable[BookOrder] = (),
        executions: Iterable[Execution] = (),
        positions: Mapping[str, int] | None = None,
        expiries: Iterable[Expiry] = (),
    ) -> None:
        """Put changed rows on disk in one transaction.

        Raises:
            RetryableBrokerError: the file is locked; nothing was written.
            PaperBooksError: the file cannot be written; the next start finds all of it or nothing.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "UPDATE account SET cash_micros = ?, session_date = ?, step = ?",
                (account.cash_micros, account.session_date, account.step),
            )
            self._db.executemany(_PUT_ORDER, (asdict(order) for order in orders))
            self._db.executemany(
                "INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (e.seq, e.client_order_id, e.qty_nanos, e.price_micros, e.ts_ns, e.commission_micros)
                    for e in executions
                ),
            )
            self._db.executemany(_PUT_POSITION, (positions or {}).items())
            self._db.executemany("INSERT INTO expiries VALUES (:symbol, :qty_nanos, :ts_ns)", map(asdict, expiries))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def date_activities(self, ts_ns: int) -> None:
        """Give the activities that have no date yet this one: the account is opened before a day is known.

        Raises:
            RetryableBrokerError: the file is locked.
            PaperBooksError: the file cannot be written.
        """
        try:
            self._db.execute("UPDATE activities SET ts_ns = ? WHERE ts_ns = 0", (ts_ns,))
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _rows(self, sql: str, values: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def account(self) -> Account:
        """Return cash and the newest step."""
        [(cash, date, step)] = self._rows("SELECT cash_micros, session_date, step FROM account")
        return Account(int(cash), str(date), int(step))

    def working_orders(self) -> list[BookOrder]:
        """Return the orders that may still fill, in the order of acceptance."""
        rows = self._rows("SELECT * FROM orders WHERE state = 'WORKING' ORDER BY seq")
        return [_book_order(row) for row in rows]

    def orders(self) -> list[BookOrder]:
        """Return every order there ever was, in the order of acceptance."""
        return [_book_order(row) for row in self._rows("SELECT * FROM orders ORDER BY seq")]

    def order(self, client_order_id: str) -> BookOrder | None:
        """Return one order, whatever its state, or None when there never was one."""
        rows = self._rows("SELECT * FROM orders WHERE client_order_id = ?", (client_order_id,))
        return _book_order(rows[0]) if rows else None

    def newest_seqs(self) -> tuple[int, int]:
        """Return the numbers of the newest order and the newest execution; 0 = none."""
        [(orders, executions)] = self._rows(
            "SELECT (SELECT coalesce(max(seq), 0) FROM orders), (SELECT coalesce(max(seq), 0) FROM executions)"
        )
        return int(orders), int(executions)

    def positions(self) -> dict[str, int]:
        """Return what is held, by symbol; symbols sold out are absent."""
        rows = self._rows("SELECT symbol, qty_nanos FROM positions WHERE qty_nanos > 0 ORDER BY symbol")
        return {str(symbol): int(qty) for symbol, qty in rows}

    def executions_after(self, seq: int) -> list[Execution]:
        """Return every execution with a higher number, in order."""
        return [_execution(row) for row in self._rows(f"{_SELECT_EXECUTION} WHERE e.seq > ? ORDER BY e.seq", (seq,))]

    def executions_of(self, client_order_id: str) -> list[Execution]:
        """Return every execution of one order, in order."""
        where = "WHERE e.client_order_id = ? ORDER BY e.seq"
        return [_execution(row) for row in self._rows(f"{_SELECT_EXECUTION} {where}", (client_order_id,))]

    def activities(self) -> list[Activity]:
        """Return every movement of money that is not a trade, in order."""
        rows = self._rows("SELECT seq, amount_micros, ts_ns FROM activities ORDER BY seq")
        return [Activity(int(seq), int(amount), int(ts)) for seq, amount, ts in rows]

    def expiries(self) -> list[Expiry]:
        """Return every option that expired while it was held."""
        rows = self._rows("SELECT symbol, qty_nanos, ts_ns FROM expiries ORDER BY ts_ns, symbol")
        return [Expiry(str(symbol), int(qty), int(ts)) for symbol, qty, ts in rows]

    def faults(self) -> list[str]:
        """Return one sentence for each way in which the books do not agree with their own executions."""
        executions = self.executions_after(0)
        cash = sum(a.amount_micros for a in self.activities()) + sum(e.cash_micros for e in executions)
        held: dict[str, int] = {}
        filled: dict[str, int] = {}
        for e in executions:
            held[e.symbol] = held.get(e.symbol, 0) + (e.qty_nanos if e.side == "BUY" else -e.qty_nanos)
            filled[e.client_order_id] = filled.get(e.client_order_id, 0) + e.qty_nanos
        for gone in self.expiries():
            held[gone.symbol] = held.get(gone.symbol, 0) - gone.qty_nanos
        faults = []
        if cash != self.account().cash_micros:
            faults.append(f"the paper broker's cash in {self._path} is not what its executions add up to")
        if {symbol: qty for symbol, qty in held.items() if qty} != self.positions():
            faults.append(f"the paper broker's positions in {self._path} are not what its executions add up to")
        rows = self._rows("SELECT client_order_id, filled_nanos FROM orders WHERE filled_nanos > 0")
        if {str(key): int(qty) for key, qty in rows} != filled:
            faults.append(f"the paper broker's orders in {self._path} are not filled as its executions say")
        return faults

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _book_order(row: tuple[str | int, ...]) -> BookOrder:
    values = dict(zip(BookOrder.__struct_fields__, row, strict=True))
    values["is_triggered"] = bool(values["is_triggered"])
    return BookOrder(**values)  # type: ignore[arg-type]  # STRICT columns have the struct's types, in its order


def _execution(row: tuple[str | int, ...]) -> Execution:
    return Execution(*row)  # type: ignore[arg-type]  # STRICT columns, selected in the struct's order
