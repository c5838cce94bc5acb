"""One run: every routine with its time limit and its log, and a record that is whole after each step."""

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec
from msgspec.structs import replace

from bus.assembly import CannotStartError
from bus.ballast import Ballast
from bus.clock import iso_utc, utc_ns
from bus.processes import ChainError
from bus.store import StoreError
from bus.test_mode import RoutineRecord, RunRecord, ended, prune, write_run
from config.archive import ArchiveError
from config.env_bot import SettingsError
from config.paths import HomeError
from config.vault import VaultError
from replay.browser import PageError
from replay.selftest.ground import Ground, RoutineFailedError, log_line
from replay.selftest.routines import ROUTINES, Routine
from replay.selftest.untouched import sums_of
from replay.stage import StageError

#: What a routine may meet: each has words of its own for a person.
_EXPECTED: Final = (
    RoutineFailedError,
    StageError,
    ChainError,
    HomeError,
    PageError,
    StoreError,
    SettingsError,
    CannotStartError,
    ArchiveError,
    VaultError,
    OSError,
)
_LAST_LINES: Final = 15
_WORDS_MAX: Final = 600


class RoutineTimeoutError(RoutineFailedError):
    """A routine did not end in its time."""


class Run:
    """Plays routines one after the other.

    Args:
        ground: the homes; nothing has been started on them.
        folder: where the records of all runs are.
        record: the run, with its id and who asked for it.
        routines: what is played; all of them when nothing is said.
        tell: called with each routine's record when it ends.
    """

    def __init__(
        self,
        ground: Ground,
        folder: Path,
        record: RunRecord,
        *,
        routines: Sequence[Routine] = ROUTINES,
        tell: Callable[[RoutineRecord], None] = lambda _record: None,
    ) -> None:
        self._ground = ground
        self._folder = folder
        self._routines = tuple(routines)
        self._tell = tell
        lines = tuple(
            RoutineRecord(name=one.name, title=one.title, limit_s=one.limit_s, log=f"{number:02d}_{one.name}.log")
            for number, one in enumerate(self._routines, 1)
        )
        self.record = replace(record, state="running", started_at_utc=iso_utc(utc_ns()), routines=lines)

    def play(self, *, keeps_home: bool = False) -> RunRecord:
        """Play every routine, stop what was started, and return the record; it is on disk after each step.

        The tests' home is removed when all is well; `keeps_home` leaves it. After a failure it stays until the next
        run, for whoever looks into it.
        """
        ground = self._ground
        self._write()
        prune(self._folder)
        try:
            ground.before = sums_of(ground.production, ground.identity, is_live=ground.is_live)
            if ground.paths.root.exists():
                shutil.rmtree(ground.paths.root)
            ground.paths.make()
            for number in range(len(self._routines)):
                self._play(number)
            is_passed = all(one.state == "passed" for one in self.record.routines)
            self.record = ended(self.record, "passed" if is_passed else "failed")
        except KeyboardInterrupt:
            self.record = ended(self.record, "interrupted", "The run was told to end.")
            raise
        except (HomeError, OSError) as error:
            self.record = ended(self.record, "failed", f"The home of the tests cannot be made: {error}")
        finally:
            self._stop()
            self._write()
        if self.record.state == "passed" and not keeps_home:
            shutil.rmtree(ground.paths.root, ignore_errors=True)
        return self.record

    def _play(self, number: int) -> None:
        routine = self._routines[number]
        passed = {one.name for one in self.record.routines if one.state == "passed"}
        known = {one.name for one in self._routines}
        lacking = [name for name in routine.needs if name in known and name not in passed]
        if lacking:
            titles = ", ".join(one.title for one in self._routines if one.name in lacking)
            self._set(number, state="left out", words=f"Not tried, because this did not pass: {titles}.")
            self._tell(self.record.routines[number])
            return
        self._set(number, state="running", started_at_utc=iso_utc(utc_ns()))
        begin = time.monotonic()
        log = self._folder / self.record.run_id / self.record.routines[number].log
        with log.open("w", encoding="utf-8") as file:
            self._ground.say = lambda text: print(log_line(text), end="", file=file, flush=True)
            self._ground.keep = lambda kept, name: shutil.copyfile(kept, log.with_name(name))
            state, words, todo = self._outcome(routine)
            self._ground.say(f"{state}: {words}")
        self._set(number, state=state, words=words, todo=todo, duration_ms=int((time.monotonic() - begin) * 1000))
        self._tell(self.record.routines[number])

    def _outcome(self, routine: Routine) -> tuple[str, str, str]:
        try:
            with _limit(routine.limit_s):
                return "passed", routine.does(self._ground), ""
        except _EXPECTED as error:
            for service in sorted(self._ground.paths.logs.glob("*.log")):
                self._ground.say(f"--- the last lines of {service.name}")
                self._ground.say("\n".join(service.read_text(errors="replace").splitlines()[-_LAST_LINES:]))
            todo = error.todo if isinstance(error, RoutineFailedError) else ""
            return "failed", _sentence(str(error)), todo or routine.todo

    def _set(self, number: int, **changes: object) -> None:
        changed = list(self.record.routines)
        changed[number] = replace(changed[number], **changes)
        self.record = replace(self.record, routines=tuple(changed))
        self._write()

    def _write(self) -> None:
        write_run(self._folder, self.record)

    def _stop(self) -> None:
        """Stop the chain and the mail server; what cannot be stopped dies with this process."""
        with ExitStack() as ends:
            if self._ground.sink is not None:
                ends.callback(self._ground.sink.close)
            ends.callback(Ballast(self._ground.paths).release)
            if self._ground.stage is not None:
                ends.callback(self._ground.stage.stop)


def _sentence(words: str) -> str:
    text = words[:1].upper() + words[1:_WORDS_MAX]
    return text if text.endswith((".", "!", "?")) else f"{text}."


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    """End what is inside with RoutineTimeoutError when it takes longer; in the main thread alone."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise RoutineTimeoutError(f"it did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def print_line(record: RoutineRecord) -> None:
    """Print a routine's record as one line of JSON."""
    sys.stdout.write(f"{msgspec.json.encode(record).decode()}\n")
    sys.stdout.flush()
