"""Makes the server of these tests importable."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fakes"))

from finnhub_server import FinnhubServer, StillTime
from ibkr_data_bench import ib

__all__ = ["ib"]


@pytest.fixture
def server() -> Iterator[FinnhubServer]:
    made = FinnhubServer()
    yield made
    made.close()


@pytest.fixture
def still() -> StillTime:
    return StillTime()
