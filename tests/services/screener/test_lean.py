"""The reader of recorded minutes, on small zips made here and on the real files where they are."""

from datetime import UTC, date, datetime
from pathlib import Path
from zipfile import ZipFile

import pytest
from symbol_days import symbol_days

from bus.assembly import CannotStartError
from bus.messages import MICROS, NANOS, BarBatch, FeedEnded, QuoteBatch, SessionPlanned
from services.screener.faults import (
    CorruptFileError,
    DayMissingError,
    FolderMissingError,
    MalformedLineError,
    NoMinutesError,
    QuotesMissingError,
    UnknownSymbolError,
)
from services.screener.lean import NEW_YORK, LeanFolder
from services.screener.steps import OFFSETS_NS, MarketDay, bars_in, crossed_quotes, messages, minutes_with_data

REAL = (Path(__file__).resolve().parents[3] / "../shared/data/lean").resolve()
OPEN_MS = 34_200_000
MINUTE_MS = 60_000
WINTER, SUMMER, HALF_DAY = "2013-12-10", "2013-10-08", "2015-12-24"


def ns(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()) * NANOS


def plan_of(day: str, opens: str = "13:30", closes: str = "20:00") -> SessionPlanned:
    open_ns, close_ns = ns(f"{day}T{opens}:00"), ns(f"{day}T{closes}:00")
    return SessionPlanned(
        ts_event=1,
        ts_init=1,
        session_date=day,
        open_ns=open_ns,
        close_ns=close_ns,
        is_half_day=close_ns - open_ns < 6 * 3600 * NANOS,
        is_trading_day=True,
        start_open_ns=open_ns,
        start_mid_ns=open_ns,
        start_close_ns=open_ns,
        flatten_ns=close_ns,
    )


def trade(minute: int, *ohlc: int, volume: int = 100) -> str:
    prices = ohlc or (500_000, 501_000, 499_000, 500_500)
    return ",".join(str(value) for value in (OPEN_MS + minute * MINUTE_MS, *prices, volume))


def quote(
    minute: int, bid: str = "499900,500900,498900,500400,200", ask: str = "500100,501100,499100,500600,300"
) -> str:
    return f"{OPEN_MS + minute * MINUTE_MS},{bid},{ask}"


def write_zip(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w") as archive:
        archive.writestr(path.stem + ".csv", "\n".join(lines) + "\n")
    return path


def minute_file(root: Path, symbol: str, day: str, kind: str) -> Path:
    return root / "equity/usa/minute" / symbol / f"{day.replace('-', '')}_{kind}.zip"


def write_day(
    root: Path, symbol: str, day: str, trades: list[str] | None = None, quotes: list[str] | None = None
) -> None:
    write_zip(minute_file(root, symbol, day, "trade"), [trade(0), trade(1)] if trades is None else trades)
    write_zip(minute_file(root, symbol, day, "quote"), [quote(0), quote(1)] if quotes is None else quotes)


def load(root: Path, day: str = SUMMER, wanted: tuple[str, ...] = ()) -> MarketDay:
    return LeanFolder(root).load(plan_of(day), wanted)


def test_load_when_a_day_is_there_then_units_are_micros_and_nanos(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER)
    day = load(tmp_path)
    bar = symbol_days(day)[0].bars[0]
    assert bar is not None
    assert (bar.symbol, bar.open_micros, bar.close_micros) == ("ABC", 50 * MICROS, 50_050_000)
    assert bar.volume_nanos == 100 * NANOS
    quotes = symbol_days(day)[0].quotes[0]
    assert quotes is not None
    assert quotes.bid == (49_990_000, 49_890_000, 50_090_000, 50_040_000)
    assert (quotes.bid_size_nanos, quotes.ask_size_nanos) == (200 * NANOS, 300 * NANOS)


@pytest.mark.parametrize(("day", "opens", "closes"), [(SUMMER, "13:30", "20:00"), (WINTER, "14:30", "21:00")])
def test_load_when_summer_or_winter_then_the_first_minute_is_the_open(
    tmp_path: Path, day: str, opens: str, closes: str
) -> None:
    write_day(tmp_path, "abc", day)
    plan = plan_of(day, opens, closes)
    played = list(messages(LeanFolder(tmp_path).load(plan, ()), plan))
    assert played[0].ts_event == plan.open_ns + OFFSETS_NS[0]
    assert [m.ts_event - plan.open_ns for m in played if isinstance(m, BarBatch)] == [60 * NANOS, 120 * NANOS]


def test_messages_when_played_then_four_moments_then_the_bars(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER, [trade(0)], [quote(0)])
    plan = plan_of(SUMMER)
    played = list(messages(load(tmp_path), plan))
    assert [type(m) for m in played] == [QuoteBatch] * 4 + [BarBatch, FeedEnded]
    assert [m.ts_event - plan.open_ns for m in played[:5]] == [
        100_000_000,
        20 * NANOS,
        40 * NANOS,
        59_900_000_000,
        60 * NANOS,
    ]
    assert [m.quotes[0].bid_micros for m in played if isinstance(m, QuoteBatch)] == [
        49_990_000, 49_890_000, 50_090_000, 50_040_000,
    ]  # fmt: skip
    assert [m.step for m in played] == [1, 2, 3, 4, 5, 6]
    assert isinstance(played[-1], FeedEnded)
    assert played[-1].steps == 6
    assert all(m.ts_init == m.ts_event for m in played)


def test_messages_when_a_minute_falls_then_the_high_comes_before_the_low(tmp_path: Path) -> None:
    falling = quote(0, "500400,500900,498900,499900,200", "500600,501100,499100,500100,300")
    write_day(tmp_path, "abc", SUMMER, [trade(0)], [falling])
    played = messages(load(tmp_path), plan_of(SUMMER))
    assert [m.quotes[0].ask_micros for m in played if isinstance(m, QuoteBatch)] == [
        50_060_000, 50_110_000, 49_910_000, 50_010_000,
    ]  # fmt: skip


def test_messages_when_a_minute_is_missing_then_the_symbol_is_absent_and_steps_have_no_gap(
    tmp_path: Path,
) -> None:
    write_day(tmp_path, "abc", SUMMER, [trade(0), trade(2)], [quote(0), quote(2)])
    write_day(tmp_path, "xyz", SUMMER, [trade(0)], [quote(0), quote(4)])
    played = list(messages(load(tmp_path), plan_of(SUMMER)))
    assert [m.step for m in played] == list(range(1, len(played) + 1))
    assert [len(m.bars) for m in played if isinstance(m, BarBatch)] == [2, 1]
    assert [q.symbol for q in played[0].quotes] == ["ABC", "XYZ"] if isinstance(played[0], QuoteBatch) else False
    assert sum(isinstance(m, QuoteBatch) for m in played) == 12
    assert all(m.quotes for m in played if isinstance(m, QuoteBatch))


def test_messages_when_sides_are_absent_then_they_are_zero(tmp_path: Path) -> None:
    lines = [quote(0, bid=",,,,"), quote(1, ask="0,0,0,0,500"), quote(2, bid=",,,,", ask=",,,,")]
    write_day(tmp_path, "abc", SUMMER, [trade(0)], lines)
    batches = [m for m in messages(load(tmp_path), plan_of(SUMMER)) if isinstance(m, QuoteBatch)]
    assert len(batches) == 8
    first, fifth = batches[0].quotes[0], batches[4].quotes[0]
    assert (first.bid_micros, first.bid_size_nanos, first.ask_micros) == (0, 0, 50_010_000)
    assert (fifth.ask_micros, fifth.ask_size_nanos, fifth.bid_micros) == (0, 0, 49_990_000)


def test_messages_when_a_quote_is_crossed_then_it_is_left_out_and_counted(tmp_path: Path) -> None:
    crossed = quote(0, ask="500100,500800,499100,500600,300")
    write_day(tmp_path, "abc", SUMMER, [trade(0)], [crossed])
    write_day(tmp_path, "xyz", SUMMER, [trade(0)], [quote(0)])
    day = load(tmp_path)
    batches = [m for m in messages(day, plan_of(SUMMER)) if isinstance(m, QuoteBatch)]
    assert [[q.symbol for q in m.quotes] for m in batches] == [
        ["ABC", "XYZ"],
        ["ABC", "XYZ"],
        ["XYZ"],
        ["ABC", "XYZ"],
    ]
    assert crossed_quotes(day) == 1


def test_load_when_a_half_day_then_minutes_after_the_close_are_left_out(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", HALF_DAY, [trade(209), trade(210)], [quote(209), quote(210)])
    plan = plan_of(HALF_DAY, "14:30", "18:00")
    day = LeanFolder(tmp_path).load(plan, ())
    assert len(day.bars.closes) == 210
    assert minutes_with_data(day) == 1
    assert max(m.ts_event for m in messages(day, plan)) == plan.close_ns


def test_load_when_more_than_a_message_holds_then_there_are_further_messages(tmp_path: Path) -> None:
    for symbol in ("abc", "def", "ghi"):
        write_day(tmp_path, symbol, SUMMER, [trade(0)], [quote(0)])
    played = list(messages(load(tmp_path), plan_of(SUMMER), names_max=2))
    assert [m.symbols for m in played[:2] if isinstance(m, QuoteBatch)] == [("ABC", "DEF"), ("GHI",)]
    assert [(len(m.bars), m.parts_left) for m in played if isinstance(m, BarBatch)] == [(2, 1), (1, 0)]
    assert [m.step for m in played] == list(range(1, 12))


def test_load_when_symbols_are_set_then_only_these_are_loaded(tmp_path: Path) -> None:
    for symbol in ("abc", "brk.b", "xyz"):
        write_day(tmp_path, symbol, SUMMER)
    assert load(tmp_path, wanted=("XYZ", "BRK.B")).symbols == ("BRK.B", "XYZ")


def test_load_when_there_is_a_pre_market_then_its_last_price_is_the_price(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER, [trade(-90, 481_000, 481_000, 481_000, 481_000), trade(-2), trade(0)])
    row = load(tmp_path).rows[0]
    assert row.price_micros == 50_050_000
    assert (row.prior_close_micros, row.prior_volume_nanos, row.float_shares) == (0, 0, 0)


def daily(day: str, close: int, volume: int = 1_000) -> str:
    return f"{day} 00:00,{close},{close + 100},{close - 100},{close},{volume}"


def test_prior_when_daily_bars_are_there_then_the_newest_before_the_day_counts(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER)
    lines = [daily("20131004", 470_000), daily("20131007", 480_000, 5_000), daily("20131008", 490_000)]
    write_zip(tmp_path / "equity/usa/daily/abc.zip", lines)
    row = load(tmp_path).rows[0]
    assert (row.prior_close_micros, row.prior_volume_nanos) == (48 * MICROS, 5_000 * NANOS)
    assert row.price_micros == 48 * MICROS


def test_prior_when_daily_bars_ended_long_before_then_it_is_unknown(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER)
    write_zip(tmp_path / "equity/usa/daily/abc.zip", [daily("20130930", 480_000)])
    assert load(tmp_path).rows[0].prior_close_micros == 0


def test_prior_when_only_earlier_minutes_are_there_then_their_regular_session_counts(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER)
    after_hours = trade(400, 600_000, 600_000, 600_000, 600_000)
    write_day(tmp_path, "abc", "2013-10-07", [trade(-5), trade(10), trade(389, volume=50), after_hours])
    write_day(tmp_path, "abc", "2013-10-04", [trade(0, 1, 1, 1, 1)])
    row = load(tmp_path).rows[0]
    assert (row.prior_close_micros, row.prior_volume_nanos) == (50_050_000, 150 * NANOS)


def test_prior_when_a_split_lies_between_then_it_is_taken_out(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER)
    write_zip(tmp_path / "equity/usa/daily/abc.zip", [daily("20131007", 6_455_700, 1_000)])
    factors = tmp_path / "equity/usa/factor_files/abc.csv"
    factors.parent.mkdir()
    factors.write_text("20131007,0.9,0.25,645.57\n20501231,1,1,0\n", encoding="ascii")
    row = load(tmp_path).rows[0]
    assert row.prior_close_micros == 161_392_500  # 645.57 / 4, to a 10000th of a dollar
    assert row.prior_volume_nanos == 4_000 * NANOS


def test_folder_when_missing_then_says_which_setting(tmp_path: Path) -> None:
    with pytest.raises(FolderMissingError, match=r"nowhere.*MARKET_DATA_DIR"):
        LeanFolder(tmp_path / "nowhere")


@pytest.mark.parametrize("inside", ["", "equity/usa/minute"])
def test_folder_when_without_minutes_then_says_what_is_expected(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    with pytest.raises(NoMinutesError, match="equity/usa/minute"):
        LeanFolder(tmp_path)


def test_load_when_the_day_is_missing_then_names_the_days_there(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", "2013-10-07")
    minute_file(tmp_path, "abc", "2013-13-45", "trade").touch()
    with pytest.raises(DayMissingError, match=r"2013-10-08.*Days there: 2013-10-07\. "):
        load(tmp_path)
    with pytest.raises(DayMissingError, match=r"ABC.*2013-10-07"):
        load(tmp_path, wanted=("ABC",))


def test_load_when_only_the_pre_market_is_there_then_the_session_has_no_bars(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER, [trade(-5)], [quote(-5)])
    with pytest.raises(DayMissingError):
        load(tmp_path)


def test_load_when_a_symbol_is_unknown_then_names_some_that_are_there(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER)
    with pytest.raises(UnknownSymbolError, match=r"NOPE.*ABC"):
        load(tmp_path, wanted=("ABC", "NOPE"))


def test_load_when_quotes_are_absent_then_names_the_file(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER)
    minute_file(tmp_path, "abc", SUMMER, "quote").unlink()
    with pytest.raises(QuotesMissingError, match=r"20131008_quote\.zip"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["trade", "quote"])
@pytest.mark.parametrize("keep", [0, 40, -30])
def test_load_when_a_zip_is_cut_then_names_the_file(tmp_path: Path, kind: str, keep: int) -> None:
    write_day(tmp_path, "abc", SUMMER)
    path = minute_file(tmp_path, "abc", SUMMER, kind)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFileError, match=f"20131008_{kind}"):
        load(tmp_path)


def test_load_when_a_byte_of_a_zip_is_flipped_then_names_the_file(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER)
    path = minute_file(tmp_path, "abc", SUMMER, "trade")
    content = bytearray(path.read_bytes())
    content[content.index(b"500000")] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="20131008_trade"):
        load(tmp_path)


def test_load_when_a_zip_holds_two_files_then_names_the_file(tmp_path: Path) -> None:
    write_day(tmp_path, "abc", SUMMER)
    with ZipFile(minute_file(tmp_path, "abc", SUMMER, "trade"), "a") as archive:
        archive.writestr("other.csv", trade(0))
    with pytest.raises(CorruptFileError, match="2 CSV files"):
        load(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "34260000,1,2",
        "34260000,500000,501000,499000,abc,100",
        "34260000,500000,501000,499000,,100",
        "34260000,500000,501000,499000,NaN,100",
        "34260000,500000,501000,499000,-500000,100",
        "34260000,500000,501000,499000,1e9,100",
        "34260000,500000,499000,501000,500000,100",
        "34260000,0,501000,0,500000,100",
        "34260000,500000,501000,499000,500000,9999999999999",
        "34260000,500000,999999999999999999,499000,500000,100",
        "34200000,500000,501000,499000,500000,100",
        "34260001,500000,501000,499000,500000,100",
        "86400000,500000,501000,499000,500000,100",
        "\u00b2,500000,501000,499000,500000,100",
    ],
)
def test_load_when_a_trade_line_is_malformed_then_names_file_and_line(tmp_path: Path, line: str) -> None:
    write_day(tmp_path, "abc", SUMMER, [trade(0), line])
    with pytest.raises(MalformedLineError, match=r"20131008_trade\.zip is malformed in line 2"):
        load(tmp_path)


@pytest.mark.parametrize("line", ["34260000", quote(1, bid="x,1,1,1,1"), quote(0), quote(1) + ",1"])
def test_load_when_a_quote_line_is_malformed_then_names_file_and_line(tmp_path: Path, line: str) -> None:
    write_day(tmp_path, "abc", SUMMER, quotes=[quote(0), line])
    with pytest.raises(MalformedLineError, match=r"20131008_quote\.zip is malformed in line 2"):
        load(tmp_path)


@pytest.mark.parametrize(
    "line",
    ["yesterday,1,1,1,1,1", "20131007 00:00,1,2,x,1,1", "20131007 00:00,1", "20131000 00:00,1,1,1,1,1"],
)
def test_load_when_a_daily_line_is_malformed_then_names_file_and_line(tmp_path: Path, line: str) -> None:
    write_day(tmp_path, "abc", SUMMER)
    write_zip(tmp_path / "equity/usa/daily/abc.zip", [daily("20130930", 470_000), line])
    with pytest.raises(MalformedLineError, match=r"abc\.zip is malformed in line 2"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["20131007,1\n", "today,1,1,0\n", "20131007,1,nan,0\n", "20131007,1,0,0\n"])
def test_load_when_a_factor_line_is_malformed_then_names_file_and_line(tmp_path: Path, text: str) -> None:
    write_day(tmp_path, "abc", SUMMER)
    write_zip(tmp_path / "equity/usa/daily/abc.zip", [daily("20131007", 480_000)])
    factors = tmp_path / "equity/usa/factor_files/abc.csv"
    factors.parent.mkdir()
    factors.write_text(text, encoding="ascii")
    with pytest.raises(MalformedLineError, match=r"abc\.csv is malformed in line 1"):
        load(tmp_path)


def test_faults_when_raised_then_a_service_knows_them_as_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError):
        LeanFolder(tmp_path)


def real_sessions() -> list[tuple[str, str]]:
    """Every (symbol, day) of the recorded files beside the checkout; empty where they are not."""
    minutes = REAL / "equity/usa/minute"
    files = sorted(minutes.glob("*/*_trade.zip")) if minutes.is_dir() else []
    return [(path.parent.name.upper(), date.fromisoformat(path.name[:8]).isoformat()) for path in files]


def real_plan(day: str) -> SessionPlanned:
    at = [datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=NEW_YORK) for time in ("09:30", "13:00", "16:00")]
    opens, early, closes = (moment.astimezone(UTC).strftime("%H:%M") for moment in at)
    return plan_of(day, opens, early if day == HALF_DAY else closes)


def test_real_days_when_played_then_steps_are_gapless_and_quotes_are_those_of_the_minute() -> None:
    for symbol, day in real_sessions():
        plan = real_plan(day)
        loaded = LeanFolder(REAL).load(plan, (symbol,))
        played = list(messages(loaded, plan))
        minutes = symbol_days(loaded)[0].quotes
        assert [m.step for m in played] == list(range(1, len(played) + 1))
        assert [m.ts_event for m in played] == sorted(m.ts_event for m in played)
        for batch in played:
            for one in batch.quotes if isinstance(batch, QuoteBatch) else ():
                recorded = minutes[(one.ts_event - plan.open_ns) // (60 * NANOS)]
                assert recorded is not None
                assert one.bid_micros in recorded.bid
                assert one.ask_micros in recorded.ask
                assert one.bid_micros <= one.ask_micros or not one.ask_micros


def test_real_aig_when_2013_10_07_then_it_has_389_of_390_bars() -> None:
    for symbol, day in real_sessions():
        if (symbol, day) == ("AIG", "2013-10-07"):
            loaded = LeanFolder(REAL).load(plan_of(day), (symbol,))
            assert bars_in(loaded) == 389
            assert loaded.rows[0].prior_close_micros == 49_530_000
