"""One service's core and shell in the order that makes an effect happen once, wherever its events are kept.

A process keeps them on disk (bus/node.py), the chain in one process in memory (bus/local.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, Generic, TypeVar

from bus.assembly import Assembly
from bus.clock import SessionClock
from bus.failpoints import Failpoint
from bus.messages import MarketMessage, Message, ServiceName, SessionPlanned, StatusMessage, StreamResolved
from bus.routes import receivers

S = TypeVar("S")
#: The message that caused events: its sender, the sender's epoch, and its number. It is committed with them.
Cause = tuple[ServiceName, str, int]


class Actor(ABC, Generic[S]):
    """Drives one core and its shell.

    Args:
        name: which service this is.
        assembly: its core and shell.
        clock: session time.
        on_event: called with each committed event, for the status topic.
    """

    #: More reports from one message are taken for a loop without end.
    reports_max: ClassVar[int] = 10_000

    def __init__(
        self,
        name: ServiceName,
        assembly: Assembly[S],
        *,
        clock: SessionClock,
        on_event: Callable[[Message], None],
    ) -> None:
        self.name = name
        self.assembly = assembly
        self.clock = clock
        self.step = 0
        self.plan: SessionPlanned | None = None
        self.state = assembly.core.initial()
        self._effect_point = Failpoint(f"{name}.effect")
        self._on_event = on_event

    @property
    def is_ready(self) -> bool:
        """Tell whether this service knows the session, where it is told of it at all."""
        return self.plan is not None or self.name not in receivers("watchdog", SessionPlanned)

    def on_market(self, data: MarketMessage) -> None:
        """Take one market message; a repeated step is ignored."""
        if data.step <= self.step:
            return
        self.step = data.step
        self.clock.heard(data.ts_event)
        core, now_ns = self.assembly.core, self.clock.now_ns()
        self.state = core.observe(self.state, data)
        self.follow(core.decide(self.state, data, now_ns))
        if reports := self.assembly.shell.on_market(self.state, data, self.clock.now_ns()):
            self._run(reports)

    def on_input(self, message: Message) -> None:
        """Take a message from this host: what the control folder says, or a report."""
        self._run([message])

    def on_idle(self) -> None:
        """Let the shell report what became due by itself."""
        self._run(self.assembly.shell.on_idle(self.state, self.clock.now_ns()))

    @property
    def now_ns(self) -> int:
        """Return the session's time, UTC."""
        return self.clock.now_ns()

    def decided(self, message: Message) -> Sequence[Message]:
        """Return what the core decides on a message; nothing is committed."""
        return self.assembly.core.decide(self.state, message, self.clock.now_ns())

    def follow(self, events: Sequence[Message]) -> None:
        """Commit what was decided, if it is anything, and decide what follows."""
        if events:
            reports = self._commit(events, None)
            if reports is not None:
                self._run(reports)

    def on_gap(self) -> None:
        """Let the shell find out what happened while this process stood still."""
        self._run(self.assembly.shell.on_gap(self.state, self.clock.now_ns()))

    def on_stop(self) -> bool:
        """Let the shell do what is owed before the process ends; return whether nothing is left to do."""
        return self._run(self.assembly.shell.on_stop(self.state, self.clock.now_ns())) == 0

    def settle(self) -> None:
        """Let the core decide what needs a complete step."""
        self.follow(self.assembly.core.settle(self.state, self.clock.now_ns()))

    def is_settled(self) -> bool:
        """Tell whether nothing of the present step waits for a permission or an answer."""
        return self.assembly.shell.is_settled(self.state)

    def snapshot(self) -> Sequence[StatusMessage]:
        """Return what the status topic should show now."""
        return self.assembly.core.snapshot(self.state, self.clock.now_ns())

    @abstractmethod
    def _keep(self, events: Sequence[Message], cause: Cause | None) -> Sequence[Message]:
        """Commit events, and what caused them, all or nothing; return them as they were committed."""

    def _run(self, messages: Iterable[Message], cause: Cause | None = None) -> int:
        """Decide each message and, before the next one, every report that follows; the cause goes with the first.

        Both are taken one by one as they are asked for. So what an effect reported is known before the next effect is
        done: an order that was sent is never taken for one that still waits, because another one's answer came first.

        Returns:
            How many messages were decided.
        """
        waiting: list[Iterator[Message]] = []
        following = iter(messages)
        number = 0
        while True:
            message = next(following, None)
            if message is None:
                if not waiting:
                    return number
                following = waiting.pop()
                continue
            number += 1
            if number > self.reports_max:
                raise RuntimeError(f"{self.name}: more than {self.reports_max} reports follow from one message")
            events = self.assembly.core.decide(self.state, message, self.clock.now_ns())
            if events or cause is not None:
                reports = self._commit(events, cause)
                cause = None
                if reports is not None:
                    waiting.append(following)
                    following = reports

    def _commit(self, events: Sequence[Message], cause: Cause | None) -> Iterator[Message] | None:
        """Commit events, fold them, and do their effects up to the first that reports something.

        Returns:
            What was reported, and then what does the other effects, one by one, and yields their reports; None when
            every effect is done and none reported anything.
        """
        events = self._keep(events, cause)
        for event in events:
            self._evolve(event)
            self._on_event(event)
        for done, event in enumerate(events, 1):
            if reports := self._effect(event):
                return self._effects(reports, events[done:])
        return None

    def _effects(self, reports: Sequence[Message], events: Sequence[Message]) -> Iterator[Message]:
        yield from reports
        for event in events:
            yield from self._effect(event)

    def _effect(self, event: Message) -> Sequence[Message]:
        with self._effect_point:
            return self.assembly.shell.after_commit(self.state, event, self.clock.now_ns())

    def _evolve(self, event: Message) -> None:
        if isinstance(event, StreamResolved):
            # It is the runtime's own: where a stream goes on is in the cursor that was committed with it.
            return
        if isinstance(event, SessionPlanned):
            self.plan = event
        self.state = self.assembly.core.evolve(self.state, event)
