"""The bus against raw pyzmq: round trip, three durable hops, throughput. Interleaved rounds, ratios of medians."""

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hop_workers import AGES_MAX, TICKS, pass_bare, run_bare_ticks, run_hop, run_ticks
from link_workers import FLOOD, TRIPS, answer_bare, answer_typed, ask_bare, ask_typed
from measure import Goal, Row, median_quantile, print_table, synced_appends_us
from workers import SPAWN, Crew, placements

from bus.keys import make_pairs
from bus.messages import ServiceName
from config.paths import HomePaths

_HOPS: Final[tuple[ServiceName, ...]] = ("strategy", "risk", "execution")
_P50: Final = Goal(1.5)
_P99: Final = Goal(2.0)
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


_FULL: Final = Size(rounds=6, trips=2_000, flood=20_000, ticks=150, appends=40)
_QUICK: Final = Size(rounds=2, trips=100, flood=1_000, ticks=15, appends=10)


def bench_link(folder: Path, size: Size) -> list[Row]:
    """Measure round trips and throughput between two processes, bus and bare in turn."""
    paths, pairs, address = HomePaths(folder), make_pairs(), f"ipc://{folder / 'bare.sock'}"
    paths.make()
    rows = []
    with Crew() as crew:
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
            rows += _latency_rows(f"round trip, typed, CURVE, {place}", ours, limit)
        speeds = [(typed.ask(FLOOD, size.flood)[0], bare.ask(FLOOD, size.flood)[0]) for _ in range(size.rounds)]
        ours_per_s, bare_per_s = (statistics.median(column) for column in zip(*speeds, strict=True))
        rows.append(Row("throughput one way, typed, CURVE, free", ours_per_s, "msg/s", bare_per_s, _THROUGHPUT))
    return rows


def bench_hops(folder: Path, size: Size) -> list[Row]:
    """Measure tick -> strategy -> risk -> execution's intent on disk, the bare chain and the disk in turn."""
    paths, pairs = HomePaths(folder), make_pairs()
    paths.make()
    ages = SPAWN.RawArray("q", AGES_MAX)
    bare_ages = SPAWN.RawArray("q", AGES_MAX)
    addresses = [f"ipc://{folder / f'bare{number}.sock'}" for number in range(len(_HOPS) + 1)]
    rows = []
    with Crew() as crew:
        for number, name in enumerate(_HOPS):
            is_last = number == len(_HOPS) - 1
            crew.start(run_hop, name, folder, pairs, ages)
            crew.start(pass_bare, addresses[number], addresses[number + 1], bare_ages if is_last else None)
        typed = crew.start(run_ticks, folder, pairs, ages)
        bare = crew.start(run_bare_ticks, addresses[0], addresses[-1], bare_ages)
        for worker in (typed, bare):
            worker.ask(TICKS, _WARM_UP)
        for place, cores in placements().items():
            crew.place(cores)
            ours, limit, appends = [], [], []
            for _ in range(size.rounds):
                ours.append(typed.ask(TICKS, size.ticks))
                limit.append(bare.ask(TICKS, size.ticks))
                appends.append(synced_appends_us(folder, size.appends))
            rows += _hop_rows(place, ours, limit, appends)
    return rows


def _latency_rows(what: str, ours: list[list[float]], bare: list[list[float]]) -> list[Row]:
    return [
        Row(f"{what}: p50", median_quantile(ours, 0.5), "us", median_quantile(bare, 0.5), _P50),
        Row(f"{what}: p99", median_quantile(ours, 0.99), "us", median_quantile(bare, 0.99), _P99),
    ]


def _hop_rows(place: str, ours: list[list[float]], bare: list[list[float]], appends: list[list[float]]) -> list[Row]:
    p50, bare_p50, append = (median_quantile(rounds, 0.5) for rounds in (ours, bare, appends))
    return [
        Row(f"3 durable hops, {place}: p50", p50, "us", bare_p50),
        Row(f"3 durable hops, {place}: p99", median_quantile(ours, 0.99), "us", median_quantile(bare, 0.99)),
        Row(f"one append + fdatasync, {place}: p50", append, "us"),
        Row(f"3 durable hops, {place}: p50 to bare + 1.5 x fdatasync", p50, "us", bare_p50 + 1.5 * append, Goal(1.0)),
    ]


def main(arguments: list[str]) -> int:
    """Measure everything and print the table; the goals are reported, not enforced."""
    parser = argparse.ArgumentParser(description="Measure the bus against raw pyzmq.")
    parser.add_argument("--quick", action="store_true", help="a few rounds, to see that the bench works")
    size = _QUICK if parser.parse_args(arguments).quick else _FULL
    rows = []
    for bench in (bench_link, bench_hops):
        with tempfile.TemporaryDirectory(prefix="tb-") as folder:
            rows += bench(Path(folder), size)
    print_table(f"Bus: {size.rounds} interleaved rounds, medians over the rounds", rows)
    print(
        f"Round trip: {size.trips:,} OrderFilled in a Data frame, there and back, against 200 bytes DEALER/ROUTER.\n"
        f"Hops: {size.ticks:,} ticks a round; the real Runner, Node, Store (NORMAL, NORMAL, FULL), log files and\n"
        "lock-step marks, from the tick's publishing to execution's intent on disk, against PUSH/PULL of 200 bytes.\n"
        "One core: all processes of the row on one core. Free: as the system places them, which is how the chain runs."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
