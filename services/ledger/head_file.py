"""The head of a ledger, kept outside of it: one line that says how far it must reach, and with which hash.

The chain inside the file shows every change of a row, but not that its end was cut off or that the whole of it was
written anew. The line is written over in place after each write; it has a check sum of its own, so that a line that a
power cut has torn is told from one that somebody changed.
"""

import os
import re
import zlib
from pathlib import Path
from typing import Final

from bus.clock import iso_utc
from config.paths import HomePaths
from services.ledger.failures import BackupError
from services.ledger.hash_chain import Head

_LINE: Final = re.compile(
    r"ledger-head 2 link=(\d{12}) entry=(\d{12}) recorded_ns=(\d{20}) at=(\S{20,40}) sha256=([0-9a-f]{64}) "
    r"crc32=([0-9a-f]{8})\n"
)


class HeadError(Exception):
    """The head file is there and cannot be read; the message names it."""


def head_path(paths: HomePaths, ledger_file: str) -> Path:
    """Return where the head of a ledger is kept."""
    return paths.state / f"{Path(ledger_file).stem}.head"


def head_path_of(ledger: Path) -> Path:
    """Return where the head of a ledger inside a home is kept, by the ledger's own path."""
    return ledger.absolute().parent.parent.parent / "state" / f"{ledger.stem}.head"


def head_line(head: Head) -> str:
    """Return the line."""
    text = (
        f"ledger-head 2 link={head.link:012d} entry={head.seq:012d} recorded_ns={head.recorded_at_ns:020d} "
        f"at={iso_utc(head.recorded_at_ns)} sha256={head.hash}"
    )
    return f"{text} crc32={zlib.crc32(text.encode()):08x}\n"


def read_head(path: Path) -> Head | None:
    """Return the head that was written last; None where there is no file.

    Raises:
        HeadError: it cannot be read, was torn, or was changed without its check sum.
    """
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise HeadError(f"The head of the ledger {path} cannot be read: {error}.") from error
    found = _LINE.fullmatch(text)
    if found is None or f"{zlib.crc32(text[: text.rindex(' crc32=')].encode()):08x}" != found[6]:
        raise HeadError(f"The head of the ledger {path} is damaged: it is not one whole line with its check sum.")
    return Head(link=int(found[1]), seq=int(found[2]), recorded_at_ns=int(found[3]), hash=found[5])


class HeadFile:
    """The head file while the service runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def write(self, head: Head, *, is_synced: bool = True) -> None:
        """Write a head over the one before, and sync it unless something else that is synced tells of it.

        Raises:
            BackupError: the disk refuses.
        """
        try:
            if self._descriptor < 0:
                is_new = not self._path.exists()
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                # Every line has the same length, so from now on nothing but its bytes changes.
                os.ftruncate(self._descriptor, len(head_line(head)))
                if is_new:
                    sync_folder(self._path.parent)
            os.pwrite(self._descriptor, head_line(head).encode(), 0)
            if is_synced:
                sync_data(self._descriptor)
        except OSError as error:
            raise BackupError(
                f"The head of the ledger {self._path} cannot be written: {error.strerror}. The ledger stops; make "
                "space or replace the disk, and start it again."
            ) from error

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def sync_data(descriptor: int) -> None:
    """Make the bytes of an open file, and its length, survive a power cut.

    Raises:
        OSError: the disk refuses.
    """
    getattr(os, "fdatasync", os.fsync)(descriptor)  # macOS has no fdatasync


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
