"""Replay sessions: `python -m replay run|compare|sweep|report|holdings`; `--help` has the options."""

import argparse
import http.client
import sys

from bus.assembly import CannotStartError
from bus.processes import ChainError
from bus.store import StoreError
from config.env_bot import SettingsError
from config.paths import HomeError
from replay import command_compare, command_holdings, command_report, command_run, command_sweep
from replay.browser import PageError
from replay.faults import ReplayError
from replay.stage import StageError


def main(arguments: list[str]) -> int:
    """Run one command; every expected failure is one message on the error stream and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m replay", description="Play sessions through the bot's own cores.")
    commands = parser.add_subparsers(dest="command", required=True)
    command_run.add_run(commands.add_parser("run", help="play days in one process and report what they did"))
    command_compare.add_compare(
        commands.add_parser("compare", help="play one day through the real processes too, and compare")
    )
    command_sweep.add_sweep(commands.add_parser("sweep", help="try settings side by side and rank them"))
    command_holdings.add_holdings(
        commands.add_parser("holdings", help="play years of nights of the long-term holdings over daily prices")
    )
    command_report.add_report(commands.add_parser("report", help="write trades and summary of a home's session"))
    options = parser.parse_args(arguments)
    command = {
        "run": command_run.run,
        "compare": command_compare.run,
        "sweep": command_sweep.run,
        "holdings": command_holdings.run,
        "report": command_report.run,
    }[options.command]
    try:
        return command(options)
    except (SettingsError, CannotStartError, HomeError, ReplayError, ChainError, StageError, StoreError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (PageError, http.client.HTTPException) as error:
        sys.stderr.write(f"The web UI does not answer any more ({error}); every process was stopped.\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"The system refused: {error}. Correct that and start again.\n")
        return 2
    except KeyboardInterrupt:
        goes_on = " The same command goes on from what is done." if options.command == "sweep" else ""
        sys.stderr.write(f"\nStopped.{goes_on}\n")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
