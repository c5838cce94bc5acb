"""Where everything is: one home directory, and nothing is written outside it."""

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "TRADEBOT_HOME"
DEFAULT_HOME = "home"
#: The longest path a unix socket may have: 104 bytes on macOS, 108 on Linux, less one for the final NUL.
SOCKET_PATH_BYTES_MAX = 103
#: supervisord binds its socket under a temporary name first.
_LONGEST_SOCKET_NAME = "supervisor.sock.4194304"


class HomeError(Exception):
    """The home directory cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class HomePaths:
    """The tree under TRADEBOT_HOME. `root` is absolute."""

    root: Path

    @property
    def keys(self) -> Path:
        """Fernet keys, one per generation of secrets."""
        return self.root / "storage" / "keys"

    @property
    def secrets(self) -> Path:
        """Encrypted generations and the CURRENT pointer."""
        return self.root / "storage" / "secrets"

    @property
    def secrets_backups(self) -> Path:
        """Copies of generations of secrets, encrypted; without the keys, so that they may be kept elsewhere too."""
        return self.root / "backups" / "secrets"

    @property
    def backup_keys(self) -> Path:
        """The key of each copy."""
        return self.keys / "backups"

    @property
    def control(self) -> Path:
        """Control files: arm.json, control_start.txt, control_stop.txt, kill.txt, provision_ledger.json."""
        return self.root / "control"

    @property
    def halts(self) -> Path:
        """Halt records, one file each; the counter only grows."""
        return self.root / "control" / "halts"

    @property
    def state(self) -> Path:
        """One SQLite file per service: journal, outbox, cursors."""
        return self.root / "state"

    @property
    def audit(self) -> Path:
        """The audit log: who did what in the web interface; its head is in `state`."""
        return self.root / "audit"

    @property
    def run(self) -> Path:
        """Sockets, locks and supervisord's own files; mode 0700."""
        return self.root / "run"

    @property
    def entities(self) -> Path:
        """Ledgers and their backups, a folder per entity and jurisdiction."""
        return self.root / "entities"

    @property
    def output(self) -> Path:
        """Logs, trades, summaries and ledger exports, a folder per bot identity."""
        return self.root / "output"

    @property
    def logs(self) -> Path:
        """Logs of the processes."""
        return self.root / "output" / "logs"

    @property
    def second_host(self) -> Path:
        """Mark of a home that runs the screener and the strategies alone, for a chain whose other services are away."""
        return self.root / "storage" / "SECOND_HOST"

    def make(self) -> None:
        """Make the tree with mode 0700.

        Raises:
            HomeError: the place is not writable, is not a directory, or is too deep for unix sockets.
        """
        longest = len(os.fsencode(self.run / _LONGEST_SOCKET_NAME))
        if longest > SOCKET_PATH_BYTES_MAX:
            excess = longest - SOCKET_PATH_BYTES_MAX
            raise HomeError(
                f"The home {self.root} is {excess} characters too deep: unix sockets under it would pass "
                f"{SOCKET_PATH_BYTES_MAX} bytes. Set {HOME_VARIABLE} to a shorter path."
            )
        try:
            for folder in (
                self.keys,
                self.secrets,
                self.secrets_backups,
                self.backup_keys,
                self.halts,
                self.state,
                self.audit,
                self.run,
                self.entities,
                self.logs,
            ):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (
                self.root,
                self.root / "storage",
                self.root / "backups",
                self.keys,
                self.secrets,
                self.control,
                self.run,
            ):
                folder.chmod(0o700)
        except OSError as error:
            raise HomeError(
                f"The home {self.root} cannot be written: {error.strerror}. "
                f"Set {HOME_VARIABLE} to a directory of your own."
            ) from error


def home_paths(environment: dict[str, str] | None = None) -> HomePaths:
    """Return the paths under TRADEBOT_HOME, or under ./home where it is not set."""
    values = os.environ if environment is None else environment
    return HomePaths(Path(values.get(HOME_VARIABLE) or DEFAULT_HOME).absolute())
