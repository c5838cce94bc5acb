"""What a whole chain takes of the machine over a long time: memory and descriptors of every process, and its books.

    python bench/chain_soak.py [--minutes 10] [--speed 10] [--warm-up 3] [--home DIR]

A real chain trades a generated session on the embedded paper broker, ten times as fast as a day goes, with a dashboard
open on its live stream. After the session's close it runs on, idle, as a chain does over night. Every five seconds the
resident memory and the open descriptors of every process are read. Exit code 1 when a process holds more than 5 % more
at the end than after the warm-up, has more descriptors open, or was started anew; or when a halt was raised; or when
the broker's books and the ledger differ in the end. Both ends of the comparison are medians over a minute.
"""

import argparse
import http.client
import statistics
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from stall_bench import pids_of, resident_mib

from bus.ballast import Ballast
from bus.messages import BooksCompared, EntryPosted, OrderFilled
from bus.processes import free_port, running_supervisor
from bus.store import read_journal
from config.paths import HomePaths
from replay.books import compare_books
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import Stage

GROWTH_MAX: Final = 0.05
LOOK_S: Final = 5.0
#: Both ends are medians over this long: one look may fall on a moment of much work.
WINDOW_S: Final = 60.0
_OUTBOX_S: Final = 60.0
#: What is measured is growth, not how fast a halt comes: a busy machine must not end it.
_PATIENT: Final = {"HEARTBEAT_TIMEOUT": "10000"}
_SUPERVISOR: Final = "supervisord"


@dataclass
class Track:
    """What one process took at each look: (seconds since the start, MiB), (seconds, descriptors)."""

    pid: int
    memory: list[tuple[float, float]] = field(default_factory=list)
    descriptors: list[tuple[float, float]] = field(default_factory=list)

    def look(self, at_s: float) -> None:
        """Read what the process takes now; one that is gone takes nothing."""
        self.memory.append((at_s, resident_mib(self.pid)))
        self.descriptors.append((at_s, float(descriptors_of(self.pid))))


@dataclass(frozen=True)
class Line:
    """One process at both ends."""

    name: str
    before_mib: float
    after_mib: float
    most_mib: float
    before_open: float
    after_open: float

    @property
    def growth(self) -> float:
        """Return by what share of its memory the process has grown."""
        return self.after_mib / self.before_mib - 1 if self.before_mib else 0.0

    def faults(self) -> list[str]:
        """Return what is wrong with it, in sentences."""
        found = []
        if self.growth > GROWTH_MAX:
            found.append(f"{self.name} grew by {self.growth:.1%}: at most {GROWTH_MAX:.0%} is allowed")
        if self.after_open > self.before_open:
            found.append(f"{self.name} has {self.after_open:.0f} descriptors open, {self.before_open:.0f} before")
        return found


def descriptors_of(pid: int) -> int:
    """Return how many descriptors a process has open, each log file once at most not counted; 0 when it is gone.

    A log is opened with its first line, and the log of a strategy with the first fill of that strategy: what would grow
    with time is a second descriptor of the same one.
    """
    found: list[str] = []
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.append(str(link.readlink()))
    except OSError:
        return 0
    return len(found) - len({name for name in found if name.endswith(".log")})


def line_of(name: str, track: Track, warm_up_s: float) -> Line:
    """Compare the first minute after the warm-up with the last one."""
    end_s = track.memory[-1][0]
    return Line(
        name=name,
        before_mib=_median(track.memory, warm_up_s, warm_up_s + WINDOW_S),
        after_mib=_median(track.memory, end_s - WINDOW_S, end_s),
        most_mib=max(value for _, value in track.memory),
        before_open=_median(track.descriptors, warm_up_s, warm_up_s + WINDOW_S),
        after_open=_median(track.descriptors, end_s - WINDOW_S, end_s),
    )


def _median(values: Sequence[tuple[float, float]], start_s: float, end_s: float) -> float:
    return statistics.median(value for at_s, value in values if start_s <= at_s <= end_s)


def keep_a_dashboard_open(stage: Stage, is_over: threading.Event) -> None:
    """Read the live stream as an open page does, and open it again where the server has ended it."""
    while not is_over.is_set():
        try:
            for _kind, _value in stage.browser.stream():
                if is_over.is_set():
                    return
        except (OSError, ValueError, http.client.HTTPException):
            is_over.wait(1)


def watch(stage: Stage, minutes: float) -> dict[str, Track]:
    """Look at every process until the time is over, and say each minute what they take."""
    tracks = {name: Track(pid) for name, pid in pids_of(stage).items()}
    tracks[_SUPERVISOR] = Track(running_supervisor(stage.chain.paths) or 0)
    begin = said_s = time.monotonic()
    while (at_s := time.monotonic() - begin) < minutes * 60:
        for track in tracks.values():
            track.look(at_s)
        if time.monotonic() - said_s >= WINDOW_S:
            said_s += WINDOW_S
            sizes = {name: track.memory[-1][1] for name, track in tracks.items()}
            each = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
            print(f"minute {at_s / 60:.0f}: {sum(sizes.values()):.1f} MiB ({each})", flush=True)
        time.sleep(LOOK_S)
    return tracks


def settle(stage: Stage) -> None:
    """Let entries pause, and wait until every service has taken what was said to it: then the books can be compared."""
    stage.browser.fill_in("/control/stop", {"reason": "the soak is over"})
    end = time.monotonic() + _OUTBOX_S
    while time.monotonic() < end:
        services = stage.chain_state().get("services", [])
        if services and all(line["outbox_depth"] == 0 for line in services):
            return
        time.sleep(0.2)


def breaks_of(paths: HomePaths, tracks: Mapping[str, Track], pids: Mapping[str, int]) -> list[str]:
    """Return every restart, halt and difference of the books, in sentences."""
    compared = [event for event in read_journal(paths.state / "ledger.db") if isinstance(event, BooksCompared)]
    return [
        *(f"{name} was started anew" for name, pid in pids.items() if tracks[name].pid != pid),
        *(f"halt on disk: {path.read_text(encoding='utf-8')}" for path in sorted(paths.halts.glob("*.json"))),
        *(f"the books differ from the statement: {event.detail}" for event in compared if event.detail),
        *compare_books(paths, DEMO_IDENTITY),
    ]


def run(minutes: float, speed: str, warm_up_s: float, root: Path) -> int:
    """Play the chain, print the table, and return the exit code."""
    paths = HomePaths(root)
    stage = Stage(paths, free_port())
    is_over = threading.Event()
    reader = threading.Thread(target=keep_a_dashboard_open, args=(stage, is_over), daemon=True)
    try:
        stage.configure(SessionChoice(speed=speed).settings() | _PATIENT, DEMO_IDENTITY)
        stage.arm("soak")
        reader.start()
        tracks = watch(stage, minutes)
        is_over.set()
        pids = pids_of(stage)
        settle(stage)
    finally:
        is_over.set()
        stage.stop()
        Ballast(paths).release()
    lines = [line_of(name, track, warm_up_s) for name, track in tracks.items()]
    breaks = breaks_of(paths, tracks, pids)
    print_lines(lines)
    events = list(read_journal(paths.state / "execution.db"))
    booked = sum(isinstance(event, EntryPosted) for event in read_journal(paths.state / "ledger.db"))
    fills = sum(isinstance(event, OrderFilled) for event in events)
    print(f"{minutes:g} minutes at {speed}x: {fills} fills, {booked} entries booked, {len(breaks)} breaks")
    faults = [fault for line in lines for fault in line.faults()] + breaks
    if not fills:
        faults.append("nothing was traded: the soak shows nothing")
    print(
        "\n".join(f"NOT MET: {fault}" for fault in faults) or "met: memory, descriptors, no restart, no halt, no break"
    )
    return 1 if faults else 0


def print_lines(lines: Sequence[Line]) -> None:
    """Print the table, with the sum of all processes below."""
    print(f"{'process':12} {'after warm-up':>14} {'at the end':>12} {'growth':>8} {'most':>12} {'descriptors':>14}")
    for line in lines:
        print(
            f"{line.name:12} {line.before_mib:10.1f} MiB {line.after_mib:8.1f} MiB {line.growth:+8.2%} "
            f"{line.most_mib:8.1f} MiB {line.before_open:6.0f} -> {line.after_open:.0f}"
        )
    before, after = sum(line.before_mib for line in lines), sum(line.after_mib for line in lines)
    print(f"{'together':12} {before:10.1f} MiB {after:8.1f} MiB {after / before - 1:+8.2%}", flush=True)


def main(arguments: list[str]) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Run a whole chain for long, and watch what it takes.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--speed", default="10", help="times as fast as a day goes")
    parser.add_argument("--warm-up", type=float, default=3.0, help="minutes at the start that do not count")
    parser.add_argument("--home", default="", help="keep the home here; default: a folder that is removed")
    asked = parser.parse_args(arguments)
    if asked.minutes < asked.warm_up + 2 * WINDOW_S / 60:
        parser.error("the soak must be at least two minutes longer than its warm-up")
    if asked.home:
        return run(asked.minutes, asked.speed, asked.warm_up * 60, Path(asked.home).absolute())
    with TemporaryDirectory(prefix="tb-") as folder:
        return run(asked.minutes, asked.speed, asked.warm_up * 60, Path(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
