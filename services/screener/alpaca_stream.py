"""Alpaca's stock stream in a thread of its own: connects, shows the keys, subscribes, hears, and connects again.

A thin client over `websockets`, because alpaca-py's own swallows what its handlers raise, tries refused keys for ever,
and by default never notices a connection on which nothing comes any more.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from msgspec import Struct

from bus.clock import NS_PER_SECOND
from services.screener.alpaca_wire import (
    FATAL,
    FRAME_BYTES_MAX,
    Frame,
    WireError,
    login,
    quote_of,
    read_frame,
    subscription,
    unsubscription,
)
from services.screener.live import Heard, LiveBar, LiveQuote

logger = logging.getLogger(__name__)

STREAM_URL: Final = "wss://stream.data.alpaca.markets/v2"
_OPEN_S: Final = 10.0
_ANSWER_S: Final = 10.0
_LOOK_S: Final = 0.25
_CLOSE_S: Final = 1.0
#: How long to wait before the next connection, in seconds; the last one stands for all that follow.
BACKOFF_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
#: 406 passes when the broker has noticed that an older connection is gone; it does not when something else holds it.
_TAKEN_MAX: Final = 8
_TAKEN_CODE: Final = 406


class StreamSettings(Struct, frozen=True, kw_only=True):
    """Where the stream is and how patient its reader is.

    `quiet_s` is asked after each look: how many seconds of silence are too many now. `backoff_s` as BACKOFF_S.
    `utc_ns` is the clock that the feed's lag is measured by.
    """

    url: str
    quiet_s: Callable[[], float]
    utc_ns: Callable[[], int]
    boot_ns: Callable[[], int]
    backoff_s: Sequence[float] = BACKOFF_S


class _FeedFaultError(Exception):
    """The feed is given up: asking again changes nothing."""


class _LostError(Exception):
    """This connection is over; the next one is tried."""

    def __init__(self, words: str, code: int = 0) -> None:
        super().__init__(words)
        self.code = code


class AlpacaStream:
    """A `Stream` of Alpaca. Begins at the first `want`.

    Args:
        keys: the key id for market data and its secret; neither is in any log, message or `repr`.
        settings: where it is, and how patient its reader is.
    """

    def __init__(self, keys: tuple[str, str], settings: StreamSettings) -> None:
        self._keys = keys
        self._settings = settings
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._quotes: dict[str, Any] = {}
        self._bars: list[LiveBar] = []
        self._life = 0
        self._is_up = False
        self._newest_ns = 0
        self._lag_ns = 0
        self._malformed = 0
        self._fault = ""
        self._wanted: frozenset[str] = frozenset()
        self._barred: frozenset[str] = frozenset()
        #: What was on its way when its name was given up is no malformed quote.
        self._dropped: frozenset[str] = frozenset()
        self._asked: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        self._taken = 0
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        """Return the address alone."""
        return f"AlpacaStream({self._settings.url})"

    def want(self, symbols: Sequence[str], barred: Collection[str]) -> None:
        """Subscribe these names' quotes, and the bars of those that are `barred`."""
        with self._lock:
            self._wanted |= frozenset(symbols)
            self._barred |= frozenset(barred)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="alpaca-stream", daemon=True)
            self._thread.start()

    def drop(self, symbols: Collection[str]) -> None:
        """End the subscription of these names: their places are free for others from then on."""
        with self._lock:
            self._wanted -= frozenset(symbols)
            self._barred -= frozenset(symbols)
            self._dropped |= frozenset(symbols)

    def take(self) -> Heard:
        """Return what has come since the last call."""
        with self._lock:
            raw, self._quotes = self._quotes, {}
            bars, self._bars = self._bars, []
            quotes: dict[str, LiveQuote] = {}
            for symbol, item in raw.items():
                quote = quote_of(item)
                if quote is None:
                    self._malformed += 1
                else:
                    quotes[symbol] = quote
                    self._newest_ns = max(self._newest_ns, quote.ts_ns)
            return Heard(
                quotes=quotes,
                bars=bars,
                life=self._life,
                is_up=self._is_up,
                newest_ns=self._newest_ns,
                lag_ns=self._lag_ns,
                malformed=self._malformed,
                fault=self._fault,
                barred=self._asked[1] if self._is_up else frozenset(),
            )

    def close(self) -> None:
        """Hang up. The thread ends by itself: the loop that calls this may not wait for it."""
        self._stopping.set()

    # --- the thread -----

    def _run(self) -> None:
        try:
            self._stay_connected()
        finally:
            with self._lock:
                self._is_up = False
                if not self._stopping.is_set() and not self._fault:
                    # Whatever raised is printed by the thread; nobody may take the silence after it for a quiet market.
                    self._fault = "Alpaca's stream ended by a fault of this program; the log has it."

    def _stay_connected(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            life = self._life
            try:
                self._connect_and_hear()
            except _FeedFaultError as error:
                self._give_up(str(error))
                return
            except _LostError as error:
                if self._is_taken_for_good(error):
                    self._give_up(str(error))
                    return
                tries = 0 if self._life > life else tries + 1
                wait_s = self._settings.backoff_s[min(tries, len(self._settings.backoff_s) - 1)]
                logger.warning("Alpaca's stream: %s; connected again in %.1f s", error, wait_s)
                self._stopping.wait(wait_s)
            finally:
                with self._lock:
                    self._is_up = False

    def _is_taken_for_good(self, error: _LostError) -> bool:
        self._taken = self._taken + 1 if error.code == _TAKEN_CODE else 0
        return self._taken > _TAKEN_MAX

    def _give_up(self, words: str) -> None:
        logger.error("%s", words)
        with self._lock:
            self._fault = words

    def _connect_and_hear(self) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        try:
            with connect(
                self._settings.url, open_timeout=_OPEN_S, close_timeout=_CLOSE_S, max_size=FRAME_BYTES_MAX, proxy=None
            ) as socket:
                self._greet(socket)
                self._hear(socket)
        except WebSocketException as error:
            raise _LostError(f"the connection ended ({type(error).__name__})") from error
        except OSError as error:
            # A time-out of the connection is one as well.
            raise _LostError(f"no connection ({type(error).__name__})") from error

    def _greet(self, socket: Any) -> None:
        """Show the keys and subscribe; after this the quotes come."""
        self._answered(socket, "connected")
        socket.send(login(self._keys))
        self._answered(socket, "authenticated")
        self._asked = (frozenset(), frozenset())
        self._subscribe(socket)

    def _answered(self, socket: Any, awaited: str) -> None:
        """Wait for one success of the server's.

        Raises:
            _LostError, _FeedFaultError: it said something else, or nothing.
        """
        deadline_ns = self._settings.boot_ns() + int(_ANSWER_S * NS_PER_SECOND)
        while not self._stopping.is_set() and self._settings.boot_ns() < deadline_ns:
            frame = self._frame(socket)
            if frame is None:
                continue
            self._check(frame)
            if any(word.kind == "success" and word.words == awaited for word in frame.words):
                return
        raise _LostError(f"Alpaca did not say '{awaited}' in {_ANSWER_S:.0f} s")

    def _subscribe(self, socket: Any) -> None:
        """Give up the names that are wanted no more, then ask for those that were not asked for on this connection."""
        with self._lock:
            wanted, barred = self._wanted, self._barred
            (had_quotes, had_bars), self._asked = self._asked, (wanted, barred)
        if had_quotes - wanted:
            socket.send(unsubscription(had_quotes - wanted, had_bars - barred))
        if wanted - had_quotes or barred - had_bars:
            socket.send(subscription(wanted - had_quotes, barred - had_bars))

    def _hear(self, socket: Any) -> None:
        quiet_since_ns = self._settings.boot_ns()
        while not self._stopping.is_set():
            self._subscribe(socket)
            frame = self._frame(socket)
            now_ns = self._settings.boot_ns()
            if frame is not None:
                quiet_since_ns = now_ns
                self._check(frame)
                self._keep(frame)
                continue
            quiet_s = self._settings.quiet_s()
            if now_ns - quiet_since_ns > quiet_s * NS_PER_SECOND:
                raise _LostError(f"nothing came for {quiet_s:.0f} s (MARKET_DATA_TIMEOUT)")

    def _frame(self, socket: Any) -> Frame | None:
        """Return the next frame that can be read, None when none came."""
        try:
            payload = socket.recv(timeout=_LOOK_S)
        except TimeoutError:
            return None
        try:
            return read_frame(payload if isinstance(payload, bytes) else payload.encode())
        except WireError as error:
            with self._lock:
                self._malformed += 1
            logger.warning("Alpaca's stream sent %s; it is left out", error)
            return None

    def _check(self, frame: Frame) -> None:
        for word in frame.words:
            if word.kind != "error":
                continue
            if word.code in FATAL:
                raise _FeedFaultError(f"Alpaca's stream {word.in_words}. It said {word.code}.")
            raise _LostError(f"Alpaca's stream {word.in_words}. It said {word.code}.", word.code)

    def _keep(self, frame: Frame) -> None:
        """Keep the newest quote of each name and every bar; a subscription's answer begins a life."""
        with self._lock:
            for item in frame.quotes:
                symbol = item.get("S")
                if isinstance(symbol, str) and symbol in self._wanted:
                    self._quotes[symbol] = item
                elif symbol not in self._dropped:
                    self._malformed += 1
            self._bars.extend(frame.bars)
            self._malformed += frame.malformed
            if frame.bars:
                self._newest_ns = max(self._newest_ns, *(bar.end_ns for bar in frame.bars))
            if any(word.kind == "subscription" for word in frame.words) and not self._is_up:
                self._is_up = True
                self._life += 1
                self._taken = 0
            if frame.quotes:
                newest = quote_of(frame.quotes[-1])
                if newest is not None:
                    self._newest_ns = max(self._newest_ns, newest.ts_ns)
                    self._lag_ns = self._settings.utc_ns() - newest.ts_ns
