"""A put from the recorded chain to the ledger: bought on a bearish signal, guarded, sold before the close."""

import sqlite3
from contextlib import closing
from pathlib import Path

import lean_puts
import msgspec
import pytest

from bus.clock import iso_utc
from bus.messages import MICROS, OptionsListed, OrderFilled, OrderPrepared, SignalRaised, SignalSuppressed
from config.paths import HomePaths
from replay.books import paper_books
from replay.choice import RunChoice, prepare
from replay.results import results
from replay.run import Outcome, ledger_of, play_days

REAL = (Path(__file__).resolve().parents[2] / "../shared/data/lean").resolve()
PUT = "ABC160115P00100000"
JANUARY = "20160115"
SETTINGS = {
    "STRAT_MID_ENABLED": "false",
    "STRAT_CLOSE_ENABLED": "false",
    "STRATEGY_SEQUENCE": "open",
    "SHORT_TYPE_OPEN": "LongPut",
    "MAX_OPTION_PREMIUM": "5000",
    "MAX_RISK_PER_TRADE": "2",
    "DAILY_LOSS_LIMIT": "5",
    "PUT_OPEN_INTEREST_MIN": "10",
    "SCREENER_PRICE_MAX": "1000",
    "SCREENER_FLOAT_MIN": "0",
    "SCREENER_VOLUME_MIN": "0",
    "OPEN_BREAKOUT_BUFFER": "0",
    "OPEN_BREAKOUT_TIME": "120",
    "OPEN_MONITORING_TIME": "30",
}


def choice(data: Path, symbol: str, **changes: str) -> RunChoice:
    settings = tuple((SETTINGS | changes).items())
    return RunChoice(data=str(data), symbols=(symbol,), start=lean_puts.DAY, settings=settings)


def played(wanted: RunChoice, home: Path) -> tuple[Outcome, HomePaths]:
    paths = HomePaths(home)
    return play_days(prepare(wanted), paths), paths


def fills(outcome: Outcome) -> list[OrderFilled]:
    return [event for event in outcome.events("execution") if isinstance(event, OrderFilled)]


def premium(minute: int) -> tuple[int, int]:
    """Return a put's market in cents: it rises with the fall of the name, and collapses an hour after the open."""
    return (200, 204) if minute < 30 else (300, 304) if minute < 60 else (145, 149)


def option_row(paths: HomePaths) -> tuple[str, int]:
    """Return what the ledger says the put is."""
    with closing(sqlite3.connect(ledger_of(paths))) as ledger:
        query = "SELECT kind, multiplier FROM commodity WHERE symbol = ?"
        row: tuple[str, int] = ledger.execute(query, (PUT,)).fetchone()
    return row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    lean_puts.write_name(root, "abc")
    lines = [lean_puts.put_line("100", JANUARY), lean_puts.put_line("96", JANUARY, delta="-0.2")]
    lean_puts.write_puts(root, "abc", lines, {(100, JANUARY): premium, (96, JANUARY): lambda _: (50, 51)})
    return root


def test_put_when_the_name_falls_then_bought_guarded_and_sold_and_the_books_agree(folder: Path, tmp_path: Path) -> None:
    outcome, paths = played(choice(folder, "ABC"), tmp_path / "h")
    [raised] = [event for event in outcome.events("strategy") if isinstance(event, SignalRaised)]
    assert (raised.instrument, raised.reference_micros) == (PUT, 2_040_000)
    [entry, sale] = fills(outcome)
    assert (entry.symbol, entry.side, entry.price_micros, entry.qty_nanos % 10**9) == (PUT, "BUY", 2_040_000, 0)
    assert (sale.symbol, sale.side, sale.price_micros, sale.qty_nanos) == (PUT, "SELL", 1_450_000, entry.qty_nanos)
    assert sale.reason.endswith("as brokers take no stop for an option")
    orders = [event for event in outcome.events("execution") if isinstance(event, OrderPrepared)]
    assert [(order.leg, order.order_type) for order in orders] == [("entry", "LIMIT"), ("exit", "MARKET")]
    assert sale.ts_event < outcome.days[0].plan.flatten_ns
    assert outcome.faults == ()
    contracts = entry.qty_nanos // 10**9
    assert contracts > 1
    found = results(outcome)
    [trade] = found.trades
    assert (trade.entry_micros, trade.exit_micros) == (2_040_000, 1_450_000)
    lost = 59 * MICROS * contracts
    assert -trade.pnl_micros == lost
    assert found.curves.whole.pnl[-1] == -lost
    assert found.curves.whole.invested[39] == 300 * MICROS * contracts, "marked at its bid"
    assert paper_books(paths).cash_micros == 100_000 * MICROS - lost
    assert option_row(paths) == ("OPTION", 100)


def test_put_when_nothing_ends_it_before_then_sold_at_the_end_of_its_window(folder: Path, tmp_path: Path) -> None:
    lines = [lean_puts.put_line("100", JANUARY)]
    lean_puts.write_puts(folder, "abc", lines, {(100, JANUARY): lambda _: (200, 204)})
    outcome, _ = played(choice(folder, "ABC", OPEN_MONITORING_TIME="180"), tmp_path / "h")
    [_, sale] = fills(outcome)
    plan = outcome.days[0].plan
    assert plan.is_half_day
    assert plan.flatten_ns <= sale.ts_event < plan.close_ns
    assert outcome.faults == ()


def test_put_when_played_twice_then_both_runs_leave_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first, one = played(choice(folder, "ABC"), tmp_path / "a")
    second, other = played(choice(folder, "ABC"), tmp_path / "b")
    assert first.digest == second.digest
    assert msgspec.json.encode(first.days[0].events) == msgspec.json.encode(second.days[0].events)
    assert ledger_of(one).read_bytes() == ledger_of(other).read_bytes()


def test_put_when_the_name_has_no_options_then_the_signal_is_suppressed_aloud(folder: Path, tmp_path: Path) -> None:
    lean_puts.write_name(folder, "xyz")
    outcome, _ = played(choice(folder, "XYZ"), tmp_path / "h")
    told = [event for event in outcome.events("strategy") if isinstance(event, SignalSuppressed)]
    assert [(event.symbol, event.rule) for event in told if event.symbol == "XYZ"] == [("XYZ", "no_chain")]
    assert fills(outcome) == []


def test_options_when_no_strategy_buys_puts_then_nothing_of_them_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / "option/usa/minute/abc/20151224_quote_american.zip").write_bytes(b"not a zip")
    outcome, _ = played(choice(folder, "ABC", SHORT_TYPE_OPEN="disabled"), tmp_path / "h")
    assert not [event for event in outcome.events("screener") if isinstance(event, OptionsListed)]
    assert outcome.days[0].symbols == ("ABC",)


def test_real_half_day_when_it_is_there_then_a_put_is_bought_and_sold_before_the_close(tmp_path: Path) -> None:
    """Play the recorded half-day where it is; elsewhere the folder made here stands for it."""
    root, name = REAL, "GOOG"
    if not (REAL / "option/usa/universes/goog").is_dir():
        root, name = tmp_path / "data", "ABC"
        lean_puts.write_name(root, "abc")
        lean_puts.write_puts(
            root, "abc", [lean_puts.put_line("100", JANUARY)], {(100, JANUARY): lambda _: (1600, 1690)}
        )
    runs = [played(choice(root, name), tmp_path / home) for home in ("a", "b")]
    outcome = runs[0][0]
    [entry, sale] = fills(outcome)
    assert entry.symbol.startswith(f"{name}1601")
    assert (entry.side, sale.side, sale.qty_nanos) == ("BUY", "SELL", entry.qty_nanos)
    assert iso_utc(outcome.days[0].plan.close_ns).startswith("2015-12-24T18:00"), "13:00 in New York"
    assert sale.ts_event < outcome.days[0].plan.close_ns
    assert outcome.faults == ()
    assert paper_books(runs[0][1]).positions == {}, "everything is flat"
    expiry, strike = f"20{entry.symbol[-15:-9]}", int(entry.symbol[-8:]) / 1_000
    known = [path for path in (root / f"option/usa/universes/{name.lower()}").iterdir() if path.stem <= "20151224"]
    lines = [line.split(",") for path in known for line in path.read_text().splitlines()]
    interest = [line[8] for line in lines if line[:3] == [expiry, f"{strike:g}", "P"]]
    assert any(float(one or 0) >= 10 for one in interest), "it is in the chain, with as many open as are asked for"
    assert len({ledger_of(paths).read_bytes() for _, paths in runs}) == 1
