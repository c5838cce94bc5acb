"""The whole chain in one process: the same cores and shells, wired by function calls instead of sockets.

Used for replay at the speed of the hardware and for comparing with the processes. The order is the one lock-step
gives the processes: everybody sees a market message first, then every message that follows is delivered until none is
left, then `settle`, then the next market message.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from bus.assembly import Assembly, Gate, Ports
from bus.clock import SessionClock
from bus.codec import decode_message
from bus.messages import (
    ChainArmed,
    FeedEnded,
    MarketMessage,
    Message,
    ServiceName,
    SessionPlanned,
    StatusMessage,
)
from bus.node import Node
from bus.routes import MARKET_PUBLISHER, MARKET_SUBSCRIBERS, SERVICES, receivers
from bus.store import Store

_DELIVERIES_MAX: Final = 100_000


class OpenGate:
    """In one process there is nobody to grant a lease; the session is armed from its start."""

    def refusal(self, *, reduces: bool) -> str | None:
        """Return None: everything may be sent."""
        return None

    def lapsed_ns(self) -> int:
        """Return 0: there is no lease that could lapse."""
        return 0


class LocalChain:
    """A chain of nodes in one process.

    Args:
        assemblies: each service's core and shell.
        on_event: called with (service, event) for each committed event.
        gate: what stands before the broker; open unless a test closes it.
    """

    def __init__(
        self,
        assemblies: Mapping[ServiceName, Assembly[Any]],
        on_event: Callable[[ServiceName, Message], None],
        gate: Gate | None = None,
    ) -> None:
        self.clock = SessionClock(follows_feed=True)
        self.nodes: dict[ServiceName, Node[Any]] = {}
        for name in SERVICES:
            if name not in assemblies:
                continue
            assembly = assemblies[name]
            assembly.attach(Ports(gate or OpenGate(), _ignore_status, _ignore_halt))
            self.nodes[name] = Node(
                name,
                assembly,
                Store(":memory:", "NORMAL"),
                clock=self.clock,
                on_event=functools.partial(on_event, name),
            )
        for node in self.nodes.values():
            for link in node.links.values():
                link.is_welcome = True
            node.start()

    def begin(self, plan: SessionPlanned) -> None:
        """Tell every service that hears of sessions about this one, then arm the chain. Days may follow each other."""
        armed = ChainArmed(ts_event=0, ts_init=0, halt_counter=0, operator="local", reason="played in one process")
        for name, node in self.nodes.items():
            # Each session's feed counts its steps from 1.
            node.step = 0
            if name in receivers("watchdog", SessionPlanned):
                node.on_input(plan)
                self._deliver()
        for name in ("strategy", "risk", "execution"):
            if name in self.nodes:
                self.nodes[name].on_input(armed)
        self._deliver()

    def play(self, feed: Iterable[MarketMessage]) -> int:
        """Play a session to its end; return how many market messages it had."""
        steps = 0
        for data in feed:
            self.nodes[MARKET_PUBLISHER].step = data.step
            for name in MARKET_SUBSCRIBERS:
                if name in self.nodes:
                    self.nodes[name].on_market(data)
            self._deliver()
            for node in self.nodes.values():
                node.on_idle()
                node.settle()
            self._deliver()
            steps = data.step if isinstance(data, FeedEnded) else steps + 1
        return steps

    def close(self) -> None:
        """Close shells and stores."""
        for node in self.nodes.values():
            node.assembly.shell.close()
            node.close()

    def _deliver(self) -> None:
        """Deliver until every outbox is empty; senders in the order of SERVICES, each stream in its own order."""
        for _ in range(_DELIVERIES_MAX):
            if not any(self._deliver_one(name, node) for name, node in self.nodes.items()):
                return
        raise RuntimeError(f"more than {_DELIVERIES_MAX} deliveries follow from one market message")

    def _deliver_one(self, sender: ServiceName, node: Node[Any]) -> bool:
        for receiver, link in node.links.items():
            target = next((n for name, n in self.nodes.items() if name == receiver), None)
            if not link.rows:
                continue
            row = link.rows[0]
            if target is not None:
                target.on_reliable(sender, node.epoch, row.seq, decode_message(row.payload))
                node.heard_ack(target.name, node.epoch, row.seq)
            else:
                link.heard_ack(row.seq, 0)
            return True
        return False


def _ignore_halt(_rule: str, _detail: str) -> None:
    return None


def _ignore_status(_message: StatusMessage) -> None:
    return None
