"""A replay's ledger, which nobody resumes: what is posted waits in memory until the book is closed or read."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from bus.messages import EntryPosted
from services.ledger import accounts
from services.ledger.book import Book, check_amounts
from services.ledger.failures import LedgerError
from services.ledger.hash_chain import Value
from services.ledger.redo import Write
from services.ledger.table_ends import TableEnds

#: So many entries wait in memory at most, three kilobytes each.
_WAITING_MAX: Final = 250_000


class _Assertion(Struct, frozen=True, kw_only=True):
    """What somebody else says that the account holds, and whether the books agreed when it was said."""

    scope: str
    commodity: str
    expected: int
    source: str
    at_ns: int
    is_ok: bool


class BufferedBook(Book):
    """All of it goes through the same rules of the file, in one transaction. Made by `open_book`; `close` it.

    Balances are kept beside what waits, so that a comparison with the broker needs no look into the file.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        #: What is not in the file yet, in order, and the source events of the entries among it.
        self._waiting: list[EntryPosted | _Assertion] = []
        self._waiting_ids: set[str] = set()
        super().__init__(path, db)
        self._newest = self._ends.seq
        self._balances: dict[tuple[str, str], int] = {
            (code, commodity): amount
            for code, commodity, amount in db.execute(
                "SELECT account_code, commodity, sum(amount) FROM posting GROUP BY account_code, commodity"
            )
        }
        #: What was asserted last of the units of each commodity, where it was wrong: expected and actual.
        self._wrong = {name: (expected, actual) for name, expected, actual in super()._wrong_units()}

    @property
    def _db(self) -> sqlite3.Connection:
        """The file, with everything in it that waited: nobody looks into it before."""
        self._write_waiting()
        return self._file

    @_db.setter
    def _db(self, db: sqlite3.Connection) -> None:
        self._file = db

    @property
    def _ends(self) -> TableEnds:
        """Where the file's tables end, with everything that waited."""
        self._write_waiting()
        return self._file_ends

    @_ends.setter
    def _ends(self, ends: TableEnds) -> None:
        self._file_ends = ends

    def close(self) -> None:
        """Write what waits, commit, and release the file.

        Raises:
            LedgerError: the ledger refuses an entry; it has those before it then.
            BrokenEntryError: an entry contradicts the open lots.
        """
        try:
            self._write_waiting()
        finally:
            if self._file.in_transaction:
                self._file.execute("COMMIT")
            self._file.close()

    def post(self, entry: EntryPosted) -> None:
        """Take an entry. What is told again is compared as in any book.

        Raises:
            LedgerError: it differs from the one before, does not balance, or entries are missing before it.
        """
        if entry.seq != self._newest + 1 or entry.source_event_id in self._waiting_ids:
            super().post(entry)
            return
        check_amounts(entry)
        sums: dict[str, int] = {}
        for line in entry.lines:
            sums[line.commodity] = sums.get(line.commodity, 0) + line.amount
        if any(sums.values()):
            # A rule of the file says the same, but would say it late.
            raise LedgerError(f"Entry {entry.seq} ({entry.source_event_id}) does not balance. Nothing was written.")
        if len(self._waiting) >= _WAITING_MAX:
            self._write_waiting()
        self._waiting.append(entry)
        self._waiting_ids.add(entry.source_event_id)
        self._newest = entry.seq
        balances = self._balances
        for line in entry.lines:
            place = line.account, line.commodity
            balances[place] = balances.get(place, 0) + line.amount

    def post_all(self, entries: Sequence[EntryPosted]) -> None:
        """Take entries that follow each other, as `post` does."""
        for entry in entries:
            self.post(entry)

    def assert_balance(self, scope: str, commodity: str, expected: int, *, source: str, at_ns: int) -> bool:
        """Keep what somebody else says that the account holds, and return whether the books agree."""
        codes = accounts.CASH_ACCOUNTS if scope == "CASH" else (accounts.UNITS_IN_CUSTODY,)
        actual = sum(self._balance(code, commodity) for code in codes)
        is_ok = expected == actual
        self._waiting.append(
            _Assertion(scope=scope, commodity=commodity, expected=expected, source=source, at_ns=at_ns, is_ok=is_ok)
        )
        if scope == "UNITS":
            self._wrong.pop(commodity, None)
            if not is_ok:
                self._wrong[commodity] = expected, actual
        return is_ok

    def _balance(self, code: str, commodity: str) -> int:
        return self._balances.get((code, commodity), 0)

    def _wrong_units(self) -> Iterable[tuple[str, int, int]]:
        return [(name, *amounts) for name, amounts in sorted(self._wrong.items())]

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_ids = self._waiting, [], set()
        for item in waiting:
            if isinstance(item, EntryPosted):
                super().post(item)
            else:
                self._write_assertion(item)

    def _write_assertion(self, told: _Assertion) -> None:
        codes = accounts.CASH_ACCOUNTS if told.scope == "CASH" else (accounts.UNITS_IN_CUSTODY,)
        actual = sum(super(BufferedBook, self)._balance(code, told.commodity) for code in codes)
        if (told.expected == actual) != told.is_ok:
            raise LedgerError(
                f"The ledger holds {actual} of {told.commodity} in its file, which is not what it was compared as. "
                "This is a fault of the program: report it."
            )
        row: list[Value] = [told.at_ns, told.scope, told.commodity, told.expected, actual, told.source, int(told.is_ok)]
        self._add("ASSERTION", "balance_assertion", row, told.at_ns)

    def _commit(self, make: Callable[[], list[Write]]) -> None:
        """Do writes in the one transaction, all of them or none."""
        if not self._file.in_transaction:
            self._file.execute("BEGIN IMMEDIATE")
        self._file.execute("SAVEPOINT entry")
        try:
            make()
        except BaseException:
            self._file.execute("ROLLBACK TO entry")
            raise
        finally:
            self._file.execute("RELEASE entry")
