"""Play many seeds, on several cores, and say which of them broke a promise.

python tests/simulation/soak.py --seeds 20000 --first 1 --jobs 2 --profile swarm
python tests/simulation/soak.py --seed 123 --tell
"""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sim.faults import PROFILES
from sim.run import Run, Verdict, run_seed

#: What a seed is played with when no profile is named: mostly everything at once, a part of them with many halts.
MIXED = (
    *("swarm",) * 4,
    "drain",
    "halts",
    "halts",
    "broker",
    "process",
    "net",
    "late",
    "restore",
    "restore_execution",
    "clock",
    "night",
)


def profile_of(seed: int, profile: str) -> str:
    """Return the profile that a seed is played with."""
    return profile or MIXED[seed % len(MIXED)]


def play(task: tuple[int, str]) -> Verdict:
    """Play one seed; a fault of the simulation itself is a verdict too."""
    seed, profile = task
    return run_seed(seed, profile)


def verdicts(tasks: list[tuple[int, str]], jobs: int) -> Iterator[Verdict]:
    """Play seeds on so many cores, and yield what came of each as it comes."""
    if jobs == 1:
        yield from map(play, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(play, tasks, chunksize=8)


def replay_command(seed: int, profile: str) -> str:
    """Return the one command that plays a seed again."""
    return f"make seed SEED={seed} PROFILE={profile}"


def main(arguments: list[str]) -> int:
    """Play what the arguments say; return 1 when a seed failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--profile", default="", choices=["", *PROFILES], help="empty = a mixture")
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--tell", action="store_true", help="tell everything that happens in it")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        profile = profile_of(given.seed, given.profile)
        verdict = Run(given.seed, PROFILES[profile], is_told=given.tell).play()
        _say(verdict)
        return 1 if verdict.faults else 0
    tasks = [(seed, profile_of(seed, given.profile)) for seed in range(given.first, given.first + given.seeds)]
    return _soak(tasks, given.jobs)


def _soak(tasks: list[tuple[int, str]], jobs: int) -> int:
    began, failed, totals = time.monotonic(), 0, Counter[str]()
    for number, verdict in enumerate(verdicts(tasks, jobs), 1):
        totals.update(
            orders=verdict.posts,
            fills=verdict.fills,
            halts=verdict.halts,
            crashes=verdict.crashes,
            events=verdict.events,
        )
        if verdict.faults:
            failed += 1
            _say(verdict)
        if number % 500 == 0 or number == len(tasks):
            rate = number / (time.monotonic() - began)
            counts = ", ".join(f"{count:,} {name}" for name, count in totals.items())
            _tell(f"{number:,} seeds, {failed} failed, {rate:.1f} seeds/s on {jobs} cores; {counts}")
    return 1 if failed else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _say(verdict: Verdict) -> None:
    _tell(
        f"seed {verdict.seed} of {verdict.profile}: {verdict.simulated_s:.0f} s simulated, {verdict.events:,} events, "
        f"{verdict.posts} orders, {verdict.fills} fills, {verdict.halts} halts, {verdict.crashes} crashes, "
        f"hash {verdict.digest:08x}"
    )
    for fault in verdict.faults:
        _tell(f"  BROKEN {fault}")
    if verdict.faults:
        _tell(f"  again: {replay_command(verdict.seed, verdict.profile)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
