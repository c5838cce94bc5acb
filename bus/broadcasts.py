"""What a service hears on the lossy topics: checked at the door, and kept in order while the loop waits for somebody.

While a call into the world outside is waited for, only leases and halts are taken; market data and status stay here,
in their order, for the next turn of the loop.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from bus.codec import MalformedMessageError, decode_message
from bus.messages import FeedEnded, HaltRaised, Lease, Message, PastBars, ServiceName
from bus.routes import may_publish
from bus.transport import TOPIC_HALT, TOPIC_MARKET, Transport

#: So many messages are taken from the socket at once.
_BATCH: Final = 64
#: So many wait for the next turn of the loop; of more than that the oldest are dropped, as a full socket would.
KEPT_MAX: Final = 256
_log = logging.getLogger(__name__)

#: Refuse what somebody has sent: (sender, why, the bytes).
Reject = Callable[[str, MalformedMessageError, bytes], None]
#: A publisher, a topic, and bytes.
Arrived = tuple[ServiceName, bytes, bytes]


class Broadcast(NamedTuple):
    """A message that its publisher may say on this topic."""

    publisher: ServiceName
    topic: bytes
    message: Message

    @property
    def is_urgent(self) -> bool:
        """Tell whether it says who may send an order: a lease, or the notice of a halt."""
        return isinstance(self.message, Lease) or (isinstance(self.message, HaltRaised) and self.topic == TOPIC_HALT)


class Broadcasts:
    """Takes what was published to this service.

    Args:
        sockets: where it arrives.
        reject: told of what is no message, or not one that its sender may say.
    """

    def __init__(self, sockets: Transport, reject: Reject) -> None:
        self._sockets = sockets
        self._reject = reject
        self._kept: deque[Broadcast] = deque()
        self._step = 0
        #: How many were dropped because too much came while the loop waited.
        self.dropped = 0
        #: How often numbers of market data were missing: a message was dropped on its way, here or in the socket.
        self.holes = 0

    def heard(self) -> Iterable[Broadcast]:
        """Return the leases and halts that have arrived, then everything else in its order, what was kept first."""
        arrived = self._sockets.broadcasts(_BATCH)
        return self._in_order(arrived) if arrived or self._kept else ()

    def _in_order(self, arrived: Sequence[Arrived]) -> Iterator[Broadcast]:
        yield from self._urgent_of(arrived)
        # Whoever takes one of these may wait for somebody outside meanwhile, and then more of them are kept.
        for _ in range(len(self._kept)):
            broadcast = self._kept.popleft()
            if broadcast.topic == TOPIC_MARKET:
                self._count(broadcast.message)
            yield broadcast

    def _count(self, message: Message) -> None:
        """Look whether numbers are missing before this message. The first one, and one that begins anew, miss none."""
        step = getattr(message, "step", 0)
        begins = not self._step or step == 1 or (isinstance(message, PastBars) and message.begins)
        if not begins and step > self._step + 1:
            self.holes += 1
            _log.warning("market data: numbers %d to %d were not heard", self._step + 1, step - 1)
        # After the end of a feed the next one has numbers of its own.
        self._step = 0 if isinstance(message, FeedEnded) else max(step, 0 if begins else self._step)

    def urgent_by_now(self) -> Iterator[Broadcast]:
        """Look what has arrived since the loop's own wait, and return the leases and halts of it."""
        self._sockets.wait(0)
        yield from self.urgent()

    def urgent(self) -> Iterator[Broadcast]:
        """Return the leases and halts that have arrived, and keep everything else for `heard`."""
        yield from self._urgent_of(self._sockets.broadcasts(_BATCH))

    def _urgent_of(self, arrived: Sequence[Arrived]) -> Iterator[Broadcast]:
        for broadcast in filter(None, map(self._checked, arrived)):
            if broadcast.is_urgent:
                yield broadcast
                continue
            self._kept.append(broadcast)
            if len(self._kept) > KEPT_MAX:
                self._kept.popleft()
                if not self.dropped:
                    _log.warning("more than %d messages came while the loop waited: the oldest are dropped", KEPT_MAX)
                self.dropped += 1

    def _checked(self, arrived: Arrived) -> Broadcast | None:
        publisher, topic, payload = arrived
        try:
            message = decode_message(payload)
        except MalformedMessageError as error:
            self._reject(publisher, error, payload)
            return None
        if not may_publish(publisher, topic, type(message)):
            words = f"{publisher} may not publish {type(message).__name__} on {topic.decode()}"
            self._reject(publisher, MalformedMessageError(words), payload)
            return None
        return Broadcast(publisher, topic, message)
