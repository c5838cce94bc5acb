"""Run the ledger service: `python -m services.ledger`, `--self-check` checks and exits.

`python -m services.ledger trial-balance [--json]` and `entries [--json]` print the books and exit.
"""

import sys

from bus.service import run_service
from services.ledger.report import run_report
from services.ledger.shell import build

if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        sys.exit(run_report(sys.argv[1:]))
    sys.exit(run_service("ledger", build))
