"""Run the screener service: `python -m services.screener`, `--self-check` checks and exits."""

import sys

from bus.service import run_service
from services.screener.shell import build

if __name__ == "__main__":
    sys.exit(run_service("screener", build))
