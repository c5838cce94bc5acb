"""Minutes that were missed, from Alpaca's REST interface: many names in one question, page by page.

Source: Alpaca "Market Data API" 1.1, /v2/stocks/bars (limit at most 10,000, page_token), read 2026-11; 200 calls a
minute on the free plan.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import requests

from bus.clock import NS_PER_SECOND
from services.screener.alpaca_wire import bar_of
from services.screener.live import BarsError, LiveBar
from services.screener.server_words import server_words
from services.screener.steps import MINUTE_NS

DATA_URL: Final = "https://data.alpaca.markets"
_LIMIT: Final = 10_000
_SYMBOLS_A_CALL: Final = 200
#: A session has 390 minutes, so 200 names have at most 8 pages; a server that never comes to an end is left.
PAGES_MAX: Final = 20
_TIMEOUT_S: Final = (5.0, 20.0)
_BYTES_MAX: Final = 32 * 1024 * 1024


class AlpacaBars:
    """A `PastBarSource` of Alpaca.

    Args:
        keys: the key id for market data and its secret; neither is in any log, message or `repr`.
        feed: iex or sip.
        url: the beginning of the address.
        timeout_s: for the connection, and for the answer to begin or to go on.
    """

    def __init__(
        self,
        keys: tuple[str, str],
        feed: str,
        *,
        url: str = DATA_URL,
        timeout_s: tuple[float, float] = _TIMEOUT_S,
        get: Callable[..., Any] = requests.get,
    ) -> None:
        self._keys = keys
        self._feed = feed
        self._url = url
        self._timeout_s = timeout_s
        self._get = get

    def __repr__(self) -> str:
        """Return the feed alone."""
        return f"AlpacaBars({self._feed})"

    def bars(self, symbols: Sequence[str], from_ns: int, until_ns: int) -> Sequence[LiveBar]:
        """Return every bar of these names whose minute starts in [from_ns, until_ns).

        Raises:
            BarsError: there is no whole answer.
        """
        found: list[LiveBar] = []
        for start in range(0, len(symbols), _SYMBOLS_A_CALL):
            question = {
                "symbols": ",".join(symbols[start : start + _SYMBOLS_A_CALL]),
                "timeframe": "1Min",
                "start": _rfc3339(from_ns),
                # The end is inclusive.
                "end": _rfc3339(until_ns - NS_PER_SECOND),
                "limit": str(_LIMIT),
                "adjustment": "raw",
                "feed": self._feed,
                "sort": "asc",
            }
            found.extend(self._pages(question))
        return [bar for bar in found if from_ns <= bar.end_ns - MINUTE_NS < until_ns]

    def _pages(self, question: dict[str, str]) -> Sequence[LiveBar]:
        found: list[LiveBar] = []
        for _ in range(PAGES_MAX):
            page = self._page(question)
            for symbol, items in (page.get("bars") or {}).items():
                made = (bar_of(symbol, item, item.get("t")) for item in items)
                found.extend(bar for bar in made if bar is not None)
            token = page.get("next_page_token")
            if not token:
                return found
            question = question | {"page_token": str(token)}
        raise BarsError(f"Alpaca's past minutes have more than {PAGES_MAX} pages: the answer is not believed")

    def _page(self, question: dict[str, str]) -> dict[str, Any]:
        headers = {"APCA-API-KEY-ID": self._keys[0], "APCA-API-SECRET-KEY": self._keys[1]}
        try:
            answer = self._get(
                f"{self._url}/v2/stocks/bars",
                params=question,
                headers=headers,
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            raise BarsError(f"Alpaca's past minutes: no answer ({type(error).__name__})") from None
        if answer.status_code != requests.codes.ok:
            words = server_words(answer.content[:_BYTES_MAX], self._keys)
            raise BarsError(f"Alpaca's past minutes: refused with {answer.status_code}, {words}")
        try:
            page = msgspec.json.decode(answer.content, type=_Page)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BarsError("Alpaca's past minutes: an answer that is not understood") from error
        return {"bars": page.bars, "next_page_token": page.next_page_token}


class _Page(msgspec.Struct):
    bars: dict[str, list[dict[str, Any]]] | None = None
    next_page_token: str | None = None


def _rfc3339(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
