"""What tests of more than one folder are given."""

import pytest

from config.paths import HomePaths


@pytest.fixture
def short_home(tmp_path_factory: pytest.TempPathFactory) -> HomePaths:
    """Return a home whose folder has a short name: unix sockets hang off it."""
    paths = HomePaths(tmp_path_factory.mktemp("h"))
    paths.make()
    return paths
