"""All that the broker lists for the session against the journal, and how often what is in flight is looked at."""

from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers.interface import RetryableBrokerError
from services.execution.brokers.paper import PaperBroker
from services.execution.drop_copy import EVERY_NS

OpenBroker = Callable[..., PaperBroker]


class Forgetful(PaperBroker):
    """Tells nobody of some executions."""

    hidden: frozenset[str] = frozenset()

    def executions_after(self, execution_id: str, now_ns: int) -> Any:
        told = super().executions_after(execution_id, now_ns)
        return [fill for fill in told if fill.execution_id not in self.hidden]


@pytest.fixture
def rig(open_broker: OpenBroker, kit: Any) -> Any:
    """Return a rig whose broker has filled an entry in two parts."""
    broker = open_broker()
    broker.__class__ = Forgetful
    rig = kit.Rig(kit.Unreliable(broker)).armed()
    rig.market(kit.spy(1, size=60))
    rig.give(kit.submit())
    return rig


def test_execution_when_the_broker_tells_of_it_after_a_newer_one_then_is_booked_by_the_next_whole_comparison(
    rig: Any, kit: Any
) -> None:
    rig.broker.real.hidden = frozenset({"PX-000001"})
    rig.market(kit.spy(2, size=60))
    rig.market(kit.spy(3, size=60))
    assert [name for name, _ in kit.fills(rig)] == ["PX-000002"]
    rig.broker.real.hidden = frozenset()
    rig.idle_for(EVERY_NS / kit.SECOND + 1, every=1)
    assert sorted(name for name, _ in kit.fills(rig)) == ["PX-000001", "PX-000002"]
    assert rig.state.find(kit.order_id("entry")).filled_nanos == 100 * m.NANOS
    (intent,) = rig.state.open_intents()
    assert sum(order.prepared.qty_nanos for order in intent.open_orders if order.leg == "stop") == 100 * m.NANOS


@pytest.mark.parametrize("what", ["gap", "reconnect", "close"])
def test_execution_when_the_process_stood_still_the_broker_was_away_or_the_session_ends_then_is_looked_for_at_once(
    rig: Any, kit: Any, what: str
) -> None:
    rig.broker.real.hidden = frozenset({"PX-000001"})
    rig.market(kit.spy(2, size=60))
    rig.market(kit.spy(3, size=60))
    rig.idle_for(20, every=1)
    rig.broker.real.hidden = frozenset()
    if what == "gap":
        rig.gap()
    elif what == "reconnect":
        rig.broker.errors["executions_after"] = [RetryableBrokerError("no route")]
        rig.idle_for(6, every=1)
    else:
        rig.now_ns = kit.CLOSE_NS
    rig.idle_for(12, every=1)
    assert sorted(name for name, _ in kit.fills(rig)) == ["PX-000001", "PX-000002"]


def test_f47_execution_when_the_broker_does_not_list_it_any_more_then_halts_at_the_second_look(
    rig: Any, kit: Any
) -> None:
    rig.market(kit.spy(2, size=100))
    rig.idle_for(5, every=1)
    rig.broker.real.hidden = frozenset({"PX-000001"})
    rig.idle_for(EVERY_NS / kit.SECOND, every=1)
    assert rig.halts == []
    rig.idle_for(60, every=1)
    ((rule, words),) = rig.halts
    assert rule == "broker_anomaly"
    assert "the broker does not list executions any more that are booked: PX-000001" in words


def test_executions_of_another_session_when_compared_then_are_not_asked_for_again(rig: Any, kit: Any) -> None:
    rig.market(kit.spy(2, size=100))
    rig.give(a_plan("2013-10-09"))
    assert rig.state.session_execution_id == "PX-000001"
    rig.broker.real.hidden = frozenset({"PX-000001"})
    rig.idle_for(2 * EVERY_NS / kit.SECOND, every=5)
    assert rig.halts == []


def test_order_at_market_when_it_waits_then_is_looked_at_each_second_for_ten_and_then_each_five(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    rig.market(kit.spy(1))
    rig.idle_for(6)
    rig.give(kit.submit())

    def looks(seconds: int) -> int:
        before = rig.broker.calls.count("open_orders")
        for _ in range(seconds):
            rig.now_ns += kit.SECOND
            rig.idle_for(1)
        return rig.broker.calls.count("open_orders") - before

    looks(5)
    assert looks(4) == 4
    looks(6)
    assert looks(10) == 2
