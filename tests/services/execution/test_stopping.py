"""A stop of the process: what STOP_POSITIONS leaves behind, and the line that says so."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers.interface import RetryableBrokerError
from services.execution.brokers.paper import PaperBroker
from services.execution.orders import OrderState

OpenBroker = Callable[..., PaperBroker]
QQQ = "2013-10-08:open:QQQ:BULLISH"


def _two(kit: Any, step: int) -> m.QuoteBatch:
    return kit.quotes(step, ("SPY", 100.0, 100.02, 1000, 1000), ("QQQ", 50.0, 50.02, 1000, 1000))


def _with_position_and_entry(open_broker: OpenBroker, kit: Any, policy: str, shares: int = 100) -> Any:
    """Return an armed rig that holds SPY and whose entry in QQQ waits at the broker."""
    rig = kit.Rig(kit.Unreliable(open_broker()), stop_positions=policy).armed()
    rig.market(_two(kit, 1))
    rig.give(kit.submit(shares=shares))
    rig.market(_two(kit, 2))
    rig.idle()
    rig.give(kit.submit(intent_id=QQQ, symbol="QQQ"))
    return rig


def _open_legs(rig: Any) -> list[str]:
    return [rig.state.find(order.client_order_id).leg for order in rig.broker.real.open_orders(0)]


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("stopped")]


def test_stop_when_positions_are_kept_then_only_the_protective_stop_stays_and_it_says_so(
    open_broker: OpenBroker, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig = _with_position_and_entry(open_broker, kit, "keep")
    events = kit.names(rig.stop())
    assert events == ["CancelRequested", "OrderCancelled", "IntentClosed"]
    assert _open_legs(rig) == ["stop"]
    rig.shell.close()
    assert _said(caplog) == [
        "stopped in the session: 1 position stays under its protective stop at the broker (STOP_POSITIONS=keep)"
    ]


def test_stop_when_everything_is_sold_then_the_fills_are_booked_and_nothing_is_open(
    open_broker: OpenBroker, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig = _with_position_and_entry(open_broker, kit, "flatten")
    events = kit.names(rig.stop())
    assert events[-2:] == ["OrderFilled:exit", "IntentClosed"]
    assert _open_legs(rig) == []
    assert rig.broker.account("d", 0).symbols == ()
    assert rig.state.open_intents() == []
    assert rig.halts == []
    assert _said(caplog) == [
        "stopped in the session: nothing is held and no order of ours is open (STOP_POSITIONS=flatten)"
    ]


def test_stop_when_the_quote_is_too_small_for_all_then_the_rest_waits_at_the_broker_and_it_says_so(
    open_broker: OpenBroker, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig = _with_position_and_entry(open_broker, kit, "flatten")
    rig.market(kit.spy(3, size=30))
    rig.stop()
    assert _open_legs(rig) == ["exit"]
    assert _said(caplog) == [
        "stopped in the session: 1 position stays until the exit that waits at the broker is filled "
        "(STOP_POSITIONS=flatten)"
    ]
    again = kit.Rig(kit.Unreliable(rig.broker.real), journal=rig.journal)
    again.start()
    again.market(kit.spy(4))
    assert again.state.open_intents() == []


@pytest.mark.parametrize("policy", ["keep", "flatten"])
def test_stop_outside_the_session_when_a_position_is_held_then_it_stays_protected(
    open_broker: OpenBroker, kit: Any, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    rig = _with_position_and_entry(open_broker, kit, policy)
    rig.now_ns = kit.CLOSE_NS
    rig.stop()
    assert _open_legs(rig) == ["stop"]
    assert _said(caplog) == [
        "stopped outside the session: 1 position stays under its protective stop at the broker "
        f"(STOP_POSITIONS={policy})"
    ]


@pytest.mark.parametrize("at_ns", [0, None])
def test_stop_when_nothing_is_held_then_says_that_nothing_is_open(
    open_broker: OpenBroker, kit: Any, caplog: pytest.LogCaptureFixture, at_ns: int | None
) -> None:
    rig = kit.Rig(open_broker())
    if at_ns is None:
        rig.armed()
        rig.market(kit.spy(1))
    assert rig.stop() == []
    where = "outside" if at_ns == 0 else "in"
    assert _said(caplog) == [f"stopped {where} the session: no position and no order of ours is open"]


@pytest.mark.parametrize("call", ["cancel", "submit", "lookup", "executions_after", "finish"])
def test_stop_when_the_broker_misses_a_call_then_is_asked_again_and_ends_clean(
    open_broker: OpenBroker, kit: Any, call: str
) -> None:
    rig = _with_position_and_entry(open_broker, kit, "flatten")
    rig.broker.errors[call] = [RetryableBrokerError("no route")]
    if call in ("lookup", "executions_after"):
        rig.gap()
    rig.stop()
    if call == "finish":
        assert _open_legs(rig) == ["exit"]
    elif call == "submit":
        # The broker never had it: that is proven first, and the position is sold by the next attempt.
        assert rig.state.find(kit.order_id("exit")).state is OrderState.EXPIRED
        assert rig.state.open_intents() == []
    else:
        assert rig.state.open_intents() == []
    assert rig.halts == []


def test_stop_when_the_broker_does_not_answer_then_says_what_is_not_confirmed(
    open_broker: OpenBroker, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig = _with_position_and_entry(open_broker, kit, "keep")
    for errors in rig.broker.errors.values():
        errors.extend([RetryableBrokerError("no route")] * 1000)
    rig.stop()
    rig.shell.close()
    assert _said(caplog) == [
        "stopped before the broker had confirmed everything: in the session: 1 position stays under its protective "
        "stop at the broker, 1 entry order(s) may still be open at the broker (STOP_POSITIONS=keep)"
    ]


def test_stop_when_an_entry_was_never_sent_then_it_expires_and_nothing_is_sent_any_more(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    rig.market(kit.spy(1))
    rig.gate.is_open = False
    rig.give(kit.submit())
    rig.gate.is_open = True
    assert kit.names(rig.stop()) == ["OrderExpired", "IntentClosed"]
    rig.give(kit.submit(intent_id=QQQ, symbol="QQQ"))
    assert rig.broker.calls.count("submit") == 0


def test_stop_when_the_process_dies_between_the_cancel_and_the_sale_then_the_next_one_sells(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = _with_position_and_entry(open_broker, kit, "flatten")

    def die(event: m.Message) -> None:
        if isinstance(event, m.CancelRequested) and event.client_order_id == kit.order_id("stop"):
            raise kit.Crash

    rig.failpoint = die
    with pytest.raises(kit.Crash):
        rig.stop()
    rig.broker.real.cancel(kit.order_id("stop"), rig.now_ns)
    again = kit.Rig(kit.Unreliable(rig.broker.real), journal=rig.journal)
    again.now_ns = rig.now_ns
    again.start()
    again.market(_two(kit, 3))
    again.market(_two(kit, 4))
    assert again.state.find(kit.order_id("exit")).state is OrderState.FILLED
    assert "SPY" not in again.broker.account("d", 0).symbols


def test_stop_is_said_once_and_as_a_warning(
    open_broker: OpenBroker, kit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig = kit.Rig(open_broker())
    rig.give(a_plan())
    rig.stop()
    rig.shell.close()
    assert [(r.levelno, r.getMessage()[:7]) for r in caplog.records if "stopped" in r.getMessage()] == [
        (logging.WARNING, "stopped")
    ]
