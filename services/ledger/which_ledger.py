"""Which ledger a verb is about: the file that was named, or the one of this home."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from config.vault import Vault
from services.ledger.provision import ledger_path


def add_ledger_argument(parser: ArgumentParser) -> None:
    """Let the caller name a file."""
    parser.add_argument("--ledger", metavar="FILE", help="the ledger file; default: the ledger of this home")


def ledger_of(args: Namespace) -> Path:
    """Return the ledger's path.

    Raises:
        VaultError: none was named, and this home does not say which one it has.
    """
    if args.ledger:
        return Path(args.ledger)
    return ledger_path(args.paths, Vault(args.paths).open().identity)
