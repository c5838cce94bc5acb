"""Run the screener service: `python -m services.screener`, `--self-check` checks and exits.

`build-universe`, `universe` and `screen` answer a person and exit; `--help` after each says more. `--test-connection`
tries once whether a provider of data lets the bot in, says so on one line and exits.
"""

import sys

from bus.service import run_service
from config.connection_check import ARGUMENT

if __name__ == "__main__":
    if sys.argv[1:] == [ARGUMENT]:
        from services.screener.connection_check import main

        sys.exit(main())
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        from services.screener.verbs import run_verb

        sys.exit(run_verb(sys.argv[1:]))

    from services.screener.shell import build

    sys.exit(run_service("screener", build))
