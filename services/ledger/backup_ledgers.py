"""What is kept beside a ledger: whole verified copies (bases), the redo log of every write since, and its head.

entities/{ENTITY}_{JURISDICTION}/backups/{ledger}/base/{link}.db, {link}.json   redo/{link}.redo   quarantine/
"""

import os
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from services.ledger.failures import BackupError
from services.ledger.hash_chain import Head
from services.ledger.head_file import sync_folder
from services.ledger.redo import first_link_of, read_writes, schema_sha256, segments
from services.ledger.verify import digest_of, open_reader, verify

_PART: Final = ".part"
#: How the folder is called in which a new copy is restored from the one before it.
REHEARSAL: Final = "rehearsal-"
_NS_PER_DAY: Final = 86_400 * 1_000_000_000
_READ_BYTES: Final = 1 << 20


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a base holds. It is written only after the copy was verified, so a base without one does not count."""

    link: int
    seq: int
    hash: str
    recorded_at_ns: int
    genesis: str
    schema_sha256: str
    file_sha256: str
    digest: str


class BackupFolder:
    """The folder of one ledger's backups."""

    def __init__(self, ledger: Path) -> None:
        self.root = ledger.absolute().parent / "backups" / ledger.stem
        self.bases = self.root / "base"
        self.redo = self.root / "redo"
        self.quarantine = self.root / "quarantine"
        self.deeds = self.root / "deeds"

    def make(self) -> None:
        """Make the folders, readable by their owner alone.

        Raises:
            BackupError: the disk refuses.
        """
        try:
            for folder in (self.bases, self.redo, self.quarantine, self.deeds):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self.root.parent)
            sync_folder(self.root)
        except OSError as error:
            raise _refused(self.root, error) from error

    def remove_parts(self) -> None:
        """Remove copies that were not finished when their process died, and what was restored to compare them.

        Raises:
            BackupError: the disk refuses.
        """
        try:
            for path in self.bases.glob(f"*{_PART}*"):
                path.unlink(missing_ok=True)
            for folder in self.root.glob(f"{REHEARSAL}*"):
                shutil.rmtree(folder)
        except OSError as error:
            raise _refused(self.root, error) from error

    def manifests(self) -> list[Manifest]:
        """Return what the verified bases hold, oldest first; one whose manifest is damaged does not count."""
        found: list[Manifest] = []
        for path in sorted(self.bases.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Manifest))
            except (OSError, msgspec.MsgspecError, RecursionError):
                continue
        return found

    def base_of(self, manifest: Manifest) -> Path:
        """Return the copy that a manifest tells of."""
        return self.bases / f"{manifest.link:012d}.db"


def make_base(ledger: Path, folder: BackupFolder) -> Manifest:
    """Copy a ledger whole, verify the copy, and only then let it count. The writer is not kept waiting.

    Raises:
        BackupError: the disk refuses, or the copy is not sound.
    """
    part = folder.bases / f"new{os.getpid()}{_PART}"
    try:
        part.unlink(missing_ok=True)
        with closing(open_reader(ledger)) as db, closing(sqlite3.connect(part, isolation_level=None)) as copy:
            # In one step: page by page it would begin again with every write of the service.
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        os.chmod(part, 0o400)
        manifest = _verified(part, ledger)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(folder.base_of(manifest))
        sync_folder(folder.bases)
        _write_manifest(folder.bases / f"{manifest.link:012d}.json", manifest)
        sync_folder(folder.bases)
    except (OSError, sqlite3.Error) as error:
        raise _refused(folder.bases, error) from error
    finally:
        part.unlink(missing_ok=True)
    return manifest


def base_fault(folder: BackupFolder, manifest: Manifest) -> str:
    """Return why a base is not what its manifest tells; empty when it is. Reads the whole file."""
    path = folder.base_of(manifest)
    try:
        if file_sha256(path) != manifest.file_sha256:
            return f"the base {path} was changed since it was verified"
    except OSError as error:
        return f"the base {path} cannot be read: {error.strerror}"
    return ""


def prune(folder: BackupFolder, *, bases_kept: int, redo_days_kept: int, now_ns: int) -> list[Path]:
    """Remove what is kept for longer than it has to be, and return it.

    The newest bases stay, and the oldest of those is read through first: nothing is removed that it does not replace.
    A redo segment goes when all of it is before that base and its newest write is older than the days that are kept.

    Raises:
        BackupError: the base that would have to stand for what is removed is damaged, or the disk refuses.
    """
    manifests = folder.manifests()
    if len(manifests) <= bases_kept:
        return []
    oldest = manifests[-bases_kept]
    if fault := base_fault(folder, oldest):
        raise BackupError(f"Nothing was removed from {folder.root}: {fault}.")
    gone: list[Path] = []
    for manifest in manifests[:-bases_kept]:
        gone += [folder.bases / f"{manifest.link:012d}.json", folder.base_of(manifest)]
    kept_from_ns = now_ns - redo_days_kept * _NS_PER_DAY
    found = segments(folder.redo)
    for path, after in pairwise(found):
        # The segment ends where the next begins.
        if first_link_of(after) > oldest.link + 1 or _newest_ns(folder, path, after, oldest.genesis) >= kept_from_ns:
            break
        gone.append(path)
    try:
        for path in gone:
            path.unlink(missing_ok=True)
        sync_folder(folder.bases)
        sync_folder(folder.redo)
    except OSError as error:
        raise _refused(folder.root, error) from error
    return gone


def covered_through(folder: BackupFolder, genesis: str, tip_link: int) -> int:
    """Return the link up to which the newest base and the redo log after it reach without a gap; 0 without a base."""
    bases = [
        m for m in folder.manifests() if m.genesis == genesis and m.link <= tip_link and folder.base_of(m).exists()
    ]
    if not bases:
        return 0
    covered = bases[-1].link
    for item in read_writes(folder.redo, genesis, after_link=covered):
        links = getattr(item, "links", ())
        if not links or links[0].link != covered + 1:
            break
        covered = links[-1].link
    return covered


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    total = sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            total.update(block)
    return total.hexdigest()


def _verified(part: Path, ledger: Path) -> Manifest:
    with closing(open_reader(part)) as db:
        verdict = verify(db)
        if verdict.faults or verdict.head is None:
            raise BackupError(
                f"The copy of the ledger {ledger} is not sound, so it does not count: {'; '.join(verdict.faults)}. "
                "Verify the ledger itself: `python -m services.ledger verify --ledger FILE`."
            )
        digest = digest_of(db)
        (genesis,) = db.execute("SELECT prev_hash FROM chain WHERE link = 1").fetchone()
    return _manifest(verdict.head, genesis, file_sha256(part), digest)


def _manifest(head: Head, genesis: str, file_hash: str, digest: str) -> Manifest:
    return Manifest(
        link=head.link,
        seq=head.seq,
        hash=head.hash,
        recorded_at_ns=head.recorded_at_ns,
        genesis=genesis,
        schema_sha256=schema_sha256(),
        file_sha256=file_hash,
        digest=digest,
    )


def _write_manifest(path: Path, manifest: Manifest) -> None:
    part = path.with_suffix(_PART)
    with part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _newest_ns(folder: BackupFolder, segment: Path, after: Path, genesis: str) -> int:
    newest = 0
    for item in read_writes(folder.redo, genesis, after_link=first_link_of(segment) - 1):
        links = getattr(item, "links", ())
        if not links or links[0].link >= first_link_of(after):
            break
        newest = links[-1].recorded_at_ns
    return newest


def _refused(folder: Path, error: OSError | sqlite3.Error) -> BackupError:
    return BackupError(
        f"The backups in {folder} cannot be written: {error}. Nothing is booked that cannot be kept: make space or "
        "replace the disk, and start the ledger again."
    )
