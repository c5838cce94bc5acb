"""Many days in one process: one account from day to day, the same bytes each time, and nothing of the future."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bus.messages import CashMoved, Message, OrderFilled
from bus.processes import ROOT
from config.env_bot import SettingsError
from config.paths import HomePaths
from replay.__main__ import main
from replay.books import compare_books
from replay.choice import RunChoice, prepare
from replay.faults import ReplayError
from replay.figures import money
from replay.local import play
from replay.report import fill_keys
from replay.results import results
from replay.run import Outcome, ledger_of, play_days
from replay.session import DEMO_IDENTITY, SessionChoice, open_session

THREE_DAYS = RunChoice(start="2025-03-12", end="2025-03-14")
Play = Callable[..., tuple[Outcome, HomePaths]]


@pytest.fixture(scope="module")
def play_choice(tmp_path_factory: pytest.TempPathFactory) -> Play:
    played: dict[RunChoice, tuple[Outcome, HomePaths]] = {}

    def once(choice: RunChoice = THREE_DAYS) -> tuple[Outcome, HomePaths]:
        if choice not in played:
            paths = HomePaths(tmp_path_factory.mktemp("h"))
            played[choice] = play_days(prepare(choice), paths), paths
        return played[choice]

    return once


def test_days_when_played_in_a_row_share_one_account_and_one_ledger(play_choice: Play) -> None:
    outcome, paths = play_choice()
    assert [day.plan.session_date for day in outcome.days] == ["2025-03-12", "2025-03-13", "2025-03-14"]
    assert outcome.faults == ()
    assert compare_books(paths, DEMO_IDENTITY) == []
    fills = [event for event in outcome.events("execution") if isinstance(event, OrderFilled)]
    assert [fill.execution_id for fill in fills] == [f"PX-{i:06d}" for i in range(1, len(fills) + 1)]
    assert {fill.session_date for fill in fills} == {day.plan.session_date for day in outcome.days}
    assert sum(isinstance(event, CashMoved) for event in outcome.events("execution")) == 1


def test_the_first_day_when_played_among_others_is_the_day_alone(play_choice: Play) -> None:
    alone = play(open_session(SessionChoice(date="2025-03-12").settings(), HomePaths(Path("unused").absolute())))
    first = play_choice()[0].days[0]
    assert fill_keys(first.of("execution")) == fill_keys(alone.of("execution"))
    assert len(fill_keys(first.of("execution"))) >= 10


def test_a_half_day_when_played_is_flat_before_its_close(play_choice: Play) -> None:
    day = play_choice(RunChoice(start="2024-07-03"))[0].days[0]
    fills = [event for event in day.of("execution") if isinstance(event, OrderFilled)]
    assert day.plan.is_half_day
    assert fills
    assert max(fill.ts_event for fill in fills) < day.plan.close_ns
    assert sum(fill.qty_nanos if fill.side == "BUY" else -fill.qty_nanos for fill in fills) == 0


def test_a_week_end_when_inside_the_days_is_no_missing_day(play_choice: Play) -> None:
    prepared = prepare(RunChoice(start="2025-03-14", end="2025-03-17"))
    assert [plan.session_date for plan in prepared.plans] == ["2025-03-14", "2025-03-17"]
    assert prepared.missing == ()


def test_a_weekday_when_the_settings_exclude_it_is_left_out_and_said() -> None:
    prepared = prepare(RunChoice(start="2025-03-12", end="2025-03-14", settings=(("TRADING_DAYS", "Wed,Fri"),)))
    assert [plan.session_date for plan in prepared.plans] == ["2025-03-12", "2025-03-14"]
    assert prepared.excluded == ("2025-03-13",)


def test_days_when_none_is_a_session_are_refused() -> None:
    with pytest.raises(ReplayError, match="nothing to play from 2025-03-15 to 2025-03-16: 0 sessions"):
        prepare(RunChoice(start="2025-03-15", end="2025-03-16"))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (RunChoice(start="2025-3-1"), "--start is '2025-3-1'"),
        (RunChoice(start="2025-03-14", end="2025-03-12"), "is before the first"),
        (RunChoice(source="lean"), "needs --data"),
        (RunChoice(data="/", source="generated"), "has no data folder"),
        (RunChoice(settings=(("MARKET_DATA_SEED", "3"),)), "cannot be set here"),
    ],
)
def test_a_choice_when_it_cannot_be_played_says_what_to_do(choice: RunChoice, said: str) -> None:
    with pytest.raises(ReplayError, match=said):
        prepare(choice)


def test_a_setting_when_it_is_wrong_is_named() -> None:
    with pytest.raises(SettingsError, match="MAX_OPEN_POSITIONS"):
        prepare(RunChoice(settings=(("MAX_OPEN_POSITIONS", "many"),)))


def test_the_curve_when_the_account_is_flat_is_the_ledgers_cash_to_the_micro_dollar(play_choice: Play) -> None:
    outcome, _ = play_choice()
    found = results(outcome)
    cash = found.curves.start_micros + sum(trade.pnl_micros for trade in found.trades)
    assert not any(trade.is_open for trade in found.trades)
    assert found.curves.equity()[-1] == cash
    assert found.curves.whole.invested[-1] == 0
    assert len(found.curves.times) == 3 * 390


def _folder(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_two_runs_when_they_play_the_same_leave_the_same_bytes(tmp_path: Path) -> None:
    arguments = ["run", "--start", "2025-03-12", "--end", "2025-03-13", "--out"]
    assert main([*arguments, str(tmp_path / "one")]) == 0
    # The second in a process of its own, with other hashes and another time zone.
    subprocess.run(
        [sys.executable, "-m", "replay", *arguments, str(tmp_path / "two")],
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    one, two = _folder(tmp_path / "one"), _folder(tmp_path / "two")
    assert one == two
    assert {"trades.csv", "fills.csv", "signals.csv", "denied.csv", "equity.csv", "days.csv", "stats.json", "run.json",
            "report.html",
            "TBOT_USA_main_PAPER_BOT01_BOT_ledger.db"} <= set(one)  # fmt: skip


def test_a_folder_when_it_is_not_a_replays_is_never_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["run", "--out", str(tmp_path), "--force"]) == 2
    assert "nothing was touched" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_folder_of_an_earlier_run_when_named_again_needs_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["run", "--symbols", "SPY,QQQ", "--out", str(out)]
    assert main(arguments) == 0
    (out / "stale.txt").write_text("of the run before")
    assert main(arguments) == 2
    assert "give --force" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    assert not (out / "stale.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_run_when_the_symbol_is_unknown_exits_2_and_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--symbols", "NOSUCH"]) == 2
    assert "NOSUCH" in capsys.readouterr().err


def test_run_when_one_day_is_played_prints_trades_and_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--date", "2025-03-12"]) == 0
    said = capsys.readouterr()
    assert "trailing stop" in said.out
    assert "max_open_positions" in said.out
    assert "profit_factor" in said.out
    assert "cash and every position agree" in said.out
    # Without a terminal the progress is plain lines.
    assert "100%  2025-03-12" in said.err
    assert "\r" not in said.err


def test_a_chain_when_its_steps_begin_again_loses_no_market_message(play_choice: Play) -> None:
    kinds: list[list[type[Message]]] = [
        [type(event) for event in day.of("strategy")] for day in play_choice()[0].days
    ]  # fmt: skip
    for found in kinds:
        assert {"SessionPlanned", "CandidatesRanked", "RangeCompleted", "SignalRaised"} <= {k.__name__ for k in found}


def test_commissions_when_charged_reach_fills_ledger_figures_and_the_curve(play_choice: Play) -> None:
    charged = (("PAPER_COMMISSION_SHARE", "0.0035"), ("PAPER_COMMISSION_ORDER", "0.35"), ("PAPER_SLIPPAGE", "1"))
    outcome, paths = play_choice(RunChoice(settings=charged))
    found = results(outcome)
    fees = [fill.commission_micros for trade in found.trades for fill in trade.fills]
    assert min(fees) >= 350_000
    assert outcome.faults == ()
    assert found.whole.fees == money(sum(fees))
    assert found.curves.equity()[-1] == found.curves.start_micros + sum(trade.pnl_micros for trade in found.trades)
    with closing(sqlite3.connect(ledger_of(paths))) as ledger:
        [(booked,)] = ledger.execute("SELECT sum(amount) FROM posting WHERE account_code = '5010'")
    assert booked == sum(fees)
