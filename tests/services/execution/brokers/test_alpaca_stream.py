"""Alpaca's trade updates are a hint: they say where to look sooner, and losing all of them costs only the wait."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from alpaca_bench import NOW, SECOND, Bench, opened_bench
from exchange import MICROS

from bus import messages as m
from bus.clock import boot_ns
from services.execution.brokers.alpaca_stream import FILL_LOOKS, HINTS_MAX, Hints, Stream

DEADLINE_NS = 20 * SECOND


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("services.execution.brokers.alpaca_stream._BACK_OFF_S", (0.05,))
    with opened_bench() as one:
        one.restart(listens=True)
        until(lambda: one.house.listeners == 1)
        one.broker.hints()
        # What a new stream hints at has been looked for in vain.
        while one.broker.on_quotes(a_batch(), "2026-01-05") or one.broker._hints.take_fill_look():
            one.after()
        yield one


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, looking often, for a while."""
    tick, end = threading.Event(), boot_ns() + DEADLINE_NS
    while not holds():
        assert boot_ns() < end, "it never held"
        tick.wait(0.01)


def heard(bench: Bench) -> list[str]:
    """Return the hints once there are any."""
    got: list[str] = []

    def look() -> bool:
        got.extend(bench.broker.hints())
        return bool(got)

    until(look)
    return got


def rests(bench: Bench, key: str) -> str:
    bench.submit(key, order_type="LIMIT", limit_micros=50 * MICROS)
    order = bench.exchange.order_of(key)
    assert order is not None
    return order.order_id


def a_batch() -> m.QuoteBatch:
    return m.QuoteBatch.of((), ts_event=NOW, ts_init=NOW, step=1)


def test_an_order_when_something_happens_to_it_then_it_is_hinted_at_once_only(bench: Bench) -> None:
    bench.exchange.cancel(rests(bench, "tb1-a"))
    assert set(heard(bench)) == {"tb1-a"}
    until(lambda: not bench.broker.hints())


def test_an_execution_when_it_is_pushed_then_the_next_quotes_make_execution_look(bench: Bench) -> None:
    order = rests(bench, "tb1-a")
    heard(bench)
    assert list(bench.broker.on_quotes(a_batch(), "2026-01-05")) == []
    bench.exchange.fill(order, 1_000_000_000, 100 * MICROS)
    reports: list[object] = []
    until(lambda: reports.extend(bench.broker.on_quotes(a_batch(), "2026-01-05")) or reports)
    assert [report.client_order_id for report in reports] == ["tb1-a"]
    # The pushed price and quantity are nowhere: what is booked is what the list of executions says.
    assert [fill.price_micros for fill in bench.after()] == [100 * MICROS]
    assert list(bench.broker.on_quotes(a_batch(), "2026-01-05")) == []


def test_an_execution_when_it_is_pushed_before_it_is_listed_then_it_is_looked_for_a_few_times(bench: Bench) -> None:
    order = rests(bench, "tb1-a")
    bench.house.hides_executions = {1}
    bench.exchange.fill(order, 1_000_000_000, 100 * MICROS)
    until(lambda: bench.broker.on_quotes(a_batch(), "2026-01-05"))
    assert bench.after() == []
    assert bench.broker.on_quotes(a_batch(), "2026-01-05")
    bench.house.hides_executions.clear()
    assert len(bench.after()) == 1
    assert list(bench.broker.on_quotes(a_batch(), "2026-01-05")) == []
    hints = Hints()
    hints.put("tb1-b", is_fill=True)
    assert [hints.take_fill_look() for _ in range(FILL_LOOKS + 1)] == [True] * FILL_LOOKS + [False]


def test_the_stream_when_it_was_cut_then_everything_open_is_hinted_at(bench: Bench) -> None:
    for key in ("tb1-a", "tb1-b"):
        rests(bench, key)
    bench.house.drops_frames = True
    bench.house.cut_streams()
    until(lambda: bench.house.listeners == 1)
    assert {"tb1-a", "tb1-b"} <= set(heard(bench))


def test_the_stream_when_it_loses_everything_then_the_questions_find_it(bench: Bench) -> None:
    bench.house.drops_frames = True
    order = rests(bench, "tb1-a")
    bench.exchange.fill(order, 1_000_000_000, 100 * MICROS)
    assert len(bench.after()) == 1
    assert list(bench.broker.hints()) == []


def test_the_stream_when_the_keys_are_refused_then_orders_go_on_and_no_secret_is_said(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hints = Hints()
    stream = Stream(("PKCANARY", "canary-secret"), f"ws://127.0.0.1:{bench.line.port}/stream", hints)
    stream.start()
    until(lambda: "refuses the keys" in caplog.text)
    stream.close()
    assert "canary" not in caplog.text.lower()
    assert hints.take() == ([], False)


def test_the_stream_when_nobody_is_there_then_it_tries_again_and_ends_when_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.line.cut()
    stream = Stream(("a", "b"), f"ws://127.0.0.1:{bench.line.port}/stream", Hints())
    stream.start()
    until(lambda: caplog.text.count("tried again") > 2)
    stream.close()
    assert not stream._thread.is_alive()


def test_hints_when_there_are_too_many_then_everything_is_looked_at() -> None:
    hints = Hints()
    for number in range(HINTS_MAX + 1):
        hints.put(f"tb1-{number}", is_fill=False)
    assert hints.take()[1]
    assert hints.take() == ([], False)
    assert not hints.take_fill_look()
