"""Cards: a new process on the same house finds everything as it was."""

from conformance.cards import card
from conformance.rig import SYMBOL, Rig, micros

from bus import messages as m
from services.execution.brokers import reports as r


def show(rig: Rig, bid: float = 100, shares: int = 1_000) -> None:
    """Let the market stand at this bid."""
    rig.quote(SYMBOL, micros(bid), micros(bid + 0.02), shares, shares)


@card()
def test_a_restart_when_orders_are_open_then_they_are_listed_as_before(rig: Rig) -> None:
    rig.holds(100)
    rig.place("tb1-s", "SELL", 60, stop=90)
    rig.place("tb1-t", "SELL", 40, trail_bps=500)
    before = list(rig.broker.open_orders(rig.now_ns))
    rig.restart()
    assert list(rig.broker.open_orders(rig.now_ns)) == before


@card()
def test_a_restart_when_a_part_is_filled_then_the_order_goes_on(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    show(rig, shares=30)
    rig.settle()
    rig.restart()
    assert rig.reports_of("tb1-a").shares == 30
    show(rig, shares=500)
    rig.settle()
    status = rig.reports_of("tb1-a")
    assert (status.state, len(status.executions)) == ("FILLED", 2)


@card()
def test_a_restart_when_executions_were_told_then_their_ids_are_the_same(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    for _ in range(3):
        show(rig, shares=20)
        rig.settle()
    before = [(f.execution_id, f.qty_nanos, f.price_micros) for f in rig.executions()]
    rig.restart()
    assert [(f.execution_id, f.qty_nanos, f.price_micros) for f in rig.executions()] == before
    assert len(rig.executions(before[0][0])) == 2


@card()
def test_a_restart_when_a_stop_trails_then_its_peak_is_remembered(rig: Rig) -> None:
    rig.holds(100)
    show(rig, 100)
    rig.place("tb1-t", "SELL", trail_bps=200)
    show(rig, 120)
    rig.settle()
    rig.restart()
    show(rig, 117.60)
    rig.settle()
    status = rig.reports_of("tb1-t")
    assert (status.state, status.average_micros) == ("FILLED", micros(117.60))


@card()
def test_a_restart_when_an_id_was_used_then_is_still_a_duplicate(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-a", shares=10)
    rig.place("tb1-b", shares=10, limit=50)
    rig.restart()
    for key in ("tb1-a", "tb1-b"):
        assert isinstance(rig.submit(key, shares=10), r.BrokerDuplicate)
    rig.settle()
    assert rig.positions() == {SYMBOL: 10 * m.NANOS}


@card()
def test_a_restart_when_the_account_has_traded_then_cash_and_positions_are_the_same(rig: Rig) -> None:
    rig.holds(100)
    before = rig.broker.account(rig.session_date, rig.now_ns)
    rig.restart()
    assert rig.broker.account(rig.session_date, rig.now_ns) == before


@card()
def test_a_restart_when_an_order_is_cancelled_by_the_new_process_then_it_is_over(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    rig.restart()
    assert rig.cancel("tb1-a").state == "CANCELLED"


@card()
def test_a_restart_when_a_sale_waits_then_its_shares_are_still_held_for_it(rig: Rig) -> None:
    rig.holds(100)
    rig.place("tb1-s", "SELL", stop=90)
    rig.restart()
    assert rig.place("tb1-x", "SELL", 1, limit=150).state == "REJECTED"
