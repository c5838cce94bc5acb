"""Cards: what each type of order does with the quotes that follow."""

import pytest
from conformance.cards import card
from conformance.rig import OTHER, SYMBOL, Rig, micros

from bus import messages as m
from services.execution.brokers import reports as r


def show(rig: Rig, bid: float, shares: int = 1000, symbol: str = SYMBOL) -> None:
    """Let the market stand at this bid, two cents under its ask."""
    rig.quote(symbol, micros(bid), micros(bid + 0.02), shares, shares)


@card()
def test_a_market_buy_when_quoted_then_fills_at_the_ask(rig: Rig) -> None:
    show(rig, 100)
    status = rig.place("tb1-a")
    assert (status.state, status.shares, status.average_micros) == ("FILLED", 100, micros(100.02))


@card()
def test_a_market_sell_when_quoted_then_fills_at_the_bid(rig: Rig) -> None:
    rig.holds(100)
    show(rig, 101)
    status = rig.place("tb1-s", "SELL")
    assert (status.state, status.shares, status.average_micros) == ("FILLED", 100, micros(101))


@card()
def test_an_order_when_taken_then_the_answer_names_it(rig: Rig) -> None:
    answer = rig.submit("tb1-a", limit=50)
    assert isinstance(answer, r.BrokerAccepted)
    assert answer.client_order_id == "tb1-a"
    assert answer.broker_order_id


@card()
def test_a_market_order_when_nothing_is_quoted_then_waits(rig: Rig) -> None:
    assert rig.place("tb1-a", shares=1).state == "WORKING"
    show(rig, 100)
    rig.settle()
    assert rig.reports_of("tb1-a").state == "FILLED"


@card()
def test_a_limit_buy_when_it_is_above_the_ask_then_fills_at_the_ask(rig: Rig) -> None:
    show(rig, 100)
    status = rig.place("tb1-l", limit=103)
    assert (status.state, status.average_micros) == ("FILLED", micros(100.02))


@card()
def test_a_limit_buy_when_it_is_below_the_ask_then_waits_until_the_ask_comes_down(rig: Rig) -> None:
    show(rig, 100)
    assert rig.place("tb1-l", limit=99.52).state == "WORKING"
    for bid, state in ((99.51, "WORKING"), (99.50, "FILLED")):
        show(rig, bid)
        rig.settle()
        assert rig.reports_of("tb1-l").state == state
    assert rig.reports_of("tb1-l").average_micros == micros(99.52)


@card()
def test_a_limit_sell_when_it_is_above_the_bid_then_waits_until_the_bid_comes_up(rig: Rig) -> None:
    rig.holds(100)
    show(rig, 100)
    assert rig.place("tb1-l", "SELL", limit=101).state == "WORKING"
    for bid, state in ((100.99, "WORKING"), (101, "FILLED")):
        show(rig, bid)
        rig.settle()
        assert rig.reports_of("tb1-l").state == state


@card()
def test_a_limit_sell_when_it_is_below_the_bid_then_fills_at_the_bid(rig: Rig) -> None:
    rig.holds(100)
    show(rig, 100)
    assert rig.place("tb1-l", "SELL", limit=98).average_micros == micros(100)


@card()
def test_a_stop_sell_when_the_bid_falls_through_it_then_sells_at_that_bid(rig: Rig) -> None:
    rig.holds(100)
    show(rig, 100)
    assert rig.place("tb1-s", "SELL", stop=98).state == "WORKING"
    show(rig, 98.01)
    rig.settle()
    assert rig.reports_of("tb1-s").state == "WORKING"
    show(rig, 97)
    rig.settle()
    status = rig.reports_of("tb1-s")
    assert (status.state, status.average_micros) == ("FILLED", micros(97))


@card()
def test_a_stop_buy_when_the_ask_rises_to_it_then_buys_at_that_ask(rig: Rig) -> None:
    show(rig, 100)
    assert rig.place("tb1-s", stop=102).state == "WORKING"
    show(rig, 101.97)
    rig.settle()
    assert rig.reports_of("tb1-s").state == "WORKING"
    show(rig, 102)
    rig.settle()
    assert rig.reports_of("tb1-s").average_micros == micros(102.02)


@card()
def test_a_stop_when_hit_in_a_thin_market_then_goes_on_as_a_market_order(rig: Rig) -> None:
    rig.holds(100)
    show(rig, 100)
    rig.place("tb1-s", "SELL", stop=98)
    show(rig, 97, shares=30)
    rig.settle()
    assert rig.reports_of("tb1-s").shares == 30
    show(rig, 99, shares=300)
    rig.settle()
    assert [fill.price_micros for fill in rig.reports_of("tb1-s").executions] == [micros(97), micros(99)]


@card()
def test_a_trailing_stop_when_the_bid_falls_from_its_peak_then_sells_exactly_at_the_trail(rig: Rig) -> None:
    rig.holds(100)
    show(rig, 100)
    assert rig.place("tb1-t", "SELL", trail_bps=200).state == "WORKING"
    for bid, state in ((110, "WORKING"), (107.81, "WORKING"), (109, "WORKING"), (107.80, "FILLED")):
        show(rig, bid)
        rig.settle()
        assert rig.reports_of("tb1-t").state == state, bid
    assert rig.reports_of("tb1-t").average_micros == micros(107.80)


@card()
def test_a_trailing_stop_when_the_market_gaps_at_once_then_the_bid_at_its_acceptance_was_its_peak(rig: Rig) -> None:
    rig.holds(100)
    show(rig, 100)
    rig.settle()
    rig.submit("tb1-t", "SELL", trail_bps=200)
    show(rig, 90)
    rig.settle()
    assert rig.reports_of("tb1-t").state == "FILLED"


@card()
def test_a_trailing_stop_when_listed_then_shows_where_it_rests_and_only_ever_rises(rig: Rig) -> None:
    rig.holds(100)
    show(rig, 100)
    rig.place("tb1-t", "SELL", trail_bps=200)
    shown = []
    for bid in (100, 110, 108.5, 120):
        show(rig, bid)
        rig.settle()
        [order] = rig.broker.open_orders(rig.now_ns)
        shown.append(order.stop_micros)
    assert shown == [micros(98), micros(107.80), micros(107.80), micros(117.60)]


@card()
def test_a_stop_when_listed_then_shows_its_price_and_other_orders_show_none(rig: Rig) -> None:
    rig.holds(100)
    rig.place("tb1-s", "SELL", 60, stop=90)
    rig.place("tb1-l", "SELL", 40, limit=150)
    shown = {order.client_order_id: order.stop_micros for order in rig.broker.open_orders(rig.now_ns)}
    assert shown == {"tb1-s": micros(90), "tb1-l": 0}


@card("trailing-buy")
def test_a_trailing_buy_when_the_ask_rises_from_its_low_then_buys(rig: Rig) -> None:
    show(rig, 100)
    assert rig.place("tb1-t", trail_bps=200).state == "WORKING"
    show(rig, 90)
    rig.settle()
    show(rig, 92)
    rig.settle()
    assert rig.reports_of("tb1-t").state == "FILLED"


@card("fractions")
def test_a_fraction_of_a_share_when_bought_and_sold_then_is_exact(rig: Rig) -> None:
    rig.quote(SYMBOL, micros(100), micros(100))
    status = rig.place("tb1-f", shares=0.123456789)
    assert status.filled_nanos == 123_456_789
    assert rig.positions() == {SYMBOL: 123_456_789}
    assert rig.place("tb1-g", "SELL", shares=0.123456789).state == "FILLED"
    assert rig.positions() == {}


@card()
def test_an_order_when_another_symbol_is_quoted_then_waits(rig: Rig) -> None:
    show(rig, 100, symbol=OTHER)
    assert rig.place("tb1-a", limit=150).state == "WORKING"
    assert rig.place("tb1-b", symbol=OTHER).state == "FILLED"


@card()
def test_a_purchase_when_the_market_is_thin_then_the_order_that_came_first_trades_first(rig: Rig) -> None:
    for key in ("tb1-a", "tb1-b", "tb1-c"):
        rig.place(key, shares=50, limit=101)
    show(rig, 100, shares=70)
    rig.settle()
    assert [rig.reports_of(key).shares for key in ("tb1-a", "tb1-b", "tb1-c")] == [50, 20, 0]


@card()
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_an_open_order_when_listed_then_its_symbol_and_side_are_right(rig: Rig, side: m.Side) -> None:
    rig.holds(100)
    status = rig.place("tb1-o", side, 10, limit=50 if side == "BUY" else 150)
    [order] = rig.broker.open_orders(rig.now_ns)
    assert (order.client_order_id, order.symbol, order.side) == ("tb1-o", SYMBOL, side)
    assert order.broker_order_id == status.broker_order_id
