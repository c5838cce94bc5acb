"""The comparison alone: every state of an order against what the broker lists, and positions against fills."""

from typing import Any

import pytest

from bus import messages as m
from services.execution.brokers import reports as r
from services.execution.brokers.interface import OpenOrder
from services.execution.orders import OrderState
from services.execution.reconcile import compare_orders, compare_positions


def _listed(key: str, symbol: str = "SPY", side: m.Side = "BUY") -> OpenOrder:
    return OpenOrder(client_order_id=key, broker_order_id="B-1", symbol=symbol, side=side)


def _cancelling(desk: Any, key: str) -> None:
    desk.accepted(key)
    desk.give(desk.kit.disarm())


STEPS: dict[OrderState, Any] = {
    OrderState.PREPARED: lambda _desk, _key: None,
    OrderState.UNKNOWN: lambda desk, key: desk.says(r.BrokerUnknown, key),
    OrderState.WORKING: lambda desk, key: desk.accepted(key),
    OrderState.PARTIALLY_FILLED: lambda desk, key: (desk.accepted(key), desk.filled(key, 40, "X-1")),
    OrderState.CANCEL_PENDING: _cancelling,
    OrderState.FILLED: lambda desk, key: (desk.accepted(key), desk.filled(key, 100, "X-1")),
    OrderState.CANCELLED: lambda desk, key: (_cancelling(desk, key), desk.cancelled(key)),
    OrderState.REJECTED: lambda desk, key: desk.says(r.BrokerRejected, key),
    OrderState.EXPIRED: lambda desk, key: desk.says(r.BrokerNotFound, key),
}
RESTS = {OrderState.WORKING, OrderState.PARTIALLY_FILLED, OrderState.CANCEL_PENDING}
OVER = {OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED}


@pytest.mark.parametrize("state", list(OrderState))
@pytest.mark.parametrize("is_listed", [False, True])
def test_order_in_each_state_when_listed_or_not_then_is_looked_up_where_the_two_differ(
    desk: Any, kit: Any, state: OrderState, is_listed: bool
) -> None:
    key = kit.order_id("entry")
    desk.give(kit.submit())
    STEPS[state](desk, key)
    assert desk.order(key).state is state
    found = compare_orders(desk.state, [_listed(key)] if is_listed else [], unsent=())
    differs = is_listed != (state in RESTS)
    # What was never confirmed to us need not be listed either.
    if not is_listed and state in {OrderState.PREPARED, OrderState.UNKNOWN}:
        differs = False
    assert (key in found.to_look_up) == differs
    assert (key in found.over) == (is_listed and state in OVER)
    assert found.strangers == found.external == ()


def test_order_when_it_was_never_sent_then_is_not_looked_up(desk: Any, kit: Any) -> None:
    key = kit.order_id("entry")
    desk.give(kit.submit())
    assert compare_orders(desk.state, [_listed(key)], unsent={key: 0}).to_look_up == ()


def test_orders_when_not_in_the_journal_then_the_name_tells_whose_they_are(desk: Any) -> None:
    found = compare_orders(desk.state, [_listed("tb1-lost"), _listed("manual"), _listed("")], unsent=())
    assert found.strangers == ("tb1-lost",)
    assert [item.client_order_id for item in found.external] == ["manual", ""]
    assert found.to_look_up == ()


@pytest.mark.parametrize(
    ("reported", "short", "external"),
    [
        ({"SPY": 100}, (), {}),
        ({"SPY": 130}, (), {"SPY": 30}),
        ({"SPY": 100, "QQQ": 7}, (), {"QQQ": 7}),
        ({"SPY": 60}, ("SPY: 60 at the broker, 100 by our fills",), {}),
        ({}, ("SPY: 0 at the broker, 100 by our fills",), {}),
        ({"SPY": -1}, ("SPY: -1 at the broker, 100 by our fills",), {}),
        ({"SPY": 100, "QQQ": -7}, (), {"QQQ": -7}),
    ],
)
def test_positions_when_more_is_there_then_is_external_and_when_less_then_is_short(
    desk: Any, reported: dict[str, int], short: tuple[str, ...], external: dict[str, int]
) -> None:
    desk.with_position(100)
    found = compare_positions(desk.state, {symbol: qty * m.NANOS for symbol, qty in reported.items()})
    assert found.short == short
    assert found.external == {symbol: qty * m.NANOS for symbol, qty in external.items()}
