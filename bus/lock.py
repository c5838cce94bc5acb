"""One copy of each service for each home: a lock that dies with its process, taken before anything is bound."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from config.paths import HomePaths


class LockTakenError(Exception):
    """Another copy of the service runs on this home; the message names its process."""


@contextmanager
def service_lock(paths: HomePaths, service: str) -> Iterator[None]:
    """Hold the service's lock inside the block.

    Raises:
        LockTakenError: another process holds it; that one is undisturbed.
    """
    path = paths.run / f"{service}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(32).strip() or "unknown"
            raise LockTakenError(
                f"Another {service} (process {holder}) already runs on the home {paths.root}. "
                "Stop it first, or set TRADEBOT_HOME to another home."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
