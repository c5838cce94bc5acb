"""What the screener's shell reports when the session's data is open: every name, before it is screened."""

from typing import Annotated

from msgspec import Meta

from bus.messages import Id, Item, Message, Nanos, PriceMicros, Symbol, Text


class UniverseRow(Item, frozen=True, kw_only=True):
    """One name before the open; 0 = unknown in every field but the symbol.

    `price_micros` is the last pre-market price, else the prior close.
    """

    symbol: Symbol
    prior_close_micros: PriceMicros
    prior_volume_nanos: Nanos
    price_micros: PriceMicros
    float_shares: Annotated[int, Meta(ge=0)]


class UniverseLoaded(Message, frozen=True, kw_only=True):
    """The session's data is open, with these names. A report to the core; it never crosses the bus."""

    session_date: Id
    source: Text
    rows: tuple[UniverseRow, ...]
