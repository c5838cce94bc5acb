"""A day of bars in CSV as a LEAN folder: read back it is the same day, to the last micro-dollar."""

from pathlib import Path

import numpy as np
import pytest

from bus.calendar import plan_session, read_exchange_day
from bus.messages import SessionPlanned
from config.env_bot import parse, proposals
from replay.lean_day import write_lean
from replay.sources.tables import Synthesis, open_tables
from services.screener.lean import LeanFolder
from services.screener.steps import MarketDay, messages

HEAD = "symbol,timestamp,open,high,low,close,volume"
ROWS = (
    "SPY,2013-10-07T13:30:00Z,165,165.5,165,165.5,1000",
    "SPY,2013-10-08T13:00:00Z,166,166.25,166,166.25,10",
    "SPY,2013-10-08T13:30:00Z,167.4,167.45,167.300001,167.44,1000.5",
    "SPY,2013-10-08T13:32:00Z,167.5,168,167,167.2,20",
    "BRK.B,2013-10-08T14:00:00Z,115.01,115.02,115,115.02,7.123456789",
    "CHEAP,2013-10-08T14:00:00Z,0.008,0.012,0.008,0.012,7",
)


@pytest.fixture(scope="module")
def plan() -> SessionPlanned:
    return plan_session(read_exchange_day("2013-10-08"), parse(proposals()), 0)


def both(folder: Path, plan: SessionPlanned) -> tuple[MarketDay, MarketDay]:
    """Return the day as the CSV has it, and as it is read from the folder that was written."""
    path = folder / "a.csv"
    path.write_text("\n".join([HEAD, *ROWS]) + "\n")
    day = open_tables(path, "csv", (), Synthesis()).load(plan)
    write_lean(folder / "lean", day, plan)
    return day, LeanFolder(folder / "lean").load(plan, ())


def test_a_day_when_written_and_read_back_is_the_same_to_the_last_digit(tmp_path: Path, plan: SessionPlanned) -> None:
    day, back = both(tmp_path, plan)
    assert back.symbols == day.symbols == ("BRK.B", "CHEAP", "SPY")
    assert back.rows == day.rows
    for name in day.bars.__struct_fields__:
        assert np.array_equal(getattr(back.bars, name), getattr(day.bars, name)), name
    for name in day.quotes.__struct_fields__:
        assert np.array_equal(getattr(back.quotes, name), getattr(day.quotes, name)), name
    assert list(messages(back, plan)) == list(messages(day, plan))


def test_a_name_when_its_day_before_is_known_has_it_and_its_price_before_the_open(
    tmp_path: Path, plan: SessionPlanned
) -> None:
    _, back = both(tmp_path, plan)
    spy = back.rows[2]
    assert (spy.prior_close_micros, spy.price_micros) == (165_500_000, 166_250_000)
    assert back.rows[0].prior_close_micros == 0
