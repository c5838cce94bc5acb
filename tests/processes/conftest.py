"""Real chains of real processes, each on a home of its own, stopped whatever happens."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.ballast import Ballast
from bus.processes import free_port
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import Stage

# The tests' own modules stand beside them.
sys.path.insert(0, str(Path(__file__).resolve().parent))

MakeStage = Callable[..., Stage]


@pytest.fixture(scope="module")
def make_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeStage]:
    """Return a maker of configured chains that wait to be armed."""
    stages: list[Stage] = []

    def make(choice: SessionChoice, **settings: str) -> Stage:
        # The folder's name is short: unix sockets hang off it.
        stage = Stage(HomePaths(tmp_path_factory.mktemp("h")), free_port())
        stages.append(stage)
        stage.configure(choice.settings() | settings, DEMO_IDENTITY)
        return stage

    yield make
    for stage in stages:
        stage.stop()
        # Old test folders are kept for a while; the space that each watchdog set aside need not be.
        Ballast(stage.chain.paths).release()
