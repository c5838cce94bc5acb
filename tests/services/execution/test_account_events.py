"""What changes the account without an order of ours: told once, and the position follows."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers import reports as r
from services.execution.brokers.interface import RetryableBrokerError
from services.execution.brokers.paper import PaperBroker

PUT = "SPY131011P00100000"
PUT_INTENT = f"2013-10-08:open:{PUT}:BEARISH"


def gone(kind: Any, contracts: int, activity_id: str = "A-1", symbol: str = PUT) -> Any:
    return kind(
        ts_event=1, ts_init=1, activity_id=activity_id, symbol=symbol, qty_nanos=contracts * m.NANOS, broker="FAKE"
    )


def a_split(new: int, old: int, activity_id: str = "S-1") -> r.BrokerSplit:
    return r.BrokerSplit(
        ts_event=1, ts_init=1, activity_id=activity_id, symbol="SPY", numerator=new, denominator=old, broker="FAKE"
    )


@pytest.fixture
def holder(desk: Any, kit: Any) -> Any:
    """Return a core that holds three puts."""
    desk.give(kit.submit(intent_id=PUT_INTENT, symbol=PUT, shares=3, order_type="LIMIT", limit_micros=2_500_000))
    entry = kit.order_id("entry", intent_id=PUT_INTENT)
    desk.accepted(entry)
    desk.filled(entry, 3, "X-1", price=2)
    return desk


@pytest.mark.parametrize(
    ("report", "name"), [(r.BrokerExpiry, "ContractsExpired"), (r.BrokerExercise, "ContractsExercised")]
)
def test_contracts_when_gone_then_the_ledger_is_told_and_the_intent_is_over(
    holder: Any, kit: Any, report: Any, name: str
) -> None:
    # The account holds two more, which are a person's.
    events = holder.give(gone(report, 5))
    assert kit.names(events) == [name, "IntentClosed"]
    assert (events[0].symbol, events[0].qty_nanos) == (PUT, 3 * m.NANOS)
    assert holder.state.open_intents() == []
    assert holder.give(gone(report, 5)) == []
    assert holder.give(gone(report, 5, "A-2")) == []


def test_contracts_when_some_are_gone_then_the_rest_is_held_and_sold_in_its_time(holder: Any, kit: Any) -> None:
    assert kit.names(holder.give(gone(r.BrokerExpiry, 1))) == ["ContractsExpired"]
    events = holder.at(3_601)
    assert [(e.leg, e.qty_nanos) for e in events if isinstance(e, m.OrderPrepared)] == [("exit", 2 * m.NANOS)]


@pytest.mark.parametrize(("new", "old", "held"), [(2, 1, 200), (1, 4, 25)])
def test_shares_when_split_over_night_then_what_is_held_follows_and_all_of_it_is_sold(
    desk: Any, kit: Any, new: int, old: int, held: int
) -> None:
    desk.with_position()
    assert kit.names(desk.give(a_split(new, old))) == ["SharesSplit"]
    assert desk.state.intent(kit.INTENT).held_nanos == held * m.NANOS
    desk.at(3_601)
    events = desk.cancelled(kit.order_id("stop"))
    assert [e.qty_nanos for e in events if isinstance(e, m.OrderPrepared)] == [held * m.NANOS]


def test_shares_when_their_split_is_told_again_then_it_counts_once(desk: Any, kit: Any) -> None:
    desk.with_position()
    desk.give(a_split(2, 1))
    assert desk.give(a_split(2, 1)) == []
    assert desk.state.intent(kit.INTENT).held_nanos == 200 * m.NANOS


def held_over_its_expiry(open_broker: Callable[..., PaperBroker], kit: Any) -> Any:
    """Return a rig that holds two puts when their last day is over."""
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    quote = (PUT, 2.4, 2.5, 10, 10)
    rig.market(kit.quotes(1, quote))
    limit = {"order_type": "LIMIT", "limit_micros": 2_500_000, "exit_at_ns": kit.OPEN_NS + 10**18}
    rig.give(kit.submit(intent_id=PUT_INTENT, symbol=PUT, shares=2, **limit))
    rig.market(kit.quotes(2, quote))
    assert kit.fills(rig) == [("PX-000001", 2 * m.NANOS)]
    return rig


def test_puts_when_their_last_day_is_over_then_the_next_morning_agrees_and_the_ledger_was_told(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = held_over_its_expiry(open_broker, kit)
    rig.give(a_plan("2013-10-14"))
    rig.idle_for(60, every=1)
    (told,) = [event for event in rig.journal if isinstance(event, m.ContractsExpired)]
    assert (told.activity_id, told.qty_nanos) == (f"PE-{PUT}", 2 * m.NANOS)
    assert rig.halts == []
    assert rig.shell.reconciled_ms() >= 0


def test_puts_when_the_broker_tells_of_no_expiry_and_they_are_gone_then_the_look_at_positions_ends_them(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = held_over_its_expiry(open_broker, kit)
    rig.broker.activities = lambda _now_ns: ()
    rig.give(a_plan("2013-10-14"))
    rig.idle_for(60, every=1)
    (told,) = [event for event in rig.journal if isinstance(event, m.ContractsExpired)]
    assert told.activity_id == f"lapsed-{PUT}"
    assert rig.halts == []


def test_puts_when_gone_and_their_shares_are_short_then_a_person_is_called(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = held_over_its_expiry(open_broker, kit)
    rig.broker.activities = lambda _now_ns: ()
    rig.broker.other_positions = {"SPY": -200 * m.NANOS}
    rig.give(a_plan("2013-10-14"))
    rig.idle_for(60, every=1)
    assert [rule for rule, _ in rig.halts] == ["broker_anomaly"]


def test_activities_when_the_session_is_over_then_are_read_once_more_and_again_until_they_are_told(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    rig.idle_for(10, every=1)
    assert rig.broker.calls.count("activities") == 1
    rig.broker.errors["activities"] = [RetryableBrokerError("no route")]
    rig.now_ns = kit.CLOSE_NS
    rig.idle_for(60, every=1)
    assert rig.broker.calls.count("activities") == 3
    assert sum(isinstance(event, m.CashMoved) for event in rig.journal) == 1
    assert rig.halts == []
