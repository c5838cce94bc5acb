"""How much memory a chain takes while one of its services stands still for ten minutes and market data goes on.

    python bench/stall_bench.py [--minutes 10] [--service strategy]

A real chain trades a generated session at a simulated exchange, which waits for nobody. In mid-session one service is
frozen. The chain halts, and goes on hearing the market and writing to the one that does not read. Every five seconds
the resident memory of each service is read; the exit code is 1 when one of them ever took more than 300 MiB, or when
the frozen one does not catch up within a minute of its waking.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bus.processes import free_port
from bus.routes import SERVICES
from config.paths import HomePaths
from replay.session import SessionChoice
from replay.simulated import SimulatedChoice, Simulator
from replay.stage import Stage

LIMIT_MIB: Final = 300
LOOK_S: Final = 5
CATCH_UP_S: Final = 60
#: Long enough for the longest stall: a whole session at the wall clock's pace, some ten times over.
SPEED: Final = "20"


def resident_mib(pid: int) -> float:
    """Return what a process holds in memory; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def pids_of(stage: Stage) -> dict[str, int]:
    """Return the process of each service."""
    return {name: int(stage.chain.control("pid", f"tradebot:{name}")) for name in SERVICES}


def step_of(stage: Stage, service: str) -> int:
    """Return the newest market step that a service has told; 0 where it is not known."""
    lines = stage.chain_state().get("services", [])
    return next((int(line["step"]) for line in lines if line["service"] == service), 0)


def stall(stage: Stage, service: str, minutes: float) -> tuple[dict[str, float], dict[str, float]]:
    """Freeze a service for so long; return each service's memory before, and the most it took."""
    pids = pids_of(stage)
    before = {name: resident_mib(pid) for name, pid in pids.items()}
    most = dict(before)
    os.kill(pids[service], signal.SIGSTOP)
    try:
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            time.sleep(LOOK_S)
            most = {name: max(most[name], resident_mib(pid)) for name, pid in pids.items()}
    finally:
        os.kill(pids[service], signal.SIGCONT)
    return before, most


def catches_up(stage: Stage, service: str) -> bool:
    """Tell whether a service that has woken is soon where the others are."""
    end = time.monotonic() + CATCH_UP_S
    while time.monotonic() < end:
        own, other = step_of(stage, service), step_of(stage, "execution")
        if own and other - own < 100:
            return True
        time.sleep(1)
    return False


def main(arguments: list[str]) -> int:
    """Run the stall and print a line for each service."""
    parser = argparse.ArgumentParser(description="Freeze one service of a real chain, and watch everybody's memory.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--service", choices=SERVICES, default="strategy")
    asked = parser.parse_args(arguments)
    choice = SimulatedChoice("alpaca", SessionChoice(speed=SPEED))
    with TemporaryDirectory(prefix="tb-") as folder:
        simulator = Simulator(choice)
        paths = HomePaths(Path(folder))
        paths.make()
        stage = Stage(paths, free_port())
        try:
            stage.configure(simulator.settings(), choice.identity)
            stage.arm("bench")
            while not stage.browser.snapshot().get("portfolio", {}).get("positions"):
                time.sleep(1)
            before, most = stall(stage, asked.service, asked.minutes)
            has_caught_up = catches_up(stage, asked.service)
        finally:
            stage.stop()
            simulator.close()
    for name in SERVICES:
        print(f"{name:10} {before[name]:6.1f} MiB before, {most[name]:6.1f} MiB at the most")
    print(
        f"{asked.service} stood still for {asked.minutes:g} minutes and {'caught up' if has_caught_up else 'is lost'}"
    )
    return 0 if has_caught_up and max(most.values()) <= LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
