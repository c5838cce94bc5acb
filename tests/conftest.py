"""What tests of more than one folder are given."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.logs import LineFormatter
from config.paths import HomePaths

#: Stand-ins of whom the bot talks to, and a day of what a chain says: `from exchange import Exchange`.
sys.path.insert(0, str(Path(__file__).resolve().parent / "fakes"))


@pytest.fixture
def short_home(tmp_path_factory: pytest.TempPathFactory) -> HomePaths:
    """Return a home whose folder has a short name: unix sockets hang off it."""
    paths = HomePaths(tmp_path_factory.mktemp("h"))
    paths.make()
    return paths


@pytest.fixture(autouse=True)
def _logs_end_with_their_test() -> Iterator[None]:
    """Take back what a test sets up as a service does: it would write down what later tests say, as that service."""
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler.formatter, LineFormatter)]:
        root.removeHandler(handler)
        handler.close()
        root.setLevel(logging.WARNING)
