"""What one connection of market data hears: the library calls this object, which hands each message to who asked.

Only the library's protocol half (`Client`) is used: its other half keeps tickers of its own and subscribes nothing
again after a loss. All of it runs in the thread of the connection.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC
from typing import Any, Final

from services.screener.ibkr_codes import DELAYED_CODES, Meaning, farm_of, meaning_of

_TEXT_MAX: Final = 200
_LINE: Final = "the line"
_log = logging.getLogger(__name__)


class RequestError(Exception):
    """The gateway answered a request with a fault, in its own words."""

    def __init__(self, meaning: Meaning, code: int, words: str) -> None:
        super().__init__(f"{words} ({code})")
        self.meaning = meaning
        self.code = code


class Listener:
    """Hears what belongs to one request number. Prices and sizes are as the library has them: floats."""

    def price(self, tick: int, price: float, size: float) -> None:
        """Hear a price with its size."""

    def size(self, tick: int, size: float) -> None:
        """Hear a size, a volume or a count."""

    def text(self, tick: int, value: str) -> None:
        """Hear what is said as text, such as the time of the last trade."""

    def delta(self, tick: int, value: float) -> None:
        """Hear an option's delta."""

    def kind(self, kind: int) -> None:
        """Hear what the data is: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""

    def five_seconds(self, start_s: int, prices: tuple[float, float, float, float], volume: float) -> None:
        """Hear the bar of five seconds from `start_s` on, seconds since 1970: open, high, low, close and volume."""

    def item(self, value: Any) -> None:
        """Hear one of several answers."""

    def ended(self) -> None:
        """Hear that the answer is whole."""

    def failed(self, error: RequestError) -> None:
        """Hear why there is no answer."""


class Question(Listener):
    """Collects the answers to a request until its end; `answer` gives them, or raises RequestError."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[list[Any]] = loop.create_future()
        self._items: list[Any] = []

    def item(self, value: Any) -> None:
        """Keep an answer."""
        self._items.append(value)

    def ended(self) -> None:
        """Give all answers."""
        if not self.answer.done():
            self.answer.set_result(self._items)

    def failed(self, error: RequestError) -> None:
        """Raise the fault where the answer is waited for."""
        if not self.answer.done():
            self.answer.set_exception(error)


class _Zone:
    """What the library's decoder asks of the half that is not used: the zone of a time that names none."""

    TimezoneTWS = "UTC"


class DataEars:
    """Hears one connection.

    Args:
        loop: the loop of the connection's thread.
        takes_delayed: IBKR_DELAYED_DATA: that data is delayed is then no fault.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, takes_delayed: bool) -> None:
        self.is_lost = False
        #: Why the gateway turned this connection away, in its words.
        self.turned_away = ""
        #: What is away behind the gateway: a name -> the gateway's words.
        self.away: dict[str, str] = {}
        #: How often everything that was subscribed was lost, and how often something was missed without that.
        self.losses = 0
        self.gaps = 0
        self.listeners: dict[int, Listener] = {}
        self.time: asyncio.Future[int] | None = None
        self.ib = _Zone()
        self.defaultTimezone = UTC
        self._loop = loop
        self._takes_delayed = takes_delayed
        for theirs, ours in self._callbacks().items():
            setattr(self, theirs, ours)

    def _callbacks(self) -> dict[str, Callable[..., None]]:
        """Return what the library calls, by its own names."""
        return {
            "error": self._message,
            "priceSizeTick": lambda key, tick, price, size: self._of(key).price(tick, price, size),
            "tickSize": lambda key, tick, size: self._of(key).size(tick, size),
            "tickString": lambda key, tick, value: self._of(key).text(tick, value),
            "tickOptionComputation": lambda key, tick, _attrib, _vol, delta, *_rest: self._of(key).delta(tick, delta),
            "marketDataType": lambda key, kind: self._of(key).kind(kind),
            "realtimeBar": self._five_seconds,
            "historicalData": lambda key, bar: self._of(key).item(bar),
            "historicalDataEnd": lambda key, *_span: self._of(key).ended(),
            "contractDetails": lambda key, details: self._of(key).item(details),
            "contractDetailsEnd": lambda key: self._of(key).ended(),
            "securityDefinitionOptionParameter": lambda key, *fields: self._of(key).item(fields),
            "securityDefinitionOptionParameterEnd": lambda key: self._of(key).ended(),
            "currentTime": self._time,
            "connectAck": lambda: None,
            "connectionClosed": self._lost,
            "setEventsDone": self._lost,
        }

    def _of(self, key: int) -> Listener:
        # What was cancelled meanwhile goes on being said for a moment: nobody listens.
        return self.listeners.get(key, _NOBODY)

    def _five_seconds(self, key: int, start_s: int, *values: float) -> None:
        first, high, low, last, volume, *_rest = values
        self._of(key).five_seconds(start_s, (first, high, low, last), volume)

    def _time(self, seconds: int) -> None:
        if self.time is not None and not self.time.done():
            self.time.set_result(seconds)

    def _lost(self) -> None:
        self.is_lost = True
        error = RequestError(Meaning.LINE_LOST, 0, "the connection to the gateway broke")
        for listener in list(self.listeners.values()):
            listener.failed(error)
        if self.time is not None and not self.time.done():
            self.time.cancel()

    def _message(self, key: int, code: int, text: str, _advanced: str = "") -> None:
        """Take a numbered message: of the line, or of a request."""
        meaning, words = meaning_of(code, text), " ".join(text.split())[:_TEXT_MAX]
        _log.log(logging.DEBUG if meaning is Meaning.NOTICE else logging.INFO, "the gateway says: %s (%d)", words, code)
        if self._is_of_the_line(meaning, code, words):
            return
        if meaning is Meaning.NOTICE or (self._takes_delayed and code in DELAYED_CODES):
            return
        if key in self.listeners:
            self.listeners[key].failed(RequestError(meaning, code, words))

    def _is_of_the_line(self, meaning: Meaning, code: int, words: str) -> bool:
        match meaning:
            case Meaning.LINE_LOST | Meaning.PORT_MOVED:
                self.away[_LINE] = f"{words} ({code})"
            case Meaning.BACK_WITHOUT_DATA:
                self.away.clear()
                self.losses += 1
            case Meaning.BACK:
                self.gaps += 1 if self.away.pop(_LINE, "") else 0
            case Meaning.FARM_LOST:
                self.away[farm_of(words)] = f"{words} ({code})"
            case Meaning.FARM_BACK:
                self.gaps += 1 if self.away.pop(farm_of(words), "") else 0
            case Meaning.CLIENT_IN_USE:
                self.turned_away = words
            case _:
                return False
        return True


_NOBODY: Final = Listener()
