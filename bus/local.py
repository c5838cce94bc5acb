"""The whole chain in one process: the same cores and shells, wired by function calls instead of sockets.

Used for replay at the speed of the hardware and for comparing with the processes. The order is the one lock-step
gives the processes: everybody sees a market message first, then every message that follows is delivered until none is
left, then `settle`, then the next market message.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from bus.actor import Actor, Cause
from bus.assembly import Assembly, Ports
from bus.clock import SessionClock
from bus.decider import Core, Gate, Shell
from bus.messages import (
    ChainArmed,
    FeedEnded,
    MarketMessage,
    Message,
    ServiceName,
    SessionPlanned,
    StatusMessage,
)
from bus.routes import MARKET_PUBLISHER, MARKET_SUBSCRIBERS, SERVICES, peers_of, receivers

S = TypeVar("S")
_DELIVERIES_MAX: Final = 100_000


class OpenGate:
    """In one process there is nobody to grant a lease; the session is armed from its start."""

    def refusal(self, *, reduces: bool) -> str | None:
        """Return None: everything may be sent."""
        return None

    def lapsed_ns(self) -> int:
        """Return 0: there is no lease that could lapse."""
        return 0


class LocalNode(Actor[S]):
    """One service of the chain in one process; what it says waits in memory until it is delivered."""

    #: A replay of a whole market may sell thousands of positions at one moment.
    reports_max = 1_000_000

    def __init__(
        self,
        name: ServiceName,
        assembly: Assembly[S],
        *,
        clock: SessionClock,
        on_event: Callable[[Message], None],
    ) -> None:
        super().__init__(name, assembly, clock=clock, on_event=on_event)
        self.outbox: dict[ServiceName, deque[Message]] = {receiver: deque() for receiver in peers_of(name)}
        #: Where each type of message goes, as far as any was said.
        self._outboxes: dict[type[Message], tuple[deque[Message], ...]] = {}

    def start(self) -> None:
        """Let the shell open what it works with."""
        self._run(self.assembly.shell.on_start(self.state, self.clock.now_ns()))

    def on_reliable(self, message: Message) -> None:
        """Take one message of another service."""
        self.clock.heard(message.ts_event)
        self._run([message])

    def outbox_depth(self) -> int:
        """Return how many messages are not delivered yet."""
        return sum(map(len, self.outbox.values()))

    def _keep(self, events: Sequence[Message], cause: Cause | None) -> Sequence[Message]:
        before_commit = self.assembly.shell.before_commit
        for event in events:
            before_commit(event)
        for event in events:
            outboxes = self._outboxes.get(type(event))
            if outboxes is None:
                outboxes = tuple(self.outbox[receiver] for receiver in receivers(self.name, type(event)))
                self._outboxes[type(event)] = outboxes
            for outbox in outboxes:
                outbox.append(event)
        return events


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
        self.nodes: dict[ServiceName, LocalNode[Any]] = {}
        for name in SERVICES:
            if name not in assemblies:
                continue
            assembly = assemblies[name]
            assembly.attach(Ports(gate or OpenGate(), _ignore_status, _ignore_halt))
            self.nodes[name] = LocalNode(name, assembly, clock=self.clock, on_event=partial(on_event, name))
        self._streams = [
            (outbox, self.nodes.get(receiver))
            for node in self.nodes.values()
            for receiver, outbox in node.outbox.items()
        ]
        for node in self.nodes.values():
            node.start()

    def begin(self, plan: SessionPlanned) -> None:
        """Tell every service that hears of sessions about this one, then arm the chain. Days may follow each other."""
        armed = ChainArmed(ts_event=0, ts_init=0, halt_counter=0, operator="local", reason="played in one process")
        for node in self.nodes.values():
            # The steps of a session's feed count from 1.
            node.step = 0
        for name in receivers("watchdog", SessionPlanned):
            if name in self.nodes:
                self.nodes[name].on_input(plan)
                self._deliver()
        for name in ("strategy", "risk", "execution"):
            if name in self.nodes:
                self.nodes[name].on_input(armed)
        self._deliver()

    def play(self, feed: Iterable[MarketMessage]) -> int:
        """Play a session to its end; return how many market messages it had."""
        steps = 0
        market = [self.nodes[name] for name in MARKET_SUBSCRIBERS if name in self.nodes]
        waking = [node for node in self.nodes.values() if type(node.assembly.shell).on_idle is not Shell.on_idle]
        settling = [node for node in self.nodes.values() if type(node.assembly.core).settle is not Core.settle]
        publisher = self.nodes[MARKET_PUBLISHER]
        for data in feed:
            publisher.step = data.step
            for node in market:
                node.on_market(data)
            self._deliver()
            for node in waking:
                node.on_idle()
            for node in settling:
                node.settle()
            self._deliver()
            steps = data.step if isinstance(data, FeedEnded) else steps + 1
        return steps

    def close(self) -> None:
        """Close shells and stores."""
        for node in self.nodes.values():
            node.assembly.shell.close()

    def _deliver(self) -> None:
        """Deliver until every outbox is empty; senders in the order of SERVICES, each stream in its own order."""
        for _ in range(_DELIVERIES_MAX):
            for outbox, target in self._streams:
                if outbox:
                    message = outbox.popleft()
                    # Who is not in this chain hears nothing.
                    if target is not None:
                        target.on_reliable(message)
                    break
            else:
                return
        raise RuntimeError(f"more than {_DELIVERIES_MAX} deliveries follow from one market message")


def _ignore_halt(_rule: str, _detail: str) -> None:
    return None


def _ignore_status(_message: StatusMessage) -> None:
    return None
