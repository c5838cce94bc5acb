"""What the ledger's verbs have in common: which file, which days, and where the answer goes."""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

from services.ledger.book import LedgerError
from services.ledger.findings import findings
from services.ledger.reading import Books, Period, read_books


def add_ledger(parser: argparse.ArgumentParser) -> None:
    """Let the caller name a ledger file."""
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a ledger file; without it, the ledger of TRADEBOT_HOME"
    )


def add_period(parser: argparse.ArgumentParser) -> None:
    """Let the caller choose days."""
    parser.add_argument(
        "--from", dest="first", type=_day, metavar="DAY", help="first UTC day, such as 2025-03-01; else the first entry"
    )
    add_last_day(parser)


def add_last_day(parser: argparse.ArgumentParser) -> None:
    """Let the caller choose the day at whose end the books are read."""
    parser.add_argument("--to", dest="last", type=_day, metavar="DAY", help="last UTC day; else that of the last entry")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Let the caller name the file to write."""
    parser.add_argument("--out", type=Path, metavar="FILE", help="write this file, whole or not at all; else print")


def sound_books(args: argparse.Namespace) -> Books:
    """Read the books that are to be exported.

    Raises:
        VaultError: the home's identity cannot be read.
        LedgerError: there is no sound ledger, or its books have findings: another program must not be given them.
    """
    books = read_books(args.paths, args.ledger)
    if found := findings(books):
        listed = "\n".join(f"  - {finding}" for finding in found)
        raise LedgerError(f"Nothing is exported, for the books have findings:\n{listed}")
    return books


def period_of(args: argparse.Namespace, books: Books) -> Period:
    """Return the chosen days.

    Raises:
        LedgerError: the first day is after the last.
    """
    first: date | None = getattr(args, "first", None)
    last: date = args.last or max(books.last_day(), first or date.min)
    if first is not None and first > last:
        raise LedgerError(f"--from {first} is after --to {last}. Give the earlier day first.")
    return Period(first=first, last=last)


def deliver(out: Path | None, data: bytes, said: str) -> None:
    """Write the answer to a file, whole or not at all, or print it; then say what was done.

    Raises:
        OSError: the file cannot be written.
    """
    if out is None:
        sys.stdout.write(data.decode())
        sys.stderr.write(f"{said}\n")
        return
    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    sys.stdout.write(f"{said} Written to {out}.\n")


def add_whole_export(parser: argparse.ArgumentParser) -> None:
    """Tell the command line of an export that begins with the first entry."""
    add_ledger(parser)
    add_last_day(parser)
    add_out(parser)


def export_whole(args: argparse.Namespace, program: str, export: Callable[[Books, Period], bytes]) -> int:
    """Export the books for another program from the first entry on; return 0.

    Raises:
        LedgerError: there is no sound ledger, or its books have findings: then nothing is written.
        OSError: the file cannot be written.
    """
    books = sound_books(args)
    period = period_of(args, books)
    count = len(books.until(period.end_ns))
    deliver(args.out, export(books, period), f"{count} entries for {program} until {period.last} UTC.")
    return 0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no day: write it as 2025-03-01") from error
