"""Rows of CSV and Parquet as integers, each checked; the first bad one is named with its file, its row and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from replay.faults import ReplayError

NEEDED: Final = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
#: What a checked table has: `ts` is the minute's start in UTC nanoseconds, `day` and `minute` New York's, prices are
#: micro-dollars, volumes nano-shares, `file` and `row` where it comes from.
COLUMNS: Final = ("symbol", "ts", "day", "minute", "open", "high", "low", "close", "volume", "file", "row")
_PRICES: Final = ("open", "high", "low", "close")
_SYMBOL: Final = r"^[A-Z0-9][A-Z0-9.\-]{0,23}$"
#: At most nine digits, and as many decimals as the bot counts in; zeros after them change nothing.
_PRICE: Final = r"^([0-9]{1,9})(?:\.([0-9]{1,6}?)0*)?$"
_VOLUME: Final = r"^([0-9]{1,9})(?:\.([0-9]{1,9}?)0*)?$"
_TIME: Final = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
_ZONE: Final = r"(Z|[+-]\d\d:?\d\d)$"
_SECONDS: Final = r"[T ]\d\d:\d\d(?::00(?:\.0+)?)?(?:Z|[+-]\d\d:?\d\d)?$"
#: Prices and volumes are below this: scaled to their units they still fit into 64 bits.
_NUMBER_MAX: Final = 1_000_000_000


@dataclass(frozen=True)
class _Check:
    """A rule: rows for which `is_bad` holds are refused with `reason`, in which {name} stands for a column's value."""

    is_bad: pl.Expr
    reason: str


def read_table(path: Path, kind: str, file: int) -> pl.DataFrame:
    """Return one file's rows with the columns of COLUMNS, every one checked.

    Raises:
        ReplayError: the file cannot be read, lacks a column, or has a bad row.
    """
    raw = _read(path, kind)
    missing = [name for name in NEEDED if name not in raw.columns]
    if missing:
        raise ReplayError(f"{path} has no column {', '.join(missing)}. It must have {', '.join(NEEDED)}.")
    # A CSV's first line has the names, so its first row is in line 2.
    raw = raw.select(NEEDED).with_row_index("row", offset=2 if kind == "csv" else 1)
    said = _texts(raw)
    types = dict(zip(raw.columns, raw.dtypes, strict=True))
    _refuse(path, said, raw.select("row", *_text_checks(types)))
    rows = raw.select("row", *_values(types))
    _refuse(path, said, rows.select("row", *_value_checks()))
    local = pl.from_epoch("ts", time_unit="ns").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    return rows.with_columns(
        day=local.dt.strftime("%Y-%m-%d"),
        minute=local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute(),
        file=pl.lit(file, dtype=pl.Int64),
        row=pl.col("row").cast(pl.Int64),
    ).select(COLUMNS)


def _read(path: Path, kind: str) -> pl.DataFrame:
    try:
        # Text is made into integers here, digit by digit: a price never becomes a float on the way.
        return pl.read_csv(path, infer_schema=False) if kind == "csv" else pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ReplayError(f"{path} cannot be read as {kind}: {str(error).splitlines()[0]}.") from error


def _texts(raw: pl.DataFrame) -> pl.DataFrame:
    return raw.select("row", *(pl.col(name).cast(pl.String, strict=False) for name in NEEDED))


def _refuse(path: Path, said: pl.DataFrame, marks: pl.DataFrame) -> None:
    """Raise for the first row that any rule marks; the columns after `row` are named by their reasons."""
    reasons = marks.columns[1:]
    bad = marks.filter(pl.any_horizontal(reasons)).head(1)
    if not bad.height:
        return
    found = bad.row(0, named=True)
    reason = next(reason for reason in reasons if found[reason])
    values = said.filter(pl.col("row") == found["row"]).row(0, named=True)
    raise ReplayError(f"{path}, row {found['row']}: {reason.format(**values)}.")


def _marks(checks: list[_Check]) -> list[pl.Expr]:
    return [check.is_bad.fill_null(value=True).alias(check.reason) for check in checks]


def _text_checks(types: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """Return the rules for what is written: each value has the form that its column needs.

    A price or volume in binary floating point (Parquet) is rounded to the step that the bot counts in; text and
    decimals that are finer are refused.
    """
    checks = [
        _Check(~pl.col("symbol").cast(pl.String).str.to_uppercase().str.contains(_SYMBOL), "'{symbol}' is no symbol")
    ]
    checks += _time_checks(types["timestamp"])
    for name in (*_PRICES, "volume"):
        steps = "9 digits and 9 decimals" if name == "volume" else "9 digits and 6 decimals"
        reason = f"its {name} '{{{name}}}' is not a number from 0 with at most {steps}"
        checks.append(_Check(_is_no_number(name, types[name]), reason))
    return _marks(checks)


def _time_checks(kind: pl.DataType) -> list[_Check]:
    time = pl.col("timestamp")
    if isinstance(kind, pl.Datetime):
        no_zone = pl.lit(kind.time_zone is None)
        off = (time.dt.second() != 0) | (time.dt.nanosecond() != 0)
    elif kind == pl.String:
        no_zone = ~time.str.contains(_ZONE)
        off = ~time.str.contains(_SECONDS)
    else:
        return [_Check(pl.lit(value=True), "its timestamp '{timestamp}' must be text or a datetime, with a zone")]
    checks = [_Check(~time.str.contains(_TIME), "its timestamp '{timestamp}' is no time such as 2013-10-08T13:30:00Z")]
    return [
        *(checks if kind == pl.String else []),
        _Check(no_zone, "its timestamp '{timestamp}' has no zone that is known: write UTC as Z, or an offset (-04:00)"),
        _Check(off, "its timestamp '{timestamp}' is not the start of a minute"),
        _Check(_ts(kind).is_null(), "its timestamp '{timestamp}' is no moment of the calendar"),
    ]


def _is_no_number(name: str, kind: pl.DataType) -> pl.Expr:
    if kind.is_float():
        return ~pl.col(name).is_finite() | (pl.col(name) < 0) | (pl.col(name) >= _NUMBER_MAX)
    if kind.is_integer():
        return (pl.col(name) < 0) | (pl.col(name) >= _NUMBER_MAX)
    return ~pl.col(name).cast(pl.String, strict=False).str.contains(_pattern(name))


def _pattern(name: str) -> str:
    return _VOLUME if name == "volume" else _PRICE


def _values(types: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    return [
        pl.col("symbol").cast(pl.String).str.to_uppercase(),
        _ts(types["timestamp"]).alias("ts"),
        *(_scaled(name, types[name], 6).alias(name) for name in _PRICES),
        _scaled("volume", types["volume"], 9).alias("volume"),
    ]


def _ts(kind: pl.DataType) -> pl.Expr:
    time = pl.col("timestamp")
    if isinstance(kind, pl.Datetime):
        return time.dt.epoch("ns")
    plain = (
        time.str.replace(" ", "T", literal=True).str.replace(r"Z$", "+00:00").str.replace(r"(\d\d):?(\d\d)$", "$1$2")
    )
    stamp = plain.str.replace(r"T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?([+-]\d{4})$", "T$1:00$2")
    return stamp.str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="ns", strict=False).dt.epoch("ns")


def _scaled(name: str, kind: pl.DataType, decimals: int) -> pl.Expr:
    unit: int = 10**decimals
    if kind.is_float():
        return (pl.col(name) * unit).round().cast(pl.Int64)
    if kind.is_integer():
        return pl.col(name).cast(pl.Int64) * unit
    text = pl.col(name).cast(pl.String)
    fraction = text.str.extract(_pattern(name), 2).fill_null("").str.pad_end(decimals, "0")
    return text.str.extract(_pattern(name), 1).cast(pl.Int64) * unit + fraction.cast(pl.Int64)


def _value_checks() -> list[pl.Expr]:
    """Return the rules for what is meant: prices agree with each other, and time goes on."""
    o, h, low, c = (pl.col(name) for name in _PRICES)
    within = (low > 0) & (low <= pl.min_horizontal(o, c)) & (pl.max_horizontal(o, c) <= h)
    before = pl.col("ts").shift(1).over("symbol")
    is_later = before.is_null() | (pl.col("ts") > before)
    return _marks(
        [
            _Check(~within, "open {open}, high {high}, low {low} and close {close} contradict each other, or one is 0"),
            _Check((pl.col("ts") == before).fill_null(value=False), "{symbol} has the minute {timestamp} twice"),
            _Check(~is_later, "{symbol} at {timestamp} is out of order: its rows must rise in time"),
        ]
    )
