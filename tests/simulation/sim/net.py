"""The simulated net: what one service says reaches another late, twice, in another order, or never."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sim.faults import FaultMix
from sim.host import MS, Host

from bus.messages import ServiceName
from bus.transport import TOPIC_LEASE, TOPIC_MARKET, Received

_QUEUE_MAX: Final = 1000
#: An undisturbed message needs so long.
_FASTEST_NS, _SLOWEST_NS = 50_000, 800_000
#: Heartbeats and status are read when a service looks by itself; waking it for each of them changes nothing.
_WAKING: Final = frozenset({TOPIC_MARKET, TOPIC_LEASE})

T = TypeVar("T")
_ACK: Final = b"\xa1a"
Put = Callable[["SimSockets"], None]


@dataclass
class Net:
    """Every connection of the chain. `heard` is told of each publication before anything can happen to it."""

    host: Host
    mix: FaultMix
    heard: Callable[[ServiceName, bytes, bytes], None]
    #: Told of the market data that execution takes.
    told: Callable[[bytes], None]
    ends: dict[ServiceName, "SimSockets"] = field(default_factory=dict)
    #: What was sent to a service while it was down, and waits in its sender's queue.
    kept: dict[ServiceName, list[Put]] = field(default_factory=dict)
    #: (sender, receiver) -> until when nothing gets through.
    cuts: dict[tuple[ServiceName, ServiceName], int] = field(default_factory=dict)

    def carry(self, sender: "SimSockets", receiver: ServiceName, put: Put, *, keeps: bool) -> None:
        """Draw what becomes of a message."""
        host, mix = self.host, self.mix
        if self.cuts.get((sender.name, receiver), 0) > host.boot_ns() or host.chance(mix.loss):
            return
        for _ in range(2 if host.chance(mix.duplicate) else 1):
            delay = host.between(_FASTEST_NS, _SLOWEST_NS)
            if host.chance(mix.delay):
                delay += host.between(2 * MS, mix.delay_ms_max * MS)
            host.after(delay, f"{sender.name}>{receiver}", lambda: self._arrive(sender, receiver, put, keeps))

    def _arrive(self, sender: "SimSockets", receiver: ServiceName, put: Put, keeps: bool) -> None:
        # What was on its way when either end died may be lost with the connection.
        if sender.is_closed and self.host.chance(0.5):
            return
        end = self.ends.get(receiver)
        if end is not None:
            put(end)
        elif keeps and self.host.chance(0.5) and len(self.kept.setdefault(receiver, [])) < _QUEUE_MAX:
            self.kept[receiver].append(put)

    def open(self, end: "SimSockets") -> None:
        self.ends[end.name] = end
        for put in self.kept.pop(end.name, []):
            put(end)

    def close(self, end: "SimSockets") -> None:
        end.is_closed = True
        if self.ends.get(end.name) is end:
            del self.ends[end.name]


class SimSockets:
    """The sockets of one life of one service: a bus.transport.Transport.

    Args:
        wake: called when something arrived that the service should not let wait.
    """

    def __init__(self, name: ServiceName, life: int, net: Net, wake: Callable[[], None]) -> None:
        self.name = name
        self.is_closed = False
        self.topics: dict[ServiceName, frozenset[bytes]] = {}
        self._me = f"{name}#{life}".encode()
        self._net = net
        self._wake = wake
        self._inbox: deque[Received] = deque()
        self._answers: deque[tuple[ServiceName, bytes]] = deque()
        self._broadcasts: deque[tuple[ServiceName, bytes, bytes]] = deque()

    def bind(self) -> None:
        self._net.open(self)

    def connect(self, peers: Iterable[ServiceName]) -> None:
        return

    def subscribe(self, publisher: ServiceName, *topics: bytes) -> None:
        self.topics[publisher] = frozenset(topics)

    def publish(self, topic: bytes, payload: bytes) -> None:
        self._net.heard(self.name, topic, payload)
        item = (self.name, topic, payload)
        for end in list(self._net.ends.values()):
            if topic in end.topics.get(self.name, ()):
                self._net.carry(self, end.name, lambda other: other.put_broadcast(item), keeps=False)

    def send(self, peer: ServiceName, payload: bytes) -> bool:
        item = Received(self.name, self._me, payload)
        self._net.carry(self, peer, lambda end: end.put_inbox(item), keeps=True)
        return True

    def answer(self, routing_id: bytes, payload: bytes) -> None:
        name, item = routing_id.split(b"#")[0].decode(), (self.name, payload)
        for end in list(self._net.ends.values()):
            if end.name == name and end._me == routing_id:
                self._net.carry(self, end.name, lambda other: other.put_answer(routing_id, item), keeps=False)

    def put_broadcast(self, item: tuple[ServiceName, bytes, bytes]) -> None:
        if item[1] in self.topics.get(item[0], ()) and len(self._broadcasts) < _QUEUE_MAX:
            self._broadcasts.append(item)
            if item[1] in _WAKING:
                self._wake()

    def put_inbox(self, item: Received) -> None:
        if len(self._inbox) < _QUEUE_MAX:
            self._inbox.append(item)
            self._wake()

    def put_answer(self, routing_id: bytes, item: tuple[ServiceName, bytes]) -> None:
        if routing_id == self._me and len(self._answers) < _QUEUE_MAX:
            self._answers.append(item)
            # Acknowledgements can wait until the service looks; what else is answered opens or stops a stream.
            if item[1][1:3] != _ACK:
                self._wake()

    def wait(self, timeout_ms: int) -> bool:
        return bool(self._inbox or self._answers or self._broadcasts)

    def broadcasts(self, limit: int) -> list[tuple[ServiceName, bytes, bytes]]:
        taken = _taken(self._broadcasts, limit * 6)
        if self.name == "execution":
            for _, topic, payload in taken:
                if topic == TOPIC_MARKET:
                    self._net.told(payload)
        return taken

    def received(self, limit: int) -> list[Received]:
        return _taken(self._inbox, limit)

    def answers(self, limit: int) -> list[tuple[ServiceName, bytes]]:
        return _taken(self._answers, limit * 6)

    def refused_connections(self) -> int:
        return 0

    def intruder(self) -> str | None:
        return None

    def close(self) -> None:
        self._net.close(self)


def _taken(queue: deque[T], limit: int) -> list[T]:
    if len(queue) <= limit:
        found = list(queue)
        queue.clear()
        return found
    return [queue.popleft() for _ in range(limit)]
