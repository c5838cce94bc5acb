"""Keep every write of the ledger outside of its file, and bring both to the same point at the start.

The order of a write: its rows are in the open transaction; the redo log has it, synced; the ledger commits; the head
is written. The sync of the redo log is the only one. So the redo log is never behind the ledger or the head, whenever
the process dies or the power fails; what the ledger has lost by a power cut is done again from it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from services.ledger.backup_ledgers import BackupFolder, covered_through, make_base
from services.ledger.book import Book
from services.ledger.failures import BackupError, LedgerError
from services.ledger.hash_chain import Head
from services.ledger.head_file import HeadError, HeadFile, read_head, sync_folder
from services.ledger.redo import RedoFault, RedoLog, Write, read_writes

_REMEDY = (
    "Nothing is booked. Verify the ledger (`python -m services.ledger verify --ledger FILE`), and restore it "
    "(`python -m services.ledger restore`) or put the file back that belongs to it."
)


class Safekeeping:
    """Redo log, bases and head of one ledger while the service runs; the `Keeper` of its book."""

    def __init__(self, ledger: Path, head_path: Path) -> None:
        self._ledger = ledger
        self._head_path = head_path
        self._head = HeadFile(head_path)
        self.folder = BackupFolder(ledger)
        self._redo: RedoLog | None = None
        self._genesis = ""
        #: How many links were written since the newest base.
        self.links_since_base = 0
        #: How many were written since the ledger's write-ahead log was taken into its file.
        self.links_in_log = 0

    def keep(self, writes: Sequence[Write]) -> None:
        """Put writes on disk before they are committed together.

        Raises:
            BackupError: the disk refuses.
        """
        self._log().append(writes)

    def take_back(self) -> None:
        """Remove the newest writes, whose commit a rule refused.

        Raises:
            BackupError: the disk refuses.
        """
        self._log().take_back()

    def committed(self, writes: Sequence[Write]) -> None:
        """Remember where the ledger stands.

        The head is not synced: the redo log, which is, says at the start how far the ledger reaches.

        Raises:
            BackupError: the disk refuses.
        """
        self._head.write(writes[-1].head, is_synced=False)
        written = sum(len(write.links) for write in writes)
        self.links_since_base += written
        self.links_in_log += written

    def begin(self, book: Book) -> tuple[str, ...]:
        """Bring ledger, redo log and head to the same point, and return in words what had to be done.

        Raises:
            BackupError: they contradict each other, or the disk refuses; nothing may be booked then.
        """
        self.folder.make()
        self.folder.remove_parts()
        genesis = self._genesis = book.genesis()
        notes = self._roll_forward(book, genesis)
        notes += self._compare_head(book)
        self._redo = RedoLog(self.folder.redo, genesis)
        tip = book.head()
        if covered_through(self.folder, genesis, tip.link) < tip.link:
            made = make_base(self._ledger, self.folder)
            notes.append(f"a base of entry {made.seq} was made")
            self._redo.begin_segment()
        else:
            self._redo.continue_segment()
        self.links_since_base = tip.link - max(m.link for m in self.folder.manifests())
        self._head.write(tip)
        return tuple(notes)

    def committed_together(self, first_seq: int, tip: Head) -> bool:
        """Tell whether the entries from `first_seq` on to the newest were, by the redo log, one commit."""
        # Each entry has a link, and seldom more than three commodities that are new with it.
        after_link = max(0, tip.link - 4 * (tip.seq - first_seq + 1))
        for item in read_writes(self.folder.redo, self._genesis, after_link):
            if isinstance(item, Write) and item.seq == first_seq:
                return item.followed_by >= tip.seq - first_seq
        return False

    def base_was_made(self) -> None:
        """Go on in a new segment, after a base that somebody else has made."""
        self._log().begin_segment()
        self.links_since_base = 0

    def close(self) -> None:
        """Release the files."""
        self._head.close()
        if self._redo is not None:
            self._redo.close()
            self._redo = None

    def _log(self) -> RedoLog:
        if self._redo is None:
            raise BackupError("The redo log is not open, so nothing is booked. Start the ledger service again.")
        return self._redo

    def _roll_forward(self, book: Book, genesis: str) -> list[str]:
        """Do what the redo log has and the ledger has not: it was to be committed when the process died."""
        notes: list[str] = []
        tip = book.head()
        for item in read_writes(self.folder.redo, genesis, after_link=tip.link - 1):
            if isinstance(item, RedoFault):
                notes.append(self._set_aside(item))
                break
            head, first = item.head, item.links[0]
            if head.link <= tip.link:
                if book.hash_at(head.link) != head.hash:
                    raise BackupError(
                        f"Link {head.link} of the ledger {self._ledger} is another than in its redo log "
                        f"{self.folder.redo}. {_REMEDY}"
                    )
                continue
            if (first.link, first.prev_hash) != (tip.link + 1, tip.hash):
                raise BackupError(
                    f"The redo log {self.folder.redo} goes on with link {first.link}, which does not follow link "
                    f"{tip.link} of the ledger {self._ledger}. {_REMEDY}"
                )
            try:
                book.apply(item)
            except LedgerError as error:
                raise BackupError(f"{error} {_REMEDY}") from error
            tip = head
            notes.append(f"entry {tip.seq} (link {tip.link}) was committed from the redo log")
        return notes

    def _set_aside(self, fault: RedoFault) -> str:
        """Move an unfinished last line into quarantine/; no commit can have followed it."""
        if not fault.is_torn:
            raise BackupError(
                f"The redo log {fault.path} cannot be read from byte {fault.offset} on: {fault.words}. {_REMEDY}"
            )
        kept = self.folder.quarantine / f"{fault.path.name}.{fault.offset}.torn"
        try:
            raw = fault.path.read_bytes()
            kept.write_bytes(raw[fault.offset :])
            if fault.offset:
                os.truncate(fault.path, fault.offset)
                descriptor = os.open(fault.path, os.O_WRONLY)
                os.fsync(descriptor)
                os.close(descriptor)
            else:
                fault.path.unlink()
            sync_folder(self.folder.redo)
            sync_folder(self.folder.quarantine)
        except OSError as error:
            raise BackupError(f"The torn end of {fault.path} cannot be moved to {kept}: {error.strerror}.") from error
        return f"the unfinished last line of {fault.path.name} was moved to {kept}"

    def _compare_head(self, book: Book) -> list[str]:
        """The ledger reaches at least as far as its head, and is the same there."""
        tip = book.head()
        try:
            head = read_head(self._head_path)
        except HeadError as error:
            # A power cut may have torn the line; then the redo log alone has to show that nothing was cut off.
            if self._redo_reaches(book, tip):
                return [f"{error} It was written anew: the redo log agrees with the ledger."]
            raise BackupError(f"{error} {_REMEDY}") from error
        if head is None:
            if tip.seq == 0 or self._redo_reaches(book, tip):
                return []
            raise BackupError(
                f"The ledger {self._ledger} has {tip.seq} entries, but neither its head {self._head_path} nor its redo "
                f"log says so: whether its end was cut off cannot be told. {_REMEDY} To go on with it as it is: "
                "`python -m services.ledger verify --accept --ledger FILE`."
            )
        if head.link > tip.link:
            raise BackupError(
                f"The ledger {self._ledger} ends at entry {tip.seq} (link {tip.link}), but it had entry {head.seq} "
                f"(link {head.link}): its end was cut off. {_REMEDY}"
            )
        if book.hash_at(head.link) != head.hash:
            raise BackupError(
                f"Link {head.link} of the ledger {self._ledger} is another than the one in its head {self._head_path}. "
                f"{_REMEDY}"
            )
        return []

    def _redo_reaches(self, book: Book, tip: Head) -> bool:
        newest: Write | None = None
        for item in read_writes(self.folder.redo, book.genesis(), after_link=tip.link - 1):
            newest = item if isinstance(item, Write) else None
        return newest is not None and newest.head == tip
