"""A night of the holdings through the real processes, with the holdings killed while they are at work."""

from pathlib import Path

import pytest

from bus.messages import GainsAllocated, HoldingsOrderEnded, HoldingsOrderRequested, NightBegan, OrderFilled
from bus.processes import free_port
from config.paths import HomePaths
from replay.demo_night import NightStage, book_faults
from replay.session import SessionChoice

#: The market closes early on this day, which makes the session short.
HALF_DAY = "2025-07-03"
#: A fourth restart within a minute would be a crash loop.
KILLS_MAX = 3

pytestmark = pytest.mark.processes


def test_a_night_whose_service_is_killed_at_its_steps_ends_with_everything_done_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    paths = HomePaths(Path(tmp_path_factory.mktemp("h")))
    choice = SessionChoice(date=HALF_DAY, symbols="IWM,QQQ,SPY", speed="60")
    stage = NightStage(paths, free_port(), {**choice.settings(), "MARKET_DATA_DATE": HALF_DAY})
    killed: list[int] = []

    def kill_at_a_new_step() -> None:
        steps = [type(one).__name__ for one in stage.journal() if isinstance(one, _STEPS)]
        if len(steps) > sum(killed[-1:]) and len(killed) < KILLS_MAX:
            killed.append(len(steps))
            stage.kill("holdings")

    try:
        stage.begin()
        ended = stage.wait_for_night(HALF_DAY, kill_at_a_new_step)
        stage.stage.wait_for_end(60)
    finally:
        stage.stage.stop()
    assert len(killed) >= 2
    assert ended.outcome == "DONE"
    fills = [one for one in stage.journal("execution") if isinstance(one, OrderFilled) and one.leg == "fund"]
    assert sorted({fill.symbol for fill in fills}) == ["IWM", "QQQ"]
    assert book_faults(stage) == []


_STEPS = (NightBegan, GainsAllocated, HoldingsOrderRequested, HoldingsOrderEnded)
