"""One log of every service's errors, beside the logs of each: what an operator reads first.

Errors are few, so each line opens the file anew and holds its lock meanwhile: services write, and one of them rotates,
without knowing of each other.
"""

import fcntl
import logging
import os
from pathlib import Path
from typing import IO, Final

ERROR_LOG: Final = "errors.log"
_FILE_BYTES_MAX: Final = 10 * 1024 * 1024
_FILES_KEPT: Final = 10
#: How often a file may be rotated away between opening and locking it, before the line is written where it is.
_TRIES_MAX: Final = 5


class ErrorLog(logging.Handler):
    """Appends the records of level ERROR and above to one file that all services share.

    Args:
        folder: where the logs are.
        file_bytes_max: a file that is longer is set aside, and a new one begun.
    """

    def __init__(self, folder: Path, *, file_bytes_max: int = _FILE_BYTES_MAX) -> None:
        super().__init__(logging.ERROR)
        self._path = folder / ERROR_LOG
        self._bytes_max = file_bytes_max

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; what cannot be written goes the way of all logging's own faults, and stops nothing."""
        try:
            line = f"{self.format(record)}\n".encode()
            with self._locked() as file:
                file.write(line)
                if file.tell() > self._bytes_max:
                    self._rotate()
        except (OSError, ValueError):
            self.handleError(record)

    def _locked(self) -> IO[bytes]:
        """Return the file, open and locked; another process may have set aside the one that was opened."""
        for _ in range(_TRIES_MAX):
            file = self._path.open("ab")
            fcntl.flock(file, fcntl.LOCK_EX)
            if self._is_current(file):
                return file
            file.close()
        return self._path.open("ab")

    def _is_current(self, file: IO[bytes]) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        for number in range(_FILES_KEPT - 1, 0, -1):
            older = self._path.with_name(f"{ERROR_LOG}.{number}")
            if older.exists():
                older.replace(self._path.with_name(f"{ERROR_LOG}.{number + 1}"))
        self._path.replace(self._path.with_name(f"{ERROR_LOG}.1"))
