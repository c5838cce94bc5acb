"""The session that a person sees first: all three strategies trade in it, and everything is sold at its end."""

from collections import Counter
from pathlib import Path

import pytest

from bus import messages as m
from config.paths import HomePaths
from replay.local import Played, play
from replay.report import trades
from replay.session import SessionChoice, open_session


@pytest.fixture(scope="module")
def played() -> Played:
    return play(open_session(SessionChoice().settings(), HomePaths(Path("unused").absolute())))


def test_default_session_when_played_then_each_strategy_trades_and_nothing_stays_open(played: Played) -> None:
    found = trades(played.of("execution"))
    count = Counter(trade.strategy for trade in found)
    assert {name: count[name] >= 2 for name in ("open", "mid", "close")} == {"open": True, "mid": True, "close": True}
    assert not any(trade.is_open for trade in found)


def test_default_session_when_a_name_is_back_at_its_vwap_then_the_way_of_the_exit_is_whole(played: Played) -> None:
    wanted = [event.signal_id for event in played.of("strategy") if isinstance(event, m.ExitSignalled)]
    passed = [event.intent_id for event in played.of("risk") if isinstance(event, m.CloseIntent)]
    begun = [event.intent_id for event in played.of("execution") if isinstance(event, m.CloseIntent)]
    sold = {trade.intent_id for trade in trades(played.of("execution")) if trade.reason.startswith("mid: back at VWAP")}
    assert len(sold) >= 2
    # A signal that was denied, or whose stop was hit before, has nothing to sell.
    assert sold <= set(begun) <= set(passed) <= set(wanted)
    assert len(wanted) == len(set(wanted))


def test_default_session_when_played_then_the_volatility_comes_before_the_first_minute(played: Played) -> None:
    (said,) = [event for event in played.of("screener") if isinstance(event, m.VixObserved)]
    (heard,) = [event for event in played.of("strategy") if isinstance(event, m.VixObserved)]
    assert said == heard
    assert 1_500 <= said.vix_hundredths <= 3_500
    assert said.as_of_date < said.session_date
