"""History of Interactive Brokers over both libraries: whole answers at its pace, or a reason why not."""

import asyncio
import threading

import ib_gateway_data as data
import pytest
from ibkr_data_bench import NAMES, OPEN_S, DataBench, dollars
from live_day import MINUTE, OPEN, SECOND, until

from services.screener.ibkr_history import IbkrBars
from services.screener.ibkr_line import IbkrDataError
from services.screener.live import BarsError, LiveBar


def past(ib: DataBench) -> IbkrBars:
    for number, name in enumerate(NAMES):
        price = str(10 + number)
        ib.gateway.minutes[name] = [
            (OPEN_S + 60 * minute, price, price, price, price, "100" if minute != 2 else "0") for minute in range(5)
        ]
    ib.now_ns = OPEN + 5 * MINUTE
    return IbkrBars(ib.line, lambda: ib.now_ns)


def places(found: "list[LiveBar]") -> list[tuple[str, int]]:
    return sorted((bar.symbol, (bar.end_ns - OPEN) // MINUTE) for bar in found)


def test_minutes_when_asked_then_those_of_the_span_that_traded_come(ib: DataBench) -> None:
    found = list(past(ib).bars(NAMES, OPEN + MINUTE, OPEN + 4 * MINUTE))
    assert places(found) == [("AAPL", 2), ("AAPL", 4), ("SPY", 2), ("SPY", 4)]
    assert found[0].close_micros == dollars(10)
    assert found[0].volume_nanos == 100 * SECOND
    assert sorted(ib.gateway.history_asked) == [("AAPL", "1 min", "360 S"), ("SPY", "1 min", "360 S")]


@pytest.mark.parametrize("refusal", [data.NO_DATA, data.NOT_SUBSCRIBED, (200, "No security definition has been found")])
def test_minutes_when_a_name_has_none_then_the_others_do_not_wait_for_it(
    ib: DataBench, refusal: tuple[int, str]
) -> None:
    source = past(ib)
    ib.gateway.data_refusals[20, "SPY"] = refusal
    assert places(list(source.bars(NAMES, OPEN, OPEN + MINUTE))) == [("AAPL", 1)]
    is_without_trades = refusal == data.NO_DATA
    assert ("SPY" in ib.line.unusable) is not is_without_trades, "what is measured of part of a day is wrong"


def test_minutes_when_those_of_a_name_fail_three_times_then_it_is_left_out(ib: DataBench) -> None:
    source = past(ib)
    ib.gateway.data_refusals[20, "SPY"] = (162, "Historical Market Data Service error message:something else")
    for _ in range(2):
        with pytest.raises(BarsError, match="something else"):
            source.bars(NAMES, OPEN, OPEN + MINUTE)
        ib.skipped_ns += 16 * SECOND
        ib.gateway.has_pacing = False
    assert places(list(source.bars(NAMES, OPEN, OPEN + MINUTE))) == [("AAPL", 1)]
    assert "something else" in ib.line.unusable["SPY"]


def test_minutes_when_another_session_has_the_data_then_there_is_no_half_answer(ib: DataBench) -> None:
    source = past(ib)
    ib.gateway.data_refusals[20, "SPY"] = data.OTHER_ADDRESS
    with pytest.raises(BarsError, match="another session of this user gets the market data; log out of it"):
        source.bars(NAMES, OPEN, OPEN + MINUTE)


def test_minutes_when_the_same_is_asked_for_again_then_it_waits_for_fifteen_seconds(ib: DataBench) -> None:
    source = past(ib)
    source.bars(["SPY"], OPEN, OPEN + MINUTE)
    ib.gateway.has_pacing = False
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(len(source.bars(["SPY"], OPEN, OPEN + MINUTE))))
    asking.start()
    asking.join(0.3)
    assert (answers, len(ib.gateway.history_asked)) == ([], 1)
    ib.skipped_ns += 15 * SECOND
    asking.join(10)
    assert (answers, len(ib.gateway.history_asked)) == ([1], 2)


def test_minutes_when_the_gateway_counts_otherwise_then_nothing_is_asked_for_a_minute(ib: DataBench) -> None:
    source = past(ib)
    ib.gateway.data_refusals[20, "SPY"] = data.PACING
    with pytest.raises(BarsError, match="was asked too often"):
        source.bars(["SPY"], OPEN, OPEN + MINUTE)
    assert ib.line.history.wait_ns("AAPL", "anything", ib.boot_ns()) > 55 * SECOND


def test_minutes_when_the_line_is_lost_while_they_wait_then_it_is_said(ib: DataBench) -> None:
    source = past(ib)
    source.bars(["SPY"], OPEN, OPEN + MINUTE)
    errors: list[str] = []

    def ask() -> None:
        try:
            source.bars(["SPY"], OPEN, OPEN + MINUTE)
        except BarsError as error:
            errors.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(0.2)
    ib.gateway.drop()
    until(lambda: errors, "error")
    asking.join(5)
    assert "the connection was lost" in errors[0]


def test_minutes_when_nobody_listens_then_it_is_said(ib: DataBench) -> None:
    ib.open(answer_s=0.2)
    ib.gateway.stop()
    with pytest.raises(BarsError, match="Interactive Brokers is not there: no connection"):
        past(ib).bars(["SPY"], OPEN, OPEN + MINUTE)


def test_line_when_it_was_closed_then_nothing_is_asked(ib: DataBench) -> None:
    source = past(ib)
    ib.line.close()
    with pytest.raises(BarsError, match="was closed"):
        source.bars(["SPY"], OPEN, OPEN + MINUTE)


def test_line_when_it_is_closed_while_one_waits_then_it_is_said(ib: DataBench) -> None:
    began, errors = threading.Event(), []

    async def wait() -> None:
        began.set()
        await asyncio.Event().wait()

    def ask() -> None:
        with pytest.raises(IbkrDataError) as told:
            ib.line.run(wait, 60)
        errors.append(str(told.value))

    asking = threading.Thread(target=ask)
    asking.start()
    assert began.wait(10)
    ib.line.close()
    asking.join(10)
    assert errors == ["the line to the gateway was closed"]
