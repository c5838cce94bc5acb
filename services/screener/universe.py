"""What the screener's shell reports when the session's data is open: every name, before it is screened."""

from typing import Annotated, Final

from msgspec import Meta

from bus.messages import Id, Item, Message, Nanos, PriceMicros, ScanMode, SessionPlanned, Symbol, Text

Count = Annotated[int, Meta(ge=0, le=2**62)]
#: A ratio in thousandths. It may be negative: a company with a loss, or with more debt than it owns.
Milli = Annotated[int, Meta(ge=-(2**62), le=2**62)]
SCAN_MODES: Final[tuple[ScanMode, ...]] = ("pre-market", "intraday", "after-hours")


class UniverseRow(Item, frozen=True, kw_only=True):
    """One name. 0 and "" = unknown, but None in the ratios: a company without debt has a ratio of 0.

    `price_micros` is the last price: before the open the last pre-market price, else the prior close.
    `prior_*` is the day before; `day_*` is the day itself, so far. `shares_outstanding` stands in for an unknown
    float, of which it is the upper limit. `mic` is the exchange (ISO 10383), `security_type` is in Finnhub's words.
    `after_hours` says, for people, which place it had on the list after the close before; empty = none.
    """

    symbol: Symbol
    prior_close_micros: PriceMicros
    prior_volume_nanos: Nanos
    price_micros: PriceMicros
    float_shares: Count
    day_close_micros: PriceMicros = 0
    day_volume_nanos: Nanos = 0
    shares_outstanding: Count = 0
    market_cap_dollars: Count = 0
    pe_milli: Milli | None = None
    debt_to_equity_milli: Milli | None = None
    mic: str = ""
    security_type: str = ""
    after_hours: str = ""


class UniverseLoaded(Message, frozen=True, kw_only=True):
    """The session's data is open, with these names. A report to the core; it never crosses the bus.

    `due_ns` is when a later scan of the session was due; 0 = the session's first list.
    """

    session_date: Id
    source: Text
    rows: tuple[UniverseRow, ...]
    scan_mode: ScanMode = "pre-market"
    due_ns: int = 0


def scan_mode_at(plan: SessionPlanned, now_ns: int) -> ScanMode:
    """Return which part of the day it is; a day without a session is all before the next one."""
    if not plan.is_trading_day or now_ns < plan.open_ns:
        return "pre-market"
    return "intraday" if now_ns < plan.close_ns else "after-hours"
