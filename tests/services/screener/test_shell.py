"""The screener's shell and feed: what is opened when, and every fault as a sentence."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from finnhub_server import provision
from msgspec.structs import replace

from bus.assembly import CannotStartError, Setup
from bus.clock import on_host
from bus.messages import NANOS, CandidatesRanked, FeedEnded, SessionPlanned, VixObserved
from config.env_bot import EnvBot, parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.screener.core import ScreenerState
from services.screener.faults import FolderMissingError, NoSessionError, WrongDateError
from services.screener.feed import check_source
from services.screener.settings import ScreenerSettings
from services.screener.shell import build
from services.screener.universe import UniverseLoaded
from services.screener.universe_file import Fundamentals, Universe, UniverseName, write_universe

ROOT = Path(__file__).resolve().parents[3]

OPEN_NS = 1_741_786_200_000_000_000
PLAN = SessionPlanned(
    ts_event=1,
    ts_init=1,
    session_date="2025-03-12",
    open_ns=OPEN_NS,
    close_ns=OPEN_NS + 210 * 60_000_000_000,
    is_half_day=True,
    is_trading_day=True,
    start_open_ns=OPEN_NS,
    start_mid_ns=OPEN_NS,
    start_close_ns=OPEN_NS,
    flatten_ns=OPEN_NS,
)
IDENTITY = Identity(
    entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)


def env(**changes: str) -> EnvBot:
    return parse(proposals() | changes)


def setup(tmp_path: Path, **changes: str) -> Setup:
    return Setup(paths=HomePaths(tmp_path), env=env(**changes), identity=IDENTITY)


def test_settings_when_read_then_units_are_integers() -> None:
    settings = ScreenerSettings.from_env(env(SCREENER_GAP_MAX="0.1", MARKET_DATA_SYMBOLS="spy, SH"))
    assert (settings.price_min_micros, settings.price_max_micros) == (5_000_000, 1_000_000_000)
    assert (settings.gap_max_bps, settings.volume_min_nanos) == (10, 100_000 * 10**9)
    assert settings.symbols == ("SPY", "SH")


def test_after_commit_when_a_session_is_planned_then_its_names_are_reported_and_ranked(
    tmp_path: Path,
) -> None:
    screener = build(setup(tmp_path, MARKET_DATA_SEED="7"))
    state = screener.core.evolve(screener.core.initial(), PLAN)
    report, vix = screener.shell.after_commit(state, PLAN, 5)
    assert isinstance(vix, VixObserved)
    assert isinstance(report, UniverseLoaded)
    assert len(report.rows) == 40
    (said,) = screener.core.decide(state, report, 5)
    assert isinstance(said, CandidatesRanked)
    assert "seed 7" in said.source
    assert said.candidates
    failed = {reason.rule for one in said.rejected for reason in one.reasons if not reason.passed}
    assert failed == {"price_min", "price_max", "gap", "volume"}
    assert screener.shell.after_commit(state, said, 5) == ()


def test_after_commit_when_the_day_has_no_session_then_nothing_is_reported(tmp_path: Path) -> None:
    screener = build(setup(tmp_path))
    holiday = replace(PLAN, is_trading_day=False)
    assert screener.shell.after_commit(screener.core.initial(), holiday, 5) == ()


def test_on_start_when_a_crash_came_before_the_candidates_then_the_names_are_reported_again(
    tmp_path: Path,
) -> None:
    shell = build(setup(tmp_path)).shell
    assert shell.on_start(ScreenerState(), 5) == ()
    report, vix = shell.on_start(ScreenerState(plan=PLAN), 5)
    assert isinstance(report, UniverseLoaded)
    assert isinstance(vix, VixObserved)


def test_on_start_when_another_day_was_set_since_then_nothing_is_opened(tmp_path: Path) -> None:
    shell = build(setup(tmp_path, MARKET_DATA_DATE="2025-03-13")).shell
    assert shell.on_start(ScreenerState(plan=PLAN), 5) == ()


def test_feed_when_opened_then_it_plays_the_whole_session(tmp_path: Path) -> None:
    feed = build(setup(tmp_path, MARKET_DATA_SYMBOLS="SPY,SH")).feed
    assert feed is not None
    played = list(feed(PLAN))
    assert isinstance(played[-1], FeedEnded)
    assert len(played) == 210 * 5 + 1


def test_feed_when_the_plan_does_not_fit_then_says_which_setting(tmp_path: Path) -> None:
    feed = build(setup(tmp_path)).feed
    assert feed is not None
    with pytest.raises(WrongDateError, match=r"MARKET_DATA_DATE is '2025-03-12'.*2025-03-13"):
        feed(replace(PLAN, session_date="2025-03-13"))
    with pytest.raises(NoSessionError, match="not a trading day"):
        feed(replace(PLAN, is_trading_day=False))


def test_self_check_when_the_source_is_generated_then_there_is_no_fault(tmp_path: Path) -> None:
    assert build(setup(tmp_path)).self_check() == ()


def test_self_check_when_the_folder_is_missing_then_says_so(tmp_path: Path) -> None:
    recorded = {"MARKET_DATA_SOURCE": "recorded", "MARKET_DATA_DIR": str(tmp_path / "nowhere")}
    (fault,) = build(setup(tmp_path, **recorded)).self_check()
    assert "nowhere does not exist" in fault


def test_check_source_when_sound_then_says_what_will_be_played() -> None:
    line = check_source(env(), PLAN)
    assert "40 symbols, 210 minutes" in line
    assert "2025-03-12" in line


def test_check_source_when_faulty_then_raises_before_anything_starts(tmp_path: Path) -> None:
    recorded = {"MARKET_DATA_SOURCE": "recorded", "MARKET_DATA_DIR": str(tmp_path / "nowhere")}
    with pytest.raises(FolderMissingError):
        check_source(env(**recorded), PLAN)


LIST = Path("output/ACME_USA_main_PAPER_BOT01/screener/2025-03-12_pre-market.json")


def test_before_commit_when_candidates_are_said_then_the_whole_list_is_on_disk(tmp_path: Path) -> None:
    screener = build(setup(tmp_path, SCREENER_PRICE_MIN="100"))
    (report, _) = screener.shell.after_commit(screener.core.initial(), PLAN, 5)
    (said,) = screener.core.decide(screener.core.initial(), report, 5)
    assert isinstance(said, CandidatesRanked)
    screener.shell.before_commit(PLAN)
    assert not (tmp_path / LIST).exists()
    screener.shell.before_commit(said)
    screener.shell.before_commit(said)
    found = json.loads((tmp_path / LIST).read_text())
    assert [one["symbol"] for one in found["candidates"]] == [one.symbol for one in said.candidates]
    assert len(found["rejected"]) == said.rejected_total
    assert len(found["rejected"]) + len(found["candidates"]) == 40
    assert all(not reason["passed"] for one in found["rejected"] for reason in one["reasons"])
    assert "pe_max is not applied: SCREENER_PE_MAX is empty" in found["not_applied"]
    assert [each.name for each in (tmp_path / LIST).parent.iterdir()] == [LIST.name]


def test_before_commit_when_the_disk_refuses_the_list_then_it_is_told_and_trading_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    screener = build(setup(tmp_path))
    (report, _) = screener.shell.after_commit(screener.core.initial(), PLAN, 5)
    (said,) = screener.core.decide(screener.core.initial(), report, 5)
    (tmp_path / "output").write_text("a file where a folder belongs")
    screener.shell.before_commit(said)
    assert "cannot be written: Not a directory" in caplog.text


UNIVERSE = Universe(
    format=1,
    source="made here",
    listed_at_s=1,
    built_at_s=1,
    mics=("XNYS", "XNAS", "XASE", "ARCX", "BATS"),
    security_types=("Common Stock", "ADR", "ETP"),
    listed_total=3,
    names=(
        UniverseName(symbol="SPY", mic="ARCX", security_type="ETP"),
        UniverseName(
            symbol="ALVQ",
            mic="XNAS",
            security_type="Common Stock",
            fundamentals=Fundamentals(shares_outstanding=9, market_cap_dollars=8, fetched_at_s=1),
        ),
    ),
)


class HandClock:
    """A host whose clocks are moved by hand."""

    def __init__(self) -> None:
        self.ns = 3_600 * NANOS

    def utc_ns(self) -> int:
        return self.ns

    def boot_ns(self) -> int:
        return self.ns


def test_finnhub_when_there_is_no_universe_yet_then_the_names_wait_for_it_and_nothing_is_played(
    short_home: HomePaths, caplog: pytest.LogCaptureFixture
) -> None:
    provision(short_home, key="")
    clock = HandClock()
    screener = build(setup(short_home.root, UNIVERSE_SOURCE="finnhub"))
    shell, state = screener.shell, ScreenerState(plan=PLAN)
    assert screener.feed is not None
    with on_host(clock):
        assert [type(said) for said in shell.after_commit(state, PLAN, 5)] == [VixObserved]
        assert "wait for the universe. There is no universe" in caplog.text
        with pytest.raises(CannotStartError, match=r"before its names could be ranked\. There is no universe"):
            screener.feed(PLAN)
        clock.ns += NANOS
        assert shell.on_idle(state, 6) == ()
        write_universe(short_home.state / "universe.json", UNIVERSE)
        assert shell.on_idle(state, 7) == ()
        clock.ns += NANOS
        (report,) = shell.on_idle(state, 8)
        assert shell.on_idle(state, 9) == ()
        assert screener.feed(PLAN)
    assert isinstance(report, UniverseLoaded)
    assert report.source.endswith("seed 2; universe of 2 names, 1970-01-01T00:00:01Z")
    assert len(report.rows) == 40
    known = {row.symbol: row for row in report.rows if row.mic}
    assert set(known) == {"SPY", "ALVQ"}
    assert (known["ALVQ"].shares_outstanding, known["ALVQ"].market_cap_dollars) == (9, 8)
    (said,) = screener.core.decide(state, report, 9)
    assert isinstance(said, CandidatesRanked)
    assert {one.symbol for one in said.candidates} <= {"SPY", "ALVQ"}
    values = {reason.value for one in said.rejected for reason in one.reasons if reason.rule == "exchange"}
    assert "not in the universe" in values


def test_finnhub_when_started_without_a_key_then_the_keeper_says_so_and_ends_with_the_service(
    short_home: HomePaths, caplog: pytest.LogCaptureFixture
) -> None:
    provision(short_home, key="")
    shell = build(setup(short_home.root, UNIVERSE_SOURCE="finnhub")).shell
    assert shell.on_start(ScreenerState(), 5) == ()
    for _ in range(3_000):
        if "no credential 'finnhub_api_key'" in caplog.text:
            break
        threading.Event().wait(0.02)
    assert shell.on_idle(ScreenerState(), 5) == ()
    shell.close()
    assert "no credential 'finnhub_api_key'" in caplog.text


def test_session_when_it_is_the_universe_then_no_library_for_another_is_loaded() -> None:
    code = (
        "import sys, services.screener.shell; print([n for n in ('finnhub', 'requests', 'alpaca') if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
