"""What every test over real sockets begins with: a home with keys, and other services around the one that is tested."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from bus.assembly import Setup
from bus.codec import Frame, decode_frame, decode_message, encode_frame, encode_message
from bus.control import ControlFolder
from bus.endpoints import Endpoints
from bus.keys import KeyRing
from bus.messages import HaltRaised, Heartbeat, Message, ServiceName
from bus.sockets import BusSockets
from bus.transport import TOPIC_HALT, TOPIC_STATUS
from config.env_bot import parse, proposals
from config.paths import HomePaths
from config.vault import CurvePair
from replay.session import DEMO_IDENTITY

T = TypeVar("T")
DEADLINE_S = 10.0


class Peer(ABC):
    """Another service of the chain, with its own key: what it hears of the tested service is kept.

    What it makes of frames differs: each kind of peer says so in `hear_frame` and `hear_answer`.
    """

    def __init__(self, name: ServiceName, rig: "Rig[Peer]") -> None:
        self.name = name
        self.tested = rig.tested
        self.halts: list[HaltRaised] = []
        self.beats: list[Heartbeat] = []
        self._routing_ids: dict[ServiceName | None, bytes] = {}
        self._sockets = BusSockets(rig.ring(name), Endpoints(rig.paths))
        self._sockets.bind()
        self._sockets.connect([self.tested])
        self._sockets.subscribe(self.tested, TOPIC_STATUS, TOPIC_HALT)

    def send(self, frame: Frame | bytes) -> None:
        """Send to the inbox of the tested service."""
        assert self._sockets.send(self.tested, frame if isinstance(frame, bytes) else encode_frame(frame))

    def reply(self, frame: Frame | bytes) -> None:
        """Answer what the tested service has sent."""
        routing_id = self._routing_ids[self.tested]
        self._sockets.answer(routing_id, frame if isinstance(frame, bytes) else encode_frame(frame))

    def publish(self, topic: bytes, message: Message | bytes) -> None:
        self._sockets.publish(topic, message if isinstance(message, bytes) else encode_message(message))

    def hear(self) -> None:
        """Take what has arrived, waiting a little for it."""
        self._sockets.wait(10)
        for _, payload in self._sockets.answers(100):
            self.hear_answer(decode_frame(payload))
        for _, topic, payload in self._sockets.broadcasts(100):
            message = decode_message(payload)
            if isinstance(message, Heartbeat):
                self.beats.append(message)
            elif isinstance(message, HaltRaised) and topic == TOPIC_HALT:
                self.halts.append(message)
        for item in self._sockets.received(100):
            assert item.sender == self.tested
            self._routing_ids[item.sender] = item.routing_id
            self.hear_frame(decode_frame(item.payload))

    @abstractmethod
    def hear_frame(self, frame: Frame) -> None:
        """Take a frame that came into the inbox."""

    @abstractmethod
    def hear_answer(self, frame: Frame) -> None:
        """Take an answer to what was sent."""

    def heard(self) -> str:
        """Say what a person should see of this peer when something did not come."""
        return f"last beat {self.beats[-1:]}"

    def until(self, found: Callable[[], T | None], what: str, doing: Callable[[], None] = lambda: None) -> T:
        """Listen, and repeat `doing`, until something is found."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            if value := found():
                return value
            doing()
            self.hear()
        raise AssertionError(f"{self.name}: no {what}; {self.heard()}")

    def close(self) -> None:
        self._sockets.close()


PeerT = TypeVar("PeerT", bound=Peer)


class Rig(Generic[PeerT]):
    """The home of the tested service, and the other services around it, all of one kind of peer."""

    tested: ServiceName
    kind_of_peer: type[PeerT]

    def __init__(self, paths: HomePaths, pairs: dict[str, CurvePair]) -> None:
        self.paths = paths
        self.control = ControlFolder(paths)
        self._pairs = pairs
        self._peers: list[PeerT] = []

    def setup(self, **settings: str) -> Setup:
        return Setup(paths=self.paths, env=parse(proposals() | settings), identity=DEMO_IDENTITY)

    def ring(self, name: ServiceName) -> KeyRing:
        return KeyRing.of(name, self._pairs)

    def peer(self, name: ServiceName) -> PeerT:
        peer = self.kind_of_peer(name, self)
        self._peers.append(peer)
        return peer

    def close_peers(self) -> None:
        for peer in self._peers:
            peer.close()
        self._peers.clear()
