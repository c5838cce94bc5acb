"""The verbs that check, copy and restore a ledger: `python -m services.ledger verify | backup | restore | drill`.

Each verb is a module with `add_arguments(parser)` and `run(args)`, which returns the exit code. `args.ledger` is the
file, None for the ledger of this home; `args.paths` is the home.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from config.paths import HomePaths, home_paths
from config.vault import VaultError

#: verb -> its module, which is imported when the verb is called, and what it does.
VERBS: Final = {
    "verify": ("services.ledger.verify_command", "check every row of the ledger, and name the first that is broken"),
    "backup": ("services.ledger.backup_command", "make a whole, verified copy of the ledger now"),
    "restore": ("services.ledger.restore_command", "build the ledger as it was after an entry or at a time"),
    "drill": ("services.ledger.drill", "restore a spread of points, and compare each with the living ledger"),
}
_FINDING: Final = 1
_WRONG_COMMAND: Final = 2


def wants_upkeep(arguments: Sequence[str]) -> bool:
    """Tell whether a command line is for one of these verbs."""
    return bool(arguments) and arguments[0] in VERBS


def run_upkeep(arguments: Sequence[str], paths: HomePaths | None = None) -> int:
    """Do what is asked for; return 0, or 1: a finding or a failure, or 2: a wrong command line."""
    module = import_module(VERBS[arguments[0]][0])
    parser = argparse.ArgumentParser(prog=f"python -m services.ledger {arguments[0]}", description=module.__doc__)
    module.add_arguments(parser)
    try:
        args = parser.parse_args(arguments[1:])
    except SystemExit as done:
        # argparse has said what is wrong, or has shown the help.
        return done.code if isinstance(done.code, int) else _WRONG_COMMAND
    args.paths = home_paths() if paths is None else paths
    try:
        code: int = module.run(args)
    except VaultError as error:
        sys.stderr.write(f"{error}\n")
        return _FINDING
    return code
