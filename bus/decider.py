"""What a service is made of: a pure core that decides, and a shell that touches the world for it.

The runtime (bus/service.py for a process, bus/local.py for the whole chain in one process) drives both in this order:

* market data: `core.observe` folds the facts, `core.decide` answers; then `shell.on_market` reports what the world
  made of it (the paper broker's fills), and each report is decided;
* a reliable message: `core.decide`; the events, the outbox rows of those that have receivers, and the sender's cursor
  are committed together; then they are sent, then it is acknowledged;
* each event: `shell.before_commit`, commit, `core.evolve`, `shell.after_commit`; what that reports is decided before
  the effect of the next event is done;
* when a step of a replay is complete, and after each market message when live: `core.settle`.

On start the journal is folded with `evolve`; then `shell.on_start` recovers what a crash left open. After a gap in the
process's own life, `shell.on_gap`; when the process is told to stop, `shell.on_stop` until it has nothing more to do.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from bus.messages import MarketMessage, Message, StatusMessage

S = TypeVar("S")


class Core(Protocol[S]):
    """A decider. No clock, no random, no log, no socket, no file; money is integers."""

    def initial(self) -> S:
        """Return the state before anything happened."""
        ...

    def observe(self, state: S, data: MarketMessage) -> S:
        """Fold market facts; they are not journaled and are gone after a restart."""
        ...

    def decide(self, state: S, message: Message, now_ns: int) -> Sequence[Message]:
        """Return the events that follow from a message; `now_ns` is session time, UTC."""
        ...

    def evolve(self, state: S, event: Message) -> S:
        """Fold one event that was decided; called once for each, now or after a restart."""
        ...

    def settle(self, state: S, now_ns: int) -> Sequence[Message]:
        """Return events that need everything of a step to be in, such as the check of the day's loss.

        A core that leaves this as it is has nothing of that kind, and is not asked in a replay.
        """
        return ()

    def snapshot(self, state: S, now_ns: int) -> Sequence[StatusMessage]:
        """Return what the status topic should show; published on change and at least once a second."""
        ...


class Gate(Protocol):
    """Whether an order may be sent to the broker at this very moment."""

    def refusal(self, *, reduces: bool) -> str | None:
        """Return why not, or None when it may be sent. `reduces`: the order can only lower exposure."""
        ...

    def lapsed_ns(self) -> int:
        """Return for how long of boot time not every lease has been valid; 0 = all of them are valid now."""
        ...


class Shell(Generic[S]):
    """The world of one service. The base does nothing; a service overrides what it needs.

    A returned message is a *report*: the runtime gives it to `core.decide` at once. A shell that does several effects
    in one call yields their reports: each is decided and committed before the next effect is done. Its state has to be
    one that is folded in place, so that it is the newest all the while.

    `prepares` and `acts_on` are the types of events for which `before_commit` and `after_commit` may do something; None
    is any. A runtime need not call them for others.
    """

    prepares: ClassVar[frozenset[type[Message]] | None] = None
    acts_on: ClassVar[frozenset[type[Message]] | None] = None

    def on_start(self, state: S, now_ns: int) -> Sequence[Message]:
        """Recover after the journal was folded: look up what a crash may have left open."""
        return ()

    def on_market(self, state: S, data: MarketMessage, now_ns: int) -> Sequence[Message]:
        """Report what the world made of market data, after the core has decided on it."""
        return ()

    def before_commit(self, event: Message) -> None:
        """Do an idempotent effect that must not be lost: it is repeated when the commit after it fails."""

    def before_commits(self, events: Sequence[Message]) -> None:
        """Do such effects of events that are committed together; a shell that can do them in one go overrides it."""
        for event in events:
            self.before_commit(event)

    def after_commit(self, state: S, event: Message, now_ns: int) -> Sequence[Message]:
        """Do an effect that must not be doubled, and report its outcome."""
        return ()

    def on_idle(self, state: S, now_ns: int) -> Iterable[Message]:
        """Report what became due by itself; called at least every 50 ms, and before a step is declared complete."""
        return ()

    def on_gap(self, state: S, now_ns: int) -> Sequence[Message]:
        """Report what is known after this process stood still: the world went on meanwhile.

        Called once for each gap of more than 500 ms, after the leases were dropped and before anything else that has
        arrived is heard. The reports are decided and committed as those of `on_start` are.
        """
        return ()

    def on_stop(self, state: S, now_ns: int) -> Iterable[Message]:
        """Report what has to be decided before the process ends; an empty answer means that it may end now.

        Called when the process was told to stop, before `close`, and called again with an idle pause between (20 ms)
        after its reports were decided and committed, until the answer is empty or 20 seconds have passed. From the
        first call on no other hook but `before_commit`, `after_commit` and `close` is called.
        """
        return ()

    def is_settled(self, state: S) -> bool:
        """Tell whether nothing waits for a permission or an answer; a replay step ends only then."""
        return True

    def close(self) -> None:
        """Release files and sockets."""
