"""Puts at Alpaca: which there are on a name, what is open of each, their deltas and their quotes.

What is open comes from the trading interface, deltas and quotes from market data. Options have a stream of their own,
which the account would need a second connection for, so the few quotes are asked for once a second instead.
Source: Alpaca "Trading API" 2.0.1, /v2/options/contracts; "Market Data API" 1.1, /v1beta1/options/snapshots and
/v1beta1/options/quotes/latest (at most 100 names), read 2026-11.
"""

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from msgspec import Struct

from bus.instruments import put_moneyness_ppm
from bus.messages import MICROS, ListedPut
from services.screener.alpaca_rest import AlpacaRest, RestError
from services.screener.alpaca_wire import quote_of
from services.screener.chain_source import ChainError, Terms, nearest
from services.screener.live import LiveQuote
from services.screener.settings import PutWindow

logger = logging.getLogger(__name__)

#: Paper and live accounts have servers of their own; a key is known on one of them.
TRADING_URLS: Final = ("https://paper-api.alpaca.markets", "https://api.alpaca.markets")
#: How far a strike may be from the wanted one.
STRIKE_DISTANCE_PERCENT: Final = 15
_CONTRACTS_MAX: Final = 1_000
_PAGES_MAX: Final = 5
_SYMBOLS_A_CALL: Final = 100
_CENTS: Final = 10_000
_PPM: Final = 1_000_000
_STANDARD: Final = "100"
_NOT_ALLOWED: Final = frozenset({401, 403})
#: One call a second of the 200 a minute that the free plan has.
EVERY_S: Final = 1.0
_AFTER_FAULT_S: Final = 5.0


class _Contract(Struct):
    symbol: str
    root_symbol: str
    expiration_date: str
    strike_price: str
    tradable: bool = False
    size: str = ""
    open_interest: str | None = None


class _Contracts(Struct):
    option_contracts: list[_Contract] | None = None
    next_page_token: str | None = None


class _Greeks(Struct):
    delta: float | None = None


class _Snapshot(Struct):
    greeks: _Greeks | None = None


class _Snapshots(Struct):
    snapshots: dict[str, _Snapshot] | None = None


class _Quotes(Struct):
    quotes: dict[str, dict[str, Any]] | None = None


class AlpacaChains:
    """A `ChainSource` of Alpaca.

    Args:
        trading: the servers that may know the keys, in the order in which they are asked.
        data: its market data.
        feed: indicative or opra.
        window: which puts.
    """

    def __init__(self, trading: Sequence[AlpacaRest], data: AlpacaRest, feed: str, window: PutWindow) -> None:
        self._trading = list(trading)
        self._data = data
        self._feed = feed
        self._window = window

    def __repr__(self) -> str:
        """Return the feed alone."""
        return f"AlpacaChains({self._feed})"

    def puts(self, underlying: str, price_micros: int, session_date: str) -> tuple[ListedPut, ...]:
        """Return a few puts on a name that costs this, the nearest first.

        Raises:
            ChainError: there is no answer.
        """
        try:
            contracts = self._contracts(underlying, price_micros, session_date)
            found = {terms: one for one in contracts if (terms := _terms(one, underlying)) is not None}
            wanted = nearest(found, price_micros, session_date, self._window)[: self._window.per_name]
            chosen = [found[terms] for terms in wanted]
            deltas = self._deltas([one.symbol for one in chosen])
        except RestError as error:
            raise ChainError(f"Alpaca gives no chain of {underlying}: {error}") from error
        return tuple(
            ListedPut(symbol=one.symbol, open_interest=_count(one.open_interest), delta_ppm=deltas.get(one.symbol))
            for one in chosen
        )

    def _contracts(self, underlying: str, price_micros: int, session_date: str) -> list[_Contract]:
        session = date.fromisoformat(session_date)
        strike = Decimal(price_micros * put_moneyness_ppm(self._window.delta_target_ppm) // _PPM) / MICROS
        reach = strike * STRIKE_DISTANCE_PERCENT / 100
        question = {
            "underlying_symbols": underlying,
            "type": "put",
            "status": "active",
            "expiration_date_gte": (session + timedelta(days=self._window.days_min)).isoformat(),
            "expiration_date_lte": (session + timedelta(days=self._window.days_max)).isoformat(),
            "strike_price_gte": f"{strike - reach:.2f}",
            "strike_price_lte": f"{strike + reach:.2f}",
            "limit": str(_CONTRACTS_MAX),
        }
        found: list[_Contract] = []
        for _ in range(_PAGES_MAX):
            page = self._page(question)
            found.extend(page.option_contracts or ())
            if not page.next_page_token:
                return found
            question = question | {"page_token": page.next_page_token}
        raise RestError(f"its list of contracts has more than {_PAGES_MAX} pages")

    def _page(self, question: Mapping[str, str]) -> _Contracts:
        """Ask the server that knows the keys; it is asked first from then on."""
        refusal: RestError | None = None
        for server in list(self._trading):
            try:
                page = server.ask("/v2/options/contracts", question, _Contracts)
            except RestError as error:
                if error.status not in _NOT_ALLOWED:
                    raise
                refusal = error
                continue
            self._trading.remove(server)
            self._trading.insert(0, server)
            return page
        raise refusal or RestError("there is no server to ask")

    def _deltas(self, symbols: Sequence[str]) -> dict[str, int]:
        if not symbols:
            return {}
        question = {"symbols": ",".join(symbols), "feed": self._feed, "limit": str(_CONTRACTS_MAX)}
        answer = self._data.ask("/v1beta1/options/snapshots", question, _Snapshots)
        deltas = {symbol: one.greeks.delta for symbol, one in (answer.snapshots or {}).items() if one.greeks}
        # A put's delta is from -1 to 0.
        return {name: round(-delta * _PPM) for name, delta in deltas.items() if delta is not None and -1 <= delta < 0}


def _terms(contract: _Contract, underlying: str) -> Terms | None:
    """Return what a contract says; None of one that was adjusted, cannot be traded or makes no sense."""
    if not contract.tradable or contract.size != _STANDARD or contract.root_symbol != underlying.replace(".", ""):
        return None
    try:
        strike = Decimal(contract.strike_price) * MICROS
        terms = Terms(date.fromisoformat(contract.expiration_date), int(strike))
    except (InvalidOperation, ValueError, OverflowError):
        return None
    is_sound = terms.strike_micros > 0 and terms.strike_micros % _CENTS == 0
    return terms if is_sound and terms.symbol(contract.root_symbol) == contract.symbol else None


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


class AlpacaPutQuotes:
    """A `PutQuotes` of Alpaca: asks for the newest quotes once a second, in a thread of its own.

    Args:
        data: its market data.
        feed: indicative or opra.
        every_s: how often.
    """

    def __init__(self, data: AlpacaRest, feed: str, *, every_s: float = EVERY_S) -> None:
        self._data = data
        self._feed = feed
        self._every_s = every_s
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._wanted: tuple[str, ...] = ()
        self._newest: dict[str, LiveQuote] = {}
        self._said_ns: dict[str, int] = {}
        self._thread: threading.Thread | None = None

    def watch(self, puts: Collection[str]) -> None:
        """Quote these puts and no others."""
        with self._lock:
            self._wanted = tuple(puts)
        if puts and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="put-quotes", daemon=True)
            self._thread.start()

    def take(self) -> Mapping[str, LiveQuote]:
        """Return the quotes that are newer than those that were taken before."""
        with self._lock:
            found, self._newest = self._newest, {}
        return found

    def close(self) -> None:
        """Ask for nothing more."""
        self._stopping.set()

    def _run(self) -> None:
        wait_s, words = self._every_s, ""
        while not self._stopping.wait(wait_s):
            with self._lock:
                wanted = self._wanted
            try:
                for start in range(0, len(wanted), _SYMBOLS_A_CALL):
                    self._ask(wanted[start : start + _SYMBOLS_A_CALL])
                # Each hundred puts are a call; the budget of calls stays what it is.
                wait_s, words = self._every_s * max(1, -(-len(wanted) // _SYMBOLS_A_CALL)), ""
            except RestError as error:
                wait_s = self._every_s * _AFTER_FAULT_S
                if str(error) != words:
                    words = str(error)
                    logger.warning("no quotes of puts from Alpaca: %s; asked again", words)

    def _ask(self, puts: Sequence[str]) -> None:
        question = {"symbols": ",".join(puts), "feed": self._feed}
        answer = self._data.ask("/v1beta1/options/quotes/latest", question, _Quotes)
        for symbol, item in (answer.quotes or {}).items():
            quote = quote_of({**item, "S": symbol})
            if quote is not None and quote.ts_ns > self._said_ns.get(symbol, 0):
                self._said_ns[symbol] = quote.ts_ns
                with self._lock:
                    self._newest[symbol] = quote
