"""Minutes that were missed, from Alpaca's REST interface: many names in one question, page by page.

Source: Alpaca "Market Data API" 1.1, /v2/stocks/bars (limit at most 10,000, page_token), read 2026-11; 200 calls a
minute on the free plan.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from bus.clock import NS_PER_SECOND
from services.screener.alpaca_rest import AlpacaRest, RestError
from services.screener.alpaca_wire import bar_of
from services.screener.live import BarsError, LiveBar
from services.screener.steps import MINUTE_NS

_LIMIT: Final = 10_000
_SYMBOLS_A_CALL: Final = 200
#: A session has 390 minutes, so 200 names have at most 8 pages; a server that never comes to an end is left.
PAGES_MAX: Final = 20


class AlpacaBars:
    """A `PastBarSource` of Alpaca.

    Args:
        rest: its market data.
        feed: iex or sip.
    """

    def __init__(self, rest: AlpacaRest, feed: str) -> None:
        self._rest = rest
        self._feed = feed

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
            for symbol, items in (page.bars or {}).items():
                made = (bar_of(symbol, item, item.get("t")) for item in items)
                found.extend(bar for bar in made if bar is not None)
            if not page.next_page_token:
                return found
            question = question | {"page_token": page.next_page_token}
        raise BarsError(f"Alpaca's past minutes have more than {PAGES_MAX} pages: the answer is not believed")

    def _page(self, question: dict[str, str]) -> "_Page":
        try:
            return self._rest.ask("/v2/stocks/bars", question, _Page)
        except RestError as error:
            raise BarsError(f"Alpaca's past minutes: {error}") from error


class _Page(msgspec.Struct):
    bars: dict[str, list[dict[str, Any]]] | None = None
    next_page_token: str | None = None


def _rfc3339(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
