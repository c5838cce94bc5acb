"""A service that keeps dying is not started for ever: more than three restarts in a minute, and it stays down.

The starts are counted in a file of the run folder, which the service itself writes before it does anything else. An
end that supervisord does not repeat is forgotten, so that `supervisorctl restart` never counts.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from bus.clock import NS_PER_MINUTE
from config.paths import HomePaths

RULE: Final = "crash_loop"
RESTARTS_MAX: Final = 3
WINDOW_NS: Final = NS_PER_MINUTE


def recent(starts_ns: Sequence[int], now_ns: int) -> list[int]:
    """Return the starts of the last minute; a time ahead of now is from before this machine was booted."""
    return [start for start in starts_ns if now_ns - WINDOW_NS < start <= now_ns]


class Starts:
    """The starts of one service under one supervisord.

    Args:
        paths: the home.
        service: whose starts.
        supervisor: supervisord's process id; another one was started by a person, who starts the count anew.
    """

    def __init__(self, paths: HomePaths, service: str, supervisor: int) -> None:
        self._path = paths.run / f"{service}.starts.json"
        self._supervisor = supervisor

    def note(self, now_ns: int) -> bool:
        """Count this start; return False, and count from zero again, when it is one restart too many.

        Raises:
            OSError: the file cannot be written.
        """
        starts = [*recent(self._read(), now_ns), now_ns]
        if len(starts) - 1 > RESTARTS_MAX:
            self.forget()
            return False
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({"supervisord": self._supervisor, "starts_boot_ns": starts}), encoding="utf-8")
        os.replace(part, self._path)
        return True

    def forget(self) -> None:
        """Start the count anew; a file that cannot be removed only makes the count too high."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _read(self) -> list[int]:
        """Return the known starts; a file that cannot be read, or is another supervisord's, holds none."""
        try:
            known = json.loads(self._path.read_bytes())
            is_ours = known["supervisord"] == self._supervisor
            return [int(start) for start in known["starts_boot_ns"]] if is_ours else []
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return []
