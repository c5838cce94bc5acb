"""An exit that the strategy asked for: what a time exit does, at once, once, and only ever less."""

from itertools import product
from typing import Any

import pytest

from bus import messages as m
from bus.messages import NANOS
from services.execution.brokers import reports as r


def close(kit: Any, intent_id: str = "") -> m.CloseIntent:
    return m.CloseIntent(
        ts_event=kit.OPEN_NS,
        ts_init=kit.OPEN_NS,
        intent_id=intent_id or kit.INTENT,
        session_date="2013-10-08",
        reason="mid: back at VWAP",
    )


def test_close_when_a_position_is_held_then_the_stop_goes_first_and_it_is_sold(desk: Any, kit: Any) -> None:
    desk.with_position()
    noted, cancel = desk.give(close(kit))
    assert noted == close(kit)
    assert (type(cancel), cancel.detail) == (m.CancelRequested, "mid: back at VWAP")
    _, sale = desk.cancelled(kit.order_id("stop"))
    assert (sale.leg, sale.side, sale.qty_nanos, sale.reason) == ("exit", "SELL", 100 * NANOS, "mid: back at VWAP")
    desk.accepted(sale.client_order_id)
    assert kit.names(desk.filled(sale.client_order_id, 100, "X-2")) == ["OrderFilled:exit", "IntentClosed"]


def test_close_when_it_comes_again_or_after_a_time_exit_then_nothing_more_happens(desk: Any, kit: Any) -> None:
    desk.with_position()
    desk.give(close(kit))
    assert desk.give(close(kit)) == []
    # The planned exit adds nothing to one that has begun.
    assert desk.at(3600) == []
    desk.cancelled(kit.order_id("stop"))
    desk.filled(kit.order_id("exit"), 100, "X-2")
    assert desk.give(close(kit)) == []


def test_close_when_the_intent_is_not_known_then_nothing_happens(desk: Any, kit: Any) -> None:
    desk.with_position()
    assert desk.give(close(kit, "2013-10-08:mid:QQQ:BULLISH")) == []


def test_close_when_the_entry_is_not_filled_then_it_is_cancelled_and_nothing_is_sold(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit())
    desk.accepted(entry)
    assert kit.names(desk.give(close(kit))) == ["CloseIntent", "CancelRequested"]
    assert kit.names(desk.cancelled(entry)) == ["OrderCancelled", "IntentClosed"]


def test_close_when_the_entry_was_not_sent_yet_then_it_expires(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    assert kit.names(desk.give(close(kit))) == ["CloseIntent", "OrderExpired", "IntentClosed"]


def test_close_when_the_entry_is_unknown_then_it_waits_for_the_answer(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit())
    desk.says(r.BrokerUnknown, entry)
    assert kit.names(desk.give(close(kit))) == ["CloseIntent"]
    desk.accepted(entry)
    assert kit.names(desk.at(30)) == ["CancelRequested"]


def test_close_when_half_of_the_entry_is_filled_then_that_half_is_sold(desk: Any, kit: Any) -> None:
    entry, stop = kit.order_id("entry"), kit.order_id("stop")
    desk.give(kit.submit())
    desk.accepted(entry)
    desk.filled(entry, 40, "X-1")
    desk.accepted(stop)
    assert kit.names(desk.give(close(kit))) == ["CloseIntent", "CancelRequested", "CancelRequested"]
    desk.cancelled(entry, 40)
    sale = desk.cancelled(stop)[-1]
    assert (sale.leg, sale.qty_nanos) == ("exit", 40 * NANOS)


@pytest.mark.parametrize("stopped_by", ["halt", "disarm"])
def test_close_when_halted_or_disarmed_then_it_sells_as_a_time_exit_does(desk: Any, kit: Any, stopped_by: str) -> None:
    desk.with_position()
    desk.give(kit.halt() if stopped_by == "halt" else kit.disarm())
    assert kit.names(desk.give(close(kit))) == ["CloseIntent", "CancelRequested"]
    assert kit.names(desk.cancelled(kit.order_id("stop"))) == ["OrderCancelled", "OrderPrepared:exit"]


def test_close_when_the_process_dies_after_it_then_the_journal_goes_on_with_it(desk: Any, kit: Any) -> None:
    desk.with_position()
    desk.give(close(kit))
    assert desk.state.intent(kit.INTENT).exit_reason == "mid: back at VWAP"
    again = desk.core.initial()
    for event in desk.events:
        again = desk.core.evolve(again, event)
    assert again.intent(kit.INTENT) == desk.state.intent(kit.INTENT)


@pytest.mark.parametrize("first", ["close", "time", "fill", "stop"])
def test_close_when_it_meets_fills_and_time_in_any_order_then_never_more_is_sold_than_is_held(
    new_desk: Any, kit: Any, first: str
) -> None:
    for rest in product(["close", "time", "fill", "stop"], repeat=3):
        desk = new_desk().with_position()
        for number, moment in enumerate((first, *rest)):
            _happens(desk, kit, moment, number)
            intent = desk.state.intent(kit.INTENT)
            assert intent.held_nanos >= 0
            # What is asked for beside the stop never comes while the stop may still sell.
            working = sum(o.prepared.qty_nanos - o.filled_nanos for o in intent.open_orders)
            assert working <= intent.held_nanos


def _happens(desk: Any, kit: Any, moment: str, number: int) -> None:
    stop = desk.order(kit.order_id("stop"))
    if moment == "close":
        desk.give(close(kit))
    elif moment == "time":
        desk.at(3600 + number)
    elif moment == "fill" and stop.is_open:
        desk.filled(kit.order_id("stop"), 10, f"X-{number + 2}")
    elif moment == "stop" and stop.is_open:
        desk.cancelled(kit.order_id("stop"), stop.filled_nanos // NANOS)
