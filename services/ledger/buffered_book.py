"""A replay's ledger, which nobody resumes: what is posted waits in memory until the book is closed or read."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bus.messages import EntryPosted
from services.ledger.book import Book, check_amounts
from services.ledger.failures import LedgerError
from services.ledger.redo import Write
from services.ledger.table_ends import TableEnds

#: So many entries wait in memory at most, three kilobytes each.
_WAITING_MAX: Final = 250_000


class BufferedBook(Book):
    """All of it goes through the same rules of the file, in one transaction. Made by `open_book`; `close` it."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        #: What is not in the file yet, by source event.
        self._waiting: dict[str, EntryPosted] = {}
        super().__init__(path, db)
        self._newest = self._ends.seq

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
        if entry.seq != self._newest + 1 or entry.source_event_id in self._waiting:
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
        self._waiting[entry.source_event_id] = entry
        self._newest = entry.seq

    def post_all(self, entries: Sequence[EntryPosted]) -> None:
        """Take entries that follow each other, as `post` does."""
        for entry in entries:
            self.post(entry)

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        for entry in waiting.values():
            super().post(entry)

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
