"""One service as a process, from its command line to its exit code; the whole of every `__main__`."""

import logging
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from bus.assembly import Assembly, CannotStartError, Setup
from bus.build import build_id
from bus.endpoints import Endpoints
from bus.error_handler import halting_on_error
from bus.exit_codes import EXIT_CONFIGURATION, EXIT_LOCKED, EXIT_NEW_SETTINGS, EXIT_STOPPED, EXIT_USAGE
from bus.failpoints import arm_from_environment
from bus.lock import LockTakenError, service_lock
from bus.messages import ServiceName
from bus.new_settings import PinWatch
from bus.placement import PlacementError, place
from bus.runner import Runner
from bus.sockets import BindError, BusSockets
from bus.start import ConfigurationError, await_setup
from bus.store import StoreError
from config.paths import HomeError, home_paths

logger = logging.getLogger(__name__)

EXIT_FAULT: Final = 1
__all__ = ["EXIT_CONFIGURATION", "EXIT_FAULT", "EXIT_LOCKED", "EXIT_STOPPED", "EXIT_USAGE", "run_service"]


def run_service(name: ServiceName, build: Callable[[Setup], Assembly[Any]]) -> int:
    """Run one service until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 stopped, 1 self-check found faults, 2 unknown argument, 75 another copy runs, 78 home,
        settings, journal or endpoints unusable, 79 to be started anew with other settings. An error that nobody
        handles halts the chain and ends the process with its traceback and Python's 1; bus.supervised adds 70 for a
        crash loop and 75 for another chain on the home.
    """
    arm_from_environment()
    unknown = [argument for argument in sys.argv[1:] if argument != "--self-check"]
    if unknown:
        sys.stderr.write(f"usage: python -m services.{name} [--self-check]; not known: {' '.join(unknown)}\n")
        return EXIT_USAGE
    try:
        paths = home_paths()
        paths.make()
        with service_lock(paths, name):
            is_check = "--self-check" in sys.argv[1:]
            setup, ring = await_setup(name, paths, is_waiting=not is_check)
            if is_check:
                return _self_check(name, setup, build)
            place(name, setup.env.whole("ORDER_PATH_CPU"))
            with halting_on_error(name, paths):
                runner = Runner(name, setup, BusSockets(ring, Endpoints.from_env(paths, setup.env)))
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, lambda *_: runner.stop())
                watch = PinWatch(paths, setup.generation, runner.stop)
                watch.start()
                runner.start(build)
                logger.info("%s is up (build %s, home %s)", name, build_id(), paths.root)
                runner.run()
                watch.stop()
                if watch.has_moved:
                    logger.info("%s starts anew with other settings", name)
                    return EXIT_NEW_SETTINGS
    except LockTakenError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_LOCKED
    except (HomeError, ConfigurationError, PlacementError, StoreError, BindError) as error:
        sys.stderr.write(f"{name} cannot start: {error}\n")
        return EXIT_CONFIGURATION
    return EXIT_STOPPED


def _self_check(name: ServiceName, setup: Setup, build: Callable[[Setup], Assembly[Any]]) -> int:
    try:
        faults = list(build(setup).self_check())
    except CannotStartError as error:
        faults = [str(error)]
    for fault in faults:
        sys.stdout.write(f"{name}: {fault}\n")
    sys.stdout.write(f"{name}: self-check {'failed' if faults else 'passed'}\n")
    return EXIT_FAULT if faults else EXIT_STOPPED
