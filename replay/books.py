"""The black-box check of a session: the broker's books against the ledger, both read-only, to the last digit."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.store import StoreError
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.accounts import CASH_ACCOUNTS, UNITS_IN_CUSTODY

#: Settled, in envelopes, and waiting to be settled (SETTLEMENT_DAYS): together what the broker calls cash.


def _as_booked(execution_id: str) -> str:
    return execution_id


@dataclass(frozen=True)
class BrokerBooks:
    """What a broker says of an account: cash in micro-dollars, nano-shares by symbol, and the ids of all executions.

    `own_id` makes the broker's own id of the one that is booked: an adapter may have put its own order before it.
    """

    cash_micros: int
    positions: dict[str, int]
    execution_ids: frozenset[str]
    own_id: Callable[[str], str] = _as_booked


def paper_books(paths: HomePaths) -> BrokerBooks:
    """Read the embedded paper broker's own books.

    Raises:
        StoreError: the file is missing or unreadable.
    """
    broker = _Books(paths.state / "paper_broker.db")
    return BrokerBooks(
        cash_micros=broker.number("SELECT cash_micros FROM account"),
        positions=broker.table("SELECT symbol, qty_nanos FROM positions WHERE qty_nanos <> 0"),
        execution_ids=frozenset(f"PX-{seq:06d}" for seq in broker.column("SELECT seq FROM executions")),
    )


def compare_books(paths: HomePaths, identity: Identity, broker: BrokerBooks | None = None) -> list[str]:
    """Return one sentence for each difference between broker and ledger; empty when they agree exactly.

    Compared: cash in micro-dollars, units of every symbol, the set of execution ids, and that every commodity of the
    ledger sums to zero.

    Args:
        paths: the home.
        identity: whose ledger.
        broker: what the broker says; None = the embedded paper broker's books.

    Raises:
        StoreError: one of the files is missing or unreadable.
    """
    broker = broker or paper_books(paths)
    ledger = _Books(paths.entities / identity.entity_folder / identity.ledger_file)
    faults = []
    marks = ",".join("?" for _ in CASH_ACCOUNTS)
    booked = ledger.number(
        f"SELECT coalesce(sum(amount), 0) FROM posting WHERE account_code IN ({marks})",  # noqa: S608 - marks only
        *CASH_ACCOUNTS,
    )
    if broker.cash_micros != booked:
        faults.append(f"cash: broker {broker.cash_micros}, ledger {booked} micro-dollars")
    held = broker.positions
    units = ledger.table(
        "SELECT commodity, sum(amount) FROM posting WHERE account_code = ? GROUP BY 1 HAVING sum(amount) <> 0",
        UNITS_IN_CUSTODY,
    )
    units = {name.removesuffix("/UNITS"): qty for name, qty in units.items()}
    faults.extend(
        f"{symbol}: broker {held.get(symbol, 0)}, ledger {units.get(symbol, 0)} nano-shares"
        for symbol in sorted(held.keys() | units.keys())
        if held.get(symbol, 0) != units.get(symbol, 0)
    )
    # An id may have colons itself: the first part names the broker, the last one the kind of event.
    fills = {
        broker.own_id(source.split(":", 1)[1].removesuffix(":FILL"))
        for source in ledger.column("SELECT source_event_id FROM tx")
        if source.endswith(":FILL")
    }
    faults.extend(f"execution {name} is not in the ledger" for name in sorted(broker.execution_ids - fills))
    faults.extend(f"execution {name} is not at the broker" for name in sorted(fills - broker.execution_ids))
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
