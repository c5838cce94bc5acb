"""The verb `backup`: make a whole, verified copy of a ledger now, while the service goes on, and rehearse a restore."""

import os
import sys
from argparse import ArgumentParser, Namespace

from services.ledger.backup_ledgers import BackupFolder, make_base
from services.ledger.failures import BackupError
from services.ledger.restore import rehearse
from services.ledger.which_ledger import add_ledger_argument, ledger_of


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add_ledger_argument(parser)
    parser.add_argument("--nice", type=int, default=0, metavar="N", help="yield to other programs so far, 0 to 19 (0)")


def run(args: Namespace) -> int:
    """Make the copy, and restore it from the copy before and the redo log; 0 = made and the same, 1 = not."""
    ledger = ledger_of(args)
    folder = BackupFolder(ledger)
    if args.nice:
        os.nice(args.nice)
    if not ledger.is_file():
        sys.stderr.write(f"There is no ledger at {ledger}.\n")
        return 1
    try:
        folder.make()
        manifest = make_base(ledger, folder)
        before = rehearse(folder, manifest)
    except BackupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"copy of entry {manifest.seq} (link {manifest.link}): {folder.base_of(manifest)}\n")
    if before is not None:
        sys.stdout.write(f"the copy of entry {before.seq} and the redo log since then give the same\n")
    return 0
