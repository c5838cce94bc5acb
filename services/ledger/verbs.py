"""The ledger's command line: `python -m services.ledger VERB`. No verb writes to the ledger.

`upgrade` alone replaces its file, by one with the same rows, while nobody uses it.
A module of a verb has `add_arguments(parser)` and `run(args)`, which returns the exit code. `args.paths` is the home,
`args.verb` the verb, and `args.ledger`, where the module lets the caller name it, a file or None. What the audit trail
has to know is left to the service as a note.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from config.paths import HomePaths, home_paths
from config.vault import VaultError
from services.ledger.book import LedgerError
from services.ledger.deeds import leave_note
from services.ledger.hash_chain import Value
from services.ledger.which_ledger import ledger_of

#: verb -> its module, which is imported when a verb is called, and what it does.
VERBS: Final = {
    "trial-balance": ("services.ledger.report", "print every account's balance"),
    "entries": ("services.ledger.report", "print every entry with its lines"),
    "reports": ("services.ledger.reports", "write statements, realized gains and trades as HTML or JSON"),
    "export-ofx": ("services.ledger.generate_ofx", "write an OFX 2.2 document for other accounting software"),
    "export-beancount": ("services.ledger.export_beancount", "write the books for beancount, a second bookkeeper"),
    "verify": ("services.ledger.verify_command", "check every row of the ledger, and name the first that is broken"),
    "backup": ("services.ledger.backup_command", "make a whole, verified copy of the ledger now"),
    "backups": ("services.ledger.backups_command", "list the copies and the redo log, and say how far they reach"),
    "restore": ("services.ledger.restore_command", "build the ledger as it was after an entry or at a time"),
    "drill": ("services.ledger.drill", "restore a spread of points, and compare each with the living ledger"),
    "upgrade": ("services.ledger.upgrade_command", "bring a ledger of an older schema into this one, row for row"),
    "export-hledger": ("services.ledger.export_hledger", "write the books for hledger, a second bookkeeper"),
}
#: What is told to the audit trail, and how it is called there: whatever takes the books elsewhere or judges them.
AUDITED: Final = {
    "reports": "REPORT",
    "export-ofx": "EXPORT_OFX",
    "export-beancount": "EXPORT_BEANCOUNT",
    "export-hledger": "EXPORT_HLEDGER",
    "verify": "VERIFY",
    "backup": "BACKUP",
    "restore": "RESTORE",
    "drill": "DRILL",
    "upgrade": "UPGRADE",
}
FINDING: Final = 1
WRONG_COMMAND: Final = 2


def wants_verb(arguments: Sequence[str]) -> bool:
    """Tell whether a command line is for a verb, or for its help; else it is the service's."""
    return bool(arguments) and (not arguments[0].startswith("-") or arguments[0] in ("-h", "--help"))


def run_verb(arguments: Sequence[str], paths: HomePaths | None = None) -> int:
    """Do what is asked for; return 0, or 1: a finding or no sound ledger, or 2: a wrong command line."""
    try:
        args = _parser().parse_args(arguments)
    except SystemExit as done:
        # argparse has said what is wrong, or has shown the help.
        return done.code if isinstance(done.code, int) else WRONG_COMMAND
    args.paths = home_paths() if paths is None else paths
    try:
        code: int = import_module(VERBS[args.verb][0]).run(args)
        _tell(args, code)
    except (VaultError, LedgerError) as error:
        sys.stderr.write(f"{error}\n")
        return FINDING
    except OSError as error:
        sys.stderr.write(f"{args.verb}: {error.filename or 'a file'} cannot be used: {error.strerror}.\n")
        return FINDING
    return code


def _tell(args: argparse.Namespace, code: int) -> None:
    """Let the audit trail know what was done, and with which file."""
    if args.verb not in AUDITED:
        return
    ledger = ledger_of(args)
    target = getattr(args, "to", None) if args.verb == "restore" else getattr(args, "out", None)
    payload: dict[str, Value] = {"exit_code": code}
    payload |= {
        key: str(value) for key in ("at", "first", "last", "points", "format") if (value := getattr(args, key, ""))
    }
    leave_note(ledger, AUDITED[args.verb], str(target or ledger.name), payload)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.ledger",
        description="Read, check, restore the books. Without a verb the ledger service runs; --self-check checks it.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (module, said) in VERBS.items():
        import_module(module).add_arguments(verbs.add_parser(name, help=said, description=said.capitalize() + "."))
    return parser
