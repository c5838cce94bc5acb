"""The paper broker's day as execution lives it: the plan reaches the broker, and what it ends is noticed."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from bus import messages as m
from bus.testing import CLOSE_NS, a_plan
from services.execution.brokers.paper import PaperBroker


def _waiting_entry(kit: Any, broker: PaperBroker) -> Any:
    """Return an armed rig with a limit order far below the market, which nobody cancels before the close."""
    rig = kit.Rig(broker).armed()
    rig.market(kit.spy(1))
    rig.idle()
    late = CLOSE_NS + 3_600 * kit.SECOND
    rig.give(kit.submit(order_type="LIMIT", limit_micros=50 * m.MICROS, cancel_at_ns=late, exit_at_ns=late))
    assert kit.listed(broker) == [kit.order_id("entry")]
    return rig


def test_an_entry_when_the_half_day_closes_then_execution_hears_that_it_is_over(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = open_broker()
    rig = _waiting_entry(kit, broker)
    rig.give(replace(a_plan(), close_ns=kit.OPEN_NS + 600 * kit.SECOND, is_half_day=True))
    rig.market(kit.spy(2, at_s=600))
    assert kit.listed(broker) == []
    events = rig.idle_for(12)
    assert kit.names(events)[:2] == ["OrderCancelled", "IntentClosed"]
    assert "session has closed" in events[0].detail
    assert rig.halts == []


def test_an_exit_when_the_market_is_closed_then_waits_at_the_broker_and_sells_at_the_next_open(
    open_broker: Callable[..., PaperBroker], kit: Any
) -> None:
    broker = open_broker()
    rig = kit.Rig(broker).armed()
    kit.enter(rig)
    rig.market(kit.spy(3, at_s=23_400))
    rig.idle_for(12)
    sold = [event for event in rig.journal if isinstance(event, m.OrderFilled) and event.side == "SELL"]
    assert sold == []
    assert kit.order_id("exit") in kit.listed(broker)
    day_ns = 86_400 * kit.SECOND
    plan = a_plan("2013-10-09")
    rig.give(replace(plan, open_ns=plan.open_ns + day_ns, close_ns=plan.close_ns + day_ns))
    rig.market(kit.spy(1, at_s=86_401, bid=103.0))
    sold = [event for event in rig.journal if isinstance(event, m.OrderFilled) and event.side == "SELL"]
    assert [(event.leg, event.price_micros) for event in sold] == [("exit", 103 * m.MICROS)]
    assert rig.halts == []
