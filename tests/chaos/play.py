"""Real chains, killed, frozen and halted in mid-session: `python tests/chaos/play.py --seed N` plays and judges them.

One seed draws every trial and its moment. It says what is done, and ends with one line that counts trials and faults;
the exit code is 0 when every black-box fact holds.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from arena import Arena, ArenaError
from facts import faults, halts
from network import enter_empty_network
from trials import BROKER_POINTS, BUSY_POINTS, FLATTEN_POINTS, SIDES, Trial, draw, marker, play
from witness import Witness

from bus.failpoints import VARIABLE
from bus.processes import free_port
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import Stage, StageError

#: A half day with many breakouts, all through it; a minute and a half of market when nothing stops it.
SETTINGS = {
    "MARKET_DATA_DATE": "2024-11-29",
    "MARKET_DATA_SEED": "3",
    "MARKET_DATA_SPEED": "140",
    "MAX_OPEN_POSITIONS": "20",
    "OPEN_BREAKOUT_TIME": "190",
    "OPEN_MONITORING_TIME": "190",
    "OPEN_BREAKOUT_BUFFER": "0.05",
    "TRAILING_STOP": "0.5",
    "TOTAL_ALLOCATION": "90",
}
POLICIES = ("keep", "flatten")
_END_TIMEOUT_S = 180.0
_BEGIN = time.monotonic()


def say(line: str) -> None:
    """Write a line now, with the seconds since the start: a run that hangs shows how far it came."""
    sys.stdout.write(f"{time.monotonic() - _BEGIN:6.1f} {line}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Outcome:
    """What one session came to."""

    played: Counter[str]
    faults: list[str]


def play_session(rng: random.Random, policy: str, folder: Path) -> Outcome:
    """Play one session with every trial in it, and judge its books."""
    markers = folder / "markers"
    markers.mkdir()
    names = (*BUSY_POINTS, *BROKER_POINTS, *FLATTEN_POINTS)
    points = [f"execution.{name}:{side}" for name in names for side in SIDES]
    for point in points:
        marker(markers, point).touch()
    os.environ[VARIABLE] = ",".join(f"{point}@{marker(markers, point)}" for point in points)
    stage = Stage(HomePaths(folder / "h"), free_port())
    arena = Arena(stage)
    witness = None
    played: Counter[str] = Counter()
    try:
        stage.configure(SessionChoice().settings() | SETTINGS | {"HALT_POSITIONS": policy}, DEMO_IDENTITY)
        witness = Witness(stage.chain.paths.state / "paper_broker.db")
        arena.recover("the session begins")
        remaining = draw(rng, flattens=policy == "flatten")
        while remaining:
            trial = _next(remaining, arena)
            time.sleep(trial.wait_s)
            begin = time.monotonic()
            play(trial, arena, markers)
            arena.recover(f"looked at it: {trial}")
            played[trial.kind] += 1
            say(f"  {time.monotonic() - begin:5.1f} s  {trial}")
        _end(arena)
    except (ArenaError, StageError) as error:
        return Outcome(played, [str(error)])
    finally:
        stage.stop()
        if witness:
            witness.close()
    say(f"  {len(witness.seen_ns)} orders at the broker, {len(halts(stage.chain.paths))} halts on disk")
    return Outcome(played, faults(stage.chain.paths, witness.seen_ns, arena.armings))


def _next(remaining: list[Trial], arena: Arena) -> Trial:
    """Take the next trial that does not make a crash loop; wait when every one would."""
    while True:
        for trial in remaining:
            if all(arena.may_die(service) for service in trial.services):
                remaining.remove(trial)
                return trial
        time.sleep(0.5)


def _end(arena: Arena) -> None:
    """Let the market close with the chain armed, so that everything is sold."""
    end = time.monotonic() + _END_TIMEOUT_S
    while not arena.stage.is_session_over():
        arena.recover("the session goes on")
        if time.monotonic() > end:
            raise ArenaError(f"the session does not end: {arena.words()}")
        time.sleep(0.2)


def main(arguments: list[str]) -> int:
    """Play every policy once."""
    parser = argparse.ArgumentParser(description="Kill, freeze and halt real chains.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--keep", default="", help="copy the homes into this folder at the end")
    options = parser.parse_args(arguments)
    say(enter_empty_network())
    total: Counter[str] = Counter()
    found: list[str] = []
    for number, policy in enumerate(POLICIES):
        say(f"session {number + 1}: HALT_POSITIONS={policy}, seed {options.seed}")
        with tempfile.TemporaryDirectory(prefix="tb-") as folder:
            outcome = play_session(random.Random(f"{options.seed}/{policy}"), policy, Path(folder))
            if options.keep:
                shutil.copytree(folder, Path(options.keep) / policy, ignore=shutil.ignore_patterns("*.sock"))
        total += outcome.played
        found += outcome.faults
    for fault in found:
        say(f"FAULT {fault}")
    kills = total["kill"] + total["point"]
    say(f"seed {options.seed}: {kills} kills, {total['pause']} pauses, {total['halt']} halts, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
