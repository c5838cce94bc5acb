"""Makes the rigs of these tests importable, and gives each test keys."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from runner_rig import RunnerRig

from bus.keys import make_pairs
from config.paths import HomePaths
from config.vault import CurvePair


@pytest.fixture(scope="module")
def pairs() -> dict[str, CurvePair]:
    return make_pairs()


@pytest.fixture
def rig(short_home: HomePaths, pairs: dict[str, CurvePair]) -> Iterator[RunnerRig]:
    made = RunnerRig(short_home, pairs)
    yield made
    made.stop()
