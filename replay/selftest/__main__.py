"""Play the routines of TEST_MODE on the home TRADEBOT_HOME, and print a line of JSON for each.

Exit code 0 when all have passed, 1 when one has not, 2 when the run could not begin, 130 when it was told to end.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bus.clock import utc_ns
from bus.orphan import die_with
from bus.processes import is_in_use, stop_on_signals
from bus.test_mode import RunRecord, home_for_tests, new_run_id, runs_folder
from config.paths import home_paths
from config.vault import Vault, VaultError
from replay.selftest.ground import Ground
from replay.selftest.routines import ROUTINES
from replay.selftest.run import Run, print_line

EXIT_PASSED: Final = 0
EXIT_FAILED: Final = 1
EXIT_NOT_BEGUN: Final = 2
EXIT_INTERRUPTED: Final = 130
#: Behind everything that a production chain does.
_NICENESS: Final = 19
_LOCK_FILE: Final = "run.lock"


class AnotherRunError(Exception):
    """A run is under way on this home; the message says so."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the one place for a run inside the block.

    Raises:
        AnotherRunError: another process holds it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnotherRunError("A run of TEST_MODE is under way on this home: wait until it has ended.") from None
        yield


def main(arguments: list[str]) -> int:
    """Play one run."""
    parser = argparse.ArgumentParser(prog="python -m replay.selftest", description="The routines of TEST_MODE.")
    parser.add_argument("--run-id", default="", help="the name of the run; default: the time of its start")
    parser.add_argument("--operator", default="by hand", help="who asks for it")
    parser.add_argument("--reason", default="")
    parser.add_argument("--letter", action="store_true", help="also send one letter to whom the settings name")
    parser.add_argument(
        "--ask-broker", action="store_true", help="also ask the broker in the settings; no order is sent"
    )
    parser.add_argument("--only", default="", help="the names of some routines, with commas between")
    parser.add_argument("--keep", action="store_true", help="leave the home of the tests where it is")
    asked = parser.parse_args(arguments)
    wanted = asked.only.split(",") if asked.only else [one.name for one in ROUTINES]
    unknown = sorted(set(wanted) - {one.name for one in ROUTINES})
    if unknown:
        parser.error(f"there is no routine {', '.join(unknown)}; there are {', '.join(one.name for one in ROUTINES)}")
    stop_on_signals()
    die_with(os.getppid())
    os.nice(_NICENESS)
    os.umask(0o077)
    paths = home_paths()
    try:
        identity = Vault(paths).open().identity
        folder = runs_folder(paths, identity)
        with alone(folder):
            ground = Ground(
                production=paths,
                identity=identity,
                paths=home_for_tests(paths),
                is_live=is_in_use(paths),
                sends_letter=asked.letter,
                asks_broker=asked.ask_broker,
            )
            record = RunRecord(
                run_id=asked.run_id or new_run_id(folder, utc_ns()),
                state="running",
                asked_by=asked.operator,
                reason=asked.reason,
            )
            chosen = [one for one in ROUTINES if one.name in wanted]
            done = Run(ground, folder, record, routines=chosen, tell=print_line).play(keeps_home=asked.keep)
    except (VaultError, AnotherRunError) as error:
        sys.stderr.write(f"{error} Nothing was tried.\n")
        return EXIT_NOT_BEGUN
    except KeyboardInterrupt:
        sys.stderr.write("The run was told to end; every process of it has ended.\n")
        return EXIT_INTERRUPTED
    return EXIT_PASSED if done.state == "passed" else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
