"""Run the strategy service: `python -m services.strategy`, `--self-check` checks and exits."""

import sys

from bus.service import run_service
from services.strategy.shell import build

if __name__ == "__main__":
    sys.exit(run_service("strategy", build))
