"""Log lines: UTC, one line for each record, JSON or CSV by LOG_FORMAT; to the service's own file and to stderr."""

import csv
import io
import logging
import logging.handlers
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

from config.error_log import ErrorLog

LogFormat = Literal["JSON", "CSV"]
_FILE_BYTES_MAX: Final = 10 * 1024 * 1024
_FILES_KEPT: Final = 10
#: Where a record keeps the line that was made of it.
_LINE: Final = "tradebot_line"


class LineFormatter(logging.Formatter):
    """Writes one record as one line: timestamp, level, service, logger, message; line breaks are escaped.

    A record made with `extra={"fields": {...}}` has these in JSON beside the message, which says them in words.
    """

    def __init__(self, service: str, log_format: LogFormat) -> None:
        super().__init__()
        self._service = service
        self._format = log_format

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; it is made once for each record, whoever else writes or measures it."""
        line = record.__dict__.get(_LINE)
        if line is None:
            line = record.__dict__[_LINE] = self._line(record)
        return str(line)

    def _line(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        stamp = f"{seconds}.{int(record.msecs):03d}Z"
        values = (stamp, record.levelname, self._service, record.name, message)
        if self._format == "CSV":
            out = io.StringIO()
            csv.writer(out, lineterminator="").writerow([value.replace("\n", "\\n") for value in values])
            return out.getvalue()
        names = ("timestamp", "level", "service", "logger", "message")
        fields: dict[str, str] = record.__dict__.get("fields") or {}
        return msgspec.json.encode(fields | dict(zip(names, values, strict=True))).decode()


def create_logs(folder: Path, names: Iterable[str]) -> None:
    """Make each log that is not there yet, empty and for its owner alone; what is in one stays.

    Raises:
        OSError: the folder or a file cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.log").touch(mode=0o600, exist_ok=True)


def set_up_logs(service: str, log_format: LogFormat, folder: Path) -> None:
    """Send all log records of this process to `folder`/`service`.log (10 files of 10 MiB) and to stderr.

    Errors go to `folder`/errors.log too, which has those of all services.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    to_file = logging.handlers.RotatingFileHandler(
        folder / f"{service}.log", maxBytes=_FILE_BYTES_MAX, backupCount=_FILES_KEPT, encoding="utf-8"
    )
    to_file.setFormatter(LineFormatter(service, log_format))
    to_errors = ErrorLog(folder)
    to_errors.setFormatter(LineFormatter(service, log_format))
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(LineFormatter(service, log_format))
    # Nobody reads where in the code a line comes from: its logger's name says so, and finding out costs as much as the
    # rest of the line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_errors, to_stderr], force=True)
