"""What leaves for the broker, and what an order does that certainly did not get there."""

from collections.abc import Callable
from typing import Any

import pytest

from services.execution.brokers.interface import NotSentError, RetryableBrokerError
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
    broker.errors["submit"] = [NotSentError("429: too many requests", after_ns=2 * SECOND)] * 100
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


def turned_away(rig: Any, kit: Any, times: int) -> None:
    """Let the broker turn away an entry so often, half a second apart."""
    rig.broker.errors["submit"] = [NotSentError("429: too many requests", after_ns=SECOND // 2)] * times
    rig.give(kit.submit())
    rig.idle_for(times * 0.5 - 0.1)


def test_f39_entries_when_four_were_turned_away_in_a_minute_then_none_is_sent_for_a_minute_and_it_is_shown(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    turned_away(rig, kit, 3)
    assert rig.state.warnings == ""
    rig.broker.errors["submit"] = [NotSentError("429: too many requests", after_ns=SECOND // 2)]
    assert kit.names(rig.idle_for(0.2)) == ["OrderExpired", "IntentClosed"]
    assert rig.state.warnings.startswith("DEGRADED: more than 3 orders were turned away in a minute")
    assert rig.state.warnings.endswith("(429: too many requests)")
    rig.give(kit.submit(intent_id="2013-10-08:open:QQQ:BULLISH", symbol="QQQ"))
    (expired, _) = rig.idle()
    assert expired.detail.startswith("DEGRADED")
    rig.idle_for(60, every=1)
    assert rig.state.warnings == ""
    rig.give(kit.submit(intent_id="2013-10-08:open:IWM:BULLISH", symbol="IWM"))
    assert kit.listed(rig.broker.real) == [kit.order_id("entry", intent_id="2013-10-08:open:IWM:BULLISH")]


def test_f39_orders_when_our_own_gate_held_them_back_then_nobody_is_degraded(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    gate = rig.gate

    class ShutsAtTheLastMoment(type(rig.broker)):  # type: ignore[misc] # the class of the rig's broker, whatever it is
        def submit(self, request: Any) -> Any:
            gate.is_open = False
            raise NotSentError("the gate closed", after_ns=1)

    rig.broker.__class__ = ShutsAtTheLastMoment
    rig.give(kit.submit())
    for _ in range(10):
        rig.boot_ns += 10
        gate.is_open = True
        rig.idle()
    assert rig.state.warnings == ""
    assert rig.state.find(kit.order_id("entry")).state is OrderState.PREPARED


@pytest.mark.parametrize("apart_s", [0.5, 21])
def test_f39_sales_when_the_broker_turns_everything_away_then_are_tried_all_the_same(
    open_broker: Callable[..., PaperBroker], kit: Any, apart_s: float
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    kit.enter(rig)
    rig.broker.errors["submit"] = [NotSentError("429", after_ns=round(apart_s * SECOND))] * 6
    rig.market(kit.spy(3, at_s=3600))
    rig.idle_for(6 * apart_s + 1)
    assert kit.order_id("exit") in kit.listed(rig.broker.real)
    assert bool(rig.state.warnings) is (apart_s < 20)


def test_orders_when_the_broker_answers_slowly_then_one_call_takes_up_only_as_many_as_a_second_has_room_for(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    rig = kit.entered(open_broker, count=0)
    rig.broker.errors["submit"] = [RetryableBrokerError("time-out")] * 5
    for number in range(5):
        rig.give(kit.submit(intent_id=f"i-{number}"))
    rig.boot_ns += SECOND
    lookup = rig.broker.lookup

    def slow(key: str, now_ns: int) -> Any:
        rig.boot_ns += 600_000_000
        return lookup(key, now_ns)

    rig.broker.lookup = slow
    rig.broker.calls.clear()
    assert kit.names(rig.idle()).count("OrderExpired") == 2
    assert kit.names(rig.idle()).count("OrderExpired") == 2
    assert kit.names(rig.idle()).count("OrderExpired") == 1
