"""Two hosts that share nothing but a wire trade as one process does, and halt when the wire is cut."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes
SCRIPT = Path(__file__).with_name("two_hosts.py")


def test_a_chain_when_divided_between_two_hosts_then_trades_as_in_one_process_and_halts_without_the_wire(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("t"))], capture_output=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:] + done.stdout.decode()[-2000:]
    said = {key: value for line in done.stdout.splitlines() for key, value in json.loads(line).items()}
    # Where the system gives no network namespace this says so, and two loopback addresses stood for the hosts.
    sys.stdout.write(f"{said['network']}\n")
    assert said["first_host"] == ["execution", "holdings", "ledger", "risk", "watchdog", "web"]
    assert said["fills"] >= 10
    assert said["same_fills_as_one_process"]
    assert said["signals_on_the_second_host"] >= 5
    assert said["books"] == []
    assert said["halted_by"][-1] in {"service_silent", "service_stopped"}
