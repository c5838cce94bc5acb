"""The verb `drill`: restore a spread of points, and compare each with the living ledger."""

import sqlite3
import sys
from argparse import ArgumentParser, Namespace
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from services.ledger.backup_ledgers import BackupFolder
from services.ledger.failures import BackupError
from services.ledger.restore import Target, restore
from services.ledger.verify import open_reader
from services.ledger.which_ledger import add_ledger_argument, ledger_of


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add_ledger_argument(parser)
    parser.add_argument("--points", type=int, default=20, help="how many entries to restore (20)")


def run(args: Namespace) -> int:
    """Restore into a temporary folder beside the backups; 0 = every point is as it was, 1 = not."""
    ledger = ledger_of(args)
    try:
        count = drill(ledger, points=args.points)
    except (BackupError, OSError, sqlite3.Error) as error:
        sys.stderr.write(f"The drill failed: {error}\n")
        return 1
    sys.stdout.write(f"restored {count} points of {ledger}: each has the hash that the living ledger has there\n")
    return 0


def drill(ledger: Path, *, points: int) -> int:
    """Restore points spread over what the backups reach, and return how many; each must be as the ledger was there.

    The hash of a link covers every row up to it, so a restored ledger that is sound and has the living ledger's hash
    at its end holds the same rows.

    Raises:
        BackupError: a point cannot be restored, or is another than in the living ledger.
        OSError: the disk refuses.
        sqlite3.Error: the living ledger cannot be read.
    """
    folder = BackupFolder(ledger)
    manifests = folder.manifests()
    if not manifests:
        raise BackupError(f"There is no verified base in {folder.bases}: nothing could be restored.")
    first = manifests[0].seq
    with closing(open_reader(ledger)) as db, TemporaryDirectory(prefix="drill-", dir=folder.root) as scratch:
        (newest,) = db.execute("SELECT coalesce(max(seq), 0) FROM tx").fetchone()
        wanted = sorted({first + (newest - first) * part // max(points - 1, 1) for part in range(max(points, 1))})
        for seq in wanted:
            to = Path(scratch) / f"{seq}.db"
            head = restore(folder, Target(seq=seq), to)
            to.unlink()
            if db.execute("SELECT hash FROM chain WHERE link = ?", (head.link,)).fetchone() != (head.hash,):
                raise BackupError(f"Entry {seq} as it was restored is not entry {seq} of the ledger {ledger}.")
    return len(wanted)
