"""Cards: executions. Each is told once, in the house's order, and two that look alike are two."""

from conformance.cards import card
from conformance.rig import OTHER, STARTING_CASH_MICROS, SYMBOL, Rig, micros

from bus import messages as m


def trade(rig: Rig, shares: int, ask: float = 100) -> None:
    """Show so many shares at this ask, and let them trade."""
    rig.quote(SYMBOL, micros(ask - 0.02), micros(ask), 1_000, shares)
    rig.settle()


@card()
def test_an_order_when_the_market_is_thin_then_is_filled_in_part_and_goes_on(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    trade(rig, 30)
    status = rig.reports_of("tb1-a")
    assert (status.state, status.shares) == ("WORKING", 30)
    assert rig.listed() == ["tb1-a"]


@card()
def test_an_order_when_filled_in_parts_then_its_executions_have_their_own_prices(rig: Rig) -> None:
    rig.place("tb1-a", limit=103)
    trade(rig, 30, 100)
    trade(rig, 70, 102)
    status = rig.reports_of("tb1-a")
    assert status.state == "FILLED"
    assert [(f.qty_nanos // m.NANOS, f.price_micros) for f in status.executions] == [
        (30, micros(100)),
        (70, micros(102)),
    ]
    assert rig.listed() == []


@card()
def test_two_fills_when_they_look_alike_then_are_two(rig: Rig) -> None:
    rig.place("tb1-a", shares=90, limit=101)
    for _ in range(3):
        trade(rig, 30)
    fills = rig.reports_of("tb1-a").executions
    assert [(f.qty_nanos // m.NANOS, f.price_micros) for f in fills] == [(30, micros(100))] * 3
    assert len({f.execution_id for f in fills}) == 3


@card()
def test_two_orders_when_they_look_alike_then_their_fills_are_told_apart(rig: Rig) -> None:
    for key in ("tb1-a", "tb1-b"):
        rig.place(key, shares=10, limit=101)
    trade(rig, 20)
    fills = rig.executions()
    assert {f.client_order_id for f in fills} == {"tb1-a", "tb1-b"}
    assert len({f.execution_id for f in fills}) == 2


@card()
def test_a_fill_when_told_then_names_its_order_and_its_broker(rig: Rig) -> None:
    trade(rig, 100)
    status = rig.place("tb1-a", shares=10)
    [fill] = status.executions
    assert fill.client_order_id == "tb1-a"
    assert fill.broker_order_id == status.broker_order_id
    assert fill.broker == rig.broker.name
    assert fill.commission_micros == 0


@card()
def test_executions_when_asked_for_from_the_beginning_then_all_come_in_their_order(rig: Rig) -> None:
    rig.place("tb1-a", shares=50, limit=110)
    rig.place("tb1-b", shares=50, limit=110)
    for n in range(4):
        trade(rig, 25, 100 + n)
    fills = rig.executions()
    assert [f.price_micros for f in fills] == [micros(100 + n) for n in range(4)]
    assert [f.client_order_id for f in fills] == ["tb1-a", "tb1-a", "tb1-b", "tb1-b"]


@card()
def test_executions_when_asked_for_after_one_then_only_later_ones_come(rig: Rig) -> None:
    rig.place("tb1-a", limit=110)
    for _ in range(3):
        trade(rig, 10)
    first, second, third = rig.executions()
    assert rig.executions(first.execution_id) == [second, third]
    assert rig.executions(third.execution_id) == []
    trade(rig, 10)
    [fourth] = rig.executions(third.execution_id)
    assert fourth.execution_id not in {first.execution_id, second.execution_id, third.execution_id}


@card()
def test_executions_when_walked_with_the_last_id_then_none_is_missing_and_none_comes_twice(rig: Rig) -> None:
    rig.place("tb1-a", shares=60, limit=110)
    walked, last = [], ""
    for n in range(12):
        trade(rig, 5)
        if n % 3 == 2:
            walked += rig.executions(last)
            last = walked[-1].execution_id
    assert [f.execution_id for f in walked] == [f.execution_id for f in rig.executions()]
    assert sum(f.qty_nanos for f in walked) == 60 * m.NANOS


@card()
def test_executions_when_there_are_more_than_a_page_then_all_come(rig: Rig) -> None:
    rig.place("tb1-a", shares=200, limit=110)
    for _ in range(105):
        trade(rig, 1)
    fills = rig.executions()
    assert len({f.execution_id for f in fills}) == len(fills) == 105
    assert len(rig.executions(fills[1].execution_id)) == 103
    assert rig.reports_of("tb1-a").shares == 105


@card()
def test_executions_when_there_are_none_then_none_come(rig: Rig) -> None:
    rig.place("tb1-a", limit=50)
    assert rig.executions() == []


@card()
def test_the_fills_of_a_look_up_when_compared_with_the_accounts_then_are_the_same(rig: Rig) -> None:
    rig.place("tb1-a", shares=20, limit=110)
    rig.place("tb1-b", shares=20, limit=110)
    for _ in range(4):
        trade(rig, 10)
    of_account = {(f.execution_id, f.client_order_id, f.qty_nanos, f.price_micros) for f in rig.executions()}
    of_orders = {
        (f.execution_id, f.client_order_id, f.qty_nanos, f.price_micros)
        for key in ("tb1-a", "tb1-b")
        for f in rig.reports_of(key).executions
    }
    assert of_account == of_orders
    assert len(of_account) == 4


@card("network")
def test_executions_when_the_house_tells_them_again_then_are_counted_once(rig: Rig) -> None:
    rig.place("tb1-a", shares=20, limit=110)
    for _ in range(2):
        trade(rig, 10)
    rig.repeat_executions()
    rig.settle()
    assert rig.reports_of("tb1-a").shares == 20
    assert len(rig.executions()) == 2


@card("late-listing")
def test_a_fill_when_it_is_listed_after_a_newer_one_then_is_not_lost_and_counts_once(rig: Rig) -> None:
    rig.place("tb1-a", shares=30, limit=110)
    trade(rig, 10)
    [first] = rig.executions()
    rig.hide_execution(lambda: trade(rig, 10, 100.05))
    trade(rig, 10, 100.1)
    [newer] = rig.executions(first.execution_id)
    assert newer.price_micros == micros(100.1)
    rig.show_executions()
    late = {fill.execution_id: fill.price_micros for fill in rig.executions(newer.execution_id)}
    assert micros(100.05) in late.values()
    assert len(late.keys() | {first.execution_id, newer.execution_id}) == 3
    assert rig.reports_of("tb1-a").shares == 30
    assert rig.reports_of("tb1-a").state == "FILLED"


@card()
def test_fills_when_added_up_then_explain_the_cash_and_the_positions(rig: Rig) -> None:
    rig.quote(OTHER, micros(50), micros(50.01), 1_000, 1_000)
    rig.place("tb1-a", shares=70, limit=110)
    trade(rig, 30, 100.07)
    trade(rig, 40, 100.11)
    rig.place("tb1-b", shares=10, symbol=OTHER)
    rig.quote(SYMBOL, micros(100.05), micros(100.09))
    rig.place("tb1-c", "SELL", 20)
    cash, held = STARTING_CASH_MICROS, {}
    for fill in rig.executions():
        request = rig.requested[fill.client_order_id]
        sign = 1 if request.side == "BUY" else -1
        cash -= sign * m.cash_micros(fill.price_micros, fill.qty_nanos)
        held[request.symbol] = held.get(request.symbol, 0) + sign * fill.qty_nanos
    assert rig.cash_micros() == cash
    assert rig.positions() == held == {SYMBOL: 50 * m.NANOS, OTHER: 10 * m.NANOS}


@card("corrections")
def test_an_execution_when_corrected_then_the_right_one_is_told_with_it_and_neither_comes_twice(rig: Rig) -> None:
    rig.holds(100)
    [first] = rig.executions()
    rig.correct_first_execution(micros(99))
    rig.settle()
    [back] = rig.broker.reversals([first.execution_id], rig.now_ns)
    assert (back.execution_id, back.is_correction) == (first.execution_id, True)
    assert back.corrected is not None
    assert (back.corrected.price_micros, back.corrected.qty_nanos) == (micros(99), 100 * m.NANOS)
    names = [fill.execution_id for fill in rig.executions() if fill.execution_id != first.execution_id]
    assert names == [back.corrected.execution_id]
    rig.restart()
    [again] = rig.broker.reversals([first.execution_id], rig.now_ns)
    assert again.corrected == back.corrected


@card("corrections")
def test_an_execution_when_taken_back_then_it_alone_is_told(rig: Rig) -> None:
    rig.holds(100)
    rig.place("tb1-more", shares=5)
    names = [fill.execution_id for fill in rig.executions()]
    assert len(names) == 2
    rig.bust_first_execution()
    rig.settle()
    [back] = rig.broker.reversals(names, rig.now_ns)
    assert (back.execution_id, back.is_correction, back.corrected) == (names[0], False, None)
