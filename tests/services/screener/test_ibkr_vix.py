"""The volatility index from Interactive Brokers over both libraries: the close before, or unknown in words."""

from pathlib import Path

import ib_gateway_data as data
import pytest
from ibkr_data_bench import DataBench
from live_day import MINUTE, OPEN, PLAN, SECOND, until
from msgspec.structs import replace

from bus.messages import VixObserved
from config.env_bot import parse, proposals
from services.screener.ibkr_vix import IbkrVix
from services.screener.vix import VixSource

LATE = replace(PLAN, start_close_ns=OPEN + 300 * MINUTE)
DAYS = [("20250310", "27.86"), ("20250311", "26.92"), ("20250312", "24.23")]


def vix(ib: DataBench, file: str = "") -> IbkrVix:
    env = parse(proposals() | {"MARKET_DATA_SOURCE": "ibkr", "MARKET_DATA_SYMBOLS": "SPY", "VIX_DATA_FILE": file})
    return IbkrVix(ib.line, VixSource(env), utc_ns=lambda: ib.now_ns)


def observed(source: IbkrVix) -> VixObserved:
    return until(lambda: source.observe(LATE, 7), "the index")


def test_index_when_it_can_be_had_then_the_close_of_the_day_before_counts(ib: DataBench) -> None:
    ib.gateway.days["VIX"] = DAYS
    said = observed(vix(ib))
    assert (said.vix_hundredths, said.as_of_date, said.session_date) == (26_92, "2025-03-11", "2025-03-12")
    assert said.source == "Interactive Brokers, VIX at Cboe"
    assert said.ts_event == 7
    asked = next(fields for fields in ib.gateway.received if fields[0] == "20")
    assert asked[3:5] == ["VIX", "IND"]
    assert asked[9] == "CBOE"


@pytest.mark.parametrize("refusal", [data.NOT_SUBSCRIBED, data.NO_DATA])
def test_index_when_the_account_may_not_see_it_then_the_file_counts_else_it_is_unknown_in_words(
    ib: DataBench, refusal: tuple[int, str], tmp_path: Path
) -> None:
    ib.gateway.data_refusals[20, "VIX"] = refusal
    said = observed(vix(ib))
    assert (said.vix_hundredths, said.as_of_date) == (0, "")
    assert said.source.startswith("Interactive Brokers has no VIX: ")
    assert said.source.endswith("VIX_DATA_FILE is empty")
    ib.skipped_ns += 16 * SECOND
    path = tmp_path / "vix.csv"
    path.write_text("DATE,OPEN,HIGH,LOW,CLOSE\n2025-03-11,1,1,1,25.50\n")
    assert observed(vix(ib, str(path))).vix_hundredths == 25_50


def test_index_when_there_is_no_day_before_then_it_is_unknown(ib: DataBench) -> None:
    ib.gateway.days["VIX"] = DAYS[2:]
    assert "has no close of the VIX before 2025-03-12" in observed(vix(ib)).source


def test_index_when_the_gateway_is_away_then_it_is_asked_for_until_it_is_too_late(ib: DataBench) -> None:
    ib.open(answer_s=0.2)
    ib.gateway.days["VIX"] = DAYS
    ib.gateway.stop()
    source = vix(ib)
    until(lambda: source.observe(LATE, 7) is None and "not there" in source._why, "first answer")
    ib.gateway.start()
    ib.skipped_ns += 60 * SECOND
    assert observed(source).vix_hundredths == 26_92
    ib.gateway.stop()
    other = vix(ib)
    assert other.observe(LATE, 7) is None
    ib.now_ns = LATE.start_close_ns - 60 * SECOND
    late = other.observe(LATE, 7)
    assert late is not None
    assert late.vix_hundredths == 0
