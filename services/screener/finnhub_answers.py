"""What Finnhub answers, as values: exact numbers, and what is missing said by name.

Source: finnhub.io/docs/api and recorded answers of a free key, 2026-11. Numbers come as numbers, as text or as null.
"""

from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import Struct

_MILLION: Final = 1_000_000
_MILLI: Final = 1_000
_NUMBER_MAX: Final = 2**62


class Missing(Enum):
    """Why there is no value. Both are answers: asking again does not help."""

    NO_DATA = "Finnhub knows nothing of this name"
    NOT_IN_PLAN = "Finnhub gives this to paid plans alone"


class ListedName(Struct, frozen=True, kw_only=True):
    """One row of stock/symbol. `type` is in Finnhub's words, `mic` the exchange by ISO 10383; both may be empty."""

    symbol: str
    mic: str = ""
    type: str = ""
    description: str = ""
    currency: str = ""


class Profile(Struct, frozen=True, kw_only=True):
    """stock/profile2: shares and dollars, whole; 0 = unknown. Worth in another currency than dollars is unknown."""

    shares_outstanding: int
    market_cap_dollars: int


class Quote(Struct, frozen=True, kw_only=True):
    """quote: dollars, and the time in seconds since 1970."""

    price: Decimal
    prior_close: Decimal
    high: Decimal
    low: Decimal
    opened: Decimal
    ts_s: int


class Metrics(Struct, frozen=True, kw_only=True):
    """stock/metric: ratios in thousandths, None = unknown; whole dollars and shares a day, 0 = unknown."""

    pe_milli: int | None
    debt_to_equity_milli: int | None
    market_cap_dollars: int
    volume_10_day_shares: int


class MarketStatus(Struct, frozen=True, kw_only=True):
    """stock/market-status. `session` is regular, pre-market, post-market or "" = closed; `holiday` its name or ""."""

    is_open: bool
    session: str
    holiday: str


class Holiday(Struct, frozen=True, kw_only=True):
    """One row of stock/market-holiday. `hours` is empty when it is closed all day, else such as 09:30-13:00 there."""

    date: str
    name: str
    hours: str


class _Profile(Struct):
    shareOutstanding: Any = None  # noqa: N815 - Finnhub's names
    marketCapitalization: Any = None  # noqa: N815 - Finnhub's names
    currency: str | None = ""
    ticker: str | None = ""


class _Quote(Struct):
    c: Any = None
    pc: Any = None
    h: Any = None
    l: Any = None  # noqa: E741 - Finnhub's names
    o: Any = None
    t: Any = None


class _Metric(Struct):
    metric: dict[str, Any] = {}


class _Status(Struct):
    isOpen: bool  # noqa: N815 - Finnhub's names
    session: str | None = None
    holiday: str | None = None


class _HolidayRow(Struct):
    eventName: str  # noqa: N815 - Finnhub's names
    atDate: str  # noqa: N815 - Finnhub's names
    tradingHour: str = ""  # noqa: N815 - Finnhub's names


class _Holidays(Struct):
    data: list[_HolidayRow] = []


def listed_names(body: bytes) -> tuple[ListedName, ...]:
    """Read stock/symbol. These readers raise msgspec.MsgspecError or RecursionError for anything else."""
    return tuple(msgspec.json.decode(body, type=list[ListedName]))


def profile(body: bytes) -> Profile | Missing:
    """Read stock/profile2; it answers `{}` for a name that it does not know."""
    raw = msgspec.json.decode(body, type=_Profile)
    if not raw.ticker and raw.shareOutstanding is None:
        return Missing.NO_DATA
    # The worth is in the currency of the company's own filings, so it is only compared with dollars where they are.
    is_dollars = raw.currency in {"USD", "", None}
    return Profile(
        shares_outstanding=_whole(raw.shareOutstanding, _MILLION),
        market_cap_dollars=_whole(raw.marketCapitalization, _MILLION) if is_dollars else 0,
    )


def quote(body: bytes) -> Quote | Missing:
    """Read quote; a name that it does not know has a price and a time of zero."""
    raw = msgspec.json.decode(body, type=_Quote)
    price, ts_s = _number(raw.c), _whole(raw.t, 1)
    if price is None or price <= 0 or not ts_s:
        return Missing.NO_DATA
    prior, high, low, opened = (_number(each) or Decimal(0) for each in (raw.pc, raw.h, raw.l, raw.o))
    return Quote(price=price, prior_close=prior, high=high, low=low, opened=opened, ts_s=ts_s)


def metrics(body: bytes) -> Metrics | Missing:
    """Read stock/metric?metric=all: volumes and worth come in millions."""
    found = msgspec.json.decode(body, type=_Metric).metric
    if not found:
        return Missing.NO_DATA
    return Metrics(
        pe_milli=_milli(found.get("peTTM")),
        debt_to_equity_milli=_milli(found.get("totalDebt/totalEquityQuarterly")),
        market_cap_dollars=_whole(found.get("marketCapitalization"), _MILLION),
        volume_10_day_shares=_whole(found.get("10DayAverageTradingVolume"), _MILLION),
    )


def market_status(body: bytes) -> MarketStatus:
    """Read stock/market-status. `is_open` is false before the regular hours, as `session` says."""
    raw = msgspec.json.decode(body, type=_Status)
    return MarketStatus(is_open=raw.isOpen, session=raw.session or "", holiday=raw.holiday or "")


def holidays(body: bytes) -> tuple[Holiday, ...]:
    """Read stock/market-holiday."""
    rows = msgspec.json.decode(body, type=_Holidays).data
    return tuple(Holiday(date=row.atDate, name=row.eventName, hours=row.tradingHour) for row in rows)


def _number(value: Any) -> Decimal | None:
    """Return a finite number, or None for anything else. A float is written as briefly as it can be: as it came."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < _NUMBER_MAX else None


def _whole(value: Any, scale: int) -> int:
    """Return a number times `scale`, rounded down; 0 where it is no number, is negative, or is out of range."""
    number = _number(value)
    scaled = int(number * scale) if number is not None and number > 0 else 0
    return scaled if scaled <= _NUMBER_MAX else 0


def _milli(value: Any) -> int | None:
    number = _number(value)
    scaled = None if number is None else int((number * _MILLI).to_integral_value())
    return scaled if scaled is not None and abs(scaled) <= _NUMBER_MAX else None
