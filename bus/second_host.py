"""Carry the second host's keys over: `python -m bus.second_host export FILE` here, `install FILE` there.

The passphrase is asked for, or read from the standard input where that is no terminal. Exit code 0, or 2 with words.
"""

import argparse
import sys
from getpass import getpass
from pathlib import Path

from bus.lock import is_held
from bus.routes import SECOND_HOST_SERVICES
from config.paths import HomeError, HomePaths, home_paths
from config.second_host import SecondHostError, export, install

EXIT_OK, EXIT_FAULT = 0, 2


def main(arguments: list[str]) -> int:
    """Make the file or put it into force; say what was done, or what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bus.second_host",
        description="Give a second host what screener and strategies need, and nothing else.",
    )
    parser.add_argument("verb", choices=("export", "install"))
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    paths = home_paths()
    named = " and ".join(SECOND_HOST_SERVICES)
    try:
        _refuse_while_running(paths)
        if options.verb == "export":
            generation = export(paths, SECOND_HOST_SERVICES, _passphrase(), options.file)
            words = f"{options.file} has generation {generation} for {named}. Remove it once the second host has it."
        else:
            paths.make()
            generation = install(paths, options.file, _passphrase())
            words = f"{paths.root} runs {named}, with generation {generation} of the other host. Remove the file."
    except (SecondHostError, HomeError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAULT
    sys.stdout.write(f"{words}\n")
    return EXIT_OK


def _refuse_while_running(paths: HomePaths) -> None:
    """Keep a journal that still grows from being carried over."""
    running = [name for name in SECOND_HOST_SERVICES if is_held(paths, f"{name}.lock")]
    if running:
        raise SecondHostError(f"{' and '.join(running)} runs on {paths.root}: stop the chain first.")


def _passphrase() -> str:
    return getpass("Passphrase of the file: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
