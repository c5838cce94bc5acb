"""Prices of many names from Interactive Brokers, one request a name: a line is taken until all was said.

A snapshot request of the protocol has no average volume, so the data is streamed for a few seconds and cancelled.
Regulatory snapshots, which cost money each, are never asked for.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from bus.clock import NS_PER_SECOND
from services.screener import ibkr_requests as requests
from services.screener.alpaca_snapshots import NEW_YORK
from services.screener.ibkr_codes import Meaning
from services.screener.ibkr_ears import RequestError
from services.screener.ibkr_line import IbkrDataError, IbkrDataLine, in_words
from services.screener.ibkr_quotes import QuoteListener
from services.screener.snapshots import Snapshot, SnapshotError

logger = logging.getLogger(__name__)

#: How long one name may take to say all; a name that has not traded today never does.
PATIENCE_NS: Final = 4 * NS_PER_SECOND
#: Generic tick 165: among others the average volume of 90 days. Source: IBKR, "TWS API: Generic Tick Types", 2025-11.
_AVERAGE_VOLUME: Final = "165"
_WHOLE_S: Final = 900.0


class IbkrSnapshots:
    """A `SnapshotSource` of Interactive Brokers.

    Args:
        line: the connection that is shared.
        lines_max: how many names are asked at a time: IBKR_LINES_MAX.
        symbols_max: IBKR_LIST_SYMBOLS_MAX.
    """

    def __init__(
        self,
        line: IbkrDataLine,
        *,
        lines_max: int,
        symbols_max: int,
        patience_ns: int = PATIENCE_NS,
    ) -> None:
        self._line = line
        self._lines_max = lines_max
        self._symbols_max = symbols_max
        self._patience_ns = patience_ns

    def __repr__(self) -> str:
        """Return the line alone."""
        return f"IbkrSnapshots({self._line})"

    def snapshots(self, symbols: Iterable[str], session_date: str) -> Mapping[str, Snapshot]:
        """Return what Interactive Brokers knows of these names, seen from the session of `session_date`.

        The volume of the day before is not in its ticks: the average of 90 days stands for it.

        Raises:
            SnapshotError: there are too many names, no connection, or no subscription for any of them.
        """
        wanted = list(dict.fromkeys(symbols))
        if len(wanted) > self._symbols_max:
            raise SnapshotError(
                f"{len(wanted):,} names are more than the {self._symbols_max} that Interactive Brokers is asked for "
                "(IBKR_LIST_SYMBOLS_MAX): name those to choose from in MARKET_DATA_SYMBOLS, or narrow the universe"
            )
        refused: dict[str, RequestError] = {}
        found: dict[str, Snapshot] = {}

        async def ask() -> None:
            turn = asyncio.Semaphore(self._lines_max)
            await asyncio.gather(*(self._of(symbol, session_date, turn, (found, refused)) for symbol in wanted))

        try:
            self._line.run(ask, _WHOLE_S)
        except IbkrDataError as error:
            raise SnapshotError(f"Interactive Brokers gives no prices: {error}") from error
        if refused and not found:
            first = next(iter(refused.values()))
            raise SnapshotError(f"Interactive Brokers gives no prices of any name: {in_words(first)}")
        if refused:
            logger.warning("Interactive Brokers gives no prices of %s", ", ".join(sorted(refused)))
        return found

    async def _of(
        self,
        symbol: str,
        session_date: str,
        turn: asyncio.Semaphore,
        result: tuple[dict[str, Snapshot], dict[str, RequestError]],
    ) -> None:
        found, refused = result
        async with turn:
            seen = await self._watched(symbol)
        if seen.error is not None:
            if seen.error.meaning in {Meaning.LINE_LOST, Meaning.COMPETING, Meaning.TOO_MANY_LINES}:
                raise IbkrDataError(in_words(seen.error))
            refused[symbol] = seen.error
            return
        found[symbol] = _snapshot(seen, session_date)

    async def _watched(self, symbol: str) -> QuoteListener:
        """Listen to a name until it has said all, or for as long as it is waited for."""
        line, access = self._line, self._line.access
        seen = QuoteListener(symbol, access.share_factor, takes_delayed=access.takes_delayed)
        key = await line.open_request(seen)
        try:
            requests.quotes(line.client, key, line.library.stock(symbol), _AVERAGE_VOLUME)
            await line.poll(lambda: seen.error is not None or _has_all(seen), line.boot_ns() + self._patience_ns)
        finally:
            line.end_request(key, requests.no_quotes)
        return seen


def _has_all(seen: QuoteListener) -> bool:
    return bool(seen.close_micros and seen.average_volume_nanos and seen.last_micros and seen.last_time_s)


def _snapshot(seen: QuoteListener, session_date: str) -> Snapshot:
    """Return what was said; a last trade of an earlier day is no price of this session."""
    traded = datetime.fromtimestamp(seen.last_time_s, UTC).astimezone(NEW_YORK).date().isoformat()
    is_today = bool(seen.last_time_s) and traded == session_date
    return Snapshot(
        symbol=seen.symbol,
        price_micros=seen.last_micros if is_today else 0,
        price_ts_ns=seen.last_time_s * NS_PER_SECOND if is_today else 0,
        prior_close_micros=seen.close_micros,
        prior_volume_nanos=seen.average_volume_nanos,
        day_close_micros=seen.last_micros if is_today else 0,
        day_volume_nanos=seen.volume_nanos if is_today else 0,
    )
