"""Real processes take their time: wait until something holds, and see whether a process is there."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(holds: Callable[[], T], what: str, timeout_s: float = 60) -> T:
    """Ask again and again until the answer is true, and return it; `what` says what is wrong if it never is."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"after {timeout_s} s: {what}")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
