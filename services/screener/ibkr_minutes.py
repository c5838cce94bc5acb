"""Minutes made of five-second bars. Pure.

A minute is ready when its last five seconds were heard, or two seconds after its end: a name that does not trade may
have none. What comes later makes the minute again.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from bus.clock import NS_PER_SECOND
from services.screener.live import LiveBar

_MINUTE_S: Final = 60
_PART_S: Final = 5
_LAST_S: Final = _MINUTE_S - _PART_S
#: So long after its end a minute is made without its last five seconds.
WAIT_NS: Final = 2 * NS_PER_SECOND
#: Minutes that are kept, for what comes late.
_KEPT: Final = 5


class FiveSeconds(Struct, frozen=True):
    """One bar of five seconds in micro-dollars and nano-shares; no volume = nobody traded."""

    start_s: int
    open_micros: int
    high_micros: int
    low_micros: int
    close_micros: int
    volume_nanos: int


class MinuteMaker:
    """Puts the five-second bars of all names together."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], dict[int, FiveSeconds]] = {}
        self._made: dict[tuple[str, int], LiveBar] = {}
        self._from_s = 0

    def begin(self, from_ns: int) -> None:
        """Forget what is before a minute: history gives it."""
        self._from_s = from_ns // NS_PER_SECOND
        self._parts = {key: parts for key, parts in self._parts.items() if key[1] >= self._from_s}
        self._made.clear()

    def sample(self, symbol: str, price_micros: int, volume_nanos: int, now_ns: int) -> None:
        """Take a trade that was heard now, where there are no five-second bars: its minute is made when it is over."""
        now_s = now_ns // NS_PER_SECOND
        start_s, minute_s = now_s - now_s % _PART_S, now_s - now_s % _MINUTE_S
        if minute_s < self._from_s or price_micros <= 0 or volume_nanos <= 0:
            return
        parts = self._parts.setdefault((symbol, minute_s), {})
        was = parts.get(start_s) or FiveSeconds(start_s, price_micros, price_micros, price_micros, price_micros, 0)
        parts[start_s] = FiveSeconds(
            start_s,
            was.open_micros,
            max(was.high_micros, price_micros),
            min(was.low_micros, price_micros),
            price_micros,
            was.volume_nanos + volume_nanos,
        )

    def add(self, symbol: str, part: FiveSeconds) -> LiveBar | None:
        """Take five seconds; return their minute when it is ready, or is another one now."""
        minute_s = part.start_s - part.start_s % _MINUTE_S
        if minute_s < self._from_s:
            return None
        key = (symbol, minute_s)
        self._parts.setdefault(key, {})[part.start_s] = part
        is_last = part.start_s - minute_s == _LAST_S
        return self._new(key) if is_last or key in self._made else None

    def due(self, now_ns: int) -> Iterator[LiveBar]:
        """Yield the minutes that are over and were not made; forget old ones."""
        now_s = (now_ns - WAIT_NS) // NS_PER_SECOND
        for key in [key for key in self._parts if key[1] + _MINUTE_S <= now_s]:
            bar = None if key in self._made else self._new(key)
            if bar is not None:
                yield bar
            if key[1] + _KEPT * _MINUTE_S <= now_s:
                del self._parts[key]
                self._made.pop(key, None)

    def _new(self, key: tuple[str, int]) -> LiveBar | None:
        parts = [part for _, part in sorted(self._parts[key].items()) if part.volume_nanos > 0]
        if not parts:
            return None
        bar = LiveBar(
            symbol=key[0],
            open_micros=parts[0].open_micros,
            high_micros=max(part.high_micros for part in parts),
            low_micros=min(part.low_micros for part in parts),
            close_micros=parts[-1].close_micros,
            volume_nanos=sum(part.volume_nanos for part in parts),
            end_ns=(key[1] + _MINUTE_S) * NS_PER_SECOND,
        )
        if not bar.is_sound or self._made.get(key) == bar:
            return None
        self._made[key] = bar
        return bar
