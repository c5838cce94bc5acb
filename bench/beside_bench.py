"""Whether many open pages slow the chain: three durable hops beside a web server with none and with 48 open streams.

    python bench/beside_bench.py [--quick]

Rounds with and without streams take turns. The web server hears what a busy chain says in both (see sse_bench.py); the
streams are read by a process of their own, as browsers are. Nothing of the chain waits for the web server: what is
left is that all of them share the cores of one machine.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from frame import Report, Sizes, crew_at_home, run_bench
from hop_workers import AGES_MAX, TICKS, run_hop, run_ticks
from measure import Goal, Row, median_quantile
from sse_bench import listen, log_in, open_streams, prepare
from workers import SPAWN

from bus.keys import make_pairs
from bus.messages import ServiceName
from bus.processes import free_port
from config.paths import HomePaths
from services.web.priority import stand_behind_the_chain
from services.web.server import PORT_VARIABLE

_HOPS: Final[tuple[ServiceName, ...]] = ("strategy", "risk", "execution")
_STREAMS: Final = 48
_WARM_UP: Final = 50
#: As much as the same rounds differ from each other on a machine that does nothing else.
_SLOWER: Final = Goal(1.15)
_SERVER: Final = Path(__file__).with_name("sse_bench.py")


@dataclass(frozen=True)
class Size:
    """How many rounds of each kind, and how many ticks in each round."""

    rounds: int
    ticks: int


_SIZES: Final = Sizes(full=Size(rounds=8, ticks=150), quick=Size(rounds=2, ticks=15))


def read_streams(connection: Connection, port: int, cookie: str) -> None:
    """Hold all streams open and read them until told to end, behind the chain: browsers are on other machines."""
    stand_behind_the_chain()
    sockets = open_streams(port, cookie, _STREAMS)
    connection.send(len(sockets))
    while not connection.poll():
        _, still_open = listen(sockets, 0.5)
        if still_open < _STREAMS:
            raise SystemExit(f"{_STREAMS - still_open} streams were closed by the server")
    for one in sockets:
        one.close()


@contextmanager
def streams(port: int, cookie: str) -> Iterator[None]:
    """Keep 48 browsers at the server while the block runs."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=read_streams, args=(theirs, port, cookie), daemon=True)
    process.start()
    ours.recv()
    # The first frames are the state so far; what is measured is what comes after them.
    time.sleep(1)
    try:
        yield
    finally:
        ours.send(None)
        process.join(10)


@contextmanager
def web_server() -> Iterator[tuple[int, str]]:
    """Run a web server that hears a busy chain; yield its port and the cookie of somebody who is logged in."""
    with TemporaryDirectory(prefix="tb-") as folder:
        prepare(HomePaths(Path(folder)))
        port = free_port()
        server = subprocess.Popen(
            [sys.executable, str(_SERVER), "--serve", folder],
            env={**os.environ, PORT_VARIABLE: str(port)},
            stderr=subprocess.DEVNULL,
        )
        try:
            yield port, log_in(port)
        finally:
            server.terminate()
            server.wait(30)


def bench_beside(size: Size) -> Report:
    """Measure everything; the goal is reported, not enforced."""
    ages = SPAWN.RawArray("q", 2 * AGES_MAX)
    beside, alone = [], []
    with web_server() as (port, cookie), crew_at_home() as (paths, crew):
        pairs = make_pairs()
        for name in _HOPS:
            crew.start(run_hop, name, paths.root, pairs, ages)
        ticks = crew.start(run_ticks, paths.root, pairs, ages)
        ticks.ask(TICKS, _WARM_UP)
        for _ in range(size.rounds):
            alone.append(ticks.ask(TICKS, size.ticks))
            with streams(port, cookie):
                beside.append(ticks.ask(TICKS, size.ticks))
    rows = [
        Row(f"3 durable hops beside {_STREAMS} streams: {name}", *_pair(beside, alone, part), goal)
        for name, part, goal in (("p50", 0.5, _SLOWER), ("p90", 0.9, None), ("p99", 0.99, None))
    ]
    return Report(
        f"The chain beside open pages: {size.rounds} rounds of each, in turn, medians over the rounds",
        rows,
        f"{size.ticks} ticks a round, through the real Runner, Node and Store of three services, against\n"
        "the same with no stream open. All of it on the cores of one machine.",
    )


def _pair(beside: list[list[float]], alone: list[list[float]], part: float) -> tuple[float, str, float]:
    return median_quantile(beside, part), "us", median_quantile(alone, part)


if __name__ == "__main__":
    sys.exit(run_bench("Measure the chain beside many open pages.", _SIZES, bench_beside, sys.argv[1:]))
