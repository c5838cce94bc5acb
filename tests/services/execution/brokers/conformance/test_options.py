"""Cards: puts that are bought and sold. A contract is a hundred shares' worth, and is gone after its last day."""

import pytest
from conformance.cards import card
from conformance.rig import STARTING_CASH_MICROS, SYMBOL, Rig, micros

from bus import messages as m
from bus.instruments import option_terms
from services.execution.brokers import reports as r


def show(rig: Rig, bid: float = 2.40, contracts: int = 500) -> None:
    """Let the put stand at this bid, ten cents under its ask."""
    rig.quote(rig.put, micros(bid), micros(bid + 0.10), contracts, contracts)
    rig.settle()


@card("options")
def test_a_put_when_bought_then_costs_a_hundred_times_its_price(rig: Rig) -> None:
    show(rig)
    status = rig.place("tb1-p", symbol=rig.put, shares=3, limit=2.60)
    assert (status.state, status.average_micros) == ("FILLED", micros(2.50))
    assert rig.cash_micros() == STARTING_CASH_MICROS - micros(750)
    assert rig.positions() == {rig.put: 3 * m.NANOS}


@card("options")
def test_a_put_when_sold_then_brings_a_hundred_times_its_price(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-p", symbol=rig.put, shares=3, limit=2.50)
    show(rig, 3)
    assert rig.place("tb1-s", "SELL", symbol=rig.put, shares=3, limit=2.90).average_micros == micros(3)
    assert rig.cash_micros() == STARTING_CASH_MICROS + micros(150)
    assert rig.positions() == {}


@card("options")
def test_puts_when_they_cost_more_than_there_is_then_are_refused(rig: Rig) -> None:
    show(rig)
    assert rig.place("tb1-x", symbol=rig.put, shares=401, limit=2.50).state == "REJECTED"
    assert rig.place("tb1-p", symbol=rig.put, shares=400, limit=2.50).state == "FILLED"
    assert rig.cash_micros() == 0


@card("options")
def test_buying_power_when_puts_are_asked_for_then_is_less_by_what_they_may_cost(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-p", symbol=rig.put, shares=2, limit=1)
    account = rig.broker.account(rig.session_date, rig.now_ns)
    assert account.buying_power_micros == STARTING_CASH_MICROS - micros(200)


@card("options")
def test_a_part_of_a_contract_when_asked_for_then_is_refused(rig: Rig) -> None:
    show(rig)
    assert rig.place("tb1-x", symbol=rig.put, shares=0.5, limit=2.50).state == "REJECTED"


@card("options")
@pytest.mark.parametrize("limit", [2.505, 0.5125])
def test_a_puts_price_when_it_has_a_part_of_a_cent_then_is_refused(rig: Rig, limit: float) -> None:
    assert rig.place("tb1-x", symbol=rig.put, shares=1, limit=limit).state == "REJECTED"


@card("options")
def test_a_put_when_more_are_sold_than_held_then_is_refused(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-p", symbol=rig.put, shares=1, limit=2.50)
    assert rig.place("tb1-x", "SELL", symbol=rig.put, shares=2, limit=2).state == "REJECTED"


@card("options")
def test_a_put_when_its_share_is_quoted_then_does_not_trade_at_the_shares_price(rig: Rig) -> None:
    rig.place("tb1-p", symbol=rig.put, shares=1, limit=2.50)
    rig.quote(SYMBOL, micros(1), micros(1.02))
    rig.settle()
    assert rig.reports_of("tb1-p").state == "WORKING"
    assert rig.broker.open_orders(rig.now_ns)[0].symbol == rig.put


@card("options", "sessions")
def test_a_put_when_its_last_day_has_closed_then_is_gone_for_nothing(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-p", symbol=rig.put, shares=3, limit=2.50)
    cash = rig.cash_micros()
    while rig.session_date < option_terms(rig.put).expiry:
        rig.end_session()
        rig.next_session()
    assert rig.positions() == {rig.put: 3 * m.NANOS}
    rig.end_session()
    rig.next_session()
    assert rig.positions() == {}
    assert rig.cash_micros() == cash
    assert rig.place("tb1-late", symbol=rig.put, shares=1, limit=2).state == "REJECTED"


@card("options", "sessions", "expiries")
def test_a_put_when_it_expired_while_held_then_the_house_tells_it_once_with_how_many(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-p", symbol=rig.put, shares=3, limit=2.50)
    while rig.session_date < option_terms(rig.put).expiry:
        rig.end_session()
        rig.next_session()
    rig.end_session()
    rig.next_session()
    told = [one for one in rig.broker.activities(rig.now_ns) if isinstance(one, r.BrokerExpiry)]
    assert [(one.symbol, one.qty_nanos) for one in told] == [(rig.put, 3 * m.NANOS)]
    rig.restart()
    again = [one for one in rig.broker.activities(rig.now_ns) if isinstance(one, r.BrokerExpiry)]
    assert [one.activity_id for one in again] == [one.activity_id for one in told]
