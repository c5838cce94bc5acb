"""`python -m replay report`: write the trades and the summary of a session of a real home."""

import argparse
from pathlib import Path

from config.env_bot import parse
from config.paths import HomePaths, home_paths
from config.vault import Vault, VaultError
from replay.books import compare_books
from replay.day_record import last_session, read_day
from replay.day_report import write_report
from replay.faults import ReplayError


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the options of `report`."""
    parser.add_argument("--home", default="", help="the home; default: TRADEBOT_HOME, or ./home")
    parser.add_argument("--date", default="", help="the session, YYYY-MM-DD; default: the newest one")


def run(options: argparse.Namespace) -> int:
    """Write the files and say where they are; return 1 when broker and ledger differ.

    Raises:
        ReplayError, StoreError: the home is not configured, or has no such session.
    """
    paths = HomePaths(Path(options.home).expanduser().absolute()) if options.home else home_paths()
    try:
        secrets = Vault(paths).open()
    except VaultError as error:
        raise ReplayError(str(error)) from error
    session = options.date or last_session(paths.state)
    if not session:
        raise ReplayError(f"No session was ever planned in {paths.root}: there is nothing to report.")
    day = read_day(paths.state, session)
    if not day.events:
        raise ReplayError(f"Nothing is known of a session of {session} in {paths.root}. Give --date another one.")
    # BROKER_NAME PAPER: the embedded broker's books lie beside the ledger; an outside broker's do not.
    is_paper = parse(secrets.settings).word("BROKER_NAME") == "PAPER"
    books = compare_books(paths, secrets.identity) if is_paper else None
    for path in write_report(day, secrets.identity, paths.output / secrets.identity.bot_identity, books):
        print(path)
    return 1 if books else 0
