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
from secret_watch import SecretWatch

#: Folders of tests that log many people in.
_LOG_PEOPLE_IN = (Path(__file__).parent / "browser", Path(__file__).parent / "services" / "web")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the whole run for secrets in the clear."""
    config.pluginmanager.register(SecretWatch(config), SecretWatch.NAME)


@pytest.fixture(scope="session", autouse=True)
def _watched(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    watch = pytestconfig.pluginmanager.get_plugin(SecretWatch.NAME)
    assert isinstance(watch, SecretWatch)
    watch.begin(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def _cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hashes of few rounds count as strong: they would be made anew at each log-in, and take long."""
    if request.path.parent in _LOG_PEOPLE_IN:
        monkeypatch.setattr("config.users.BCRYPT_COST", 4)


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
