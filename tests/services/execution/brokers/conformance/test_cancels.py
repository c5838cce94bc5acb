"""Cards: cancels. A cancel is a request; what became of the order is what a look-up says afterwards."""

import pytest
from conformance.cards import card
from conformance.rig import OTHER, SYMBOL, Outcome, Rig, micros

from bus import messages as m
from services.execution.brokers import reports as r
from services.execution.brokers.interface import RetryableBrokerError


def show(rig: Rig, shares: int = 1_000, bid: float = 100) -> None:
    """Let the market stand at this bid."""
    rig.quote(SYMBOL, micros(bid), micros(bid + 0.02), shares, shares)


@card()
def test_a_cancel_when_the_order_works_then_it_is_over_and_fills_no_more(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    assert rig.cancel("tb1-a").state == "CANCELLED"
    assert rig.listed() == []
    show(rig, bid=80)
    rig.settle()
    assert rig.reports_of("tb1-a").shares == 0
    assert rig.positions() == {}


@card()
def test_a_cancel_when_a_part_is_filled_then_the_part_stays(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    show(rig, shares=30)
    rig.settle()
    status = rig.cancel("tb1-a")
    assert (status.state, status.shares) == ("CANCELLED", 30)
    assert rig.positions() == {SYMBOL: 30 * m.NANOS}


@card()
def test_a_cancel_when_the_order_is_filled_then_tells_the_fills_and_no_cancel(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-a")
    reports = rig.broker.cancel("tb1-a", rig.now_ns)
    assert not any(isinstance(report, r.BrokerCancelled | r.BrokerNotFound) for report in reports)
    rig.settle()
    assert rig.reports_of("tb1-a").state == "FILLED"


@card()
def test_a_cancel_when_the_order_never_was_then_is_no_error_and_makes_none(rig: Rig) -> None:
    reports = rig.broker.cancel("tb1-never", rig.now_ns)
    assert not any(isinstance(report, r.BrokerCancelled | r.BrokerAccepted) for report in reports)
    rig.settle()
    assert rig.reports_of("tb1-never").state == "NOT_FOUND"


@card()
def test_a_cancel_when_the_order_is_cancelled_already_then_is_no_error(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    rig.cancel("tb1-a")
    assert rig.cancel("tb1-a").state == "CANCELLED"


@card()
def test_two_cancels_when_they_follow_at_once_then_the_order_ends_once(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    rig.broker.cancel("tb1-a", rig.now_ns)
    rig.broker.cancel("tb1-a", rig.now_ns)
    rig.settle()
    ends = [report for report in rig.broker.lookup("tb1-a", rig.now_ns) if isinstance(report, r.BrokerCancelled)]
    assert len(ends) == 1


@card()
def test_a_cancel_of_a_stop_when_done_then_its_shares_may_be_sold(rig: Rig) -> None:
    rig.holds(100)
    rig.place("tb1-s", "SELL", stop=90)
    rig.cancel("tb1-s")
    show(rig)
    assert rig.place("tb1-x", "SELL").state == "FILLED"
    assert rig.positions() == {}


@card()
def test_a_cancel_of_a_purchase_when_done_then_its_cash_may_be_spent(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-a", shares=1_000, limit=90)
    assert rig.place("tb1-b", shares=900, limit=90).state == "REJECTED"
    rig.cancel("tb1-a")
    assert rig.place("tb1-c", shares=900, limit=90).state == "WORKING"


@card()
def test_cancels_when_every_open_order_is_cancelled_then_none_is_listed(rig: Rig) -> None:
    rig.holds(100)
    rig.quote(OTHER, micros(50), micros(50.02))
    rig.place("tb1-a", symbol=OTHER, limit=40)
    rig.place("tb1-b", symbol=OTHER, limit=41)
    rig.place("tb1-s", "SELL", 60, stop=90)
    rig.place("tb1-t", "SELL", 40, trail_bps=500)
    keys = rig.listed()
    assert len(keys) == 4
    for key in keys:
        rig.broker.cancel(key, rig.now_ns)
    rig.settle()
    assert rig.listed() == []
    assert {rig.reports_of(key).state for key in keys} == {"CANCELLED"}


@card(Outcome.FILLED_BEFORE)
def test_a_cancel_when_the_order_trades_first_then_the_fill_counts(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    show(rig)
    rig.fail_next("cancel", Outcome.FILLED_BEFORE)
    status = rig.cancel("tb1-a")
    assert (status.state, status.shares) == ("FILLED", 100)
    assert rig.positions() == {SYMBOL: 100 * m.NANOS}


@card(Outcome.CANCEL_PENDING)
def test_a_cancel_when_it_is_only_pending_then_the_order_is_not_over_before_it_is_done(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    rig.fail_next("cancel", Outcome.CANCEL_PENDING)
    reports = rig.broker.cancel("tb1-a", rig.now_ns)
    assert not any(isinstance(report, r.BrokerCancelled) for report in reports)
    assert rig.reports_of("tb1-a").state == "WORKING"
    rig.settle()
    assert rig.reports_of("tb1-a").state == "CANCELLED"


@card(Outcome.CANCEL_PENDING)
def test_a_fill_when_it_comes_while_the_cancel_is_pending_then_is_told_before_the_end(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    show(rig, shares=30)
    rig.settle()
    rig.fail_next("cancel", Outcome.CANCEL_PENDING)
    rig.broker.cancel("tb1-a", rig.now_ns)
    rig.settle()
    status = rig.reports_of("tb1-a")
    assert status.state == "CANCELLED"
    assert status.filled_nanos == rig.positions()[SYMBOL]


@card(Outcome.TIMEOUT_BEFORE)
def test_a_cancel_when_it_is_lost_then_the_order_works_on_and_may_be_cancelled_again(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    rig.fail_next("cancel", Outcome.TIMEOUT_BEFORE)
    with pytest.raises(RetryableBrokerError):
        rig.broker.cancel("tb1-a", rig.now_ns)
    assert rig.reports_of("tb1-a").state == "WORKING"
    assert rig.cancel("tb1-a").state == "CANCELLED"


@card(Outcome.TIMEOUT_AFTER_ACCEPT)
def test_a_cancel_when_its_answer_is_lost_then_a_look_up_tells_the_end(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    rig.fail_next("cancel", Outcome.TIMEOUT_AFTER_ACCEPT)
    with pytest.raises(RetryableBrokerError):
        rig.broker.cancel("tb1-a", rig.now_ns)
    rig.settle()
    assert rig.reports_of("tb1-a").state == "CANCELLED"
