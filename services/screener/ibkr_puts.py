"""Puts at Interactive Brokers: which there are on a name, what is open of each, and their quotes.

The whole chain is never asked for: its days of expiry and strikes come in one answer, and only the few contracts that
are near the wanted strike are looked up.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from bus.messages import MICROS, ListedPut
from services.screener import ibkr_requests as requests
from services.screener.chain_source import ChainError, Terms, nearest
from services.screener.ibkr_codes import Meaning
from services.screener.ibkr_ears import DataEars, Listener, RequestError
from services.screener.ibkr_line import IbkrDataError, IbkrDataLine, in_words
from services.screener.ibkr_quotes import QuoteListener
from services.screener.live import LiveQuote
from services.screener.settings import PutWindow

logger = logging.getLogger(__name__)

#: Generic tick 101: what is open of an option. It comes as tick 28 for a put; the model's delta as tick 13.
#: Source: Interactive Brokers, "TWS API: Generic Tick Types" and "Option Greeks", 2025-11.
_OPEN_INTEREST: Final = "101"
_PUT_INTEREST: Final = 28
_MODEL, _DELAYED_MODEL = 13, 83
PATIENCE_NS: Final = 4_000_000_000
_WHOLE_S: Final = 120.0
_ROUND_S: Final = 0.1
#: Another session of the same user may end; asked again after this.
COMPETING_NS: Final = 30_000_000_000
_PPM: Final = 1_000_000
_CENTS: Final = 10_000
_STANDARD: Final = "100"


class _Facts(Listener):
    """Hears what is open of a put, and its delta."""

    def __init__(self) -> None:
        self.open_interest: int | None = None
        self.delta_ppm: int | None = None
        self.error: RequestError | None = None

    def size(self, tick: int, size: float) -> None:
        """Take the open interest."""
        if tick == _PUT_INTEREST and size >= 0:
            self.open_interest = int(size)

    def delta(self, tick: int, value: float) -> None:
        """Take the model's delta: a put's is from -1 to 0, and -2 says that there is none."""
        if tick in {_MODEL, _DELAYED_MODEL} and -1 <= value < 0:
            self.delta_ppm = round(-value * _PPM)

    def failed(self, error: RequestError) -> None:
        """Note why there is nothing."""
        self.error = error

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing more is waited for."""
        return self.error is not None or (self.open_interest is not None and self.delta_ppm is not None)


class IbkrChains:
    """A `ChainSource` of Interactive Brokers.

    Args:
        line: the connection that is shared.
        window: which puts.
        patience_ns: how long open interest and delta are waited for.
    """

    def __init__(self, line: IbkrDataLine, window: PutWindow, *, patience_ns: int = PATIENCE_NS) -> None:
        self._line = line
        self._window = window
        self._patience_ns = patience_ns

    def puts(self, underlying: str, price_micros: int, session_date: str) -> tuple[ListedPut, ...]:
        """Return a few puts on a name that costs this, the nearest first.

        Raises:
            ChainError: there is no answer.
        """

        async def ask() -> tuple[ListedPut, ...]:
            wanted = nearest(await self._terms(underlying), price_micros, session_date, self._window)
            found: list[ListedPut] = []
            # Strikes and days come apart, and not each pair of them is listed.
            for terms in wanted[: 3 * self._window.per_name]:
                if len(found) == self._window.per_name:
                    break
                put = await self._put(terms.symbol(underlying.replace(".", "")))
                if put is not None:
                    found.append(put)
            return tuple(found)

        try:
            return self._line.run(ask, _WHOLE_S)
        except RequestError as error:
            raise ChainError(f"Interactive Brokers gives no chain of {underlying}: {in_words(error)}") from error
        except IbkrDataError as error:
            raise ChainError(f"Interactive Brokers gives no chain of {underlying}: {error}") from error

    async def _terms(self, underlying: str) -> list[Terms]:
        line = self._line
        stock = line.library.stock(underlying)
        details = await line.ask(lambda client, key: client.reqContractDetails(key, stock))
        if not details:
            return []
        con_id, root = int(details[0].contract.conId), underlying.replace(".", "")
        told = await line.ask(lambda client, key: client.reqSecDefOptParams(key, stock.symbol, "", "STK", con_id))
        return [
            terms
            for exchange, _con_id, trading_class, multiplier, expiries, strikes in told
            # A class of another name or size was adjusted: a contract of it is not what a put on the share is.
            if exchange == "SMART" and trading_class == root and str(multiplier) == _STANDARD
            for terms in _pairs(expiries, strikes)
        ]

    async def _put(self, symbol: str) -> ListedPut | None:
        """Return a put with what is known of it; None when it is not listed."""
        line = self._line
        contract = line.library.option(symbol)
        try:
            details = await line.ask(lambda client, key: client.reqContractDetails(key, contract))
        except RequestError as error:
            if error.meaning is Meaning.NO_CONTRACT:
                return None
            raise
        if not details:
            return None
        facts = _Facts()
        key = await line.open_request(facts)
        try:
            requests.quotes(line.client, key, contract, _OPEN_INTEREST)
            await line.poll(lambda: facts.is_whole, line.boot_ns() + self._patience_ns)
        finally:
            line.end_request(key, requests.no_quotes)
        if facts.error is not None:
            raise facts.error
        return ListedPut(symbol=symbol, open_interest=facts.open_interest, delta_ppm=facts.delta_ppm)


def _pairs(expiries: Iterable[str], strikes: Iterable[float]) -> Iterable[Terms]:
    levels = [int(Decimal(str(strike)) * MICROS) for strike in strikes]
    for text in expiries:
        expiry = datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a day of expiry has no zone
        for level in levels:
            # An OCC symbol has thousandths of a dollar; strikes of less than a cent are of adjusted contracts.
            if level > 0 and level % _CENTS == 0:
                yield Terms(expiry, level)


class IbkrPutQuotes:
    """A `PutQuotes` of Interactive Brokers: one market data line for each put.

    Args:
        line: the connection that is shared.
        utc_ns: the session's clock, for the time at which a quote was heard.
    """

    def __init__(self, line: IbkrDataLine, utc_ns: Callable[[], int]) -> None:
        self._line = line
        self._utc_ns = utc_ns
        self._lock = threading.Lock()
        self._wanted: tuple[str, ...] = ()
        self._asked: dict[str, tuple[int, QuoteListener]] = {}
        self._refused: set[str] = set()
        self._ears: DataEars | None = None
        self._losses = 0
        self._again_ns = 0
        self._has_begun = self._stopping = False

    def watch(self, puts: Collection[str]) -> None:
        """Quote these puts and no others."""
        with self._lock:
            self._wanted = tuple(puts)
        if puts and not self._has_begun:
            self._has_begun = True
            self._line.spawn(self._tend)

    def take(self) -> Mapping[str, LiveQuote]:
        """Return the quotes that have come since the last call."""
        now_ns = self._utc_ns()
        with self._lock:
            listeners = [(symbol, listener) for symbol, (_, listener) in self._asked.items()]
            return {symbol: listener.quote(now_ns) for symbol, listener in listeners if listener.is_new}

    def close(self) -> None:
        """Ask for nothing more."""
        self._stopping = True

    async def _tend(self) -> None:
        while not self._stopping:
            try:
                await self._turn()
            except (IbkrDataError, ConnectionError, OSError) as error:
                logger.info("quotes of puts wait: %s", error)
            await asyncio.sleep(_ROUND_S)
        for symbol in list(self._asked):
            self._leave(symbol)

    async def _turn(self) -> None:
        ears = self._line.ears
        if ears is None or not self._line.is_ready or self._line.boot_ns() < self._again_ns:
            return
        if ears is not self._ears or ears.losses != self._losses:
            # A new connection, or 1101: nothing is subscribed any more.
            for symbol in list(self._asked):
                self._leave(symbol)
            self._ears, self._losses = ears, ears.losses
        with self._lock:
            wanted = self._wanted
        for symbol in [one for one in self._asked if one not in wanted]:
            self._leave(symbol)
        for symbol in wanted:
            if symbol not in self._asked and symbol not in self._refused:
                await self._ask(symbol)
        self._judge()

    async def _ask(self, symbol: str) -> None:
        # Sizes of options are contracts, never lots.
        listener = QuoteListener(symbol, 1, takes_delayed=self._line.access.takes_delayed)
        key = await self._line.open_request(listener)
        with self._lock:
            self._asked[symbol] = (key, listener)
        requests.quotes(self._line.client, key, self._line.library.option(symbol))

    def _leave(self, symbol: str) -> None:
        with self._lock:
            key, _ = self._asked.pop(symbol)
        self._line.end_request(key, requests.no_quotes)

    def _judge(self) -> None:
        for symbol, (_, listener) in list(self._asked.items()):
            if listener.error is None or listener.error.meaning is Meaning.LINE_LOST:
                continue
            logger.warning("no quotes of %s: %s", symbol, in_words(listener.error))
            self._leave(symbol)
            if listener.error.meaning is Meaning.COMPETING:
                self._again_ns = self._line.boot_ns() + COMPETING_NS
            else:
                self._refused.add(symbol)
