"""The screener's shell and feed: what is opened when, and every fault as a sentence."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.assembly import Setup
from bus.messages import CandidatesRanked, FeedEnded, SessionPlanned, VixObserved
from config.env_bot import EnvBot, parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.screener.core import ScreenerState
from services.screener.faults import FolderMissingError, NoSessionError, WrongDateError
from services.screener.feed import check_source
from services.screener.settings import ScreenerSettings
from services.screener.shell import build
from services.screener.universe import UniverseLoaded

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
