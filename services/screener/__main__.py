"""Run the screener service: `python -m services.screener`, `--self-check` checks and exits.

`build-universe`, `universe` and `screen` answer a person and exit; `--help` after each says more.
"""

import sys

from bus.service import run_service
from services.screener.shell import build

if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        from services.screener.verbs import run_verb

        sys.exit(run_verb(sys.argv[1:]))
    sys.exit(run_service("screener", build))
