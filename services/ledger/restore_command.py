"""The verb `restore`: build a ledger as it was after an entry or at a time, in a new file."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from services.ledger.backup_ledgers import BackupFolder
from services.ledger.failures import BackupError
from services.ledger.restore import restore, target_of
from services.ledger.which_ledger import add_ledger_argument, ledger_of


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add_ledger_argument(parser)
    parser.add_argument("--at", metavar="SEQ|TIME", default="", help="an entry's number or a time; default: the newest")
    parser.add_argument("--to", metavar="FILE", required=True, help="a new file; its head goes to FILE.head")


def run(args: Namespace) -> int:
    """Restore; 0 = done and verified, 1 = not, and nothing has its name."""
    try:
        head = restore(BackupFolder(ledger_of(args)), target_of(args.at), Path(args.to))
    except (BackupError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    newest = f"entry {head.seq} (link {head.link}), hash {head.hash}"
    sys.stdout.write(f"restored: {newest}, in {args.to}; its head is in {args.to}.head\n")
    return 0
