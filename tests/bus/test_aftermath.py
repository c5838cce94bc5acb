"""What is put off while messages trade: for a moment, never longer than a bound, and nothing of it is lost."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.aftermath import LONGEST_NS, QUIET_NS, Rush
from bus.assembly import Assembly, Setup
from bus.clock import on_host
from bus.codec import Ack, Data, Frame, Greet, Hello, decode_frame, encode_frame, encode_message
from bus.decider import Shell
from bus.delivery import WINDOW
from bus.messages import Message, ServiceName, SignalRaised
from bus.runner import Runner
from bus.testing import RecorderCore, a_quote_batch, a_signal
from bus.transport import TOPIC_MARKET, Received
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY

EPOCH = "e1"


def test_a_rush_when_nothing_trades_for_a_moment_is_over() -> None:
    rush = Rush()
    assert not rush.is_over(1)
    rush.comes(1_000)
    assert rush.goes_on
    assert not rush.is_over(1_000 + QUIET_NS - 1)
    assert rush.is_over(1_000 + QUIET_NS)
    rush.ends()
    assert not rush.goes_on


def test_a_rush_when_messages_keep_coming_is_over_after_the_bound() -> None:
    rush = Rush()
    at = 1_000
    while at < 1_000 + LONGEST_NS:
        assert not rush.is_over(at)
        rush.comes(at)
        at += QUIET_NS // 2
    assert rush.is_over(at)


class Clocks:
    """A host whose clocks stand until they are moved."""

    def __init__(self) -> None:
        self.ns = 10**9

    def utc_ns(self) -> int:
        return self.ns

    def boot_ns(self) -> int:
        return self.ns


class Wire:
    """Strategy's connection to risk, and what risk publishes."""

    def __init__(self) -> None:
        self.coming: list[Frame] = []
        self.market: list[Message] = []
        self.answered: list[Frame] = []
        self.said: list[bytes] = []

    def bind(self) -> None: ...

    def connect(self, _peers: object) -> None: ...

    def subscribe(self, _publisher: ServiceName, *_topics: bytes) -> None: ...

    def publish(self, _topic: bytes, payload: bytes) -> None:
        self.said.append(payload)

    def send(self, _peer: ServiceName, _payload: bytes) -> bool:
        return True

    def answer(self, _routing_id: bytes, payload: bytes) -> None:
        self.answered.append(decode_frame(payload))

    def wait(self, _timeout_ms: int) -> bool:
        return True

    def broadcasts(self, _limit: int) -> list[tuple[ServiceName, bytes, bytes]]:
        taken, self.market = self.market, []
        return [("screener", TOPIC_MARKET, encode_message(data)) for data in taken]

    def received(self, _limit: int) -> list[Received]:
        taken, self.coming = self.coming, []
        return [Received("strategy", b"line", encode_frame(frame)) for frame in taken]

    def answers(self, _limit: int) -> list[tuple[ServiceName, bytes]]:
        return []

    def intruder(self) -> str | None:
        return None

    def refused_connections(self) -> int:
        return 0

    def close(self) -> None: ...

    def acks(self) -> list[int]:
        return [frame.cursor for frame in self.answered if isinstance(frame, Ack)]


class Rig:
    """Risk's loop over that wire."""

    def __init__(self, paths: HomePaths, clocks: Clocks) -> None:
        self.clocks, self.wire = clocks, Wire()
        self.runner = Runner("risk", Setup(paths=paths, env=parse(proposals()), identity=DEMO_IDENTITY), self.wire)
        self.runner.start(lambda _setup: Assembly(core=RecorderCore(), shell=Shell()))
        self.turn(Hello("", EPOCH, 1, 0, 0))
        (greet,) = self.wire.answered
        assert isinstance(greet, Greet)
        self.turn(Hello(greet.nonce, EPOCH, 1, 0, 0))
        self.pass_ns(LONGEST_NS)

    def turn(self, *frames: Frame) -> None:
        self.wire.coming += frames
        self.runner.turn()

    def says(self, *numbers: int) -> None:
        self.turn(*(Data(EPOCH, number, 0, encode_message(a_signal(str(number)))) for number in numbers))

    def pass_ns(self, ns: int) -> None:
        self.clocks.ns += ns
        self.runner.turn()
        self.wire.said.clear()


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path)
    paths.make()
    return paths


@pytest.fixture
def rig(paths: HomePaths) -> Iterator[Rig]:
    clocks = Clocks()
    with on_host(clocks):
        made = Rig(paths, clocks)
        yield made
        made.runner.close()


def test_a_message_when_it_is_taken_is_acknowledged_and_logged_after_a_quiet_moment(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        rig.says(1)
        assert rig.wire.acks() == []
        assert "heard" not in caplog.text
        assert rig.runner.wait_ms() == QUIET_NS // 1_000_000, "the loop must not sleep over it"
        rig.pass_ns(QUIET_NS)
    assert rig.wire.acks() == [1]
    assert "heard SignalRaised from strategy" in caplog.text
    rig.pass_ns(QUIET_NS)
    assert rig.wire.acks() == [1]


def test_an_acknowledgement_when_messages_and_market_data_keep_coming_is_said_within_the_bound(rig: Rig) -> None:
    began = rig.clocks.ns
    number = 0
    while not rig.wire.acks():
        number += 1
        rig.says(number)
        rig.wire.market.append(a_quote_batch(step=number))
        rig.runner.turn()
        rig.clocks.ns += QUIET_NS - 1
    assert rig.clocks.ns - began <= LONGEST_NS + 2 * QUIET_NS
    assert rig.wire.acks() == [number]


def test_a_window_when_half_of_it_is_taken_at_once_is_acknowledged_before_the_sender_has_to_wait(rig: Rig) -> None:
    rig.says(*range(1, WINDOW // 2))
    assert rig.wire.acks() == []
    rig.says(WINDOW // 2)
    assert rig.wire.acks() == [WINDOW // 2]


def test_a_gap_when_it_is_seen_is_said_at_once(rig: Rig) -> None:
    rig.says(1, 3)
    assert rig.wire.acks() == [1]


def test_what_was_put_off_when_the_service_is_told_to_stop_is_done_before_its_end(rig: Rig) -> None:
    rig.says(1)
    assert rig.runner._courier is not None
    rig.runner._say_last()
    assert rig.wire.acks() == [1]


def test_the_journal_when_a_message_is_not_acknowledged_yet_has_it_already(rig: Rig) -> None:
    rig.says(1)
    assert isinstance(list(rig.runner._store.events())[-1], SignalRaised)
    assert rig.wire.acks() == []
