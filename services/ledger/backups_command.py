"""The verb `backups`: list the copies of a ledger and its redo log, and say how far they reach together."""

import sqlite3
import sys
from argparse import ArgumentParser, Namespace
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from bus.clock import iso_utc
from services.ledger.backup_ledgers import BackupFolder, base_fault, covered_through
from services.ledger.redo import first_link_of, segments
from services.ledger.verify import open_reader
from services.ledger.which_ledger import add_ledger_argument, ledger_of


class ListedBase(Struct, frozen=True, kw_only=True):
    """A whole copy. `fault` is empty where it is sound as far as it was looked at; `size_bytes` 0: it is gone."""

    link: int
    entry: int
    recorded_at_utc: str
    size_bytes: int
    file: str
    fault: str = ""


class ListedSegment(Struct, frozen=True, kw_only=True):
    """A file of the redo log."""

    first_link: int
    size_bytes: int
    file: str


class Listed(Struct, frozen=True, kw_only=True):
    """What a ledger could be restored from. `entry` and `link` are its newest, `covered_link` how far copies reach."""

    ledger: str
    entry: int
    link: int
    covered_link: int
    bases: tuple[ListedBase, ...]
    redo: tuple[ListedSegment, ...]

    @property
    def fault(self) -> str:
        """Return the first thing that is wrong, in one sentence; empty where everything could be restored."""
        found = [base.fault for base in self.bases if base.fault]
        if found:
            return found[0]
        if self.covered_link < self.link:
            return (
                f"The copies reach link {self.covered_link} of {self.link}: what is after it could not be restored. "
                "Make a copy now: `python -m services.ledger backup`."
            )
        return ""


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add_ledger_argument(parser)
    parser.add_argument("--verify", action="store_true", help="read every copy through and compare its check sum")
    parser.add_argument("--json", action="store_true", help="print everything as one line of JSON")


def run(args: Namespace) -> int:
    """List; 0 = everything could be restored, 1 = not."""
    ledger = ledger_of(args)
    if not ledger.is_file():
        sys.stderr.write(f"There is no ledger at {ledger}: it is made when the ledger service first starts.\n")
        return 1
    try:
        listed = backups_of(ledger, is_read_through=args.verify)
    except sqlite3.Error as error:
        sys.stderr.write(
            f"The ledger {ledger} cannot be read: {error}. Verify it: `python -m services.ledger verify`.\n"
        )
        return 1
    if args.json:
        sys.stdout.write(msgspec.json.encode(listed).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_lines(listed, is_read_through=args.verify)) + "\n")
    return 1 if listed.fault else 0


def backups_of(ledger: Path, *, is_read_through: bool) -> Listed:
    """Return what a ledger could be restored from.

    Raises:
        sqlite3.Error: the ledger cannot be read.
        OSError: a folder cannot be read.
    """
    folder = BackupFolder(ledger)
    with closing(open_reader(ledger)) as db:
        entry, link = db.execute("SELECT (SELECT coalesce(max(seq), 0) FROM tx), max(link) FROM chain").fetchone()
        (genesis,) = db.execute("SELECT prev_hash FROM chain WHERE link = 1").fetchone()
    bases = [
        ListedBase(
            link=one.link,
            entry=one.seq,
            recorded_at_utc=iso_utc(one.recorded_at_ns),
            size_bytes=_size(folder.base_of(one)),
            file=str(folder.base_of(one)),
            fault=(base_fault(folder, one) if is_read_through else "") or _gone(folder.base_of(one)),
        )
        for one in folder.manifests()
    ]
    redo = [
        ListedSegment(first_link=first_link_of(path), size_bytes=_size(path), file=str(path))
        for path in segments(folder.redo)
    ]
    return Listed(
        ledger=str(ledger),
        entry=entry,
        link=link,
        covered_link=covered_through(folder, genesis, link),
        bases=tuple(bases),
        redo=tuple(redo),
    )


def _gone(path: Path) -> str:
    return "" if path.is_file() else f"the base {path} is gone, though its manifest is there"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _lines(listed: Listed, *, is_read_through: bool) -> list[str]:
    lines = [f"{listed.ledger}: entry {listed.entry} (link {listed.link})"]
    how = "read through" if is_read_through else "listed"
    lines += [
        f"  copy of entry {base.entry} (link {base.link}), {base.recorded_at_utc}, {base.size_bytes:,} bytes, {how}"
        + (f": NOT SOUND, {base.fault}" if base.fault else "")
        for base in listed.bases
    ]
    lines += [f"  redo log from link {one.first_link}, {one.size_bytes:,} bytes" for one in listed.redo]
    lines.append(f"  {listed.fault or f'every entry to {listed.entry} can be restored'}")
    return lines
