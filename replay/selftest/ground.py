"""What the routines stand on: the two homes, the chain that is tried, its mail server, and a log for each routine."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bus.clock import iso_utc, utc_ns
from bus.processes import ROOT
from config.identity import Identity
from config.paths import HOME_VARIABLE, HomePaths
from replay.selftest.mail_sink import MailSink
from replay.session import SessionChoice
from replay.stage import Stage

#: Nobody can take its ledger, its orders or its letters for those of a production bot.
TEST_IDENTITY: Final = Identity(
    entity_code="TEST", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="TEST01"
)
#: A generated session, played as fast as it goes. What is tried is not how fast a halt comes: production may be busy.
SESSION: Final = SessionChoice(speed="0")
_PATIENT: Final = {"HEARTBEAT_TIMEOUT": "10000"}
_TOLD: Final = {"NOTIFY_ON_FILL": "true", "NOTIFY_ON_EXIT": "true", "NOTIFY_ON_FAILURE": "true"}
_COMMAND_S_MAX: Final = 120.0


class RoutineFailedError(Exception):
    """A routine found what it looks for not to hold. `todo` says what to do where the routine's own words do not."""

    def __init__(self, words: str, todo: str = "") -> None:
        super().__init__(words)
        self.todo = todo


@dataclass
class Ground:
    """One run's ground.

    Args:
        production: the home that must stay as it is; it is only read.
        identity: whose production home it is.
        paths: the home that the routines play in.
        is_live: whether a chain runs on the production home meanwhile.
        sends_letter: whether one letter goes to the people whom the production settings name.
        asks_broker: whether the broker of the production settings is asked if it lets the bot in.
        say: writes a line into the log of the routine that is played.
        keep: keeps a file beside the logs, under a name of its own.
    """

    production: HomePaths
    identity: Identity
    paths: HomePaths
    is_live: bool
    sends_letter: bool = False
    asks_broker: bool = False
    say: Callable[[str], None] = lambda _line: None
    keep: Callable[[Path, str], object] = lambda _file, _name: None
    before: Mapping[str, str] = field(default_factory=dict)
    sink: MailSink | None = None
    stage: Stage | None = None

    @property
    def chain(self) -> Stage:
        """Return the chain that is tried.

        Raises:
            RoutineFailedError: there is none, because it did not start.
        """
        if self.stage is None:
            raise RoutineFailedError("there is no chain to try: it did not start")
        return self.stage

    @property
    def letters(self) -> MailSink:
        """Return the mail server of this run.

        Raises:
            RoutineFailedError: there is none, because it did not start.
        """
        if self.sink is None:
            raise RoutineFailedError("there is no mail server to try: it did not start")
        return self.sink

    @property
    def ledger(self) -> Path:
        """Return the ledger that is tried."""
        return self.paths.entities / TEST_IDENTITY.entity_folder / TEST_IDENTITY.ledger_file

    def settings(self) -> dict[str, str]:
        """Return the settings of the chain that is tried: letters go to this run's own mail server."""
        mail = {
            "SMTP_HOST": self.letters.host,
            "SMTP_PORT": str(self.letters.port),
            "SMTP_SECURITY": "NONE",
            "SMTP_FROM": "bot@test-mode.invalid",
            "SMTP_TO": "operator@test-mode.invalid",
        }
        return SESSION.settings() | _PATIENT | _TOLD | mail

    def command(
        self, *arguments: str, home: HomePaths | None = None, given: bytes = b"", codes: Sequence[int] = (0,)
    ) -> str:
        """Run a part of this program, as an operator would, and return what it printed.

        Args:
            arguments: what the interpreter is called with.
            home: on which home; None = the tests' own.
            given: goes to its standard input.
            codes: with which exit codes it may end.

        Raises:
            RoutineFailedError: it ended with another one, or not at all.
        """
        where = home or self.paths
        self.say(f"$ python {' '.join(arguments)}")
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and modules
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, HOME_VARIABLE: str(where.root), "PYTHONSAFEPATH": "1"},
                input=given,
                capture_output=True,
                timeout=_COMMAND_S_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RoutineFailedError(f"'{' '.join(arguments)}' did not end in {_COMMAND_S_MAX:.0f} s") from error
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        self.say(said)
        if done.returncode not in codes:
            raise RoutineFailedError(f"'{' '.join(arguments[1:3])}' ended with code {done.returncode}: {said[-300:]}")
        return done.stdout.decode(errors="replace")


def expect(faults: Sequence[str]) -> None:
    """Fail with the first few faults, where there are any.

    Raises:
        RoutineFailedError: there are.
    """
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise RoutineFailedError(f"{'; '.join(faults[:3])}{more}")


def log_line(text: str) -> str:
    """Return a text as it stands in a log: each line with the time before it."""
    now = iso_utc(utc_ns())
    return "".join(f"{now} {line}\n" for line in text.splitlines() or [""])
