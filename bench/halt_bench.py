"""How long a halt takes: on a chain under a flood of orders, and against a bare broadcast in the same interleaved run.

The chain is the real screener, strategy, risk, execution, ledger and watchdog, each in a process of its own; only does
risk approve several orders on every quote, so that each halt meets orders on their way and dozens that are open. The
bench is the web UI: its key, its sockets, its control folder. A trial begins when the halt's record is on disk, which
is when `raise_halt` returns. From then on the bench looks every millisecond, from outside:

* at the broker's books, for entry orders that were not there before. The moment at which one is first seen is later
  than the moment at which it was sent, so the figure is a bound from above. It is 0 when none came after the record;
* at the heartbeats, for the halt's number: a service that says it has taken the halt;
* at the broker's books, for open orders that add exposure (HALT_POSITIONS=keep), or for any open order and any
  position (flatten).

The exit code is 1 when an entry order came more than 1,000 ms after a record.
"""

import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec
import zmq
from frame import Report, Sizes, crew_at_home, run_seeded_bench
from halt_workers import hear_bare, run_service_of_bench
from hop_workers import AGES_MAX, run_hop
from measure import Goal, Row, latency_rows, quantile
from workers import SPAWN

from bus.build import build_id
from bus.clock import boot_ns, iso_utc, utc_ns
from bus.codec import decode_message, encode_message
from bus.control import ControlFolder
from bus.endpoints import Endpoints
from bus.halt import ArmRecord, HaltRecord
from bus.keys import KeyRing, make_pairs
from bus.messages import ChainStatus, HaltRaised, Heartbeat, ServiceName
from bus.routes import SERVICES
from bus.sockets import BusSockets, topics_between
from bus.transport import TOPIC_HALT
from config.paths import HomePaths
from replay.session import SessionChoice
from services.ledger.coa_utils_ledger import load_template

_HEARING: Final[tuple[ServiceName, ...]] = tuple(s for s in SERVICES if s != "web")
_MS: Final = 1_000_000
_LATE_MS: Final = 1_000.0
#: Each trial is watched for so long at least: an order that comes too late must be seen.
_WATCHED_MS: Final = 1_200
_TRIAL_TIMEOUT_S: Final = 30
_BATCH: Final = 64
_RECORDS_KEPT: Final = 3
#: A trial begins when so many orders have come after the arming.
_ORDERS_BEFORE: Final = 20
_POLICIES: Final = ("keep", "flatten")
_SENT_P99: Final = Goal(300, is_ratio=False)
_SENT_MAX: Final = Goal(_LATE_MS, is_ratio=False)
_CLOSED: Final = Goal(10_000, is_ratio=False)
_WORKING: Final = "SELECT count(*) FROM orders WHERE state = 'WORKING'"


@dataclass(frozen=True)
class Size:
    """How much is measured: halts of the chain for each policy; rounds of broadcasts and broadcasts in each."""

    halts: int
    rounds: int
    broadcasts: int


_SIZES: Final = Sizes(
    full=Size(halts=26, rounds=6, broadcasts=40),
    quick=Size(halts=2, rounds=2, broadcasts=5),
)


class HaltBenchError(Exception):
    """The chain did not get where it should; the message says what was waited for."""


@dataclass
class Trials:
    """Milliseconds from the record, one for each trial."""

    sent: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    closed: list[float] = field(default_factory=list)
    open_orders: list[int] = field(default_factory=list)


class Desk:
    """The bench in the place of the web UI: it halts, arms, and hears every service.

    Args:
        paths: the home.
        ring: the web UI's keys.
    """

    def __init__(self, paths: HomePaths, ring: KeyRing) -> None:
        self.control = ControlFolder(paths)
        self.counters: dict[str, int] = {}
        self.state = ""
        self.detail = ""
        self._sockets = BusSockets(ring, Endpoints(paths))
        self._sockets.bind()
        for publisher in SERVICES:
            topics = topics_between("web", publisher)
            if topics:
                self._sockets.subscribe(publisher, *topics)

    def hear(self, wait_ms: int) -> None:
        """Wait so long at most, and note what services say."""
        if not self._sockets.wait(wait_ms):
            return
        for publisher, _, payload in self._sockets.broadcasts(_BATCH):
            match decode_message(payload):
                case Heartbeat() as beat:
                    self.counters[publisher] = beat.halt_counter
                case ChainStatus() as status:
                    self.state, self.detail = status.state, status.detail
                case _:
                    continue

    def halt(self) -> tuple[HaltRecord, int]:
        """Halt the chain as a service does; return the record and the moment at which it was on disk."""
        record = self.control.raise_halt("web", "operator", "a trial")
        committed = boot_ns()
        now = utc_ns()
        notice = HaltRaised(
            ts_event=now, ts_init=now, counter=record.counter, source="web", rule="operator", detail=record.detail
        )
        self._sockets.publish(TOPIC_HALT, encode_message(notice))
        return record, committed

    def arm(self) -> None:
        """Arm, and answer every halt."""
        now = iso_utc(utc_ns())
        counter = self.control.read().halt_counter
        self.control.arm(
            ArmRecord(
                operator="bench",
                reason="the next trial",
                armed_at_utc=now,
                halt_counter=counter,
                generation=1,
                build=build_id(),
            )
        )

    def have_all_taken(self, counter: int) -> bool:
        """Tell whether every service has said that it has taken this halt."""
        return all(self.counters.get(name, -1) >= counter for name in _HEARING)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Hear until something holds.

        Raises:
            HaltBenchError: it does not, in _TRIAL_TIMEOUT_S.
        """
        end = time.monotonic() + _TRIAL_TIMEOUT_S
        while not holds():
            self.hear(20)
            if time.monotonic() > end:
                raise HaltBenchError(f"{what} after {_TRIAL_TIMEOUT_S} s; the chain is {self.state}: {self.detail}")

    def close(self) -> None:
        """Close the sockets."""
        self._sockets.close()


class Books:
    """The broker's books, read from outside."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def entries(self) -> int:
        """Return how many entry orders the broker ever got."""
        return self._number("SELECT count(*) FROM orders WHERE side = 'BUY'")

    def has_got(self, entries: int) -> bool:
        """Tell whether the broker has got so many entry orders."""
        return self.entries() >= entries

    def adding(self) -> int:
        """Return how many open orders add exposure."""
        return self._number(f"{_WORKING} AND side = 'BUY'")

    def anything(self) -> int:
        """Return how many orders are open and how many positions are held."""
        return self._number(_WORKING) + self._number("SELECT count(*) FROM positions WHERE qty_nanos <> 0")

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])


def bench_chain(policy: str, halts: int, rng: random.Random) -> Trials:
    """Halt a flooded chain so many times."""
    trials = Trials()
    with _chain(policy) as (desk, books):
        for _ in range(halts):
            before = books.entries()
            desk.arm()
            desk.until(lambda: desk.state == "ACTIVE", "not active")
            desk.until(partial(books.has_got, before + _ORDERS_BEFORE), "no orders")
            _hear_for(desk, rng.uniform(0, 500))
            _trial(desk, books, books.adding if policy == "keep" else books.anything, trials)
    return trials


def _trial(desk: Desk, books: Books, open_now: Callable[[], int], trials: Trials) -> None:
    trials.open_orders.append(books.adding())
    entries, last_sent, taken, closed = books.entries(), 0.0, 0.0, 0.0
    record, committed = desk.halt()
    now = 0.0
    # An order that comes between this reading of the books and the record counts as one that came after it.
    while not (taken and closed and now > _WATCHED_MS):
        desk.hear(1)
        seen, is_open = books.entries(), open_now()
        now = (boot_ns() - committed) / _MS
        if seen > entries:
            entries, last_sent, closed = seen, now, 0.0
        if not taken and desk.have_all_taken(record.counter):
            taken = now
        closed = 0.0 if is_open else closed or now
        if now > _TRIAL_TIMEOUT_S * 1000:
            raise HaltBenchError(f"{is_open} orders open, halt taken by {desk.counters}; {desk.state}: {desk.detail}")
    trials.sent.append(last_sent)
    trials.taken.append(taken)
    trials.closed.append(closed)


def _hear_for(desk: Desk, milliseconds: float) -> None:
    end = time.monotonic() + milliseconds / 1000
    while time.monotonic() < end:
        desk.hear(5)


@contextmanager
def _chain(policy: str) -> Iterator[tuple[Desk, Books]]:
    """Run the chain of one policy, with its desk and the broker's books."""
    settings = SessionChoice(speed="200").settings() | {"HALT_POSITIONS": policy}
    pairs = make_pairs()
    with crew_at_home() as (paths, crew):
        request = {"coa": load_template(), "currency_code": "USD"}
        (paths.control / "provision_ledger.json").write_bytes(msgspec.json.encode(request))
        for name in _HEARING:
            crew.start(run_service_of_bench, name, paths.root, pairs, settings)
        desk = Desk(paths, KeyRing.of("web", pairs))
        try:
            desk.until(lambda: desk.state not in ("", "STARTING"), "not ready")
            with closing(sqlite3.connect(f"file:{paths.state}/paper_broker.db?mode=ro", uri=True)) as db:
                yield desk, Books(db)
        finally:
            desk.close()


def bench_broadcast(size: Size, rng: random.Random) -> list[Row]:
    """Halt six processes with the service's own loop, and tell six bare ones, in turn."""
    pairs, ages = make_pairs(), SPAWN.RawArray("q", 2 * AGES_MAX)
    ours: list[list[float]] = []
    bare: list[list[float]] = []
    with crew_at_home() as (paths, crew):
        addresses = [f"ipc://{paths.root}/{name}.sock" for name in ("bare_out", "bare_in")]
        for name in _HEARING:
            crew.start(run_hop, name, paths.root, pairs, ages)
            crew.start(hear_bare, *addresses)
        desk = Desk(paths, KeyRing.of("web", pairs))
        tell = _bare_teller(*addresses)
        try:
            desk.until(lambda: desk.have_all_taken(0), "not all services are heard")
            for number in range(size.rounds + 1):
                halted = [_halt_once(desk, paths, rng) for _ in range(size.broadcasts)]
                told = [tell(rng) for _ in range(size.broadcasts)]
                # The first round only warms up.
                if number:
                    ours.append(halted)
                    bare.append(told)
        finally:
            desk.close()
    what = f"halt acknowledged by {len(_HEARING)} services, against a bare broadcast"
    return latency_rows(what, ours, bare)


def _halt_once(desk: Desk, paths: HomePaths, rng: random.Random) -> float:
    # A chain has a few halts in its folder, not hundreds: what looks into it must not look at those of the bench.
    for old in sorted(paths.halts.glob("*.json"))[:-_RECORDS_KEPT]:
        old.unlink()
    _hear_for(desk, rng.uniform(60, 100))
    record, committed = desk.halt()
    while not desk.have_all_taken(record.counter):
        desk.hear(1000)
    return (boot_ns() - committed) / 1000


def _bare_teller(publish_at: str, collect_at: str) -> Callable[[random.Random], float]:
    """Return what tells all bare listeners once and waits for all of them."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    outbox, inbox = context.socket(zmq.PUB), context.socket(zmq.PULL)
    outbox.bind(publish_at)
    inbox.bind(collect_at)

    def tell(rng: random.Random) -> float:
        time.sleep(rng.uniform(0.06, 0.1))
        begin = boot_ns()
        outbox.send(b"x" * 200)
        for _ in _HEARING:
            inbox.recv()
        return (boot_ns() - begin) / 1000

    heard = 0
    # A listener that has not connected yet hears nothing: tell until everybody answers.
    while heard < len(_HEARING):
        outbox.send(b"")
        heard = 0
        while inbox.poll(200):
            inbox.recv()
            heard += 1
    return tell


def _rows(trials: dict[str, Trials]) -> list[Row]:
    sent = [value for found in trials.values() for value in found.sent]
    taken = [value for found in trials.values() for value in found.taken]
    rows = _three("halt to the last entry order at the broker", sent, (None, _SENT_P99, _SENT_MAX))
    rows += _three("halt to acknowledged by every service", taken, (None, None, None))
    rows += _three("halt to no open entry order, keep", trials["keep"].closed, (None, None, _CLOSED))
    rows += _three("halt to no order and no position, flatten", trials["flatten"].closed, (None, None, _CLOSED))
    return rows


def _three(what: str, values: list[float], goals: tuple[Goal | None, ...]) -> list[Row]:
    shares = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    return [
        Row(f"{what}: {name}", quantile(values, share), "ms", goal=goal)
        for (name, share), goal in zip(shares, goals, strict=True)
    ]


def bench_halt(size: Size, seed: int) -> Report:
    """Measure everything, and judge how late orders came."""
    rng = random.Random(seed)
    trials = {policy: bench_chain(policy, size.halts, rng) for policy in _POLICIES}
    rows = [*_rows(trials), *bench_broadcast(size, rng)]
    sent: list[float] = [value for found in trials.values() for value in found.sent]
    waiting: list[int] = [value for found in trials.values() for value in found.open_orders]
    late = [value for value in sent if value > _LATE_MS]
    return Report(
        f"Halt: {len(sent)} trials on a flooded chain, {size.rounds} interleaved rounds of broadcasts",
        rows,
        f"{sum(value > 0 for value in sent)} of {len(sent)} halts met an entry order on its way to the broker; "
        f"{min(waiting)} to {max(waiting)} entry orders were open at each.\n"
        "Last entry order: when it was first seen in the broker's books; 0 when none came after the record.\n"
        f"{len(late)} halts with an entry order later than {_LATE_MS:,.0f} ms",
        has_failed=bool(late),
    )


if __name__ == "__main__":
    sys.exit(run_seeded_bench("Measure how long a halt takes.", _SIZES, bench_halt, sys.argv[1:]))
