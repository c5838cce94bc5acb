"""One service without its transport: core, shell and store in the order that makes an effect happen once.

A process (bus/service.py) and the chain in one process (bus/local.py) drive the same Node.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from bus.assembly import Assembly
from bus.clock import SessionClock, boot_ns
from bus.codec import encode_message
from bus.delivery import STALLED_NS, InboxCursor, OutboxLink, OutboxRow, Verdict
from bus.failpoints import Failpoint
from bus.messages import MarketMessage, Message, ServiceName, SessionPlanned, StatusMessage, StreamResolved
from bus.routes import peers_of, receivers, senders_to
from bus.store import Store

S = TypeVar("S")
_REPORTS_MAX: Final = 10_000


class Node(Generic[S]):
    """Runs one core and its shell over a store.

    Args:
        name: which service this is.
        assembly: its core and shell.
        store: its journal, outbox and cursors.
        clock: session time.
        on_event: called with each committed event, for the status topic.
    """

    def __init__(
        self,
        name: ServiceName,
        assembly: Assembly[S],
        store: Store,
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
        self.store = store
        self._commit_point = Failpoint(f"{name}.commit")
        self._effect_point = Failpoint(f"{name}.effect")
        self._on_event = on_event
        self.links: dict[str, OutboxLink] = store.links(peers_of(name), boot_ns())
        self.cursors: dict[str, InboxCursor] = store.cursors(senders_to(name))
        self._acked_news: dict[str, int] = {}

    @property
    def is_ready(self) -> bool:
        """Tell whether this service knows the session, where it is told of it at all."""
        return self.plan is not None or self.name not in receivers("watchdog", SessionPlanned)

    def start(self) -> None:
        """Fold the journal, then let the shell recover what a crash left open."""
        for event in self.store.events():
            self._evolve(event)
        self._run(self.assembly.shell.on_start(self.state, self.clock.now_ns()))

    def on_market(self, data: MarketMessage) -> None:
        """Take one market message; a repeated step is ignored."""
        if data.step <= self.step:
            return
        self.step = data.step
        self.clock.heard(data.ts_event)
        self.state = self.assembly.core.observe(self.state, data)
        self._run([data])
        self._run(self.assembly.shell.on_market(self.state, data, self.clock.now_ns()))

    def on_reliable(self, sender: ServiceName, epoch: str, seq: int, message: Message) -> Verdict:
        """Take one numbered message: apply it once, with its cursor in the same commit."""
        verdict = self.cursors[sender].judge(epoch, seq)
        if verdict is Verdict.NEXT:
            # A service without market data knows the session's time from what it is told.
            self.clock.heard(message.ts_event)
            self._run([message], cursor=(sender, epoch, seq))
            self.cursors[sender].advance(epoch, seq)
        return verdict

    def on_input(self, message: Message) -> None:
        """Take a message from this host: what the control folder says, or a report."""
        self._run([message])

    def on_idle(self) -> None:
        """Let the shell report what became due by itself."""
        self._run(self.assembly.shell.on_idle(self.state, self.clock.now_ns()))

    def on_gap(self) -> None:
        """Let the shell find out what happened while this process stood still."""
        self._run(self.assembly.shell.on_gap(self.state, self.clock.now_ns()))

    def on_stop(self) -> bool:
        """Let the shell do what is owed before the process ends; return whether nothing is left to do."""
        return self._run(self.assembly.shell.on_stop(self.state, self.clock.now_ns())) == 0

    def settle(self) -> None:
        """Let the core decide what needs a complete step."""
        self._run(self._run_events(self.assembly.core.settle(self.state, self.clock.now_ns()), None))

    def is_settled(self) -> bool:
        """Tell whether nothing of the present step waits for a permission or an answer."""
        return self.assembly.shell.is_settled(self.state)

    def snapshot(self) -> Sequence[StatusMessage]:
        """Return what the status topic should show now."""
        return self.assembly.core.snapshot(self.state, self.clock.now_ns())

    def heard_ack(self, receiver: ServiceName, epoch: str, cursor: int) -> None:
        """Note an acknowledgement; `flush_acks` makes it durable, which is soon enough: see there."""
        link = self.links.get(receiver)
        if link is not None and epoch == self.store.epoch and link.heard_ack(cursor, boot_ns()):
            self.note_ack(receiver, cursor)

    def note_ack(self, receiver: str, cursor: int) -> None:
        """Let `flush_acks` forget what a receiver has, and bring rows that wait on disk into memory."""
        self._acked_news[receiver] = cursor
        link = self.links[receiver]
        after = link.wants()
        if after is not None:
            link.refill(self.store.outbox_after(receiver, after), boot_ns())

    def flush_acks(self) -> None:
        """Make the newest acknowledgements durable.

        It is not done with each commit, which has to be short. After a death the rows are there once more, and the
        receiver's Welcome says that it has them.
        """
        if self._acked_news:
            self.store.forget_acked(self._acked_news)
            self._acked_news = {}

    @property
    def epoch(self) -> str:
        """Return this store's life: a restored store has another."""
        return self.store.epoch

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def outbox_depth(self) -> int:
        """Return how many messages are not acknowledged yet."""
        return sum(link.depth() for link in self.links.values())

    def oldest_unacked_ms(self) -> int:
        """Return the age of the oldest unacknowledged message in milliseconds."""
        now = boot_ns()
        return max((link.oldest_age_ns(now) for link in self.links.values()), default=0) // 1_000_000

    def _run(self, messages: Iterable[Message], cursor: tuple[ServiceName, str, int] | None = None) -> int:
        """Decide each message and, before the next one, every report that follows; the cursor goes with the first.

        Both are taken one by one as they are asked for. So what an effect reported is known before the next effect is
        done: an order that was sent is never taken for one that still waits, because another one's answer came first.

        Returns:
            How many messages were decided.
        """
        waiting = [iter(messages)]
        for number in range(_REPORTS_MAX):
            message = _next_of(waiting)
            if message is None:
                return number
            events = self.assembly.core.decide(self.state, message, self.clock.now_ns())
            waiting.append(self._run_events(events, cursor))
            cursor = None
        raise RuntimeError(f"{self.name}: more than {_REPORTS_MAX} reports follow from one message")

    def _run_events(self, events: Sequence[Message], cursor: tuple[ServiceName, str, int] | None) -> Iterator[Message]:
        """Commit events and fold them; then return what does their effects, one by one, and yields the reports."""
        if not events and cursor is None:
            return iter(())
        if self.oldest_unacked_ms() * 1_000_000 > STALLED_NS:
            events = [self.assembly.when_stalled(event) for event in events]
        for event in events:
            self.assembly.shell.before_commit(event)
        self._commit(events, cursor)
        for event in events:
            self._evolve(event)
            self._on_event(event)
        return self._effects(events)

    def _effects(self, events: Sequence[Message]) -> Iterator[Message]:
        for event in events:
            with self._effect_point:
                reports = self.assembly.shell.after_commit(self.state, event, self.clock.now_ns())
            yield from reports

    def _commit(self, events: Sequence[Message], cursor: tuple[ServiceName, str, int] | None) -> None:
        outgoing: list[tuple[str, OutboxRow]] = []
        last: dict[str, int] = {name: link.last for name, link in self.links.items()}
        for event in events:
            for receiver in receivers(self.name, type(event)):
                last[receiver] += 1
                outgoing.append((receiver, OutboxRow(last[receiver], self.step, encode_message(event))))
        with self._commit_point:
            self.store.commit(events, outgoing, cursor)
        now = boot_ns()
        for name, row in outgoing:
            self.links[name].add(row, now)

    def _evolve(self, event: Message) -> None:
        if isinstance(event, StreamResolved):
            # It is the runtime's own: where a stream goes on is in the cursor that was committed with it.
            return
        if isinstance(event, SessionPlanned):
            self.plan = event
        self.state = self.assembly.core.evolve(self.state, event)


def _next_of(waiting: list[Iterator[Message]]) -> Message | None:
    """Return the next message of the newest iterator that has one, or None when all are at their end."""
    while waiting:
        message = next(waiting[-1], None)
        if message is not None:
            return message
        waiting.pop()
    return None
