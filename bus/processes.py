"""The chain as processes: a supervisord of its own for each home, started, asked and stopped.

`python -m bus.processes --home DIR --port N` runs it in the foreground until Ctrl-C: that is `make run`. With `--write`
it only writes supervisord's configuration, for whatever starts supervisord itself: the systemd unit.
"""

import argparse
import fcntl
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bus.clock import utc_ns
from bus.lock import HOME_LOCK_FILE, is_held
from bus.messages import ServiceName
from bus.routes import SECOND_HOST_SERVICES, SERVICES
from config.bootstrap_token import BootstrapToken, is_awaited
from config.build_check import build_faults
from config.env_bot import SettingsError, parse
from config.paths import DEFAULT_HOME, HOME_VARIABLE, HomeError, HomePaths
from config.vault import Vault, VaultError

ROOT: Final = Path(__file__).resolve().parent.parent
WEB_PORT_VARIABLE: Final = "TRADEBOT_WEB_PORT"
DEFAULT_WEB_PORT: Final = 8780
SUPERVISORCTL: Final = Path(sys.executable).with_name("supervisorctl")
#: Longer than the longest stopwaitsecs in supervisor/supervisord.conf.
STOP_TIMEOUT_S: Final = 45
_CONTROL_TIMEOUT_S: Final = 60
_START_TIMEOUT_S: Final = 30
_START_POLL_S: Final = 0.02
_LEFT_OVER_S: Final = 2
_PASSWORD_BYTES: Final = 24


class ChainError(Exception):
    """The chain cannot be started or stopped; the message says why and what to do."""


def check_port(port: int) -> None:
    """Check that the web UI's port is free on the loopback address.

    Raises:
        ChainError: something listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ChainError(
                f"Port {port} on 127.0.0.1 cannot be used ({error.strerror}): another program listens there. "
                "Choose another one, for example `make run PORT=8790`."
            ) from error


def free_port() -> int:
    """Return a port that is free on the loopback address now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running_supervisor(paths: HomePaths) -> int | None:
    """Return the process id of the supervisord that serves this home (0 where it is not known), or None.

    It runs when its socket answers: a process id in a file may have been given to another program after a reboot.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(paths.run / "supervisor.sock"))
        except OSError:
            return None
    try:
        return int((paths.run / "supervisord.pid").read_text())
    except (OSError, ValueError):
        return 0


def is_in_use(paths: HomePaths) -> bool:
    """Tell whether supervisord or any service runs on this home; a service may outlive its supervisord for a moment."""
    files = (HOME_LOCK_FILE, *(f"{service}.lock" for service in SERVICES))
    return running_supervisor(paths) is not None or any(is_held(paths, name) for name in files)


def stop_on_signals() -> None:
    """Turn SIGTERM and a closed terminal into KeyboardInterrupt, so that whoever started a chain stops it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def refuse_if_in_use(paths: HomePaths) -> None:
    """Check that nothing runs on this home; services whose supervisord has just died get a moment to end.

    Raises:
        ChainError: a chain, or a service that somebody started alone, does.
    """
    other = running_supervisor(paths)
    if other is not None:
        raise ChainError(
            f"A chain already runs on the home {paths.root} (supervisord is process {other or 'unknown'}). "
            f"Stop it first: {SUPERVISORCTL} -c {paths.run / 'supervisord.conf'} shutdown"
        )
    end = time.monotonic() + _LEFT_OVER_S
    while is_in_use(paths):
        if time.monotonic() > end:
            raise ChainError(
                f"A service runs on the home {paths.root}, and no supervisord that answers: somebody started it alone, "
                f"or under a configuration of his own. End it first; {paths.run}/*.lock name the processes."
            )
        time.sleep(_START_POLL_S)


def services_here(paths: HomePaths) -> tuple[ServiceName, ...]:
    """Return which services the chain of this home starts: all, unless BUS_TCP_SECOND_HOST divides it.

    Settings that cannot be read leave all of them: each service says then what is wrong.
    """
    if paths.second_host.exists():
        return SECOND_HOST_SERVICES
    vault = Vault(paths)
    try:
        is_divided = vault.is_provisioned() and bool(parse(vault.open().settings).word("BUS_TCP_SECOND_HOST"))
    except (VaultError, SettingsError):
        is_divided = False
    return tuple(name for name in SERVICES if not is_divided or name not in SECOND_HOST_SERVICES)


def write_configuration(paths: HomePaths) -> Path:
    """Write this home's copy of supervisor/supervisord.conf and return where it is.

    Every path in it is absolute and its password is new, so only while nothing runs on the home may it be written. From
    its first byte on nobody but the owner can read it.
    """
    text = (ROOT / "supervisor" / "supervisord.conf").read_text(encoding="utf-8")
    for name in set(SERVICES) - set(services_here(paths)):
        text = re.sub(rf"^\[program:{name}\]\n(?:[^\[\n].*\n|\n)*", "", text, flags=re.MULTILINE)
        text = re.sub(rf"^(programs=.*)\b{name}\b,?", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"^(programs=.*),$", r"\1", text, flags=re.MULTILINE)
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    lines = [_filled_in(line, paths, password) for line in text.splitlines(keepends=True)]
    target = paths.run / "supervisord.conf"
    part = target.with_suffix(f".{os.getpid()}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.writelines(lines)
    part.replace(target)
    return target


def _filled_in(line: str, paths: HomePaths, password: str) -> str:
    # supervisord expands these two settings twice, all others once.
    percent = "%%%%" if line.startswith(("environment=", "stdout_logfile=")) else "%%"
    for name, value in (("HOME", str(paths.root)), ("ROOT", str(ROOT)), ("PYTHON", sys.executable)):
        line = line.replace(f"@{name}@", value.replace("%", percent))
    return line.replace("@PASSWORD@", password)


@contextmanager
def _starting(paths: HomePaths) -> Iterator[None]:
    """Let one start at a time look whether the home is free, write the configuration and start supervisord."""
    with (paths.run / "start.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ChainError(f"A chain is being started on the home {paths.root} at this moment.") from None
        yield


class Chain:
    """One home's processes.

    Args:
        paths: the home; made when it is not there.
        port: the web UI's port on 127.0.0.1.
        dies_with_parent: it is killed when whoever starts it is, however that ends; for homes that are thrown away.
    """

    def __init__(self, paths: HomePaths, port: int, *, dies_with_parent: bool = False) -> None:
        self.paths = paths
        self.port = port
        self._bound = ("bus.orphan",) if dies_with_parent else ()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the web UI's address."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self, *, quiet: bool) -> None:
        """Start supervisord, and through it every service.

        Args:
            quiet: keep supervisord's own lines out of the terminal; they are in its log file in any case.

        Raises:
            ChainError: something already runs on this home, the port is taken, or supervisord does not start.
            HomeError: the home cannot be used.
        """
        self.paths.make()
        with _starting(self.paths):
            refuse_if_in_use(self.paths)
            check_port(self.port)
            self._start_supervisor(write_configuration(self.paths), quiet=quiet)
            self._await_supervisor()

    def _start_supervisor(self, configuration: Path, *, quiet: bool) -> None:
        environment = {**os.environ, HOME_VARIABLE: str(self.paths.root), WEB_PORT_VARIABLE: str(self.port)}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and configuration
            [sys.executable, "-m", *self._bound, "supervisor.supervisord", "-n", "-c", str(configuration)],
            cwd=ROOT,
            env=environment | {"PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=subprocess.DEVNULL if quiet else None,
            start_new_session=True,
            umask=0o077,
        )

    def _await_supervisor(self) -> None:
        """Wait until supervisord answers on its socket: from then on nobody else can start a chain here."""
        end = time.monotonic() + _START_TIMEOUT_S
        while running_supervisor(self.paths) is None:
            if not self.is_running() or time.monotonic() > end:
                self.stop()
                raise ChainError(f"supervisord did not start; see {self.paths.logs / 'supervisord.log'}")
            time.sleep(_START_POLL_S)

    def control(self, *arguments: str) -> str:
        """Run supervisorctl on this chain and return what it printed."""
        configuration = self.paths.run / "supervisord.conf"
        result = subprocess.run(  # noqa: S603 - our own interpreter and configuration
            [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(configuration), *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            capture_output=True,
            timeout=_CONTROL_TIMEOUT_S,
            check=False,
        )
        return (result.stdout + result.stderr).decode(errors="replace")

    def is_running(self) -> bool:
        """Tell whether supervisord, started by this object, still runs."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> int:
        """Wait until supervisord ends by itself and return its exit code."""
        return self._process.wait() if self._process else 0

    def stop(self) -> None:
        """Stop every service and supervisord.

        Raises:
            ChainError: it did not end in time.
        """
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise ChainError(
                f"supervisord (process {self._process.pid}) did not end in {STOP_TIMEOUT_S} s; see "
                f"{self.paths.logs / 'supervisord.log'}"
            ) from error


def main(arguments: list[str]) -> int:
    """Run a chain in the foreground until Ctrl-C, or write its configuration alone."""
    parser = argparse.ArgumentParser(prog="make run", description="Run the chain until Ctrl-C.")
    parser.add_argument("--home", default=os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)
    parser.add_argument("--port", type=int, default=DEFAULT_WEB_PORT)
    parser.add_argument("--write", action="store_true", help="write supervisord's configuration and start nothing")
    options = parser.parse_args(arguments)
    paths = HomePaths(Path(options.home).absolute())
    faults = build_faults()
    if faults:
        sys.stderr.write("".join(f"{fault}\n" for fault in faults) + "Nothing was started.\n")
        return 2
    try:
        return _write(paths) if options.write else _run(Chain(paths, options.port))
    except (ChainError, HomeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _write(paths: HomePaths) -> int:
    paths.make()
    with _starting(paths):
        refuse_if_in_use(paths)
        sys.stdout.write(f"{write_configuration(paths)}\n")
    return 0


def _run(chain: Chain) -> int:
    stop_on_signals()
    try:
        chain.start(quiet=True)
        sys.stdout.write(
            f"The chain runs on the home {chain.paths.root}\n"
            + ("" if chain.paths.second_host.exists() else f"  open      {chain.url}\n")
            + f"  status    {SUPERVISORCTL} -c {chain.paths.run / 'supervisord.conf'} status\n"
            f"  logs      {chain.paths.logs}\n"
            "  stop      Ctrl-C\n"
        )
        if is_awaited(Vault(chain.paths)):
            token = BootstrapToken(chain.paths, utc_ns).issue()
            sys.stdout.write(
                f"  token     {token} (for the first configuration and the registration, within 30 minutes)\n"
            )
        sys.stdout.flush()
        code = chain.wait()
    except KeyboardInterrupt:
        sys.stdout.write("\nStopping the services.\n")
        chain.stop()
        return 0
    if code == 0:
        sys.stdout.write("The chain was shut down.\n")
        return 0
    sys.stderr.write(f"supervisord ended by itself (code {code}); see {chain.paths.logs / 'supervisord.log'}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
