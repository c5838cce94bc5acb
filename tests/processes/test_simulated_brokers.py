"""A session through the protocols of real brokers, against stand-ins: lines break, a service dies, books agree."""

import re
import subprocess
import sys

import pytest

from bus.processes import ROOT

pytestmark = pytest.mark.processes

#: The exchange closes at 13:00 in New York on this day: three hours and a half.
HALF_DAY = "2024-11-29"
SPEED = "120"
PATIENCE_S = 900


def test_a_session_when_played_at_simulated_brokers_then_books_agree_to_the_cent_with_each(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    started = {
        broker: subprocess.Popen(
            [
                *(sys.executable, "-m", "replay.demo", "--broker", broker, "--date", HALF_DAY, "--speed", SPEED),
                *("--home", str(tmp_path_factory.mktemp("s") / broker)),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for broker in ("alpaca-sim", "ibkr-sim")
    }
    try:
        told = {broker: process.communicate(timeout=PATIENCE_S)[0] for broker, process in started.items()}
    finally:
        for process in started.values():
            process.terminate()
    for broker, words in told.items():
        assert started[broker].returncode == 0, words
        assert "every connection of the broker and of the market was broken" in words
        assert "the execution service was killed: the chain halted, and its operator has armed it again" in words
        counted = re.search(r"Broker against ledger: (\d+) executions, cash and every position agree", words)
        assert counted is not None, words
        # At least the entries of the morning and what has become of them.
        assert int(counted[1]) >= 10, words
