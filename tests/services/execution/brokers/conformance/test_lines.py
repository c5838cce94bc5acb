"""Cards: the line to a broker in another house fails in every way, and no order is doubled or lost by it."""

import pytest
from conformance.cards import card
from conformance.rig import SYMBOL, Call, Outcome, Rig, micros

from bus import messages as m
from services.execution.brokers import reports as r
from services.execution.brokers.interface import CALL_NS_MAX, NotSentError, RetryableBrokerError, StopTradingError

QUERIES: tuple[Call, ...] = ("lookup", "open_orders", "executions_after", "account", "assets")


def ask(rig: Rig, call: Call) -> object:
    """Ask one question of the broker."""
    broker, now_ns = rig.broker, rig.now_ns
    match call:
        case "lookup":
            return broker.lookup("tb1-a", now_ns)
        case "open_orders":
            return broker.open_orders(now_ns)
        case "executions_after":
            return broker.executions_after("", now_ns)
        case "account":
            return broker.account(rig.session_date, now_ns)
        case _:
            return broker.assets((SYMBOL,), now_ns)


def lost(rig: Rig, outcome: Outcome) -> None:
    """Send an order whose answer is lost."""
    rig.fail_next("submit", outcome)
    with pytest.raises(RetryableBrokerError):
        rig.submit("tb1-a", limit=90)


def one_there(rig: Rig) -> None:
    """Hold that the house has the order once, and that sending it again adds none."""
    assert rig.reports_of("tb1-a").state == "WORKING"
    assert isinstance(rig.submit("tb1-a", limit=90), r.BrokerDuplicate)
    rig.settle()
    assert rig.houses_orders() == ["tb1-a"]
    assert rig.listed() == ["tb1-a"]


@card(Outcome.TIMEOUT_AFTER_ACCEPT)
def test_an_order_when_it_is_taken_and_the_answer_times_out_then_is_found_and_not_doubled(rig: Rig) -> None:
    lost(rig, Outcome.TIMEOUT_AFTER_ACCEPT)
    one_there(rig)


@card(Outcome.RESET_AFTER_ACCEPT)
def test_an_order_when_it_is_taken_and_the_line_is_reset_then_is_found_and_not_doubled(rig: Rig) -> None:
    lost(rig, Outcome.RESET_AFTER_ACCEPT)
    one_there(rig)


@card(Outcome.HTTP_500_AFTER)
def test_an_order_when_it_is_taken_and_answered_with_500_then_is_found_and_not_doubled(rig: Rig) -> None:
    lost(rig, Outcome.HTTP_500_AFTER)
    one_there(rig)


@card(Outcome.HTTP_504_AFTER)
def test_an_order_when_it_is_taken_and_answered_with_504_then_is_found_and_not_sent_again_by_itself(rig: Rig) -> None:
    lost(rig, Outcome.HTTP_504_AFTER)
    assert rig.houses_orders() == ["tb1-a"]
    one_there(rig)


@card(Outcome.UNREADABLE)
def test_an_order_when_its_answer_cannot_be_read_then_is_found_and_not_doubled(rig: Rig) -> None:
    lost(rig, Outcome.UNREADABLE)
    one_there(rig)


@card(Outcome.TIMEOUT_BEFORE)
def test_an_order_when_it_never_arrives_then_is_not_found_and_may_be_sent(rig: Rig) -> None:
    lost(rig, Outcome.TIMEOUT_BEFORE)
    rig.settle()
    assert rig.reports_of("tb1-a").state == "NOT_FOUND"
    assert rig.houses_orders() == []
    assert isinstance(rig.submit("tb1-a", limit=90), r.BrokerAccepted)


@card(Outcome.LATE_ACCEPT)
def test_an_order_when_it_arrives_late_then_is_found_then_and_not_doubled(rig: Rig) -> None:
    lost(rig, Outcome.LATE_ACCEPT)
    assert rig.reports_of("tb1-a").state == "NOT_FOUND"
    rig.settle()
    one_there(rig)


@card(Outcome.RATE_LIMITED)
def test_an_order_when_it_is_turned_away_unread_then_is_certainly_not_there(rig: Rig) -> None:
    rig.fail_next("submit", Outcome.RATE_LIMITED)
    with pytest.raises(NotSentError) as told:
        rig.submit("tb1-a", limit=90)
    assert told.value.after_ns > 0
    assert rig.houses_orders() == []
    # The house lets it in again when the time that the adapter names is over; a rig's clock does not stand still.
    rig.settle()
    assert rig.reports_of("tb1-a").state == "NOT_FOUND"


@card(Outcome.UNAUTHORIZED)
def test_a_question_when_the_credentials_are_refused_then_a_person_is_called(rig: Rig) -> None:
    rig.fail_next("account", Outcome.UNAUTHORIZED)
    with pytest.raises(StopTradingError) as told:
        ask(rig, "account")
    assert str(told.value).strip()


@card(Outcome.UNAUTHORIZED)
def test_an_order_when_the_credentials_are_refused_then_a_person_is_called_and_nothing_is_there(rig: Rig) -> None:
    rig.fail_next("submit", Outcome.UNAUTHORIZED)
    with pytest.raises(StopTradingError):
        rig.submit("tb1-a", limit=90)
    assert rig.houses_orders() == []


@card("network")
@pytest.mark.parametrize("is_exit", [False, True])
def test_an_order_when_the_gate_closes_at_the_last_moment_then_is_not_sent(rig: Rig, is_exit: bool) -> None:
    rig.holds(100)
    before = rig.houses_orders()
    rig.at_the_last_moment(lambda: setattr(rig.gate, "is_open", False))
    with pytest.raises(NotSentError):
        rig.submit("tb1-x", "SELL" if is_exit else "BUY", limit=150 if is_exit else 50)
    rig.settle()
    assert rig.houses_orders() == before
    rig.gate.is_open = True
    assert rig.reports_of("tb1-x").state == "NOT_FOUND"


@card("network")
def test_the_gate_when_asked_by_the_adapter_then_hears_what_kind_of_order_waits(rig: Rig) -> None:
    rig.holds(100)
    rig.gate.asked.clear()
    rig.submit("tb1-in", limit=50)
    rig.submit("tb1-out", "SELL", limit=150)
    assert set(rig.gate.asked) == {False, True}
    assert rig.gate.asked[-1] is True


@card("network")
def test_a_cancel_when_the_gate_is_closed_then_is_sent_all_the_same(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    rig.gate.is_open = False
    assert rig.cancel("tb1-a").state == "CANCELLED"


@card("network")
def test_an_order_when_the_line_is_cut_then_is_no_refusal_and_is_not_there(rig: Rig) -> None:
    rig.disconnect()
    with pytest.raises((RetryableBrokerError, NotSentError)):
        rig.submit("tb1-a", limit=90)
    rig.reconnect()
    rig.settle()
    assert rig.reports_of("tb1-a").state == "NOT_FOUND"


# What the account may do with a symbol may be remembered for the day, so a cut line need not show there.
@card("network")
@pytest.mark.parametrize("call", [call for call in QUERIES if call != "assets"])
def test_a_question_when_the_line_is_cut_then_proves_nothing_and_is_answered_afterwards(rig: Rig, call: Call) -> None:
    rig.place("tb1-a", limit=90)
    before = ask(rig, call)
    rig.disconnect()
    with pytest.raises(RetryableBrokerError):
        ask(rig, call)
    rig.reconnect()
    rig.settle()
    assert type(ask(rig, call)) is type(before)
    assert rig.reports_of("tb1-a").state == "WORKING"


@card("network")
def test_a_cancel_when_the_line_is_cut_then_the_order_stands(rig: Rig) -> None:
    rig.place("tb1-a", limit=90)
    rig.disconnect()
    with pytest.raises(RetryableBrokerError):
        rig.broker.cancel("tb1-a", rig.now_ns)
    rig.reconnect()
    rig.settle()
    assert rig.reports_of("tb1-a").state == "WORKING"
    assert rig.cancel("tb1-a").state == "CANCELLED"


@card("network")
def test_fills_when_they_come_while_the_line_is_cut_then_are_told_afterwards(rig: Rig) -> None:
    rig.place("tb1-a", limit=101)
    rig.disconnect()
    rig.quote(SYMBOL, micros(99.98), micros(100), 1_000, 60)
    rig.settle()
    rig.reconnect()
    rig.settle()
    assert rig.reports_of("tb1-a").shares == 60
    assert sum(fill.qty_nanos for fill in rig.executions()) == 60 * m.NANOS
    assert rig.positions() == {SYMBOL: 60 * m.NANOS}


@card(Outcome.TIMEOUT_BEFORE)
@pytest.mark.parametrize("call", QUERIES)
def test_a_question_when_no_answer_comes_then_may_be_asked_again(rig: Rig, call: Call) -> None:
    rig.place("tb1-a", limit=90)
    rig.fail_next(call, Outcome.TIMEOUT_BEFORE)
    with pytest.raises(RetryableBrokerError):
        ask(rig, call)
    ask(rig, call)


@card(Outcome.UNREADABLE)
@pytest.mark.parametrize("call", QUERIES)
def test_a_question_when_the_answer_cannot_be_read_then_proves_nothing(rig: Rig, call: Call) -> None:
    rig.place("tb1-a", limit=90)
    rig.fail_next(call, Outcome.UNREADABLE)
    with pytest.raises(RetryableBrokerError):
        ask(rig, call)
    assert rig.reports_of("tb1-a").state == "WORKING"


@card(Outcome.RATE_LIMITED)
def test_a_look_up_when_it_is_turned_away_unread_then_proves_nothing(rig: Rig) -> None:
    rig.fail_next("lookup", Outcome.RATE_LIMITED)
    with pytest.raises(RetryableBrokerError):
        ask(rig, "lookup")


@card(Outcome.TIMEOUT_BEFORE)
def test_a_call_when_no_answer_comes_then_ends_in_time_and_breathes_meanwhile(rig: Rig) -> None:
    rig.breaths = 0
    since = rig.boot_ns()
    lost(rig, Outcome.TIMEOUT_BEFORE)
    # Three times what the port allows: the bound is no measurement of the machine that the test runs on.
    assert rig.boot_ns() - since < 3 * CALL_NS_MAX
    assert rig.breaths > 0


@card(Outcome.TIMEOUT_AFTER_ACCEPT)
def test_an_order_when_its_answer_is_lost_and_the_process_dies_then_the_next_one_finds_it(rig: Rig) -> None:
    lost(rig, Outcome.TIMEOUT_AFTER_ACCEPT)
    rig.restart()
    rig.settle()
    one_there(rig)
