"""kill -9 in the midst of a write, a hundred times over: at each step, of one entry and of a group."""

import subprocess
import sys
from pathlib import Path

import msgspec
from kill_rounds import POINTS

#: Thirteen times at each of the eight places.
ROUNDS = 13 * len(POINTS)


def test_a_hundred_kills_at_each_step_of_a_write_leave_books_that_all_files_agree_on(tmp_path: Path) -> None:
    # In a process of its own, which has no other threads: it forks.
    played = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kill_rounds.py")), str(tmp_path), str(ROUNDS)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert played.returncode == 0, played.stderr
    told = msgspec.json.decode(played.stdout)
    assert told["met"] == dict.fromkeys(POINTS, 13)
    assert told["booked"] > ROUNDS
