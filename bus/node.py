"""One service without its transport: its events, what it says and what it has heard, committed to its store."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from bus.actor import Actor, Cause
from bus.assembly import Assembly
from bus.clock import SessionClock, boot_ns
from bus.codec import encode_message
from bus.delivery import STALLED_NS, InboxCursor, OutboxLink, OutboxRow, Verdict
from bus.failpoints import Failpoint
from bus.messages import Message, ServiceName
from bus.routes import OPTIONAL_SERVICES, peers_of, receivers, senders_to
from bus.store import Store

S = TypeVar("S")


class Node(Actor[S]):
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
        super().__init__(name, assembly, clock=clock, on_event=on_event)
        self.store = store
        self._commit_point = Failpoint(f"{name}.commit")
        self.links: dict[str, OutboxLink] = store.links(peers_of(name), boot_ns())
        self.cursors: dict[str, InboxCursor] = store.cursors(senders_to(name))
        #: The streams that trading depends on.
        self._waited_for = [link for peer, link in self.links.items() if peer not in OPTIONAL_SERVICES]
        #: Whether there may be something to send that was not there before.
        self.is_stirred = True
        self._acked_news: dict[str, int] = {}
        self._queued: list[tuple[ServiceName, str, int, Message]] = []

    def start(self) -> None:
        """Fold the journal, then let the shell recover what a crash left open."""
        for event in self.store.events():
            self._evolve(event)
        self._run(self.assembly.shell.on_start(self.state, self.clock.now_ns()))

    def on_reliable(self, sender: ServiceName, epoch: str, seq: int, message: Message) -> Verdict:
        """Take one numbered message: apply it once, with its cursor in the same commit."""
        verdict = self.cursors[sender].judge(epoch, seq)
        if verdict is Verdict.NEXT:
            # A service without market data knows the session's time from what it is told.
            self.clock.heard(message.ts_event)
            self._run([message], cause=(sender, epoch, seq))
            self.cursors[sender].advance(epoch, seq)
        return verdict

    def queue(self, sender: ServiceName, epoch: str, seq: int, message: Message) -> None:
        """Take the next numbered message, whose effect waits for `commit_queue`: see `Assembly.commits_together`."""
        if self._queued and self._queued[0][0] != sender:
            self.commit_queue()
        self._queued.append((sender, epoch, seq, message))
        self.cursors[sender].advance(epoch, seq)

    def commit_queue(self) -> None:
        """Decide and fold what was queued, and commit all of it, with the cursor, in one transaction.

        A death before the commit leaves nothing of it, so all is told again. Nothing of it may be acknowledged before.
        """
        if not self._queued:
            return
        queued, self._queued = self._queued, []
        events: list[Message] = []
        for _, _, _, message in queued:
            self.clock.heard(message.ts_event)
            decided = self.assembly.core.decide(self.state, message, self.clock.now_ns())
            for event in decided:
                self._evolve(event)
            events += decided
        sender, epoch, seq, _ = queued[-1]
        kept = self._keep(events, (sender, epoch, seq))
        for event in kept:
            self._on_event(event)
        self._run(self._effects((), kept))

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
        """Return how many messages are not acknowledged yet by the services that trading depends on."""
        return sum(link.depth() for link in self._waited_for)

    def oldest_unacked_ms(self) -> int:
        """Return the age of the oldest message that is waited for in milliseconds."""
        return self._oldest_age_ns(boot_ns()) // 1_000_000

    def _oldest_age_ns(self, now_ns: int) -> int:
        return max([link.oldest_age_ns(now_ns) for link in self._waited_for if link.rows], default=0)

    def _keep(self, events: Sequence[Message], cause: Cause | None) -> Sequence[Message]:
        """Commit events, their outbox rows and the sender's cursor in one transaction."""
        now = boot_ns()
        if self._oldest_age_ns(now) > STALLED_NS:
            events = [self.assembly.when_stalled(event) for event in events]
        self.assembly.shell.before_commits(events)
        outgoing: list[tuple[str, OutboxRow]] = []
        last: dict[str, int] = {}
        for event in events:
            for receiver in receivers(self.name, type(event)):
                seq = last[receiver] = last.get(receiver, self.links[receiver].last) + 1
                outgoing.append((receiver, OutboxRow(seq, self.step, encode_message(event))))
        with self._commit_point:
            self.store.commit(events, outgoing, cause)
        for name, row in outgoing:
            self.links[name].add(row, now)
            self.is_stirred = True
        return events
