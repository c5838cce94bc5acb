"""Replay and processes: a session's whole life, the opening range against bare numpy, import time and memory."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from frame import Report, Sizes, run_bench
from measure import Goal, Row
from opening_range import SESSION_MINUTES, evaluate_bare, evaluate_service, make_bars
from whole_life import Lived

from bus.messages import BarBatch
from config.paths import HomePaths
from replay.local import play_in
from replay.session import OpenedSession, SessionChoice, open_session
from services.screener.feed import MarketFeed
from services.screener.settings import ScreenerSettings

T = TypeVar("T")
_ROOT: Final = Path(__file__).resolve().parent.parent
_WIDTHS: Final = ((20, 100), (20, 500), (1, 5_000), (1, 10_000))
_IMPORT: Final = Goal(0.15, is_ratio=False)
_MEMORY: Final = Goal(32, is_ratio=False)
_CHAIN_MEMORY: Final = Goal(400, is_ratio=False)
_OPENING: Final = Goal(2.0)
#: The goal is 30 times the speed of nautilus_trader, which is 324 times slower than the bare loop (37,000 bars/s
#: beside 12 million in one run on one machine).
_LIFE: Final = Goal(324 / 30)
#: A year of 500 names, by its days: in under a minute.
_YEAR: Final = (252, 500)
_YEAR_GOAL: Final = Goal(60, is_ratio=False)
_LIFE_TIMEOUT_S: Final = 1_200
_TIMEOUT_S: Final = 30
_PROCESSES: Final[dict[str, str]] = {
    "bare python": "pass",
    "screener": "import services.screener.shell, bus.service",
    "strategy": "import services.strategy.shell, bus.service",
    "risk": "import services.risk.shell, bus.service",
    "execution": "import services.execution.shell, bus.service",
    "ledger": "import services.ledger.shell, bus.service",
    "web": "import services.web.server",
    "watchdog": "import runpy; runpy.run_path('supervisor/watchdog_bot.py', run_name='watchdog_bot')",
}
#: Run in the new process: resident memory from the system, for ru_maxrss counts the parent of the fork as well.
_PROBE: Final = """
import time
begin = time.perf_counter()
{imports}
seconds = time.perf_counter() - begin
import resource, sys
try:
    with open("/proc/self/status") as status:
        mib = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))
except OSError:
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print('{{"seconds": %f, "mib": %f, "has_numpy": %s}}' % (seconds, mib, "true" if "numpy" in sys.modules else "false"))
"""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    plays: int
    rounds: int
    starts: int
    #: (days, names) of each evaluation of the opening range.
    widths: tuple[tuple[int, int], ...]
    #: (days, names) of each whole life.
    lives: tuple[tuple[int, int], ...]


_SIZES: Final = Sizes(
    full=Size(plays=5, rounds=8, starts=5, widths=_WIDTHS, lives=(*_WIDTHS, _YEAR)),
    quick=Size(plays=1, rounds=2, starts=1, widths=((2, 100),), lives=((1, 50),)),
)


class Start(msgspec.Struct, frozen=True):
    """What a new process says after its imports."""

    seconds: float
    mib: float
    has_numpy: bool


def bench_session(size: Size) -> list[Row]:
    """Play a generated session through every core, and its market data alone, in turn."""
    played_s, alone_s = [], []
    steps = bars = 0
    for _ in range(size.plays):
        with tempfile.TemporaryDirectory(prefix="tb-") as folder:
            session = open_session(SessionChoice().settings(), HomePaths(Path(folder)))
            seconds, played = _timed(partial(play_in, session, session.setup.paths))
            played_s.append(seconds)
            seconds, bars = _timed(partial(_bars_alone, session))
            alone_s.append(seconds)
            steps = played.steps
    whole, alone = statistics.median(played_s), statistics.median(alone_s)
    return [
        Row("session, whole life against its market data alone", whole * 1000, "ms", alone * 1000),
        Row("session, whole life: market messages", steps / whole, "msg/s"),
        Row("session, whole life: bars", bars / whole, "bars/s"),
    ]


def bench_lives(size: Size) -> list[Row]:
    """Play random days through every core, each in a process of its own, and with bare numpy in turn."""
    rows = []
    for days, names in size.lives:
        said = _python([str(_ROOT / "bench" / "whole_life.py"), str(days), str(names)], _LIFE_TIMEOUT_S)
        lived = msgspec.json.decode(said, type=Lived)
        minutes = lived.days * SESSION_MINUTES
        what = f"whole life, {names} x {days} x {SESSION_MINUTES}, {lived.trades:,} trades"
        rows += [
            Row(f"{what}: a minute", lived.seconds / minutes * 1e6, "us", lived.bare_seconds / minutes * 1e6, _LIFE),
            Row(f"{what}: speed", lived.bars / lived.seconds, "bars/s", lived.bars / lived.bare_seconds),
            Row(f"{what}: in all", lived.seconds, "s", goal=_YEAR_GOAL if (days, names) == _YEAR else None),
            Row(f"{what}: a trade", lived.seconds / max(lived.trades, 1) * 1000, "ms"),
            Row(f"{what}: books into their files", lived.file_seconds, "s"),
            Row(f"{what}: most memory", lived.peak_mib, "MiB"),
        ]
    return rows


def bench_opening_range(size: Size) -> list[Row]:
    """Evaluate the opening range with the service's functions and with bare numpy, in turn.

    Raises:
        ValueError: the two do not find the same signals, so the ratio would mean nothing.
    """
    rows = []
    for days, names in size.widths:
        bars = make_bars(days, names)
        if evaluate_service(bars) != evaluate_bare(bars):
            raise ValueError("the strategy's functions and the bare loop find different signals in the same bars")
        service_s, bare_s = [], []
        for _ in range(size.rounds):
            service_s.append(_timed(partial(evaluate_service, bars))[0])
            bare_s.append(_timed(partial(evaluate_bare, bars))[0])
        service, bare = statistics.median(service_s), statistics.median(bare_s)
        minutes = days * SESSION_MINUTES
        what = f"opening range, {names} x {days} x {SESSION_MINUTES}"
        rows += [
            Row(f"{what}: a minute", service / minutes * 1e6, "us", bare / minutes * 1e6, _OPENING),
            Row(f"{what}: speed", minutes * names / service, "bars/s", minutes * names / bare),
        ]
    return rows


def bench_processes(size: Size) -> list[Row]:
    """Start each service's imports in a process of its own, in turn with bare python."""
    starts: dict[str, list[Start]] = {name: [] for name in _PROCESSES}
    for _ in range(size.starts):
        for name, imports in _PROCESSES.items():
            starts[name].append(_start(imports))
    rows = []
    memory = {name: statistics.median(start.mib for start in found) for name, found in starts.items()}
    for name, found in starts.items():
        if name == "bare python":
            continue
        has_numpy = found[0].has_numpy
        seconds = statistics.median(start.seconds for start in found)
        label = f"{name}, with numpy" if has_numpy else name
        rows.append(Row(f"{label}: import", seconds, "s", goal=_IMPORT))
        limit = None if has_numpy else _MEMORY
        rows.append(Row(f"{label}: resident", memory[name], "MiB", memory["bare python"], limit))
    chain = sum(mib for name, mib in memory.items() if name != "bare python")
    rows.append(Row("whole chain, after imports: resident", chain, "MiB", goal=_CHAIN_MEMORY))
    return rows


def _bars_alone(session: OpenedSession) -> int:
    feed = MarketFeed(ScreenerSettings.from_env(session.setup.env))
    return sum(len(data.bars) for data in feed.messages(session.plan) if isinstance(data, BarBatch))


def _start(imports: str) -> Start:
    return msgspec.json.decode(_python(["-c", _PROBE.format(imports=imports)], _TIMEOUT_S), type=Start)


def _python(arguments: list[str], timeout_s: int) -> bytes:
    """Run python and return what it printed."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=_ROOT, capture_output=True, check=True, timeout=timeout_s
    ).stdout


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    begin = time.perf_counter()
    answer = work()
    return time.perf_counter() - begin, answer


def bench_replay(size: Size) -> Report:
    """Measure everything; the goals are reported, not enforced."""
    return Report(
        "Replay and processes: interleaved rounds, medians",
        [*bench_session(size), *bench_lives(size), *bench_opening_range(size), *bench_processes(size)],
        "Session: the generated market of the proposed settings, through every core in one process. Whole life: days\n"
        "of random walks, each signal traded: signals, risk, orders, fills, postings of the real cores, in memory,\n"
        "beside a loop of numpy that only counts the trades; the books get into their files at the end, which is\n"
        "measured apart. Resident: MiB after the imports, before any work; bare is python alone.",
    )


if __name__ == "__main__":
    sys.exit(run_bench("Measure replay, strategy and the processes.", _SIZES, bench_replay, sys.argv[1:]))
