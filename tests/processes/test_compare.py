"""One day through the real processes and through replay: the same signals, denials, orders and fills."""

from pathlib import Path

import pytest

from bus.calendar import plan_session, read_exchange_day
from bus.clock import NS_PER_MINUTE, iso_utc
from bus.messages import MICROS, NANOS
from config.env_bot import parse, proposals
from replay.choice import RunChoice, prepare
from replay.command_compare import both_ways
from replay.compare import table
from services.screener.generator import generate

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
#: Every strategy has something to do on the recorded days.
BUSY = {
    "VIX_DATA_FILE": str(LEAN.parent / "vix" / "vix-daily.csv"),
    "OPEN_BREAKOUT_BUFFER": "0",
    "STRAT_MID_VWAP_THRESHOLD": "0.3",
    "STRAT_MID_ADX_MAX": "60",
    "STRAT_CLOSE_VIX_THRESHOLD": "10",
    "PAPER_SLIPPAGE": "2.5",
}
RECORDED = ("2013-10-07", "2013-10-08", "2013-10-09", "2013-10-10", "2014-06-05", "2014-06-06")
#: Slippage on a half-day; and every recorded day where the recordings are there, with all the names that it has.
CHOICES = [RunChoice(start="2024-07-03", seed=11, settings=(PATIENT, ("PAPER_SLIPPAGE", "2.5")))] + (
    [*(RunChoice(data=str(LEAN), start=day, end=day, settings=(PATIENT, *BUSY.items())) for day in RECORDED),
     RunChoice(data=str(LEAN), start="2015-12-24", symbols=("GOOG",), settings=(PATIENT, *PUTS.items()))]
    if LEAN.is_dir()
    else []
)  # fmt: skip
#: Nothing of what is signalled on it can be bought: its inverse fund has no quotes there.
WITHOUT_FILLS = {"2014-06-06"}


def _as_csv(path: Path, date: str) -> Path:
    """Write the generated market of a half-day as bars, the day before it too."""
    lines = ["symbol,timestamp,open,high,low,close,volume"]
    for day in (plan_session(read_exchange_day(one), parse(proposals()), 0) for one in ("2024-07-02", date)):
        bars, symbols = (found := generate(day, 11)).bars, found.symbols
        for minute, place in zip(*map(list, bars.closes.nonzero()), strict=True):
            at = iso_utc(day.open_ns + int(minute) * NS_PER_MINUTE)
            prices = (column[minute, place] / MICROS for column in (bars.opens, bars.highs, bars.lows, bars.closes))
            volume = bars.volumes[minute, place] / NANOS
            lines.append(f"{symbols[place]},{at},{','.join(f'{price:.6f}' for price in prices)},{volume:.3f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_day_of_bars_in_csv_when_played_both_ways_has_the_same_lines(tmp_path: Path) -> None:
    path = _as_csv(tmp_path / "bars.csv", "2024-07-03")
    found, faults = both_ways(prepare(RunChoice(data=str(path), start="2024-07-03", settings=(PATIENT,))))
    assert found.first_difference() is None, table(found)
    assert found.count("fill", 0) > 0
    assert faults == []


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.start)
def test_a_day_when_played_both_ways_has_the_same_lines(choice: RunChoice) -> None:
    found, faults = both_ways(prepare(choice))
    assert found.first_difference() is None, table(found)
    assert found.count("signal", 0) > 0
    assert (found.count("fill", 0) > 0) is (choice.start not in WITHOUT_FILLS)
    assert faults == []
