"""Makes the rig of these tests importable, and gives each test a watchdog on a host that stands still."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from watchdog_rig import StillClock, WatchdogRig, bot

from bus.clock import on_host
from config.paths import HomePaths


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchdogRig]:
    clock = StillClock()
    monkeypatch.setattr(bot, "build_id", lambda: "b1")
    paths = HomePaths(tmp_path)
    paths.make()
    with on_host(clock):
        yield WatchdogRig(paths, clock)
