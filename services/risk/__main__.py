"""Run the risk service: `python -m services.risk`, `--self-check` checks and exits."""

import sys

from bus.service import run_service
from services.risk.shell import build

if __name__ == "__main__":
    sys.exit(run_service("risk", build))
