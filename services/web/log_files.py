"""The services' log files as the page of logs reads them: by the ids of a listing, filtered, with secrets masked."""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
#: The end of a file that is searched for the newest lines; a download has the whole file.
TAIL_BYTES: Final = 4 * 1024 * 1024
LINES_SHOWN: Final = 300
MASK: Final = "[secret]"
_SECRET_CHARS_MIN: Final = 6
_FILE: Final = re.compile(r"([a-z_]{1,32})\.log(?:\.([0-9]{1,2}))?")
#: What looks like a secret though none of ours: the word before it says so.
_LOOKS_SECRET: Final = re.compile(
    r"(?i)\b((?:api[-_ ]?key|secret|token|password|passwd|authorization|bearer)\b[\"']?\s*[:=]?\s*[\"']?(?:bearer\s+)?)"
    r"[A-Za-z0-9+/_\-.~]{12,}=*"
)
_FIELDS: Final = ("timestamp", "level", "service", "logger", "message")


class LogFile(Struct, frozen=True, kw_only=True):
    """One file of the listing: its id, whose it is, which rotation (0 = the one being written), its size in bytes."""

    file_id: str
    service: str
    rotation: int
    size: int
    path: Path


class LogLine(Struct, frozen=True, kw_only=True):
    """One record; a line that is none has its text as the message and no level."""

    timestamp: str
    level: str
    service: str
    logger: str
    message: str


def listing(folder: Path) -> dict[str, LogFile]:
    """Return the log files of a folder by id, each service's newest first. Links and strange names are left out."""
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = []
    for path in paths:
        match = _FILE.fullmatch(path.name)
        if match and path.is_file() and not path.is_symlink():
            rotation = int(match[2] or 0)
            file_id = f"{match[1]}.{rotation}" if rotation else match[1]
            found.append(
                LogFile(file_id=file_id, service=match[1], rotation=rotation, size=path.stat().st_size, path=path)
            )
    return {one.file_id: one for one in sorted(found, key=lambda one: (one.service, one.rotation))}


class Masker:
    """Takes secrets out of text: those that the vault keeps, and what looks like one."""

    def __init__(self, kept: Iterable[str]) -> None:
        words = sorted({word for word in kept if len(word) >= _SECRET_CHARS_MIN}, key=len, reverse=True)
        self._kept = re.compile("|".join(map(re.escape, words))) if words else None

    def clean(self, text: str) -> str:
        """Return the text with MASK in place of each secret."""
        if self._kept is not None:
            text = self._kept.sub(MASK, text)
        return _LOOKS_SECRET.sub(lambda match: f"{match[1]}{MASK}", text)


def newest_lines(
    files: Iterable[LogFile], masker: Masker, *, level: str = "", text: str = "", lines_max: int = LINES_SHOWN
) -> list[LogLine]:
    """Return the newest lines of some files that are at least of a level and have a text in them, newest last."""
    wanted, least = text.casefold(), LEVELS.index(level) if level in LEVELS else 0
    found: list[LogLine] = []
    for file in files:
        lines = (line for line in _tail(file, masker) if _rank(line.level) >= least)
        fitting = [line for line in lines if not wanted or wanted in f"{line.logger} {line.message}".casefold()]
        found += fitting[-lines_max:]
    # Lines of one moment keep the order of their file.
    return sorted(found, key=lambda line: line.timestamp)[-lines_max:]


def whole(file: LogFile, masker: Masker) -> Iterator[str]:
    """Yield every line of a file with its line break, masked."""
    with file.path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            yield masker.clean(line)


def _tail(file: LogFile, masker: Masker) -> Iterator[LogLine]:
    try:
        with file.path.open("rb") as source:
            source.seek(max(0, file.size - TAIL_BYTES))
            content = source.read(TAIL_BYTES * 2)
    except FileNotFoundError:
        # It was rotated away since the listing was made.
        return
    rows = content.decode("utf-8", errors="replace").splitlines()
    # The first line of a cut file is a part of one.
    for row in rows[1:] if file.size > TAIL_BYTES else rows:
        if row.strip():
            yield _line(masker.clean(row), file.service)


def _line(row: str, service: str) -> LogLine:
    try:
        values: Any = msgspec.json.decode(row) if row.startswith("{") else None
    except msgspec.MsgspecError:
        values = None
    if isinstance(values, dict):
        return LogLine(**{name: str(values.get(name, "")) for name in _FIELDS})
    cells = next(csv.reader([row]), [])
    if len(cells) == len(_FIELDS) and cells[1] in LEVELS:
        return LogLine(**dict(zip(_FIELDS, cells, strict=True)))
    return LogLine(timestamp="", level="", service=service, logger="", message=row)


def _rank(level: str) -> int:
    """Return how bad a level is; a line without one is as bad as can be, so that no filter hides a traceback."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)
