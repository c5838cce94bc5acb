"""One session of live data: what the stream brings, what was missed, and in which order both are said."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from typing import Final

from msgspec import Struct

from bus.clock import NS_PER_SECOND
from bus.instruments import is_option
from bus.messages import ChainStatus, FeedEnded, MarketMessage, ServiceHealth, ServiceName, SessionPlanned
from services.screener.live import Heard, LiveQuote, PastBarSource, PutQuotes, Stream
from services.screener.live_book import LiveBook
from services.screener.live_fill import FILL_AFTER_NS, Fill
from services.screener.live_joining import Joining, Now, Place
from services.screener.live_names import Watched
from services.screener.steps import MINUTE_NS

logger = logging.getLogger(__name__)

#: Quotes of one name that come faster than this are one quote: the newest.
QUOTES_EVERY_NS: Final = 250_000_000
#: Listeners hear what time it is at least so often, also when nothing is quoted.
BEAT_NS: Final = NS_PER_SECOND
_REPLAY_EVERY_NS: Final = NS_PER_SECOND
#: To somebody who missed some of it the minutes are said again no more often than this.
_HOLES_EVERY_NS: Final = 5 * NS_PER_SECOND
#: So long after the close the session ends, whatever is missing.
_END_NS: Final = MINUTE_NS
_TELL_NS: Final = 60 * NS_PER_SECOND
_LAG_NS_MAX: Final = NS_PER_SECOND
#: Who measures minutes, and has to hear all of them.
_MEASURING: Final[tuple[ServiceName, ...]] = ("strategy", "risk")
_NS_PER_MS: Final = 1_000_000
#: A name that was not quoted for so long is told; risk denies long before, by MAX_QUOTE_AGE.
_SILENT_NS: Final = 30 * NS_PER_SECOND
_NAMED_MAX: Final = 5


class LivePorts(Struct, frozen=True, kw_only=True):
    """The world of a live session.

    `is_simulated`: the feed's own time is the session's, and nothing waits for the host's clock. `on_fault` is told
    once, in words, that the feed is given up. After `leave_after_ns` the place of a name that left may be given away.
    """

    stream: Stream
    past: PastBarSource
    puts: PutQuotes
    utc_ns: Callable[[], int]
    boot_ns: Callable[[], int]
    is_simulated: bool
    on_fault: Callable[[str], object]
    leave_after_ns: int = 0


class LiveSession:
    """A `LiveFeed` of one planned session.

    Args:
        plan: the session.
        names: what is watched.
        ports: where it comes from.
    """

    def __init__(self, plan: SessionPlanned, names: Watched, ports: LivePorts) -> None:
        self._plan = plan
        self._ports = ports
        self._barred = names.barred
        self._symbols = set(names.symbols)
        self._held: set[str] = set()
        self._room = names.room
        self._joining = Joining(ports.past, ports.leave_after_ns)
        #: When the newest list was said; 0 = everybody has it.
        self._listed_at = 0
        self._has_joined = False
        # Numbers go on rising over starts of this process: no feed says as many messages as there are milliseconds.
        self._book = LiveBook(plan, names.barred, ports.utc_ns() // _NS_PER_MS)
        self._first_step = self._book.step + 1
        self._began_at = ports.boot_ns()
        self._saying: Iterator[MarketMessage] = iter(())
        self._has_ended = False
        self._looked_at = 0
        self._said_at = 0
        self._newest_ns = 0
        self._life = 0
        self._is_up = False
        self._lag_ns = 0
        self._fill = Fill(ports.past)
        self._is_replay_due = False
        self._replayed_at = 0
        self._served: set[tuple[ServiceName, int]] = set()
        self._hearing: set[tuple[ServiceName, int]] = set()
        self._holes: dict[tuple[ServiceName, int], int] = {}
        self._holes_due = False
        self._fault = ""
        self._remark = ""
        self._puts_held: tuple[str, ...] = ()
        self._puts_listed: tuple[str, ...] = ()
        self._prices: dict[str, int] = {}
        self._quoted_at: dict[str, int] = {}
        self._tally = _Tally(ports.boot_ns())
        ports.stream.want(names.symbols, names.barred)

    @property
    def has_ended(self) -> bool:
        """Tell whether FeedEnded was said."""
        return self._has_ended

    @property
    def session_date(self) -> str:
        """Return the day of the session."""
        return self._plan.session_date

    @property
    def barred(self) -> Collection[str]:
        """Return the names whose bars are handed on."""
        return self._barred

    @property
    def remark(self) -> str:
        """Return how the feed is, for people."""
        if self._fault:
            return self._fault
        if self._has_ended:
            return "market data: the session is over"
        parts = (self._state(), self._remark, self._joining.remark, self._silent())
        return "; ".join(words for words in parts if words)

    @property
    def now_ns(self) -> int:
        """Return the session's time: of a simulated exchange its own, 0 before it has said any."""
        return self._newest_ns if self._ports.is_simulated else self._ports.utc_ns()

    def _state(self) -> str:
        if not self._book.is_whole:
            quotes = "quotes come" if self._is_up else "no quotes come"
            return f"market data: minutes are missing, so none is handed on; {quotes}"
        if self._ports.is_simulated:
            return "market data: whole, of a simulated exchange"
        return f"market data: whole; quotes are {self._lag_ns / NS_PER_SECOND:.1f} s behind this host's clock"

    def _silent(self) -> str:
        """Name what was not quoted for long while the exchange is open: nothing of it is bought or sold at a price."""
        now_ns, boot_ns = self._ports.utc_ns(), self._ports.boot_ns()
        if self._ports.is_simulated or not self._plan.open_ns <= now_ns < self._plan.close_ns:
            return ""
        watched = [*sorted(self._symbols), *sorted({*self._puts_held, *self._puts_listed})]
        silent = [name for name in watched if boot_ns - self._quoted_at.get(name, self._began_at) > _SILENT_NS]
        if not silent:
            return ""
        more = f" and {len(silent) - _NAMED_MAX} more" if len(silent) > _NAMED_MAX else ""
        return f"no quote for over {_SILENT_NS // NS_PER_SECOND} s of {', '.join(silent[:_NAMED_MAX])}{more}"

    def hold(self, symbols: Collection[str]) -> None:
        """Watch the quotes of these names too: they are held. One too many would end the whole stream."""
        self._puts_held = tuple(sorted(filter(is_option, symbols)))
        self._watch_puts()
        self._held = {symbol for symbol in symbols if not is_option(symbol)}
        new = sorted(self._held - self._symbols)
        if not new:
            return
        self._symbols |= set(new)
        taken, left_out = new[: self._room], new[self._room :]
        self._room -= len(taken)
        if taken:
            self._ports.stream.want(taken, ())
        if left_out:
            logger.warning("market data: no quotes of %s, though held: no room is left in the stream", left_out)

    def follow(self, names: Watched) -> None:
        """Take over a list that was just said: names join with all their minutes, names that left make room."""
        self._listed_at = self._ports.boot_ns()
        if self._joining.follow(names, self._place(), self._at()):
            self._has_joined = True

    def _at(self) -> Now:
        return Now(self.now_ns, self._ports.boot_ns(), self._ports.is_simulated)

    def _place(self) -> Place:
        return Place(symbols=self._symbols, barred=self._barred, held=self._held, room=self._room)

    def list_puts(self, puts: Collection[str]) -> None:
        """Quote these puts, which may be bought, and those that are held; no others any more."""
        self._puts_listed = tuple(puts)
        self._watch_puts()

    def _watch_puts(self) -> None:
        self._ports.puts.watch(tuple(dict.fromkeys((*self._puts_held, *self._puts_listed))))

    def price_of(self, symbol: str) -> int:
        """Return the middle of a name's newest quote in micro-dollars; 0 = it had none with both sides."""
        return self._prices.get(symbol, 0)

    def hear_status(self, status: ChainStatus) -> None:
        """Say the minutes since the open again when a listener has begun to hear this feed."""
        if any(line.service == "screener" and self._has_been_heard(line) for line in status.services):
            self._listed_at = 0
        lines = [
            line
            for line in status.services
            if line.service in _MEASURING and line.status == "up" and line.step >= self._first_step
        ]
        self._hearing = {(line.service, line.pid) for line in lines}
        if self._hearing - self._served:
            self._is_replay_due = True
        for line in lines:
            self._hear_holes(line)

    def _has_been_heard(self, line: ServiceHealth) -> bool:
        """Tell whether everybody has acknowledged the newest list, by this service's own outbox since then."""
        is_newer = self._ports.boot_ns() - line.age_ms * _NS_PER_MS - NS_PER_SECOND >= self._listed_at
        return is_newer and line.status == "up" and line.outbox_depth == 0

    def _hear_holes(self, line: ServiceHealth) -> None:
        """Say the minutes again to a listener that has missed some of what was said."""
        key = (line.service, line.pid)
        if line.market_holes <= self._holes.get(key, 0):
            return
        self._holes[key] = line.market_holes
        if key in self._served:
            # Whoever cannot keep up must not be given ever more to hear.
            self._holes_due = True
            logger.warning("market data: %s missed some of what was said", line.service)

    def next(self) -> MarketMessage | None:
        """Return the next message, None = nothing now."""
        message = next(self._saying, None)
        if message is None:
            self._look()
            message = next(self._saying, None)
        if message is not None:
            self._said_at = self._ports.boot_ns()
            self._has_ended = isinstance(message, FeedEnded)
        return message

    def close(self) -> None:
        """Hang up."""
        self._ports.stream.close()
        self._ports.puts.close()

    # --- looking -----

    def _look(self) -> None:
        boot_ns = self._ports.boot_ns()
        # The look at a simulated exchange does not wait: a second may be a minute there.
        if not self._ports.is_simulated and boot_ns - self._looked_at < QUOTES_EVERY_NS:
            return
        self._looked_at = boot_ns
        heard = self._ports.stream.take()
        self._newest_ns = max(self._newest_ns, heard.newest_ns)
        now_ns = self.now_ns
        self._follow_stream(heard, boot_ns)
        if not now_ns:
            # A simulated exchange that has said nothing yet has no time.
            return
        self._book.hear_time(heard.newest_ns)
        quotes = {**heard.quotes, **self._ports.puts.take()}
        self._book.hear_quotes(quotes)
        self._note(quotes, boot_ns)
        if self._book.hear_bars(heard.bars):
            self._repair("a bar came after its minute was handed on")
        self._mend(now_ns, boot_ns)
        self._let_join(heard, self._at())
        self._tally.add(heard, boot_ns, is_simulated=self._ports.is_simulated)
        self._saying = chain(
            self._past(now_ns, boot_ns),
            self._minutes(now_ns),
            self._book.quotes(now_ns),
            self._end(now_ns),
            self._beat(now_ns, boot_ns),
        )

    def _note(self, quotes: Mapping[str, LiveQuote], boot_ns: int) -> None:
        for symbol, quote in quotes.items():
            self._quoted_at[symbol] = boot_ns
            if quote.bid_micros and quote.ask_micros:
                self._prices[symbol] = (quote.bid_micros + quote.ask_micros) // 2

    def _follow_stream(self, heard: Heard, boot_ns: int) -> None:
        self._is_up, self._lag_ns, self._remark = heard.is_up, heard.lag_ns, heard.remark
        if heard.fault and not self._fault:
            self._fault = heard.fault
            self._ports.on_fault(heard.fault)
        if self._life and (not heard.is_up or heard.life != self._life) and self._book.is_whole:
            logger.warning("market data: the stream is interrupted; no minute is handed on before the gap is filled")
            self._book.lose_stream()
        if heard.is_up and heard.life != self._life:
            self._life = heard.life
            self._fill.begin(heard.life, boot_ns + (0 if self._ports.is_simulated else FILL_AFTER_NS))

    def _mend(self, now_ns: int, boot_ns: int) -> None:
        """Ask for what is missing up to now; fold the answer in when it has come."""
        until_ns = min(now_ns - now_ns % MINUTE_NS, self._plan.close_ns)
        found = self._fill.step(self._barred, (self._book.whole_from_ns, until_ns), boot_ns)
        if found is None:
            return
        bars, until_ns = found
        if self._book.fill(bars, until_ns):
            self._repair("minutes were handed on without bars that were fetched since")
        logger.info("market data: nothing is missing up to %d; %d bars were fetched", until_ns, len(bars))

    def _let_join(self, heard: Heard, at: Now) -> None:
        """Let names leave and join; once those who measure have the list, say all minutes again with theirs."""
        leavers = self._joining.leavers(self._place(), at)
        if leavers:
            logger.info("market data: off the list, so their places are given away: %s", ", ".join(leavers))
            self._ports.stream.drop(leavers)
            self._book.leave(leavers)
            self._symbols -= set(leavers)
            self._barred = tuple(one for one in self._barred if one not in leavers)
            self._room += len(leavers)
        new = self._joining.begin(self._place(), at.boot_ns)
        if new:
            self._room -= len(set(new) - self._symbols)
            self._symbols |= set(new)
            self._book.expect(new)
            self._ports.stream.want(new, new)
        joined = self._joining.step(heard, self._plan.open_ns, at)
        if joined is not None:
            self._book.join(*joined)
            self._barred = (*self._barred, *joined.names)
            self._has_joined = True
        if self._has_joined and not self._listed_at:
            self._has_joined = False
            self._is_replay_due = True

    def _repair(self, why: str) -> None:
        logger.warning("market data: %s; all minutes since the open are said again", why)
        self._is_replay_due = True

    # --- saying -----

    def _past(self, now_ns: int, boot_ns: int) -> Iterator[MarketMessage]:
        if self._holes_due and boot_ns - self._replayed_at >= _HOLES_EVERY_NS:
            self._holes_due, self._is_replay_due = False, True
        may_be_said = self._book.is_whole and not self._book.is_minute_open
        if not (self._is_replay_due and may_be_said) or boot_ns - self._replayed_at < _REPLAY_EVERY_NS:
            return
        self._is_replay_due = False
        self._replayed_at = boot_ns
        self._served = set(self._hearing)
        logger.info("market data: the minutes since the open are said again, for %s", sorted(self._served))
        yield from self._book.past(now_ns)

    def _minutes(self, now_ns: int) -> Iterator[MarketMessage]:
        # Whoever measures has to have the minutes before: until somebody is known to have heard them, none follows.
        if self._served:
            yield from self._book.bars(now_ns)

    def _beat(self, now_ns: int, boot_ns: int) -> Iterator[MarketMessage]:
        if not self._has_ended and boot_ns - self._said_at >= BEAT_NS:
            yield self._book.beat(now_ns)

    def _end(self, now_ns: int) -> Iterator[MarketMessage]:
        close_ns = self._plan.close_ns
        is_over = now_ns >= close_ns and self._book.has_all_said()
        if is_over or now_ns >= close_ns + _END_NS:
            step = self._book.number()
            yield FeedEnded(ts_event=close_ns, ts_init=now_ns, step=step, steps=self._book.said)


class _Tally:
    """Says once a minute what came, and how far the feed is behind this host's clock."""

    def __init__(self, boot_ns: int) -> None:
        self._due_ns = boot_ns + _TELL_NS
        self._quotes = 0
        self._bars = 0

    def add(self, heard: Heard, boot_ns: int, *, is_simulated: bool) -> None:
        """Count what came; say it when it is time."""
        self._quotes += len(heard.quotes)
        self._bars += len(heard.bars)
        if boot_ns < self._due_ns:
            return
        lag = "of a simulated exchange"
        if not is_simulated:
            lag = f"the newest quote was {heard.lag_ns / NS_PER_SECOND:.3f} s behind this host's clock"
        line = f"market data of a minute: {self._quotes} quotes, {self._bars} bars, {heard.malformed} malformed so far"
        is_late = abs(heard.lag_ns) > _LAG_NS_MAX and not is_simulated
        level = logging.WARNING if is_late else logging.INFO
        logger.log(level, "%s; %s", line, lag)
        self._due_ns, self._quotes, self._bars = boot_ns + _TELL_NS, 0, 0
