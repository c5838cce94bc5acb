"""Bars in CSV and Parquet: exact integers, zones and half-days, made quotes, and every bad row named."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bus.calendar import plan_session, read_exchange_day
from bus.messages import MICROS, NANOS, SessionPlanned
from config.env_bot import parse, proposals
from replay.faults import ReplayError
from replay.figures import money, shares
from replay.sources.columns import digest_of
from replay.sources.tables import Synthesis, TableSource, open_tables
from services.screener.lean import NEW_YORK, LeanFolder, read_trades
from services.screener.steps import messages

LEAN = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "lean"
HEAD = "symbol,timestamp,open,high,low,close,volume"
MADE = Synthesis()


@pytest.fixture(scope="module")
def plan() -> SessionPlanned:
    return plan_session(read_exchange_day("2013-10-08"), parse(proposals()), 0)


def _csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEAD, *lines]) + "\n")
    return path


def _open(path: Path, *symbols: str, kind: str = "csv") -> TableSource:
    return open_tables(path, kind, symbols, MADE)


def test_bars_when_read_are_exact_integers_at_their_minute(tmp_path: Path, plan: SessionPlanned) -> None:
    path = _csv(
        tmp_path / "a.csv",
        "SPY,2013-10-08T13:30:00Z,167.4,167.45,167.300001,167.44,1000.5",
        "aig,2013-10-08T09:31:00-04:00,48.1,48.2,48,48.15,7",
        "SPY,2013-10-08 13:32:00+00:00,167,168,166,167,20",
        "SPY,2013-10-08T13:33Z,167,168,166,167,0",
    )
    day = _open(path).load(plan)
    assert day.symbols == ("AIG", "SPY")
    assert len(day.bars.closes) == 390
    assert day.bars.lows[0].tolist() == [0, 167_300_001]
    assert day.bars.volumes[:4].tolist() == [[0, 1_000_500_000_000], [7 * NANOS, 0], [0, 20 * NANOS], [0, 0]]
    assert day.bars.closes[1].tolist() == [48_150_000, 0]
    assert day.bars.volumes[3:].sum() == 0


def test_quotes_when_made_are_the_bar_and_half_the_spread_in_the_order_played(
    tmp_path: Path, plan: SessionPlanned
) -> None:
    path = _csv(
        tmp_path / "a.csv",
        "SPY,2013-10-08T13:30:00Z,100,105,98,102,10",
        "SPY,2013-10-08T13:31:00Z,100,105,98,99,10",
        "SPY,2013-10-08T13:33:00Z,0.01,0.01,0.01,0.01,10",
    )
    quotes = _open(path).load(plan).quotes
    dollars = [[round(price / MICROS, 2) for price in minute] for minute in quotes.bids[:4, :, 0].tolist()]
    assert dollars == [[99.99, 97.99, 104.99, 101.99], [99.99, 104.99, 97.99, 98.99], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert (quotes.asks[:2] - quotes.bids[:2] == 20_000).all()
    assert quotes.asks[3, 0, 0] == 20_000
    assert quotes.bid_sizes[:4, 0].tolist() == [1_000 * NANOS, 1_000 * NANOS, 0, 1_000 * NANOS]


def test_the_last_quote_of_a_minute_when_played_is_its_close_just_before_its_end(
    tmp_path: Path, plan: SessionPlanned
) -> None:
    path = _csv(tmp_path / "a.csv", "SPY,2013-10-08T13:30:00Z,100,105,98,102,10")
    *_, last, bars, _end = messages(_open(path).load(plan), plan)
    assert last.ts_event == plan.open_ns + 59_900_000_000
    assert last.quotes[0].bid_micros == 101_990_000  # type: ignore[union-attr]  # the fourth batch of quotes
    assert bars.ts_event == plan.open_ns + 60_000_000_000


def test_parquet_when_it_has_datetimes_and_decimals_reads_as_csv_does(tmp_path: Path, plan: SessionPlanned) -> None:
    lines = ["SPY,2013-10-08T13:30:00Z,100.1,105.25,98,102,10", "SPY,2013-10-08T13:31:00Z,102,103,101.5,101.75,20"]
    of_csv = _open(_csv(tmp_path / "a.csv", *lines)).load(plan)
    texts = pl.read_csv(tmp_path / "a.csv", infer_schema=False)
    times = pl.Series([datetime(2013, 10, 8, 13, minute, tzinfo=UTC) for minute in (30, 31)])
    prices = {name: pl.col(name).cast(pl.Decimal(12, 4)) for name in ("open", "high", "low", "close")}
    for number, changes in enumerate(
        [
            {"timestamp": times, "volume": pl.col("volume").cast(pl.UInt32), **prices},
            {"timestamp": times.dt.convert_time_zone("Asia/Tokyo").cast(pl.Datetime("us", "Asia/Tokyo"))},
            {name: pl.col(name).cast(pl.Float64) for name in ("open", "high", "low", "close", "volume")},
            {"symbol": pl.col("symbol").cast(pl.Categorical)},
        ]
    ):
        path = tmp_path / f"{number}.parquet"
        texts.with_columns(**changes).write_parquet(path)  # type: ignore[arg-type]  # expressions and series
        assert digest_of(_open(path, kind="parquet").load(plan)) == digest_of(of_csv), changes


def test_a_folder_when_read_joins_its_files_and_knows_its_days(tmp_path: Path, plan: SessionPlanned) -> None:
    _csv(
        tmp_path / "1.csv",
        "SPY,2013-10-07T19:59:00Z,100,100,100,100,5",
        "SPY,2013-10-07T20:00:00Z,150,150,150,150,1",
    )
    _csv(
        tmp_path / "2.csv",
        "SPY,2013-10-08T12:00:00Z,101,101,101,101,5",
        "SPY,2013-10-08T13:30:00Z,102,102,102,102,5",
        "IBM,2013-10-08T13:30:00Z,180,180,180,180,5",
    )
    source = _open(tmp_path)
    assert source.days() == ("2013-10-07", "2013-10-08")
    ibm, spy = source.load(plan).rows
    # The day before counts in regular hours only; the last price before the open is the pre-market's.
    assert (spy.prior_close_micros, spy.prior_volume_nanos, spy.price_micros) == (100 * MICROS, 5 * NANOS, 101 * MICROS)
    assert (ibm.prior_close_micros, ibm.price_micros) == (0, 0)
    assert _open(tmp_path, "IBM").load(plan).symbols == ("IBM",)


BAD: list[tuple[str, str]] = [
    ("SPY,2013-10-08T13:30:00,1,1,1,1,1", "has no zone that is known"),
    ("SPY,2013-10-08T13:30:00 America/New_York,1,1,1,1,1", "has no zone that is known"),
    ("SPY,2013-10-08T13:30:00EST,1,1,1,1,1", "has no zone that is known"),
    ("SPY,08.10.2013 13:30Z,1,1,1,1,1", "is no time such as"),
    ("SPY,2013-10-08T13:30:01Z,1,1,1,1,1", "is not the start of a minute"),
    ("SPY,2013-10-08T13:30:00.5Z,1,1,1,1,1", "is not the start of a minute"),
    ("SPY,2013-13-08T13:30:00Z,1,1,1,1,1", "is no moment of the calendar"),
    ("SPY,,1,1,1,1,1", "is no time such as"),
    (",2013-10-08T13:30:00Z,1,1,1,1,1", "is no symbol"),
    ("S P Y,2013-10-08T13:30:00Z,1,1,1,1,1", "'S P Y' is no symbol"),
    ("SPY,2013-10-08T13:30:00Z,nan,1,1,1,1", "its open 'nan' is not a number from 0"),
    ("SPY,2013-10-08T13:30:00Z,1,-1,1,1,1", "its high '-1' is not a number from 0"),
    ("SPY,2013-10-08T13:30:00Z,1,1,1,1,1e5", "its volume '1e5' is not a number from 0"),
    ("SPY,2013-10-08T13:30:00Z,1,1,1.0000001,1,1", "6 decimals"),
    ("SPY,2013-10-08T13:30:00Z,1,1,0,1,1", "contradict each other, or one is 0"),
    ("SPY,2013-10-08T13:30:00Z,1,2,1,3,1", "contradict each other"),
    ("SPY,2013-10-08T13:30:00Z,1,2,1.5,1.7,1", "contradict each other"),
    ("SPY,2013-10-08T13:30:00Z,1,1,1,1,1000000000", "is not a number from 0"),
    ("SPY,2013-10-08T13:29:00Z,1,1,1,1,1", "has the minute 2013-10-08T13:29:00Z twice"),
    ("SPY,2013-10-08T13:28:00Z,1,1,1,1,1", "is out of order"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=[line for line, _ in BAD])
def test_a_row_when_bad_is_named_with_file_row_and_reason(tmp_path: Path, line: str, reason: str) -> None:
    path = _csv(tmp_path / "bad.csv", "SPY,2013-10-08T13:29:00Z,1,1,1,1,1", line, "SPY,2013-10-08T13:40:00Z,0,1,1,1,1")
    with pytest.raises(ReplayError) as caught:
        _open(path)
    assert f"{path}, row 3: " in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"timestamp": datetime(2013, 10, 8, 13, 30)}, "has no zone"),  # noqa: DTZ001 - a time without a zone is the test
        ({"timestamp": 1_381_239_000}, "must be text or a datetime"),
        ({"timestamp": datetime(2013, 10, 8, 13, 30, 1, tzinfo=UTC)}, "not the start of a minute"),
        ({"close": float("nan")}, "its close 'NaN' is not a number from 0"),
        ({"close": float("inf")}, "its close 'inf' is not a number from 0"),
        ({"volume": 1_000_000_000}, "its volume '1000000000' is not a number from 0"),
        ({"close": 1e9}, "its close '1000000000.0' is not a number from 0"),
        ({"volume": -1}, "its volume '-1' is not a number from 0"),
        ({"open": Decimal("0.0000001")}, "6 decimals"),
        ({"open": None}, "its open 'None' is not a number from 0"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_parquet_row_when_bad_is_named(tmp_path: Path, values: dict[str, Any], reason: str) -> None:
    row = {"symbol": "SPY", "timestamp": "2013-10-08T13:30:00Z", "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0}
    path = tmp_path / "bad.parquet"
    pl.DataFrame([row | {"volume": 1} | values], schema_overrides=_kinds(values)).write_parquet(path)
    with pytest.raises(ReplayError) as caught:
        _open(path, kind="parquet")
    assert f"{path}, row 1: " in str(caught.value)
    assert reason in str(caught.value)


def _kinds(values: dict[str, Any]) -> dict[str, Any]:
    return {name: pl.Decimal(20, 7) for name, value in values.items() if isinstance(value, Decimal)}


def test_a_minute_when_two_files_have_it_is_named_with_both(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv"):
        _csv(tmp_path / name, "SPY,2013-10-08T13:30:00Z,1,1,1,1,1")
    with pytest.raises(ReplayError, match="same minute twice") as caught:
        _open(tmp_path)
    assert f"{tmp_path / '1.csv'}, row 2 and {tmp_path / '2.csv'}, row 2" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("symbol,timestamp,open,high,low,close\n", "has no column volume"),
        ("", "cannot be read as csv"),
        (f"{HEAD}\nSPY,2013-10-08T13:30:00Z,1,1,1,1,1,more\n", "cannot be read as csv"),
    ],
)
def test_a_file_when_it_is_no_table_of_bars_is_named(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(ReplayError, match=reason) as caught:
        _open(path)
    assert str(path) in str(caught.value)


def test_a_place_when_it_has_no_file_or_symbol_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"has no \*.csv"):
        _open(tmp_path)
    with pytest.raises(ReplayError, match="cannot be read"):
        _open(tmp_path / "none.csv")
    _csv(tmp_path / "a.csv", "SPY,2013-10-08T13:30:00Z,1,1,1,1,1")
    with pytest.raises(ReplayError, match=r"has no bars of IBM\. It has SPY"):
        _open(tmp_path, "IBM", "SPY")


def test_a_day_when_nothing_traded_in_its_session_is_refused(tmp_path: Path, plan: SessionPlanned) -> None:
    path = _csv(tmp_path / "a.csv", "SPY,2013-10-08T12:30:00Z,1,1,1,1,1")
    with pytest.raises(ReplayError, match="no trade in 2013-10-08's session"):
        _open(path).load(plan)


def test_recorded_trades_when_written_as_a_table_are_the_bars_of_the_folder_they_come_from(
    tmp_path: Path, lean_folder: Path
) -> None:
    """One recording read by two readers: of the recordings where they are there, of a folder made here elsewhere."""
    root, day = (LEAN, "2013-10-08") if LEAN.is_dir() else (lean_folder, "2013-10-07")
    plan = plan_session(read_exchange_day(day), parse(proposals()), 0)
    folder = LeanFolder(root)
    of_folder = folder.load(plan, ())
    lines = []
    for symbol in of_folder.symbols:
        path = root / "equity" / "usa" / "minute" / symbol.lower() / f"{day.replace('-', '')}_trade.zip"
        for ms, *prices, volume in read_trades(path).tolist():
            at = datetime.fromisoformat(day).replace(tzinfo=NEW_YORK) + timedelta(milliseconds=ms)
            lines.append(f"{symbol},{at.isoformat()},{','.join(map(money, prices))},{shares(volume)}")
    of_table = _open(_csv(tmp_path / "a.csv", *lines)).load(plan)
    assert of_table.symbols == of_folder.symbols
    for name in of_folder.bars.__struct_fields__:
        assert np.array_equal(getattr(of_table.bars, name), getattr(of_folder.bars, name)), name
    assert (of_folder.bars.volumes > 0).any()
