"""The broker's own refusal of new orders after a halt: up when it should be, and never in the way of a sale."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from services.execution.brokers.interface import RetryableBrokerError, StopTradingError
from services.execution.brokers.paper import PaperBroker

OpenBroker = Callable[..., PaperBroker]


def told(rig: Any) -> list[str]:
    return [call for call in rig.broker.calls if call.startswith("fence")]


@pytest.fixture
def fenced(open_broker: OpenBroker, kit: Any) -> Any:
    """Return a rig that holds SPY and was halted, over a broker whose fence refuses every order."""
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    kit.enter(rig)
    rig.give(kit.halt())
    rig.idle()
    return rig


def test_fence_when_armed_at_the_start_then_is_put_down_before_the_first_order(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()))
    rig.broker.is_fenced = True
    rig.armed()
    assert (told(rig), rig.broker.is_fenced) == (["fence down"], False)
    rig.idle_for(10)
    kit.enter(rig)
    assert told(rig) == ["fence down"]


def test_fence_when_the_chain_halts_then_is_put_up_once_and_down_when_an_operator_arms(fenced: Any, kit: Any) -> None:
    assert fenced.broker.is_fenced
    fenced.idle_for(10)
    assert told(fenced) == ["fence down", "fence up"]
    fenced.give(kit.arm(halt_counter=1))
    fenced.idle()
    assert (told(fenced)[2:], fenced.broker.is_fenced) == (["fence down"], False)


def test_fence_when_a_kept_position_has_its_planned_exit_then_lets_it_through_and_is_put_up_again(
    fenced: Any, kit: Any
) -> None:
    names = kit.names(fenced.market(kit.spy(3, at_s=3600)))
    assert names == ["CancelRequested", "OrderCancelled", "OrderPrepared:exit", "OrderAccepted"]
    fenced.idle()
    assert fenced.broker.is_fenced
    assert kit.names(fenced.market(kit.spy(4, at_s=3615))) == ["OrderFilled:exit", "IntentClosed"]
    assert fenced.halts == []


def test_fence_when_it_cannot_be_put_down_for_a_sale_then_the_sale_waits_and_is_not_refused(
    fenced: Any, kit: Any
) -> None:
    fenced.broker.errors["fence"] = [RetryableBrokerError("time-out")] * 3
    fenced.market(kit.spy(3, at_s=3600))
    fenced.idle()
    assert "NOT CONFIRMED: the broker could not be told to take new orders again" in fenced.state.drain
    assert kit.order_id("exit") not in kit.listed(fenced.broker.real)
    fenced.idle_for(4)
    assert kit.order_id("exit") in kit.listed(fenced.broker.real)
    assert fenced.halts == []


def test_f75_fence_when_the_broker_is_not_reached_under_a_halt_then_is_tried_again_within_ten_seconds_and_shown(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    rig.broker.errors["fence"] = [RetryableBrokerError("no route")] * 6
    rig.give(kit.halt())
    rig.idle()
    assert "NOT CONFIRMED: the broker could not be told to refuse new orders" in rig.state.drain
    rig.idle_for(0.5 + 1 + 2 + 5 + 10 + 9)
    assert told(rig).count("fence up") == 6
    assert not rig.broker.is_fenced
    rig.idle_for(1.2)
    assert rig.broker.is_fenced
    assert "fence" not in rig.state.drain
    assert "refuse new orders" not in rig.state.drain


def test_fence_when_the_broker_cannot_be_worked_with_then_halts_in_words(open_broker: OpenBroker, kit: Any) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()))
    rig.broker.errors["fence"] = [StopTradingError("401: the key was refused")]
    rig.armed()
    assert rig.halts == [("broker_failure", "401: the key was refused")]


def test_fence_when_a_halted_process_is_restarted_then_is_put_up_again(
    fenced: Any, open_broker: OpenBroker, kit: Any
) -> None:
    again = kit.Rig(kit.Unreliable(open_broker()), journal=fenced.journal)
    again.start()
    again.idle()
    assert told(again) == ["fence up"]
    assert not [event for event in again.journal if isinstance(event, m.OrderRejected)]
