"""How far a long run is: a bar with the time left on a terminal, a plain line for each tenth elsewhere."""

from collections.abc import Callable
from time import monotonic
from typing import Final, TextIO

_WIDTH: Final = 30
_REFRESH_S: Final = 0.1


class Progress:
    """A bar on one line, on the error stream so that results can be piped.

    Args:
        out: where to show it.
        clock: seconds that only rise.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = monotonic) -> None:
        self._out = out
        self._clock = clock
        self._is_terminal = out.isatty()
        self._start = clock()
        self._shown_at = float("-inf")
        self._tenth = 0
        self._width = 0

    def move(self, done: int, total: int, what: str) -> None:
        """Show that `done` of `total` is done, and what is being done now."""
        now = self._clock()
        share = done / total if total else 1.0
        line = f"{share:4.0%}  {what}{self._left(share, now)}"
        if self._is_terminal:
            if now - self._shown_at >= _REFRESH_S or done >= total:
                self._shown_at = now
                filled = int(share * _WIDTH)
                self._put(f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {line}")
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            self._out.write(f"{line}\n")
            self._out.flush()

    def end(self) -> None:
        """Leave the bar's line."""
        if self._is_terminal and self._width:
            self._out.write("\n")
            self._out.flush()

    def _left(self, share: float, now: float) -> str:
        if not 0 < share < 1:
            return ""
        seconds = round((now - self._start) * (1 - share) / share)
        return f"  {seconds // 60}:{seconds % 60:02d} left"

    def _put(self, line: str) -> None:
        self._out.write(f"\r{line.ljust(self._width)}")
        self._width = len(line)
        self._out.flush()
