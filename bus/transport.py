"""What carries bytes between services, as the runtime sees it: ZeroMQ in production, a simulated net in tests."""

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from bus.messages import ServiceName

TOPIC_MARKET: Final = b"m"
TOPIC_STATUS: Final = b"s"
TOPIC_LEASE: Final = b"l"
TOPIC_HALT: Final = b"h"


class Received(NamedTuple):
    """One message from an inbox: the sender by its key (None = not a key of ours) and the bytes."""

    sender: ServiceName | None
    routing_id: bytes
    payload: bytes


class Transport(Protocol):
    """The sockets of one service. Nothing here waits but `wait`; what cannot be sent is dropped and repeated later."""

    def bind(self) -> None:
        """Open the inbox and the publisher.

        Raises:
            bus.sockets.BindError: an address is in use, or a stranger could break in.
        """
        ...

    def connect(self, peers: Iterable[ServiceName]) -> None:
        """Open a connection to the inbox of each peer; peers need not be up yet."""
        ...

    def subscribe(self, publisher: ServiceName, *topics: bytes) -> None:
        """Listen to topics of one publisher."""
        ...

    def publish(self, topic: bytes, payload: bytes) -> None:
        """Publish without waiting; a slow subscriber loses messages."""
        ...

    def send(self, peer: ServiceName, payload: bytes) -> bool:
        """Send to a peer's inbox; False when its queue is full."""
        ...

    def answer(self, routing_id: bytes, payload: bytes) -> None:
        """Answer on the connection that a message came from."""
        ...

    def wait(self, timeout_ms: int) -> bool:
        """Wait until something arrives; False after the time."""
        ...

    def broadcasts(self, limit: int) -> list[tuple[ServiceName, bytes, bytes]]:
        """Return up to `limit` waiting (publisher, topic, payload) of each subscription."""
        ...

    def received(self, limit: int) -> list[Received]:
        """Return up to `limit` messages that wait in the inbox."""
        ...

    def answers(self, limit: int) -> list[tuple[ServiceName, bytes]]:
        """Return up to `limit` answers from each peer."""
        ...

    def intruder(self) -> str | None:
        """Return in words what is wrong with our own addresses, or None: another process may have taken one."""
        ...

    def refused_connections(self) -> int:
        """Return how many connections were refused since the start, because their key is unknown."""
        ...

    def close(self) -> None:
        """Close everything."""
        ...
