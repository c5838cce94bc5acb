"""Named places where a process may die. In production they do nothing; tests make them kill.

Each point has two sides: `NAME:before` is reached before its action, `NAME:after` once the action is done. A name is
the service and the action, such as `execution.commit`. What a death at each of them must lead to is tested in
tests/simulation (every point, both sides) and, for the ones around the broker, on real processes in tests/chaos.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: A real process kills itself where this says: `NAME:before@MARKER` or `NAME:after@MARKER`, or several with commas.
#: It makes the marker file first, so that the restarted process lives; a point whose marker is there does nothing.
VARIABLE: Final = "TRADEBOT_FAILPOINT"


def _nothing(_name: str) -> None:
    return


_reached: Callable[[str], None] = _nothing


@contextmanager
def failpoints(reached: Callable[[str], None]) -> Iterator[None]:
    """Call `reached` with each point's name and side inside the block."""
    global _reached  # noqa: PLW0603 - one hook for the process, set by tests alone
    before, _reached = _reached, reached
    try:
        yield
    finally:
        _reached = before


def arm_from_environment() -> None:
    """Let this process die at the points that TRADEBOT_FAILPOINT names (`NAME:SIDE@MARKER`); nothing without it."""
    parts = (part.partition("@") for part in os.environ.get(VARIABLE, "").split(","))
    markers = {name: marker for name, _, marker in parts if name and marker}
    if not markers:
        return

    def die(name: str) -> None:
        marker = markers.get(name)
        if marker is not None and not os.path.exists(marker):
            os.close(os.open(marker, os.O_CREAT | os.O_WRONLY, 0o600))
            os.kill(os.getpid(), signal.SIGKILL)

    global _reached  # noqa: PLW0603 - see above
    _reached = die


class Failpoint:
    """One named place around an action: `with Failpoint("execution.submit"): ...`."""

    __slots__ = ("_after", "_before")

    def __init__(self, name: str) -> None:
        self._before, self._after = f"{name}:before", f"{name}:after"

    def __enter__(self) -> None:
        if _reached is not _nothing:
            _reached(self._before)

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if _reached is not _nothing and kind is None:
            _reached(self._after)
