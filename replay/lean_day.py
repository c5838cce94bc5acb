"""One session of any source as a folder in LEAN's layout, which the bot's own processes read: lossless.

Prices stand in ten-thousandths of a dollar with two decimals, so that micro-dollars are exact, and sizes in shares with
nine. The day before is one daily bar, and what was known before the open is one trade in the minute before it.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile

from bus.messages import NANOS, SessionPlanned
from services.screener.lean import midnight_ns
from services.screener.lean_lines import MICROS_PER_UNIT, MS_PER_MINUTE
from services.screener.steps import MarketDay
from services.screener.universe import UniverseRow

_USA: Final = Path("equity", "usa")
_NS_PER_MS: Final = 1_000_000


def write_lean(root: Path, day: MarketDay, plan: SessionPlanned) -> None:
    """Write a day of shares: trades and quotes of each name by minute, and its day before.

    Raises:
        OSError: it cannot be written.
    """
    open_ms = (plan.open_ns - midnight_ns(plan.session_date)) // _NS_PER_MS
    stem = plan.session_date.replace("-", "")
    for place, row in enumerate(day.rows):
        name = row.symbol.lower()
        folder = root / _USA / "minute" / name
        _write(folder / f"{stem}_trade.zip", [*_before(row, open_ms), *_trades(day, place, open_ms)])
        _write(folder / f"{stem}_quote.zip", _quotes(day, place, open_ms))
        if row.prior_close_micros:
            _write(root / _USA / "daily" / f"{name}.zip", [_daily(row, plan.session_date)])


def _before(row: UniverseRow, open_ms: int) -> Iterable[str]:
    """Yield a trade before the open, where the price was another one by then than the close of the day before."""
    if row.price_micros and row.price_micros != row.prior_close_micros:
        yield ",".join((str(open_ms - MS_PER_MINUTE), *[_price(row.price_micros)] * 4, "1"))


def _trades(day: MarketDay, place: int, open_ms: int) -> Iterable[str]:
    bars = day.bars
    columns = (bars.opens, bars.highs, bars.lows, bars.closes, bars.volumes)
    table = zip(*(column[:, place].tolist() for column in columns), strict=True)
    for minute, (first, high, low, last, volume) in enumerate(table):
        if last > 0:
            prices = (_price(value) for value in (first, high, low, last))
            yield ",".join((str(open_ms + minute * MS_PER_MINUTE), *prices, _shares(volume)))


def _quotes(day: MarketDay, place: int, open_ms: int) -> Iterable[str]:
    quotes = day.quotes
    sides = ((quotes.bids, quotes.bid_sizes), (quotes.asks, quotes.ask_sizes))
    for minute in range(quotes.bids.shape[0]):
        told = [_side(prices[minute, :, place].tolist(), int(sizes[minute, place])) for prices, sizes in sides]
        if any(told):
            blank = ",,,,"
            yield ",".join((str(open_ms + minute * MS_PER_MINUTE), told[0] or blank, told[1] or blank))


def _side(path: list[int], size: int) -> str:
    """Return open, high, low, close and size of a side; empty when it is absent. `path` is as it is played."""
    if not any(path):
        return ""
    prices = (path[0], max(path), min(path), path[-1])
    return ",".join((*(_price(value) for value in prices), _shares(size)))


def _daily(row: UniverseRow, session_date: str) -> str:
    before = date.fromisoformat(session_date) - timedelta(days=1)
    prices = [_price(row.prior_close_micros)] * 4
    return ",".join((f"{before:%Y%m%d} 00:00", *prices, _shares(row.prior_volume_nanos)))


def _price(micros: int) -> str:
    return format((Decimal(micros) / MICROS_PER_UNIT).normalize(), "f")


def _shares(nanos: int) -> str:
    return format((Decimal(nanos) / NANOS).normalize(), "f")


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr(f"{path.stem}.csv", "\n".join(lines) + "\n")
