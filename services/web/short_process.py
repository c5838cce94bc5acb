"""Let a service answer one question in a process of its own, which ends by itself or is ended.

The web interface may import no other service, and a broker that is silent must not hold one of its threads for long. A
few such processes run at once at most; whoever comes then is told to try again.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from msgspec import Struct

from config.paths import HOME_VARIABLE, HomePaths

ROOT: Final = Path(__file__).resolve().parents[2]
AT_ONCE: Final = 2
OUTPUT_CHARS_MAX: Final = 64 * 1024
_slots: Final = threading.BoundedSemaphore(AT_ONCE)


class Outcome(Struct, frozen=True, kw_only=True):
    """What a process said and how it ended. `code` is None where it was ended because it took too long."""

    code: int | None
    out: str
    err: str


class Job(Struct, frozen=True, kw_only=True):
    """What to run, `python -m MODULE ARGUMENTS`; `given` goes to its standard input and is in no `repr`."""

    module: str
    arguments: tuple[str, ...] = ()
    given: bytes = b""
    timeout_s: float

    def __repr__(self) -> str:
        """Return what is run, without what it is given."""
        return f"Job({self.module} {' '.join(self.arguments)})"


class TooManyAtOnceError(Exception):
    """As many of these processes run as may run at once."""


def run(paths: HomePaths, job: Job) -> Outcome:
    """Run a module of this program on a home, and wait for it.

    Raises:
        TooManyAtOnceError: others run already.
    """
    if not _slots.acquire(blocking=False):
        raise TooManyAtOnceError
    try:
        return _run(paths, job)
    finally:
        _slots.release()


def _run(paths: HomePaths, job: Job) -> Outcome:
    environment = {**os.environ, HOME_VARIABLE: str(paths.root), "PYTHONSAFEPATH": "1"}
    with subprocess.Popen(  # noqa: S603 - our own interpreter and modules; no part of it is typed by a person
        [sys.executable, "-m", job.module, *job.arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            out, err = process.communicate(job.given, job.timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            return Outcome(code=None, out=_text(out), err=_text(err))
    return Outcome(code=process.returncode, out=_text(out), err=_text(err))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")[:OUTPUT_CHARS_MAX]
