"""The reader of recorded puts: which are listed, what is known of them before the session, and their quotes."""

from pathlib import Path

import lean_puts
import pytest

from bus.assembly import CannotStartError
from bus.messages import NANOS, QuoteBatch, SessionPlanned
from config.env_bot import parse, proposals
from services.screener.feed import MarketFeed
from services.screener.lean import LeanFolder
from services.screener.lean_options import PUTS_MAX, with_puts
from services.screener.settings import PutWindow, ScreenerSettings
from services.screener.steps import MarketDay, messages

HOUR_NS = 3_600 * NANOS
OPEN_NS = 1_450_967_400 * NANOS  # 2015-12-24 14:30 UTC
PLAN = SessionPlanned(
    ts_event=1,
    ts_init=1,
    is_half_day=True,
    is_trading_day=True,
    session_date=lean_puts.DAY,
    open_ns=OPEN_NS,
    close_ns=OPEN_NS + 210 * 60 * NANOS,
    flatten_ns=OPEN_NS + 205 * 60 * NANOS,
    start_open_ns=OPEN_NS,
    start_mid_ns=OPEN_NS + HOUR_NS,
    start_close_ns=OPEN_NS + 2 * HOUR_NS,
)
WINDOW = PutWindow(days_min=7, days_max=45)
JANUARY = "20160115"


def quiet(_: int) -> tuple[int, int]:
    return 200, 205


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lean_puts.write_name(tmp_path, "abc")
    return tmp_path


def opened(root: Path, window: PutWindow | None = WINDOW) -> MarketDay:
    return with_puts(LeanFolder(root).load(PLAN, ()), root, PLAN, window)


def listed(day: MarketDay) -> list[str]:
    return [put.symbol for chain in day.chains for put in chain.puts]


def test_puts_when_recorded_then_listed_nearest_strike_first_and_quoted_after_the_names(root: Path) -> None:
    lines = [lean_puts.put_line(strike, JANUARY) for strike in ("95", "100", "101")]
    lean_puts.write_puts(root, "abc", lines, dict.fromkeys([(95, JANUARY), (100, JANUARY), (101, JANUARY)], quiet))
    day = opened(root)
    names = ["ABC160115P00100000", "ABC160115P00101000", "ABC160115P00095000"]
    assert listed(day) == names
    assert day.symbols == ("ABC", *names)
    batch = next(one for one in messages(day, PLAN) if isinstance(one, QuoteBatch))
    quote = batch.quote_of(names[0])
    assert quote is not None
    assert (quote.bid_micros, quote.ask_micros, quote.bid_size_nanos) == (2_000_000, 2_050_000, 50 * NANOS)


def test_puts_when_nobody_wants_them_then_the_day_is_as_it_was(root: Path) -> None:
    lean_puts.write_puts(root, "abc", [lean_puts.put_line("100", JANUARY)], {(100, JANUARY): quiet})
    day = opened(root, None)
    assert (day.symbols, day.chains) == (("ABC",), ())


def test_puts_when_beyond_the_window_or_the_price_or_without_quotes_then_not_listed(root: Path) -> None:
    keys = [(100, "20151230"), (100, "20151231"), (100, "20160207"), (100, "20160208"), (84, JANUARY), (85, JANUARY)]
    lines = [lean_puts.put_line(str(strike), expiry) for strike, expiry in keys]
    call = lean_puts.put_line("100", JANUARY).replace(",P,", ",C,")
    lean_puts.write_puts(root, "abc", [*lines, call, lean_puts.put_line("102", JANUARY)], dict.fromkeys(keys, quiet))
    assert listed(opened(root)) == ["ABC151231P00100000", "ABC160207P00100000", "ABC160115P00085000"]


def test_puts_when_there_are_too_many_then_the_nearest_are_listed(root: Path) -> None:
    days = [f"201601{day:02d}" for day in range(4, 30)]
    keys = [(strike, day) for strike in range(96, 105) for day in days]
    lines = [lean_puts.put_line(str(strike), day) for strike, day in keys]
    lean_puts.write_puts(root, "abc", lines, dict.fromkeys(keys, quiet))
    found = listed(opened(root))
    assert len(found) == PUTS_MAX
    assert {symbol[-6:] for symbol in found} == {"098000", "099000", "100000", "101000", "102000"}


def test_open_interest_and_delta_when_the_day_has_others_then_those_of_the_day_before_count(root: Path) -> None:
    lean_puts.write_puts(root, "abc", [lean_puts.put_line("100", JANUARY, "77", "-0.25")], {(100, JANUARY): quiet})
    lean_puts.write_universe(root, "abc", "20151224", [lean_puts.put_line("100", JANUARY, "9999", "-0.9")])
    lean_puts.write_universe(root, "abc", "20151222", [lean_puts.put_line("100", JANUARY, "1", "-0.1")])
    [put] = opened(root).chains[0].puts
    assert (put.open_interest, put.delta_ppm) == (77, 250_000)


def test_open_interest_and_delta_when_empty_or_zero_then_unknown(root: Path) -> None:
    lean_puts.write_puts(root, "abc", [lean_puts.put_line("100", JANUARY, "", "0.0000000")], {(100, JANUARY): quiet})
    [put] = opened(root).chains[0].puts
    assert (put.open_interest, put.delta_ppm) == (None, None)


@pytest.mark.parametrize("day", ["20151224", "20151216"])
def test_chain_when_the_universe_is_not_of_the_week_before_then_there_is_none(root: Path, day: str) -> None:
    lean_puts.write_puts(root, "abc", [], {(100, JANUARY): quiet})
    (root / "option/usa/universes/abc/20151223.csv").unlink()
    lean_puts.write_universe(root, "abc", day, [lean_puts.put_line("100", JANUARY)])
    assert opened(root).chains == ()


def test_quotes_when_a_side_is_absent_then_it_is_absent_in_the_messages(root: Path) -> None:
    lean_puts.write_puts(root, "abc", [lean_puts.put_line("100", JANUARY)], {(100, JANUARY): lambda _: (None, 205)})
    batch = next(one for one in messages(opened(root), PLAN) if isinstance(one, QuoteBatch))
    quote = batch.quote_of("ABC160115P00100000")
    assert quote is not None
    assert (quote.bid_micros, quote.bid_size_nanos, quote.ask_micros) == (0, 0, 2_050_000)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (lean_puts.put_line("1e9", JANUARY), "is not a strike"),
        (lean_puts.put_line("NaN", JANUARY), "is not a strike"),
        (lean_puts.put_line("100", "20160231"), "it is not a put"),
        (lean_puts.put_line("100", "today"), "'today' is not a day"),
        (lean_puts.put_line("100", JANUARY, delta="0.5"), "is not the delta of a put"),
        (lean_puts.put_line("100", JANUARY, interest="-4"), "is not a number of contracts"),
        ("20160115,100,P", "it has 3 fields"),
    ],
)
def test_universe_when_a_line_is_malformed_then_said_with_file_and_line(root: Path, line: str, says: str) -> None:
    lean_puts.write_puts(root, "abc", [line], {(100, JANUARY): quiet})
    with pytest.raises(CannotStartError, match=says) as caught:
        opened(root)
    assert "20151223.csv" in str(caught.value)
    assert "3" in str(caught.value)


def test_quotes_when_the_zip_is_damaged_then_said_with_its_path(root: Path) -> None:
    lean_puts.write_puts(root, "abc", [lean_puts.put_line("100", JANUARY)], {(100, JANUARY): quiet})
    path = root / "option/usa/minute/abc/20151224_quote_american.zip"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CannotStartError, match=r"20151224_quote_american\.zip"):
        opened(root)


def test_feed_when_a_strategy_buys_puts_then_the_days_data_has_them(root: Path) -> None:
    lean_puts.write_puts(root, "abc", [lean_puts.put_line("100", JANUARY)], {(100, JANUARY): quiet})
    changes = {"MARKET_DATA_SOURCE": "recorded", "MARKET_DATA_DIR": str(root), "MARKET_DATA_DATE": lean_puts.DAY}
    plain = MarketFeed(ScreenerSettings.from_env(parse(proposals() | changes))).day(PLAN)
    wanting = ScreenerSettings.from_env(parse(proposals() | changes | {"SHORT_TYPE_OPEN": "LongPut"}))
    assert plain.chains == ()
    assert listed(MarketFeed(wanting).day(PLAN)) == ["ABC160115P00100000"]
    off = changes | {"SHORT_TYPE_OPEN": "LongPut", "STRAT_OPEN_ENABLED": "false"}
    assert ScreenerSettings.from_env(parse(proposals() | off)).puts is None
