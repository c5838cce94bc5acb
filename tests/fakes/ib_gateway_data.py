"""The market data desk of a stand-in gateway: ticks, five-second bars, history and chains, as tests say them.

Source: the field orders of ib_insync/client.py and decoder.py, server versions 157 to 176; pacing and lines as
Interactive Brokers documents them ("TWS API: Historical Data Limitations", "Market Data Lines", read 2026-11).
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import ib_words as words
from exchange import Exchange

from bus.clock import boot_ns

SECOND_NS = 1_000_000_000
QUOTES, BARS = 1, 50
LIVE, FROZEN, DELAYED = 1, 2, 3
NOT_SUBSCRIBED = (354, "Requested market data is not subscribed.")
SHOWN_DELAYED = (10167, "Requested market data is not subscribed. Displaying delayed market data.")
PACING = (162, "Historical Market Data Service error message:Historical data request pacing violation")
NO_DATA = (162, "Historical Market Data Service error message:HMDS query returned no data")
COMPETING = (10197, "No market data during competing live session")
OTHER_ADDRESS = (
    162,
    "Historical Market Data Service error message:Trading TWS session is connected from a different IP address",
)
_PACING_MAX, _PACING_NS, _IDENTICAL_NS = 60, 600 * SECOND_NS, 15 * SECOND_NS
_DELAYED_TICKS = {1: 66, 2: 67, 4: 68, 0: 69, 3: 70, 8: 74, 9: 75, 45: 88}


class Line(Protocol):
    """A client's connection."""

    def write(self, fields: list[object]) -> None: ...


@dataclass
class Facts:
    """What is known of a contract; dollars and units, empty = never said."""

    bid: str = ""
    ask: str = ""
    bid_size: str = "0"
    ask_size: str = "0"
    last: str = ""
    last_time_s: int = 0
    close: str = ""
    volume: str = ""
    average_volume: str = ""
    open_interest: str = ""
    delta: str = ""


@dataclass
class _Subscribed:
    line: Line
    request_id: int
    kind: int
    symbol: str
    ticks: str = ""


@dataclass
class Chain:
    """The days of expiry and strikes that one answer has; which pairs exist is what `know` made known."""

    expiries: tuple[str, ...]
    strikes: tuple[str, ...]
    trading_class: str = ""
    multiplier: str = "100"


class IbDataDesk:
    """Market data of one gateway; every public attribute is a control."""

    version: int
    exchange: Exchange

    def begin_data(self) -> None:
        """Begin with nothing subscribed and nothing known."""
        self.facts: dict[str, Facts] = {}
        #: Start in seconds, open, high, low, close and volume of each minute.
        self.minutes: dict[str, list[tuple[object, ...]]] = {}
        self.days: dict[str, list[tuple[str, str]]] = {}
        self.chains: dict[str, list[Chain]] = {}
        #: What is answered to a request of (number of the message, symbol), for as long as it stands here.
        self.data_refusals: dict[tuple[int, str], tuple[int, str]] = {}
        self.lines_max = 100
        self.kind_of_data = LIVE
        self.has_pacing = True
        self.data_types: list[int] = []
        self.history_asked: list[tuple[str, str, str]] = []
        self.subscribed: list[_Subscribed] = []
        self._paced: deque[int] = deque()
        self._identical: dict[tuple[str, ...], int] = {}
        self._data_lock = threading.RLock()

    # --- controls -----

    def names(self, kind: int = QUOTES) -> list[str]:
        """Return whose quotes or bars are subscribed, in the order in which they were asked for."""
        with self._data_lock:
            return [one.symbol for one in self.subscribed if one.kind == kind]

    def say_ticks(self, symbol: str, **facts: object) -> None:
        """Say what has changed of a contract."""
        known = self.facts.setdefault(symbol, Facts())
        for name, value in facts.items():
            setattr(known, name, value)
        with self._data_lock:
            listeners = [one for one in self.subscribed if one.kind == QUOTES and one.symbol == symbol]
        for one in listeners:
            self._tell(one, set(facts))

    def say_bar(self, symbol: str, start_s: int, prices: Sequence[str], volume: str) -> None:
        """Say five seconds of a contract."""
        with self._data_lock:
            listeners = [one for one in self.subscribed if one.kind == BARS and one.symbol == symbol]
        for one in listeners:
            one.line.write([50, 3, one.request_id, start_s, *prices, volume, prices[3], 1])

    def say_of(self, kind: int, symbol: str, code: int, text: str) -> None:
        """Say a fault of what is subscribed of a contract."""
        with self._data_lock:
            found = [one for one in self.subscribed if one.kind == kind and one.symbol == symbol]
        for one in found:
            one.line.write(words.error(one.request_id, code, text, self.version))

    def lose_data(self) -> None:
        """Forget what is subscribed, as after 1101."""
        with self._data_lock:
            self.subscribed.clear()

    def forget_line(self, line: Line) -> None:
        """Forget what a connection had subscribed."""
        with self._data_lock:
            self.subscribed = [one for one in self.subscribed if one.line is not line]

    # --- what a client asks -----

    def data_answers(self) -> dict[int, object]:
        """Return what answers to which message."""
        return {
            1: self._quotes,
            2: self._cancel_data,
            20: self._history,
            25: lambda _line, _fields: None,
            50: self._bars,
            51: self._cancel_data,
            59: self._data_type,
            78: self._chain,
        }

    def _data_type(self, _line: Line, fields: list[str]) -> None:
        self.data_types.append(int(fields[2]))

    def _cancel_data(self, line: Line, fields: list[str]) -> None:
        request_id = int(fields[2])
        with self._data_lock:
            self.subscribed = [
                one for one in self.subscribed if not (one.line is line and one.request_id == request_id)
            ]

    def _quotes(self, line: Line, fields: list[str]) -> None:
        one = _Subscribed(line, int(fields[2]), QUOTES, _symbol(fields[3:15]), fields[16])
        is_snapshot = fields[17] == "1"
        if not is_snapshot and not self._subscribe(one):
            return
        line.write([58, 1, one.request_id, self.kind_of_data])
        line.write([81, one.request_id, "0.01", "9c0001", 3])
        quote = self.exchange.quotes.get(one.symbol)
        if quote is not None:
            self.facts[one.symbol] = self.facts.get(one.symbol, Facts())
            known = self.facts[one.symbol]
            known.bid, known.ask = words.money(quote.bid_micros), words.money(quote.ask_micros)
            known.bid_size, known.ask_size = words.quantity(quote.bid_nanos), words.quantity(quote.ask_nanos)
        self._tell(one, set(Facts.__dataclass_fields__))
        if is_snapshot:
            line.write([57, 1, one.request_id])

    def _bars(self, line: Line, fields: list[str]) -> None:
        one = _Subscribed(line, int(fields[2]), BARS, _symbol(fields[3:15]))
        self._subscribe(one)

    def _subscribe(self, one: _Subscribed) -> bool:
        refusal = self.data_refusals.get((one.kind, one.symbol))
        with self._data_lock:
            if refusal is None and len(self.subscribed) >= self.lines_max:
                refusal = (101, "Max number of tickers has been reached.")
            if refusal is None or refusal == SHOWN_DELAYED:
                self.subscribed.append(one)
        if refusal is not None:
            one.line.write(words.error(one.request_id, *refusal, self.version))
        return refusal is None or refusal == SHOWN_DELAYED

    def _tell(self, one: _Subscribed, changed: set[str]) -> None:
        known, key = self.facts.get(one.symbol, Facts()), one.request_id
        for name, tick, size in (("bid", 1, "bid_size"), ("ask", 2, "ask_size"), ("last", 4, ""), ("close", 9, "")):
            value = getattr(known, name)
            if name in changed and value:
                one.line.write([1, 6, key, self._tick(tick), value, getattr(known, size) if size else "", 0])
        sizes = (("bid_size", 0), ("ask_size", 3), ("volume", 8), ("average_volume", 21), ("open_interest", 28))
        generic = {"average_volume": "165", "open_interest": "101"}
        for name, tick in sizes:
            if name in changed and getattr(known, name) and generic.get(name, "") in one.ticks:
                one.line.write([2, 6, key, self._tick(tick), getattr(known, name)])
        if "last_time_s" in changed and known.last_time_s:
            one.line.write([46, 6, key, self._tick(45), known.last_time_s])
        if "delta" in changed and known.delta:
            one.line.write([21, key, 13, 0, "0.3", known.delta, "2.5", "0", "0.01", "0.1", "-0.1", "100"])

    def _tick(self, tick: int) -> int:
        return _DELAYED_TICKS.get(tick, tick) if self.kind_of_data == DELAYED else tick

    def _history(self, line: Line, fields: list[str]) -> None:
        request_id, symbol, size, duration = int(fields[1]), _symbol(fields[2:14]), fields[16], fields[17]
        self.history_asked.append((symbol, size, duration))
        refusal = self.data_refusals.get((20, symbol)) or self._pacing(symbol, size, duration)
        rows: list[tuple[object, ...]] = []
        if size == "1 min":
            rows = [(start, *prices, volume) for start, *prices, volume in self.minutes.get(symbol, ())]
        elif size == "1 day":
            rows = [(day, close, close, close, close, "0") for day, close in self.days.get(symbol, ())]
        if refusal is None and not rows:
            refusal = NO_DATA
        if refusal is not None:
            line.write(words.error(request_id, *refusal, self.version))
            return
        told: list[object] = []
        for start, first, high, low, last, volume in rows:
            told += [start, first, high, low, last, volume, last, 1]
        line.write([17, request_id, "", "", len(rows), *told])

    def _pacing(self, *request: str) -> tuple[int, str] | None:
        now = boot_ns()
        while self._paced and now - self._paced[0] > _PACING_NS:
            self._paced.popleft()
        is_again = request in self._identical and now - self._identical[request] < _IDENTICAL_NS
        self._paced.append(now)
        self._identical[request] = now
        return PACING if self.has_pacing and (is_again or len(self._paced) > _PACING_MAX) else None

    def _chain(self, line: Line, fields: list[str]) -> None:
        request_id, symbol = int(fields[1]), fields[2].replace(" ", ".")
        for exchange in ("AMEX", "SMART"):
            for chain in self.chains.get(symbol, ()):
                root = chain.trading_class or symbol.replace(".", "")
                days, strikes = chain.expiries, chain.strikes
                line.write(
                    [
                        75,
                        request_id,
                        exchange,
                        fields[5],
                        root,
                        chain.multiplier,
                        len(days),
                        *days,
                        len(strikes),
                        *strikes,
                    ]
                )
        line.write([76, request_id])


def _symbol(contract: list[str]) -> str:
    """Return the symbol of the twelve fields of a contract as the bot writes it."""
    return contract[10].replace(" ", "") if contract[2] == "OPT" else contract[1].replace(" ", ".")
