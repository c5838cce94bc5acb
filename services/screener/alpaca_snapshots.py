"""Snapshots from Alpaca's market data over alpaca-py, which is loaded only where this is used: it brings pandas.

Source: Alpaca "Market Data API" 1.1, /v2/stocks/snapshots, read 2026-11; 200 calls a minute on the free plan.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import requests
from msgspec import Struct
from requests.adapters import HTTPAdapter

from bus.clock import NS_PER_SECOND
from bus.messages import MICROS, NANOS
from services.screener.server_words import server_words
from services.screener.snapshots import Snapshot, SnapshotError

logger = logging.getLogger(__name__)

NEW_YORK: Final = ZoneInfo("America/New_York")
SYMBOLS_A_CALL: Final = 500
TRIES_MAX: Final = 3
_TIMEOUT_S: Final = (5.0, 20.0)
_BACKOFF_S: Final = (1.0, 4.0)
_BUSY_S_MAX: Final = 70.0
_PRICE_MICROS_MAX: Final = 2**53
_NANOS_MAX: Final = 2**62


class _Trade(Struct):
    p: Decimal = Decimal(0)
    t: str = ""


class _Bar(Struct):
    c: Decimal = Decimal(0)
    v: Decimal = Decimal(0)
    t: str = ""


class _Seen(Struct, rename="camel"):
    latest_trade: _Trade | None = None
    daily_bar: _Bar | None = None
    prev_daily_bar: _Bar | None = None


class _Timed(HTTPAdapter):
    """An adapter whose requests end: alpaca-py sets no time-out, so a silent server would hold it for ever."""

    def __init__(self, timeout_s: tuple[float, float]) -> None:
        super().__init__()
        self._timeout_s = timeout_s

    def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]  # all options are handed on
        options["timeout"] = options.get("timeout") or self._timeout_s
        return super().send(request, **options)


class AlpacaSnapshots:
    """A `SnapshotSource` of Alpaca.

    Args:
        keys: the key id for market data and its secret; neither is in any log, message or `repr`.
        feed: iex, sip or delayed_sip; iex counts the volume of one exchange alone.
        sleep: waits for so many seconds; what it raises ends the call.
        utc_ns: the wall clock, for X-RateLimit-Reset.
        url: another address than Alpaca's.
        timeout_s: for the connection, and for the answer to begin or to go on.
    """

    def __init__(
        self,
        keys: tuple[str, str],
        feed: str,
        *,
        sleep: Callable[[float], object],
        utc_ns: Callable[[], int],
        url: str | None = None,
        timeout_s: tuple[float, float] = _TIMEOUT_S,
    ) -> None:
        from alpaca.data.enums import DataFeed
        from alpaca.data.historical.stock import StockHistoricalDataClient

        if not all(keys):
            raise SnapshotError(
                "There is no Alpaca key pair for market data. Live prices need the credentials alpaca_data_key and "
                "alpaca_data_secret in the vault."
            )
        self._keys = keys
        self._feed = DataFeed(feed)
        self._sleep = sleep
        self._utc_ns = utc_ns
        self._client = StockHistoricalDataClient(*keys, raw_data=True, url_override=url)
        # Its own tries wait 3 s each whatever the server says, so there are none: see _asked.
        self._client._retry = 0  # noqa: SLF001 - the constructor takes no other way to have none
        for scheme in ("https://", "http://"):
            self._client._session.mount(scheme, _Timed(timeout_s))  # noqa: SLF001 - no other way to set a time-out

    def __repr__(self) -> str:
        """Return the feed alone."""
        return f"AlpacaSnapshots({self._feed.value})"

    def snapshots(self, symbols: Iterable[str], session_date: str) -> Mapping[str, Snapshot]:
        """Return what Alpaca knows of these names, seen from the session of `session_date`.

        Raises:
            SnapshotError: no answer after three tries, or the keys are refused.
        """
        wanted = list(symbols)
        found: dict[str, Snapshot] = {}
        for start in range(0, len(wanted), SYMBOLS_A_CALL):
            found |= self._asked(wanted[start : start + SYMBOLS_A_CALL], session_date)
        return found

    def _asked(self, symbols: Sequence[str], session_date: str) -> dict[str, Snapshot]:
        words = ""
        for attempt in range(TRIES_MAX):
            answer = self._once(symbols, session_date)
            if not isinstance(answer, tuple):
                return answer
            words, wait_s = answer
            if attempt + 1 < TRIES_MAX:
                wait_s = wait_s or _BACKOFF_S[attempt]
                logger.warning("Alpaca's snapshots: %s; asked again in %.0f s", words, wait_s)
                self._sleep(wait_s)
        raise SnapshotError(
            f"Alpaca gives no snapshots after {TRIES_MAX} tries: {words}. Look whether this machine reaches Alpaca's "
            "market data and whether it is up, then try again."
        )

    def _once(self, symbols: Sequence[str], session_date: str) -> dict[str, Snapshot] | tuple[str, float]:
        """Return the answer, or in words why there is none and for how long to wait; 0 = the usual time."""
        from alpaca.common.exceptions import APIError
        from alpaca.data.requests import StockSnapshotRequest

        request = StockSnapshotRequest(symbol_or_symbols=list(symbols), feed=self._feed)
        try:
            raw = self._client.get_stock_snapshot(request)
            seen = msgspec.convert(raw or {}, dict[str, _Seen | None], strict=False)
            return {symbol: snapshot_of(symbol, one, session_date) for symbol, one in seen.items() if one is not None}
        except APIError as error:
            return self._refused(error)
        except (requests.RequestException, OSError) as error:
            return type(error).__name__, 0.0
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return "an answer that is not understood", 0.0

    def _refused(self, error: Any) -> tuple[str, float]:
        response = error.response
        status = error.status_code or 0
        words = f"{status}, {server_words(response.content if response is not None else b'', self._keys)}"
        if status in {401, 403}:
            raise SnapshotError(
                f"Alpaca refuses the keys for market data, or their plan has no feed {self._feed.value}: {words}. "
                "Enter the keys again, or set ALPACA_DATA_FEED to iex."
            ) from None
        if 400 <= status < 500 and status != 429:
            raise SnapshotError(f"Alpaca refuses the question for snapshots: {words}. Report it.") from None
        if status == 429:
            return words, self._busy_wait_s(response.headers.get("X-RateLimit-Reset", ""))
        return words, 0.0

    def _busy_wait_s(self, reset: str) -> float:
        try:
            wait_s = float(int(reset) - self._utc_ns() // NS_PER_SECOND) + 1.0
        except ValueError:
            return _BUSY_S_MAX
        return wait_s if 0 < wait_s <= _BUSY_S_MAX else _BUSY_S_MAX


def snapshot_of(symbol: str, seen: _Seen, session_date: str) -> Snapshot:
    """Sort what came by day: until a session has its first trade, Alpaca's daily bar is that of the session before.

    Raises:
        ValueError: a time is malformed.
    """
    trade, day, before = seen.latest_trade, seen.daily_bar, seen.prev_daily_bar
    if day is not None and _date(day.t) != session_date:
        before = day if _date(day.t) < session_date else None
        day = None
    price = price_ts = 0
    if trade is not None and trade.t and _date(trade.t) == session_date:
        price, price_ts = _micros(trade.p), _ns(trade.t)
    return Snapshot(
        symbol=symbol,
        price_micros=price,
        price_ts_ns=price_ts,
        prior_close_micros=_micros(before.c) if before else 0,
        prior_volume_nanos=_shares(before.v) if before else 0,
        day_close_micros=_micros(day.c) if day else 0,
        day_volume_nanos=_shares(day.v) if day else 0,
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _date(text: str) -> str:
    """Return the day in New York, where sessions are."""
    return _time(text).astimezone(NEW_YORK).date().isoformat() if text else ""


def _ns(text: str) -> int:
    at = _time(text)
    return int(at.replace(microsecond=0).timestamp()) * NS_PER_SECOND + at.microsecond * 1_000


def _micros(dollars: Decimal) -> int:
    return _within(dollars, MICROS, _PRICE_MICROS_MAX)


def _shares(count: Decimal) -> int:
    return _within(count, NANOS, _NANOS_MAX)


def _within(value: Decimal, scale: int, most: int) -> int:
    """Return a positive number in its unit, rounded to it; 0 = unknown where it is not one or does not fit."""
    if not value.is_finite() or not 0 < value * scale <= most:
        return 0
    return round(value * scale)
