"""Replay recorded or generated sessions: `python -m replay run|compare|sweep`; `--help` has the options."""

import argparse
import sys

from bus.assembly import CannotStartError
from config.env_bot import SettingsError
from config.paths import HomeError
from replay.command_run import add_run, run
from replay.faults import ReplayError


def main(arguments: list[str]) -> int:
    """Run one command; every expected failure is one message on the error stream and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m replay", description="Play sessions through the bot's own cores.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_run(commands.add_parser("run", help="play days in one process and report what they did"))
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except (SettingsError, CannotStartError, HomeError, ReplayError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
