"""Executions that Alpaca took back or corrected, by its list of activity events."""

from collections.abc import Iterator
from dataclasses import replace

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


def corrected_before_its_event(bench: Bench, *, is_first_listed: bool) -> tuple[str, str]:
    """Correct the only execution; the list has the right one already, and the events do not. Return both ids."""
    bench.submit("tb1-a")
    (fill,) = bench.after()
    bench.house.hides_events = True
    right = bench.house.correct(1, 101 * MICROS)
    if is_first_listed:
        bench.house.busted.clear()
    return fill.execution_id, right


@pytest.mark.parametrize("is_first_listed", [True, False])
def test_f47_correction_when_listed_before_its_event_then_is_held_back_until_the_event_tells_it(
    bench: Bench, is_first_listed: bool
) -> None:
    first, right = corrected_before_its_event(bench, is_first_listed=is_first_listed)
    assert bench.after(first) == []
    assert bench.broker.reversals([first], later()) == []
    bench.submit("tb1-b")
    (other,) = bench.after(first)
    assert other.client_order_id == "tb1-b"
    bench.house.hides_events = False
    (back,) = bench.broker.reversals([first], later())
    assert (back.execution_id, back.corrected.execution_id) == (first, right)
    assert right in {fill.execution_id for fill in bench.after(first)}
    assert first not in {fill.execution_id for fill in bench.after()}


def test_f47_correction_when_its_event_never_comes_then_is_told_after_ten_minutes(bench: Bench) -> None:
    first, right = corrected_before_its_event(bench, is_first_listed=True)
    bench.submit("tb1-b")
    (other,) = bench.after(first)
    bench.passed_ns += 599 * SECOND
    assert bench.after(other.execution_id) == []
    bench.passed_ns += 2 * SECOND
    assert [fill.execution_id for fill in bench.after(other.execution_id)] == [right]
    assert bench.after(other.execution_id) == []


def test_f47_correction_when_the_process_was_down_then_the_events_are_read_before_executions_are_told(
    bench: Bench,
) -> None:
    first, right = corrected_before_its_event(bench, is_first_listed=False)
    bench.house.hides_events = False
    bench.restart()
    assert bench.broker.executions_after(first, later()) == []
    (back,) = bench.broker.reversals([first], later())
    assert back.corrected.execution_id == right


def test_f47_fill_when_its_order_was_last_heard_of_before_it_then_is_told_at_once(bench: Bench) -> None:
    bench.quote(10_000, 4)
    bench.submit("tb1-a")
    (part,) = bench.after()
    bench.house.cancel_delay_s = 0
    bench.broker.cancel("tb1-a", NOW)
    # Alpaca filled one more before the cancel, and told of it after it.
    trade = bench.exchange.executions[0]
    with bench.exchange.lock:
        bench.exchange.orders[trade.order_id].filled_nanos += trade.qty_nanos
        bench.exchange.executions.append(replace(trade, number=2, execution_id=f"{trade.execution_id}-late"))
    (_, late) = bench.after(part.execution_id)
    assert late.execution_id != part.execution_id


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
