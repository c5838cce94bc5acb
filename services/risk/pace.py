"""How fast entries were approved: the session's count, the newest minute, and what was ordered of each symbol.

It is folded in place: only the newest state is ever kept, and a decision never changes it.
"""

from collections import deque
from typing import Final

from msgspec import Struct

from bus.messages import Side, SubmitOrder

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
#: So many orders of a symbol are remembered; MAX_REPEATED_ORDERS is at most this.
REPEATS_KEPT: Final = 10


class Placed(Struct, frozen=True, gc=False):
    """One approved entry as the throttle compares it, with the session time of its approval."""

    side: Side
    qty_nanos: int
    price_micros: int
    ts_ns: int


class Pace:
    """The approvals of one session."""

    def __init__(self) -> None:
        #: How many there were since the session began.
        self.total = 0
        self._minute: deque[tuple[int, int]] = deque()
        self._placed: dict[str, deque[Placed]] = {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pace):
            return NotImplemented
        return self is other or (self.total, self._minute, self._placed) == (other.total, other._minute, other._placed)

    __hash__ = None  # type: ignore[assignment]  # it changes, so nothing may find it by its contents

    def note(self, order: SubmitOrder) -> None:
        """Count an approval."""
        now_ns, minute = order.ts_event, self._minute
        self.total += 1
        if minute and minute[-1][0] == now_ns:
            minute[-1] = (now_ns, minute[-1][1] + 1)
        else:
            minute.append((now_ns, 1))
        while minute[0][0] <= now_ns - MINUTE_NS:
            minute.popleft()
        placed = self._placed.setdefault(order.symbol, deque(maxlen=REPEATS_KEPT))
        placed.append(Placed(order.side, order.qty_nanos, order.reference_micros, now_ns))

    def count_within(self, span_ns: int, now_ns: int) -> int:
        """Return how many were approved later than `span_ns` ago; the span is a minute at most.

        What seems to lie in the future counts too: the clock went back.
        """
        after_ns = now_ns - span_ns
        return sum([count for ts_ns, count in self._minute if ts_ns > after_ns])

    def repeats(self, symbol: str, wanted: Placed, window_ns: int) -> int:
        """Return how many orders equal to this one were approved less than `window_ns` before it."""
        return sum(
            (one.side, one.qty_nanos, one.price_micros) == (wanted.side, wanted.qty_nanos, wanted.price_micros)
            and one.ts_ns > wanted.ts_ns - window_ns
            for one in self._placed.get(symbol, ())
        )
