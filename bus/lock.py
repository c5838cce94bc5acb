"""One chain for each home and one copy of each service in it: locks that die with their process.

Both are taken before anything is bound: a second bind on an ipc path would steal it without an error.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from config.paths import HomePaths

HOME_LOCK_FILE: Final = "home.lock"
#: A process that was killed a moment ago, or somebody who looks whether the lock is free, holds it no longer than this.
_PATIENCE_S: Final = 1.0
_POLL_S: Final = 0.02
_PID_CHARS: Final = 32


class LockTakenError(Exception):
    """Another copy of the service, or another chain, runs on this home; the message names its process."""


@contextmanager
def service_lock(paths: HomePaths, service: str) -> Iterator[None]:
    """Hold the service's lock inside the block.

    Raises:
        LockTakenError: another process holds it; that one is undisturbed.
    """
    with (paths.run / f"{service}.lock").open("a+") as file:
        if not _is_got_in_time(lambda: _try(file, fcntl.LOCK_EX)):
            raise LockTakenError(
                f"Another {service} (process {_read(file) or 'unknown'}) already runs on the home {paths.root}. "
                "Stop it first, or set TRADEBOT_HOME to another home."
            )
        _write(file, os.getpid())
        yield


@contextmanager
def home_lock(paths: HomePaths, supervisor: int) -> Iterator[None]:
    """Hold the home for one chain inside the block: every service of it shares the lock, which names its supervisord.

    The text is only ever written by a process that has the lock alone, so that it cannot change while any service of
    the chain lives; whoever shares the lock therefore reads whose chain that is.

    Args:
        paths: the home.
        supervisor: the process id of the supervisord that this service belongs to.

    Raises:
        LockTakenError: a service of another supervisord lives on this home.
    """
    with (paths.run / HOME_LOCK_FILE).open("a+") as file:
        if not _is_got_in_time(lambda: _joins(file, str(supervisor))):
            raise LockTakenError(
                f"Another chain (supervisord is process {_read(file) or 'unknown'}) already runs on the home "
                f"{paths.root}. Stop it first: supervisorctl -c {paths.run / 'supervisord.conf'} shutdown; or set "
                "TRADEBOT_HOME to another home."
            )
        yield


def is_held(paths: HomePaths, name: str) -> bool:
    """Tell whether a process holds this lock file of the run folder, without leaving anything in it."""
    try:
        with (paths.run / name).open() as file:
            # A lock that is shared by others is not to be had alone either.
            return not _try(file, fcntl.LOCK_EX)
    except FileNotFoundError:
        return False


def _joins(file: TextIO, supervisor: str) -> bool:
    """Found the chain when nobody is there, else join the one that is there; False when that is not ours."""
    if _try(file, fcntl.LOCK_EX):
        _write(file, int(supervisor))
        # The lock is free for a moment between the two kinds: hence the text is read again below.
        fcntl.flock(file, fcntl.LOCK_UN)
    if _try(file, fcntl.LOCK_SH):
        if _read(file) == supervisor:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _try(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_got_in_time(is_got: Callable[[], bool]) -> bool:
    end = time.monotonic() + _PATIENCE_S
    while not is_got():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _read(file: TextIO) -> str:
    file.seek(0)
    return file.read(_PID_CHARS).strip()


def _write(file: TextIO, pid: int) -> None:
    file.truncate(0)
    file.write(str(pid))
    file.flush()
