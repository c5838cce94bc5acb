"""Cards: what the close ends, what waits for the next open, and what two days have in common."""

from typing import Any

import pytest
from conformance.cards import card
from conformance.rig import SYMBOL, Rig, micros

from bus import messages as m
from services.execution.brokers import reports as r


def show(rig: Rig, bid: float = 100, shares: int = 1_000) -> None:
    """Let the market stand at this bid, and let it trade."""
    rig.quote(SYMBOL, micros(bid), micros(bid + 0.02), shares, shares)
    rig.settle()


@card("sessions")
def test_a_limit_order_when_the_session_closes_then_is_over_and_its_part_stays(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    show(rig, shares=30)
    rig.end_session()
    status = rig.reports_of("tb1-a")
    assert (status.state, status.shares) == ("CANCELLED", 30)
    assert rig.listed() == []
    assert rig.positions() == {SYMBOL: 30 * m.NANOS}


@card("sessions")
def test_a_limit_order_when_the_session_closes_then_its_cash_may_be_spent_the_next_day(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-a", shares=1_000, limit=90)
    rig.end_session()
    rig.next_session()
    assert rig.place("tb1-b", shares=1_000, limit=90).state == "WORKING"


@card("sessions")
def test_a_market_order_when_the_market_is_closed_then_waits_and_trades_at_the_next_open(rig: Rig) -> None:
    rig.end_session()
    assert isinstance(rig.submit("tb1-a", shares=10), r.BrokerAccepted)
    show(rig, 100)
    assert rig.reports_of("tb1-a").state == "WORKING"
    rig.next_session()
    assert rig.reports_of("tb1-a").state == "WORKING"
    show(rig, 103)
    status = rig.reports_of("tb1-a")
    assert (status.state, status.average_micros) == ("FILLED", micros(103.02))


@card("sessions")
def test_a_limit_order_when_placed_while_closed_then_is_good_for_the_next_session_only(rig: Rig) -> None:
    rig.end_session()
    rig.place("tb1-a", limit=90)
    rig.next_session()
    show(rig)
    assert rig.reports_of("tb1-a").state == "WORKING"
    rig.end_session()
    rig.next_session()
    rig.settle()
    assert rig.reports_of("tb1-a").state == "CANCELLED"


@card("sessions")
def test_an_order_when_it_waits_for_the_open_then_may_be_cancelled(rig: Rig) -> None:
    rig.end_session()
    rig.submit("tb1-a", limit=90)
    assert rig.cancel("tb1-a").state == "CANCELLED"
    assert rig.listed() == []


@card("sessions")
def test_an_account_when_a_night_goes_by_then_holds_what_it_held(rig: Rig) -> None:
    rig.holds(100)
    before = rig.cash_micros(), rig.positions()
    rig.end_session()
    rig.next_session()
    assert (rig.cash_micros(), rig.positions()) == before
    assert rig.broker.account(rig.session_date, rig.now_ns).session_date == rig.session_date


@card("sessions")
def test_executions_when_there_are_two_days_then_go_on_after_the_last_of_the_first(rig: Rig) -> None:
    rig.holds(100)
    [first] = rig.executions()
    rig.end_session()
    rig.next_session()
    show(rig, 105)
    assert rig.place("tb1-s", "SELL").state == "FILLED"
    [second] = rig.executions(first.execution_id)
    assert second.client_order_id == "tb1-s"
    assert [fill.execution_id for fill in rig.executions()] == [first.execution_id, second.execution_id]


@card("sessions")
def test_a_client_id_when_it_was_used_the_day_before_then_is_a_duplicate(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-a", shares=10)
    rig.end_session()
    rig.next_session()
    assert isinstance(rig.submit("tb1-a", shares=10), r.BrokerDuplicate)
    show(rig)
    assert rig.positions() == {SYMBOL: 10 * m.NANOS}


@card("sessions")
def test_an_order_when_it_waits_for_the_open_and_the_process_dies_then_still_trades(rig: Rig) -> None:
    rig.end_session()
    rig.submit("tb1-a", shares=10)
    rig.restart()
    rig.next_session()
    show(rig)
    assert rig.reports_of("tb1-a").state == "FILLED"


@card("sessions")
@pytest.mark.parametrize("kind", [{"trail_bps": 200}, {"stop": 98}])
def test_a_stop_when_it_protects_shares_over_night_then_rests_the_next_day_and_sells(rig: Rig, kind: Any) -> None:
    rig.holds(100)
    assert rig.place("tb1-s", "SELL", **kind).state == "WORKING"
    rig.end_session()
    assert (rig.reports_of("tb1-s").state, rig.listed()) == ("WORKING", ["tb1-s"])
    rig.next_session()
    assert (rig.reports_of("tb1-s").state, rig.listed()) == ("WORKING", ["tb1-s"])
    show(rig, 90)
    assert rig.reports_of("tb1-s").state == "FILLED"
    assert rig.positions() == {}


@card("sessions")
def test_a_stop_when_it_stood_over_night_and_the_process_was_another_then_is_listed_and_may_be_cancelled(
    rig: Rig,
) -> None:
    rig.holds(100)
    rig.place("tb1-s", "SELL", trail_bps=200)
    rig.end_session()
    rig.restart()
    rig.next_session()
    assert rig.listed() == ["tb1-s"]
    assert rig.cancel("tb1-s").state == "CANCELLED"
