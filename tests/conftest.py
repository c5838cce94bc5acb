"""What tests of more than one folder are given."""

import sys
from pathlib import Path

import pytest

from config.paths import HomePaths

#: Stand-ins of whom the bot talks to, and a day of what a chain says: `from exchange import Exchange`.
sys.path.insert(0, str(Path(__file__).resolve().parent / "fakes"))


@pytest.fixture
def short_home(tmp_path_factory: pytest.TempPathFactory) -> HomePaths:
    """Return a home whose folder has a short name: unix sockets hang off it."""
    paths = HomePaths(tmp_path_factory.mktemp("h"))
    paths.make()
    return paths
