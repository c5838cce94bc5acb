"""The verb `verify`: check every row of a ledger against the chain, the schema and the head outside of the file."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from services.ledger.failures import BackupError
from services.ledger.head_file import HeadError, HeadFile, head_path_of, read_head
from services.ledger.verify import verify_file
from services.ledger.which_ledger import add_ledger_argument, ledger_of


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add_ledger_argument(parser)
    parser.add_argument("--head", metavar="FILE", help="the head to compare with; default: state/ of the same home")
    parser.add_argument(
        "--accept", action="store_true", help="after a sound check, take where the ledger stands as its head anew"
    )


def run(args: Namespace) -> int:
    """Check, and print what was found; 0 = sound, 1 = not."""
    path = ledger_of(args)
    head_path = Path(args.head) if args.head else head_path_of(path)
    try:
        head = None if args.accept else read_head(head_path)
    except HeadError as error:
        return _say_faults(path, (str(error),))
    verdict = verify_file(path, head)
    if verdict.faults or verdict.head is None:
        return _say_faults(path, verdict.faults)
    note = "."
    if args.accept:
        file = HeadFile(head_path)
        try:
            file.write(verdict.head)
        except BackupError as error:
            return _say_faults(path, (str(error),))
        finally:
            file.close()
        note = f". This is its head from now on: {head_path}"
    elif head is None:
        note = f". There is no head at {head_path}: entries that were cut off at the end would not be seen."
    sys.stdout.write(
        f"sound: {verdict.entries} entries in {verdict.links} links, newest hash {verdict.head.hash}{note}\n"
    )
    return 0


def _say_faults(path: Path, faults: tuple[str, ...]) -> int:
    sys.stdout.write("\n".join([f"NOT SOUND {path}", *(f"  - {fault}" for fault in faults)]) + "\n")
    return 1
