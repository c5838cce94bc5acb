"""The dead man and the halt: cancel what may not stand until the broker lists none of it. Pure: times are given.

It begins when the chain stands halted, or when no valid pair of leases has been there for DEAD_MAN_NS, and ends when
the chain may trade again. What it finds out is said in words for people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bus.clock import NS_PER_SECOND, iso_utc

#: No valid pair of leases for so long: whatever would add exposure is cancelled.
DEAD_MAN_NS: Final = NS_PER_SECOND
#: How often the broker is asked for its open orders while they are being cancelled, and once it is confirmed.
LOOK_NS: Final = NS_PER_SECOND // 2
CONFIRMED_LOOK_NS: Final = 5 * NS_PER_SECOND
#: The broker has to list none for so long: an order may be accepted late.
CONFIRM_NS: Final = 60 * NS_PER_SECOND
#: A broker that does not answer is asked again after these; the last one repeats.
BACK_OFF_NS: Final = tuple(int(seconds * NS_PER_SECOND) for seconds in (0.5, 1, 2, 5))


@dataclass
class _Course:
    """How far one drain is; boot nanoseconds, UTC where a name says so."""

    look_at_ns: int
    open_orders: int | None = None
    none_since_ns: int | None = None
    none_since_utc_ns: int = 0
    heard_utc_ns: int = 0
    unanswered: int = 0
    is_confirmed: bool = False


class Drain:
    """Decides when the broker is asked for its open orders and which of them are cancelled."""

    def __init__(self) -> None:
        self._course: _Course | None = None

    @property
    def is_active(self) -> bool:
        """Tell whether its cause stands."""
        return self._course is not None

    def judge(self, now_ns: int, *, lapsed_ns: int, is_halted: bool, may_have_orders: bool) -> None:
        """Begin or end.

        Args:
            now_ns: boot time.
            lapsed_ns: for how long not every lease has been valid.
            is_halted: a halt stands.
            may_have_orders: this process could send once, or the journal has open orders. A chain that was never
                armed and has none has nothing to cancel; one that drains goes on until its cause is over.
        """
        if not is_halted and lapsed_ns < DEAD_MAN_NS:
            self._course = None
        elif self._course is None and may_have_orders:
            self._course = _Course(look_at_ns=now_ns)

    def is_due(self, now_ns: int) -> bool:
        """Tell whether the broker has to be asked for its open orders now."""
        return self._course is not None and now_ns >= self._course.look_at_ns

    def heard(self, now_ns: int, listed: Sequence[str], utc_ns: int) -> tuple[str, ...]:
        """Take the broker's list of what may not stand, and return what to cancel now: all of it.

        Whoever cancels counts the tries of each order; what is listed again is returned again.
        """
        course = self._course
        if course is None:
            return ()
        course.unanswered = 0
        course.open_orders = len(listed)
        course.heard_utc_ns = utc_ns
        if listed:
            course.none_since_ns, course.is_confirmed = None, False
        elif course.none_since_ns is None:
            course.none_since_ns, course.none_since_utc_ns = now_ns, utc_ns
        else:
            course.is_confirmed = now_ns - course.none_since_ns >= CONFIRM_NS
        course.look_at_ns = now_ns + (CONFIRMED_LOOK_NS if course.is_confirmed else LOOK_NS)
        return tuple(listed)

    def unanswered(self, now_ns: int) -> None:
        """Take that the broker did not answer: nothing is confirmed any more, and it is asked again later."""
        course = self._course
        if course is None:
            return
        course.none_since_ns, course.is_confirmed = None, False
        course.unanswered += 1
        course.look_at_ns = now_ns + BACK_OFF_NS[min(course.unanswered, len(BACK_OFF_NS)) - 1]

    def words(self, protective: int) -> str:
        """Return how far it is, for people; empty when nothing is drained. `protective`: orders of ours that stay."""
        course = self._course
        if course is None:
            return ""
        if course.unanswered:
            return "NOT CONFIRMED: the broker does not answer"
        if course.open_orders is None:
            return "NOT CONFIRMED: the broker has not been asked yet"
        stays = f"; protective orders that stay there: {protective}" if protective else ""
        if course.open_orders:
            noun = "order" if course.open_orders == 1 else "orders"
            return f"cancelling: {course.open_orders} {noun} open at the broker{stays}"
        none = "no order that adds exposure" if protective else "no order of ours"
        if course.is_confirmed:
            return f"{none} is open at the broker, confirmed {_clock(course.heard_utc_ns)} UTC{stays}"
        since = _clock(course.none_since_utc_ns)
        return f"{none} is open at the broker since {since} UTC, confirmed after {CONFIRM_NS // NS_PER_SECOND} s{stays}"


def _clock(utc_ns: int) -> str:
    return iso_utc(utc_ns)[11:19]
