"""The whole way of a failed self-check: the service says why, the chain stays stopped, and arming is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import until

from bus.control import ControlFolder
from replay.browser import PageError
from replay.session import SessionChoice
from replay.stage import Stage, StageError

pytestmark = pytest.mark.processes


def test_a_service_when_its_self_check_fails_then_nothing_is_armed_and_a_person_reads_why(
    make_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    stage = make_stage(
        SessionChoice(speed="2400"), MARKET_DATA_SOURCE="recorded", MARKET_DATA_DIR=str(tmp_path / "none")
    )
    with pytest.raises(StageError, match="cannot start"):
        stage.wait_until_ready()
    until(lambda: stage.chain_state().get("state") == "STARTING", "the watchdog does not say that the chain waits")
    form = {"reason": "morning check done", "password": stage.password}
    with pytest.raises(PageError, match="The chain cannot be armed: screener cannot start"):
        stage.browser.fill_in("/control/arm", form)
    paths = stage.chain.paths
    assert ControlFolder(paths).read().arm is None
    # The service is still there and says it in its log too; nothing else has ended for it.
    assert stage.chain.is_running()
    assert "cannot start" in next(paths.output.rglob("logs/screener.log")).read_text()
