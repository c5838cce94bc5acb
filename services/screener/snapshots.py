"""Live prices of many names in one call: the port to a broker's market data, and rows made of what comes through it."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from bus.messages import Nanos, Ns, PriceMicros, Symbol
from services.screener.universe import UniverseRow
from services.screener.universe_file import Fundamentals, UniverseName


class SnapshotError(Exception):
    """There are no snapshots; the message says what, where and what to do, and never a key."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """One name, seen from one session; 0 = unknown.

    `price_micros` is the last trade of the session's day, before, in or after its hours, with its time; `day_*` is the
    session so far; `prior_*` is the last session before it.
    """

    symbol: Symbol
    price_micros: PriceMicros = 0
    price_ts_ns: Ns = 0
    prior_close_micros: PriceMicros = 0
    prior_volume_nanos: Nanos = 0
    day_close_micros: PriceMicros = 0
    day_volume_nanos: Nanos = 0


class SnapshotSource(Protocol):
    """Market data that answers for many names at once."""

    def snapshots(self, symbols: Iterable[str], session_date: str) -> Mapping[str, Snapshot]:
        """Return what is known of these names, seen from the session of `session_date`, YYYY-MM-DD.

        A name that the source does not know is not in the answer.

        Raises:
            SnapshotError: there is no answer after all tries.
        """
        ...


def live_rows(
    names: Iterable[UniverseName], found: Mapping[str, Snapshot], kept: Mapping[str, str] | None = None
) -> tuple[UniverseRow, ...]:
    """Return a row for each name of the universe; without a trade on the day its price is the prior close.

    Args:
        names: the universe.
        found: what is known of each.
        kept: who was on the list after the close before, and which place it had there.
    """
    kept = kept or {}
    return tuple(
        _row(name, found.get(name.symbol) or Snapshot(symbol=name.symbol), kept.get(name.symbol, "")) for name in names
    )


def _row(name: UniverseName, seen: Snapshot, after_hours: str) -> UniverseRow:
    known = name.fundamentals or Fundamentals()
    return UniverseRow(
        symbol=name.symbol,
        prior_close_micros=seen.prior_close_micros,
        prior_volume_nanos=seen.prior_volume_nanos,
        price_micros=seen.price_micros or seen.prior_close_micros,
        float_shares=0,
        day_close_micros=seen.day_close_micros,
        day_volume_nanos=seen.day_volume_nanos,
        shares_outstanding=known.shares_outstanding,
        market_cap_dollars=known.market_cap_dollars,
        pe_milli=known.pe_milli,
        debt_to_equity_milli=known.debt_to_equity_milli,
        mic=name.mic,
        security_type=name.security_type,
        after_hours=after_hours,
    )
