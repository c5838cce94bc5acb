"""Starts the TEST_MODE runs that the flag asks for, each as a process of its own, and says what became of the newest.

Refused: a run while positions of the strategies are open with real money, or while it is not known whether they are;
and a run while an armed chain is in its session, whatever the broker, from an hour before the open to the close. What
would refuse a run ends one that is under way. Nothing waits for the process: it runs behind everything else, and the
kernel ends it with its parent.
"""

import logging
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bus.clock import NS_PER_SECOND, iso_utc, utc_ns
from bus.control import write_durably
from bus.lifecycle import Moment
from bus.messages import ChainState
from bus.test_mode import (
    FLAG_FILE,
    REFUSED_FILE,
    Request,
    RunRecord,
    RunState,
    ended,
    new_run_id,
    newest_run,
    read_request,
    read_run,
    runs_folder,
    write_run,
)
from bus.vital_signs import ARMED_STATES
from config.identity import Identity
from config.paths import HomePaths

logger = logging.getLogger(__name__)
#: Longer than the limits of all routines together: a run that has lost its own sense of time.
RUN_NS_MAX: Final = 2_700 * NS_PER_SECOND
#: A run that is told to end stops its own chain first.
END_NS_MAX: Final = 60 * NS_PER_SECOND
OUTPUT_FILE: Final = "run.log"
_IN_SESSION: Final = frozenset({Moment.PRE_OPEN, Moment.ANALYSIS, Moment.ENTRY, Moment.WATCH, Moment.FLATTEN})
_REMOVED: Final = f"The run was ended: the file control/{FLAG_FILE} was taken away."


@dataclass(frozen=True)
class Situation:
    """What decides whether a run may be; `positions` is how many the strategies have open, None = not known."""

    state: ChainState
    moment: Moment
    positions: int | None
    is_real_money: bool


def refusal(now: Situation) -> str | None:
    """Return why no run may be now, with what to do; None when one may."""
    if now.is_real_money and now.positions is None:
        return (
            "Orders are for real money, and the risk service has not said yet whether positions are open. Wait until "
            "the chain is up, then ask again."
        )
    if now.is_real_money and now.positions:
        held = f"{now.positions} position{' is' if now.positions == 1 else 's are'}"
        return (
            f"{held} open with real money: nothing may take the machine's time from protecting what is held. Ask again "
            "when it is sold."
        )
    if now.state in ARMED_STATES and now.moment in _IN_SESSION:
        return (
            "The chain is armed and its session is on, or opens within the hour: it is not disturbed. Ask again after "
            "the close, or let an operator halt the chain first."
        )
    return None


class TestRuns:
    """One run at a time.

    Args:
        paths: the production home.
        identity: in whose output folder the records are.
        command: what to start; its options are added.
        start: starts a process; tests give one of their own.
    """

    __test__ = False  # pytest looks for tests in whatever is named so

    def __init__(
        self,
        paths: HomePaths,
        identity: Identity,
        command: Sequence[str],
        start: Callable[..., "subprocess.Popen[bytes]"] = subprocess.Popen,
    ) -> None:
        self._paths = paths
        self._flag = paths.control / FLAG_FILE
        self._folder = runs_folder(paths, identity)
        self._command = tuple(command)
        self._start = start
        self._child: subprocess.Popen[bytes] | None = None
        self._run_id = ""
        self._request = Request()
        self._end_by_ns = 0
        self._why = ""
        self._is_first_look = True
        #: A flag that could not be taken away is not obeyed again.
        self._obeyed: tuple[int, int] | None = None
        self.words = ""

    @property
    def is_under_way(self) -> bool:
        """Tell whether a run has been begun and has not ended."""
        return self._child is not None

    def look(self, now: Situation, now_ns: int) -> None:
        """Start what is asked for, end what may not go on, note what has ended; never waits.

        Args:
            now: how the chain is.
            now_ns: boot time in nanoseconds.
        """
        if self._child is not None:
            self._attend(now, now_ns)
            return
        found = self._found()
        is_first, self._is_first_look = self._is_first_look, False
        if found is None or found == self._obeyed:
            return
        self._obeyed = found
        if is_first and self._is_of_a_lost_run():
            return
        self._request = read_request(self._paths) or Request()
        self._run_id = new_run_id(self._folder, utc_ns())
        why = refusal(now)
        if why is None:
            self._begin(now_ns)
        else:
            self._note("refused", why)

    def close(self) -> None:
        """End the run with its parent: it is not begun anew by the next one."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.terminate()
        self._note("interrupted", self._why or "The run was ended: the watchdog was stopped.")
        self._child = None

    def _found(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._flag)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _is_of_a_lost_run(self) -> bool:
        """Tell whether the flag belongs to a run that ended with the watchdog before this one; note that it did."""
        newest = newest_run(self._folder)
        if newest is None or newest.state != "running":
            return False
        self._run_id = newest.run_id
        self._note("interrupted", "The watchdog that had started the run was ended, and the run with it.")
        return True

    def _begin(self, now_ns: int) -> None:
        (self._paths.control / REFUSED_FILE).unlink(missing_ok=True)
        asked = self._request
        # One word each: a reason that begins with a dash must not become an option.
        arguments = [f"--run-id={self._run_id}", f"--operator={asked.operator}", f"--reason={asked.reason}"]
        arguments += ["--letter"] * asked.sends_letter + ["--ask-broker"] * asked.asks_broker
        try:
            own = self._folder / self._run_id
            own.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (own / OUTPUT_FILE).open("wb") as said:
                self._child = self._start(
                    [*self._command, *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=said
                )
        except OSError as error:
            self._note("refused", f"The run could not be started: {error}.")
            return
        self._why, self._end_by_ns = "", now_ns + RUN_NS_MAX
        self.words = "TEST_MODE: a run is under way in a home of its own"
        logger.info("TEST_MODE run %s begins, asked for %s", self._run_id, self._request.operator)

    def _attend(self, now: Situation, now_ns: int) -> None:
        if self._child is None:
            return
        if self._child.poll() is not None:
            self._note_end()
        elif now_ns >= self._end_by_ns:
            self._why = self._why or "The run did not come to an end in its time and was killed."
            self._child.kill()
        elif not self._why:
            self._why = _REMOVED if self._found() is None else refusal(now) or ""
            if self._why:
                self._child.terminate()
                self._end_by_ns = now_ns + END_NS_MAX

    def _note_end(self) -> None:
        code = self._child.returncode if self._child is not None else 0
        self._child = None
        found = read_run(self._folder, self._run_id)
        if found is None or found.state == "running" or self._why:
            self._note("interrupted", self._why or f"The run ended by itself (exit code {code}): see {OUTPUT_FILE}.")
            return
        self._consume()
        failed = [routine.title for routine in found.routines if routine.state == "failed"]
        self.words = f"TEST_MODE: failed: {', '.join(failed) or found.words}" if found.state != "passed" else ""
        logger.log(logging.INFO if found.state == "passed" else logging.ERROR, "TEST_MODE run %s", _said(found))

    def _note(self, state: RunState, words: str) -> None:
        """Keep why a run was refused or interrupted, take its flag away, and say so."""
        record = read_run(self._folder, self._run_id) or RunRecord(
            run_id=self._run_id,
            state=state,
            asked_by=self._request.operator,
            reason=self._request.reason,
            started_at_utc=iso_utc(utc_ns()),
        )
        # A refusal is on the page and beside the flag: it is nothing that anybody would have to mend.
        self.words = f"TEST_MODE: {state}: {words}" if state != "refused" else ""
        logger.warning("TEST_MODE run %s was %s: %s", self._run_id, state, words)
        try:
            write_run(self._folder, ended(record, state, words))
            if state == "refused":
                write_durably(self._paths.control, REFUSED_FILE, f"{iso_utc(utc_ns())} {words}\n".encode())
        except OSError as error:
            logger.warning("the record of the TEST_MODE run cannot be written: %s", error)
        self._consume()

    def _consume(self) -> None:
        """Take the flag away that this run was asked for by; one that was made since asks for another run."""
        if self._found() != self._obeyed:
            return
        try:
            self._flag.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be taken away: %s; it is not obeyed again", self._flag, error)


def _said(record: RunRecord) -> str:
    routines = "; ".join(f"{routine.name} {routine.state}" for routine in record.routines)
    return f"{record.run_id} {record.state}: {routines}"
