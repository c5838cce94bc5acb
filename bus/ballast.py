"""Disk space held in reserve: a file that is given up when the disk is full, so that a stop can still be written."""

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from config.paths import HomePaths

logger = logging.getLogger(__name__)
BALLAST_FILE: Final = "ballast.bin"
BALLAST_BYTES: Final = 64 * 1024 * 1024
#: The ballast is only taken from a disk that has room.
ROOM_BYTES_MIN: Final = 1024 * 1024 * 1024
_CHUNK: Final = bytes(1024 * 1024)


def free_bytes_at(path: Path) -> int:
    """Return the free bytes for this user where a path is; 0 when that cannot be found out."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        logger.warning("the free space of %s is not known: %s", path, error)
        return 0
    return found.f_bavail * found.f_frsize


class Ballast:
    """The file `state/ballast.bin` of one home."""

    def __init__(self, paths: HomePaths) -> None:
        self._path = paths.state / BALLAST_FILE

    def make(self, free_bytes: int) -> bool:
        """Take the space where there is room and it is not taken yet; return whether this call did."""
        if free_bytes <= ROOM_BYTES_MIN or self._path.exists():
            return False
        try:
            with self._path.open("xb") as file:
                _fill(file.fileno(), file.write)
        except OSError as error:
            logger.warning("no disk space could be set aside in %s: %s", self._path, error)
            self._path.unlink(missing_ok=True)
            return False
        return True

    def release(self) -> bool:
        """Give the space back; return whether there was any."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            logger.warning("%s could not be given up: %s", self._path, error)
            return False
        logger.warning("the space set aside in %s was given up", self._path)
        return True


def _fill(descriptor: int, write: Callable[[bytes], int]) -> None:
    """Take BALLAST_BYTES on the disk, by the system's own call or by writing."""
    reserve = getattr(os, "posix_fallocate", None)
    if reserve is not None:
        try:
            reserve(descriptor, 0, BALLAST_BYTES)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
        else:
            return
    for _ in range(BALLAST_BYTES // len(_CHUNK)):
        write(_CHUNK)
