"""Makes the server of these tests importable."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fakes"))

from alpaca_data import AlpacaData
from finnhub_server import FinnhubServer, StillTime, provision
from ibkr_data_bench import ib
from live_screener import Screener

from config.paths import HomePaths

__all__ = ["ib"]


@pytest.fixture
def server() -> Iterator[FinnhubServer]:
    made = FinnhubServer()
    yield made
    made.close()


@pytest.fixture
def still() -> StillTime:
    return StillTime()


@pytest.fixture
def data() -> Iterator[AlpacaData]:
    made = AlpacaData()
    yield made
    made.close()


@pytest.fixture
def new_screener(short_home: HomePaths) -> Iterator[Callable[..., Screener]]:
    made: list[Screener] = []

    def new(port: int, **settings: str) -> Screener:
        made.append(Screener(short_home, port, **settings))
        return made[-1]

    provision(short_home)
    yield new
    for one in made:
        one.assembly.shell.close()
