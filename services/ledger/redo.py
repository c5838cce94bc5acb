"""The redo log: every write of the ledger, on disk before it is committed.

A segment is a text file whose name is the number of its first link. Its first line says which ledger and which schema
it belongs to; every further line is one write with all the rows of its links. A line has its length and its check sum
in front: one that a crash has torn is told from one that somebody changed, and only the last line can be torn.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from services.ledger.coa_utils_ledger import SCHEMA_FILE
from services.ledger.failures import BackupError
from services.ledger.hash_chain import Head, Link
from services.ledger.head_file import sync_data, sync_folder

FORMAT: Final = 1
_SUFFIX: Final = ".redo"
_PREFIX_BYTES: Final = 20
#: One write is an entry with its commodities, or a chart of accounts of 2,000 accounts.
LINE_BYTES_MAX: Final = 8 * 1024 * 1024


class SegmentHeader(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line of a segment. `genesis` is the hash that the first link of the ledger follows."""

    format: int
    genesis: str
    schema_sha256: str
    first_link: int


class Write(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One write: the links of one entry or of one other thing, and the newest entry after it.

    `followed_by` is how many of the writes after it were committed with it.
    """

    seq: int
    links: tuple[Link, ...]
    followed_by: int = 0

    @property
    def head(self) -> Head:
        """Return where the ledger stands after this write."""
        last = self.links[-1]
        return Head(link=last.link, seq=self.seq, hash=last.hash, recorded_at_ns=last.recorded_at_ns)


class Keeper(Protocol):
    """What keeps each write outside of the ledger file, before and after its commit."""

    def keep(self, writes: Sequence[Write]) -> None:
        """Put writes on disk before they are committed together."""
        ...

    def take_back(self) -> None:
        """Remove the newest writes, whose commit a rule refused."""
        ...

    def committed(self, writes: Sequence[Write]) -> None:
        """Remember where the ledger stands after a commit."""
        ...


class RedoFault(Struct, frozen=True, kw_only=True):
    """Where the log cannot be read on. `is_torn`: it is the unfinished last line, which no commit can have followed."""

    path: Path
    offset: int
    words: str
    is_torn: bool


def schema_sha256() -> str:
    """Return the SHA-256 of this program's schema."""
    return sha256(SCHEMA_FILE.read_bytes()).hexdigest()


def segments(folder: Path) -> list[Path]:
    """Return the segments of a redo folder, oldest first."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def first_link_of(segment: Path) -> int:
    """Return the number of a segment's first link, by its name."""
    return int(segment.name.removesuffix(_SUFFIX)) if segment.name.removesuffix(_SUFFIX).isdigit() else 0


def read_writes(folder: Path, genesis: str, after_link: int = 0) -> Iterator[Write | RedoFault]:
    """Yield every write after a link, oldest first; a fault is the last that is yielded."""
    found = segments(folder)
    for number, path in enumerate(found):
        if number + 1 < len(found) and first_link_of(found[number + 1]) <= after_link + 1:
            # All of it is before what is asked for.
            continue
        for item in _read_segment(path, genesis, is_last=number + 1 == len(found)):
            if isinstance(item, RedoFault):
                yield item
                return
            if item.links[-1].link > after_link:
                yield item


def newest_write(folder: Path) -> Write | None:
    """Return the last write of a redo log of any schema; None where there is none. A line that was torn is no write.

    Raises:
        BackupError: the last segment is not what this program writes.
    """
    for path in reversed(segments(folder)):
        lines = path.read_bytes().splitlines(keepends=True)
        payloads = [payload for line in lines[1:] if (payload := _payload(line)[0]) is not None]
        if payloads:
            try:
                return msgspec.json.decode(payloads[-1], type=Write)
            except (msgspec.MsgspecError, RecursionError) as error:
                raise BackupError(f"The last write of the redo log {path} cannot be read: {error}.") from error
    return None


def is_of_this_schema(segment: Path) -> bool:
    """Tell whether a segment was written under this program's schema."""
    with segment.open("rb") as file:
        payload, _ = _payload(file.readline(LINE_BYTES_MAX))
    try:
        header = msgspec.json.decode(payload or b"", type=SegmentHeader)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return header.schema_sha256 == schema_sha256()


def _read_segment(path: Path, genesis: str, *, is_last: bool) -> Iterator[Write | RedoFault]:
    offset = 0
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES_MAX):
            payload, words = _payload(line)
            if payload is None:
                # A crash leaves a part of the last line; anything after it proves that it is no crash's.
                is_torn = is_last and not file.read(1)
                yield RedoFault(path=path, offset=offset, words=words, is_torn=is_torn)
                return
            try:
                if offset == 0:
                    words = _header_fault(msgspec.json.decode(payload, type=SegmentHeader), genesis)
                else:
                    yield msgspec.json.decode(payload, type=Write)
            except (msgspec.MsgspecError, RecursionError) as error:
                words = f"it is no record of this format: {error}"
            if words:
                yield RedoFault(path=path, offset=offset, words=words, is_torn=False)
                return
            offset += len(line)
    if offset == 0:
        yield RedoFault(path=path, offset=0, words="the file is empty", is_torn=is_last)


def _payload(line: bytes) -> tuple[bytes | None, str]:
    prefix, payload = line[:_PREFIX_BYTES], line[_PREFIX_BYTES:-1]
    if not line.endswith(b"\n") or len(line) <= _PREFIX_BYTES:
        return None, "the line is not whole"
    if prefix != _prefix(payload):
        return None, "the line does not have its length or its check sum"
    return payload, ""


def _prefix(payload: bytes) -> bytes:
    return f"{len(payload):010d} {zlib.crc32(payload):08x} ".encode()


def _line(value: Struct) -> bytes:
    payload = msgspec.json.encode(value)
    return _prefix(payload) + payload + b"\n"


def _header_fault(header: SegmentHeader, genesis: str) -> str:
    if header.format != FORMAT:
        return f"its format is {header.format}, and this program knows {FORMAT}"
    if header.genesis != genesis:
        return "it belongs to another ledger"
    if header.schema_sha256 != schema_sha256():
        return "it was written under another schema: use the program that wrote it"
    return ""


class RedoLog:
    """The redo log while the service runs: one open segment that is appended to."""

    def __init__(self, folder: Path, genesis: str) -> None:
        self.folder = folder
        self._genesis = genesis
        self._descriptor = -1
        self._size = self._before = 0

    def append(self, writes: Sequence[Write]) -> None:
        """Put writes on disk, a line for each; when this returns all of them survive a power cut.

        Raises:
            BackupError: the disk refuses, and nobody knows what is on it; the ledger is closed after that.
        """
        try:
            if self._descriptor < 0:
                self._open(writes[0].links[0].link)
            self._before = self._size
            self._put(b"".join(map(_line, writes)))
            sync_data(self._descriptor)
        except OSError as error:
            raise self._refused(error) from error

    def take_back(self) -> None:
        """Remove the newest writes, whose commit was refused by a rule: they must not be done at the next start.

        Raises:
            BackupError: the disk refuses.
        """
        try:
            os.ftruncate(self._descriptor, self._before)
            os.lseek(self._descriptor, self._before, os.SEEK_SET)
            self._size = self._before
            sync_data(self._descriptor)
        except OSError as error:
            raise self._refused(error) from error

    def begin_segment(self) -> None:
        """Let the next write open a segment of its own; the one before is made read-only."""
        if self._descriptor >= 0:
            os.fchmod(self._descriptor, 0o400)
        self.close()

    def continue_segment(self) -> None:
        """Go on in the newest segment, which was read whole.

        Raises:
            BackupError: the disk refuses.
        """
        found = segments(self.folder)
        try:
            if found and os.access(found[-1], os.W_OK) and found[-1].stat().st_mode & 0o200:
                self._descriptor = os.open(found[-1], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
                self._size = os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Release the segment."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, first_link: int) -> None:
        path = self.folder / f"{first_link:012d}{_SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        header = SegmentHeader(
            format=FORMAT, genesis=self._genesis, schema_sha256=schema_sha256(), first_link=first_link
        )
        self._put(_line(header))
        sync_folder(self.folder)

    def _put(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._size += len(line)

    def _refused(self, error: OSError) -> BackupError:
        return BackupError(
            f"The redo log in {self.folder} cannot be written: {error.strerror}. Nothing is booked that is not kept "
            "first: the ledger stops, the chain halts, and fills wait in execution's outbox. Make space or replace the "
            "disk, and start the ledger again."
        )


def write_head_of(writes: Sequence[Write]) -> int:
    """Return the newest link of writes; 0 where there are none."""
    return writes[-1].links[-1].link if writes else 0
