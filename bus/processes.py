"""The chain as processes: a supervisord of its own for each home, started, asked and stopped.

`python -m bus.processes --home DIR --port N` runs it in the foreground until Ctrl-C: that is `make run`.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from bus.lock import LockTakenError, service_lock
from bus.routes import SERVICES
from config.paths import DEFAULT_HOME, HOME_VARIABLE, HomeError, HomePaths

ROOT: Final = Path(__file__).resolve().parent.parent
WEB_PORT_VARIABLE: Final = "TRADEBOT_WEB_PORT"
DEFAULT_WEB_PORT: Final = 8780
_STOP_TIMEOUT_S: Final = 40
_CONTROL_TIMEOUT_S: Final = 60


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
    """Return the process id of the supervisord that serves this home, or None."""
    try:
        pid = int((paths.run / "supervisord.pid").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def is_in_use(paths: HomePaths) -> bool:
    """Tell whether supervisord or any service runs on this home; a service may outlive its supervisord for a moment."""
    if running_supervisor(paths) is not None:
        return True
    if not paths.run.is_dir():
        return False
    try:
        for service in SERVICES:
            with service_lock(paths, service):
                continue
    except LockTakenError:
        return True
    return False


def stop_on_signals() -> None:
    """Turn SIGTERM and a closed terminal into KeyboardInterrupt, so that whoever started a chain stops it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def write_configuration(paths: HomePaths) -> Path:
    """Write this home's copy of supervisor/supervisord.conf, every path absolute, and return where it is."""
    lines = (ROOT / "supervisor" / "supervisord.conf").read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(_absolute(line, paths) for line in lines)
    target = paths.run / "supervisord.conf"
    target.write_text(text, encoding="utf-8")
    return target


def _absolute(line: str, paths: HomePaths) -> str:
    # supervisord expands these two settings twice, all others once.
    percent = "%%%%" if line.startswith(("environment=", "stdout_logfile=")) else "%%"
    for relative, absolute in (
        ("%(here)s/../.venv/bin/python", sys.executable),
        (f"%(here)s/../{DEFAULT_HOME}", str(paths.root)),
        ("%(here)s/watchdog_bot.py", str(ROOT / "supervisor" / "watchdog_bot.py")),
        ("%(here)s/..", str(ROOT)),
    ):
        line = line.replace(relative, absolute.replace("%", percent))
    return line


class Chain:
    """One home's processes.

    Args:
        paths: the home; made when it is not there.
        port: the web UI's port on 127.0.0.1.
    """

    def __init__(self, paths: HomePaths, port: int) -> None:
        self.paths = paths
        self.port = port
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
            ChainError: a chain already runs on this home, or the port is taken.
            HomeError: the home cannot be used.
        """
        self.paths.make()
        other = running_supervisor(self.paths)
        if other is not None:
            raise ChainError(
                f"A chain already runs on the home {self.paths.root} (supervisord is process {other}). "
                f"Stop it first: supervisorctl -c {self.paths.run / 'supervisord.conf'} shutdown"
            )
        check_port(self.port)
        configuration = write_configuration(self.paths)
        environment = {**os.environ, HOME_VARIABLE: str(self.paths.root), WEB_PORT_VARIABLE: str(self.port)}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and configuration
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(configuration)],
            cwd=ROOT,
            env=environment | {"PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=subprocess.DEVNULL if quiet else None,
            start_new_session=True,
        )

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
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise ChainError(
                f"supervisord (process {self._process.pid}) did not end in {_STOP_TIMEOUT_S} s; see "
                f"{self.paths.logs / 'supervisord.log'}"
            ) from error


def main(arguments: list[str]) -> int:
    """Run a chain in the foreground until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make run", description="Run the chain until Ctrl-C.")
    parser.add_argument("--home", default=os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)
    parser.add_argument("--port", type=int, default=DEFAULT_WEB_PORT)
    options = parser.parse_args(arguments)
    chain = Chain(HomePaths(Path(options.home).absolute()), options.port)
    try:
        chain.start(quiet=True)
    except (ChainError, HomeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stop_on_signals()
    sys.stdout.write(
        f"The chain runs on the home {chain.paths.root}\n"
        f"  open      {chain.url}\n"
        f"  status    supervisorctl -c {chain.paths.run / 'supervisord.conf'} status\n"
        f"  logs      {chain.paths.logs}\n"
        "  stop      Ctrl-C\n"
    )
    sys.stdout.flush()
    try:
        code = chain.wait()
    except KeyboardInterrupt:
        sys.stdout.write("\nStopping the services.\n")
        chain.stop()
        return 0
    sys.stderr.write(f"supervisord ended by itself (code {code}); see {chain.paths.logs / 'supervisord.log'}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
