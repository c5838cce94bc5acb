"""The equity of the session, a point for each stretch of its clock, kept in a file so that a restart loses none."""

import logging
from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from bus import messages as m
from services.web import frames

POINTS_MAX: Final = 3000
#: The curve has one point for each stretch of this length on the session's clock; later values replace it.
STEP_MS: Final = 15_000
#: A file that is longer is of no session: it is not read.
_BYTES_MAX: Final = 4 * 1024 * 1024
log = logging.getLogger(__name__)


class _Line(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    session_date: str
    at_ms: int
    equity: str


class SessionCurve:
    """The points of one session; not thread-safe, its owner has the lock.

    Args:
        path: a file of lines to which each point is added; None = memory alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.session_date = ""
        self._path = path
        self._points: deque[tuple[int, str]] = deque(maxlen=POINTS_MAX)
        for line in _read(path):
            self._take(line)

    def points(self) -> list[tuple[int, str]]:
        """Return time in milliseconds and equity in dollars of every point, oldest first."""
        return list(self._points)

    def add(self, message: m.PortfolioSnapshot) -> dict[str, Any]:
        """Take what risk says of the account, and return the point that it makes or changes."""
        at_ms = message.ts_event // frames.NS_PER_MS // STEP_MS * STEP_MS
        line = _Line(message.session_date, at_ms, frames.dollars(message.equity_micros))
        is_new_day = line.session_date != self.session_date
        if self._take(line):
            self._keep(line, begins=is_new_day)
        return {"session_date": line.session_date, "point": (at_ms, line.equity)}

    def _take(self, line: _Line) -> bool:
        """Put a point in; False when it changes the value of the newest one alone."""
        if line.session_date != self.session_date:
            self._points.clear()
            self.session_date = line.session_date
        # A session that is played again begins before what was heard of it.
        goes_back = bool(self._points) and self._points[-1][0] > line.at_ms
        while self._points and self._points[-1][0] > line.at_ms:
            self._points.pop()
        is_known = bool(self._points) and self._points[-1][0] == line.at_ms
        if is_known:
            self._points.pop()
        self._points.append((line.at_ms, line.equity))
        return not is_known or goes_back

    def _keep(self, line: _Line, *, begins: bool) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("wb" if begins else "ab") as out:
                out.write(msgspec.json.encode(line) + b"\n")
            self._path.chmod(0o600)
        except OSError:
            # The curve is in memory and shown; only a restart would lose it.
            log.exception("the curve cannot be kept in %s", self._path)


def _read(path: Path | None) -> list[_Line]:
    try:
        if path is None or path.stat().st_size > _BYTES_MAX:
            return []
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=_Line))
        except msgspec.MsgspecError:
            # A crash may have cut the last one off.
            continue
    return found
