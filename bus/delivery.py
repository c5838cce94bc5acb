"""Reliable delivery, pure: what to send, what to accept, what to repeat. Sockets and disks are elsewhere.

Each pair of services has one stream. The sender numbers its messages from 1 in the transaction that makes them and
repeats the unacknowledged ones; the receiver takes exactly the next number and commits its cursor with the effect.
Before the first message of a connection the two compare where they stand, so that neither can go on after its file
was put back from an older copy. docs/protocol.md has the whole of it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Final, Literal, NamedTuple

WINDOW: Final = 32
RETRY_FIRST_NS: Final = 250_000_000
RETRY_LAST_NS: Final = 2_000_000_000
#: A stream that waits for longer raises no new signals.
STALLED_NS: Final = 2_000_000_000
#: Rows of one stream that are kept in memory; more wait on disk, so that a receiver that is away costs no memory.
ROWS_IN_MEMORY: Final = 512

StopRule = Literal["regressed_producer", "lost_history", "poison_message", "forbidden_message"]


class Verdict(Enum):
    """What a receiver does with a numbered message."""

    NEXT = "apply, commit, acknowledge"
    DUPLICATE = "acknowledge again"
    GAP = "ignore, acknowledge what is there"
    REFUSED = "another epoch: take nothing until an operator reconciles"


class OutboxRow(NamedTuple):
    """A committed message on its way: its number, the sender's market step, and its bytes."""

    seq: int
    step: int
    payload: bytes


@dataclass(frozen=True)
class Standing:
    """Where a sender says that its stream stands; see `bus.codec.Hello`."""

    epoch: str
    first: int
    last: int
    base: int


@dataclass
class OutboxLink:
    """The sending end of one stream. Times are boot nanoseconds.

    `rows` holds the oldest unacknowledged messages, gapless; what is newer than its last one waits on disk.
    """

    acked: int = 0
    last: int = 0
    base: int = 0
    rows: deque[OutboxRow] = field(default_factory=deque)
    is_welcome: bool = False
    #: How often the window was begun again; see `heard_gap`.
    pass_number: int = 1
    _times: deque[int] = field(default_factory=deque)
    _nonce: str = ""
    #: The newest Greet of the receiver's present life.
    _greeted: tuple[str, int] = ("", -1)
    _hello_at: int = 0
    _hello_ns: int = RETRY_FIRST_NS
    _sent: int = 0
    _retry_at: int = 0
    _retry_ns: int = RETRY_FIRST_NS
    _has_gap: bool = False

    def __post_init__(self) -> None:
        """Begin after what was acknowledged before."""
        self._sent = self.acked

    def add(self, row: OutboxRow, now_ns: int) -> None:
        """Take a committed row; it must be the next number."""
        if row.seq != self.last + 1:
            raise ValueError(f"outbox row {row.seq} after {self.last}")
        self.last = row.seq
        if len(self.rows) < ROWS_IN_MEMORY and self._in_memory == row.seq - 1:
            self.rows.append(row)
            self._times.append(now_ns)

    def wants(self) -> int | None:
        """Return after which number rows have to be read from disk, or None when there are enough."""
        known = self._in_memory
        return known if known < self.last and len(self.rows) < WINDOW else None

    def refill(self, rows: Iterable[OutboxRow], now_ns: int) -> None:
        """Take rows that were read from disk, in order, after `wants`; they are as old as this moment at least."""
        for row in rows:
            if row.seq != self._in_memory + 1:
                raise ValueError(f"outbox row {row.seq} read after {self._in_memory}")
            self.rows.append(row)
            self._times.append(now_ns)

    @property
    def _in_memory(self) -> int:
        return self.rows[-1].seq if self.rows else self.acked

    # --- before the first message of a connection -------------------------------------------------------------------

    def hello_nonce(self, now_ns: int) -> str | None:
        """Return the nonce to say Hello with now, or None when it is not the time or everybody has agreed."""
        if self.is_welcome or now_ns < self._hello_at:
            return None
        self._hello_at = now_ns + self._hello_ns
        self._hello_ns = min(self._hello_ns * 2, RETRY_LAST_NS)
        return self._nonce

    def heard_greet(self, nonce: str) -> None:
        """Begin anew: the receiver does not know this connection.

        A nonce is the receiver's life and a number that grows. One that is older than another of the same life has been
        overtaken by it, and one that was agreed on is not asked for again: to go back to either would let a Hello count
        that tells of less than has been sent since.
        """
        life, _, digits = nonce.rpartition(":")
        number = int(digits) if digits.isdecimal() else 0
        known_life, known = self._greeted
        if life == known_life and (number < known or (number == known and self.is_welcome)):
            return
        self._greeted = life, number
        self.is_welcome = False
        self._nonce = nonce
        self._hello_at = 0
        self._hello_ns = RETRY_FIRST_NS

    def heard_welcome(self, nonce: str, cursor: int, now_ns: int) -> bool:
        """Note that the receiver agrees, and what it has; return whether the acknowledgement is news."""
        if self.is_welcome or not nonce or nonce != self._nonce or cursor > self.last:
            return False
        self.is_welcome = True
        self._hello_at = now_ns + RETRY_LAST_NS
        is_news = self.heard_ack(cursor, now_ns)
        self._sent = self.acked
        self._has_gap = False
        return is_news

    def heard_refusal(self) -> None:
        """Send nothing more, and ask again now and then: an operator may have decided meanwhile."""
        self.is_welcome = False
        self._nonce = ""

    def asks_again(self, now_ns: int) -> bool:
        """Tell whether a stream with nothing to say asks now whether its receiver still knows it.

        A receiver that was put back from an older copy hears of it by our first message; we may have none for hours.
        """
        if not self.is_welcome or self.rows or now_ns < self._hello_at:
            return False
        self._hello_at = now_ns + RETRY_LAST_NS
        return True

    # --- messages ---------------------------------------------------------------------------------------------------

    def due(self, now_ns: int) -> list[OutboxRow]:
        """Return what to send now: new rows inside the window, or all of it again after a gap or when it is time."""
        rows = self.rows
        if not rows or not self.is_welcome:
            return []
        first = self._sent + 1
        if self._sent > self.acked and (self._has_gap or now_ns >= self._retry_at):
            if not self._has_gap:
                self._retry_ns = min(self._retry_ns * 2, RETRY_LAST_NS)
            self._has_gap = False
            self.pass_number += 1
            first = rows[0].seq
        elif first > rows[-1].seq or first >= rows[0].seq + WINDOW:
            return []
        due = list(islice(rows, first - rows[0].seq, WINDOW))
        if due:
            self._sent = max(self._sent, due[-1].seq)
            self.base = max(self.base, self._sent)
            self._retry_at = now_ns + self._retry_ns
        return due

    def heard_ack(self, cursor: int, now_ns: int) -> bool:
        """Drop what the receiver has; return whether that is news. An ack beyond what was made is ignored."""
        if not self.is_welcome or cursor <= self.acked or cursor > self.last:
            return False
        self.acked = cursor
        while self.rows and self.rows[0].seq <= cursor:
            self.rows.popleft()
            self._times.popleft()
        self._sent = max(self._sent, cursor)
        self._retry_ns = RETRY_FIRST_NS
        self._retry_at = now_ns + self._retry_ns
        return True

    def heard_gap(self, pass_number: int) -> None:
        """Send the window again at once: the receiver got a message of this pass, and not the one before it.

        A connection keeps the order, so in the present pass that is a loss. The later messages of a pass that was
        begun again show the same gap; they are of an older pass by then, so each loss is answered once.
        """
        if self.is_welcome and pass_number == self.pass_number:
            self._has_gap = True

    def all_sent(self) -> bool:
        """Tell whether every row has been given to the socket at least once."""
        return self._sent >= self.last

    def depth(self) -> int:
        """Return how many messages are not acknowledged."""
        return self.last - self.acked

    def oldest_age_ns(self, now_ns: int) -> int:
        """Return how long the oldest message waits in this process; 0 when none does."""
        return now_ns - self._times[0] if self._times else 0


@dataclass
class InboxCursor:
    """The receiving end of one stream; `epoch` is empty until the first message ever."""

    epoch: str = ""
    seq: int = 0

    def judge(self, epoch: str, seq: int) -> Verdict:
        """Return what to do with message `seq` of `epoch`."""
        if self.epoch and epoch != self.epoch:
            return Verdict.REFUSED
        if seq <= self.seq:
            return Verdict.DUPLICATE
        return Verdict.NEXT if seq == self.seq + 1 else Verdict.GAP

    def judge_standing(self, at: Standing) -> tuple[StopRule, str] | None:
        """Return why the two ends do not fit together, as a rule and in words, or None when they do.

        A sender with another epoch, or with fewer messages than we have taken, was restored from an older copy; a
        sender that has dropped messages which we never took means that we were.
        """
        if not self.epoch:
            return None if at.first == 1 else ("lost_history", f"messages 1 to {at.first - 1} are not known here")
        if at.epoch != self.epoch:
            return "regressed_producer", "it has another history than the one known here"
        # What it has made since its process began and never sent cannot have been taken: see `base`.
        known = min(at.base, at.last)
        if self.seq > known:
            return "regressed_producer", f"{self.seq} messages were taken from it, and it knows of {known}"
        if self.seq < at.first - 1:
            return "lost_history", f"it was told that {at.first - 1} messages were taken, and {self.seq} are known here"
        return None

    def reconciled(self, at: Standing) -> int:
        """Return the number to go on after when an operator takes the sender's present numbering as the truth.

        With the same epoch the messages up to `base` were taken before, because the sender had made them before it
        was restored. Otherwise everything that is not acknowledged is taken.
        """
        if at.epoch == self.epoch and self.seq > min(at.base, at.last):
            return min(at.base, at.last)
        return at.first - 1

    def advance(self, epoch: str, seq: int) -> None:
        """Move to a message that was committed."""
        self.epoch = epoch
        self.seq = seq


@dataclass
class StepBoard:
    """Which market step each neighbour has finished, and which this service has told; replay's lock-step."""

    own: int = 0
    heard: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    #: The step that every neighbour was told of, so that nobody looks again.
    all_told: int = 0
    _early: dict[str, tuple[int, int]] = field(default_factory=dict)

    def hear(self, sender: str, step: int, after_seq: int, cursor_seq: int) -> None:
        """Note a mark; one that ran ahead of its sender's messages waits for them."""
        if cursor_seq >= after_seq:
            self.heard[sender] = max(self.heard.get(sender, 0), step)
        else:
            self._early[sender] = (step, after_seq)

    def caught_up(self, sender: str, cursor_seq: int) -> None:
        """Apply a waiting mark once the sender's messages before it are in."""
        waiting = self._early.get(sender)
        if waiting and cursor_seq >= waiting[1]:
            del self._early[sender]
            self.hear(sender, *waiting, cursor_seq)

    def again(self, step: int) -> None:
        """Go back to a step that the feed repeats, and forget what was told: somebody missed a mark of it.

        A feed that was started again repeats the whole session. Whoever is ahead of it has finished those steps long
        ago; to wait for the marks of its own newest step would be to wait for a step that the feed never reaches.
        """
        self.own = step
        self.told.clear()
        self.all_told = 0

    def may_tell(self, receiver: str, waits_for: tuple[str, ...]) -> bool:
        """Tell whether the mark for the own step is due for this receiver."""
        if self.told.get(receiver, 0) >= self.own or self.own == 0:
            return False
        return all(self.heard.get(name, 0) >= self.own for name in waits_for)
