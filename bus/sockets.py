"""ZeroMQ only: bound and connected sockets, each with CURVE keys, size limits and time limits."""

import os
import select
import time
from collections.abc import Iterable
from typing import Final

import zmq

from bus.break_in import Door, break_ins
from bus.codec import FRAME_BYTES_MAX
from bus.endpoints import Endpoints
from bus.keys import ZAP_DOMAIN, KeyRing, ZapGuard
from bus.messages import ServiceName
from bus.routes import LEASE_HOLDER, LEASE_ISSUERS, MARKET_PUBLISHER, MARKET_SUBSCRIBERS, STATUS_SUBSCRIBERS
from bus.transport import TOPIC_HALT, TOPIC_LEASE, TOPIC_MARKET, TOPIC_STATUS, Received

_QUEUE_MAX: Final = 1000
_HANDSHAKE_MS: Final = 2000
# As numbers: arithmetic with pyzmq's own enumerations costs more than the question to the socket.
_READABLE: Final = int(zmq.POLLIN)
_EVENTS: Final = int(zmq.EVENTS)
_AT_ONCE: Final = int(zmq.NOBLOCK)
_NOT_LAST: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
_TOPIC_BYTES: Final = 1
#: The connection a message came on, where it is answered, and the message.
_Message = tuple[bytes, zmq.Frame]


class BindError(Exception):
    """An address of the bus is taken or cannot be used; the message says which and what to do."""


def topics_between(listener: ServiceName, publisher: ServiceName) -> tuple[bytes, ...]:
    """Return which topics of one service another one listens to, by the routes; empty for itself."""
    if listener == publisher:
        return ()
    topics = []
    if publisher == MARKET_PUBLISHER and listener in MARKET_SUBSCRIBERS:
        topics.append(TOPIC_MARKET)
    # The feed of a recorded session begins when the watchdog says that the chain is active, and a live one watches
    # what risk says is held.
    if listener in STATUS_SUBSCRIBERS or (listener == MARKET_PUBLISHER and publisher in ("watchdog", "risk")):
        topics.append(TOPIC_STATUS)
    if listener == LEASE_HOLDER and publisher in LEASE_ISSUERS:
        topics.append(TOPIC_LEASE)
    # Any service may halt the chain, and every other one is told at once.
    topics.append(TOPIC_HALT)
    return tuple(topics)


class BusSockets:
    """All sockets of one service: inbox and publisher bound, one DEALER to each peer, one SUB to each publisher."""

    def __init__(self, ring: KeyRing, endpoints: Endpoints) -> None:
        self._ring = ring
        self._endpoints = endpoints
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._guard = ZapGuard(self._context, ring)
        self._inbox: zmq.Socket[bytes] | None = None
        self._publisher: zmq.Socket[bytes] | None = None
        self._peers: dict[ServiceName, zmq.Socket[bytes]] = {}
        self._receivers: dict[zmq.Socket[bytes], ServiceName] = {}
        self._subscriptions: dict[zmq.Socket[bytes], ServiceName] = {}
        # ZeroMQ's own poll asks every socket twice, with two system calls each; this is one call for all of them.
        self._poll = select.poll()
        self._by_descriptor: dict[int, zmq.Socket[bytes] | None] = {}
        #: What was used since the last wait; what can be read; and what `wait` has read already: see there.
        self._used: set[zmq.Socket[bytes]] = set()
        self._ready: set[zmq.Socket[bytes]] = set()
        self._first: dict[zmq.Socket[bytes], _Message] = {}
        self._inodes: dict[str, int] = {}

    def bind(self) -> None:
        """Bind inbox and publisher, then try to break into both.

        Raises:
            BindError: an address is in use, or lets a stranger in.
        """
        self._inbox = self._bound(zmq.ROUTER, "inbox")
        self._listen_to(self._inbox)
        self._publisher = self._bound(zmq.PUB, "pub")
        address = self._endpoints.address
        doors = (
            Door(address(self._ring.service, "inbox"), zmq.DEALER),
            Door(address(self._ring.service, "pub"), zmq.SUB),
        )
        faults = break_ins(doors, self._ring)
        if faults:
            raise BindError(
                f"The bus of {self._ring.service} is not safe to use: {'; '.join(faults)}. Nothing was started. "
                "Check that pyzmq and libzmq are the versions of requirements.lock (make setup)."
            )
        self._guard.begin_counting()

    def connect(self, peers: Iterable[ServiceName]) -> None:
        """Open a DEALER to the inbox of each peer; peers need not be up yet."""
        for peer in peers:
            socket = self._connected(zmq.DEALER, peer, self._endpoints.address(peer, "inbox"))
            self._peers[peer] = socket
            self._receivers[socket] = peer
            self._listen_to(socket)

    def subscribe(self, publisher: ServiceName, *topics: bytes) -> None:
        """Listen to topics of one publisher, on a socket of its own: the socket is who it is."""
        socket = self._connected(zmq.SUB, publisher, self._endpoints.address(publisher, "pub"))
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._subscriptions[socket] = publisher
        self._listen_to(socket)

    def publish(self, topic: bytes, payload: bytes) -> None:
        """Publish without waiting; a slow subscriber loses messages.

        The topic, one byte, and the payload are one frame: a second one would be encrypted for every subscriber, too.
        """
        if self._publisher is not None:
            self._publisher.send(topic + payload)

    def send(self, peer: ServiceName, payload: bytes) -> bool:
        """Send to a peer's inbox without waiting; False when its queue is full, and delivery repeats later."""
        socket = self._peers[peer]
        self._used.add(socket)
        try:
            socket.send(payload, _AT_ONCE)
        except zmq.Again:
            return False
        return True

    def answer(self, routing_id: bytes, payload: bytes) -> None:
        """Answer on the connection a message came from; dropped when that is gone, and asked for again."""
        if self._inbox is not None:
            self._used.add(self._inbox)
            self._inbox.send(routing_id, _NOT_LAST)
            self._inbox.send(payload, _AT_ONCE)

    def also_wait_for(self, descriptor: int) -> None:
        """Let `wait` end, too, when this file descriptor can be read; whoever owns it reads it empty."""
        self._by_descriptor[descriptor] = None
        self._poll.register(descriptor, select.POLLIN)

    def wait(self, timeout_ms: int) -> bool:
        """Wait until something arrives; False after the time.

        A socket's descriptor tells of news for the socket, which may be a message or not, and tells it once: whoever
        sends or reads may take the news in passing. So what was used since the last wait is asked before this one. To
        ask costs as much as to read. So what the descriptors tell of is read at once, one message of each socket, and
        is not asked whether there are more before the next wait; where there are, all of them are read together.
        """
        if self._used or self._ready:
            self._ready = {socket for socket in self._used | self._ready if _has_more(socket)}
            self._used.clear()
        has_come = self._has_news(0 if self._ready or self._first else timeout_ms)
        if has_come or timeout_ms <= 0:
            return has_come
        end = time.monotonic() + timeout_ms / 1000
        while not has_come and (left := end - time.monotonic()) > 0:
            has_come = self._has_news(left * 1000)
        return has_come

    def _has_news(self, timeout_ms: float) -> bool:
        """Wait once, and tell whether anything can be read; it may have been news of another kind."""
        is_outside = False
        for descriptor, _ in self._poll.poll(timeout_ms):
            socket = self._by_descriptor[descriptor]
            if socket is None:
                is_outside = True
            elif socket not in self._first and socket not in self._ready:
                message = self._read(socket)
                if message is not None:
                    self._first[socket] = message
        return is_outside or bool(self._ready or self._first)

    def _read(self, socket: zmq.Socket[bytes]) -> _Message | None:
        """Return the next message, if there is one; what comes in more frames than ours have is dropped."""
        routing_id = b""
        while True:
            try:
                if socket is self._inbox:
                    routing_id = socket.recv(_AT_ONCE)
                frame = socket.recv(_AT_ONCE, copy=False)
            except zmq.Again:
                return None
            if not frame.more:
                return routing_id, frame
            while socket.getsockopt(zmq.RCVMORE):
                socket.recv()

    def _waiting(self, socket: zmq.Socket[bytes], limit: int) -> Iterable[_Message]:
        """Return up to `limit` messages of a socket; one that `wait` has read, or as many as there are."""
        if socket in self._first:
            self._used.add(socket)
            return (self._first.pop(socket),)
        found: list[_Message] = []
        while socket in self._ready and len(found) < limit:
            message = self._read(socket)
            if message is not None:
                found.append(message)
            if not _has_more(socket):
                self._ready.discard(socket)
        return found

    def broadcasts(self, limit: int) -> list[tuple[ServiceName, bytes, bytes]]:
        """Return up to `limit` (publisher, topic, payload) of each subscription that are waiting."""
        found: list[tuple[ServiceName, bytes, bytes]] = []
        for socket in (*self._first, *self._ready):
            publisher = self._subscriptions.get(socket)
            if publisher is None:
                continue
            for _, frame in self._waiting(socket, limit):
                said = frame.bytes
                found.append((publisher, said[:_TOPIC_BYTES], said[_TOPIC_BYTES:]))
        return found

    def received(self, limit: int) -> list[Received]:
        """Return up to `limit` messages that wait in the inbox."""
        found: list[Received] = []
        if self._inbox is None:
            return found
        for routing_id, frame in self._waiting(self._inbox, limit):
            sender = self._ring.owners.get(str(frame.get("User-Id")))
            found.append(Received(sender, routing_id, frame.bytes))
        return found

    def answers(self, limit: int) -> list[tuple[ServiceName, bytes]]:
        """Return up to `limit` answers from each peer."""
        found: list[tuple[ServiceName, bytes]] = []
        for socket in (*self._first, *self._ready):
            peer = self._receivers.get(socket)
            if peer is not None:
                found += [(peer, frame.bytes) for _, frame in self._waiting(socket, limit)]
        return found

    def intruder(self) -> str | None:
        """Return which of our socket files is gone or was replaced: a second bind of an ipc path steals it silently."""
        for path, inode in self._inodes.items():
            try:
                is_ours = os.stat(path).st_ino == inode
            except OSError:
                is_ours = False
            if not is_ours:
                return f"the socket {path} of {self._ring.service} was removed or taken by another process"
        return None

    def refused_connections(self) -> int:
        """Return how many connections were refused since the start, because their key is unknown."""
        return self._guard.refused

    def close(self) -> None:
        """Close everything; unsent messages stay in the outbox on disk."""
        self._guard.close()
        self._context.destroy(linger=0)

    def _listen_to(self, socket: zmq.Socket[bytes]) -> None:
        """Let `wait` end when this socket can be read."""
        descriptor = int(socket.get(zmq.FD))
        self._by_descriptor[descriptor] = socket
        self._poll.register(descriptor, select.POLLIN)
        self._used.add(socket)

    def _bound(self, kind: int, channel: str) -> zmq.Socket[bytes]:
        socket = self._socket(kind)
        socket.curve_server = True
        socket.curve_secretkey = self._ring.secret
        socket.curve_publickey = self._ring.public[self._ring.service]
        socket.zap_domain = ZAP_DOMAIN.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        address = self._endpoints.address(self._ring.service, "inbox" if channel == "inbox" else "pub")
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            socket.close()
            raise BindError(
                f"The bus address {address} of {self._ring.service} cannot be used: {error.strerror}. Is another chain "
                "running here? Stop it, or set BUS_TCP_PORT or TRADEBOT_HOME to another place."
            ) from error
        path = address.removeprefix("ipc://")
        if path != address:
            self._inodes[path] = os.stat(path).st_ino
        return socket

    def _connected(self, kind: int, server: ServiceName, address: str) -> zmq.Socket[bytes]:
        socket = self._socket(kind)
        socket.curve_serverkey = self._ring.public[server]
        socket.curve_secretkey = self._ring.secret
        socket.curve_publickey = self._ring.public[self._ring.service]
        socket.connect(address)
        return socket

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        socket.setsockopt(zmq.SNDHWM, _QUEUE_MAX)
        socket.setsockopt(zmq.RCVHWM, _QUEUE_MAX)
        return socket


def _has_more(socket: zmq.Socket[bytes]) -> bool:
    """Ask the socket itself; it costs less than the exception of a receive that finds nothing."""
    return bool(int(socket.get(_EVENTS)) & _READABLE)
