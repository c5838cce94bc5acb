"""A symbol that is halted or not fractionable any more within the session: denied, shown, and taken up again."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from bus import messages as m
from services.execution.assets import EVERY_NS, REFUSED_NS
from services.execution.brokers.interface import RetryableBrokerError
from services.execution.brokers.paper import PaperBroker
from services.execution.brokers.reports import BrokerAssets

SPY = m.AssetLine(symbol="SPY", is_tradable=True, is_fractionable=True, is_shortable=False)
HALTED = replace(SPY, is_tradable=False)
#: A look comes within a second of its time.
WAIT_S = EVERY_NS // m.NANOS + 2


@pytest.fixture
def rig(open_broker: Callable[..., PaperBroker], kit: Any) -> Any:
    """Return a rig that holds 100 SPY under a stop."""
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    kit.enter(rig)
    rig.idle_for(5, every=1)
    return rig


def told_of(line: m.AssetLine) -> BrokerAssets:
    return BrokerAssets(ts_event=1, ts_init=1, session_date="2013-10-08", broker="FAKE", assets=(line,))


def reported(events: list[m.Message]) -> list[m.AssetLine]:
    return [line for event in events if isinstance(event, m.AssetsReported) for line in event.assets]


def shown(rig: Any) -> str:
    (snapshot,) = rig.core.snapshot(rig.state, rig.now_ns)
    return snapshot.warnings


def test_f50_symbols_when_nothing_has_changed_then_are_asked_for_every_ten_minutes_and_not_reported(rig: Any) -> None:
    before = rig.broker.calls.count("assets")
    assert reported(rig.idle_for(3 * WAIT_S, every=1)) == []
    assert rig.broker.calls.count("assets") == before + 3


def test_f50_symbol_when_halted_within_the_session_then_is_reported_and_its_position_is_shown_as_stuck(
    rig: Any,
) -> None:
    rig.broker.limited["SPY"] = HALTED
    assert reported(rig.idle_for(WAIT_S, every=1)) == [HALTED]
    assert "STUCK, the broker does not let it be traded now: SPY 100" in shown(rig)
    del rig.broker.limited["SPY"]
    assert reported(rig.idle_for(WAIT_S, every=1)) == [SPY]
    assert shown(rig) == ""


def test_f50_symbol_when_not_fractionable_any_more_then_a_part_of_a_share_is_shown(rig: Any, kit: Any) -> None:
    fraction = {"qty_nanos": m.NANOS // 2, "intent_id": "2013-10-08:mid:SPY:BULLISH", "expires_ns": 2**62}
    rig.give(kit.submit(**fraction))
    rig.market(kit.spy(3))
    rig.broker.limited["SPY"] = replace(SPY, is_fractionable=False)
    rig.idle_for(WAIT_S, every=1)
    assert "in fractions that the broker does not take any more: SPY 0.5" in shown(rig)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ('asset "SPY" is not tradable', HALTED),
        ("Order rejected - reason:The stock is halted (201)", HALTED),
        ('asset "SPY" is not fractionable', replace(SPY, is_fractionable=False)),
        ("insufficient buying power", None),
        ("new orders are rejected by user request", None),
        ("trading is suspended", None),
    ],
)
def test_f50_refusal_when_it_names_the_symbol_then_that_is_reported_at_once(
    rig: Any, kit: Any, words: str, line: m.AssetLine | None
) -> None:
    rig.give(kit.submit(intent_id="2013-10-08:mid:SPY:BULLISH", expires_ns=2**62))
    key = kit.order_id("entry", intent_id="2013-10-08:mid:SPY:BULLISH")
    rig.shell.after_commit(rig.state, m.OrderRejected(ts_event=1, ts_init=1, client_order_id=key, detail=words), 1)
    assert reported(rig.idle_for(2, every=1)) == ([line] if line else [])


def test_f50_refusal_when_the_list_does_not_know_of_it_then_counts_for_ten_minutes(rig: Any) -> None:
    rig.shell._assets.note_refusal("SPY", "trading halt")
    assert reported(rig.idle_for(2, every=1)) == [HALTED]
    assert reported(rig.idle_for(REFUSED_NS // m.NANOS + WAIT_S, every=1)) == [SPY]


def test_f50_sale_when_refused_for_a_halt_then_waits_until_the_symbol_is_traded_again(desk: Any, kit: Any) -> None:
    desk.with_position()
    desk.at(3_601)
    desk.cancelled(kit.order_id("stop"))
    desk.accepted(kit.order_id("exit"))
    desk.give(told_of(HALTED))
    desk.cancelled(kit.order_id("exit"))
    assert not any(isinstance(event, m.OrderPrepared) for second in range(3_602, 3_650) for event in desk.at(second))
    desk.give(told_of(SPY))
    (again,) = [event for event in desk.at(3_700) if isinstance(event, m.OrderPrepared)]
    assert (again.leg, again.attempt, again.qty_nanos) == ("exit", 2, 100 * m.NANOS)


def test_f50_list_when_it_is_not_answered_then_is_asked_for_again_and_nothing_halts(rig: Any) -> None:
    rig.broker.limited["SPY"] = HALTED
    rig.broker.errors["assets"] = [RetryableBrokerError("no route")] * 3
    assert reported(rig.idle_for(WAIT_S + 10, every=1)) == [HALTED]
    assert rig.halts == []


def test_f50_symbols_when_many_change_at_once_then_are_one_question_and_come_in_messages_that_fit(
    rig: Any, kit: Any
) -> None:
    names = [f"S{number}" for number in range(1_201)]
    rig.market(kit.quotes(9, *((name, 10.0, 10.02, 100, 100) for name in names)))
    rig.broker.limited = {name: replace(HALTED, symbol=name) for name in names}
    before = rig.broker.calls.count("assets")
    events = [event for event in rig.idle_for(WAIT_S, every=1) if isinstance(event, m.AssetsReported)]
    assert [len(event.assets) for event in events] == [500, 500, 201]
    assert rig.broker.calls.count("assets") == before + 1
