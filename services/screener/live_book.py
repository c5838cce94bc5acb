"""The day of a live feed: the newest quotes, every bar so far, and in which order they are said. Pure.

Bars are handed on minute by minute, each minute once, and only while nothing is missing between the open and it: a
strategy never sees a minute after one that it has not seen. What comes for a minute that was handed on already makes
every minute be said again (`PastBars`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from bus.columns import pack
from bus.messages import BarBatch, MarketMessage, PastBars, QuoteBatch, SessionPlanned
from services.screener.live import LiveBar, LiveQuote
from services.screener.steps import BATCH_MAX, MINUTE_NS

#: A minute's bars are handed on as they come. It is over when all have come, or so long after its end: a name that
#: did not trade has none. It is less than any sensible SIGNAL_TTL, so that a name whose bar came last may still signal.
#: Alpaca sends a bar right after its minute. Source: Alpaca, "Real-time Stock Data", read 2026-11.
BARS_WAIT_NS: Final = 3_000_000_000
_SPREAD_NS: Final = 10_000_000_000


class LiveBook:
    """One session of a live feed. Times are the session's, UTC nanoseconds.

    Args:
        plan: the session.
        names: whose bars are handed on.
        step: the number before that of the first message.
    """

    def __init__(self, plan: SessionPlanned, names: Collection[str], step: int) -> None:
        self.plan = plan
        self.step = step
        self.said = 0
        self._names = set(names)
        #: Names that join, and what came of them while their past was asked for.
        self._expected: dict[str, list[LiveBar]] = {}
        self._quotes: dict[str, LiveQuote] = {}
        self._said_quote_ns: dict[str, int] = {}
        self._minutes: dict[int, dict[str, LiveBar]] = {}
        self._handed_ns = plan.open_ns
        #: Whose bars of the minute after that were said already.
        self._given: set[str] = set()
        #: Between the open and here nothing is missing, as far as is known.
        self._whole_ns = plan.open_ns
        self._newest_ns = 0
        self._is_streaming = False
        self._has_begun = False

    # --- what is heard -----

    def hear_quotes(self, quotes: Mapping[str, LiveQuote]) -> None:
        """Keep the newest quote of each name for the next batch; one that is older than the last said is not said."""
        for symbol, quote in quotes.items():
            if quote.ts_ns >= self._said_quote_ns.get(symbol, 0):
                self._quotes[symbol] = quote

    def hear_bars(self, bars: Iterable[LiveBar]) -> bool:
        """Keep bars of the session; return whether one came for a minute that was handed on without it."""
        is_late = False
        for bar in bars:
            if bar.symbol in self._expected and self._is_inside(bar.end_ns):
                self._expected[bar.symbol].append(bar)
            if bar.symbol not in self._names or not self._is_inside(bar.end_ns):
                continue
            minute = self._minutes.setdefault(bar.end_ns, {})
            is_new = minute.get(bar.symbol) != bar
            minute[bar.symbol] = bar
            is_given = bar.end_ns == self._handed_ns + MINUTE_NS and bar.symbol in self._given
            if is_new and (is_given or bar.end_ns <= self._handed_ns):
                is_late = True
        return is_late

    def hear_time(self, newest_ns: int) -> None:
        """Note the newest of the feed's own times: a minute that the feed itself is past has all its bars."""
        self._newest_ns = max(self._newest_ns, newest_ns)

    def lose_stream(self) -> None:
        """Note that bars are missed, until the gap is filled: since the minute in which the feed was last heard."""
        self._is_streaming = False
        # The bars of one minute do not all come at the same time.
        sure_ns = self._newest_ns - _SPREAD_NS
        last_ns = sure_ns - (sure_ns - self.plan.open_ns) % MINUTE_NS
        self._whole_ns = max(self.plan.open_ns, min(self._whole_ns, last_ns))

    def fill(self, bars: Iterable[LiveBar], until_ns: int) -> bool:
        """Fold fetched bars: every minute that ended by `until_ns` is whole, and the stream gives those after it.

        What the first call brings is the past: it is not handed on. Return whether a bar came for a minute that was.
        """
        is_late = self.hear_bars(bars)
        if not self._has_begun:
            self._has_begun = True
            self._handed_ns = max(self._handed_ns, until_ns)
        self._whole_ns = max(self._whole_ns, until_ns)
        self._is_streaming = True
        return is_late

    # --- who is watched -----

    def expect(self, names: Iterable[str]) -> None:
        """Keep the bars of names that join; none is handed on before their past is there."""
        self._expected |= {name: [] for name in names}

    def join(self, names: Iterable[str], past: Iterable[LiveBar], until_ns: int) -> None:
        """Hand the bars of these names on from now, and their past with all others' when it is said again.

        Args:
            names: those that were expected; another is not let in.
            past: their bars since the open.
            until_ns: up to where the past goes; the stream has given every minute after it.
        """
        joined = {name: self._expected.pop(name) for name in names if name in self._expected}
        self._names |= joined.keys()
        later = (bar for kept in joined.values() for bar in kept if bar.end_ns > until_ns)
        for bar in (*past, *later):
            if bar.symbol in joined and self._is_inside(bar.end_ns):
                self._minutes.setdefault(bar.end_ns, {})[bar.symbol] = bar

    def leave(self, names: Collection[str]) -> None:
        """Forget these names: what is said from now on, the past too, is without them."""
        self._names -= set(names)
        for kept in (self._expected, self._quotes, *self._minutes.values()):
            for name in names:
                kept.pop(name, None)  # type: ignore[attr-defined]  # each of them is a dict with names as its keys

    # --- what is said -----

    @property
    def whole_from_ns(self) -> int:
        """Return since when minutes may be missing: what is fetched begins here."""
        return self._whole_ns

    @property
    def is_whole(self) -> bool:
        """Tell whether no minute is missing."""
        return self._is_streaming

    @property
    def is_minute_open(self) -> bool:
        """Tell whether a part of a minute was said and its last one was not."""
        return bool(self._given)

    def quotes(self, now_ns: int) -> Iterator[QuoteBatch]:
        """Yield what is new of quotes; nothing when nothing is."""
        names = tuple(sorted(self._quotes))
        for start in range(0, len(names), BATCH_MAX):
            yield self._quote_batch(names[start : start + BATCH_MAX], now_ns)
        self._quotes.clear()

    def beat(self, now_ns: int) -> QuoteBatch:
        """Return a batch of no quotes: it says what time it is."""
        return self._quote_batch((), now_ns)

    def bars(self, now_ns: int) -> Iterator[MarketMessage]:
        """Yield the bars that were not handed on, oldest minute first; those after a gap wait.

        A minute may come in parts: the last one, which may be empty, closes it.
        """
        while self._is_streaming and self._handed_ns < self.plan.close_ns:
            end_ns = self._handed_ns + MINUTE_NS
            minute = self._minutes.get(end_ns, {})
            new = sorted(minute.keys() - self._given)
            if not self._is_over(end_ns, minute, now_ns):
                if now_ns >= end_ns:
                    self._given.update(new)
                    yield from self._batches(end_ns, new, BarBatch, more=1)
                return
            self._handed_ns = end_ns
            self._whole_ns = max(self._whole_ns, end_ns)
            is_open = bool(self._given)
            self._given.clear()
            if new or is_open:
                yield from self._batches(end_ns, new, BarBatch, is_closing=is_open)

    def _is_over(self, end_ns: int, minute: Mapping[str, LiveBar], now_ns: int) -> bool:
        """Tell whether no bar of a minute is to come any more."""
        if self._names <= minute.keys():
            return now_ns >= end_ns
        # A feed that has fallen silent gives no bars: a minute without any is believed of one that is heard.
        return now_ns >= end_ns + BARS_WAIT_NS and max(self._newest_ns, self._whole_ns) >= end_ns

    def past(self, now_ns: int) -> Iterator[MarketMessage]:
        """Yield every minute that was closed, or was over before the start, as the past.

        Not to be asked while a minute is open: its first parts would be forgotten with what was measured before.
        """
        yield PastBars(
            ts_event=now_ns,
            ts_init=now_ns,
            step=self.number(),
            symbols=(),
            opens_micros=b"",
            highs_micros=b"",
            lows_micros=b"",
            closes_micros=b"",
            volumes_nanos=b"",
            begins=True,
            names=tuple(sorted(self._names)),
        )
        for end_ns in sorted(end for end in self._minutes if end <= self._handed_ns):
            yield from self._batches(end_ns, sorted(self._minutes[end_ns]), PastBars)

    def has_all_said(self) -> bool:
        """Tell whether the last minute was handed on."""
        return self._handed_ns >= self.plan.close_ns

    def number(self) -> int:
        """Return the number of the message that is made now."""
        self.step += 1
        self.said += 1
        return self.step

    def _is_inside(self, end_ns: int) -> bool:
        return self.plan.open_ns < end_ns <= self.plan.close_ns

    def _batches(
        self, end_ns: int, names: Sequence[str], kind: type[BarBatch], *, more: int = 0, is_closing: bool = False
    ) -> Iterator[BarBatch]:
        """Yield bars of one minute; `more` parts follow them, and one that closes it is said even when it is empty."""
        bars = [self._minutes[end_ns][name] for name in names]
        starts = range(0, max(len(bars), int(is_closing)), BATCH_MAX)
        for left, start in zip(reversed(range(len(starts))), starts, strict=True):
            part = bars[start : start + BATCH_MAX]
            yield kind(
                ts_event=end_ns,
                ts_init=end_ns,
                step=self.number(),
                symbols=tuple(bar.symbol for bar in part),
                opens_micros=pack(bar.open_micros for bar in part),
                highs_micros=pack(bar.high_micros for bar in part),
                lows_micros=pack(bar.low_micros for bar in part),
                closes_micros=pack(bar.close_micros for bar in part),
                volumes_nanos=pack(bar.volume_nanos for bar in part),
                parts_left=left + more,
            )

    def _quote_batch(self, names: tuple[str, ...], now_ns: int) -> QuoteBatch:
        found = [self._quotes[name] for name in names]
        self._said_quote_ns.update((quote.symbol, quote.ts_ns) for quote in found)
        return QuoteBatch(
            ts_event=now_ns,
            ts_init=now_ns,
            step=self.number(),
            symbols=names,
            bids_micros=pack(quote.bid_micros for quote in found),
            asks_micros=pack(quote.ask_micros for quote in found),
            bid_sizes_nanos=pack(quote.bid_size_nanos for quote in found),
            ask_sizes_nanos=pack(quote.ask_size_nanos for quote in found),
            times_ns=pack(quote.ts_ns for quote in found),
        )
