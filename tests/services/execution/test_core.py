"""Playbooks for the decider: messages in, events out."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from bus import messages as m
from bus.codec import FRAME_BYTES_MAX, encode_message
from bus.testing import a_plan
from services.execution.brokers import reports as r
from services.execution.orders import OrderState

NANOS = m.NANOS


def test_submit_when_armed_then_prepares_one_entry(desk: Any, kit: Any) -> None:
    [entry] = desk.give(kit.submit())
    assert (entry.leg, entry.attempt, entry.side, entry.qty_nanos) == ("entry", 1, "BUY", 100 * NANOS)
    assert entry.client_order_id == kit.order_id("entry")


def test_submit_when_repeated_then_nothing_follows_ever(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.says(r.OrderNotSent, kit.order_id("entry"))
    assert desk.give(kit.submit()) == []
    desk.give(a_plan("2013-10-09"))
    assert desk.give(kit.submit()) == []


@pytest.mark.parametrize(
    ("prelude", "words"),
    [
        (lambda kit: [kit.arm()], "no session plan"),
        (lambda kit: [a_plan()], "disarmed"),
        (lambda kit: [a_plan(), kit.arm(), kit.disarm()], "disarmed"),
        (lambda kit: [a_plan(), kit.arm(), kit.halt()], "halted"),
        (lambda kit: [a_plan(), kit.arm(), kit.kill()], "kill switch"),
        (lambda kit: [a_plan(), kit.arm(), kit.kill(), kit.arm(9)], "kill switch"),
        (lambda kit: [a_plan("2013-10-09"), kit.arm()], "no session plan"),
    ],
)
def test_submit_when_entries_are_stopped_then_expires_with_the_reason(
    bare: Any, kit: Any, prelude: Callable[[Any], list[m.Message]], words: str
) -> None:
    bare.give(*prelude(kit))
    events = bare.give(kit.submit())
    assert kit.names(events) == ["OrderPrepared:entry", "OrderExpired", "IntentClosed"]
    assert words in events[1].detail


@pytest.mark.parametrize(
    "changes",
    [{"expires_ns": 1}, {"exit_at_ns": 1}, {"cancel_at_ns": 1}, {"side": "SELL"}, {"qty_nanos": 0}],
)
def test_submit_when_too_late_or_not_a_purchase_then_expires(desk: Any, kit: Any, changes: dict[str, Any]) -> None:
    events = desk.give(kit.submit(**changes))
    assert kit.names(events) == ["OrderPrepared:entry", "OrderExpired", "IntentClosed"]


def test_submit_when_after_flatten_then_expires(desk: Any, kit: Any) -> None:
    desk.now = a_plan().flatten_ns
    late = dict.fromkeys(("expires_ns", "cancel_at_ns", "exit_at_ns"), desk.now + 10**12)
    assert kit.names(desk.give(kit.submit(**late)))[1] == "OrderExpired"


def test_fill_when_partial_then_each_part_gets_a_stop_of_its_size(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit())
    desk.accepted(entry)
    first = desk.filled(entry, 30, "X-1", price=50)
    second = desk.filled(entry, 30, "X-2", price=50)
    third = desk.filled(entry, 40, "X-3", price=51)
    stops = [events[1] for events in (first, second, third)]
    assert [s.qty_nanos // NANOS for s in stops] == [30, 30, 40]
    assert [s.attempt for s in stops] == [1, 2, 3]
    assert len({s.client_order_id for s in stops}) == 3
    assert {(s.leg, s.side, s.order_type, s.trail_bps) for s in stops} == {("stop", "SELL", "TRAILING_STOP", 200)}
    assert stops[0].stop_micros == 49 * m.MICROS
    assert [e[0].cumulative_qty_nanos // NANOS for e in (first, second, third)] == [30, 60, 100]
    assert desk.order(entry).state is OrderState.FILLED


def test_fill_when_reported_twice_then_booked_once(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit())
    desk.accepted(entry)
    desk.filled(entry, 30, "X-1")
    assert desk.filled(entry, 30, "X-1") == []


def test_intent_when_its_stop_fills_then_closes(desk: Any, kit: Any) -> None:
    desk.with_position()
    events = desk.filled(kit.order_id("stop"), 100, "X-2", price=98)
    assert kit.names(events) == ["OrderFilled:stop", "IntentClosed"]


def test_intent_when_entry_is_rejected_then_closes(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    events = desk.says(r.BrokerRejected, kit.order_id("entry"))
    assert kit.names(events) == ["OrderRejected", "IntentClosed"]


def test_entry_when_its_timeout_passes_then_the_rest_is_cancelled_once(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit())
    desk.accepted(entry)
    desk.filled(entry, 30, "X-1")
    assert desk.at(119) == []
    assert kit.names(desk.at(120)) == ["CancelRequested"]
    assert desk.at(121) == []
    assert kit.names(desk.cancelled(entry, 30)) == ["OrderCancelled"]
    assert desk.state.intent(kit.INTENT).held_nanos == 30 * NANOS


def test_exit_when_time_comes_then_cancels_first_and_sells_after_the_confirmation(desk: Any, kit: Any) -> None:
    desk.with_position()
    assert desk.at(3599) == []
    [cancel] = desk.at(3600)
    assert isinstance(cancel, m.CancelRequested)
    assert "time exit" in cancel.detail
    assert desk.at(3601) == []
    cancelled, sale = desk.cancelled(kit.order_id("stop"))
    assert (sale.leg, sale.side, sale.order_type, sale.qty_nanos) == ("exit", "SELL", "MARKET", 100 * NANOS)
    assert "time exit" in sale.reason
    desk.accepted(sale.client_order_id)
    assert desk.at(3615) == []
    assert kit.names(desk.filled(sale.client_order_id, 100, "X-2")) == ["OrderFilled:exit", "IntentClosed"]
    assert isinstance(cancelled, m.OrderCancelled)


def test_exit_when_session_ends_then_the_reason_says_so(desk: Any, kit: Any) -> None:
    desk.give(kit.submit(exit_at_ns=kit.CLOSE_NS))
    desk.accepted(kit.order_id("entry"))
    desk.filled(kit.order_id("entry"), 100, "X-1")
    desk.accepted(kit.order_id("stop"))
    seconds = (a_plan().flatten_ns - kit.OPEN_NS) // kit.SECOND
    assert desk.at(seconds - 1) == []
    assert "end of session" in desk.at(seconds)[0].detail


def test_exit_when_the_stop_fills_during_the_cancel_then_the_sale_shrinks(desk: Any, kit: Any) -> None:
    desk.with_position()
    stop = kit.order_id("stop")
    desk.at(3600)
    assert kit.names(desk.filled(stop, 60, "X-2")) == ["OrderFilled:stop"]
    _, sale = desk.cancelled(stop, 60)
    assert sale.qty_nanos == 40 * NANOS


def test_exit_when_the_stop_fills_whole_during_the_cancel_then_nothing_is_sold_again(desk: Any, kit: Any) -> None:
    desk.with_position()
    desk.at(3600)
    assert kit.names(desk.filled(kit.order_id("stop"), 100, "X-2")) == ["OrderFilled:stop", "IntentClosed"]
    assert desk.at(3615) == []


def test_exit_when_entry_still_fills_then_its_part_is_protected_and_sold_too(desk: Any, kit: Any) -> None:
    entry, stop = kit.order_id("entry"), kit.order_id("stop")
    desk.give(kit.submit(cancel_at_ns=kit.OPEN_NS + 10**13))
    desk.accepted(entry)
    desk.filled(entry, 40, "X-1")
    desk.accepted(stop)
    assert kit.names(desk.at(3600)) == ["CancelRequested", "CancelRequested"]
    desk.cancelled(stop)
    raced = desk.filled(entry, 10, "X-2")
    assert kit.names(raced) == ["OrderFilled:entry", "OrderPrepared:stop"]
    assert kit.names(desk.cancelled(entry, 50)) == ["OrderCancelled"]
    second = kit.order_id("stop", 2)
    desk.accepted(second)
    assert kit.names(desk.at(3615)) == ["CancelRequested"]
    sale = desk.cancelled(second)[-1]
    assert sale.qty_nanos == 50 * NANOS


def test_exit_when_an_order_is_unknown_then_waits_for_the_answer(desk: Any, kit: Any) -> None:
    entry, stop = kit.order_id("entry"), kit.order_id("stop")
    desk.give(kit.submit())
    desk.accepted(entry)
    desk.filled(entry, 100, "X-1")
    desk.says(r.BrokerUnknown, stop)
    assert desk.at(3600) == []
    desk.accepted(stop)
    assert kit.names(desk.at(3601)) == ["CancelRequested"]


def test_exit_when_rejected_then_halts_and_tries_a_limited_number_of_times(desk: Any, kit: Any) -> None:
    desk.with_position()
    desk.at(3600)
    sale = desk.cancelled(kit.order_id("stop"))[-1]
    assert kit.names(desk.says(r.BrokerRejected, sale.client_order_id)) == ["OrderRejected", "HaltRaised"]
    tries = 1
    for second in range(3601, 3620):
        for event in desk.at(second):
            tries += 1
            desk.says(r.BrokerRejected, event.client_order_id)
    assert tries == 5


def test_stop_when_rejected_then_halts_and_the_position_is_sold(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit())
    desk.accepted(entry)
    desk.filled(entry, 100, "X-1")
    assert kit.names(desk.says(r.BrokerRejected, kit.order_id("stop"))) == ["OrderRejected", "HaltRaised"]
    [sale] = desk.at(30)
    assert sale.leg == "exit"
    assert "stop was rejected" in sale.reason


def test_stop_when_the_broker_cancels_it_unasked_then_the_position_is_sold(desk: Any, kit: Any) -> None:
    desk.with_position()
    events = desk.cancelled(kit.order_id("stop"))
    assert kit.names(events) == ["OrderCancelled", "OrderPrepared:exit"]


def test_stop_when_proven_not_at_the_broker_then_a_new_attempt_protects(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit())
    desk.accepted(entry)
    desk.filled(entry, 100, "X-1")
    expired, renewed = desk.says(r.BrokerNotFound, kit.order_id("stop"))
    assert isinstance(expired, m.OrderExpired)
    assert (renewed.client_order_id, renewed.qty_nanos) == (kit.order_id("stop", 2), 100 * NANOS)


def test_entry_when_proven_not_at_the_broker_then_expires_for_good(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.says(r.BrokerUnknown, kit.order_id("entry"))
    assert kit.names(desk.says(r.BrokerNotFound, kit.order_id("entry"))) == ["OrderExpired", "IntentClosed"]


def test_halt_when_positions_are_kept_then_entries_go_and_stops_stay(desk: Any, kit: Any) -> None:
    desk.with_position()
    other = "2013-10-08:open:QQQ:BULLISH"
    desk.give(kit.submit(other, "QQQ"))
    desk.accepted(kit.order_id("entry", intent_id=other))
    events = desk.give(kit.halt())
    assert kit.names(events) == ["HaltRaised", "CancelRequested"]
    assert events[1].client_order_id == kit.order_id("entry", intent_id=other)
    assert desk.order(kit.order_id("stop")).state is OrderState.WORKING
    assert desk.at(30) == []


def test_halt_when_positions_are_flattened_then_stops_go_and_everything_is_sold(flattening_desk: Any, kit: Any) -> None:
    desk = flattening_desk.with_position()
    assert kit.names(desk.give(kit.halt())) == ["HaltRaised", "CancelRequested"]
    sale = desk.cancelled(kit.order_id("stop"))[-1]
    assert sale.leg == "exit"
    assert "risk is dead" in sale.reason


def test_flatten_when_rearmed_in_the_middle_then_goes_on(flattening_desk: Any, kit: Any) -> None:
    desk = flattening_desk.with_position()
    desk.give(kit.halt(1), kit.arm(1))
    assert desk.cancelled(kit.order_id("stop"))[-1].leg == "exit"


def test_kill_switch_when_positions_are_kept_then_sells_all_the_same(desk: Any, kit: Any) -> None:
    desk.with_position()
    assert kit.names(desk.give(kit.kill())) == ["KillSwitchTripped", "CancelRequested"]
    assert "kill switch" in desk.cancelled(kit.order_id("stop"))[-1].reason


def test_halt_when_heard_again_then_nothing_follows(desk: Any, kit: Any) -> None:
    desk.give(kit.halt(3))
    assert desk.give(kit.halt(3), kit.halt(2)) == []


def test_halt_when_missed_and_answered_meanwhile_then_is_old(desk: Any, kit: Any) -> None:
    desk.give(kit.arm(4))
    assert desk.give(kit.halt(4)) == []
    assert kit.names(desk.give(kit.halt(5))) == ["HaltRaised"]


def test_halt_when_an_answered_number_comes_late_then_nothing_halts(desk: Any, kit: Any) -> None:
    desk.give(kit.halt(4), kit.arm(4))
    assert desk.give(kit.halt(4)) == []
    assert not desk.state.is_halted


def test_arming_when_it_answers_an_older_halt_then_stays_halted(desk: Any, kit: Any) -> None:
    desk.give(kit.halt(2), kit.arm(1))
    assert desk.state.is_halted
    desk.give(kit.arm(2))
    assert not desk.state.is_halted


def test_disarm_when_entries_are_open_then_unsent_expire_and_working_are_cancelled(desk: Any, kit: Any) -> None:
    desk.with_position()
    unsent, working = "2013-10-08:open:A:BULLISH", "2013-10-08:open:B:BULLISH"
    desk.give(kit.submit(unsent, "A"), kit.submit(working, "B"))
    desk.accepted(kit.order_id("entry", intent_id=working))
    events = desk.give(kit.disarm())
    assert kit.names(events) == ["ChainDisarmed", "OrderExpired", "IntentClosed", "CancelRequested"]
    assert desk.order(kit.order_id("stop")).state is OrderState.WORKING
    assert kit.names(desk.at(3600)) == ["CancelRequested"]


def test_acceptance_when_heard_after_a_halt_then_the_entry_is_cancelled(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.says(r.BrokerUnknown, kit.order_id("entry"))
    desk.give(kit.halt())
    assert kit.names(desk.accepted(kit.order_id("entry"))) == ["OrderAccepted", "CancelRequested"]


def test_acceptance_when_heard_twice_then_said_once(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.accepted(kit.order_id("entry"))
    assert desk.accepted(kit.order_id("entry")) == []


def test_acceptance_when_the_broker_has_two_orders_then_halts(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.accepted(kit.order_id("entry"))
    report = r.BrokerAccepted(ts_event=0, ts_init=0, client_order_id=kit.order_id("entry"), broker_order_id="B-other")
    events = desk.give(report)
    assert kit.names(events) == ["HaltRaised", "CancelRequested"]
    assert "two orders" in events[0].detail


def test_acceptance_when_the_order_was_given_up_then_is_adopted_cancelled_and_halts(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.says(r.BrokerUnknown, kit.order_id("entry"))
    desk.says(r.BrokerNotFound, kit.order_id("entry"))
    names = kit.names(desk.accepted(kit.order_id("entry")))
    assert names == ["OrderAccepted", "HaltRaised", "CancelRequested"]


@pytest.mark.parametrize("kind", [r.BrokerRejected, r.BrokerNotFound, r.BrokerUnknown])
def test_report_when_about_an_order_nobody_knows_then_halts(desk: Any, kind: Any) -> None:
    [event] = desk.says(kind, "tb1-stranger")
    assert isinstance(event, m.HaltRaised)
    assert "tb1-stranger" in event.detail


def test_fill_when_of_a_strange_order_then_halts(desk: Any) -> None:
    [event] = desk.filled("tb1-stranger", 1, "X-9")
    assert isinstance(event, m.HaltRaised)


def test_fill_when_the_order_was_rejected_then_is_booked_protected_and_halts(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.says(r.BrokerRejected, kit.order_id("entry"))
    names = kit.names(desk.filled(kit.order_id("entry"), 100, "X-1"))
    assert names == ["OrderFilled:entry", "OrderPrepared:stop", "HaltRaised"]
    assert desk.state.intent(kit.INTENT) in desk.state.open_intents()


def test_fill_when_more_than_ordered_then_is_booked_and_halts(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.accepted(kit.order_id("entry"))
    names = kit.names(desk.filled(kit.order_id("entry"), 101, "X-1"))
    assert names == ["OrderFilled:entry", "OrderPrepared:stop", "HaltRaised"]


@pytest.mark.parametrize("kind", [r.BrokerRejected, r.BrokerNotFound])
def test_report_when_it_contradicts_a_filled_order_then_halts_and_changes_nothing(
    desk: Any, kit: Any, kind: Any
) -> None:
    desk.with_position()
    assert kit.names(desk.says(kind, kit.order_id("entry"))) == ["HaltRaised"]
    assert desk.order(kit.order_id("entry")).state is OrderState.FILLED


def test_cancel_when_the_broker_counts_other_fills_then_halts(desk: Any, kit: Any) -> None:
    desk.give(kit.submit())
    desk.accepted(kit.order_id("entry"))
    assert kit.names(desk.cancelled(kit.order_id("entry"), 5)) == ["HaltRaised", "CancelRequested"]


def test_cash_when_reported_twice_then_moves_once(desk: Any) -> None:
    cash = r.BrokerCash(ts_event=1, ts_init=1, activity_id="PA-000001", kind="DEPOSIT", amount_micros=5, broker="FAKE")
    [moved] = desk.give(cash)
    assert (moved.kind, moved.amount_micros) == ("DEPOSIT", 5)
    assert desk.give(cash) == []


def test_session_when_a_new_day_is_planned_then_open_intents_are_kept_and_sold(desk: Any, kit: Any) -> None:
    desk.with_position()
    closed = "2013-10-08:open:Z:BULLISH"
    desk.give(kit.submit(closed, "Z"))
    desk.says(r.OrderNotSent, kit.order_id("entry", intent_id=closed))
    desk.give(a_plan("2013-10-09"))
    assert desk.order(kit.order_id("entry", intent_id=closed)) is None
    assert kit.names(desk.at(24 * 3600)) == ["CancelRequested"]
    sale = desk.cancelled(kit.order_id("stop"))[-1]
    assert sale.session_date == "2013-10-09"


def test_snapshot_when_there_are_many_orders_then_shows_the_newest_oldest_first(desk: Any, kit: Any) -> None:
    for n in range(205):
        desk.give(kit.submit(f"{'i' * 80}-{n:03d}", f"S{n}", reason="r" * 400))
    [snapshot] = desk.core.snapshot(desk.state, desk.now)
    assert (len(snapshot.orders), snapshot.orders_total) == (150, 205)
    assert [line.intent_id[-3:] for line in (snapshot.orders[0], snapshot.orders[-1])] == ["055", "204"]
    # A full one with the longest names and reasons still fits the bus.
    assert len(encode_message(snapshot)) < FRAME_BYTES_MAX


def test_snapshot_when_filled_then_shows_average_and_stop(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit())
    desk.accepted(entry)
    desk.filled(entry, 50, "X-1", price=100)
    desk.filled(entry, 50, "X-2", price=101)
    [snapshot] = desk.core.snapshot(desk.state, desk.now)
    assert snapshot.orders[0].average_micros == 100_500_000
    assert [line.stop_micros for line in snapshot.orders] == [0, 98_000_000, 98_980_000]
    assert snapshot.stops == (), "the broker has not taken them yet"
    for attempt in (1, 2):
        desk.accepted(kit.order_id("stop", attempt=attempt))
    [snapshot] = desk.core.snapshot(desk.state, desk.now)
    [stop] = snapshot.stops
    assert (stop.stop_micros, stop.broker_nanos, stop.bot_nanos) == (98_000_000, 100 * m.NANOS, 0)


def test_restart_when_the_journal_is_folded_then_the_state_is_the_same(desk: Any, kit: Any) -> None:
    desk.with_position()
    desk.at(3600)
    desk.cancelled(kit.order_id("stop"))
    desk.give(kit.halt())
    again = desk.core.initial()
    for event in desk.events:
        again = desk.core.evolve(again, event)
    assert again == desk.state


def test_decide_when_a_message_is_not_for_execution_then_says_so(desk: Any) -> None:
    message = m.RangeCompleted(ts_event=0, ts_init=0, session_date="d", symbols=(), highs_micros=(), lows_micros=())
    with pytest.raises(TypeError, match="RangeCompleted"):
        desk.give(message)
    with pytest.raises(TypeError, match="RangeCompleted"):
        desk.core.evolve(desk.state, message)


def test_plan_when_repeated_then_is_journaled_and_forgets_nothing(desk: Any, kit: Any) -> None:
    desk.with_position()
    assert kit.names(desk.give(replace(a_plan(), ts_init=5))) == ["SessionPlanned"]
    assert desk.order(kit.order_id("entry")) is not None


def test_f51_fill_when_it_is_of_another_broker_order_then_is_booked_and_halts(desk: Any, kit: Any) -> None:
    entry = kit.order_id("entry")
    desk.give(kit.submit())
    desk.accepted(entry)
    fill = r.BrokerFill(
        ts_event=desk.now,
        ts_init=desk.now,
        execution_id="X-1",
        client_order_id=entry,
        broker_order_id="B-another",
        qty_nanos=100 * m.NANOS,
        price_micros=100 * m.MICROS,
        commission_micros=0,
        broker="FAKE",
    )
    events = desk.give(fill)
    assert kit.names(events) == ["OrderFilled:entry", "OrderPrepared:stop", "HaltRaised"]
    assert f"{entry} is two orders at the broker: B-{entry} and B-another" in events[-1].detail
