"""A loop that waits for somebody outside: it goes on living for others, takes leases and halts, and nothing else."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from bus import clock
from bus.assembly import Assembly, Ports, Setup
from bus.broadcasts import KEPT_MAX
from bus.codec import decode_message, encode_message
from bus.control import ControlFolder
from bus.decider import Shell
from bus.halt import ArmRecord
from bus.messages import HaltRaised, Heartbeat, Lease, MarketMessage, Message, ServiceName
from bus.runner import Runner
from bus.testing import RecorderCore, RecorderState, a_beat, a_halt, a_quote_batch
from bus.transport import TOPIC_HALT, TOPIC_LEASE, TOPIC_MARKET, TOPIC_STATUS, Received
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY

MS = 1_000_000


class Host:
    """Clocks that a test moves."""

    def __init__(self) -> None:
        self.now = clock.boot_ns()

    def utc_ns(self) -> int:
        return self.now

    def boot_ns(self) -> int:
        return self.now


class Wire:
    """A transport without a network: of what has `arrived` only what a wait found is heard, `said` was published."""

    def __init__(self) -> None:
        self.arrived: list[tuple[ServiceName, bytes, bytes]] = []
        self.ready = 0
        self.said: list[Message] = []

    def bring(self, publisher: ServiceName, topic: bytes, *messages: Message) -> None:
        self.arrived.extend((publisher, topic, encode_message(message)) for message in messages)

    def bind(self) -> None:
        return

    def connect(self, peers: Iterable[ServiceName]) -> None:
        return

    def subscribe(self, publisher: ServiceName, *topics: bytes) -> None:
        return

    def publish(self, topic: bytes, payload: bytes) -> None:
        self.said.append(decode_message(payload))

    def send(self, peer: ServiceName, payload: bytes) -> bool:
        return True

    def answer(self, routing_id: bytes, payload: bytes) -> None:
        return

    def wait(self, timeout_ms: int) -> bool:
        self.ready = len(self.arrived)
        return bool(self.ready)

    def broadcasts(self, limit: int) -> list[tuple[ServiceName, bytes, bytes]]:
        count = min(limit, self.ready)
        taken, self.arrived = self.arrived[:count], self.arrived[count:]
        self.ready -= count
        return taken

    def received(self, limit: int) -> list[Received]:
        return []

    def answers(self, limit: int) -> list[tuple[ServiceName, bytes]]:
        return []

    def intruder(self) -> str | None:
        return None

    def refused_connections(self) -> int:
        return 0

    def close(self) -> None:
        return


class Waiting(Shell[RecorderState]):
    """Waits, within its first market message, for somebody outside: `meanwhile` is what happens then."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None
        self.steps: list[int] = []
        self.gaps = 0
        self._is_inside = False

    def on_market(self, state: RecorderState, data: MarketMessage, now_ns: int) -> Sequence[Message]:
        assert not self._is_inside, "the node was entered again"
        self._is_inside = True
        self.steps.append(data.step)
        if len(self.steps) == 1:
            self.meanwhile()
        self._is_inside = False
        return ()

    def on_gap(self, state: RecorderState, now_ns: int) -> Sequence[Message]:
        assert not self._is_inside, "the node was entered again"
        self.gaps += 1
        return ()


class Rig:
    """Execution's loop in this thread, on a host whose clocks stand."""

    def __init__(self, paths: HomePaths) -> None:
        self.host, self.wire, self.shell = Host(), Wire(), Waiting()
        self.control = ControlFolder(paths)
        self.statuses: list[ServiceName] = []
        self.ports: Any = None
        setup = Setup(paths=paths, env=parse(proposals()), identity=DEMO_IDENTITY)
        self.runner = Runner("execution", setup, self.wire)
        self.runner.start(self._build)

    def _build(self, _setup: Setup) -> Assembly[RecorderState]:
        return Assembly(
            core=RecorderCore(),
            shell=self.shell,
            attach=lambda ports: setattr(self, "ports", ports),
            on_status=lambda sender, _message: self.statuses.append(sender),
        )

    def arm(self) -> None:
        record = ArmRecord(
            operator="ann",
            reason="test",
            armed_at_utc="2026-01-01T00:00:00.000Z",
            halt_counter=self.control.read().halt_counter,
            generation=1,
            build=self.beats()[-1].build,
        )
        self.control.arm(record)

    def leases(self, counter: int = 0) -> None:
        for issuer in ("watchdog", "risk"):
            expires = self.host.now + 1000 * MS
            lease = Lease(ts_event=0, ts_init=0, issuer=issuer, seq=1, halt_counter=counter, expires_boot_ns=expires)
            self.wire.bring(issuer, TOPIC_LEASE, lease)

    def breathe_for(self, ms: int) -> None:
        for _ in range(ms // 50):
            self.host.now += 50 * MS
            self.ports.breathe()

    def turn(self) -> None:
        """Wait and take what has come, as the runner's own loop does."""
        self.wire.wait(0)
        self.runner.turn()

    def wait_in(self, meanwhile: Callable[[], None]) -> None:
        """Let a market message come, and all this happen while its effect waits for somebody outside."""
        self.shell.meanwhile = meanwhile
        self.wire.bring("screener", TOPIC_MARKET, a_quote_batch(step=1))
        self.turn()

    def beats(self) -> list[Heartbeat]:
        return [message for message in self.wire.said if isinstance(message, Heartbeat)]


@pytest.fixture
def rig(short_home: HomePaths) -> Any:
    host_clock = Host()
    with clock.on_host(host_clock):
        made = Rig(short_home)
        made.host = host_clock
        made.turn()
        made.arm()
        yield made
        made.runner.close()


def test_breath_when_an_answer_is_waited_for_then_the_heart_beats_and_leases_go_on(rig: Rig) -> None:
    refusals = []

    def three_seconds() -> None:
        before = len(rig.beats())
        for _ in range(12):
            rig.leases()
            rig.breathe_for(250)
            refusals.append(rig.ports.gate.refusal(reduces=False))
        assert len(rig.beats()) - before == 12

    rig.wait_in(three_seconds)
    rig.turn()
    assert refusals == [None] * 12
    assert rig.shell.gaps == 0


def test_breath_when_a_halt_is_told_then_it_is_taken_at_once_and_no_older_lease_counts(rig: Rig) -> None:
    seen: list[object] = []

    def halted() -> None:
        rig.leases()
        rig.breathe_for(50)
        seen.append(rig.ports.gate.refusal(reduces=False))
        rig.wire.bring("watchdog", TOPIC_HALT, a_halt(1))
        rig.leases()
        rig.breathe_for(50)
        seen.append(rig.ports.gate.refusal(reduces=False))
        seen.append(rig.control.read().halt_counter)
        seen.append(rig.beats()[-1].halt_counter)

    rig.wait_in(halted)
    assert seen == [None, "halted: a test", 1, 1]
    rig.host.now += 10 * MS
    rig.turn()
    halts = [event for event in rig.runner._store.events() if isinstance(event, HaltRaised)]
    assert [halt.counter for halt in halts] == [1], "the core hears of it at the next turn"


def test_breath_when_market_data_and_status_come_then_they_wait_for_the_next_turn_in_their_order(rig: Rig) -> None:
    def quoted() -> None:
        rig.wire.bring("screener", TOPIC_MARKET, a_quote_batch(step=2))
        rig.wire.bring("risk", TOPIC_STATUS, a_beat("risk"))
        rig.breathe_for(50)
        rig.wire.bring("screener", TOPIC_MARKET, a_quote_batch(step=3))
        rig.breathe_for(50)
        assert (rig.shell.steps, rig.statuses) == ([1], [])

    rig.wait_in(quoted)
    rig.wire.bring("screener", TOPIC_MARKET, a_quote_batch(step=4))
    rig.turn()
    assert rig.shell.steps == [1, 2, 3, 4]
    assert rig.statuses == ["risk"]


def test_breath_when_too_much_comes_then_the_oldest_are_dropped_counted_and_shown(rig: Rig) -> None:
    def flooded() -> None:
        for step in range(2, 2 + KEPT_MAX + 10):
            rig.wire.bring("screener", TOPIC_MARKET, a_quote_batch(step=step))
        rig.breathe_for(500)

    rig.wait_in(flooded)
    rig.turn()
    assert rig.shell.steps == [1, *range(12, 2 + KEPT_MAX + 10)]
    rig.host.now += 250 * MS
    rig.turn()
    assert rig.beats()[-1].dropped_messages == 10


@pytest.mark.parametrize(("gap_ms", "gaps"), [(500, 0), (501, 1), (30_000, 1)])
def test_breath_when_the_process_stood_still_then_leases_are_dropped_at_once_and_the_shell_looks_next(
    rig: Rig, gap_ms: int, gaps: int
) -> None:
    refusals: list[str | None] = []

    def frozen() -> None:
        rig.host.now += gap_ms * MS
        rig.leases()
        rig.ports.breathe()
        refusals.append(rig.ports.gate.refusal(reduces=False))
        # Neither does a later lease count before somebody has looked at the broker.
        rig.leases()
        rig.breathe_for(50)
        refusals.append(rig.ports.gate.refusal(reduces=False))
        assert rig.shell.gaps == 0

    rig.wait_in(frozen)
    assert [refusal is None for refusal in refusals] == [not gaps] * 2
    rig.turn()
    assert rig.shell.gaps == gaps
    rig.leases()
    rig.turn()
    assert rig.ports.gate.refusal(reduces=False) is None


def test_ports_when_nobody_gives_a_breath_then_breathing_does_nothing() -> None:
    assert Ports(None, lambda _message: None, lambda _rule, _detail: None).breathe() is None
