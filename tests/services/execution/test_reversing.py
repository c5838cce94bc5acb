"""An execution that the broker takes back or corrects: the books, the position and the stops follow, and it is said."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers import reports as r
from services.execution.brokers.paper import PaperBroker
from services.execution.drop_copy import EVERY_NS

OpenBroker = Callable[..., PaperBroker]


def fill_of(desk: Any, key: str, execution_id: str, shares: int, price: float) -> r.BrokerFill:
    return r.BrokerFill(
        ts_event=desk.now,
        ts_init=desk.now,
        execution_id=execution_id,
        client_order_id=key,
        broker_order_id=f"B-{key}",
        qty_nanos=shares * m.NANOS,
        price_micros=round(price * m.MICROS),
        commission_micros=0,
        broker="FAKE",
    )


def take_back(desk: Any, execution_id: str, corrected: r.BrokerFill | None = None, **more: Any) -> list[m.Message]:
    values = {"is_correction": corrected is not None, "detail": "the exchange says so"} | more
    return desk.give(
        r.BrokerReversal(ts_event=desk.now, ts_init=desk.now, execution_id=execution_id, corrected=corrected, **values)
    )


@pytest.fixture
def desk(new_desk: Callable[[], Any]) -> Any:
    """Return a core with 100 SPY at 100 under a stop, of an account with a hundred million dollars."""
    desk = new_desk()
    account = {"session_date": "2013-10-08", "broker": "FAKE", "symbols": (), "qtys_nanos": ()}
    cash = 100_000_000 * m.MICROS
    desk.give(r.BrokerAccount(ts_event=0, ts_init=0, cash_micros=cash, buying_power_micros=cash, **account))
    return desk.with_position()


def test_f47_entry_when_taken_back_then_its_stop_is_cancelled_and_nothing_is_held_or_left_open(
    desk: Any, kit: Any
) -> None:
    stop = kit.order_id("stop")
    events = take_back(desk, "X-1")
    assert kit.names(events) == ["FillReversed", "CloseIntent", "CancelRequested"]
    back = events[0]
    assert (back.execution_id, back.side, back.symbol, back.qty_nanos) == ("X-1", "BUY", "SPY", 100 * m.NANOS)
    assert desk.state.intent(kit.INTENT).held_nanos == 0
    assert kit.names(desk.cancelled(stop)) == ["OrderCancelled", "IntentClosed"]
    assert not any(isinstance(event, m.HaltRaised) for event in desk.events)


def test_f47_part_of_an_entry_when_taken_back_then_what_is_really_held_is_sold(
    new_desk: Callable[[], Any], kit: Any
) -> None:
    desk = new_desk()
    desk.give(kit.submit())
    entry = kit.order_id("entry")
    desk.accepted(entry)
    desk.filled(entry, 60, "X-1")
    desk.filled(entry, 40, "X-2")
    for attempt in (1, 2):
        desk.accepted(kit.order_id("stop", attempt))
    take_back(desk, "X-2")
    for attempt in (1, 2):
        events = desk.cancelled(kit.order_id("stop", attempt))
    exit_order = next(event for event in events if isinstance(event, m.OrderPrepared))
    assert (exit_order.leg, exit_order.side, exit_order.qty_nanos) == ("exit", "SELL", 60 * m.NANOS)


def test_f47_sale_when_taken_back_then_the_position_is_there_again_and_is_sold_anew(desk: Any, kit: Any) -> None:
    desk.filled(kit.order_id("stop"), 100, "X-2", price=98)
    assert desk.state.open_intent(kit.INTENT) is None
    events = take_back(desk, "X-2")
    assert kit.names(events) == ["FillReversed", "CloseIntent", "OrderPrepared:exit"]
    assert events[-1].qty_nanos == 100 * m.NANOS


def test_f47_price_when_corrected_then_the_right_execution_takes_its_place_and_the_stop_stays(
    desk: Any, kit: Any
) -> None:
    entry = kit.order_id("entry")
    events = take_back(desk, "X-1", fill_of(desk, entry, "X-1c", 100, 100.25))
    assert kit.names(events) == ["FillReversed", "OrderFilled:entry"]
    assert events[0].is_correction
    assert events[1].cumulative_qty_nanos == 100 * m.NANOS
    assert desk.order(entry).average_micros == 100_250_000
    assert desk.order(kit.order_id("stop")).is_resting
    assert not any(isinstance(event, m.HaltRaised) for event in desk.events)


def test_f47_reversal_when_told_again_then_changes_nothing(desk: Any) -> None:
    take_back(desk, "X-1")
    assert take_back(desk, "X-1") == []
    assert take_back(desk, "somebody-elses") == []


def test_f47_execution_when_the_broker_lists_it_still_after_it_took_it_back_then_is_not_booked_again(
    desk: Any, kit: Any
) -> None:
    take_back(desk, "X-1")
    assert desk.filled(kit.order_id("entry"), 100, "X-1") == []


def test_f47_reversal_when_larger_than_a_thousandth_of_the_cash_then_halts_in_words(
    new_desk: Callable[[], Any],
) -> None:
    desk = new_desk().with_position()
    halts = [event for event in take_back(desk, "X-1") if isinstance(event, m.HaltRaised)]
    assert "the broker took back BUY 100 SPY at 100.00 (X-1)" in halts[0].detail


def test_f47_entry_when_taken_back_after_it_was_sold_then_halts_for_what_is_sold_too_much(desk: Any, kit: Any) -> None:
    desk.filled(kit.order_id("stop"), 100, "X-2", price=98)
    halts = [event for event in take_back(desk, "X-1") if isinstance(event, m.HaltRaised)]
    assert "100 more are sold than held, buy them back by hand" in halts[0].detail


def test_f47_correction_when_the_broker_does_not_list_what_takes_its_place_then_halts(desk: Any) -> None:
    halts = [e for e in take_back(desk, "X-1", is_correction=True) if isinstance(e, m.HaltRaised)]
    assert "does not list what takes its place" in halts[0].detail


def test_f47_fill_when_taken_back_the_day_after_its_intent_was_over_then_is_booked_and_halts(
    desk: Any, kit: Any
) -> None:
    desk.filled(kit.order_id("stop"), 100, "X-2", price=98)
    desk.give(a_plan("2013-10-09"))
    events = take_back(desk, "X-2")
    assert kit.names(events)[:2] == ["FillReversed", "HaltRaised"]
    assert "of an earlier day" in events[1].detail


def test_f47_what_was_taken_back_when_shown_then_the_page_says_it(desk: Any) -> None:
    take_back(desk, "X-1")
    (snapshot,) = desk.core.snapshot(desk.state, desk.now)
    assert snapshot.warnings == "the broker took back BUY 100 SPY at 100.00 (X-1): the exchange says so"


def test_f47_broker_when_it_says_what_it_took_back_then_the_next_whole_comparison_books_it_once_and_agrees(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    kit.enter(rig)
    rig.idle_for(5, every=1)
    rig.broker.taken_back = [
        r.BrokerReversal(ts_event=1, ts_init=1, execution_id="PX-000001", is_correction=False, detail="a bust")
    ]
    rig.idle_for(EVERY_NS / kit.SECOND + 5, every=1)
    assert [e.execution_id for e in rig.journal if isinstance(e, m.FillReversed)] == ["PX-000001"]
    rig.idle_for(2 * EVERY_NS / kit.SECOND, every=1)
    assert sum(isinstance(event, m.FillReversed) for event in rig.journal) == 1
    again = kit.Rig(kit.Unreliable(open_broker()), journal=rig.journal)
    assert again.state.intent(kit.INTENT).held_nanos == rig.state.intent(kit.INTENT).held_nanos == 0
