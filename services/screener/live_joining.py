"""Names that a later list brings into a live session: each joins with all of its minutes, or not at all.

A batch of names is subscribed as soon as there is room. When their bars come, the minutes from the open to the first
whole one are asked for. Only then do they join. Room is made by names that left the list: not before what was ordered
of them has been filled or cancelled, and never by one that is held.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from bus.clock import NS_PER_SECOND
from services.screener.live import Heard, LiveBar, PastBarSource
from services.screener.live_fill import FILL_AFTER_NS, Fill
from services.screener.live_names import Watched
from services.screener.steps import MINUTE_NS

logger = logging.getLogger(__name__)

#: A name whose bars do not come after this long is left out until the next list.
PATIENCE_NS: Final = 60 * NS_PER_SECOND


class Now(NamedTuple):
    """When a session looks: the session's time and the boot clock; a simulated exchange's minutes are there at once.

    What lasts as long as an order does is measured by `lasting_ns`: a simulated exchange may be faster than this host.
    """

    now_ns: int
    boot_ns: int
    is_simulated: bool = False

    @property
    def lasting_ns(self) -> int:
        """Return the clock by which orders live."""
        return self.now_ns if self.is_simulated else self.boot_ns


class Place(Struct, frozen=True, kw_only=True):
    """Who has a place in the stream: all names, whose bars are handed on, who is held, and how many places are free."""

    symbols: Collection[str]
    barred: Collection[str]
    held: Collection[str]
    room: int


class Joined(NamedTuple):
    """Names with their bars since the open, up to where nothing is missing."""

    names: tuple[str, ...]
    bars: Sequence[LiveBar]
    until_ns: int


class Joining:
    """What joins and what leaves one session.

    Args:
        past: where minutes come from.
        leave_after_ns: how long after a name left the list its place may be given away.
    """

    def __init__(self, past: PastBarSource, leave_after_ns: int) -> None:
        self._fill = Fill(past, "the names that join wait for it")
        self._leave_after_ns = leave_after_ns
        self._left_at: dict[str, int] = {}
        self._waiting: tuple[str, ...] = ()
        self._batch: tuple[str, ...] = ()
        self._asked_at = 0
        self._life = 0
        #: From here on every minute of the batch is whole; 0 = not known yet. The past is asked for up to here.
        self._whole_from_ns = 0

    @property
    def remark(self) -> str:
        """Return who joins, for people; empty when nobody does."""
        joining = len(self._batch) + len(self._waiting)
        return f"{joining} names join once their minutes since the open are there" if joining else ""

    def follow(self, names: Watched, place: Place, at: Now) -> bool:
        """Take a new list over: who is not in the session joins, who is not on the list may leave.

        Return whether somebody comes back whose place was not given away: the strategies wait for its minutes too.
        """
        wanted = set(names.symbols)
        comes_back = any(one in self._left_at and one in place.barred for one in names.barred)
        self._left_at = {one: self._left_at.get(one, at.lasting_ns) for one in place.symbols if one not in wanted}
        self._waiting = tuple(one for one in names.barred if one not in place.barred and one not in self._batch)
        return comes_back

    def leavers(self, place: Place, at: Now) -> tuple[str, ...]:
        """Return whose places are given away now: as many as are needed, those that left first."""
        if self._batch:
            return ()
        needed = sum(one not in place.symbols for one in self._waiting) - place.room
        free = [
            one
            for one, left_ns in sorted(self._left_at.items(), key=lambda item: (item[1], item[0]))
            if one in place.symbols and one not in place.held and at.lasting_ns >= left_ns + self._leave_after_ns
        ]
        return tuple(free[: max(needed, 0)])

    def begin(self, place: Place, boot_ns: int) -> tuple[str, ...]:
        """Return the names to subscribe now, best first; none while others join."""
        if self._batch or not self._waiting:
            return ()
        room, batch = place.room, []
        for one in self._waiting:
            if one in place.symbols or room > 0:
                room -= one not in place.symbols
                batch.append(one)
        self._batch, self._asked_at, self._whole_from_ns = tuple(batch), boot_ns, 0
        self._waiting = tuple(one for one in self._waiting if one not in batch)
        return self._batch

    def step(self, heard: Heard, open_ns: int, at: Now) -> Joined | None:
        """Go on with the names that were subscribed; return them with their minutes once these are there."""
        if not self._batch or not heard.is_up:
            return None
        if heard.life != self._life:
            # What came over the connection before has a gap now.
            self._life, self._whole_from_ns, self._asked_at = heard.life, 0, at.boot_ns
        if not self._whole_from_ns:
            self._await_bars(heard.barred, at)
            return None
        # Only a minute that began when bars already came is whole: the one before is asked for.
        if at.now_ns < self._whole_from_ns + (0 if at.is_simulated else FILL_AFTER_NS):
            return None
        found = self._fill.step(self._batch, (open_ns, self._whole_from_ns), at.boot_ns)
        if found is None:
            return None
        names, self._batch = self._batch, ()
        logger.info("market data: %s join with %d bars of before", ", ".join(names), len(found[0]))
        return Joined(names, *found)

    def _await_bars(self, barred: Collection[str], at: Now) -> None:
        missing = [one for one in self._batch if one not in barred]
        if missing and at.boot_ns - self._asked_at < PATIENCE_NS:
            return
        if missing:
            logger.warning("market data: no bars come of %s: left out until the next list", ", ".join(missing))
        self._batch = _without(self._batch, missing)
        self._whole_from_ns = at.now_ns - at.now_ns % MINUTE_NS + MINUTE_NS
        self._fill.begin(self._life, at.boot_ns)


def _without(names: Iterable[str], others: Collection[str]) -> tuple[str, ...]:
    return tuple(one for one in names if one not in others)
