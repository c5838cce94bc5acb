"""Real chains in mid-session, killed, frozen and halted; play.py does it, in a network of its own, and judges."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PLAY = Path(__file__).parent / "play.py"
SEED = os.environ.get("TRADEBOT_CHAOS_SEED", "1")
LAST = re.compile(r"seed (\d+): (\d+) kills, (\d+) pauses, (\d+) halts, (\d+) faults")


def test_the_books_when_a_chain_is_killed_frozen_and_halted_in_mid_session_hold_every_fact() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    command = [sys.executable, str(PLAY), "--seed", SEED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = f"Again: make chaos SEED={SEED}\n{done.stdout}{done.stderr}"
    sys.stdout.write(said)
    last = LAST.search(done.stdout.strip().splitlines()[-1])
    assert last, said
    _, kills, pauses, halts, faults = (int(figure) for figure in last.groups())
    assert (done.returncode, faults) == (0, 0), said
    assert kills >= 30
    assert pauses >= 10
    assert halts >= 10
