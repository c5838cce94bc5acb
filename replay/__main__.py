"""Play a session in one process and print what it did: `python -m replay --data FOLDER --date 2013-10-08`."""

import argparse
import sys
import tempfile
from pathlib import Path

from bus.assembly import CannotStartError
from config.env_bot import SettingsError
from config.paths import HomePaths
from replay.local import play_in
from replay.report import refusals_table, trades, trades_table
from replay.session import SessionChoice, open_session


def main(arguments: list[str]) -> int:
    """Print trades and refusals; exit 2 when the session cannot be opened."""
    parser = argparse.ArgumentParser(prog="python -m replay", description="Play one session in one process.")
    parser.add_argument("--data", default="", help="folder of recorded minutes; without it a market is generated")
    parser.add_argument("--date", default="", help="trading day, YYYY-MM-DD")
    parser.add_argument("--symbols", default="", help="names, comma separated; without it all there are")
    parser.add_argument("--seed", default="", help="seed of the generated market")
    options = parser.parse_args(arguments)
    choice = SessionChoice(options.data, options.date, options.symbols, options.seed)
    with tempfile.TemporaryDirectory(prefix="tb-") as folder:
        try:
            session = open_session(choice.settings(), HomePaths(Path(folder)))
            print(session.source)
            played = play_in(session, session.setup.paths)
        except (SettingsError, CannotStartError) as error:
            sys.stderr.write(f"{error}\n")
            return 2
    events = [event for _, event in played.events]
    print(trades_table(trades(events)))
    print(refusals_table(events))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
