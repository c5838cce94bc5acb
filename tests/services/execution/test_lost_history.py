"""A journal that was put back from an older copy: the broker knows more of us than we do."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers import reports as r
from services.execution.brokers.interface import OpenOrder, RetryableBrokerError
from services.execution.brokers.paper import PaperBroker
from services.execution.orders import OrderState
from services.execution.state import HALT_DETAILS_MAX

OpenBroker = Callable[..., PaperBroker]


def submits(rig: Any) -> int:
    return rig.broker.calls.count("submit")


def put_back(rig: Any, kit: Any, upto: str) -> Any:
    """Return a new life of execution on the same broker, with the journal up to the first event of this name."""
    events = [event for event in rig.journal if not isinstance(event, m.HaltRaised)]
    keep = kit.names(events).index(upto) + 1
    rig.broker.calls.clear()
    return kit.Rig(rig.broker, events[:keep])


@pytest.fixture
def entered(open_broker: OpenBroker, kit: Any) -> Any:
    """Return an execution that has bought 100 SPY, with their stop at the broker."""
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    kit.enter(rig)
    return rig


def test_an_order_in_our_name_that_the_journal_lacks_when_listed_then_nothing_is_sent_and_it_halts(
    entered: Any, kit: Any
) -> None:
    again = put_back(entered, kit, "OrderAccepted")
    events = again.start()
    assert "OrderPrepared:stop" in kit.names(events), "the fill is booked, and its stop decided on"
    again.idle_for(30)
    assert submits(again) == 0
    assert again.state.find(kit.order_id("stop")).state is OrderState.WORKING, "it is adopted"
    assert "the journal is older than the broker's books" in again.halts[0][1]
    assert len(again.halts) == 1


def test_an_order_in_our_name_when_it_would_add_exposure_then_the_drain_cancels_it_and_a_stop_stays(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    broker.others = [
        OpenOrder(client_order_id="tb1-lost-entry", broker_order_id="Y", symbol="QQQ", side="BUY"),
        OpenOrder(client_order_id="tb1-lost-stop", broker_order_id="Z", symbol="QQQ", side="SELL"),
    ]
    cancelled: list[str] = []
    broker.real.cancel = lambda key, _now_ns: cancelled.append(key) or ()
    broker.errors["cancel"] = [RetryableBrokerError("time-out")]
    rig = kit.Rig(broker).armed()
    rig.idle_for(2)
    assert "tb1-lost-entry in the bot's name, not in the journal" in rig.halts[0][1]
    assert set(cancelled) == {"tb1-lost-entry"}
    assert rig.state.drain.startswith("cancelling: 1 order open at the broker; protective orders that stay there: 1")
    broker.others.pop(0)
    rig.idle_for(61)
    assert "confirmed" in rig.state.drain
    assert len(rig.halts) == 1


def test_an_order_in_our_name_when_the_chain_was_never_armed_in_this_life_then_the_drain_cancels_it_all_the_same(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    broker.others = [OpenOrder(client_order_id="tb1-lost", broker_order_id="Y", symbol="QQQ", side="BUY")]
    rig = kit.Rig(broker)
    rig.gate.lapsed = kit.SECOND
    rig.start()
    rig.idle_for(1)
    assert "cancel" in broker.calls


def test_an_order_that_is_over_when_the_journal_has_lost_it_then_is_found_before_it_is_sent_again(
    entered: Any, kit: Any
) -> None:
    stop = kit.order_id("stop")
    entered.broker.real.cancel(stop, 0)
    again = put_back(entered, kit, "OrderAccepted")
    again.start()
    again.idle_for(5)
    assert again.state.find(stop).state is OrderState.CANCELLED
    assert submits(again) == 1, "the position is sold, because nothing protects it"
    assert again.state.find(kit.order_id("exit")).state is OrderState.WORKING
    assert "the journal is older than the broker's books" in again.halts[0][1]


def test_an_execution_of_an_order_that_the_journal_decides_on_anew_when_reported_then_is_booked_and_nothing_is_sent(
    entered: Any, kit: Any
) -> None:
    entered.market(kit.spy(3, bid=90))
    assert entered.state.find(kit.order_id("stop")).state is OrderState.FILLED
    again = put_back(entered, kit, "OrderAccepted")
    again.start()
    again.give(kit.kill())
    again.idle_for(30)
    assert submits(again) == 0
    assert again.state.find(kit.order_id("stop")).state is OrderState.FILLED
    assert again.state.open_intents() == []


def test_an_execution_of_an_order_that_the_journal_lacks_when_reported_then_nothing_is_sold_and_it_halts(
    entered: Any, kit: Any
) -> None:
    stop = kit.order_id("stop")
    entered.broker.real.cancel(stop, 0)
    entered.idle_for(5)
    entered.market(kit.spy(3))
    assert entered.state.find(kit.order_id("exit")).state is OrderState.FILLED
    again = put_back(entered, kit, "OrderAccepted")
    again.start()
    assert "which is not an order of this day" in again.halts[0][1]
    assert submits(again) == 0, "the stop is decided on, and held back: what it would guard is sold"
    again.give(kit.kill())
    again.idle_for(30)
    assert submits(again) == 0
    assert again.state.open_intents() == []


def test_a_crash_before_the_fill_was_booked_when_restarted_then_the_stop_is_asked_about_and_sent_once(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()

    def die(report: m.Message) -> None:
        if isinstance(report, r.BrokerFill):
            raise kit.Crash

    rig.report_failpoint = die
    with pytest.raises(kit.Crash):
        kit.enter(rig)
    rig.broker.calls.clear()
    rig.broker.errors["lookup"] = [RetryableBrokerError("time-out")] * 2
    again = kit.Rig(rig.broker, rig.journal)
    again.start()
    again.idle_for(10)
    assert submits(again) == 1
    assert again.state.find(kit.order_id("stop")).state is OrderState.WORKING
    assert again.halts == []
    assert again.shell.reconciled_ms() >= 0


def test_the_first_list_when_the_broker_does_not_answer_then_nothing_is_sent_until_it_does(
    open_broker: OpenBroker, kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    broker.errors["open_orders"] = [RetryableBrokerError("time-out")]
    rig = kit.Rig(broker)
    rig.start()
    rig.give(a_plan(), kit.arm())
    rig.market(kit.spy(1))
    rig.give(kit.submit())
    assert submits(rig) == 0
    rig.idle_for(2)
    assert submits(rig) == 1


def test_many_contradictions_when_found_at_every_look_then_each_is_journaled_once(desk: Any, kit: Any) -> None:
    for look in range(3):
        for number in range(60):
            events = desk.says(r.BrokerUnknown, f"tb1-lost-{number}")
            assert len(events) == (1 if look == 0 and number < HALT_DETAILS_MAX else 0)
    desk.give(kit.arm(halt_counter=1))
    assert kit.names(desk.says(r.BrokerUnknown, "tb1-lost-1")) == ["HaltRaised"]


@pytest.mark.parametrize("seconds_later", [0, 61])
def test_an_entry_when_it_may_have_been_sent_by_an_earlier_life_then_it_is_looked_up_though_both_sides_agree(
    open_broker: OpenBroker, kit: Any, seconds_later: int
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    rig.market(kit.spy(1))
    rig.give(kit.submit())
    rig.broker.real.cancel(kit.order_id("entry"), kit.OPEN_NS)
    again = put_back(rig, kit, "SessionPlanned")
    again.start()
    again.give(kit.arm())
    again.market(kit.spy(2))
    again.idle_for(10)
    assert again.shell.reconciled_ms() >= 0, "what is over shows in no list"
    again.market(kit.spy(2 + seconds_later))
    again.give(kit.submit(expires_ns=kit.CLOSE_NS, cancel_at_ns=kit.CLOSE_NS))
    again.idle()
    # Later than a request lives, the same request cannot come: the broker's own refusal is what is left.
    assert submits(again) == (1 if seconds_later else 0)
    assert again.state.find(kit.order_id("entry")).state is OrderState.CANCELLED
    assert bool(again.halts) == (seconds_later == 0)
