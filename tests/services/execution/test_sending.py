"""What leaves for the broker, and what an order does that certainly did not get there."""

from collections.abc import Callable
from typing import Any

from services.execution.brokers.interface import NotSentError
from services.execution.brokers.paper import PaperBroker
from services.execution.orders import OrderState

SECOND = 1_000_000_000


def test_order_when_certainly_not_sent_then_stays_prepared_and_goes_after_the_wait_it_was_told(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    broker.errors["submit"] = [NotSentError("429: too many requests", after_ns=2 * SECOND)]
    assert kit.names(rig.give(kit.submit())) == ["OrderPrepared:entry"]
    assert rig.idle_for(1.9) == []
    assert broker.calls.count("submit") == 1
    assert kit.names(rig.idle_for(0.2)) == ["OrderAccepted"]
    assert broker.calls.count("submit") == 2
    assert kit.listed(broker.real) == [kit.order_id("entry")]


def test_entry_when_not_sent_until_its_time_is_over_then_expires_and_is_never_sent(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    broker.errors["submit"] = [NotSentError("429: too many requests", after_ns=SECOND)] * 100
    rig.give(kit.submit())
    rig.idle_for(5)
    assert rig.state.find(kit.order_id("entry")).state is OrderState.PREPARED
    rig.market(kit.spy(2, at_s=61))
    assert kit.names(rig.idle()) == ["OrderExpired", "IntentClosed"]
    broker.errors["submit"] = []
    assert rig.idle_for(5) == []
    assert kit.listed(broker.real) == []
    assert rig.halts == []


def test_exit_when_not_sent_then_is_sent_as_often_as_it_takes(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    kit.enter(rig)
    broker.errors["submit"] = [NotSentError("the rate budget is used up", after_ns=SECOND)] * 90
    rig.market(kit.spy(3, at_s=3600))
    rig.idle_for(80)
    assert rig.state.find(kit.order_id("exit")).state is OrderState.PREPARED
    assert "OrderAccepted" in kit.names(rig.idle_for(20))
    assert rig.halts == []


def test_order_when_it_was_not_sent_and_the_process_dies_then_is_looked_up_and_never_doubled(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = kit.Unreliable(open_broker())
    rig = kit.Rig(broker).armed()
    broker.errors["submit"] = [NotSentError("429: too many requests", after_ns=SECOND)]
    rig.give(kit.submit())
    again = kit.Rig(kit.Unreliable(open_broker()), journal=rig.journal)
    assert kit.names(again.start())[:2] == ["OrderExpired", "IntentClosed"]
    assert again.broker.calls.count("submit") == 0
