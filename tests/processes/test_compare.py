"""One day through the real processes and through replay: the same signals, denials, orders and fills."""

from pathlib import Path

import pytest

from replay.choice import RunChoice, prepare
from replay.command_compare import both_ways
from replay.compare import table

pytestmark = pytest.mark.processes

LEAN = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "lean"
PATIENT = ("HEARTBEAT_TIMEOUT", "10000")
#: A put on a recorded half-day, bought out of its opening range.
PUTS = {
    "SHORT_TYPE_OPEN": "LongPut",
    "MAX_OPTION_PREMIUM": "5000",
    "MAX_RISK_PER_TRADE": "2",
    "DAILY_LOSS_LIMIT": "5",
    "PUT_OPEN_INTEREST_MIN": "10",
    "OPEN_BREAKOUT_BUFFER": "0",
    "OPEN_MONITORING_TIME": "30",
}
#: Slippage and a busier strategy on a half-day; and recorded days where the recordings are there.
CHOICES = [RunChoice(start="2024-07-03", seed=11, settings=(PATIENT, ("PAPER_SLIPPAGE", "2.5")))] + (
    [RunChoice(data=str(LEAN), start="2013-10-09", end="2013-10-09", symbols=("SPY", "AIG", "BAC", "IBM"),
               settings=(PATIENT,)),
     RunChoice(data=str(LEAN), start="2015-12-24", symbols=("GOOG",), settings=(PATIENT, *PUTS.items()))]
    if LEAN.is_dir()
    else []
)  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.start)
def test_a_day_when_played_both_ways_has_the_same_lines(choice: RunChoice) -> None:
    found, faults = both_ways(prepare(choice))
    assert found.first_difference() is None, table(found)
    assert found.count("signal", 0) > 0
    assert found.count("fill", 0) > 0
    assert faults == []
