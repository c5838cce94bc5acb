"""Cards: who an order is. A client id names one order for ever, and what is not found is not found by proof only."""

from conformance.cards import card
from conformance.rig import SYMBOL, Rig, micros

from bus import messages as m
from services.execution.brokers import reports as r
from services.execution.brokers.interface import OUTSIDE_PROOF


def show(rig: Rig, shares: int = 1_000) -> None:
    """Let the market stand at 100 dollars."""
    rig.quote(SYMBOL, micros(100), micros(100), shares, shares)


def again(rig: Rig, key: str, side: m.Side = "BUY", shares: int = 100, **more: object) -> None:
    """Send an order once more, and hold that it is told to be there already."""
    answer = rig.submit(key, side, shares, **more)
    assert isinstance(answer, r.BrokerDuplicate), answer
    assert answer.client_order_id == key
    rig.settle()


@card()
def test_a_client_id_when_its_order_works_then_is_a_duplicate(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    again(rig, "tb1-a", limit=90)
    assert rig.listed() == ["tb1-a"]


@card()
def test_a_client_id_when_its_order_is_filled_then_is_a_duplicate_and_buys_nothing(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-a")
    again(rig, "tb1-a")
    assert rig.positions() == {SYMBOL: 100 * m.NANOS}


@card()
def test_a_client_id_when_its_order_is_cancelled_then_is_a_duplicate(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    rig.cancel("tb1-a")
    again(rig, "tb1-a", limit=90)
    assert rig.listed() == []


@card()
def test_a_client_id_when_sent_with_another_order_then_the_first_order_is_unchanged(rig: Rig) -> None:
    rig.place("tb1-a", shares=10, limit=90)
    again(rig, "tb1-a", shares=70, limit=95)
    show(rig)
    rig.quote(SYMBOL, micros(89), micros(89))
    rig.settle()
    assert rig.positions() == {SYMBOL: 10 * m.NANOS}


@card()
def test_an_order_when_it_never_was_then_is_not_found(rig: Rig) -> None:
    reports = rig.broker.lookup("tb1-never", rig.now_ns)
    assert [type(report) for report in reports] == [r.BrokerNotFound]
    assert reports[0].client_order_id == "tb1-never"


@card("network")
def test_the_proof_of_not_found_when_the_broker_is_outside_then_needs_answers_over_a_minute(rig: Rig) -> None:
    proof = rig.broker.not_found_proof
    assert proof.answers >= OUTSIDE_PROOF.answers
    assert proof.over_ns >= OUTSIDE_PROOF.over_ns


@card()
def test_an_order_when_it_was_not_found_then_may_be_placed_and_is_found(rig: Rig) -> None:
    assert rig.reports_of("tb1-a").state == "NOT_FOUND"
    assert rig.place("tb1-a", limit=90).state == "WORKING"


@card()
def test_a_look_up_when_repeated_then_says_the_same(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    show(rig, 30)
    rig.settle()
    assert rig.reports_of("tb1-a") == rig.reports_of("tb1-a")


@card()
def test_a_look_up_when_the_order_is_over_then_tells_acceptance_fills_and_end_in_this_order(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    for _ in range(2):
        show(rig, 20)
        rig.settle()
    rig.cancel("tb1-a")
    kinds = [type(report) for report in rig.broker.lookup("tb1-a", rig.now_ns)]
    assert kinds == [r.BrokerAccepted, r.BrokerFill, r.BrokerFill, r.BrokerCancelled]


@card()
def test_a_look_up_when_other_orders_are_there_then_tells_of_one_only(rig: Rig) -> None:
    show(rig)
    rig.place("tb1-a", shares=10)
    rig.place("tb1-ab", shares=20)
    reports = rig.broker.lookup("tb1-a", rig.now_ns)
    assert {report.client_order_id for report in reports} == {"tb1-a"}
    assert rig.reports_of("tb1-a").shares == 10


@card()
def test_a_broker_order_id_when_looked_up_again_then_is_the_same(rig: Rig) -> None:
    first = rig.place("tb1-a", limit=90).broker_order_id
    assert first
    assert rig.cancel("tb1-a").broker_order_id == first


@card()
def test_a_client_id_when_it_is_as_long_as_ours_are_then_comes_back_whole(rig: Rig) -> None:
    key = "tb1-abcdefghijklmnopqrstuvwx"
    rig.place(key, limit=90)
    assert rig.listed() == [key]
