"""One session through the real processes: the same trades as in one process, and books that agree to the last digit."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from bus.messages import MICROS, OrderFilled, QuoteBatch
from bus.processes import ROOT
from bus.store import read_journal
from config.paths import HOME_VARIABLE, HomePaths
from replay.__main__ import main as replay_main
from replay.books import compare_books
from replay.local import play
from replay.report import fill_keys, trades
from replay.session import DEMO_IDENTITY, OpenedSession, SessionChoice, open_session
from replay.stage import Stage
from services.screener.shell import build as build_screener

pytestmark = pytest.mark.processes

LEAN = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "lean"
GENERATED = SessionChoice()
#: What is compared here is trades, not how fast a halt comes: a busy machine must not end the comparison.
PATIENT = {"HEARTBEAT_TIMEOUT": "10000"}
#: The four recorded days, where the recordings are there; a generated session stands for each of them elsewhere.
RECORDED = [
    SessionChoice(str(LEAN), f"2013-10-{day:02d}", "SPY,AIG,BAC,IBM") if LEAN.is_dir() else SessionChoice(seed=str(day))
    for day in (7, 8, 9, 10)
]


def _open(choice: SessionChoice) -> OpenedSession:
    return open_session(choice.settings(), HomePaths(Path("unused").absolute()))


@pytest.fixture(scope="module")
def ended(make_stage: Callable[..., Stage]) -> Stage:
    stage = make_stage(GENERATED, **PATIENT)
    stage.arm("test")
    stage.wait_for_end(120)
    return stage


def test_the_processes_when_they_play_a_session_make_the_trades_of_one_process(ended: Stage) -> None:
    of_processes = fill_keys(read_journal(ended.chain.paths.state / "execution.db"))
    of_one_process = fill_keys(play(_open(GENERATED)).of("execution"))
    assert of_processes == of_one_process
    assert len(trades(read_journal(ended.chain.paths.state / "execution.db"))) >= 5


def test_the_books_when_the_session_is_over_agree_with_the_broker(ended: Stage) -> None:
    assert compare_books(ended.chain.paths, DEMO_IDENTITY) == []


def test_the_report_of_the_running_home_has_every_trade_of_the_session(
    ended: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ended.chain.paths
    assert replay_main(["report", "--home", str(paths.root)]) == 0

    written = [Path(line) for line in capsys.readouterr().out.split()]
    assert [path.suffix for path in written] == [".csv", ".json", ".json", ".html"]
    told = json.loads(written[1].read_text())
    found = trades(read_journal(paths.state / "execution.db"))
    assert sorted(line["intent_id"] for line in told if not line["error_code"]) == sorted(t.intent_id for t in found)
    assert (
        sum(Decimal(line["PnL"]) for line in told if line["PnL"])
        == Decimal(sum(trade.pnl_micros for trade in found if not trade.is_open)) / MICROS
    )


def test_every_fill_lies_within_the_quotes_of_its_minute(ended: Stage) -> None:
    session = _open(GENERATED)
    feed = build_screener(session.setup).feed
    assert feed is not None
    ranges: dict[tuple[str, int], tuple[int, int]] = {}
    for message in feed(session.plan):
        for quote in message.quotes if isinstance(message, QuoteBatch) else ():
            key = (quote.symbol, message.ts_event // 60_000_000_000)
            low, high = ranges.get(key, (quote.bid_micros, quote.ask_micros))
            ranges[key] = (min(low, quote.bid_micros), max(high, quote.ask_micros))
    fills = [e for e in read_journal(ended.chain.paths.state / "execution.db") if isinstance(e, OrderFilled)]
    assert fills
    for fill in fills:
        low, high = ranges[fill.symbol, fill.ts_event // 60_000_000_000]
        assert low <= fill.price_micros <= high, fill


def test_the_trial_balance_when_asked_for_sums_to_zero(ended: Stage) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "services.ledger", "trial-balance", "--json"],
        env={HOME_VARIABLE: str(ended.chain.paths.root)},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    balance = json.loads(result.stdout)
    assert set(balance) >= {"accounts"}


def test_the_dashboard_when_the_session_is_over_shows_all_of_it(ended: Stage) -> None:
    shown = ended.browser.snapshot()
    assert shown["chain"]["state"] == "ACTIVE"
    assert shown["chain"]["bot_state"] == "CLOSED"
    assert {line["service"] for line in shown["chain"]["services"] if line["status"] == "up"} == {
        "screener", "strategy", "risk", "execution", "ledger", "holdings", "web",
    }  # fmt: skip
    fills = [e for e in read_journal(ended.chain.paths.state / "execution.db") if isinstance(e, OrderFilled)]
    assert len(shown["fills"]) == len(fills)
    assert shown["portfolio"]["positions"] == []
    assert shown["ledger"]["imbalance"] == 0
    assert shown["orders"]["orders_total"] == len(shown["orders"]["orders"])
    assert shown["denied"]
    assert shown["candidates"]["candidates"]


def test_supervisorctl_when_told_stops_and_starts_the_chain(ended: Stage) -> None:
    assert ended.chain.control("status").count("RUNNING") == 8
    assert ended.chain.control("stop", "tradebot:risk").strip() == "tradebot:risk: stopped"
    assert ended.chain.control("status").count("RUNNING") == 7
    assert "started" in ended.chain.control("start", "tradebot:risk")
    assert ended.chain.control("stop", "tradebot:*").count("stopped") == 8
    assert compare_books(ended.chain.paths, DEMO_IDENTITY) == []


@pytest.mark.parametrize("choice", RECORDED, ids=lambda choice: choice.date or f"seed {choice.seed}")
def test_a_recorded_day_when_played_by_processes_has_the_trades_of_one_process(
    make_stage: Callable[..., Stage], choice: SessionChoice
) -> None:
    of_one_process = fill_keys(play(_open(choice)).of("execution"))
    assert of_one_process == fill_keys(play(_open(choice)).of("execution"))
    stage = make_stage(choice, **PATIENT)
    stage.arm("test")
    stage.wait_for_end(120)
    stage.stop()
    assert fill_keys(read_journal(stage.chain.paths.state / "execution.db")) == of_one_process
    assert compare_books(stage.chain.paths, DEMO_IDENTITY) == []


def test_the_processes_when_they_talk_over_tcp_make_the_same_trades(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(GENERATED, **PATIENT, BUS_TRANSPORT="tcp", BUS_TCP_PORT=str(_free_ports(16)))
    stage.arm("test")
    stage.wait_for_end(120)
    stage.stop()
    assert list(stage.chain.paths.run.glob("*.inbox.sock")) == []
    of_one_process = fill_keys(play(_open(GENERATED)).of("execution"))
    assert fill_keys(read_journal(stage.chain.paths.state / "execution.db")) == of_one_process


def _free_ports(count: int) -> int:
    """Return the first of so many neighbouring ports that are free now."""
    for first in range(21_000, 30_000, count):
        probes = [socket.socket() for _ in range(count)]
        try:
            for offset, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return first
    raise AssertionError("no free ports")
