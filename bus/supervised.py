"""A service as supervisord starts it: it dies with supervisord, belongs to one chain, and does not crash for ever.

`python -m bus.supervised risk` does what is owed for that before the service is even imported, so that an import that
fails counts too, and then runs `services.risk` in the same process. A service that a person starts alone
(`python -m services.risk`) does none of this; its own lock still keeps a second copy away.
"""

import os
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from bus.clock import boot_ns
from bus.crash_loop import RESTARTS_MAX, RULE, Starts
from bus.exit_codes import (
    EXIT_CONFIGURATION,
    EXIT_CRASH_LOOP,
    EXIT_LOCKED,
    EXIT_NEW_SETTINGS,
    EXIT_STOPPED,
    EXIT_USAGE,
    NOT_REPEATED,
)
from bus.lock import LockTakenError, home_lock
from bus.orphan import die_with
from config.paths import HomeError, HomePaths, home_paths

_WATCHDOG: Final = Path(__file__).resolve().parent.parent / "supervisor" / "watchdog_bot.py"
_INIT: Final = 1
_WEB: Final = "web"


def main(arguments: list[str]) -> int:
    """Run one service until it ends; return the exit code, or pass on the SystemExit that carries it."""
    parent = os.getppid()
    is_parent_alive = die_with(parent)
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m bus.supervised SERVICE\n")
        return EXIT_USAGE
    service = arguments[0]
    try:
        paths = home_paths()
        paths.make()
        if not is_parent_alive or _is_orphan(paths, parent):
            return EXIT_STOPPED
        starts = Starts(paths, service, parent)
        _end_on_request(starts)
        with home_lock(paths, parent):
            return _run(paths, service, starts)
    except LockTakenError as error:
        sys.stderr.write(f"{service}: {error}\n")
        return EXIT_LOCKED
    except HomeError as error:
        sys.stderr.write(f"{service} cannot start: {error}\n")
        return EXIT_CONFIGURATION


def _end_on_request(starts: Starts) -> None:
    """Let SIGTERM and SIGINT end this process at once, until the service has set up its own way to stop.

    There is nothing to finish before that. An exception would not do: one that is raised from a signal handler gets
    lost where Python runs callbacks, in imports for example.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        starts.forget()
        os._exit(EXIT_STOPPED)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _is_orphan(paths: HomePaths, parent: int) -> bool:
    """Tell whether supervisord had died before this process could look: init took it over.

    In a container supervisord may be process 1 itself; then its own file says so.
    """
    if parent != _INIT:
        return False
    try:
        return (paths.run / "supervisord.pid").read_text(encoding="utf-8").strip() != str(_INIT)
    except OSError:
        return True


def _run(paths: HomePaths, service: str, starts: Starts) -> int:
    try:
        may_start = starts.note(boot_ns())
    except OSError as error:
        # Not counting is better than not trading's protection: exits and stops need this service.
        sys.stderr.write(f"{service}: this start is not counted: {error}\n")
        may_start = True
    if not may_start:
        _halt(paths, service)
        return EXIT_CRASH_LOOP
    try:
        _run_service(service)
    except SystemExit as end:
        if (end.code or EXIT_STOPPED) in (*NOT_REPEATED, EXIT_NEW_SETTINGS):
            starts.forget()
        raise
    return EXIT_STOPPED


def _run_service(service: str) -> None:
    if service == "watchdog":
        sys.argv = [str(_WATCHDOG)]
        runpy.run_path(str(_WATCHDOG), run_name="__main__")
    else:
        sys.argv = [service]
        runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=True)


def _halt(paths: HomePaths, service: str) -> None:
    """Halt the chain, say why, and say how to go on."""
    words = (
        f"{service} was restarted more than {RESTARTS_MAX} times within 60 s and stays down. Its log says why: "
        f"{paths.logs / f'{service}.log'}. Start it when that is mended: supervisorctl -c "
        f"{paths.run / 'supervisord.conf'} start tradebot:{service}"
    )
    sys.stderr.write(f"{RULE}: {words}\n")
    if service == _WEB:
        # Trading does not depend on the web UI: the chain goes on, and can be stopped from any shell.
        return
    try:
        # Not before it is needed: what is imported here may be what crashes.
        from bus.control import ControlFolder

        ControlFolder(paths).raise_halt_once(service, RULE, words)
    except (ImportError, OSError) as error:
        # The service stays down all the same; the watchdog halts an armed chain for its silence.
        sys.stderr.write(f"{service}: the halt could not be written: {error}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
