"""The screener with live data, from its settings to what its listeners hear, against a stand-in of Alpaca."""

import dataclasses
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from alpaca_data import AlpacaData, SessionPlayer
from finnhub_server import provision
from live_day import MINUTE, OPEN, SECOND, until
from live_screener import DAY, IDENTITY, SHORT, Screener, heard
from msgspec.structs import replace

from bus.assembly import CannotStartError, Setup
from bus.clock import on_host
from bus.messages import (
    MICROS,
    NANOS,
    BarBatch,
    CandidatesRanked,
    FeedEnded,
    MarketMessage,
    OptionsListed,
    QuoteBatch,
    VixObserved,
)
from config.env_bot import SettingsError, parse, proposals
from config.paths import HomePaths
from services.screener.alpaca_world import AlpacaWorld
from services.screener.feed import MarketFeed, check_source
from services.screener.live import LiveQuote
from services.screener.live_desk import LiveDesk
from services.screener.settings import ScreenerSettings
from services.screener.shell import build
from services.screener.steps import messages
from services.screener.universe import UniverseLoaded

ROOT = Path(__file__).resolve().parents[3]
KEYS = {"alpaca_data_key": "CANARYKEYID000000", "alpaca_data_secret": "canarySECRET"}
TRADING = {"alpaca_trading_key": "TRADINGKEYID00000", "alpaca_trading_secret": "tradingSECRET"}
SIMULATOR = {"ALPACA_ENDPOINT": "simulator"}


def columns(said: Sequence[MarketMessage], names: set[str]) -> dict[int, dict[str, Any]]:
    """Return the bars of each minute by name, in however many parts they came."""
    found: dict[int, dict[str, Any]] = {}
    for one in said:
        if type(one) is BarBatch:
            bars = {bar.symbol: bar for bar in one.bars if bar.symbol in names}
            found.setdefault(one.ts_event, {}).update(bars)
    return found


def test_a_session_when_live_then_its_names_are_ranked_and_its_minutes_are_those_of_the_exchange(
    data: AlpacaData, new_screener: Callable[..., Screener]
) -> None:
    player = SessionPlayer(data, DAY, SHORT, 120.0)
    screener = new_screener(data.port)
    screener.hear(SHORT)
    screener.holds()
    assert screener.assembly.live is not None
    assert screener.assembly.live(SHORT) is None, "there are no candidates yet"
    ranked = screener.ranked()
    assert "names in Alpaca's iex feed" in ranked.source
    assert ranked.ts_event == OPEN - 5 * MINUTE, "a time of this host would end the simulated session"
    assert [type(event).__name__ for event in screener.events] == ["SessionPlanned", "CandidatesRanked", "VixObserved"]
    player.start()
    session = screener.open()
    said = heard(session)
    session.close()
    names = {candidate.symbol for candidate in ranked.candidates}
    assert names
    assert screener.assembly.remark() == "market data: the session is over"
    until(lambda: data.subscribed == (set(), set()), "end of the connection")
    player.close()
    assert columns(said, names) == columns(list(messages(DAY, SHORT)), names)
    assert isinstance(said[-1], FeedEnded)
    assert said[-1].steps == len(said)
    assert screener.halts == []


def test_a_restart_when_in_mid_session_then_the_same_names_are_watched_without_being_ranked_anew(
    data: AlpacaData, new_screener: Callable[..., Screener]
) -> None:
    player = SessionPlayer(data, DAY, SHORT, 1.0)
    first = new_screener(data.port)
    first.hear(SHORT)
    ranked = first.ranked()
    player.start()
    first.open().close()
    second = new_screener(data.port)
    for event in first.events:
        second.state = second.assembly.core.evolve(second.state, event)
    second.idle()
    session = second.open()
    until(lambda: data.subscribed[1] >= {one.symbol for one in ranked.candidates}, "subscription")
    session.close()
    player.close()
    assert second.events == []


def test_what_is_held_when_risk_says_it_then_its_quotes_are_subscribed_too(
    data: AlpacaData, new_screener: Callable[..., Screener]
) -> None:
    screener = new_screener(data.port, MARKET_DATA_SYMBOLS="SPY,IBM")
    data.snapshots = {"SPY": {}, "IBM": {}}
    screener.hear(SHORT)
    screener.ranked()
    session = screener.open()
    screener.holds("HELD")
    until(lambda: "HELD" in data.subscribed[0], "subscription")
    session.close()


def test_the_keys_when_refused_then_the_chain_is_halted_in_words(
    data: AlpacaData, new_screener: Callable[..., Screener]
) -> None:
    data.refusals = [(402, "auth failed")]
    data.snapshots = {"SPY": {}}
    screener = new_screener(data.port, MARKET_DATA_SYMBOLS="SPY")
    screener.hear(SHORT)
    screener.ranked()
    session = screener.open()

    def look() -> list[tuple[str, str]]:
        session.next()
        return screener.halts

    ((rule, words),) = until(look, "halt")
    session.close()
    assert rule == "market_data"
    assert "refuses the keys" in words
    assert "refuses the keys" in screener.assembly.remark()


def test_prices_when_there_are_none_then_the_names_wait_and_it_is_said(
    data: AlpacaData, new_screener: Callable[..., Screener], caplog: pytest.LogCaptureFixture
) -> None:
    screener = new_screener(data.port, MARKET_DATA_SYMBOLS="SPY")
    data.close()
    screener.hear(SHORT)

    def look() -> bool:
        screener.idle()
        return "cannot be chosen yet" in caplog.text

    with caplog.at_level(logging.WARNING):
        until(look, "warning")
    assert not [event for event in screener.events if isinstance(event, CandidatesRanked | UniverseLoaded)]


class Wall:
    """A host whose wall clock is set by a test."""

    def __init__(self, utc_ns: int) -> None:
        self._utc_ns = utc_ns

    def utc_ns(self) -> int:
        return self._utc_ns

    def boot_ns(self) -> int:
        return 10**12


@pytest.mark.parametrize(
    ("at_ns", "asks"),
    [
        (OPEN - 6 * MINUTE, False),
        (OPEN - 5 * MINUTE, True),
        (OPEN + 100 * SECOND, True),
        (SHORT.close_ns, False),
    ],
    ids=["too early", "LIVE_LIST_BEFORE_OPEN", "a late start", "after the close"],
)
def test_the_names_when_it_is_time_then_they_are_asked_for_and_not_before(
    new_screener: Callable[..., Screener], at_ns: int, asks: bool
) -> None:
    screener = new_screener(1)
    env = parse(proposals() | {"MARKET_DATA_SOURCE": "alpaca", "MARKET_DATA_SYMBOLS": "SPY"})
    settings = ScreenerSettings.from_env(env)
    setup = Setup(paths=HomePaths(Path()), env=env, identity=IDENTITY)
    assert screener.state.plan is None
    with on_host(Wall(at_ns)):
        desk = LiveDesk(settings, AlpacaWorld(setup, settings), lambda: at_ns)
        assert desk.is_time(SHORT) is asks
        assert not desk.is_time(replace(SHORT, is_trading_day=False))


def test_keys_when_there_are_none_then_the_service_does_not_start_and_says_so(short_home: HomePaths) -> None:
    provision(short_home)
    env = parse(proposals() | {"MARKET_DATA_SOURCE": "alpaca", "MARKET_DATA_SYMBOLS": "SPY"})
    with pytest.raises(CannotStartError, match="alpaca_data_key and alpaca_data_secret"):
        build(Setup(paths=short_home, env=env, identity=IDENTITY)).checked()


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (KEYS | TRADING, "CANARYKEYID000000"),
        (TRADING, "TRADINGKEYID00000"),
        ({"alpaca_data_key": "CANARYKEYID000000"} | TRADING, "TRADINGKEYID00000"),
    ],
    ids=["its own", "the one that trades", "half a pair is none"],
)
def test_keys_when_the_vault_has_them_then_the_pair_for_market_data_comes_first(
    short_home: HomePaths, kept: dict[str, str], expected: str
) -> None:
    provision(short_home, more=kept)
    env = parse(proposals() | {"MARKET_DATA_SOURCE": "alpaca", "MARKET_DATA_SYMBOLS": "SPY"})
    setup = Setup(paths=short_home, env=env, identity=IDENTITY)
    assert AlpacaWorld(setup, ScreenerSettings.from_env(env)).keys()[0] == expected
    simulated = parse({**proposals(), "MARKET_DATA_SOURCE": "alpaca", "MARKET_DATA_SYMBOLS": "SPY"} | SIMULATOR)
    world = AlpacaWorld(dataclasses.replace(setup, env=simulated), ScreenerSettings.from_env(simulated))
    assert world.keys()[0] != expected, "a simulator never gets real keys"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ALPACA_DATA_FEED": "delayed_sip", "MARKET_DATA_SYMBOLS": "SPY"}, "15 minutes old"),
        ({"MARKET_DATA_SYMBOLS": ""}, "live data has no names of its own"),
    ],
)
def test_settings_when_they_cannot_work_live_then_they_are_refused(settings: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse(proposals() | {"MARKET_DATA_SOURCE": "alpaca"} | settings)


def test_a_live_source_when_asked_for_a_whole_day_then_it_says_that_it_has_none() -> None:
    env = parse(proposals() | {"MARKET_DATA_SOURCE": "alpaca", "MARKET_DATA_SYMBOLS": "SPY"})
    with pytest.raises(CannotStartError, match="Set generated or recorded"):
        MarketFeed(ScreenerSettings.from_env(env)).day(SHORT)
    assert "live data" in check_source(env, SHORT)


def test_volatility_when_live_without_a_file_then_it_is_unknown_and_says_why(
    data: AlpacaData, new_screener: Callable[..., Screener]
) -> None:
    data.snapshots = {"SPY": {}}
    screener = new_screener(data.port, MARKET_DATA_SYMBOLS="SPY")
    screener.hear(SHORT)
    screener.ranked()
    (vix,) = [event for event in screener.events if isinstance(event, VixObserved)]
    assert (vix.vix_hundredths, vix.source) == (0, "VIX_DATA_FILE is empty")


def test_the_stand_in_when_started_as_a_program_then_it_says_where_it_listens() -> None:
    command = [sys.executable, str(ROOT / "tests/fakes/alpaca_data.py")]
    names = subprocess.run([*command, "--print-symbols"], capture_output=True, text=True, check=True).stdout
    assert "SPY" in names.split(",")
    with subprocess.Popen([*command, "--date", "2025-03-12", "--speed", "100"], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        line = program.stdout.readline().decode()
        program.terminate()
    assert "seed 2 on 127.0.0.1:" in line


PUT = "SPY250321P00450000"


def test_puts_when_live_then_the_chain_is_listed_at_todays_price_and_its_puts_are_quoted(
    data: AlpacaData, new_screener: Callable[..., Screener]
) -> None:
    data.options.list_put(PUT)
    data.options.list_put("SPY250321P00600000")
    data.options.quote_put(PUT, 2.1, 2.2, OPEN)
    bars = {"prevDailyBar": {"t": "2025-03-11T04:00:00Z", "c": 449, "v": 9_000_000}}
    data.snapshots = {"SPY": {"latestTrade": {"t": "2025-03-12T13:00:00Z", "p": 450}, **bars}}
    screener = new_screener(data.port, MARKET_DATA_SYMBOLS="SPY", SHORT_TYPE_OPEN="LongPut")
    screener.hear(SHORT)
    screener.ranked()
    session = screener.open()

    def look() -> list[OptionsListed]:
        screener.idle()
        return [event for event in screener.events if isinstance(event, OptionsListed)]

    (listed,) = until(look, "chain")
    assert [(put.symbol, put.open_interest, put.delta_ppm) for put in listed.puts] == [(PUT, 1_200, 480_000)]
    assert data.options.contract_questions[0]["underlying_symbols"] == "SPY"

    def quoted() -> bool:
        screener.idle()
        data.say_quotes([LiveQuote("SPY", 450 * MICROS, 451 * MICROS, NANOS, NANOS, OPEN)])
        message = session.next()
        return isinstance(message, QuoteBatch) and PUT in message.symbols

    until(quoted, "quote of the put")
    session.close()
