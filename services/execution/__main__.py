"""Run the execution service: `python -m services.execution`, `--self-check` checks and exits.

`--test-connection` tries once whether a broker lets the bot in, says so on one line and exits.
"""

import sys

from bus.service import run_service
from config.connection_check import ARGUMENT

if __name__ == "__main__":
    if sys.argv[1:] == [ARGUMENT]:
        from services.execution.connection_check import main

        sys.exit(main())

    from services.execution.shell import build

    sys.exit(run_service("execution", build))
