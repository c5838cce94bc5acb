"""The bus against raw pyzmq: round trip, three durable hops, throughput. Interleaved rounds, ratios of medians."""

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from frame import Report, Sizes, crew_at_home, run_bench
from hop_workers import AGES_MAX, DECIDED, TICKS, pass_bare, run_bare_ticks, run_hop, run_ticks
from link_workers import FLOOD, TRIPS, answer_bare, answer_typed, ask_bare, ask_typed
from measure import Goal, Row, latency_rows, median_quantile, synced_appends_us
from workers import SPAWN, Crew, Worker, placements

from bus.keys import make_pairs
from bus.messages import ServiceName

_HOPS: Final[tuple[ServiceName, ...]] = ("strategy", "risk", "execution")
_THROUGHPUT: Final = Goal(0.5, is_at_most=False)
_WARM_UP: Final = 50


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds, and what is in each round."""

    rounds: int
    trips: int
    flood: int
    ticks: int
    appends: int


_SIZES: Final = Sizes(
    full=Size(rounds=6, trips=2_000, flood=20_000, ticks=150, appends=40),
    quick=Size(rounds=2, trips=100, flood=1_000, ticks=15, appends=10),
)


def bench_link(size: Size) -> list[Row]:
    """Measure round trips and throughput between two processes, bus and bare in turn."""
    rows = []
    with crew_at_home() as (paths, crew):
        folder, pairs, address = paths.root, make_pairs(), f"ipc://{paths.root / 'bare.sock'}"
        crew.start(answer_typed, folder, pairs)
        crew.start(answer_bare, address)
        typed, bare = crew.start(ask_typed, folder, pairs), crew.start(ask_bare, address)
        for worker in (typed, bare):
            worker.ask(TRIPS, _WARM_UP)
        for place, cores in placements().items():
            crew.place(cores)
            ours, limit = [], []
            for _ in range(size.rounds):
                ours.append(typed.ask(TRIPS, size.trips))
                limit.append(bare.ask(TRIPS, size.trips))
            rows += latency_rows(f"round trip, typed, CURVE, {place}", ours, limit)
        speeds = [(typed.ask(FLOOD, size.flood)[0], bare.ask(FLOOD, size.flood)[0]) for _ in range(size.rounds)]
        ours_per_s, bare_per_s = (statistics.median(column) for column in zip(*speeds, strict=True))
        rows.append(Row("throughput one way, typed, CURVE, free", ours_per_s, "msg/s", bare_per_s, _THROUGHPUT))
    return rows


def bench_hops(size: Size) -> list[Row]:
    """Measure tick -> strategy -> risk -> execution's intent on disk, two bare chains and the disk in turn."""
    ages = SPAWN.RawArray("q", 2 * AGES_MAX)
    rows = []
    with crew_at_home() as (paths, crew):
        folder, pairs = paths.root, make_pairs()
        for name in _HOPS:
            crew.start(run_hop, name, folder, pairs, ages)
        typed = crew.start(run_ticks, folder, pairs, ages)
        bare, keeping = (_bare_chain(crew, folder, keeps=keeps) for keeps in (False, True))
        for worker in (typed, bare, keeping):
            worker.ask(TICKS, _WARM_UP)
        for place, cores in placements().items():
            crew.place(cores)
            ours, decided, limit, kept, appends = [], [], [], [], []
            for _ in range(size.rounds):
                ours.append(typed.ask(TICKS, size.ticks))
                decided.append(typed.ask(DECIDED, size.ticks))
                limit.append(bare.ask(TICKS, size.ticks))
                kept.append(keeping.ask(TICKS, size.ticks))
                appends.append(synced_appends_us(folder, size.appends))
            rows += latency_rows(f"3 hops, nothing synced yet, {place}", decided, limit)
            keeping_p50 = median_quantile(kept, 0.5)
            what = f"the same, beside a bare chain that commits two rows, {place}: p50"
            rows.append(Row(what, median_quantile(decided, 0.5), "us", keeping_p50))
            rows += _hop_rows(place, ours, limit, appends)
    return rows


def _bare_chain(crew: Crew, folder: Path, *, keeps: bool) -> Worker:
    """Start a chain of bare sockets, and return the worker that measures it."""
    ages = SPAWN.RawArray("q", AGES_MAX)
    kind = "keeping" if keeps else "bare"
    addresses = [f"ipc://{folder / f'{kind}{number}.sock'}" for number in range(len(_HOPS) + 1)]
    for number in range(len(_HOPS)):
        is_last = number == len(_HOPS) - 1
        file = folder / f"kept{number}.db" if keeps else None
        crew.start(pass_bare, addresses[number], addresses[number + 1], ages if is_last else None, file)
    return crew.start(run_bare_ticks, addresses[0], addresses[-1], ages)


def _hop_rows(place: str, ours: list[list[float]], bare: list[list[float]], appends: list[list[float]]) -> list[Row]:
    p50, bare_p50, append = (median_quantile(rounds, 0.5) for rounds in (ours, bare, appends))
    return [
        Row(f"3 durable hops, {place}: p50", p50, "us", bare_p50),
        Row(f"3 durable hops, {place}: p99", median_quantile(ours, 0.99), "us", median_quantile(bare, 0.99)),
        Row(f"one append + fdatasync, {place}: p50", append, "us"),
        Row(f"3 durable hops, {place}: p50 to bare + 1.5 x fdatasync", p50, "us", bare_p50 + 1.5 * append, Goal(1.0)),
    ]


def bench_bus(size: Size) -> Report:
    """Measure everything; the goals are reported, not enforced."""
    return Report(
        f"Bus: {size.rounds} interleaved rounds, medians over the rounds",
        [*bench_link(size), *bench_hops(size)],
        f"Round trip: {size.trips:,} OrderFilled in a Data frame, there and back, against 200 bytes DEALER/ROUTER.\n"
        f"Hops: {size.ticks:,} ticks a round; the real Runner, Node, Store (NORMAL, NORMAL, FULL), log files and\n"
        "lock-step marks, from the tick to execution's decision and to its intent on disk, against 200 bytes\n"
        "through PUSH/PULL. The chain that commits two rows does so with SQLite, unsynced, on its first two hops, as\n"
        "anybody has to who commits before sending.\n"
        "Appends come one a millisecond, as ticks do: a disk that is never idle answers sooner.\n"
        "One core: all processes of the row on one core. Free: as the system places them, which is how the chain runs.",
    )


if __name__ == "__main__":
    sys.exit(run_bench("Measure the bus against raw pyzmq.", _SIZES, bench_bus, sys.argv[1:]))
