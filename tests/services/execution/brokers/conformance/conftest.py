"""Plays every card for every rig."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from conformance.rig import Rig
from conformance.rigs import RIGS


@pytest.fixture(params=list(RIGS))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Open one adapter on its house."""
    entry = RIGS[request.param]
    with importlib.import_module(entry.module).make(tmp_path) as made:
        assert made.capabilities == entry.capabilities
        yield made
