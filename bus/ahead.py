"""Market messages that lie ahead, as arrays: in a replay, those that nobody acts on are heard many at a time.

Only the chain in one process (bus/local.py) has messages ahead. Before it plays them one by one it asks every core and
shell how many of the next ones would only be heard; those are heard in one go. What is asked is answered from the very
numbers of the messages, so the answer is exact, and nobody learns what it says before its time.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import repeat
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bus.messages import PRICE_MICROS_MAX, BarBatch, MarketMessage, QuoteBatch

S = TypeVar("S")
Ints = NDArray[np.int64]
#: So many messages are looked at together, and so many numbers of one kind: eight megabytes.
_MESSAGES_MAX: Final = 256
_NUMBERS_MAX: Final = 1_000_000
_BASIS_POINTS: Final = 10_000
#: A price times 10,000 fits 64 bits below this.
_EXACT_MICROS_MAX: Final = (2**63 - 1) // _BASIS_POINTS


@runtime_checkable
class Foreseeing(Protocol[S]):
    """A core or a shell that can say how long it will only listen."""

    def quiet_for(self, state: S, ahead: "Ahead") -> int:
        """Return how many of the next messages would only be heard: nothing decided, reported or done on any."""
        ...

    def let_pass(self, state: S, ahead: "Ahead") -> S:
        """Hear messages of which `quiet_for` has said that they would only be heard; return the state after them."""
        ...


class Block:
    """Messages that follow each other, quotes and bars; all quotes among them are of one and the same list of names."""

    def __init__(self, messages: Sequence[MarketMessage], symbols: tuple[str, ...]) -> None:
        self.messages = messages
        self.symbols = symbols
        #: Of each trailing stop that was asked for, the first quote at which it is hit; beyond the last where none is.
        self.stops: dict[str, int] = {}
        self.times = [message.ts_event for message in messages]
        self.quotes: list[QuoteBatch] = []
        self.bars: list[BarBatch] = []
        #: How many quotes there are before each message, and the place of each quote.
        self.quotes_before = [0]
        self.quote_places: list[int] = []
        for place, message in enumerate(messages):
            if isinstance(message, QuoteBatch):
                self.quotes.append(message)
                self.quote_places.append(place)
            elif isinstance(message, BarBatch):
                self.bars.append(message)
            self.quotes_before.append(len(self.quotes))

    @cached_property
    def bids(self) -> Ints:
        """Return the bids, (quotes, names), in micro-dollars."""
        return self._matrix([batch.bids_micros for batch in self.quotes])

    @cached_property
    def unsound(self) -> NDArray[np.bool_] | None:
        """Return which quotes, (quotes, names), lack a side, are crossed or out of range; None where none is."""
        asks = self._matrix([batch.asks_micros for batch in self.quotes])
        bid_sizes = self._matrix([batch.bid_sizes_nanos for batch in self.quotes])
        ask_sizes = self._matrix([batch.ask_sizes_nanos for batch in self.quotes])
        most = min(PRICE_MICROS_MAX, _EXACT_MICROS_MAX)
        sizes = np.minimum(bid_sizes, ask_sizes)
        bad = (self.bids <= 0) | (self.bids > asks) | (asks > most) | (sizes <= 0)
        return bad if bad.any() else None

    def _matrix(self, columns: list[bytes]) -> Ints:
        found: Ints = np.frombuffer(b"".join(columns), dtype="<i8").reshape(len(columns), len(self.symbols))
        return found


class Ahead:
    """Some of a block's messages: those from `start` on, up to `stop`."""

    __slots__ = ("_block", "_first", "_last", "_start", "_stop")

    def __init__(self, block: Block, start: int, stop: int) -> None:
        self._block = block
        self._start = start
        self._stop = min(stop, len(block.messages))
        self._first = block.quotes_before[start]
        self._last = block.quotes_before[self._stop]

    def __len__(self) -> int:
        return self._stop - self._start

    def first(self, count: int) -> "Ahead":
        """Return the first so many of these messages."""
        return Ahead(self._block, self._start, self._start + count)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the names of all quotes."""
        return self._block.symbols

    @property
    def messages(self) -> Sequence[MarketMessage]:
        """Return the messages, at least one."""
        return self._block.messages[self._start : self._stop]

    @property
    def last(self) -> MarketMessage:
        """Return the last message."""
        return self._block.messages[self._stop - 1]

    @property
    def bars(self) -> Sequence[BarBatch]:
        """Return the bars."""
        return self._block.bars[self._start - self._first : self._stop - self._last]

    @property
    def newest_quotes(self) -> QuoteBatch | None:
        """Return the last quotes, None where there are none."""
        return self._block.quotes[self._last - 1] if self._last > self._first else None

    @property
    def quoted_from_ns(self) -> int:
        """Return when the first quotes are said, 0 where there are none."""
        return self._block.quotes[self._first].ts_event if self._last > self._first else 0

    def begins_at(self) -> int:
        """Return the time of the first message."""
        return self._block.times[self._start]

    def until(self, ts_ns: int) -> int:
        """Return how many messages come before this time."""
        return bisect_left(self._block.times, ts_ns, self._start, self._stop) - self._start

    def worth_within(self, rows: Sequence[int], shares: Sequence[int], *, low: int, high: int) -> int:
        """Return for how many messages so many shares of each name are worth `low` to `high` micro-dollars at the bids.

        `rows` are the names' places in `symbols`. Up to the first quote that lacks a side or makes no sense.
        """
        if self._first == self._last:
            return len(self)
        places = np.array(rows)
        quotes = self._sound_quotes(places)
        bids = self._bids(places, quotes)
        if quotes and int(bids.max()) * sum(map(abs, shares)) >= 2**63:
            return 0
        worth = bids @ np.array(shares, dtype=np.int64)
        outside = np.flatnonzero((worth < max(low, -(2**63))) | (worth > min(high, 2**63 - 1)))
        return self._messages_before(int(outside[0]) if outside.size else quotes)

    def until_stopped(
        self, keys: Sequence[str], rows: Sequence[int], peaks: Sequence[int], trails_bps: Sequence[int]
    ) -> int:
        """Return how many messages come before the first quote at which a trailing stop is hit, or that makes no sense.

        Stop `keys[i]` follows the best bid of the name at `rows[i]`, at first `peaks[i]`, and is hit when the bid is so
        many basis points below it. Where that is in the block is reckoned once for each stop and then remembered.
        """
        first, known = self._first, self._block.stops
        if first == self._last:
            return len(self)
        places = list(map(known.get, keys, repeat(-1)))
        if min(places) < first:
            fresh = [i for i, place in enumerate(places) if place < first]
            self._find_stops([keys[i] for i in fresh], [(rows[i], peaks[i], trails_bps[i]) for i in fresh])
            places = [known[key] for key in keys]
        return self._messages_before(min(places) - first)

    def _find_stops(self, keys: list[str], terms: list[tuple[int, int, int]]) -> None:
        """Find where stops are hit; the terms of each are its name's place, its peak and its trail."""
        block, first = self._block, self._first
        places, peaks, trails = np.array(terms).T
        bids = block.bids[first:].take(places, axis=1)
        best = np.maximum.accumulate(bids, axis=0)
        np.maximum(best, peaks, out=best)
        best *= _BASIS_POINTS - trails
        hit = bids * _BASIS_POINTS <= best
        if block.unsound is not None:
            hit |= block.unsound[first:].take(places, axis=1)
        found = np.where(hit.any(axis=0), hit.argmax(axis=0), len(hit))
        block.stops.update(zip(keys, (found + first).tolist(), strict=True))

    def best_bids(self, rows: Sequence[int]) -> list[int]:
        """Return the best bid of each of these names; there have to be quotes."""
        found: list[int] = self._bids(np.array(rows), self._last - self._first).max(axis=0).tolist()
        return found

    def _bids(self, places: NDArray[np.int64], quotes: int) -> Ints:
        return self._block.bids[self._first : self._first + quotes].take(places, axis=1)

    def _sound_quotes(self, places: NDArray[np.int64]) -> int:
        """Return how many quotes there are before the first that is unsound for one of these names."""
        bad = self._block.unsound
        if bad is None:
            return self._last - self._first
        found = np.flatnonzero(bad[self._first : self._last].take(places, axis=1).any(axis=1))
        return int(found[0]) if found.size else self._last - self._first

    def _messages_before(self, quotes: int) -> int:
        """Return how many messages there are before the quotes of this number, counted from the first."""
        if self._first + quotes >= self._last:
            return len(self)
        return self._block.quote_places[self._first + quotes] - self._start


def blocks_of(feed: Iterable[MarketMessage]) -> Iterator[Block | MarketMessage]:
    """Yield the feed in order: what can be looked at together as a block, and any other message by itself."""
    waiting: list[MarketMessage] = []
    symbols: tuple[str, ...] = ()
    most = _MESSAGES_MAX
    for message in feed:
        if isinstance(message, QuoteBatch):
            if message.symbols is not symbols and waiting and symbols:
                yield Block(waiting, symbols)
                waiting = []
            if message.symbols is not symbols:
                symbols = message.symbols
                most = min(_MESSAGES_MAX, max(_NUMBERS_MAX // max(len(symbols), 1), 1))
        elif type(message) is not BarBatch:
            if waiting:
                yield Block(waiting, symbols)
            waiting, symbols = [], ()
            yield message
            continue
        waiting.append(message)
        if len(waiting) >= most:
            yield Block(waiting, symbols)
            waiting, symbols = [], ()
    if waiting:
        yield Block(waiting, symbols)


def foreseeing(member: object) -> Foreseeing[Any] | None:
    """Return a core or a shell that can say how long it will only listen; None where it cannot."""
    return member if isinstance(member, Foreseeing) else None
