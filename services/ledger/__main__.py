"""Run the ledger service: `python -m services.ledger`, `--self-check` checks and exits.

`python -m services.ledger trial-balance [--json]` and `entries [--json]` print the books and exit;
`verify`, `backup`, `restore` and `drill` look after the file: see docs/ledger.md.
"""

import sys

from bus.service import run_service
from services.ledger.report import run_report
from services.ledger.shell import build
from services.ledger.upkeep import run_upkeep, wants_upkeep

if __name__ == "__main__":
    if wants_upkeep(sys.argv[1:]):
        sys.exit(run_upkeep(sys.argv[1:]))
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        sys.exit(run_report(sys.argv[1:]))
    sys.exit(run_service("ledger", build))
