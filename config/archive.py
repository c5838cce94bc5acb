"""Archives of a whole home: a zip, encrypted with a passphrase, that can be put back on an empty machine.

The file is age's own format (https://age-encryption.org/v1, passphrase recipient), so that `age -d` opens it as well
where there is no bot. Its key is made from the passphrase alone: nothing that is lost with the machine is needed.
SQLite files are copied by SQLite's own backup, whole and of one moment each, also while their owner writes.
"""

import hashlib
import io
import os
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
import pyrage
from msgspec import Struct

from config.paths import HomePaths

SUFFIX: Final = ".zip.age"
MANIFEST: Final = "MANIFEST.json"
PASSPHRASE_CHARS_MIN: Final = 16
#: What an archive may hold unpacked; a home is far below it. age works in memory, on the whole.
BYTES_MAX: Final = 2 * 1024**3
#: Never in an archive: sockets and locks, archives, the ledger's own restore line, which is as large as many ledgers,
#: the home in which TEST_MODE plays, and the permission to trade: what is restored has to be armed anew.
_LEFT_OUT: Final = ("run", "backups", "test_home", "control/arm.json", "control/control_start.txt", "state/ballast.bin")
_LEFT_OUT_FOLDERS: Final = ("entities/*/backups",)
_SQLITE_MAGIC: Final = b"SQLite format 3\x00"
_SQLITE_TAILS: Final = ("-wal", "-shm", "-journal")


class ArchiveError(Exception):
    """An archive cannot be written or read; the message names it and says what to do, without the passphrase."""


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an archive holds: the SHA-256 of each file by its path in the home, and of what it is an archive."""

    bot_identity: str
    session: str
    made_at_utc: str
    version: str
    files: dict[str, str]


class SealError(Exception):
    """The content was sealed with another passphrase, or is damaged."""


def seal(content: bytes, passphrase: str) -> bytes:
    """Encrypt as age does with a passphrase; scrypt makes that take about a second."""
    return bytes(pyrage.passphrase.encrypt(content, passphrase))


def unseal(content: bytes, passphrase: str) -> bytes:
    """Decrypt what `seal` made.

    Raises:
        SealError: another passphrase, or not a byte of it may be believed.
    """
    try:
        return bytes(pyrage.passphrase.decrypt(content, passphrase))
    except pyrage.DecryptError as error:
        raise SealError from error


def passphrase_fault(passphrase: str) -> str | None:
    """Return why this cannot be an archive's passphrase, without a part of it; None when it can be one."""
    if len(passphrase) < PASSPHRASE_CHARS_MIN or len(set(passphrase)) < PASSPHRASE_CHARS_MIN // 3:
        return f"The archives' passphrase needs at least {PASSPHRASE_CHARS_MIN} characters, several of them different"
    return None


def pack(paths: HomePaths, about: Manifest, passphrase: str, target: Path) -> Manifest:
    """Write an archive of a home, durably and whole or not at all, and return its manifest.

    Args:
        paths: the home.
        about: what to say of it; its `files` are found here.
        passphrase: opens the archive again.
        target: the file to make; it must not be there.

    Raises:
        ArchiveError: a file cannot be read, the disk refused, or the home is too large.
    """
    if target.exists():
        raise ArchiveError(f"{target} is there already. Nothing was written.")
    packed = io.BytesIO()
    sums: dict[str, str] = {}
    total = 0
    try:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
            for path in _files(paths.root):
                name = path.relative_to(paths.root).as_posix()
                content = content_of(path)
                total += len(content)
                if total > BYTES_MAX:
                    raise ArchiveError(
                        f"The home {paths.root} is larger than {BYTES_MAX >> 20} MiB: archive it by hand."
                    )
                sums[name] = hashlib.sha256(content).hexdigest()
                file.writestr(_entry(name), content)
            manifest = msgspec.structs.replace(about, files=sums)
            file.writestr(_entry(MANIFEST), msgspec.json.encode(manifest))
        _write_durably(target, seal(packed.getvalue(), passphrase))
    except OSError as error:
        raise ArchiveError(f"The archive {target} cannot be made: {error.strerror} ({error.filename}).") from error
    except sqlite3.Error as error:
        raise ArchiveError(f"A database of {paths.root} cannot be copied: {error}.") from error
    return manifest


def verify(archive: Path, passphrase: str) -> Manifest:
    """Open an archive, compare every file with its sum, check every database, and return the manifest.

    Raises:
        ArchiveError: the first thing that is wrong.
    """
    with _opened(archive, passphrase) as file:
        manifest = _manifest_of(archive, file)
        with tempfile.TemporaryDirectory(prefix="tb-archive-") as folder:
            for name, content in _checked(archive, file, manifest):
                if content.startswith(_SQLITE_MAGIC):
                    _check_database(archive, name, content, Path(folder))
    return manifest


def unpack(archive: Path, passphrase: str, target: Path) -> Manifest:
    """Put an archive into a home that is empty or not there, after every file was compared with its sum.

    Raises:
        ArchiveError: the place is not empty, or something is wrong with the archive; nothing is left there then.
    """
    if target.exists() and any(target.iterdir()):
        raise ArchiveError(f"{target} is not empty: nothing was touched. Name a folder that is new.")
    part = target.with_name(f".{target.name}.part")
    try:
        with _opened(archive, passphrase) as file:
            manifest = _manifest_of(archive, file)
            part.mkdir(mode=0o700, parents=True)
            for name, content in _checked(archive, file, manifest):
                path = part / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.write_bytes(content)
                path.chmod(0o600)
        if target.exists():
            target.rmdir()
        part.rename(target)
    except OSError as error:
        raise ArchiveError(f"{target} cannot be written: {error.strerror} ({error.filename}).") from error
    finally:
        _remove(part)
    return manifest


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        name = PurePosixPath(path.relative_to(root).as_posix())
        parents = [name, *name.parents]
        if any(str(parent) in _LEFT_OUT or any(parent.match(one) for one in _LEFT_OUT_FOLDERS) for parent in parents):
            continue
        # A symbolic link could lead out of the home; the bot makes none.
        if path.is_file() and not path.is_symlink() and not path.name.endswith(_SQLITE_TAILS):
            yield path


def content_of(path: Path) -> bytes:
    """Return a file's content; of a database that of one moment, also while its owner writes."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
            file.seek(0)
            return file.read()
    with tempfile.TemporaryDirectory(prefix="tb-archive-") as folder:
        copy = Path(folder) / "copy.db"
        uri = f"{path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy.read_bytes()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def _opened(archive: Path, passphrase: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(unseal(archive.read_bytes(), passphrase)))
    except OSError as error:
        raise ArchiveError(f"The archive {archive} cannot be read: {error.strerror}.") from error
    except SealError:
        raise ArchiveError(
            f"The archive {archive} does not open: another passphrase was used for it, or it is damaged."
        ) from None
    except zipfile.BadZipFile:
        raise ArchiveError(f"{archive} is not an archive of this bot.") from None


def _manifest_of(archive: Path, file: zipfile.ZipFile) -> Manifest:
    try:
        return msgspec.json.decode(file.read(MANIFEST), type=Manifest)
    except (KeyError, msgspec.MsgspecError):
        raise ArchiveError(f"{archive} is not an archive of this bot, or of another version of it.") from None


def _checked(archive: Path, file: zipfile.ZipFile, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    names = set(file.namelist()) - {MANIFEST}
    if names != manifest.files.keys():
        odd = min(names ^ manifest.files.keys())
        raise ArchiveError(f"{archive} and its manifest differ in {odd}. Take an older archive.")
    for name, wanted in manifest.files.items():
        where = PurePosixPath(name)
        if where.is_absolute() or ".." in where.parts:
            raise ArchiveError(f"{archive} has a file outside of the home: {name}.")
        content = file.read(name)
        if hashlib.sha256(content).hexdigest() != wanted:
            raise ArchiveError(f"{name} in {archive} is damaged. Take an older archive.")
        yield name, content


def _check_database(archive: Path, name: str, content: bytes, folder: Path) -> None:
    copy = folder / "check.db"
    copy.write_bytes(content)
    try:
        with closing(sqlite3.connect(copy)) as db:
            said = [str(row[0]) for row in db.execute("PRAGMA integrity_check(1)")]
    except sqlite3.DatabaseError as error:
        said = [str(error)]
    finally:
        for tail in ("", *_SQLITE_TAILS):
            copy.with_name(copy.name + tail).unlink(missing_ok=True)
    if said != ["ok"]:
        raise ArchiveError(f"The database {name} in {archive} is damaged: {said[0]}. Take an older archive.")


def _write_durably(target: Path, content: bytes) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True) if folder.exists() else ():
        path.rmdir() if path.is_dir() else path.unlink()
    if folder.exists():
        folder.rmdir()


def to_prune(names: Iterable[str], *, keep_days: int, keep_months: int, day_of: Callable[[str], str]) -> list[str]:
    """Return which archives may go: not among the newest days, and not the first of one of the newest months.

    Args:
        names: the archives' names.
        keep_days: how many of the newest days keep all of theirs.
        keep_months: how many of the newest months keep their first archive.
        day_of: the day of a name, YYYY-MM-DD.
    """
    ordered = sorted(names, key=lambda name: (day_of(name), name))
    days = sorted({day_of(name) for name in ordered})[-keep_days:]
    firsts: dict[str, str] = {}
    for name in ordered:
        firsts.setdefault(day_of(name)[:7], name)
    kept = set([firsts[month] for month in sorted(firsts)][-keep_months:])
    return [name for name in ordered if day_of(name) not in days and name not in kept]
