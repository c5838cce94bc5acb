"""Tell whether the chain of a home is alive, for whoever restarts containers: exit code 0, or 1 with the reason.

It reads output/status.json alone, which the watchdog writes every second. A halted chain is alive: only a person may
start it again.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path


def fault_of(home: Path, now: datetime) -> str:
    """Return why the chain is not alive, empty when it is."""
    path = home / "output" / "status.json"
    try:
        status = json.loads(path.read_bytes())
        written = datetime.fromisoformat(status["written_at_utc"])
        valid = timedelta(milliseconds=status["valid_for_ms"])
    except (OSError, ValueError, KeyError) as error:
        return f"{path} cannot be read: {error}"
    if now - written > valid:
        return f"{path} was last written at {status['written_at_utc']}: the watchdog is down"
    return ""


if __name__ == "__main__":
    fault = fault_of(Path(os.environ.get("TRADEBOT_HOME") or "home"), datetime.now(UTC))  # noqa: TID251 - no bus here
    if fault:
        sys.stderr.write(f"{fault}\n")
        sys.exit(1)
