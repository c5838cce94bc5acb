"""The live feed of Interactive Brokers: quotes and five-second bars of each name, made into quotes and minutes.

What was heard begins to count at the first full minute after everything is subscribed: the minutes before it come from
history. The same after the line, a farm or one name's bars were away.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Final

from msgspec import Struct

from bus.clock import NS_PER_SECOND
from services.screener import ibkr_requests as requests
from services.screener.ibkr_codes import Meaning
from services.screener.ibkr_ears import DataEars, Listener, RequestError
from services.screener.ibkr_line import IbkrDataError, IbkrDataLine, in_words
from services.screener.ibkr_minutes import FiveSeconds, MinuteMaker
from services.screener.ibkr_puts import COMPETING_NS
from services.screener.ibkr_quotes import QuoteListener
from services.screener.live import Heard, LiveBar, LiveQuote
from services.screener.steps import MINUTE_NS
from services.screener.units import micros, nanos

logger = logging.getLogger(__name__)

_ROUND_S: Final = 0.05
#: A subscription that was not refused after so long stands.
_TAKEN_NS: Final = 2 * NS_PER_SECOND
#: A name whose data failed is asked for again after this.
AGAIN_NS: Final = 5 * NS_PER_SECOND
#: A name whose data failed as often is left out.
FAILURES_MAX: Final = 3
_NAMED_MAX: Final = 5
#: What is refused with these is refused for this name alone, and stays so for the session.
_FINAL: Final = frozenset({Meaning.NO_CONTRACT, Meaning.NOT_SUBSCRIBED, Meaning.TOO_MANY_LINES})


class IbkrStreamSettings(Struct, frozen=True, kw_only=True):
    """How patient the reader is; `quiet_s` after how many seconds without its bars a name that trades has lost them."""

    quiet_s: Callable[[], float]
    utc_ns: Callable[[], int]


class _Bars(Listener):
    """Hears one name's five-second bars."""

    def __init__(self, symbol: str, stream: "IbkrStream", asked_ns: int) -> None:
        self.symbol = symbol
        self.asked_ns = asked_ns
        self.heard_ns = asked_ns
        self.trades = 0
        self.error: RequestError | None = None
        self._stream = stream

    def five_seconds(self, start_s: int, prices: tuple[float, float, float, float], volume: float) -> None:
        """Hand five seconds on."""
        self._stream.hear_five_seconds(self, start_s, prices, volume)

    def failed(self, error: RequestError) -> None:
        """Note why there are none."""
        self.error = error


class _Subscribed(Struct):
    """What was asked of one name: its requests and their listeners; None = not asked yet."""

    quotes: QuoteListener | None = None
    quotes_key: int = 0
    bars: _Bars | None = None
    bars_key: int = 0


class IbkrStream:
    """A `Stream` of Interactive Brokers. Begins at the first `want`.

    Args:
        line: the connection that is shared.
        settings: how patient the reader is.
    """

    def __init__(self, line: IbkrDataLine, settings: IbkrStreamSettings) -> None:
        self._line = line
        self._settings = settings
        self._lock = threading.Lock()
        self._stopping = False
        self._has_begun = False
        self._wanted: dict[str, None] = {}
        self._barred: set[str] = set()
        self._names: dict[str, _Subscribed] = {}
        self._refused: dict[str, str] = {}
        self._failures: dict[str, int] = {}
        #: Names whose data failed -> boot time at which they are asked for again.
        self._later: dict[str, int] = {}
        self._maker = MinuteMaker()
        self._bars: list[LiveBar] = []
        self._life = 0
        self._is_up = False
        self._newest_ns = 0
        self._malformed = 0
        self._fault = ""
        self._waits = ""
        self._ears: DataEars | None = None
        self._seen = (0, 0)
        self._counts_from_ns = 0
        self._again_ns = 0

    def __repr__(self) -> str:
        """Return the line alone."""
        return f"IbkrStream({self._line})"

    # --- from the loop that publishes -----

    def want(self, symbols: Sequence[str], barred: Collection[str]) -> None:
        """Subscribe these names' quotes, and the bars of those that are `barred`, in this order."""
        with self._lock:
            self._wanted |= dict.fromkeys(symbols)
            self._barred |= set(barred)
            # Names that come later interrupt nothing: whoever asked for their bars waits until they are `barred`.
        if not self._has_begun:
            self._has_begun = True
            self._line.spawn(self._tend)

    def drop(self, symbols: Collection[str]) -> None:
        """End the subscription of these names: their lines are free for others at the next round."""
        with self._lock:
            for symbol in symbols:
                self._wanted.pop(symbol, None)
            self._barred -= set(symbols)

    def take(self) -> Heard:
        """Return what has come since the last call."""
        now_ns = self._settings.utc_ns()
        with self._lock:
            quotes: dict[str, LiveQuote] = {}
            for symbol, name in self._names.items():
                if name.quotes is not None and name.quotes.is_new:
                    quotes[symbol] = name.quotes.quote(now_ns)
            bars, self._bars = self._bars, []
            bars.extend(self._maker.due(now_ns))
            if quotes or bars:
                self._newest_ns = max(self._newest_ns, now_ns if quotes else 0, *(bar.end_ns for bar in bars), 0)
            return Heard(
                quotes=quotes,
                bars=bars,
                life=self._life,
                is_up=self._is_up,
                newest_ns=self._newest_ns,
                lag_ns=self._clock_lag_ns(now_ns),
                malformed=self._malformed,
                fault=self._fault,
                remark=self._remark(),
                barred=self._barred_now(),
            )

    def _barred_now(self) -> frozenset[str]:
        """Return whose bars come; the lock is held."""
        boot_ns = self._line.boot_ns()
        asked = ((symbol, name.bars) for symbol, name in self._names.items())
        return frozenset(symbol for symbol, bars in asked if bars is not None and boot_ns - bars.asked_ns >= _TAKEN_NS)

    def _clock_lag_ns(self, now_ns: int) -> int:
        """Return how far the host's clock is past the gateway's, which says whole seconds; 0 = less than one."""
        seconds, heard_ns = self._line.server_time
        lag_ns = now_ns - (seconds * NS_PER_SECOND + self._line.boot_ns() - heard_ns) if seconds else 0
        return 0 if 0 <= lag_ns <= NS_PER_SECOND else lag_ns

    def close(self) -> None:
        """Ask for nothing more."""
        self._stopping = True

    # --- in the line's thread -----

    def hear_five_seconds(
        self, bars: _Bars, start_s: int, prices: tuple[float, float, float, float], volume: float
    ) -> None:
        """Put five seconds of a name to its minute."""
        factor = self._line.access.share_factor
        first, high, low, last = (micros(price) for price in prices)
        # Without a trade the volume is 0 or -1; the prices are then the last one's.
        part = FiveSeconds(start_s, first, high, low, last, nanos(volume * factor))
        with self._lock:
            bars.heard_ns = self._line.boot_ns()
            name = self._names.get(bars.symbol)
            bars.trades = name.quotes.trades if name is not None and name.quotes is not None else 0
            if not (first and high and low and last):
                self._malformed += 1
                return
            made = self._maker.add(bars.symbol, part)
            if made is not None:
                self._bars.append(made)

    async def _tend(self) -> None:
        try:
            while not self._stopping and not self._fault:
                await self._turn()
                await asyncio.sleep(_ROUND_S)
        finally:
            self._forget()
            with self._lock:
                self._is_up = False
                if not self._stopping and not self._fault:
                    # Whatever raised is printed by the loop; nobody may take the silence after it for a quiet market.
                    self._fault = "The stream of Interactive Brokers ended by a fault of this program; the log has it."

    async def _turn(self) -> None:
        line = self._line
        if line.fault:
            self._fault = line.fault
            return
        if not line.is_ready or line.boot_ns() < self._again_ns:
            self._go_down(line.away or self._waits)
            return
        ears = line.ears
        if ears is None:
            return
        if ears is not self._ears or ears.losses != self._seen[0]:
            # A new connection, or 1101: nothing is subscribed any more.
            self._forget()
            self._ears, self._seen = ears, (ears.losses, ears.gaps)
            self._go_down("")
        elif ears.gaps != self._seen[1]:
            self._seen = (ears.losses, ears.gaps)
            self._go_down("")
        try:
            await self._subscribe()
        except (IbkrDataError, ConnectionError, OSError) as error:
            self._go_down(str(error))
            return
        self._judge()
        self._rise()

    def _forget(self) -> None:
        """Cancel what is subscribed, where there is still somebody to tell."""
        for name in self._names.values():
            self._line.end_request(name.quotes_key, requests.no_quotes)
            self._line.end_request(name.bars_key, requests.no_bars)
        with self._lock:
            self._names.clear()

    async def _subscribe(self) -> None:
        with self._lock:
            wanted, barred = list(self._wanted), set(self._barred)
            gone = [(symbol, name) for symbol, name in self._names.items() if symbol not in self._wanted]
        for symbol, left in gone:
            self._end(symbol, left)
        now_ns = self._line.boot_ns()
        for symbol in wanted:
            is_asked = symbol in self._names or symbol in self._refused
            if not is_asked and self._later.get(symbol, 0) <= now_ns:
                await self._ask_quotes(symbol)
        for symbol in wanted:
            name = self._names.get(symbol)
            if symbol not in barred or name is None or name.bars is not None:
                continue
            if self._line.access.takes_delayed:
                self._sample_bars(symbol, name)
                continue
            pacing = self._line.bars
            wait_ns = pacing.wait_ns(symbol, f"bars {symbol}", self._line.boot_ns())
            if wait_ns > 0:
                waiting = sum(1 for one in self._names.values() if one.bars is None)
                self._waits = (
                    f"bars of {waiting} names wait {wait_ns / NS_PER_SECOND:.0f} s for Interactive Brokers' pacing"
                )
                return
            pacing.made(symbol, f"bars {symbol}", self._line.boot_ns())
            await self._ask_bars(symbol, name)
        self._waits = ""

    async def _ask_quotes(self, symbol: str) -> None:
        access = self._line.access
        listener = QuoteListener(symbol, access.share_factor, takes_delayed=access.takes_delayed)
        key = await self._line.open_request(listener)
        with self._lock:
            self._names[symbol] = _Subscribed(quotes=listener, quotes_key=key)
        contract = self._line.library.stock(symbol)
        requests.quotes(self._line.client, key, contract)

    async def _ask_bars(self, symbol: str, name: _Subscribed) -> None:
        listener = _Bars(symbol, self, self._line.boot_ns())
        key = await self._line.open_request(listener)
        with self._lock:
            name.bars, name.bars_key = listener, key
            self._counts_from_ns = 0
        contract = self._line.library.stock(symbol)
        requests.five_second_bars(self._line.client, key, contract)

    def _sample_bars(self, symbol: str, name: _Subscribed) -> None:
        """Make minutes of the trades that the quotes tell of: five-second bars are not given of delayed data."""
        with self._lock:
            name.bars, name.bars_key = _Bars(symbol, self, self._line.boot_ns()), 0
            self._counts_from_ns = 0
            if name.quotes is not None:
                name.quotes.on_trade = self._hear_trade

    def _hear_trade(self, symbol: str, price_micros: int, volume_nanos: int) -> None:
        with self._lock:
            name = self._names.get(symbol)
            if name is not None and name.bars is not None and name.quotes is not None:
                name.bars.heard_ns, name.bars.trades = self._line.boot_ns(), name.quotes.trades
            self._maker.sample(symbol, price_micros, volume_nanos, self._settings.utc_ns())

    def _judge(self) -> None:
        """Look at what was refused, and whether a name that trades has lost its bars."""
        now_ns, quiet_ns = self._line.boot_ns(), int(self._settings.quiet_s() * NS_PER_SECOND)
        for symbol, name in list(self._names.items()):
            error = name.quotes.error if name.quotes is not None else None
            error = error or (name.bars.error if name.bars is not None else None)
            if symbol in self._line.unusable:
                self._give_name_up(symbol, name, self._line.unusable[symbol])
            elif error is not None:
                self._refuse(symbol, name, error)
            elif _has_lost_bars(name, now_ns, quiet_ns):
                logger.warning("market data: %s trades, but its five-second bars have ended: asked for again", symbol)
                self._lose_bars(name)

    def _refuse(self, symbol: str, name: _Subscribed, error: RequestError) -> None:
        if error.meaning is Meaning.COMPETING:
            self._waits = in_words(error)
            logger.warning("market data: %s; asked again in %d s", self._waits, COMPETING_NS // NS_PER_SECOND)
            self._again_ns = self._line.boot_ns() + COMPETING_NS
            self._forget()
            self._go_down(self._waits)
        elif error.meaning in _FINAL or self._has_failed_often(symbol, error):
            self._give_name_up(symbol, name, in_words(error))
            self._end_if_nobody_is_left(error)
        elif error.meaning is Meaning.LINE_LOST:
            # The line tells of it by itself.
            return
        else:
            if error.meaning is Meaning.PACING:
                self._line.bars.violated(self._line.boot_ns())
            logger.warning("market data of %s: %s; asked for again", symbol, error)
            self._later[symbol] = self._line.boot_ns() + AGAIN_NS
            self._end(symbol, name)
            self._go_down(in_words(error))

    def _has_failed_often(self, symbol: str, error: RequestError) -> bool:
        """Count a fault that nobody knows: one name may not keep all others waiting for ever."""
        if error.meaning is not Meaning.FAILED:
            return False
        self._failures[symbol] = self._failures.get(symbol, 0) + 1
        return self._failures[symbol] >= FAILURES_MAX

    def _give_name_up(self, symbol: str, name: _Subscribed, words: str) -> None:
        self._end(symbol, name)
        self._refused[symbol] = words
        logger.warning("no live data, so no signal, for %s: %s", symbol, words)

    def _end_if_nobody_is_left(self, error: RequestError) -> None:
        barred = self._barred & self._wanted.keys()
        if barred and barred <= self._refused.keys() and error.meaning is Meaning.NOT_SUBSCRIBED:
            self._fault = f"Interactive Brokers gives no live data of any name: {in_words(error)}."
            logger.error("%s", self._fault)

    def _end(self, symbol: str, name: _Subscribed) -> None:
        self._line.end_request(name.quotes_key, requests.no_quotes)
        self._line.end_request(name.bars_key, requests.no_bars)
        with self._lock:
            self._names.pop(symbol, None)

    def _lose_bars(self, name: _Subscribed) -> None:
        """Take bars for lost: they are asked for again, and no minute is believed before history filled the gap."""
        self._line.end_request(name.bars_key, requests.no_bars)
        with self._lock:
            name.bars = None
        self._go_down("")

    def _go_down(self, words: str) -> None:
        with self._lock:
            self._is_up = False
            self._counts_from_ns = 0
            self._waits = words

    def _rise(self) -> None:
        """Let a life begin at the first full minute after everything was subscribed and nothing refused."""
        if self._is_up or self._waits:
            return
        now_ns, boot_ns = self._settings.utc_ns(), self._line.boot_ns()
        barred = [symbol for symbol in self._wanted if symbol in self._barred and symbol not in self._refused]
        asked = [self._names[symbol].bars if symbol in self._names else None for symbol in barred]
        if any(bars is None or boot_ns - bars.asked_ns < _TAKEN_NS for bars in asked):
            return
        if not self._counts_from_ns:
            self._counts_from_ns = now_ns - now_ns % MINUTE_NS + MINUTE_NS
            with self._lock:
                self._maker.begin(self._counts_from_ns)
        if now_ns >= self._counts_from_ns:
            with self._lock:
                self._is_up = True
                self._life += 1

    def _remark(self) -> str:
        """Return what a person should know of the names; the lock is held."""
        delayed = sum(1 for name in self._names.values() if name.quotes is not None and name.quotes.is_delayed)
        words = []
        if delayed and self._line.access.takes_delayed:
            words.append(f"DELAYED by 15 minutes and more for {delayed} names (IBKR_DELAYED_DATA)")
        elif delayed:
            words.append(f"only delayed data for {delayed} names, which is not used")
        if self._refused:
            named = ", ".join(sorted(self._refused)[:_NAMED_MAX])
            more = len(self._refused) - _NAMED_MAX
            words.append(f"no data of {named}{f' and {more} more' if more > 0 else ''}")
        if self._waits:
            words.append(self._waits)
        return "; ".join(words)


def _has_lost_bars(name: _Subscribed, now_ns: int, quiet_ns: int) -> bool:
    """Tell whether a name has traded since its last five-second bar, and that is too long ago."""
    bars, quotes = name.bars, name.quotes
    if bars is None or quotes is None:
        return False
    return quotes.trades > bars.trades and now_ns - bars.heard_ns > quiet_ns
