"""Run the holdings service: `python -m services.holdings`, `--self-check` checks and exits."""

import sys

from bus.service import run_service
from services.holdings.shell import build

if __name__ == "__main__":
    sys.exit(run_service("holdings", build))
