"""Restore a ledger to any write or any time, from a base and the redo log, through every rule of the ledger."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from services.ledger.backup_ledgers import REHEARSAL, BackupFolder, Manifest, base_fault
from services.ledger.book import Book
from services.ledger.connection import harden
from services.ledger.failures import BackupError, LedgerError
from services.ledger.hash_chain import Head
from services.ledger.head_file import head_line, sync_folder
from services.ledger.redo import RedoFault, Write, read_writes
from services.ledger.verify import digest_of, open_reader, verify_file

_NS_PER_US = 1_000


class Target(Struct, frozen=True, kw_only=True):
    """Where to restore to: everything before entry `seq` + 1, all that was recorded by `at_ns`, or link `link`.

    None of them: the newest.
    """

    seq: int | None = None
    at_ns: int | None = None
    link: int | None = None

    def has(self, head: Head) -> bool:
        """Tell whether a ledger that stands at this head is not past the target."""
        return (
            (self.seq is None or head.seq <= self.seq)
            and (self.at_ns is None or head.recorded_at_ns <= self.at_ns)
            and (self.link is None or head.link <= self.link)
        )

    def in_words(self) -> str:
        """Return the target as a person reads it."""
        if self.seq is not None:
            return f"entry {self.seq}"
        if self.link is not None:
            return f"link {self.link}"
        return "the newest entry" if self.at_ns is None else f"{self.at_ns} ns UTC"


def target_of(text: str) -> Target:
    """Read a target: a number of an entry, an ISO 8601 time with its zone, or nothing for the newest.

    Raises:
        ValueError: it is neither; the message says what is allowed.
    """
    if not text:
        return Target()
    if text.isascii() and text.isdigit():
        return Target(seq=int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(
            f"'{text}' is neither the number of an entry nor a time with its zone, such as 2025-03-12T20:00:00Z."
        )
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return Target(at_ns=((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * _NS_PER_US)


def _nothing(_book: Book, _head: Head) -> None:
    return


def restore(
    folder: BackupFolder,
    target: Target,
    to: Path,
    on_write: Callable[[Book, Head], None] = _nothing,
    *,
    from_before: int | None = None,
) -> Head:
    """Build the ledger as it was, beside its place, check it, and only then give it its name.

    Args:
        folder: the backups.
        target: up to which write.
        to: a path that does not exist yet. Its head goes beside it, as {to}.head.
        on_write: told of each write that was done again, with the book as it is then.
        from_before: begin with a base that ends before this link; None: with the newest that is not past the target.

    Raises:
        BackupError: there is no way to the target, or what comes of it is not sound.
    """
    if to.exists():
        raise BackupError(f"{to} exists: a ledger is never written over. Restore to a new file, and then swap them.")
    building = to.with_name(to.name + ".restoring")
    try:
        base = _base_for(folder, target, from_before)
        for leftover in (building, *(Path(f"{building}-{end}") for end in ("wal", "shm", "journal"))):
            leftover.unlink(missing_ok=True)
        shutil.copyfile(folder.base_of(base), building)
        building.chmod(0o600)
        head = _replay(folder, base, target, building=building, on_write=on_write)
        if target.seq is not None and head.seq != target.seq:
            raise BackupError(f"The backups in {folder.root} reach only to entry {head.seq}, not to {target.seq}.")
        verdict = verify_file(building, head)
        if verdict.faults or verdict.head != head:
            raise BackupError(f"What was restored to {building} is not sound: {'; '.join(verdict.faults)}.")
        with building.open("rb+") as file:
            os.fsync(file.fileno())
        to.with_name(to.name + ".head").write_text(head_line(head), encoding="ascii")
        building.replace(to)
        sync_folder(to.parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"The ledger cannot be restored to {to}: {error}.") from error
    return head


def rehearse(folder: BackupFolder, base: Manifest) -> Manifest | None:
    """Restore up to a base from the one before it, and compare; None where there is none before.

    So the redo log between them, and the way back through it, are known to be good while the ledger still lives.

    Raises:
        BackupError: it cannot be restored, or what comes of it is not what the base holds.
    """
    before = [manifest for manifest in folder.manifests() if manifest.link < base.link]
    if not before:
        return None
    try:
        with TemporaryDirectory(prefix=REHEARSAL, dir=folder.root) as scratch:
            to = Path(scratch) / "restored.db"
            head = restore(folder, Target(link=base.link), to, from_before=base.link)
            with closing(open_reader(to)) as db:
                digest = digest_of(db)
    except OSError as error:
        raise BackupError(f"A restore cannot be rehearsed in {folder.root}: {error}.") from error
    if (head.link, head.hash, digest) != (base.link, base.hash, base.digest):
        raise BackupError(
            f"The base of entry {before[-1].seq} and the redo log in {folder.redo} do not give what the base of entry "
            f"{base.seq} holds: they reach link {head.link} of {base.link}. Keep both, and look into the redo log."
        )
    return before[-1]


def _base_for(folder: BackupFolder, target: Target, from_before: int | None) -> Manifest:
    """The newest sound base that is not past the target; a damaged one is passed over."""
    faults: list[str] = []
    for manifest in reversed(folder.manifests()):
        head = Head(link=manifest.link, seq=manifest.seq, hash=manifest.hash, recorded_at_ns=manifest.recorded_at_ns)
        if not target.has(head) or (from_before is not None and manifest.link >= from_before):
            continue
        fault = base_fault(folder, manifest)
        if not fault:
            return manifest
        faults.append(fault)
    raise BackupError(
        f"No sound base in {folder.bases} is as old as {target.in_words()}{': ' if faults else ''}{'; '.join(faults)}."
    )


def _replay(
    folder: BackupFolder, base: Manifest, target: Target, *, building: Path, on_write: Callable[[Book, Head], None]
) -> Head:
    db = sqlite3.connect(building, isolation_level=None)
    book = Book(building, db)
    try:
        harden(db)
        # It is thrown away unless it is whole: no power cut matters before the end.
        db.execute("PRAGMA synchronous = OFF")
        head = book.head()
        for item in read_writes(folder.redo, base.genesis, after_link=base.link):
            if isinstance(item, RedoFault):
                if item.is_torn:
                    break
                raise BackupError(f"The redo log {item.path} breaks off at byte {item.offset}: {item.words}.")
            if not target.has(item.head):
                break
            _apply(book, item, head)
            head = item.head
            on_write(book, head)
    finally:
        book.close()
    return head


def _apply(book: Book, write: Write, head: Head) -> None:
    first = write.links[0]
    if (first.link, first.prev_hash) != (head.link + 1, head.hash):
        raise BackupError(f"The redo log has a gap: link {first.link} does not follow link {head.link}.")
    try:
        book.apply(write)
    except LedgerError as error:
        raise BackupError(f"A write of the redo log cannot be done again: {error}") from error
