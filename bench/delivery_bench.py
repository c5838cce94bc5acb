"""Delivery on real sockets under loss, doubling, stalls and kills: nothing lost, nothing doubled, all in order.

Two processes with the real Runner, Courier and Store carry numbered messages from one to the other. 30 % of all that
either sends is lost and 20 % is doubled, before the first word of a connection as well; the receiver is frozen now and
then, and each end is killed and started again many times. At the end both journals are read: what was made and what
was taken must be the same numbers in the same order. The exit code is 1 when they are not.
"""

import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from delivery_workers import RECEIVER, SENDER, End, run_end
from frame import Report, Sizes, crew_at_home, run_seeded_bench
from measure import Goal, Row
from workers import Crew, Worker

from bus.keys import make_pairs
from bus.messages import OrderDenied, ServiceName, SignalRaised
from bus.store import read_journal
from config.vault import CurvePair

Deed = Literal["kill sender", "kill receiver", "kill both", "freeze receiver"]
_MEMORY: Final = Goal(300, is_ratio=False)
_POLL_S: Final = 0.02
#: Longer without a single message taken is a stream that does not go on.
_STUCK_S: Final = 60


@dataclass(frozen=True)
class Size:
    """How much is done: messages, and kills of each end and freezes spread over them."""

    messages: int
    kills: int
    freezes: int


_SIZES: Final = Sizes(
    full=Size(messages=100_000, kills=50, freezes=10),
    quick=Size(messages=4_000, kills=3, freezes=2),
)


class StuckError(Exception):
    """The stream does not go on; the message says where it stands."""


@dataclass
class Pair:
    """Both ends as processes, and what is known of them."""

    crew: Crew
    home: Path
    pairs: dict[str, CurvePair]
    seed: int
    total: int
    ends: dict[ServiceName, Worker] = field(default_factory=dict)
    starts: dict[ServiceName, int] = field(default_factory=dict)
    resident_mib: dict[ServiceName, float] = field(default_factory=dict)

    def start(self, name: ServiceName) -> None:
        """Start an end anew."""
        self.starts[name] = self.starts.get(name, 0) + 1
        seed = f"{self.seed}/{name}/{self.starts[name]}"
        self.ends[name] = self.crew.start(run_end, End(name, self.home, self.pairs, seed, self.total))

    def kill(self, *names: ServiceName) -> None:
        """Kill -9 these ends at once, and start them again."""
        for name in names:
            self.ends[name].process.kill()
        for name in names:
            self.ends[name].process.join()
            self.start(name)

    def freeze(self, name: ServiceName, seconds: float) -> None:
        """Let an end stand still."""
        pid = self.ends[name].process.pid
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)

    def measure(self) -> None:
        """Note the largest resident memory of each end."""
        for name, worker in self.ends.items():
            now = _resident_mib(worker.process.pid)
            self.resident_mib[name] = max(self.resident_mib.get(name, 0), now)

    def taken(self) -> int:
        """Return how many messages the receiver has committed."""
        try:
            with closing(sqlite3.connect(f"file:{self.home}/state/{RECEIVER}.db?mode=ro", uri=True)) as db:
                row = db.execute("SELECT seq FROM cursor WHERE sender=?", (SENDER,)).fetchone()
        except sqlite3.OperationalError:
            return 0
        return int(row[0]) if row else 0

    def check(self) -> None:
        """Look whether both ends live; one that died by itself has said why.

        Raises:
            StuckError: one does not.
        """
        for name, worker in self.ends.items():
            if not worker.process.is_alive():
                raise StuckError(f"{name} ended by itself: {(self.home / f'{name}.err').read_text()[-2000:]}")


def draw(rng: random.Random, size: Size) -> list[tuple[int, Deed]]:
    """Return what is done after how many messages, in order."""
    both = size.kills // 4
    counts: dict[Deed, int] = {
        "kill both": both,
        "kill sender": size.kills - both,
        "kill receiver": size.kills - both,
        "freeze receiver": size.freezes,
    }
    deeds = [deed for deed, count in counts.items() for _ in range(count)]
    rng.shuffle(deeds)
    return list(zip(sorted(rng.randrange(1, size.messages) for _ in deeds), deeds, strict=True))


def run(pair: Pair, rng: random.Random, size: Size) -> float:
    """Carry all messages through everything that is done to the ends; return the seconds it took.

    Raises:
        StuckError: nothing was taken for _STUCK_S.
    """
    begin = moved = time.monotonic()
    deeds, taken = draw(rng, size), 0
    pair.start(RECEIVER)
    pair.start(SENDER)
    while taken < size.messages:
        time.sleep(_POLL_S)
        now = pair.taken()
        if now > taken:
            taken, moved = now, time.monotonic()
        if time.monotonic() - moved > _STUCK_S:
            raise StuckError(f"{taken} of {size.messages} messages were taken, and none for {_STUCK_S} s")
        pair.measure()
        pair.check()
        # One deed at a time: each is followed by at least one message that was taken.
        if deeds and taken >= deeds[0][0] and now == taken:
            _do(deeds.pop(0)[1], pair, rng)
    return time.monotonic() - begin


def _do(deed: Deed, pair: Pair, rng: random.Random) -> None:
    match deed:
        case "kill sender":
            pair.kill(SENDER)
        case "kill receiver":
            pair.kill(RECEIVER)
        case "kill both":
            pair.kill(SENDER, RECEIVER)
        case "freeze receiver":
            pair.freeze(RECEIVER, rng.uniform(0.5, 2.0))


def verdict(home: Path, total: int) -> list[str]:
    """Return one sentence for each way in which what was taken is not what was made."""
    made = [int(e.signal_id) for e in read_journal(home / "state" / f"{SENDER}.db") if isinstance(e, SignalRaised)]
    taken = [int(e.intent_id) for e in read_journal(home / "state" / f"{RECEIVER}.db") if isinstance(e, OrderDenied)]
    faults = []
    if made != list(range(1, total + 1)):
        faults.append(f"{len(made)} messages were made, not 1 to {total}")
    lost, doubled = len(set(made) - set(taken)), len(taken) - len(set(taken))
    if lost or doubled:
        faults.append(f"{lost} lost, {doubled} doubled")
    elif taken != made:
        faults.append("taken in another order than made")
    return faults


def _resident_mib(pid: int | None) -> float:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return next((int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:")), 0.0)
    except OSError:
        return 0.0


def bench_delivery(size: Size, seed: int) -> Report:
    """Carry all messages, and judge what was taken."""
    with crew_at_home() as (paths, crew):
        pair = Pair(crew, paths.root, make_pairs(), seed, size.messages)
        seconds = run(pair, random.Random(seed), size)
        faults = verdict(paths.root, size.messages)
    rows = [
        Row("delivery, 30 % lost, 20 % doubled, kills and freezes: throughput", size.messages / seconds, "msg/s"),
        Row("delivery: kills of each end", float(pair.starts[SENDER] - 1), ""),
        Row("delivery: freezes of the receiver", float(size.freezes), ""),
        Row("delivery: sender, largest resident memory", pair.resident_mib[SENDER], "MiB", goal=_MEMORY),
        Row("delivery: receiver, largest resident memory", pair.resident_mib[RECEIVER], "MiB", goal=_MEMORY),
    ]
    return Report(
        f"Delivery: {size.messages:,} messages in {seconds:.0f} s, seed {seed}",
        rows,
        f"{size.messages:,} messages: {'; '.join(faults) or '0 lost, 0 doubled, in order'}",
        has_failed=bool(faults),
    )


if __name__ == "__main__":
    does = "Carry messages over bad sockets between two ends that are killed."
    sys.exit(run_seeded_bench(does, _SIZES, bench_delivery, sys.argv[1:]))
