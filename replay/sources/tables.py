"""One-minute bars in CSV or Parquet: symbol, timestamp, open, high, low, close, volume; one file or a folder of them.

`timestamp` is the START of the minute, as text with a zone (2013-10-08T13:30:00Z, or an offset such as -04:00) or, in
Parquet, a datetime with a zone. Prices are dollars, volumes shares. Such bars have no quotes, so quotes are made of
them: at each of the minute's four moments (open, then low and high or high and low, then close at its end) the bid is
that price less half the spread, the ask that price and half the spread, each for a fixed number of shares.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from bus.clock import NS_PER_MINUTE
from bus.messages import NANOS, SessionPlanned
from replay.faults import ReplayError
from replay.sources.columns import empty_bars, empty_quotes
from replay.sources.table_rows import read_table
from services.screener.steps import BarColumns, Ints, MarketDay, QuoteColumns
from services.screener.universe import UniverseRow

#: The exchange's regular hours, in minutes of New York's day: which bars of an earlier day count for its close.
_REGULAR: Final = (9 * 60 + 30, 16 * 60)
_FILES_MAX: Final = 10_000


@dataclass(frozen=True)
class Synthesis:
    """The quotes that are made for bars without any: half the spread in micro-dollars, and the size of each side."""

    half_spread_micros: int = 10_000
    size_shares: int = 1_000

    def quotes(self, bars: BarColumns) -> QuoteColumns:
        """Return a quote around each bar's open, high, low and close, in the order in which they are played.

        A minute that closes no lower than it opened went down first, else up first. A bid that would not be positive
        is absent, and so is every quote of a minute without a trade.
        """
        made = empty_quotes(*bars.closes.shape)
        is_rising = bars.closes >= bars.opens
        path = (
            bars.opens,
            np.where(is_rising, bars.lows, bars.highs),
            np.where(is_rising, bars.highs, bars.lows),
            bars.closes,
        )
        traded = bars.volumes > 0
        for moment, prices in enumerate(path):
            made.bids[:, moment, :] = np.where(traded, np.maximum(prices - self.half_spread_micros, 0), 0)
            made.asks[:, moment, :] = np.where(traded, prices + self.half_spread_micros, 0)
        made.bid_sizes[:] = np.where(traded, self.size_shares * NANOS, 0)
        made.ask_sizes[:] = made.bid_sizes
        return made


class TableSource:
    """Bars of one or many files, read and checked whole; see `open_tables`.

    Args:
        table: the checked rows in the order of day, symbol and time; see `table_rows.COLUMNS`.
        name: what people are told that is played.
        synthesis: how quotes are made.
    """

    def __init__(self, table: pl.DataFrame, name: str, synthesis: Synthesis) -> None:
        self.name = name
        self._table = table
        self._synthesis = synthesis
        spans = table.with_row_index("at").group_by("day", maintain_order=True).agg(pl.col("at").first(), pl.len())
        self._spans = {day: (at, length) for day, at, length in spans.iter_rows()}
        regular = table.filter(pl.col("minute").is_between(*_REGULAR, closed="left") & (pl.col("volume") > 0))
        self._closes = regular.group_by("day", "symbol", maintain_order=True).agg(
            pl.col("close").last(), pl.col("volume").sum()
        )

    def days(self) -> tuple[str, ...]:
        """Return the days in New York that have bars."""
        return tuple(sorted(self._spans))

    def load(self, plan: SessionPlanned) -> MarketDay:
        """Return one session: minutes outside [open, close) only give the last price before the open."""
        rows = self._table.slice(*self._spans[plan.session_date])
        minutes = (plan.close_ns - plan.open_ns) // NS_PER_MINUTE
        inside = rows.filter(pl.col("ts").is_between(plan.open_ns, plan.close_ns, closed="left"))
        inside = inside.filter(pl.col("volume") > 0)
        symbols = tuple(sorted(inside["symbol"].unique().to_list()))
        if not symbols:
            raise ReplayError(f"{self.name} has no trade in {plan.session_date}'s session.")
        place = {symbol: number for number, symbol in enumerate(symbols)}
        at = (
            ((inside["ts"] - plan.open_ns) // NS_PER_MINUTE).to_numpy(),
            inside["symbol"].replace_strict(place, return_dtype=pl.Int64).to_numpy(),
        )
        bars = empty_bars(minutes, len(symbols))
        for column, array in zip(("open", "high", "low", "close", "volume"), _arrays(bars), strict=True):
            array[at] = inside[column].to_numpy()
        before = rows.filter((pl.col("ts") < plan.open_ns) & (pl.col("volume") > 0))
        return MarketDay(
            source=f"{self.name}, {plan.session_date}"[:400],
            rows=self._universe(symbols, plan.session_date, before),
            symbols=symbols,
            bars=bars,
            quotes=self._synthesis.quotes(bars),
        )

    def _universe(self, symbols: tuple[str, ...], day: str, before: pl.DataFrame) -> tuple[UniverseRow, ...]:
        earlier = self._closes.filter(pl.col("day") < day).sort("day").group_by("symbol").last()
        prior = {
            symbol: (close, volume) for symbol, close, volume in earlier.select("symbol", "close", "volume").rows()
        }
        newest = dict(before.group_by("symbol", maintain_order=True).agg(pl.col("close").last()).rows())
        return tuple(
            UniverseRow(
                symbol=symbol,
                prior_close_micros=prior.get(symbol, (0, 0))[0],
                prior_volume_nanos=prior.get(symbol, (0, 0))[1],
                price_micros=newest.get(symbol, prior.get(symbol, (0, 0))[0]),
                float_shares=0,
            )
            for symbol in symbols
        )


def open_tables(root: Path, kind: str, symbols: Sequence[str], synthesis: Synthesis) -> TableSource:
    """Read a file, or every `*.csv` or `*.parquet` of a folder, and check every row.

    Args:
        root: the file or the folder.
        kind: "csv" or "parquet".
        symbols: the names to keep; empty = all.
        synthesis: how quotes are made.

    Raises:
        ReplayError: no such file, or a row that cannot be played, with its file, its row and the reason.
    """
    files = sorted(root.glob(f"*.{kind}")) if root.is_dir() else [root]
    if not files:
        raise ReplayError(f"{root} has no *.{kind} in it. Give the folder of the minute bars, or one file.")
    if len(files) > _FILES_MAX:
        raise ReplayError(f"{root} has more than {_FILES_MAX} files. Put a day or a month into each.")
    table = pl.concat([read_table(path, kind, number) for number, path in enumerate(files)])
    table = table.sort("day", "symbol", "ts")
    _check_once(table, files)
    missing = sorted(set(symbols) - set(table["symbol"].unique().to_list()))
    if missing:
        there = ", ".join(sorted(table["symbol"].unique().to_list())[:8])
        raise ReplayError(f"{root} has no bars of {', '.join(missing)}. It has {there}.")
    if symbols:
        table = table.filter(pl.col("symbol").is_in(list(symbols)))
    return TableSource(table, f"{kind} minutes from {root}", synthesis)


def _check_once(table: pl.DataFrame, files: Sequence[Path]) -> None:
    """Check that no minute of a symbol is in two files.

    Raises:
        ReplayError: one is, with both places.
    """
    both = table.filter((pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("ts") == pl.col("ts").shift(1)))
    if both.height:
        row = both.row(0, named=True)
        twins = table.filter((pl.col("symbol") == row["symbol"]) & (pl.col("ts") == row["ts"]))
        places = " and ".join(
            f"{files[file]}, row {number}" for file, number in twins.select("file", "row").sort("file").rows()
        )
        raise ReplayError(f"{row['symbol']} has the same minute twice: in {places}. Take one of them out.")


def _arrays(bars: BarColumns) -> tuple[Ints, ...]:
    return bars.opens, bars.highs, bars.lows, bars.closes, bars.volumes
