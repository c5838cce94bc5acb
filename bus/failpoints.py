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

#: A real process that finds its point here kills itself there, once: `NAME:before` or `NAME:after`, and a marker file
#: that it makes first, so that the restarted process lives.
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
    """Let this process die at the point that TRADEBOT_FAILPOINT names (`NAME:SIDE@MARKER`); nothing without it."""
    wanted, _, marker = os.environ.get(VARIABLE, "").partition("@")
    if not wanted or not marker or os.path.exists(marker):
        return

    def die(name: str) -> None:
        if name == wanted and not os.path.exists(marker):
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
        _reached(self._before)

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is None:
            _reached(self._after)
