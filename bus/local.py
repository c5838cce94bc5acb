"""The whole chain in one process: the same cores and shells, wired by function calls instead of sockets.

Used for replay at the speed of the hardware and for comparing with the processes. The order is the one lock-step
gives the processes: everybody sees a market message first, then every message that follows is delivered until none is
left, then `settle`, then the next market message.
"""

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from bus.actor import Actor, Cause
from bus.ahead import Ahead, Block, blocks_of, foreseeing
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
    StreamResolved,
)
from bus.routes import MARKET_PUBLISHER, MARKET_SUBSCRIBERS, SERVICES, peers_of, receivers

S = TypeVar("S")
_DELIVERIES_MAX: Final = 100_000
#: Market data alone decides what this service says, so in a replay it hears of it before the others do.
_EARLY: Final[ServiceName] = "strategy"
#: So many objects more than before are made before Python looks for cycles among them.
_COLLECTED_AFTER: Final = 200_000
#: Events that mean something to the runtime itself.
_OF_THE_RUNTIME: Final = frozenset({SessionPlanned, StreamResolved})
#: How many messages are looked ahead at first; more each time that they could all be heard at once.
_AHEAD_MIN: Final = 16


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
        shell = assembly.shell
        #: What is done around a commit, and for which types of events; None = any.
        does_before = type(shell).before_commit is not Shell.before_commit
        does_after = type(shell).after_commit is not Shell.after_commit
        self._prepares = shell.prepares if does_before else frozenset()
        self._acts_on = shell.acts_on if does_after else frozenset()
        self._fold = assembly.core.evolve
        self._foreseeing_core = foreseeing(assembly.core)
        self._foreseeing_shell = foreseeing(shell)

    def start(self) -> None:
        """Let the shell open what it works with."""
        self._run(self.assembly.shell.on_start(self.state, self.clock.now_ns()))

    def begin(self) -> None:
        """Begin a session: the steps of its feed count from 1."""
        self.step = 0

    def on_reliable(self, message: Message) -> None:
        """Take one message of another service."""
        clock = self.clock
        clock.heard(message.ts_event)
        self.follow(self.assembly.core.decide(self.state, message, clock.now_ns()))

    def outbox_depth(self) -> int:
        """Return how many messages are not delivered yet."""
        return sum(map(len, self.outbox.values()))

    @property
    def foresees(self) -> bool:
        """Tell whether core and shell can say how long they will only listen."""
        listens = self._foreseeing_shell is not None or type(self.assembly.shell).on_market is Shell.on_market
        return listens and self._foreseeing_core is not None

    def quiet_for(self, ahead: Ahead) -> int:
        """Return how many of the next messages this service would only hear."""
        if self._foreseeing_core is None:
            return 0
        count = self._foreseeing_core.quiet_for(self.state, ahead)
        if count and self._foreseeing_shell is not None:
            count = self._foreseeing_shell.quiet_for(self.state, ahead if count == len(ahead) else ahead.first(count))
        return count

    def let_pass(self, ahead: Ahead) -> None:
        """Hear messages of which `quiet_for` has said that they would only be heard."""
        last = ahead.last
        self.step = last.step
        self.clock.heard(last.ts_event)
        if self._foreseeing_core is not None:
            self.state = self._foreseeing_core.let_pass(self.state, ahead)
        if self._foreseeing_shell is not None:
            self._foreseeing_shell.let_pass(self.state, ahead)

    def _keep(self, events: Sequence[Message], cause: Cause | None) -> Sequence[Message]:
        prepares = self._prepares
        if prepares is None or prepares:
            for event in events:
                if prepares is None or type(event) in prepares:
                    self.assembly.shell.before_commit(event)
        self._post(events)
        return events

    def _commit(self, events: Sequence[Message], cause: Cause | None) -> Iterator[Message] | None:
        """Do as every actor does; there is no process that could die between, and so no point to do it at."""
        events = self._keep(events, cause)
        for event in events:
            if type(event) in _OF_THE_RUNTIME:
                super()._evolve(event)
            else:
                self.state = self._fold(self.state, event)
            self._on_event(event)
        acts_on = self._acts_on
        acting = events if acts_on is None else [event for event in events if type(event) in acts_on] if acts_on else ()
        if not acting:
            return None
        after_commit, now_ns = self.assembly.shell.after_commit, self.clock.now_ns()
        for done, event in enumerate(acting, 1):
            if reports := after_commit(self.state, event, now_ns):
                return self._effects(reports, acting[done:])
        return None

    def _post(self, events: Sequence[Message]) -> None:
        """Put events into the outboxes of those who hear of them."""
        for event in events:
            outboxes = self._outboxes.get(type(event))
            if outboxes is None:
                hearing = receivers(self.name, type(event))
                outboxes = tuple(self.outbox[receiver] for receiver in hearing if receiver in self.outbox)
                self._outboxes[type(event)] = outboxes
            for outbox in outboxes:
                outbox.append(event)


class EarlyNode(LocalNode[S]):
    """A service that nobody but the market tells anything during a session: it decides before its time.

    What it decides is said when the message comes that it was decided on.
    """

    def __init__(
        self,
        name: ServiceName,
        assembly: Assembly[S],
        *,
        clock: SessionClock,
        on_event: Callable[[Message], None],
    ) -> None:
        super().__init__(name, assembly, clock=clock, on_event=on_event)
        #: What was decided and not said yet, with the step it was decided on, in order.
        self._waiting: deque[tuple[int, Sequence[Message]]] = deque()
        self._heard_step = 0

    def foresee(self, messages: Sequence[MarketMessage]) -> None:
        """Hear the next messages and decide on them; nothing is said yet."""
        core, state = self.assembly.core, self.state
        now_ns = self.clock.now_ns()
        for message in messages:
            now_ns = max(now_ns, message.ts_event)
            state = core.observe(state, message)
            events = core.decide(state, message, now_ns)
            if events:
                for event in events:
                    state = core.evolve(state, event)
                self._waiting.append((message.step, events))
        self.state = state
        self._heard_step = messages[-1].step

    def quiet_for(self, ahead: Ahead) -> int:
        """Return how many messages come before the next one on which something was decided."""
        if not self._waiting:
            return len(ahead)
        return min(self._waiting[0][0] - self.step - 1, len(ahead))

    def let_pass(self, ahead: Ahead) -> None:
        """Go on in time: these messages were heard before."""
        self.step = ahead.last.step

    def on_market(self, data: MarketMessage) -> None:
        """Say what was decided on this message."""
        if data.step > self._heard_step:
            super().on_market(data)
            return
        self.step = data.step
        self.clock.heard(data.ts_event)
        if self._waiting and self._waiting[0][0] == data.step:
            events = self._waiting.popleft()[1]
            self._post(events)
            for event in events:
                self._on_event(event)

    def begin(self) -> None:
        """Begin a session: its steps count from 1."""
        self.step = self._heard_step = 0

    def on_reliable(self, message: Message) -> None:
        """Take one message of another service, before the session's market data alone."""
        self.clock.heard(message.ts_event)
        self._run([message])

    def _run(self, messages: Iterable[Message], cause: Cause | None = None) -> int:
        if self._heard_step > self.step:
            raise RuntimeError(f"{self.name} was told something in a session whose market data it has heard already")
        return super()._run(messages, cause)


class LocalChain:
    """A chain of nodes in one process.

    Args:
        assemblies: each service's core and shell.
        on_event: called with (service, event) for each committed event.
        gate: what stands before the broker; open unless a test closes it.
        may_look_ahead: messages that nobody acts on may be heard many at a time; the events are the same either way.
    """

    def __init__(
        self,
        assemblies: Mapping[ServiceName, Assembly[Any]],
        on_event: Callable[[ServiceName, Message], None],
        gate: Gate | None = None,
        *,
        may_look_ahead: bool = True,
    ) -> None:
        self.clock = SessionClock(follows_feed=True)
        #: Python's own thresholds, while this chain has set others.
        self._collected_after: tuple[int, int, int] | None = None
        self.nodes: dict[ServiceName, LocalNode[Any]] = {}
        for name in SERVICES:
            if name not in assemblies:
                continue
            assembly = assemblies[name]
            assembly.attach(Ports(gate or OpenGate(), _ignore_status, _ignore_halt))
            is_early = may_look_ahead and name == _EARLY and type(assembly.shell) is Shell
            kind = EarlyNode if is_early else LocalNode
            self.nodes[name] = kind(name, assembly, clock=self.clock, on_event=partial(on_event, name))
        self._streams = []
        for node in self.nodes.values():
            # Who is not in this chain hears nothing.
            node.outbox = {name: outbox for name, outbox in node.outbox.items() if name in self.nodes}
            self._streams += [(outbox, self.nodes[receiver]) for receiver, outbox in node.outbox.items()]
        nodes = list(self.nodes.values())
        self._market = [self.nodes[name] for name in MARKET_SUBSCRIBERS if name in self.nodes]
        self._early = [node for node in self._market if isinstance(node, EarlyNode)]
        self._waking = [node for node in nodes if type(node.assembly.shell).on_idle is not Shell.on_idle]
        self._settling = [node for node in nodes if type(node.assembly.core).settle is not Core.settle]
        #: Who is asked before messages pass unplayed; those first that most often act.
        asked = [node for node in reversed(nodes) if node in self._market or node in self._settling]
        self._asked: list[LocalNode[Any]] = sorted(asked, key=lambda node: not isinstance(node, EarlyNode))
        self._may_look_ahead = may_look_ahead and all(
            node.foresees or isinstance(node, EarlyNode) for node in self._asked
        )
        for node in nodes:
            node.start()

    def begin(self, plan: SessionPlanned) -> None:
        """Tell every service that hears of sessions about this one, then arm the chain. Days may follow each other."""
        armed = ChainArmed(ts_event=0, ts_init=0, halt_counter=0, operator="local", reason="played in one process")
        for node in self.nodes.values():
            node.begin()
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
        self._collect_rarely()
        for part in blocks_of(feed):
            if isinstance(part, Block):
                self._play_block(part)
                steps += len(part.messages)
            else:
                self._play_message(part)
                steps = part.step if isinstance(part, FeedEnded) else steps + 1
        return steps

    def _collect_rarely(self) -> None:
        """Let Python look for cycles rarely until this chain is closed: what is played makes none, and is kept."""
        if self._collected_after is None:
            self._collected_after = gc.get_threshold()
            gc.set_threshold(_COLLECTED_AFTER, *self._collected_after[1:])

    def _play_block(self, block: Block) -> None:
        """Play quotes and bars: those that nobody acts on many at a time, the others one by one."""
        for node in self._early:
            node.foresee(block.messages)
        place, count, width = 0, len(block.messages), _AHEAD_MIN
        while place < count:
            ahead = Ahead(block, place, place + width)
            quiet = self._quiet_for(ahead) if self._may_look_ahead else 0
            if quiet > 1:
                self._let_pass(ahead.first(quiet))
                place += quiet
            if quiet == len(ahead) and quiet > 1:
                width *= 2
                continue
            width = _AHEAD_MIN
            if place < count:
                self._play_message(block.messages[place])
                place += 1

    def _quiet_for(self, ahead: Ahead) -> int:
        """Return how many of the next messages everybody would only hear."""
        quiet = len(ahead)
        for node in self._asked:
            quiet = node.quiet_for(ahead if quiet == len(ahead) else ahead.first(quiet))
            if quiet <= 1:
                return quiet
        return quiet

    def _let_pass(self, ahead: Ahead) -> None:
        self.nodes[MARKET_PUBLISHER].step = ahead.last.step
        # What comes due by the host's clock can wait for the next message that is played.
        for node in self._market:
            node.let_pass(ahead)

    def _play_message(self, data: MarketMessage) -> None:
        self.nodes[MARKET_PUBLISHER].step = data.step
        for node in self._market:
            node.on_market(data)
        self._deliver()
        self._end_step()

    def _end_step(self) -> None:
        for node in self._waking:
            node.on_idle()
        for node in self._settling:
            node.settle()
        self._deliver()

    def close(self) -> None:
        """Close shells and stores."""
        if self._collected_after is not None:
            gc.set_threshold(*self._collected_after)
            self._collected_after = None
        for node in self.nodes.values():
            node.assembly.shell.close()

    def _deliver(self) -> None:
        """Deliver until every outbox is empty; senders in the order of SERVICES, each stream in its own order."""
        for _ in range(_DELIVERIES_MAX):
            for outbox, target in self._streams:
                if outbox:
                    target.on_reliable(outbox.popleft())
                    break
            else:
                return
        raise RuntimeError(f"more than {_DELIVERIES_MAX} deliveries follow from one market message")


def _ignore_halt(_rule: str, _detail: str) -> None:
    return None


def _ignore_status(_message: StatusMessage) -> None:
    return None
