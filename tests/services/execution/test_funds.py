"""Orders of the holdings in execution: when they may leave, what they are held against, and how they end."""

from typing import Any

import pytest
from msgspec.structs import replace

from bus import messages as m
from bus.testing import a_plan
from services.execution.brokers import reports as r
from services.execution.funds import amount_refusal
from services.execution.orders import client_order_id
from services.execution.reconcile import compare_positions

INTENT = "holdings:2013-10-08:2:SCHD"
KEY = client_order_id("ACME_USA_main_PAPER_BOT01", INTENT, "fund", attempt=1)
SECOND = 1_000_000_000


def fund_order(kit: Any, **changes: Any) -> m.SubmitOrder:
    plan = a_plan()
    fields = {
        "intent_id": INTENT,
        "strategy": "holdings",
        "symbol": "SCHD",
        "qty_nanos": 1_500_000_000,
        "reference_micros": 80 * m.MICROS,
        "expires_ns": plan.flatten_ns + 60 * SECOND,
        "cancel_at_ns": plan.close_ns - 60 * SECOND,
        "exit_at_ns": plan.close_ns - 60 * SECOND,
    }
    order: m.SubmitOrder = replace(kit.submit(), **{**fields, **changes})
    return order


@pytest.fixture
def late(desk: Any) -> Any:
    desk.now = a_plan().flatten_ns + SECOND
    return desk


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_fund_order_after_the_flatten_is_prepared_both_ways(late: Any, kit: Any, side: str) -> None:
    [order] = late.give(fund_order(kit, side=side))
    assert (order.leg, order.side, order.client_order_id) == ("fund", side, KEY)


@pytest.mark.parametrize(
    ("at_ns", "words"),
    [
        (a_plan().flatten_ns - 1, "too early"),
        (a_plan().close_ns, "too late"),
        (a_plan().close_ns - 60 * SECOND, "too late"),
        (a_plan().close_ns - 61 * SECOND, "too late"),
    ],
)
def test_a_fund_order_outside_its_window_expires_and_its_end_is_said(
    desk: Any, kit: Any, at_ns: int, words: str
) -> None:
    desk.now = at_ns
    events = desk.give(fund_order(kit, expires_ns=a_plan().close_ns))
    assert [type(event).__name__ for event in events] == [
        "OrderPrepared",
        "OrderExpired",
        "IntentClosed",
        "HoldingsOrderEnded",
    ]
    assert words in events[-1].detail
    assert events[-1].filled_nanos == 0


def test_a_fund_order_when_more_than_a_second_of_its_window_is_left_is_sent(desk: Any, kit: Any) -> None:
    desk.now = a_plan().close_ns - 61 * SECOND - 1
    [order] = desk.give(fund_order(kit, expires_ns=a_plan().close_ns))
    assert order.leg == "fund"


def test_a_fund_order_when_the_chain_is_stopped_expires(late: Any, kit: Any) -> None:
    late.give(kit.halt())
    events = late.give(fund_order(kit))
    assert "halted" in events[-1].detail


def test_a_filled_fund_order_ends_at_once_without_a_stop_and_is_no_position(late: Any, kit: Any) -> None:
    late.give(fund_order(kit, qty_nanos=3 * m.NANOS))
    late.accepted(KEY)
    events = late.filled(KEY, 1, "X-1", price=80)
    assert [type(event).__name__ for event in events] == ["OrderFilled"]
    assert (events[0].leg, events[0].strategy) == ("fund", "holdings")
    rest = late.filled(KEY, 2, "X-2", price=80)
    assert [type(event).__name__ for event in rest] == ["OrderFilled", "IntentClosed", "HoldingsOrderEnded"]
    assert rest[-1].execution_ids == ("X-1", "X-2")
    assert (rest[-1].filled_nanos, rest[-1].detail) == (3 * m.NANOS, "")
    assert late.state.open_intents() == []
    found = compare_positions(late.state, {"SCHD": 3 * m.NANOS})
    assert found.short == ()


def test_what_the_holdings_bought_is_not_sold_by_the_kill_switch_or_the_close(late: Any, kit: Any) -> None:
    late.give(fund_order(kit, qty_nanos=m.NANOS))
    late.accepted(KEY)
    late.filled(KEY, 1, "X-1", price=80)
    events = late.give(kit.kill())
    assert [type(event).__name__ for event in events] == ["KillSwitchTripped"]


def test_a_halt_cancels_what_is_open_of_a_fund_order_and_its_part_is_kept(late: Any, kit: Any) -> None:
    late.give(fund_order(kit, qty_nanos=2 * m.NANOS))
    late.accepted(KEY)
    late.filled(KEY, 1, "X-1", price=80)
    events = late.give(kit.halt())
    assert "CancelRequested" in [type(event).__name__ for event in events]
    done = late.cancelled(KEY, 1)
    assert [type(event).__name__ for event in done] == ["OrderCancelled", "IntentClosed", "HoldingsOrderEnded"]
    assert done[-1].filled_nanos == m.NANOS
    assert done[-1].detail


def test_a_refusal_of_a_fund_order_halts_nothing(late: Any, kit: Any) -> None:
    late.give(fund_order(kit))
    events = late.says(r.BrokerRejected, KEY)
    assert [type(event).__name__ for event in events] == ["OrderRejected", "IntentClosed", "HoldingsOrderEnded"]
    assert events[-1].detail == events[0].detail


def test_a_fund_order_beyond_the_account_is_refused(late: Any, kit: Any) -> None:
    state = late.state
    account = m.AccountReported(
        ts_event=0, ts_init=0, session_date="2013-10-08", broker="PAPER", cash_micros=1_000 * m.MICROS,
        buying_power_micros=1_000 * m.MICROS, symbols=("SCHD",), qtys_nanos=(2 * m.NANOS,),
    )  # fmt: skip
    [order] = late.give(fund_order(kit))
    state = late.state
    assert "has not reported" in str(amount_refusal(state, replace(order, session_date="2013-10-09"), None))
    state.account = account
    assert amount_refusal(state, order, None) is None
    assert "the account's cash is $1,000" in str(amount_refusal(state, replace(order, qty_nanos=13 * m.NANOS), None))
    sale = replace(order, side="SELL")
    assert amount_refusal(state, replace(sale, qty_nanos=2 * m.NANOS), None) is None
    assert "2 are held" in str(amount_refusal(state, replace(sale, qty_nanos=3 * m.NANOS), None))
