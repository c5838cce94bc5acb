"""A night of the holdings through the real processes, with the holdings killed at the named steps of their work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.failpoints import VARIABLE
from bus.messages import OrderFilled
from bus.processes import free_port
from config.paths import HomePaths
from replay.demo_night import NightStage, book_faults
from replay.session import DEMO_IDENTITY, SessionChoice
from services.holdings.audit_record import AuditFolder

#: The market closes early on this day, which makes the session short.
HALF_DAY = "2025-07-03"
#: One death at each; a fourth restart within a minute would be a crash loop.
DEATHS = ("holdings.allocated:before", "holdings.ordered:before", "holdings.filled:after")
#: At this speed the window of the last hour lasts a quarter of a minute: a death and a start need about two seconds.
SPEED, WINDOW_MIN = "240", "60"

pytestmark = pytest.mark.processes


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[NightStage]:
    paths = HomePaths(Path(tmp_path_factory.mktemp("h")))
    markers = tmp_path_factory.mktemp("markers")
    monkeypatch.setenv(VARIABLE, ",".join(f"{point}@{markers / point.replace(':', '-')}" for point in DEATHS))
    choice = SessionChoice(date=HALF_DAY, symbols="IWM,QQQ,SPY", speed=SPEED)
    chosen = {"MARKET_DATA_DATE": HALF_DAY, "FLATTEN_BEFORE_CLOSE": WINDOW_MIN, "START_TIME_CLOSE": "18:30"}
    made = NightStage(paths, free_port(), {**choice.settings(), **chosen})
    try:
        made.begin()
        yield made
    finally:
        made.stage.stop()
    assert sorted(path.name for path in markers.iterdir()) == sorted(point.replace(":", "-") for point in DEATHS)


def test_a_night_whose_service_dies_at_its_steps_ends_with_everything_done_once(stage: NightStage) -> None:
    ended = stage.wait_for_night(HALF_DAY)
    stage.stage.wait_for_end(120)
    assert ended.outcome == "DONE"
    fills = [one for one in stage.journal("execution") if isinstance(one, OrderFilled) and one.leg == "fund"]
    assert sorted({fill.symbol for fill in fills}) == ["IWM", "QQQ"]
    assert book_faults(stage) == []
    records = AuditFolder(stage.paths.output / DEMO_IDENTITY.bot_identity / "holdings")
    assert len(records.records()) == 1
    assert list(records.faults()) == []
