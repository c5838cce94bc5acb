"""Prices of many names from Interactive Brokers over both libraries, for the list of the day."""

import ib_gateway_data as data
import pytest
from ibkr_data_bench import NAMES, OPEN_S, DataBench, dollars
from live_day import PLAN, SECOND, until

from services.screener.ibkr_snapshots import IbkrSnapshots
from services.screener.snapshots import SnapshotError

DATE = PLAN.session_date
BEFORE_S = OPEN_S - 86_400


def snapshots(ib: DataBench, **limits: int) -> IbkrSnapshots:
    values = {"lines_max": 100, "symbols_max": 300, "patience_ns": SECOND // 2} | limits
    return IbkrSnapshots(ib.line, **values)


def tell(ib: DataBench, symbol: str, traded_s: int = OPEN_S - 600) -> None:
    ib.gateway.say_ticks(symbol, last="101", last_time_s=traded_s, close="100", volume="5000", average_volume="1000000")


def test_names_when_asked_then_each_has_its_prices_and_every_line_is_given_back(ib: DataBench) -> None:
    tell(ib, "SPY")
    tell(ib, "AAPL", BEFORE_S)
    found = snapshots(ib).snapshots([*NAMES, "SPY"], DATE)
    spy, aapl = found["SPY"], found["AAPL"]
    assert (spy.price_micros, spy.price_ts_ns) == (dollars(101), (OPEN_S - 600) * SECOND)
    assert (spy.prior_close_micros, spy.prior_volume_nanos) == (dollars(100), 1_000_000 * SECOND)
    assert (spy.day_close_micros, spy.day_volume_nanos) == (dollars(101), 5_000 * SECOND)
    assert (aapl.price_micros, aapl.day_volume_nanos) == (0, 0), "the last trade was on another day"
    assert aapl.prior_close_micros == dollars(100)
    until(lambda: not ib.gateway.subscribed, "return of the lines")


def test_names_when_more_than_the_lines_then_they_take_turns(ib: DataBench) -> None:
    ib.gateway.lines_max = 2
    names = [f"N{number}" for number in range(9)]
    for name in names:
        tell(ib, name)
    assert set(snapshots(ib, lines_max=2).snapshots(names, DATE)) == set(names)


def test_names_when_too_many_then_nothing_is_asked_and_it_says_what_to_do(ib: DataBench) -> None:
    with pytest.raises(SnapshotError, match=r"3 names are more than the 2 .*IBKR_LIST_SYMBOLS_MAX"):
        snapshots(ib, symbols_max=2).snapshots(["A", "B", "C"], DATE)
    assert ib.gateway.received == []


def test_a_name_when_it_says_nothing_or_is_unknown_then_the_others_have_their_prices(ib: DataBench) -> None:
    tell(ib, "SPY")
    ib.gateway.data_refusals[1, "NOPE"] = (200, "No security definition has been found for the request")
    found = snapshots(ib).snapshots(["SPY", "MUTE", "NOPE"], DATE)
    assert set(found) == {"SPY", "MUTE"}
    assert found["MUTE"].prior_close_micros == 0


def test_names_when_none_has_a_subscription_then_it_says_what_to_do(ib: DataBench) -> None:
    ib.gateway.data_refusals |= {(1, name): data.NOT_SUBSCRIBED for name in NAMES}
    with pytest.raises(SnapshotError, match="no prices of any name: the account has no subscription"):
        snapshots(ib).snapshots(NAMES, DATE)


@pytest.mark.parametrize("refusal", [data.COMPETING, (101, "Max number of tickers has been reached.")])
def test_names_when_the_data_is_elsewhere_then_there_is_no_half_answer(ib: DataBench, refusal: tuple[int, str]) -> None:
    tell(ib, "SPY")
    ib.gateway.data_refusals[1, "AAPL"] = refusal
    with pytest.raises(SnapshotError, match="Interactive Brokers gives no prices: "):
        snapshots(ib).snapshots(NAMES, DATE)


def test_names_when_nobody_listens_then_it_is_said(ib: DataBench) -> None:
    ib.open(answer_s=0.2)
    ib.gateway.stop()
    with pytest.raises(SnapshotError, match="IBKR_PORT"):
        snapshots(ib).snapshots(NAMES, DATE)
