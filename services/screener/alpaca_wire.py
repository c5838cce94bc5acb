"""The frames of Alpaca's stock stream: bytes in, quotes, bars and the server's words out. No socket.

Source: Alpaca, "Real-time Stock Data" and "WebSocket Stream" (https://docs.alpaca.markets/docs/streaming-market-data),
read 2026-11. Frames are msgpack lists of maps; `T` is the kind, `t` a msgpack timestamp.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from services.screener.live import LiveBar, LiveQuote
from services.screener.steps import MINUTE_NS
from services.screener.units import micros, nanos

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9.\-/ ]{0,23}")
_WORDS_MAX: Final = 160
#: More than a list of quotes ever has; a longer frame is not read.
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024

#: What the server's error codes mean, and what to do. Each of these ends the feed: asking again changes nothing.
FATAL: Final[Mapping[int, str]] = {
    402: "refuses the keys for market data: enter them again on the configuration page",
    405: "has no place for as many names: lower ALPACA_STREAM_SYMBOLS_MAX to what the plan allows (30 on the free one)",
    408: "has no live data for this account: open it in the account's plan",
    409: "has no such feed in this plan: set ALPACA_DATA_FEED to iex, or take the plan that has sip",
}
#: These pass by themselves, so the connection is made again.
PASSING: Final[Mapping[int, str]] = {
    400: "did not understand what it was told",
    401: "wants the keys first",
    403: "had the keys already",
    404: "waited too long for the keys",
    406: "has another connection with these keys: one is allowed. Stop whatever else uses them",
    407: "cut us off because we read too slowly",
    410: "did not understand the list of names",
    500: "has a fault of its own",
}


class WireError(Exception):
    """A frame cannot be read at all."""


class ServerWords(Struct, frozen=True):
    """What the server says of the connection: `kind` is success, error or subscription; `code` 0 = none."""

    kind: str
    words: str
    code: int = 0

    @property
    def in_words(self) -> str:
        """Return what an error means, for people."""
        return FATAL.get(self.code) or PASSING.get(self.code) or f"says {self.code} '{self.words}'"


class Frame(Struct, frozen=True):
    """One frame, read: raw quotes and bars in order, words, and how many items made no sense."""

    quotes: Sequence[Mapping[str, Any]]
    bars: Sequence[LiveBar]
    words: Sequence[ServerWords]
    malformed: int


def read_frame(payload: bytes) -> Frame:
    """Read a frame; what makes no sense in it is counted and left out. Quotes stay raw: most are never looked at.

    Raises:
        WireError: it is no msgpack list at all.
    """
    if len(payload) > FRAME_BYTES_MAX:
        raise WireError(f"a frame of {len(payload):,} bytes")
    try:
        items = msgspec.msgpack.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
        raise WireError(f"a frame that is not msgpack ({type(error).__name__})") from error
    if not isinstance(items, list):
        raise WireError("a frame that is not a list")
    quotes: list[Mapping[str, Any]] = []
    bars: list[LiveBar] = []
    words: list[ServerWords] = []
    malformed = 0
    for item in items:
        kind = item.get("T") if isinstance(item, dict) else None
        if kind == "q":
            quotes.append(item)
        elif kind == "b":
            bar = bar_of(str(item.get("S", "")), item, item.get("t"))
            if bar is None:
                malformed += 1
            else:
                bars.append(bar)
        elif kind in ("success", "error", "subscription"):
            words.append(_words(item))
        elif not isinstance(kind, str):
            malformed += 1
        # Other kinds (corrections, statuses, updated bars) were not asked for and are left alone.
    return Frame(quotes, bars, words, malformed)


def quote_of(item: Mapping[str, Any]) -> LiveQuote | None:
    """Return a raw quote in our units; None when it makes no sense. A side without a usable price is absent.

    Sizes are taken as shares, which is the smaller of the two readings where a feed still counts round lots.
    """
    symbol, ts_ns = str(item.get("S")), time_ns(item.get("t"))
    if not _is_symbol(symbol) or ts_ns is None:
        return None
    bid, ask = micros(item.get("bp")), micros(item.get("ap"))
    return LiveQuote(
        symbol=symbol,
        bid_micros=bid,
        ask_micros=ask,
        bid_size_nanos=nanos(item.get("bs")) if bid else 0,
        ask_size_nanos=nanos(item.get("as")) if ask else 0,
        ts_ns=ts_ns,
    )


def bar_of(symbol: str, item: Mapping[str, Any], start: object) -> LiveBar | None:
    """Return a bar in our units; None when it makes no sense. `start` is when its minute begins."""
    start_ns = time_ns(start)
    if not _is_symbol(symbol) or start_ns is None or start_ns % MINUTE_NS:
        return None
    bar = LiveBar(
        symbol=symbol,
        open_micros=micros(item.get("o")),
        high_micros=micros(item.get("h")),
        low_micros=micros(item.get("l")),
        close_micros=micros(item.get("c")),
        volume_nanos=nanos(item.get("v")),
        end_ns=start_ns + MINUTE_NS,
    )
    return bar if bar.is_sound else None


def login(keys: tuple[str, str]) -> bytes:
    """Return the frame that shows the keys."""
    return msgspec.msgpack.encode({"action": "auth", "key": keys[0], "secret": keys[1]})


def subscription(quotes: Iterable[str], bars: Collection[str]) -> bytes:
    """Return the frame that asks for names; what was asked for before stays."""
    return msgspec.msgpack.encode({"action": "subscribe", "quotes": sorted(quotes), "bars": sorted(bars)})


def unsubscription(quotes: Iterable[str], bars: Collection[str]) -> bytes:
    """Return the frame that ends the subscription of names."""
    return msgspec.msgpack.encode({"action": "unsubscribe", "quotes": sorted(quotes), "bars": sorted(bars)})


def time_ns(value: object) -> int | None:
    """Return a time as nanoseconds since 1970 UTC, to the microsecond; None when it is none."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime) or value.tzinfo is None or value < _EPOCH:
        return None
    return (value - _EPOCH) // _MICROSECOND * 1_000


def _is_symbol(symbol: str) -> bool:
    return _SYMBOL.fullmatch(symbol) is not None


def _words(item: Mapping[str, Any]) -> ServerWords:
    code = item.get("code")
    said = "".join(one if one.isprintable() else " " for one in str(item.get("msg", "")))
    return ServerWords(str(item["T"]), said[:_WORDS_MAX], code if isinstance(code, int) else 0)
