"""The account's executions at Alpaca: none is lost and none changes, whatever order and moment they are listed in."""

from collections.abc import Iterator
from typing import Any

import pytest
from alpaca_bench import NOW, SECOND, Bench, opened_bench
from alpaca_words import local_id
from exchange import MICROS, NANOS, Ticket

from services.execution.brokers import alpaca_history as history
from services.execution.brokers import reports as r
from services.execution.brokers.alpaca import AlpacaBroker
from services.execution.brokers.interface import RetryableBrokerError

FILLS = "/v2/account/activities/FILL"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with opened_bench() as one:
        yield one


def rests(bench: Bench, key: str, shares: int = 100) -> str:
    """Place an order that rests, and return the exchange's id of it."""
    bench.submit(key, shares=shares, order_type="LIMIT", limit_micros=50 * MICROS)
    order = bench.exchange.order_of(key)
    assert order is not None
    return order.order_id


def trade(bench: Bench, order_id: str, shares: int, cents: int = 10_000) -> Any:
    return bench.exchange.fill(order_id, shares * NANOS, cents * MICROS // 100)


def shares_of(fills: list[Any]) -> list[int]:
    return [fill.qty_nanos // NANOS for fill in fills]


def in_one_millisecond(bench: Bench, order_id: str, count: int) -> list[str]:
    """Trade a share so many times in one millisecond; return the ids as Alpaca orders them, which is by no time."""
    bench.house_clock.stands_at = bench.house_clock()
    made = [trade(bench, order_id, 1) for _ in range(count)]
    bench.house_clock.stands_at = 0
    return [local_id(one.ts_ns, one.execution_id) for one in made]


def test_executions_when_several_are_of_one_millisecond_then_all_come_and_are_several(bench: Bench) -> None:
    order = rests(bench, "tb1-a")
    ids = in_one_millisecond(bench, order, 8)
    assert ids != sorted(ids), "the case is only interesting when the ids are not in the order of time"
    fills = bench.after()
    assert [fill.execution_id for fill in fills] == sorted(ids)
    assert len({(fill.qty_nanos, fill.price_micros) for fill in fills}) == 1
    assert bench.after(max(ids)) == []


def test_an_execution_when_it_is_listed_late_and_stands_before_the_cursor_then_comes_once(bench: Bench) -> None:
    order = rests(bench, "tb1-a")
    bench.after()
    ids = in_one_millisecond(bench, order, 6)
    # The one that stands first is listed last.
    late = ids.index(min(ids)) + 1
    bench.house.hides_executions = {late}
    cursor = bench.after()[-1].execution_id
    assert bench.after(cursor) == []
    bench.house.hides_executions.clear()
    [fill] = bench.after(cursor)
    assert fill.execution_id == min(ids)
    # It was reported, so it is booked: it must not look like news for ever, or the two sides never agree.
    assert bench.after(cursor) == []


def test_a_late_execution_when_the_answer_is_lost_then_comes_with_the_next_one(bench: Bench) -> None:
    order = rests(bench, "tb1-a")
    bench.after()
    ids = in_one_millisecond(bench, order, 3)
    bench.house.hides_executions = {ids.index(min(ids)) + 1}
    cursor = bench.after()[-1].execution_id
    bench.house.hides_executions.clear()
    bench.line.spoil("GET", FILLS, "truncated")
    with pytest.raises(RetryableBrokerError):
        bench.after(cursor)
    assert [fill.execution_id for fill in bench.after(cursor)] == [min(ids)]


def test_an_execution_when_it_was_late_and_the_process_died_then_comes_with_the_look_up(bench: Bench) -> None:
    order = rests(bench, "tb1-a")
    ids = in_one_millisecond(bench, order, 3)
    cursor = max(ids)
    bench.restart()
    # By the journal only the last one is booked, and no cursor asks for the others.
    assert bench.after(cursor) == []
    bench.lookup("tb1-a")
    assert [fill.execution_id for fill in bench.after(cursor)] == sorted(ids)
    assert bench.after(cursor) == []


def test_an_order_when_its_executions_are_listed_late_then_it_does_not_end_before_them(bench: Bench) -> None:
    order = rests(bench, "tb1-a")
    number = trade(bench, order, 30).number
    bench.exchange.cancel(order)
    bench.house.hides_executions = {number}
    for ask in (bench.lookup, lambda key: bench.broker.cancel(key, NOW)):
        with pytest.raises(RetryableBrokerError, match="lists executions of 0"):
            ask("tb1-a")
    bench.house.hides_executions.clear()
    accepted, fill, end = bench.lookup("tb1-a")
    assert isinstance(accepted, r.BrokerAccepted)
    assert isinstance(fill, r.BrokerFill)
    assert isinstance(end, r.BrokerCancelled)
    assert end.filled_qty_nanos == fill.qty_nanos == 30 * NANOS


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_executions_when_they_fill_pages_then_all_come_after_a_restart_too(bench: Bench, count: int) -> None:
    order = rests(bench, "tb1-a", count)
    for _ in range(count):
        trade(bench, order, 1)
    fills = bench.after()
    assert len({fill.execution_id for fill in fills}) == count
    assert fills == sorted(fills, key=lambda fill: fill.ts_event)
    assert {fill.client_order_id for fill in fills} == {"tb1-a"}
    bench.restart()
    assert bench.after(fills[40].execution_id) == fills[41:]


def test_executions_when_asked_from_an_earlier_one_after_a_restart_then_none_is_missing(bench: Bench) -> None:
    order = rests(bench, "tb1-a", 340)
    for _ in range(340):
        trade(bench, order, 1)
    fills = bench.after()
    bench.restart()
    assert bench.after(fills[-1].execution_id) == []
    # The whole session is compared with the journal now and then: an answer with a hole would look like a bust trade.
    for begin in (300, 200, 10):
        assert bench.after(fills[begin].execution_id) == fills[begin + 1 :]
    assert bench.after() == fills
    assert bench.after(fills[-1].execution_id) == []
    trade(bench, order, 1)
    assert shares_of(bench.after(fills[-1].execution_id)) == [1]
    assert len(bench.after(fills[200].execution_id)) == 140


def test_a_long_history_when_the_line_breaks_in_it_then_the_next_call_goes_on(bench: Bench) -> None:
    order = rests(bench, "tb1-a", 350)
    for _ in range(350):
        trade(bench, order, 1)
    for _ in range(3):
        bench.line.spoil("GET", FILLS, "delay", seconds=0.0)
    bench.line.spoil("GET", FILLS, "status_after", status=504)
    with pytest.raises(RetryableBrokerError):
        bench.after()
    trade(bench, order, 1)
    before = bench.line.count("GET", FILLS)
    assert len(bench.after()) == 351
    # One more page of the old ones, and what is new since: the newest pages are not read once more from the beginning.
    assert bench.line.count("GET", FILLS) - before <= 6


def test_executions_of_somebody_else_then_are_told_and_are_not_ours(bench: Bench) -> None:
    ours = rests(bench, "tb1-a")
    theirs = [
        bench.exchange.place(Ticket(f"manual-{n}", "SPY", "BUY", NANOS, "LIMIT", limit_micros=MICROS)).order_id
        for n in range(6)
    ]
    for order in (ours, *theirs):
        trade(bench, order, 1)
    bench.restart()
    names = [fill.client_order_id for fill in bench.after()]
    assert names == ["tb1-a", *(f"manual-{n}" for n in range(6))]
    # Seven orders were unknown; a list told all of them.
    assert bench.line.count("GET", "/v2/orders") == 1
    assert bench.line.count("GET", "/v2/orders/.*") == 0


def test_an_execution_when_its_order_is_not_found_any_more_then_is_somebody_elses(bench: Bench) -> None:
    order = rests(bench, "manual-1")
    trade(bench, order, 1)
    bench.restart()
    gone = b'{"code": 40410000, "message": "order not found for it"}'
    bench.line.spoil("GET", "/v2/orders/.*", "status_before", status=404, body=gone)
    [fill] = bench.after()
    assert fill.client_order_id.startswith("external-")


def test_executions_when_requests_are_short_then_an_answer_a_moment_old_will_do(bench: Bench) -> None:
    order = rests(bench, "tb1-a")
    cursor = ""
    for _ in range(90):
        bench.broker.open_orders(NOW)
    bench.after(cursor)
    asked = bench.line.count("GET", FILLS)
    trade(bench, order, 10)
    assert bench.after(cursor) == []
    assert bench.line.count("GET", FILLS) == asked
    # What was looked up is never put off.
    bench.lookup("tb1-a")
    assert shares_of(bench.after(cursor)) == [10]
    trade(bench, order, 20)
    bench.passed_ns += 3 * SECOND
    assert shares_of(bench.after(cursor)) == [10, 20]


def test_a_cursor_when_it_is_of_another_broker_then_nothing_is_lost(bench: Bench) -> None:
    order = rests(bench, "tb1-a")
    trade(bench, order, 10)
    assert shares_of(bench.after("PX-000017")) == [10]


def test_the_memory_of_executions_when_it_is_full_then_forgets_only_what_was_passed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_MAX", 20)
    order = rests(bench, "tb1-a")
    for minutes in range(60, 30, -1):
        bench.house_clock.stands_at = NOW - minutes * 60 * SECOND
        trade(bench, order, 1)
    fills = bench.after()
    assert len(fills) == 30
    for _ in range(3):
        assert bench.after(fills[24].execution_id) == fills[25:]
    assert len(bench.broker._history._seen) < 20
    assert bench.after(fills[3].execution_id) == fills[4:]
    assert bench.after() == fills


@pytest.mark.parametrize(
    "body",
    [
        b'[{"id": "a", "order_id": "b", "qty": "0", "price": "1", "transaction_time": "2026-01-05T15:00:00Z"}]',
        b'[{"id": "a", "order_id": "b", "qty": "NaN", "price": "1", "transaction_time": "2026-01-05T15:00:00Z"}]',
        b'[{"id": "a", "order_id": "b", "qty": "1", "price": "-1", "transaction_time": "2026-01-05T15:00:00Z"}]',
        b'[{"id": "a", "order_id": "b", "qty": "1", "price": "1", "transaction_time": "soon"}]',
        b'[{"id": "a"}]',
        b"{}",
    ],
)
def test_executions_when_they_make_no_sense_then_none_is_believed(bench: Bench, body: bytes) -> None:
    bench.line.spoil("GET", FILLS, "status_before", status=200, body=body)
    with pytest.raises(RetryableBrokerError):
        bench.after()


def test_the_stop_of_the_process_when_a_market_order_trades_late_then_the_fill_is_told(bench: Bench) -> None:
    bench.exchange.holds_fills = True
    bench.submit("tb1-a")
    bench.after()
    bench.line.spoil("GET", "/v2/orders", "delay", seconds=0.0)
    bench.exchange.release_fills()
    assert shares_of(list(bench.broker.finish(NOW))) == [10]
    assert list(AlpacaBroker.finish(bench.restart(), NOW)) == []
