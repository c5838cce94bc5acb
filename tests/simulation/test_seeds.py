"""Many seeds of everything at once, the ones that failed before, and proof that a seed is always the same run."""

import multiprocessing
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sim.faults import PROFILES
from sim.run import run_seed
from soak import profile_of, replay_command, verdicts

from bus.processes import ROOT

SEEDS = 1_000
STORED = [
    (int(line.split()[1]), line.split()[0])
    for line in (Path(__file__).parent / "seeds.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def _broken(tasks: list[tuple[int, str]]) -> Iterator[str]:
    for verdict in verdicts(tasks, multiprocessing.cpu_count()):
        if verdict.faults:
            yield f"{replay_command(verdict.seed, verdict.profile)}: {verdict.faults}"


def _first_seed() -> int:
    """Return where this commit's seeds begin: every commit plays others."""
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(said.stdout[:7] or "1", 16)


def test_seeds_when_everything_goes_wrong_at_once_break_no_promise() -> None:
    first = _first_seed()
    assert list(_broken([(seed, profile_of(seed, "")) for seed in range(first, first + SEEDS)])) == []


def test_seeds_that_failed_before_break_no_promise() -> None:
    assert list(_broken(STORED)) == []


def test_a_seed_when_played_twice_is_the_same_run() -> None:
    tasks = [(seed, profile_of(seed, "")) for seed in range(20)]
    first = {v.seed: (v.digest, v.events) for v in verdicts(tasks, multiprocessing.cpu_count())}
    again = {seed: ((v := run_seed(seed, profile)).digest, v.events) for seed, profile in tasks}
    assert again == first


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_run_of_each_profile_trades(profile: str) -> None:
    assert sum(run_seed(seed, profile).fills for seed in range(3)) > 0
