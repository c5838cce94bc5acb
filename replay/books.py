"""The black-box check of a session: the paper broker's books against the ledger, both read-only, to the last digit."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from bus.store import StoreError
from config.identity import Identity
from config.paths import HomePaths

_CASH_ACCOUNTS = ("1010", "1030", "1040")
_UNITS_ACCOUNT = "9010"


def compare_books(paths: HomePaths, identity: Identity) -> list[str]:
    """Return one sentence for each difference between broker and ledger; empty when they agree exactly.

    Compared: cash in micro-dollars, units of every symbol, the set of execution ids, and that every commodity of the
    ledger sums to zero.

    Raises:
        StoreError: one of the two files is missing or unreadable.
    """
    broker = _Books(paths.state / "paper_broker.db")
    ledger = _Books(paths.entities / identity.entity_folder / identity.ledger_file)
    faults = []
    cash = broker.number("SELECT cash_micros FROM account")
    marks = ",".join("?" for _ in _CASH_ACCOUNTS)
    booked = ledger.number(
        f"SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code IN ({marks})",  # noqa: S608 - marks only
        *_CASH_ACCOUNTS,
    )
    if cash != booked:
        faults.append(f"cash: broker {cash}, ledger {booked} micro-dollars")
    held = broker.table("SELECT symbol, qty_nanos FROM positions WHERE qty_nanos <> 0")
    units = ledger.table(
        "SELECT commodity, sum(amount) FROM posting WHERE account_code = ? GROUP BY 1 HAVING sum(amount) <> 0",
        _UNITS_ACCOUNT,
    )
    units = {name.removesuffix("/UNITS"): qty for name, qty in units.items()}
    faults.extend(
        f"{symbol}: broker {held.get(symbol, 0)}, ledger {units.get(symbol, 0)} nano-shares"
        for symbol in sorted(held.keys() | units.keys())
        if held.get(symbol, 0) != units.get(symbol, 0)
    )
    executions = {f"PX-{seq:06d}" for seq in broker.column("SELECT seq FROM executions")}
    fills = {
        source.split(":")[1] for source in ledger.column("SELECT source_event_id FROM tx") if source.endswith(":FILL")
    }
    faults.extend(f"execution {name} is not in the ledger" for name in sorted(executions - fills))
    faults.extend(f"execution {name} is not at the broker" for name in sorted(fills - executions))
    sums = ledger.table("SELECT commodity, sum(amount) FROM posting GROUP BY 1 HAVING sum(amount) <> 0")
    faults.extend(f"{name} does not sum to zero in the ledger but to {total}" for name, total in sums.items())
    return faults


class _Books:
    """One SQLite file, opened read-only for each question."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise StoreError(f"There is no file {path}: the books cannot be compared.")
        self._path = path
        self._uri = f"{path.resolve().as_uri()}?mode=ro"

    def number(self, query: str, *arguments: object) -> int:
        return int(self._rows(query, *arguments)[0][0])

    def column(self, query: str) -> list[str]:
        return [row[0] for row in self._rows(query)]

    def table(self, query: str, *arguments: object) -> dict[str, int]:
        return {str(row[0]): int(row[1]) for row in self._rows(query, *arguments)}

    def _rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        try:
            with closing(sqlite3.connect(self._uri, uri=True)) as db:
                return db.execute(query, arguments).fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"The books {self._path} cannot be read: {error}") from error
