"""Starts what is done once after each session, as a process of its own, and says what became of it.

Nothing waits for that process. What was done is kept in a file, so that a restart does not do it again.
"""

import logging
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec import Struct

logger = logging.getLogger(__name__)
DONE_FILE: Final = "after_close.json"
TRIES_MAX: Final = 3
#: The last comparison with the broker and the last entries of the books come in the seconds after the close.
GRACE_NS: Final = 5_000_000_000
TRY_AGAIN_NS: Final = 600_000_000_000
_WORDS_MAX: Final = 300


class Done(Struct, frozen=True, kw_only=True):
    """What was done of the newest session that is over; `words` say what failed, empty = all is well."""

    session: str = ""
    tries: int = 0
    is_done: bool = False
    words: str = ""


class AfterClose:
    """One session at a time.

    Args:
        state: the folder of the file that remembers.
        command: what to start; the session's date is added.
        start: starts a process; tests give one of their own.
    """

    def __init__(
        self,
        state: Path,
        command: Sequence[str],
        start: Callable[..., "subprocess.Popen[bytes]"] = subprocess.Popen,
    ) -> None:
        self._path = state / DONE_FILE
        self._command = tuple(command)
        self._start = start
        self._running: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._due_ns = 0
        self._done = self._read()

    @property
    def words(self) -> str:
        """Return what failed after the newest session that is over; empty when all is well."""
        return self._done.words

    @property
    def is_busy(self) -> bool:
        """Tell whether something is being done, or waits for its first try."""
        done = self._done
        return self._running is not None or bool(done.session and not done.tries and not done.is_done)

    def look(self, session: str, *, is_over: bool, now_ns: int) -> None:
        """Start what is due, and note what has ended; never waits.

        Args:
            session: the planned session's date.
            is_over: whether it has closed.
            now_ns: boot time in nanoseconds.
        """
        if self._running is not None:
            self._note_end(now_ns)
            return
        if not session or not is_over:
            return
        if session != self._done.session:
            self._done = Done(session=session)
            self._due_ns = now_ns + GRACE_NS
        if not self._done.is_done and self._done.tries < TRIES_MAX and now_ns >= self._due_ns:
            self._begin(session, now_ns)

    def close(self) -> None:
        """Let the process end with its parent."""
        if self._running is not None and self._running.poll() is None:
            self._running.terminate()

    def _begin(self, session: str, now_ns: int) -> None:
        said = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open until the process has ended
        self._done = msgspec.structs.replace(self._done, tries=self._done.tries + 1)
        try:
            self._running = self._start(
                [*self._command, "--session", session], stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        except OSError as error:
            said.close()
            self._keep(is_done=False, words=f"what is due after the session could not be started: {error}")
            self._due_ns = now_ns + TRY_AGAIN_NS
            return
        self._said = said

    def _note_end(self, now_ns: int) -> None:
        code = self._running.poll() if self._running is not None else None
        if code is None or self._said is None:
            return
        self._said.seek(0)
        words = " ".join(self._said.read().decode(errors="replace").split())
        self._said.close()
        self._running, self._said = None, None
        logger.log(logging.INFO if code == 0 else logging.ERROR, "after the session: %s (exit code %d)", words, code)
        self._due_ns = now_ns + TRY_AGAIN_NS
        self._keep(is_done=code == 0, words="" if code == 0 else f"after the session: {words}"[:_WORDS_MAX])

    def _keep(self, *, is_done: bool, words: str) -> None:
        self._done = msgspec.structs.replace(self._done, is_done=is_done, words=words)
        part = self._path.with_suffix(".part")
        try:
            part.write_bytes(msgspec.json.encode(self._done))
            part.replace(self._path)
        except OSError as error:
            # It would be done once more after a restart, which only replaces the same files.
            logger.warning("%s cannot be written: %s", self._path, error)

    def _read(self) -> Done:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Done)
        except (OSError, msgspec.MsgspecError):
            return Done()
