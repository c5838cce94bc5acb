"""The access list, pair by pair, as the running service applies it: exactly what the routes say, and nothing else."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from bus import messages as m
from bus.assembly import Assembly, Setup
from bus.clock import SessionClock
from bus.codec import Command, CommandAnswer, Data, Frame, Greet, Hello, decode_frame, encode_frame, encode_message
from bus.courier import Courier
from bus.node import Node
from bus.routes import COMMANDS, LEASE_ISSUERS, ROUTES, SERVICES, may_publish, senders_to
from bus.runner import Runner
from bus.store import Store
from bus.testing import RecorderCore
from bus.transport import TOPIC_HALT, TOPIC_LEASE, TOPIC_MARKET, TOPIC_STATUS, Received
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY

KINDS: tuple[type[m.Message], ...] = get_args(m.AnyMessage)
TOPICS = (TOPIC_MARKET, TOPIC_STATUS, TOPIC_LEASE, TOPIC_HALT, b"?")


class Wire:
    """A transport whose other end is the test."""

    def __init__(self) -> None:
        self.inbox: list[Received] = []
        self.said: list[tuple[m.ServiceName, bytes, bytes]] = []
        self.answered: list[Frame] = []

    def bind(self) -> None: ...

    def connect(self, peers: Iterable[m.ServiceName]) -> None: ...

    def subscribe(self, publisher: m.ServiceName, *topics: bytes) -> None: ...

    def publish(self, topic: bytes, payload: bytes) -> None: ...

    def send(self, peer: m.ServiceName, payload: bytes) -> bool:
        return True

    def answer(self, routing_id: bytes, payload: bytes) -> None:
        self.answered.append(decode_frame(payload))

    def wait(self, timeout_ms: int) -> bool:
        return False

    def broadcasts(self, limit: int) -> list[tuple[m.ServiceName, bytes, bytes]]:
        said, self.said = self.said, []
        return said

    def received(self, limit: int) -> list[Received]:
        inbox, self.inbox = self.inbox, []
        return inbox

    def answers(self, limit: int) -> list[tuple[m.ServiceName, bytes]]:
        return []

    def refused_connections(self) -> int:
        return 0

    def intruder(self) -> str | None:
        return None

    def close(self) -> None: ...


class Told(RecorderCore):
    """Keeps what reached the core."""

    def __init__(self) -> None:
        self.heard: list[type[m.Message]] = []

    def decide(self, state: Any, message: m.Message, now_ns: int) -> Any:
        self.heard.append(type(message))
        return []


class Desk:
    """One service's courier over a wire of the test's own, its store in memory."""

    def __init__(self, name: m.ServiceName) -> None:
        self.wire, self.core, self.halts = Wire(), Told(), []
        node = Node(
            name,
            Assembly(core=self.core),
            Store(":memory:", "NORMAL"),
            clock=SessionClock(follows_feed=True),
            on_event=lambda _event: None,
        )
        self.courier = Courier(
            node, self.wire, life="b", halt=lambda rule, _: self.halts.append(rule), halt_counter=lambda: 0
        )

    def hear(self, sender: m.ServiceName, *frames: Frame) -> list[Frame]:
        self.wire.answered.clear()
        self.wire.inbox += [Received(sender, sender.encode(), encode_frame(frame)) for frame in frames]
        self.courier.hear_inbox()
        return list(self.wire.answered)


def sample(kind: Any) -> Any:
    """Return a value of a catalogue type: the least that its constraints allow."""
    info = msgspec.inspect.type_info(kind)
    return _sample(info)


def _sample(info: Any) -> Any:
    i = msgspec.inspect
    match info:
        case i.StructType():
            return info.cls(**{f.name: _sample(f.type) for f in info.fields})
        case i.StrType():
            return "SPY" if info.pattern else "x" * (info.min_length or 0)
        case i.IntType():
            return max(info.ge or 0, 0)
        case i.BoolType():
            return False
        case i.LiteralType():
            return info.values[0]
        case i.BytesType():
            return b""
        case i.VarTupleType():
            return ()
        case i.UnionType(types=[*_, i.NoneType()]):
            return None
        case _:
            raise AssertionError(info)


def test_the_samples_cover_the_catalogue() -> None:
    for kind in KINDS:
        assert type(sample(kind)) is kind


@pytest.mark.parametrize("receiver", SERVICES)
def test_every_reliable_pair_is_allowed_or_denied_as_the_table_says(receiver: m.ServiceName) -> None:
    outcomes: dict[tuple[str, str], bool] = {}
    for sender in SERVICES:
        for kind in KINDS:
            desk = Desk(receiver)
            greeting = desk.hear(sender, Hello("", "e", 1, 1, 0))
            if sender in senders_to(receiver):
                assert isinstance(greeting[0], Greet)
                desk.hear(sender, Hello(greeting[0].nonce, "e", 1, 1, 0))
            refused = desk.courier.rejected
            desk.hear(sender, Data("e", 1, 0, encode_message(sample(kind))))
            outcomes[sender, kind.__name__] = desk.core.heard == [kind]
            assert (desk.core.heard == [kind]) == (desk.courier.rejected == refused), (sender, kind)
    assert outcomes == {(s, k.__name__): receiver in ROUTES.get((s, k), ()) for s in SERVICES for k in KINDS}


def test_every_lossy_pair_is_allowed_or_denied_as_the_table_says(tmp_path: Path) -> None:
    paths, wire = HomePaths(tmp_path), Wire()
    paths.make()
    setup = Setup(paths=paths, env=parse(proposals()), identity=DEMO_IDENTITY)
    runner = Runner("execution", setup, wire)
    runner.start(lambda _setup: Assembly(core=Told()))
    for sender in SERVICES:
        for topic in TOPICS:
            for kind in KINDS:
                refused = runner._heartbeat().rejected_messages
                wire.said.append((sender, topic, encode_message(sample(kind))))
                runner.turn()
                is_taken = runner._heartbeat().rejected_messages == refused
                assert is_taken == may_publish(sender, topic, kind), (sender, topic, kind)
    runner.close()


def test_the_lossy_table_says_who_may_do_what() -> None:
    said = {(s, t, k) for s in SERVICES for t in TOPICS for k in KINDS if may_publish(s, t, k)}
    assert {(s, k) for s, t, k in said if t == TOPIC_LEASE} == {(s, m.Lease) for s in LEASE_ISSUERS}
    assert {s for s, t, _ in said if t == TOPIC_MARKET} == {"screener"}
    assert {k for _, t, k in said if t == TOPIC_HALT} == {m.HaltRaised}
    assert {s for s, t, k in said if t == TOPIC_STATUS and k is m.ChainStatus} == {"watchdog"}
    assert {s for s, t, k in said if t == TOPIC_STATUS and k is m.OrderFilled} == {"execution"}
    assert not [pair for pair in said if pair[1] == b"?"]


def test_every_command_pair_is_allowed_or_halts_as_the_table_says() -> None:
    for sender in SERVICES:
        for kind in KINDS:
            desk = Desk("risk")
            answers = desk.hear(sender, Command(encode_message(sample(kind))))
            is_allowed = sender in COMMANDS.get(kind, ())
            assert [type(answer) for answer in answers] == ([CommandAnswer] if is_allowed else [])
            assert desk.halts == ([] if is_allowed else ["forbidden_message"])
