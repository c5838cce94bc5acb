"""Run the execution service: `python -m services.execution`, `--self-check` checks and exits."""

import sys

from bus.service import run_service
from services.execution.shell import build

if __name__ == "__main__":
    sys.exit(run_service("execution", build))
