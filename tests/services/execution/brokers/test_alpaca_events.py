"""Executions that Alpaca took back or corrected, by its list of activity events."""

from collections.abc import Iterator

import pytest
from alpaca_bench import NOW, SECOND, Bench, opened_bench
from exchange import MICROS, NANOS

from bus.clock import utc_ns


def later() -> int:
    """Return a time after all that has happened, for a filter of whole seconds."""
    return utc_ns() + 2 * SECOND


@pytest.fixture
def bench() -> Iterator[Bench]:
    with opened_bench() as made:
        yield made


def test_f47_execution_when_busted_then_is_told_with_its_own_id_and_not_listed_any_more(bench: Bench) -> None:
    bench.submit("tb1-a")
    bench.submit("tb1-b")
    first, second = (fill.execution_id for fill in bench.after())
    bench.house.bust(1)
    (back,) = bench.broker.reversals([first, second], later())
    assert (back.execution_id, back.is_correction, back.corrected) == (first, False, None)
    assert "trade_bust" in back.detail
    assert [fill.execution_id for fill in bench.after()] == [second]
    assert bench.broker.reversals([second], later()) == []


def test_f47_execution_when_corrected_then_the_one_in_its_place_is_told_with_it(bench: Bench) -> None:
    bench.submit("tb1-a")
    (fill,) = bench.after()
    right = bench.house.correct(1, 101 * MICROS)
    (back,) = bench.broker.reversals([fill.execution_id], later())
    assert back.is_correction
    assert (back.corrected.execution_id, back.corrected.price_micros) == (right, 101 * MICROS)
    assert (back.corrected.client_order_id, back.corrected.qty_nanos) == ("tb1-a", 10 * NANOS)


def test_f47_correction_when_not_listed_yet_then_waits_a_minute_and_is_told_without(bench: Bench) -> None:
    bench.submit("tb1-a")
    (fill,) = bench.after()
    bench.house.correct(1, 101 * MICROS)
    bench.house.hides_executions.add(2)
    assert bench.broker.reversals([fill.execution_id], later()) == []
    bench.passed_ns += 61 * SECOND
    (back,) = bench.broker.reversals([fill.execution_id], later())
    assert (back.is_correction, back.corrected) == (True, None)


def test_f47_order_when_its_execution_was_busted_and_it_is_over_then_its_look_up_adds_up(bench: Bench) -> None:
    bench.quote(10_000, 4)
    bench.submit("tb1-a")
    (fill,) = bench.after()
    bench.house.bust(1)
    bench.broker.reversals([fill.execution_id], later())
    bench.broker.cancel("tb1-a", NOW)
    assert [type(report).__name__ for report in bench.lookup("tb1-a")] == ["BrokerAccepted", "BrokerCancelled"]


def test_f47_account_when_it_has_no_list_of_events_then_trading_goes_on_and_it_is_asked_three_times(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.house.tells_events = False
    bench.submit("tb1-a")
    (fill,) = bench.after()
    for _ in range(5):
        assert bench.broker.reversals([fill.execution_id], later()) == []
    assert bench.line.count("GET", "/v2beta1/events/activities") == 3
    assert "Alpaca's list of activity events was not read (3)" in caplog.text


def test_f47_list_when_it_cannot_be_read_then_the_next_one_counts(bench: Bench) -> None:
    bench.submit("tb1-a")
    (fill,) = bench.after()
    bench.house.bust(1)
    bench.line.spoil("GET", "/v2beta1/events/activities", "status_before", status=200, body=b"data: {half")
    assert bench.broker.reversals([fill.execution_id], later()) == []
    assert len(bench.broker.reversals([fill.execution_id], later())) == 1
