"""What has to outlive a process that trades through Interactive Brokers: which number is which order, and every fill.

The gateway knows an order by a number that may start again; only today's executions can be asked for; and neither it
nor anybody else says in which order they were told. So this file keeps: each number with our client id before an order
is sent, the permanent id once it is heard, and every execution in the order in which it was first heard.

The id of an execution is the place in that order and Interactive Brokers' own id: `000000000007-0000e0d5.65c1.01.01`,
padded to one length, so that the newest of them is the greatest name.
"""

import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from services.execution.brokers.interface import StopTradingError

_PLACE_DIGITS: Final = 12
_EXECUTION_ID_LENGTH: Final = 32
#: An execution that is told twice with other figures is a correction: the last part of its id counts them. The one that
#: was reported keeps its place, and the one in its place gets a place of its own; `new_id` '' = taken back whole.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS orders (
    client_order_id TEXT PRIMARY KEY,
    client_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    perm_id INTEGER NOT NULL DEFAULT 0,
    qty_nanos INTEGER NOT NULL,
    reduces INTEGER NOT NULL,
    day TEXT NOT NULL,
    refusal TEXT NOT NULL DEFAULT '',
    UNIQUE (client_id, order_id)
) STRICT;
CREATE TABLE IF NOT EXISTS executions (
    place INTEGER PRIMARY KEY,
    execution_id TEXT NOT NULL UNIQUE,
    stem TEXT NOT NULL UNIQUE,
    client_order_id TEXT NOT NULL,
    perm_id INTEGER NOT NULL,
    qty_nanos INTEGER NOT NULL,
    price_micros INTEGER NOT NULL,
    commission_micros INTEGER,
    told_commission_micros INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS corrections (
    old_id TEXT PRIMARY KEY,
    new_id TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS opening (
    account TEXT PRIMARY KEY,
    cash_micros INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL
) STRICT;
"""


class KnownOrder(Struct, frozen=True, kw_only=True):
    """An order that was given a number. `perm_id` 0 = nothing proves yet that it arrived; `day` in New York."""

    client_order_id: str
    client_id: int
    order_id: int
    qty_nanos: int
    reduces: bool
    day: str
    perm_id: int = 0
    refusal: str = ""


class KnownExecution(Struct, frozen=True, kw_only=True):
    """An execution. `place` counts from 1 in the order of hearing; `commission_micros` None = not heard yet.

    `told_commission_micros` is what it was reported with; None = it was not reported yet.
    """

    execution_id: str
    client_order_id: str
    perm_id: int
    qty_nanos: int
    price_micros: int
    place: int = 0
    commission_micros: int | None = None
    told_commission_micros: int | None = None

    @property
    def name(self) -> str:
        """Return the id that fills and the journal carry."""
        own = self.execution_id
        if len(own) > _EXECUTION_ID_LENGTH:
            own = blake2b(own.encode(), digest_size=_EXECUTION_ID_LENGTH // 2).hexdigest()
        return f"{self.place:0{_PLACE_DIGITS}d}-{own:_<{_EXECUTION_ID_LENGTH}}"


class IbkrBooks:
    """The file, opened and used by one thread at a time; what is written counts from `flush`.

    Args:
        path: where it is; it is made when it is not there.

    Raises:
        StopTradingError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_closed = False
        try:
            self._db = sqlite3.connect(path, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            # An order's number is on disk before the order is on the line.
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def flush(self) -> None:
        """Put on disk what was written.

        Raises:
            StopTradingError: the disk does not take it.
        """
        try:
            self._db.commit()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Put on disk what was written, and let go of the file."""
        if not self._is_closed:
            self._is_closed = True
            self.flush()
            self._db.close()

    # --- orders -----

    def next_order_id(self, client_id: int) -> int:
        """Return the first number that no order of this client was ever given."""
        row = self._row("SELECT MAX(order_id) FROM orders WHERE client_id = ?", client_id)
        return int(row[0] or 0) + 1 if row else 1

    def newest_proven(self, client_id: int) -> int:
        """Return the highest number of an order of this client that certainly arrived; 0 = none did."""
        row = self._row("SELECT MAX(order_id) FROM orders WHERE client_id = ? AND perm_id > 0", client_id)
        return int(row[0] or 0) if row else 0

    def add_order(self, order: KnownOrder) -> None:
        """Keep the number of an order, on disk before this returns."""
        self._write(
            "INSERT INTO orders (client_order_id, client_id, order_id, qty_nanos, reduces, day) VALUES (?,?,?,?,?,?)",
            order.client_order_id,
            order.client_id,
            order.order_id,
            order.qty_nanos,
            int(order.reduces),
            order.day,
        )
        self.flush()

    def forget_order(self, client_order_id: str) -> None:
        """Forget an order that was certainly never sent; its number is used by the next one."""
        self._write("DELETE FROM orders WHERE client_order_id = ?", client_order_id)
        self.flush()

    def note_perm_id(self, client_order_id: str, perm_id: int) -> None:
        """Keep the permanent id of an order, which proves that it arrived."""
        self._write("UPDATE orders SET perm_id = ? WHERE client_order_id = ?", perm_id, client_order_id)

    def note_refusal(self, client_order_id: str, words: str) -> None:
        """Keep why an order was refused."""
        self._write("UPDATE orders SET refusal = ? WHERE client_order_id = ?", words, client_order_id)
        self.flush()

    def order(self, client_order_id: str) -> KnownOrder | None:
        """Return an order by our client id."""
        return _order(self._row(f"{_ORDERS} WHERE client_order_id = ?", client_order_id))

    def order_numbered(self, client_id: int, order_id: int) -> KnownOrder | None:
        """Return an order by its number."""
        return _order(self._row(f"{_ORDERS} WHERE client_id = ? AND order_id = ?", client_id, order_id))

    # --- executions -----

    def add_execution(self, execution: KnownExecution) -> None:
        """Keep an execution in the order of hearing; one that corrects another, beside it; no quantity = taken back.

        One that was corrected before anybody heard of it is simply the corrected one.
        """
        stem = _stem(execution.execution_id)
        known = self._newest(stem)
        if known is None:
            if execution.qty_nanos and not self._is_gone(stem):
                self._insert(execution, stem)
            return
        is_same = (execution.qty_nanos, execution.price_micros) == (known.qty_nanos, known.price_micros)
        if _version(execution.execution_id) <= _version(known.execution_id):
            return
        if known.told_commission_micros is None:
            self._amend(known, execution)
        elif not is_same:
            new_id = execution.execution_id if execution.qty_nanos else ""
            self._write("INSERT INTO corrections VALUES (?, ?)", known.execution_id, new_id)
            if new_id:
                self._insert(execution, new_id)

    def _newest(self, stem: str) -> KnownExecution | None:
        """Return what stands now for an execution, by the part of its id that corrections share; None = nothing."""
        known = _execution(self._row(f"{_EXECUTIONS} WHERE stem = ?", stem))
        while known is not None and (row := self._correction(known.execution_id)) is not None:
            known = _execution(self._row(f"{_EXECUTIONS} WHERE execution_id = ?", row[0]))
        return known

    def _correction(self, execution_id: str) -> tuple[Any, ...] | None:
        return self._row("SELECT new_id FROM corrections WHERE old_id = ?", execution_id)

    def _is_gone(self, stem: str) -> bool:
        """Tell whether an execution was reported and then taken back whole."""
        return self._row("SELECT 1 FROM executions WHERE stem = ?", stem) is not None

    def _insert(self, execution: KnownExecution, stem: str) -> None:
        self._write(
            "INSERT INTO executions (execution_id, stem, client_order_id, perm_id, qty_nanos, price_micros) "
            "VALUES (?,?,?,?,?,?)",
            execution.execution_id,
            stem,
            execution.client_order_id,
            execution.perm_id,
            execution.qty_nanos,
            execution.price_micros,
        )

    def _amend(self, known: KnownExecution, right: KnownExecution) -> None:
        """Put the right figures in the place of an execution that nobody has heard of."""
        if not right.qty_nanos:
            self._write("DELETE FROM executions WHERE execution_id = ?", known.execution_id)
            self._write("UPDATE corrections SET new_id = '' WHERE new_id = ?", known.execution_id)
            return
        self._write(
            "UPDATE executions SET execution_id = ?, qty_nanos = ?, price_micros = ? WHERE execution_id = ?",
            right.execution_id,
            right.qty_nanos,
            right.price_micros,
            known.execution_id,
        )
        self._write("UPDATE corrections SET new_id = ? WHERE new_id = ?", right.execution_id, known.execution_id)

    def change_of(self, name: str) -> tuple[KnownExecution | None, str] | None:
        """Return what is in the place of a reported execution, and its id; no execution = nothing; None = it stands."""
        place, execution_id = _parts(name)
        row = self._row("SELECT execution_id FROM executions WHERE place = ?", place)
        correction = self._correction(str(row[0])) if row and str(row[0]) == execution_id else None
        if correction is None:
            return None
        new_id = str(correction[0])
        return _execution(self._row(f"{_EXECUTIONS} WHERE execution_id = ?", new_id)), new_id

    def note_commission(self, execution_id: str, micros: int) -> None:
        """Keep what an execution cost."""
        self._write("UPDATE executions SET commission_micros = ? WHERE execution_id = ?", micros, execution_id)

    def continue_from(self, name: str) -> int:
        """Take over the journal's count from a file that is lost or older: this execution keeps its place.

        What was heard here before it counts as reported; what was heard after it follows it. Returns its place.
        """
        place, execution_id = _parts(name)
        heard = self.executions_after(0)
        at = next((i for i, known in enumerate(heard) if known.execution_id == execution_id), -1)
        stub = KnownExecution(execution_id=execution_id, client_order_id="", perm_id=0, qty_nanos=0, price_micros=0)
        older, it, newer = heard[: max(at, 0)], heard[at] if at >= 0 else stub, heard[at + 1 :]
        first = place - len(older)
        corrections = {str(row[0]) for row in self._rows("SELECT new_id FROM corrections")}
        self._write("DELETE FROM executions")
        for index, known in enumerate([*older, it, *newer]):
            told = known.commission_micros or 0 if first + index <= place else None
            self._write(
                "INSERT INTO executions (place, execution_id, stem, client_order_id, perm_id, qty_nanos, price_micros, "
                "commission_micros, told_commission_micros) VALUES (?,?,?,?,?,?,?,?,?)",
                first + index,
                known.execution_id,
                known.execution_id if known.execution_id in corrections else _stem(known.execution_id),
                known.client_order_id,
                known.perm_id,
                known.qty_nanos,
                known.price_micros,
                known.commission_micros,
                told,
            )
        self.flush()
        return place

    def place_of(self, name: str) -> int | None:
        """Return the place of an execution by its name; None when this file has never heard of it."""
        place, execution_id = _parts(name)
        row = self._row("SELECT execution_id FROM executions WHERE place = ?", place)
        return place if row and row[0] == execution_id else None

    def executions_after(self, place: int) -> list[KnownExecution]:
        """Return the executions after a place, in their order; a correction only once it was told as one."""
        is_told = "(told_commission_micros IS NOT NULL OR execution_id NOT IN (SELECT new_id FROM corrections))"
        return self._executions(f"WHERE place > ? AND {is_told} ORDER BY place", place)

    def executions_of(self, client_order_id: str) -> list[KnownExecution]:
        """Return the executions of an order that stand, in their order."""
        stands = "execution_id NOT IN (SELECT old_id FROM corrections)"
        return self._executions(f"WHERE client_order_id = ? AND {stands} ORDER BY place", client_order_id)

    def traded_nanos(self, client_order_id: str) -> int:
        """Return how much of an order traded at first, whatever was corrected afterwards."""
        first = "execution_id NOT IN (SELECT new_id FROM corrections)"
        found = self._executions(f"WHERE client_order_id = ? AND {first}", client_order_id)
        return sum(execution.qty_nanos for execution in found)

    def note_told(self, executions: Sequence[KnownExecution]) -> None:
        """Keep with which commission these were reported, where that is not kept yet."""
        self._db.executemany(
            "UPDATE executions SET told_commission_micros = ? WHERE place = ? AND told_commission_micros IS NULL",
            [(execution.commission_micros or 0, execution.place) for execution in executions],
        )
        self.flush()

    def late_commissions(self) -> list[KnownExecution]:
        """Return the executions of our orders whose commission was heard after they were reported, and differs."""
        return self._executions(
            "WHERE commission_micros <> told_commission_micros "
            "AND client_order_id IN (SELECT client_order_id FROM orders) ORDER BY place"
        )

    # --- money -----

    def opening(self, account: str, cash_micros: int, now_ns: int) -> tuple[int, int] | None:
        """Return with how much cash this file began, in micro-dollars, and when; the first call keeps the present cash.

        None where orders were placed before anybody asked: what the account began with cannot be known then.
        """
        query = "SELECT cash_micros, ts_ns FROM opening WHERE account = ?"
        row = self._row(query, account)
        if row is None and self._row("SELECT 1 FROM orders LIMIT 1") is None:
            self._write("INSERT INTO opening VALUES (?, ?, ?)", account, cash_micros, now_ns)
            self.flush()
            row = (cash_micros, now_ns)
        return None if row is None else (int(row[0]), int(row[1]))

    # --- the file -----

    def _executions(self, where: str, *values: object) -> list[KnownExecution]:
        try:
            rows = self._db.execute(f"{_EXECUTIONS} {where}", values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return [found for row in rows if (found := _execution(row)) is not None]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        return row

    def _write(self, query: str, *values: object) -> None:
        try:
            self._db.execute(query, values)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> StopTradingError:
        return StopTradingError(
            f"{self._path} cannot be used: {error}. It says which order at Interactive Brokers is which: see that the "
            "disk has room and the file belongs to the bot's user, then arm again"
        )


_ORDERS: Final = "SELECT client_order_id, client_id, order_id, qty_nanos, reduces, day, perm_id, refusal FROM orders"
_EXECUTIONS: Final = (
    "SELECT execution_id, client_order_id, perm_id, qty_nanos, price_micros, place, commission_micros, "
    "told_commission_micros FROM executions"
)


def _order(row: tuple[Any, ...] | None) -> KnownOrder | None:
    if row is None:
        return None
    fields = KnownOrder.__struct_fields__
    return KnownOrder(**{**dict(zip(fields, row, strict=True)), "reduces": bool(row[4])})


def _execution(row: tuple[Any, ...] | None) -> KnownExecution | None:
    return None if row is None else KnownExecution(**dict(zip(KnownExecution.__struct_fields__, row, strict=True)))


def _parts(name: str) -> tuple[int, str]:
    place, _, execution_id = name.partition("-")
    return (int(place) if place.isdigit() else 0), execution_id.rstrip("_")


def _stem(execution_id: str) -> str:
    """Return the part of an id that an execution and its corrections share."""
    return execution_id.rpartition(".")[0] or execution_id


def _version(execution_id: str) -> tuple[int, str]:
    last = execution_id.rpartition(".")[2]
    return len(last), last
