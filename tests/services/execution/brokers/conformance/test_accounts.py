"""Cards: the account, its assets, and what somebody else does in it."""

import pytest
from conformance.cards import card
from conformance.rig import OTHER, STARTING_CASH_MICROS, SYMBOL, UNKNOWN, Rig, micros

from bus import messages as m
from services.execution.brokers import reports as r

DEVIATION_NS_MAX = 60 * m.NANOS


@card()
def test_an_account_when_it_is_new_then_has_its_cash_and_nothing_else(rig: Rig) -> None:
    account = rig.broker.account(rig.session_date, rig.now_ns)
    assert (account.cash_micros, account.buying_power_micros) == (STARTING_CASH_MICROS, STARTING_CASH_MICROS)
    assert (account.symbols, account.qtys_nanos) == ((), ())
    assert (account.broker, account.session_date) == (rig.broker.name, rig.session_date)


@card()
def test_an_account_when_shares_are_bought_then_has_paid_for_them_to_the_cent(rig: Rig) -> None:
    rig.quote(SYMBOL, micros(33.32), micros(33.33))
    rig.place("tb1-a", shares=7)
    assert rig.cash_micros() == STARTING_CASH_MICROS - micros(233.31)
    assert rig.positions() == {SYMBOL: 7 * m.NANOS}


@card()
def test_an_account_when_all_is_sold_then_holds_nothing_and_has_paid_the_spread(rig: Rig) -> None:
    rig.quote(SYMBOL, micros(100), micros(100.02))
    rig.place("tb1-a")
    rig.place("tb1-b", "SELL")
    assert rig.cash_micros() == STARTING_CASH_MICROS - micros(2)
    assert rig.positions() == {}


@card()
def test_positions_when_there_are_several_then_are_sorted_by_symbol(rig: Rig) -> None:
    rig.holds(10, SYMBOL)
    rig.holds(20, OTHER)
    account = rig.broker.account(rig.session_date, rig.now_ns)
    assert account.symbols == (OTHER, SYMBOL)
    assert account.qtys_nanos == (20 * m.NANOS, 10 * m.NANOS)


@card()
def test_buying_power_when_a_purchase_waits_then_is_less_by_what_it_may_cost(rig: Rig) -> None:
    rig.quote(SYMBOL, micros(100), micros(100.02))
    rig.settle()
    rig.place("tb1-a", shares=100, limit=90)
    account = rig.broker.account(rig.session_date, rig.now_ns)
    assert account.cash_micros == STARTING_CASH_MICROS
    assert account.buying_power_micros == STARTING_CASH_MICROS - micros(9_000)
    rig.cancel("tb1-a")
    assert rig.broker.account(rig.session_date, rig.now_ns).buying_power_micros == STARTING_CASH_MICROS


@card()
def test_a_movement_of_money_when_told_again_then_has_the_same_id(rig: Rig) -> None:
    first = rig.broker.activities(rig.now_ns)
    rig.settle()
    second = rig.broker.activities(rig.now_ns)
    assert [(a.activity_id, a.amount_micros) for a in first] == [(a.activity_id, a.amount_micros) for a in second]
    assert len({a.activity_id for a in first}) == len(first)


@card("money")
def test_a_dividend_when_it_is_paid_then_is_told_once_with_its_kind_and_is_in_the_cash(rig: Rig) -> None:
    known = {one.activity_id for one in rig.broker.activities(rig.now_ns)}
    rig.pay_dividend(micros(12.34))
    rig.settle()
    for _ in range(2):
        [paid] = [one for one in rig.broker.activities(rig.now_ns) if one.activity_id not in known]
        assert isinstance(paid, r.BrokerCash)
        assert (paid.kind, paid.amount_micros) == ("DIVIDEND", micros(12.34))
    assert rig.cash_micros() == STARTING_CASH_MICROS + micros(12.34)


@card("foreign")
def test_a_position_when_somebody_else_took_it_then_is_shown(rig: Rig) -> None:
    rig.holds(10)
    rig.foreign_position(OTHER, 70 * m.NANOS)
    assert rig.positions() == {OTHER: 70 * m.NANOS, SYMBOL: 10 * m.NANOS}


@card("foreign", "shorts")
def test_a_position_when_it_is_short_then_is_below_zero(rig: Rig) -> None:
    rig.foreign_position(OTHER, -70 * m.NANOS)
    assert rig.positions() == {OTHER: -70 * m.NANOS}


@card("foreign")
def test_an_order_when_somebody_else_placed_it_then_is_listed_beside_ours(rig: Rig) -> None:
    rig.place("tb1-a", limit=50)
    broker_order_id = rig.foreign_order(OTHER, "BUY", 5 * m.NANOS, micros(10))
    rig.settle()
    listed = {order.broker_order_id: order for order in rig.broker.open_orders(rig.now_ns)}
    assert len(listed) == 2
    theirs = listed[broker_order_id]
    assert (theirs.symbol, theirs.side) == (OTHER, "BUY")
    assert not theirs.client_order_id.startswith("tb1-")


@card()
def test_assets_when_asked_for_then_come_in_the_order_of_asking(rig: Rig) -> None:
    for wanted in ((SYMBOL, OTHER), (OTHER, SYMBOL), (SYMBOL,), ()):
        assert tuple(line.symbol for line in rig.broker.assets(wanted, rig.now_ns)) == wanted


@card("asset-list")
def test_assets_when_the_house_limits_one_then_its_flags_say_so(rig: Rig) -> None:
    rig.asset(SYMBOL, is_fractionable=False)
    rig.asset(OTHER, is_tradable=False)
    whole, closed = rig.broker.assets((SYMBOL, OTHER), rig.now_ns)
    assert (whole.is_tradable, whole.is_fractionable) == (True, False)
    assert not closed.is_tradable


@card("asset-list")
def test_assets_when_one_is_unknown_then_it_is_not_tradable_and_the_others_are_told(rig: Rig) -> None:
    known, unknown = rig.broker.assets((SYMBOL, UNKNOWN), rig.now_ns)
    assert known.is_tradable
    assert (unknown.symbol, unknown.is_tradable) == (UNKNOWN, False)


@card("clock")
def test_the_clock_when_the_session_is_open_then_says_so_and_is_right(rig: Rig) -> None:
    clock = rig.broker.clock(rig.now_ns)
    assert clock is not None
    assert clock.is_open
    assert abs(clock.utc_ns - rig.now_ns) < DEVIATION_NS_MAX


@card()
def test_the_check_at_the_start_when_all_is_well_then_finds_no_fault(rig: Rig) -> None:
    rig.holds(10)
    assert list(rig.broker.faults()) == []


@card("fence")
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_an_order_when_the_fence_is_up_then_is_refused_until_it_is_down(rig: Rig, side: m.Side) -> None:
    rig.holds(10)
    rig.broker.fence(is_up=True, now_ns=rig.now_ns)
    assert rig.place("tb1-x", side, 10, limit=100).state == "REJECTED"
    rig.broker.fence(is_up=False, now_ns=rig.now_ns)
    assert rig.place("tb1-y", side, 10, limit=50 if side == "BUY" else 150).state == "WORKING"
