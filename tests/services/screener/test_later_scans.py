"""A whole session in which names are screened again and again, in one process with the strategies and with risk."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alpaca_data import AlpacaData, SessionPlayer
from live_day import MINUTE, OPEN, a_status
from live_screener import DAY, IDENTITY, SHORT, Screener
from msgspec.structs import replace

from bus.messages import BarBatch, CandidatesRanked, MarketMessage, PastBars
from config.env_bot import parse, proposals
from config.paths import HomePaths
from services.risk.day import empty, fold
from services.strategy.core import StrategyCore
from services.strategy.indicators import vwap_of
from services.strategy.settings import StrategySettings

#: Only what has moved by now is on a list, so that names join and leave.
SCANNING = {"SCREENER_INTRADAY_EVERY": "1", "SCREENER_GAP_MIN": "0.6", "SCREENER_VOLUME_MIN": "0"}
LISTS = f"output/{IDENTITY.bot_identity}/screener"


class Listener:
    """The strategies as they hear the feed and the lists."""

    def __init__(self, **settings: str) -> None:
        self.core = StrategyCore(StrategySettings.from_env(parse(proposals() | settings)))
        self.state = self.core.initial()
        self.events: list[Any] = []
        # Every minute is measured, to the close.
        self.hear(replace(SHORT, flatten_ns=SHORT.close_ns))

    def hear(self, message: Any) -> None:
        if isinstance(message, MarketMessage):
            self.state = self.core.observe(self.state, message)
        for event in self.core.decide(self.state, message, message.ts_event):
            self.state = self.core.evolve(self.state, event)
            self.events.append(event)


def played(screener: Screener, player: SessionPlayer, listener: Listener) -> list[MarketMessage]:
    """Play the session as the runtime does, each list delivered when it is said; return what was said of the market."""
    player.start()
    session = screener.open()
    heard, said = 0, []
    deadline = time.monotonic() + 60
    while not session.has_ended:
        assert time.monotonic() < deadline
        screener.idle()
        for event in screener.events[heard:]:
            if isinstance(event, CandidatesRanked):
                listener.hear(event)
        heard = len(screener.events)
        message = session.next()
        if message is None:
            time.sleep(0.001)
            continue
        listener.hear(message)
        said.append(message)
        session.hear_status(a_status(7, message.step))
    session.close()
    return said


def lists_of(screener: Screener) -> list[CandidatesRanked]:
    return [event for event in screener.events if isinstance(event, CandidatesRanked)]


@pytest.mark.parametrize(
    ("refusals", "scanned"), [(0, [1, 2, 3]), (1, [1, 2, 3]), (3, [2, 3])], ids=["200", "429 once", "429 for long"]
)
def test_a_session_when_scanned_each_minute_then_who_joins_is_measured_since_the_open_and_lists_are_kept(
    refusals: int, scanned: list[int], data: AlpacaData, new_screener: Callable[..., Screener], short_home: HomePaths
) -> None:
    listener = Listener(MARKET_DATA_SOURCE="alpaca", MARKET_DATA_SYMBOLS="SPY", MID_ANALYSIS_TIME="1")
    player = SessionPlayer(data, DAY, SHORT, 12.0)
    data.rest_status = 429
    screener = new_screener(data.port, **SCANNING)
    screener.hear(SHORT)
    screener.ranked()
    data.rest_faults = refusals
    said = played(screener, player, listener)
    player.close()

    lists = lists_of(screener)
    assert [one.scan_mode for one in lists] == ["pre-market", *["intraday" for _ in scanned]]
    minutes = [(one.ts_event - OPEN) // MINUTE for one in lists]
    assert minutes[0] < 0
    assert minutes[1:] == scanned, "each scan is made once, in its own minute; the next stands for one that failed"
    assert "there is no new list" not in screener.assembly.remark()
    names = [{one.symbol for one in each.candidates} for each in lists]
    assert names[1] - names[0], "nobody joined"
    assert listener.state.watch.symbols[: len(names[0])] == tuple(one.symbol for one in lists[0].candidates)

    joined = sorted(names[1] - names[0])
    begins = [one.names for one in said if isinstance(one, PastBars) and one.begins]
    measured = [name for name in joined if name in begins[-1]]
    assert measured, "who joined was said with all of its minutes"
    watch, part = listener.state.watch, listener.state.parts["mid"]
    for name in measured:
        row, column = watch.row_of[name], DAY.symbols.index(name)
        assert row not in listener.state.waiting
        bars = DAY.bars
        typical = (bars.highs[:, column] + bars.lows[:, column] + bars.closes[:, column]) / 3
        volumes = bars.volumes[:, column].astype(float)
        expected = float((typical * volumes).sum() / volumes.sum())
        assert float(vwap_of(part.vwap, np.array([row]))[0]) == pytest.approx(expected, rel=1e-9)
    assert listener.state.waiting <= {watch.row_of[name] for name in watch.symbols if name not in begins[-1]}

    files = sorted(path.name for path in (short_home.root / LISTS).iterdir())
    expected_files = [f"2025-03-12_intraday_133{minute}.json" for minute in scanned]
    assert files == [*expected_files, "2025-03-12_pre-market.json"]
    written = json.loads(Path(short_home.root / LISTS / files[0]).read_text())
    assert {one["symbol"] for one in written["candidates"]} == names[1]
    assert all(
        " today" in why["value"] for one in written["candidates"] for why in one["reasons"] if why["rule"] == "volume"
    )


def test_a_session_when_no_later_scan_is_set_then_one_list_is_made_as_ever(
    data: AlpacaData, new_screener: Callable[..., Screener]
) -> None:
    screener, player = new_screener(data.port), SessionPlayer(data, DAY, SHORT, 120.0)
    screener.hear(SHORT)
    screener.ranked()
    said = played(screener, player, Listener())
    player.close()
    assert len(lists_of(screener)) == 1
    assert {one.names for one in said if isinstance(one, PastBars) and one.begins} <= {
        tuple(sorted({name for one in said if isinstance(one, BarBatch) for name in one.symbols}))
    }


def test_risk_when_a_list_of_the_session_is_said_then_its_names_alone_may_be_bought_and_after_hours_changes_nothing(
    data: AlpacaData, new_screener: Callable[..., Screener]
) -> None:
    screener = new_screener(data.port, **SCANNING)
    data.snapshots = {}
    SessionPlayer(data, DAY, SHORT, 1.0)
    screener.hear(SHORT)
    first = screener.ranked()
    assert len(first.candidates) > 1
    fewer = replace(first, candidates=first.candidates[:1], scan_mode="intraday")
    evening = replace(first, candidates=first.candidates[1:], scan_mode="after-hours")
    day = fold(fold(empty(), first), fewer)
    assert day.candidates == {first.candidates[0].symbol}
    assert fold(day, evening).candidates == day.candidates
