"""Ten years of nights: the simulation against the second implementation, on recorded bars of three funds' shape."""

import csv
import re
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from zipfile import ZipFile

import pytest
from spreadsheet import CENT, Row, Sheet

from bus.messages import MICROS, NANOS
from config.holdings import HoldingsSettings
from replay.__main__ import main
from replay.holdings_market import Market, made_market, recorded_market
from replay.holdings_nights import daily_gains, play_nights
from services.holdings.rebalance import add_months

SETTINGS = HoldingsSettings.from_vault({"is_enabled": True, "etfs": {"AAA": "50", "BBB": "30", "CCC": "20"}})
CASH = 100_000


def sheet_totals(market: Market, gains: list[int]) -> Sheet:
    """The same years in the second implementation: its own splits, dividends, losses and rebalance days."""
    sheet = Sheet(cash=Decimal(CASH), rows={s: Row(Decimal(w) / 10_000) for s, w in SETTINGS.weights_bps.items()})
    last = market.days[0]
    for place, day in enumerate(market.days):
        for symbol, row in sheet.rows.items():
            today = market.funds[symbol][place]
            paid = today.dividend_micros * Fraction(row.shares) / MICROS * 100
            whole = Decimal(paid.numerator) / Decimal(paid.denominator)
            sheet.cash += whole.quantize(Decimal(1), ROUND_HALF_EVEN) * CENT
            if today.split != 1:
                ratio = Decimal(today.split.numerator) / today.split.denominator
                row.purchases = [(shares * ratio, cost) for shares, cost in row.purchases]
                row.sold, row.bought = row.sold * ratio, row.bought * ratio
            row.price = Decimal(today.close_micros) / MICROS
        gain = max(Decimal(gains[place]) / MICROS, -max(sheet.cash, Decimal(0)))
        sheet.cash += gain
        is_rebalance = day >= add_months(last, 6)
        last = day if is_rebalance else last
        sheet.night(gain, rebalances=is_rebalance)
    return sheet


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_years_end_as_the_second_implementation_says(seed: int) -> None:
    market = made_market(sorted(SETTINGS.symbols), 10, seed)
    assert any(row.split != 1 for rows in market.funds.values() for row in rows)
    gains = daily_gains(seed, len(market.days))
    nights = list(play_nights(market, SETTINGS, gains, CASH * MICROS))
    assert len(nights) > 2_500
    assert sum(night.is_rebalance for night in nights) >= 19
    sheet, last = sheet_totals(market, gains), nights[-1]
    assert last.plan.after.cash_micros == sheet.cash * MICROS
    assert last.tax_micros == sheet.tax * MICROS
    assert last.payroll_micros == sheet.payroll * MICROS
    assert last.plan.after.reserves.carry_micros == sheet.carry * MICROS
    assert {held.symbol: held.qty_nanos for held in last.plan.after.funds} == {
        symbol: row.shares * NANOS for symbol, row in sheet.rows.items()
    }


def lean_data(folder: Path) -> Path:
    """Four days of one fund: 1 % of its price is paid as a dividend for day two, and day four has two for one."""
    daily, factors = folder / "equity" / "usa" / "daily", folder / "equity" / "usa" / "factor_files"
    daily.mkdir(parents=True)
    factors.mkdir()
    closes = {"20200102": 1_000_000, "20200103": 990_000, "20200106": 1_100_000, "20200107": 560_000}
    lines = [f"{day} 00:00,{close},{close},{close},{close},1000" for day, close in closes.items()]
    with ZipFile(daily / "aaa.zip", "w") as zipped:
        zipped.writestr("aaa.csv", "\n".join(lines))
    (factors / "aaa.csv").write_text("20200102,0.99,0.5,100\n20200106,1,0.5,110\n20501231,1,1,0\n")
    return folder


def test_recorded_bars_are_read_with_their_dividends_and_splits(tmp_path: Path) -> None:
    market = recorded_market(lean_data(tmp_path), ["AAA"], 10)
    rows = market.funds["AAA"]
    assert [row.close_micros for row in rows] == [100_000_000, 99_000_000, 110_000_000, 56_000_000]
    assert [row.dividend_micros for row in rows] == [0, 1_000_000, 0, 0]
    assert [row.split for row in rows] == [1, 1, 1, 2]


def test_a_split_changes_shares_and_not_what_they_cost(tmp_path: Path) -> None:
    market = recorded_market(lean_data(tmp_path), ["AAA"], 10)
    chosen = HoldingsSettings.from_vault({"is_enabled": True, "etfs": {"AAA": "100"}, "float_percent": "0"})
    nights = list(play_nights(market, chosen, [0, 0, 0, 0], 10_000 * MICROS))
    assert [night.plan.after.funds[0].qty_nanos for night in nights][:1] == [100 * NANOS]
    assert nights[1].dividend_micros == 100 * MICROS
    after = nights[-1].plan.after.funds[0]
    assert after.lots[0].qty_nanos == 200 * NANOS
    assert after.lots[0].cost_micros == 10_000 * MICROS


def test_the_command_leaves_a_page_that_fetches_nothing_and_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["holdings", "--years", "1", "--seed", "3", "--symbols", "AAA=60,BBB=40", "--out", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 6
    assert re.findall(r"https?://(?!www\.w3\.org/)", page) == []
    rows = list(csv.reader((out / "nights.csv").open()))
    assert len(rows) == 262
    assert rows[0][-2:] == ["AAA", "BBB"]
    assert "tax reserve" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--symbols", "AAA=60,BBB=30"], "add up to 90.00 %"),
        (["--symbols", ""], "Name at least one fund"),
        (["--years", "0"], "--years goes from 1 to 40"),
        (["--data", "nowhere"], "has no daily bars"),
    ],
)
def test_what_cannot_be_played_is_said(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["holdings", *arguments]) == 2
    assert words in capsys.readouterr().err
