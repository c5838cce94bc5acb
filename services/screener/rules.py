"""The screener's rules: each measures one thing of one name and says, for people, whether it passed."""

from bus.messages import MICROS, NANOS, Reason
from services.screener.settings import ScreenerSettings
from services.screener.universe import UniverseRow

UNKNOWN = "unknown"
_BPS = 10_000


def gap_bps(row: UniverseRow) -> int | None:
    """Return how far the price is from the prior close in basis points; None when either is unknown.

    It is rounded away from zero, so that a gap beyond a limit of whole basis points never rounds onto it.
    """
    if not row.price_micros or not row.prior_close_micros:
        return None
    moved = row.price_micros - row.prior_close_micros
    size = -(-abs(moved) * _BPS // row.prior_close_micros)
    return size if moved >= 0 else -size


def reasons_for(row: UniverseRow, settings: ScreenerSettings) -> tuple[Reason, ...]:
    """Apply every rule to one name, in a fixed order."""
    return (
        _price_min(row, settings),
        _price_max(row, settings),
        _gap(row, settings),
        _volume(row, settings),
        _float(row, settings),
    )


def dollars(micros: int) -> str:
    """Write a price for people, exactly, with at least two decimals: $48.84, $0.0105."""
    whole, rest = divmod(micros, MICROS)
    return f"${whole:,}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')}"


def percent(bps: int, *, signed: bool = False) -> str:
    """Write basis points as percent: 1500 is 15.00 %."""
    whole, rest = divmod(abs(bps), 100)
    sign = "-" if bps < 0 else "+" if signed else ""
    return f"{sign}{whole}.{rest:02d} %"


def _price_min(row: UniverseRow, settings: ScreenerSettings) -> Reason:
    # SCREENER_PRICE_MIN: a name without a price is not known to be dear enough, so it fails.
    return Reason(
        rule="price_min",
        value=dollars(row.price_micros) if row.price_micros else UNKNOWN,
        threshold=f">= {dollars(settings.price_min_micros)}",
        passed=row.price_micros > 0 and row.price_micros >= settings.price_min_micros,
    )


def _price_max(row: UniverseRow, settings: ScreenerSettings) -> Reason:
    # SCREENER_PRICE_MAX: the same for the upper end.
    return Reason(
        rule="price_max",
        value=dollars(row.price_micros) if row.price_micros else UNKNOWN,
        threshold=f"<= {dollars(settings.price_max_micros)}",
        passed=0 < row.price_micros <= settings.price_max_micros,
    )


def _gap(row: UniverseRow, settings: ScreenerSettings) -> Reason:
    # SCREENER_GAP_MAX has no "where known": a gap nobody can measure fails.
    gap = gap_bps(row)
    return Reason(
        rule="gap",
        value=UNKNOWN if gap is None else percent(gap, signed=True),
        threshold=f"<= {percent(settings.gap_max_bps)} either way",
        passed=gap is not None and abs(gap) <= settings.gap_max_bps,
    )


def _volume(row: UniverseRow, settings: ScreenerSettings) -> Reason:
    # SCREENER_VOLUME_MIN applies "where known": an unknown previous day passes.
    known = row.prior_volume_nanos > 0
    return Reason(
        rule="volume",
        value=f"{row.prior_volume_nanos // NANOS:,} shares" if known else UNKNOWN,
        threshold=f">= {settings.volume_min_nanos // NANOS:,} shares",
        passed=not known or row.prior_volume_nanos >= settings.volume_min_nanos,
    )


def _float(row: UniverseRow, settings: ScreenerSettings) -> Reason:
    # SCREENER_FLOAT_MIN applies "where known": an unknown float passes.
    known = row.float_shares > 0
    return Reason(
        rule="float",
        value=f"{row.float_shares:,} shares" if known else UNKNOWN,
        threshold=f">= {settings.float_min_shares:,} shares",
        passed=not known or row.float_shares >= settings.float_min_shares,
    )
