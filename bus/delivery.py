"""Reliable delivery, pure: what to send, what to accept, what to repeat. Sockets and disks are elsewhere.

Each pair of services has one stream. The sender numbers its messages from 1 in the transaction that makes them and
repeats the unacknowledged ones; the receiver takes exactly the next number and commits its cursor with the effect.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

WINDOW: Final = 32
RETRY_FIRST_NS: Final = 250_000_000
RETRY_LAST_NS: Final = 2_000_000_000


class Verdict(Enum):
    """What a receiver does with a numbered message."""

    NEXT = "apply, commit, acknowledge"
    DUPLICATE = "acknowledge again"
    GAP = "ignore, acknowledge what is there"
    REFUSED = "another epoch: take nothing until an operator reconciles"


@dataclass(frozen=True)
class OutboxRow:
    """A committed message on its way: its number, the sender's market step, and its bytes."""

    seq: int
    step: int
    payload: bytes


@dataclass
class OutboxLink:
    """The sending end of one stream. Times are boot nanoseconds."""

    acked: int = 0
    last: int = 0
    rows: deque[OutboxRow] = field(default_factory=deque)
    _sent: int = 0
    _retry_at: int = 0
    _retry_ns: int = RETRY_FIRST_NS
    _oldest_since: int = 0

    def __post_init__(self) -> None:
        """Begin after what was acknowledged before."""
        self._sent = self.acked

    def add(self, row: OutboxRow, now_ns: int) -> None:
        """Take a committed row; it must be the next number."""
        if row.seq != self.last + 1:
            raise ValueError(f"outbox row {row.seq} after {self.last}")
        if not self.rows:
            self._oldest_since = now_ns
        self.rows.append(row)
        self.last = row.seq

    def due(self, now_ns: int) -> list[OutboxRow]:
        """Return what to send now: new rows inside the window, or all of the window again when a retry is due."""
        if not self.rows:
            return []
        window_end = self.rows[0].seq + WINDOW
        if self._sent > self.acked and now_ns >= self._retry_at:
            self._retry_ns = min(self._retry_ns * 2, RETRY_LAST_NS)
            first = self.rows[0].seq
        else:
            first = self._sent + 1
        rows = [row for row in self.rows if first <= row.seq < window_end] if first < window_end else []
        if rows:
            self._sent = max(self._sent, rows[-1].seq)
            self._retry_at = now_ns + self._retry_ns
        return rows

    def heard_ack(self, cursor: int, now_ns: int) -> bool:
        """Drop what the receiver has; return whether that is news. An ack beyond what was made is ignored."""
        if cursor <= self.acked or cursor > self.last:
            return False
        self.acked = cursor
        while self.rows and self.rows[0].seq <= cursor:
            self.rows.popleft()
        self._sent = max(self._sent, cursor)
        self._retry_ns = RETRY_FIRST_NS
        self._retry_at = now_ns + self._retry_ns
        self._oldest_since = now_ns
        return True

    def all_sent(self) -> bool:
        """Tell whether every row has been given to the socket at least once."""
        return self._sent >= self.last

    def oldest_age_ns(self, now_ns: int) -> int:
        """Return how long the oldest row has waited since the stream last moved; 0 when empty."""
        return now_ns - self._oldest_since if self.rows else 0


@dataclass
class InboxCursor:
    """The receiving end of one stream; `epoch` is empty until the first message ever."""

    epoch: str = ""
    seq: int = 0

    def judge(self, epoch: str, seq: int) -> Verdict:
        """Return what to do with message `seq` of `epoch`.

        A sender whose epoch changed, or that starts anew below our cursor, was restored from an older state.
        """
        if self.epoch and epoch != self.epoch:
            return Verdict.REFUSED
        if seq <= self.seq:
            return Verdict.DUPLICATE
        return Verdict.NEXT if seq == self.seq + 1 else Verdict.GAP

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

    def again(self) -> None:
        """Forget what was told: the feed repeats a step because somebody missed a mark."""
        self.told.clear()

    def may_tell(self, receiver: str, waits_for: tuple[str, ...]) -> bool:
        """Tell whether the mark for the own step is due for this receiver."""
        if self.told.get(receiver, 0) >= self.own or self.own == 0:
            return False
        return all(self.heard.get(name, 0) >= self.own for name in waits_for)
