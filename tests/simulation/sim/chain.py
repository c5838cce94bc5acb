"""One run: the real chain on a simulated host, disturbed for a while, then left in peace until it is at rest."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from sim.broker import BrokerHouse
from sim.faults import FaultMix
from sim.host import MS, SECOND, Host, SimulatedCrash, Span
from sim.net import Net, SimSockets
from sim.services_under_test import builders

from bus.assembly import Setup
from bus.codec import decode_message
from bus.control import ControlFolder
from bus.error_handler import halting_on_error
from bus.messages import (
    ChainStatus,
    FeedEnded,
    Heartbeat,
    HoldingsSnapshot,
    Lease,
    LedgerSnapshot,
    Message,
    OrdersSnapshot,
    PortfolioSnapshot,
    ServiceName,
)
from bus.routes import LEASE_ISSUERS
from bus.runner import Runner
from bus.store import StoreError
from bus.transport import TOPIC_LEASE, TOPIC_MARKET, TOPIC_STATUS

#: A service looks by itself so often; what arrives wakes it earlier.
_POLL_NS: Final = 80 * MS
_CALM_POLL_NS: Final = 100 * MS
_RESTART_NS: Final = (20 * MS, 2 * SECOND)
_KEPT: Final = {
    kind.__name__.encode(): kind
    for kind in (Heartbeat, ChainStatus, OrdersSnapshot, PortfolioSnapshot, LedgerSnapshot, HoldingsSnapshot)
}


@dataclass
class Granted:
    """A lease as it was published, whether anybody heard it or not."""

    issuer: str
    boot_ns: int
    expires_boot_ns: int


@dataclass
class Process:
    """One service: its present life, and when the host looks at it next."""

    name: ServiceName
    life: int = 0
    runner: Runner | None = None
    sockets: SimSockets | None = None
    frozen_until_ns: int = 0
    busy_until_ns: int = 0
    next_at_ns: int = 0
    connections: list[sqlite3.Connection] = field(default_factory=list)


class Chain:
    """Every process of the chain on one host, and the net between them."""

    def __init__(
        self, host: Host, house: BrokerHouse, setup: Setup, mix: FaultMix, services: Sequence[ServiceName]
    ) -> None:
        self.host = host
        self.house = house
        self.paths = setup.paths
        self.mix = mix
        self.control = ControlFolder(setup.paths)
        self.poll_ns = _POLL_NS
        self.net = Net(host, mix, self._heard, self._told)
        self.processes = {name: Process(name) for name in services}
        self.running: Process | None = None
        self.granted: list[Granted] = []
        self._times: dict[bytes, int] = {}
        self.newest: dict[tuple[ServiceName, str], bytes] = {}
        self.feed_ended = False
        self.crashes: list[tuple[int, str, str]] = []
        #: When execution was dead or frozen.
        self.away: list[Span] = []
        #: How long who grants leases stays away.
        self.restart_ns = _RESTART_NS
        self.errors: list[str] = []
        self.reached: set[str] = set()
        #: Where a death is drawn; empty = everywhere.
        self.points: tuple[str, ...] = ()
        #: Set by a directed run: told of each failpoint, it may raise SimulatedCrash.
        self.at_failpoint: Callable[[str], None] = self._maybe_crash
        self._setup = setup

    # --- what the world hears of the chain -----

    def _told(self, payload: bytes) -> None:
        """Note the market's time that execution takes from its sockets, where it may lag behind."""
        if self.house.told_ns is not None:
            self.house.told_ns = max(self.house.told_ns, self._times[payload])

    def _heard(self, publisher: ServiceName, topic: bytes, payload: bytes) -> None:
        if topic == TOPIC_MARKET:
            data = decode_message(payload)
            self.feed_ended = self.feed_ended or isinstance(data, FeedEnded)
            self.house.hear_market(data)  # type: ignore[arg-type]  # only market data has this topic
            self._times[payload] = data.ts_event
        elif topic == TOPIC_LEASE:
            lease = decode_message(payload)
            if isinstance(lease, Lease):
                self.granted.append(Granted(publisher, self.host.boot_ns(), lease.expires_boot_ns))
        elif topic == TOPIC_STATUS:
            # The tag is the first field of the map: the word "type", then a short text with its length before it.
            at = payload.index(b"type", 0, 12) + 4
            tag = payload[at + 1 : at + 1 + (payload[at] & 0x1F)]
            if tag in _KEPT:
                self.newest[publisher, tag.decode()] = payload

    def status(self, publisher: ServiceName, kind: type[Message]) -> Any:
        """Return the newest message of this kind, or None."""
        payload = self.newest.get((publisher, kind.__name__))
        return decode_message(payload) if payload else None

    def opened(self, connection: sqlite3.Connection) -> None:
        if self.running is not None:
            self.running.connections.append(connection)

    def failpoint(self, name: str) -> None:
        self.reached.add(name)
        self.at_failpoint(name)

    def _maybe_crash(self, name: str) -> None:
        if self.points and name not in self.points:
            return
        if self.host.chance(self.mix.failpoint_crash):
            raise SimulatedCrash

    # --- lives -----

    def start(self, name: ServiceName) -> None:
        """Start a service as supervisord does; what keeps it from starting ends it again."""
        process = self.processes[name]
        process.life += 1
        process.frozen_until_ns = process.busy_until_ns = 0
        self._is_back(name)
        life = process.life
        process.sockets = SimSockets(name, life, self.net, lambda: self._wake(process, life))
        runner = process.runner = Runner(name, self._setup, process.sockets)
        self._in(process, lambda: runner.start(builders()[name]))
        if process.runner is not None:
            self._plan_turn(process, self.host.boot_ns())

    def _in(self, process: Process, action: Callable[[], object]) -> None:
        """Let a process run; a death or an unhandled error ends its life, and it is started again."""
        self.running = process
        try:
            with halting_on_error(process.name, self.paths):
                action()
        except SimulatedCrash:
            self.crash(process.name, "killed at a failpoint")
        except StoreError as error:
            self.crash(process.name, f"cannot start: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, a real process would end by it
            self.errors.append(f"{process.name}: {type(error).__name__}: {error}")
            self.crash(process.name, f"{type(error).__name__}")
        finally:
            self.running = None

    def crash(self, name: ServiceName, why: str, *, restarts: bool = True) -> None:
        """End a life without any farewell: memory, connections and what was not committed are gone."""
        process = self.processes[name]
        if process.sockets is None:
            return
        self.host.note(f"crash {name} {why}")
        self.crashes.append((self.host.boot_ns(), name, why))
        self.let_go(process)
        self._is_away(name)
        if restarts:
            life = process.life
            delay = self.host.between(*(self.restart_ns if name in LEASE_ISSUERS else _RESTART_NS))
            self.host.after(delay, f"restart {name}", lambda: self._restart(name, life))

    def let_go(self, process: Process) -> None:
        """Release what a life held."""
        if process.sockets is not None:
            self.net.close(process.sockets)
        process.runner = process.sockets = None
        if process.name == "execution":
            self.house.door = None
        for connection in process.connections:
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.rollback()
            connection.close()
        process.connections.clear()

    def _restart(self, name: ServiceName, life: int) -> None:
        process = self.processes[name]
        if process.life == life and process.runner is None:
            self.start(name)

    def freeze(self, name: ServiceName, ns: int) -> None:
        """Stop a process as SIGSTOP does: its messages queue up, and it goes on as if nothing had been."""
        self.host.note(f"freeze {name}")
        process = self.processes[name]
        process.frozen_until_ns = self.host.boot_ns() + ns
        if process.runner is not None:
            self._is_back(name)
            self._is_away(name, process.frozen_until_ns)

    def _is_away(self, name: ServiceName, until_ns: int = 0) -> None:
        if name == "execution":
            self.away.append(Span(self.host.boot_ns(), until_ns))

    def _is_back(self, name: ServiceName) -> None:
        """End what has not ended yet: a death by a new start, a frozen time by a death or by the calm."""
        now = self.host.boot_ns()
        for away in self.away if name == "execution" else ():
            if not away.until_ns or away.until_ns > now:
                away.until_ns = now

    # --- turns -----

    def _wake(self, process: Process, life: int) -> None:
        if process.life == life and process.runner is not None:
            self._plan_turn(process, self.host.boot_ns() + self.host.between(20_000, 200_000))

    def _plan_turn(self, process: Process, at_ns: int) -> None:
        at_ns = max(at_ns, process.busy_until_ns, process.frozen_until_ns)
        if process.next_at_ns and process.next_at_ns <= at_ns:
            return
        process.next_at_ns = at_ns
        life = process.life
        self.host.at(at_ns, process.name, lambda: self._turn(process, life, at_ns))

    def _turn(self, process: Process, life: int, at_ns: int) -> None:
        if process.life != life or process.next_at_ns != at_ns or process.runner is None:
            if process.next_at_ns == at_ns:
                process.next_at_ns = 0
            return
        process.next_at_ns = 0
        if process.frozen_until_ns > at_ns:
            self._plan_turn(process, process.frozen_until_ns)
            return
        if self.host.chance(self.mix.slow_disk):
            self.host.spend(self.host.between(50 * MS, 900 * MS))
        runner = process.runner
        self._in(process, runner.turn)
        if process.runner is runner:
            process.busy_until_ns = self.host.boot_ns()
            wait_ns = runner.wait_ms() * MS
            jitter = self.host.between(0, self.poll_ns // 8)
            pause = wait_ns + 100_000 if wait_ns < 20 * MS else self.poll_ns + jitter
            self._plan_turn(process, self.host.boot_ns() + pause)

    def calm_down(self) -> None:
        """End every disturbance; who is frozen goes on, who is down comes back."""
        calm = FaultMix()
        self.mix = self.net.mix = self.house.mix = calm
        self.net.cuts.clear()
        self.poll_ns = _CALM_POLL_NS
        now = self.host.boot_ns()
        for process in self.processes.values():
            process.frozen_until_ns = min(process.frozen_until_ns, now)
            if process.runner is not None:
                self._is_back(process.name)
                process.next_at_ns = 0
                self._plan_turn(process, now)

    def close(self) -> None:
        for process in self.processes.values():
            self.let_go(process)
