"""Which generation of the secrets a running chain uses: the one that was in force when its first service started.

The number is in `run/generation`. Every service of the chain shares a lock for as long as it lives; whoever finds
that nobody has it starts a chain, and pins what is in force. So a service that is restarted in mid-session opens what
the others opened, whatever was saved meanwhile; and the keys of the bus are of one generation.
"""

import fcntl
import os
import re
import time
from collections.abc import Callable
from typing import Final

from config.paths import HomePaths

PIN_FILE: Final = "generation"
LOCK_FILE: Final = "generation.lock"
#: How often and for how long whoever joins tries to be the first: somebody who only looks holds the lock for a moment.
_TRIES: Final = 10
_POLL_S: Final = 0.02
_NUMBER: Final = re.compile(r"g(\d{6})\n")


def pinned(paths: HomePaths) -> int:
    """Return the pinned generation; 0 where none is, or where the file cannot be read or is damaged."""
    try:
        found = _NUMBER.fullmatch((paths.run / PIN_FILE).read_text(encoding="ascii", errors="replace"))
    except OSError:
        return 0
    return int(found[1]) if found else 0


def is_chain_running(paths: HomePaths) -> bool:
    """Tell whether any service has joined and lives."""
    descriptor = _open_lock(paths)
    try:
        return not _locks(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def running_generation(paths: HomePaths) -> int:
    """Return the generation that a running chain uses; 0 where none runs."""
    return pinned(paths) if is_chain_running(paths) else 0


def join(paths: HomePaths, in_force: Callable[[], int]) -> int:
    """Join the chain for the life of this process and return its generation: the first service pins what is in force.

    Raises:
        OSError: the run folder cannot be written.
    """
    # Never closed: the lock lives as long as the process does, and the kernel lets go of it also after kill -9.
    descriptor = _open_lock(paths)
    if _is_first(descriptor):
        move(paths, in_force())
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    # Read under the shared lock: whoever pins has the lock alone, so the number is final while anybody lives.
    found = pinned(paths)
    if not found:
        move(paths, found := in_force())
    return found


def move(paths: HomePaths, generation: int) -> None:
    """Pin another generation: between two sessions, when every service is about to start anew.

    Raises:
        OSError: the run folder cannot be written.
    """
    part = paths.run / f".{PIN_FILE}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(f"g{generation:06d}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    part.replace(paths.run / PIN_FILE)


def _open_lock(paths: HomePaths) -> int:
    return os.open(paths.run / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_first(descriptor: int) -> bool:
    for _ in range(_TRIES):
        if _locks(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(_POLL_S)
    return False


def _locks(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
