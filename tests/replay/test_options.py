"""The command line's choice: settings, strategies, sources and numbers; each mistake is one sentence."""

import argparse
from pathlib import Path

import polars as pl
import pytest

from replay.__main__ import main
from replay.choice import RunChoice, full_settings, open_source, prepare, read_settings, strategy_settings
from replay.faults import ReplayError
from replay.options import add_market_options, read_choice
from replay.sources.port import GeneratedSource, LeanSource
from replay.sources.tables import TableSource

HEAD = "symbol,timestamp,open,high,low,close,volume\n"
LINES = "".join(f"AAA,2013-10-0{day}T13:30:00Z,10,11,9,10,500\n" for day in (7, 9))


def _choice(*arguments: str) -> RunChoice:
    parser = argparse.ArgumentParser()
    add_market_options(parser)
    return read_choice(parser.parse_args(arguments))


def test_a_choice_when_nothing_is_given_is_the_generated_market() -> None:
    assert _choice() == RunChoice()


def test_a_choice_when_all_is_given_has_all_of_it() -> None:
    found = _choice(
        "--data", "x", "--source", "csv", "--symbols", " spy, BRK.B ,SPY", "--date", "2013-10-08", "--seed", "7",
        "--strategies", "open", "--settings", "trailing_stop = 1.5", "--half-spread", "0.005", "--quote-size", "50",
    )  # fmt: skip
    assert (found.data, found.source, found.symbols) == ("x", "csv", ("SPY", "BRK.B"))
    assert (found.start, found.end, found.seed) == ("2013-10-08", "2013-10-08", 7)
    assert (found.synthesis.half_spread_micros, found.synthesis.size_shares) == (5_000, 50)
    assert dict(found.settings) == {
        "TRAILING_STOP": "1.5", "STRAT_OPEN_ENABLED": "true", "STRAT_MID_ENABLED": "false",
        "STRAT_CLOSE_ENABLED": "false",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--date", "2013-10-08", "--end", "2013-10-09"), "--date is short for"),
        (("--symbols", "SPY,$"), "--symbols has"),
        (("--seed", "-1"), "--seed is '-1'"),
        (("--seed", "4294967296"), "from 0 to 4294967295"),
        (("--strategies", "open,late"), "--strategies has late"),
        (("--half-spread", "cent"), "--half-spread is 'cent'"),
        (("--half-spread", "0.0000001"), "at most 6 decimals"),
        (("--half-spread", "NaN"), "--half-spread is 'NaN'"),
        (("--quote-size", "0"), "--quote-size is '0'"),
        (("--settings", "no_such_file.txt"), "neither KEY=VALUE nor a file"),
    ],
)
def test_an_option_when_malformed_says_what_it_must_be(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(ReplayError, match=said):
        _choice(*arguments)


def test_settings_when_of_a_file_and_of_words_are_joined_and_later_ones_win(tmp_path: Path) -> None:
    path = tmp_path / "mine.env"
    path.write_text("# mine\nTRAILING_STOP = 3  # wide\n\nMAX_OPEN_POSITIONS=4\n")
    assert dict(read_settings([str(path), "TRAILING_STOP=1"])) == {"TRAILING_STOP": "1", "MAX_OPEN_POSITIONS": "4"}
    path.write_text("TRAILING_STOP=1\nnot a setting\n")
    with pytest.raises(ReplayError, match="line 2: 'not a setting' is not KEY=VALUE"):
        read_settings([str(path)])


def test_strategies_when_named_are_the_only_ones_that_run() -> None:
    assert strategy_settings("") == ()
    assert strategy_settings("Close, open") == (
        ("STRAT_OPEN_ENABLED", "true"), ("STRAT_MID_ENABLED", "false"), ("STRAT_CLOSE_ENABLED", "true"),
    )  # fmt: skip


def test_a_source_when_not_named_is_what_the_data_looks_like(tmp_path: Path) -> None:
    tables, lean = tmp_path / "tables", tmp_path / "lean"
    tables.mkdir()
    (lean / "equity" / "usa" / "minute" / "aaa").mkdir(parents=True)
    (tables / "a.csv").write_text(HEAD + LINES)
    assert isinstance(open_source(RunChoice()), GeneratedSource)
    assert isinstance(open_source(RunChoice(data=str(lean))), LeanSource)
    assert open_source(RunChoice(data=str(tables))).name.startswith("csv minutes")
    assert isinstance(open_source(RunChoice(data=str(tables / "a.csv"))), TableSource)
    pl.read_csv(tables / "a.csv", infer_schema=False).write_parquet(tables / "a.parquet")
    assert open_source(RunChoice(data=str(tables))).name.startswith("parquet minutes")
    assert open_source(RunChoice(data=str(tables), source="csv")).name.startswith("csv minutes")


def test_days_when_the_data_lacks_one_are_said_and_the_others_played(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEAD + LINES)
    prepared = prepare(RunChoice(data=str(path)))
    assert [plan.session_date for plan in prepared.plans] == ["2013-10-07", "2013-10-09"]
    assert prepared.missing == ("2013-10-08",)
    with pytest.raises(ReplayError, match=r"The data has 2 days, from 2013-10-07 to 2013-10-09"):
        prepare(RunChoice(data=str(path), start="2013-10-10", end="2013-10-11"))


def test_run_when_days_or_names_are_missing_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEAD + LINES + "BBB,2013-10-09T13:30:00Z,10,11,9,10,500\n")
    out = tmp_path / "out"
    assert main(["run", "--data", str(path), "--symbols", "AAA,BBB", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "Left out: 1 trading days have no data: 2013-10-08" in said.err
    assert "2013-10-07: no data of BBB" in said.err
    assert "2013-10-07: no candidates: 1 names screened out, such as AAA by price_min: unknown" in said.err
    assert ",2013-10-07,screened out,,AAA,gap,unknown,<= 15.00 % either way" in (out / "denied.csv").read_text()
    assert '"days_without_data": [\n    "2013-10-08"\n  ]' in (out / "run.json").read_text()


def test_a_command_when_none_is_given_exits_2_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "run,compare,sweep" in capsys.readouterr().err.replace(" ", "")


@pytest.mark.parametrize("broker", ["ALPACA", "IBKR"])
def test_full_settings_when_another_broker_is_named_then_nothing_is_played_there(broker: str) -> None:
    choice = RunChoice(settings=(("BROKER_NAME", broker), (f"{broker}_ENABLED", "true")))
    with pytest.raises(ReplayError, match=f"BROKER_NAME is {broker}, but a replay trades at the embedded paper broker"):
        full_settings(choice, "2025-03-12")
