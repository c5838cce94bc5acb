"""Cards: what every house refuses. A refusal says why, and leaves nothing behind."""

import pytest
from conformance.cards import card
from conformance.rig import OTHER, STARTING_CASH_MICROS, SYMBOL, UNKNOWN, Outcome, Rig, micros

from bus import messages as m
from services.execution.brokers import reports as r


def refused(rig: Rig, key: str, side: m.Side = "BUY", shares: float = 100, **more: object) -> str:
    """Place an order, hold that it is refused in words and leaves nothing, and return the words."""
    cash, held, listed = rig.cash_micros(), rig.positions(), rig.listed()
    status = rig.place(key, side, shares, **more)
    assert status.state == "REJECTED"
    assert status.detail.strip()
    assert (rig.cash_micros(), rig.positions(), rig.listed()) == (cash, held, listed)
    return status.detail


def show(rig: Rig, bid: float = 100) -> None:
    """Let the market stand at this bid."""
    rig.quote(SYMBOL, micros(bid), micros(bid + 0.02), 10_000, 10_000)
    rig.settle()


@card()
def test_a_purchase_when_it_costs_more_than_there_is_then_is_refused(rig: Rig) -> None:
    show(rig)
    refused(rig, "tb1-x", shares=1_001)


@card()
def test_a_limit_buy_when_its_price_costs_more_than_there_is_then_is_refused(rig: Rig) -> None:
    show(rig)
    refused(rig, "tb1-x", shares=1_010, limit=99.5)


@card()
def test_a_purchase_when_the_cash_waits_for_another_then_is_refused(rig: Rig) -> None:
    show(rig)
    assert rig.place("tb1-a", shares=900, limit=90).state == "WORKING"
    refused(rig, "tb1-b", shares=300, limit=90)
    assert rig.place("tb1-c", shares=200, limit=90).state == "WORKING"


@card()
@pytest.mark.parametrize("shares", [0, -1])
def test_an_order_when_its_quantity_is_not_positive_then_is_refused(rig: Rig, shares: int) -> None:
    show(rig)
    refused(rig, "tb1-x", shares=shares)


@card()
def test_a_limit_order_when_it_has_no_price_then_is_refused(rig: Rig) -> None:
    refused(rig, "tb1-x", order_type="LIMIT")


@card()
def test_a_stop_order_when_it_has_no_price_then_is_refused(rig: Rig) -> None:
    rig.holds(100)
    refused(rig, "tb1-x", "SELL", order_type="STOP")


@card()
@pytest.mark.parametrize("trail_bps", [0, 10_000])
def test_a_trailing_stop_when_its_trail_is_out_of_range_then_is_refused(rig: Rig, trail_bps: int) -> None:
    rig.holds(100)
    refused(rig, "tb1-x", "SELL", order_type="TRAILING_STOP", trail_bps=trail_bps)


@card()
def test_a_limit_when_it_has_a_part_of_a_cent_then_is_refused(rig: Rig) -> None:
    show(rig)
    refused(rig, "tb1-x", limit=99.505)


@card()
def test_a_stop_when_it_has_a_part_of_a_cent_then_is_refused(rig: Rig) -> None:
    rig.holds(100)
    refused(rig, "tb1-x", "SELL", stop=98.123)


@card()
def test_a_limit_when_it_is_below_a_dollar_then_may_have_four_decimals(rig: Rig) -> None:
    assert rig.place("tb1-a", shares=1, limit=0.5125).state == "WORKING"
    refused(rig, "tb1-x", shares=1, limit=0.51255)


@card()
def test_a_sale_when_nothing_is_held_then_is_refused(rig: Rig) -> None:
    show(rig)
    if rig.lacks("shorts"):
        refused(rig, "tb1-x", "SELL")
    else:
        # A house that lends does not decide this: what is sold short there is risk's to refuse.
        assert rig.place("tb1-x", "SELL", limit=150).state in {"WORKING", "REJECTED"}


@card()
def test_a_sale_when_it_is_more_than_is_held_then_is_refused(rig: Rig) -> None:
    rig.holds(100)
    refused(rig, "tb1-x", "SELL", shares=101)
    assert rig.positions() == {SYMBOL: 100 * m.NANOS}


@card()
def test_a_sale_when_the_shares_wait_for_another_sale_then_is_refused(rig: Rig) -> None:
    rig.holds(100)
    rig.place("tb1-s", "SELL", stop=90)
    refused(rig, "tb1-x", "SELL", shares=1)


@card("asset-list")
def test_an_order_when_the_symbol_is_unknown_then_is_refused(rig: Rig) -> None:
    refused(rig, "tb1-x", symbol=UNKNOWN, shares=1, limit=5)


@card("asset-list")
def test_an_order_when_the_symbol_may_not_be_traded_then_is_refused(rig: Rig) -> None:
    rig.asset(OTHER, is_tradable=False)
    refused(rig, "tb1-x", symbol=OTHER, shares=1, limit=5)


@card("asset-list", "fractions")
def test_a_fraction_when_the_symbol_is_traded_in_whole_shares_then_is_refused(rig: Rig) -> None:
    rig.asset(OTHER, is_fractionable=False)
    rig.quote(OTHER, micros(10), micros(10.02))
    refused(rig, "tb1-x", symbol=OTHER, shares=0.5)
    assert rig.place("tb1-a", symbol=OTHER, shares=1).state == "FILLED"


@card("wash-rule")
def test_a_purchase_when_an_order_of_the_other_side_stands_then_is_refused(rig: Rig) -> None:
    rig.holds(100)
    rig.place("tb1-s", "SELL", stop=90)
    refused(rig, "tb1-x", shares=1)


@card(Outcome.REJECT)
def test_an_order_when_the_house_refuses_it_for_its_own_reason_then_says_it(rig: Rig) -> None:
    show(rig)
    rig.fail_next("submit", Outcome.REJECT)
    refused(rig, "tb1-x", shares=1)
    assert rig.place("tb1-b", shares=1).state == "FILLED"


@card()
def test_a_refusal_when_told_then_reserves_no_cash(rig: Rig) -> None:
    show(rig)
    refused(rig, "tb1-x", shares=5_000, limit=99)
    assert rig.place("tb1-a", shares=1_000, limit=99).state == "WORKING"


@card()
def test_a_refused_order_when_looked_up_then_is_not_there_as_an_order(rig: Rig) -> None:
    rig.holds(10)
    rig.submit("tb1-x", "SELL", 11)
    rig.settle()
    assert rig.reports_of("tb1-x").state in {"REJECTED", "NOT_FOUND"}
    assert rig.cancel("tb1-x").state in {"REJECTED", "NOT_FOUND"}


@card()
def test_a_refusal_when_it_comes_then_is_a_report_and_no_exception(rig: Rig) -> None:
    answer = rig.submit("tb1-x", shares=100_000, limit=99)
    rig.settle()
    assert isinstance(answer, r.BrokerRejected | r.BrokerAccepted)
    assert rig.cash_micros() == STARTING_CASH_MICROS
