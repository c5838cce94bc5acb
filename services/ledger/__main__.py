"""Run the ledger service: `python -m services.ledger`, `--self-check` checks and exits.

`python -m services.ledger VERB` reads the books and exits: `python -m services.ledger --help` lists the verbs.
"""

import sys

from bus.service import run_service
from services.ledger.shell import build
from services.ledger.verbs import run_verb, wants_verb

if __name__ == "__main__":
    if wants_verb(sys.argv[1:]):
        sys.exit(run_verb(sys.argv[1:]))
    sys.exit(run_service("ledger", build))
