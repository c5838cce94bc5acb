"""Orders through Interactive Brokers: who they are, what becomes of them, and what is never believed of them."""

from dataclasses import replace
from typing import Any

import pytest
from exchange import MICROS, NANOS
from ib_gateway_bench import Bench, bench, new_york_ns

from services.execution.brokers import reports as r
from services.execution.brokers.interface import NotSentError, RetryableBrokerError, StopTradingError

__all__ = ["bench"]


def sent(bench: Bench, kind: int) -> list[list[str]]:
    """Return the messages of one number that the gateway got."""
    return [fields for fields in bench.gateway.received if fields[0] == str(kind)]


def test_order_when_sent_then_it_carries_its_reference_and_stays_in_the_regular_session(bench: Bench) -> None:
    bench.submit("tb1-a", limit=99.5)
    order = bench.gateway.order_of("tb1-a")
    assert (order.ref, order.tif, order.outside_rth, order.transmit) == ("tb1-a", "DAY", "0", "1")
    assert (order.account, order.kind, order.limit_micros) == ("DU1234567", "LMT", 99_500_000)


@pytest.mark.parametrize(
    ("more", "kind", "aux", "percent"),
    [
        ({"stop": 90.25}, "STP", 90_250_000, ""),
        ({"trail_bps": 125}, "TRAIL", 0, "1.25"),
        ({"limit": 120}, "LMT", 0, ""),
        ({}, "MKT", 0, ""),
    ],
)
def test_order_when_of_each_type_then_its_prices_are_exact(
    bench: Bench, more: dict[str, Any], kind: str, aux: int, percent: str
) -> None:
    bench.submit("tb1-in")
    bench.submit("tb1-x", "SELL", **more)
    order = bench.gateway.order_of("tb1-x")
    assert (order.kind, order.aux_micros, order.trail_percent) == (kind, aux, percent)


def test_first_order_when_the_connection_has_asked_much_then_it_has_the_next_valid_number(bench: Bench) -> None:
    bench.gateway.next_valid_id = 500
    bench.broker.account("2025-07-01", bench.now_ns)
    bench.broker.assets(("AAPL", "NOPE"), bench.now_ns)
    bench.submit("tb1-a", limit=50)
    assert bench.gateway.order_of("tb1-a").order_id == 500


def test_number_when_the_gateway_restarts_with_lower_ones_then_trading_stops_once_and_goes_on_higher(
    bench: Bench,
) -> None:
    bench.gateway.next_valid_id = 40
    bench.submit("tb1-a", limit=50)
    bench.gateway.next_valid_id = 1
    bench.break_line()
    with pytest.raises(StopTradingError, match="gives 1 as the next order number, but order 40 arrived"):
        bench.listed()
    assert bench.listed() == ["tb1-a"]
    bench.submit("tb1-b", limit=50)
    assert bench.gateway.order_of("tb1-b").order_id == 41


def test_number_when_it_was_kept_and_the_order_never_written_then_its_loss_is_no_fault(bench: Bench) -> None:
    bench.gate.is_open = False
    with pytest.raises(NotSentError, match="no lease"):
        bench.submit("tb1-a", limit=50)
    bench.open()
    assert bench.listed() == []
    bench.gate.is_open = True
    assert isinstance(bench.submit("tb1-a", limit=50), r.BrokerAccepted)


@pytest.mark.parametrize("code", [103, 104, 105])
def test_order_when_its_number_is_another_orders_then_trading_stops(bench: Bench, code: int) -> None:
    bench.gateway.error_on_order = (code, "Duplicate order id")
    with pytest.raises(StopTradingError, match=r"Duplicate order id.*compare the open orders in TWS"):
        bench.submit("tb1-a", limit=50)


def test_number_when_the_gateway_has_it_under_another_reference_then_trading_stops(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    order = bench.gateway.order_of("tb1-a")
    bench.gateway.orders.append(replace(order, ref="tb1-other", perm_id=42))
    with pytest.raises(StopTradingError, match=r"'tb1-other'.*was given to tb1-a"):
        bench.listed()


def test_reference_when_it_has_a_second_permanent_id_then_trading_stops(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    order = bench.gateway.order_of("tb1-a")
    bench.gateway.orders.append(replace(order, client_id=99, perm_id=42))
    with pytest.raises(StopTradingError, match="has tb1-a twice"):
        bench.listed()


def test_order_when_another_client_has_the_same_number_then_they_are_told_apart(bench: Bench) -> None:
    theirs = bench.gateway.place_foreign("AAPL", "BUY", 5 * NANOS, 40 * MICROS)
    bench.submit("tb1-a", limit=50)
    theirs.order_id = bench.gateway.order_of("tb1-a").order_id
    listed = {order.broker_order_id: order.client_order_id for order in bench.broker.open_orders(bench.now_ns)}
    assert listed == {str(theirs.perm_id): "", str(bench.gateway.order_of("tb1-a").perm_id): "tb1-a"}


@pytest.mark.parametrize("code", [105, 10_000, 434, 322])
def test_order_when_any_message_names_it_then_it_is_not_taken_for_cancelled(bench: Bench, code: int) -> None:
    bench.submit("tb1-a", limit=50)
    bench.gateway.say(code, "Order being modified does not match original order", 1)
    assert bench.kinds("tb1-a") == ["Accepted"]
    assert bench.listed() == ["tb1-a"]


def test_order_when_refused_at_the_door_then_the_words_come_back_and_stay(bench: Bench) -> None:
    bench.exchange.reject_next("the account may not open positions")
    answer = bench.submit("tb1-a", limit=50)
    assert isinstance(answer, r.BrokerRejected)
    assert "the account may not open positions (201)" in answer.detail
    bench.open()
    [report] = bench.lookup("tb1-a")
    assert isinstance(report, r.BrokerRejected)
    assert "may not open positions" in report.detail


def test_order_when_refused_after_it_was_taken_then_it_is_over_without_fills(bench: Bench) -> None:
    bench.listed()
    bench.wait_briefly()
    bench.exchange.holds_acceptance = True
    bench.exchange.reject_after_acceptance("the exchange does not take it")
    with pytest.raises(RetryableBrokerError, match="did not say whether it has the order"):
        bench.submit("tb1-a", limit=50)
    bench.wait_briefly(is_on=False)
    bench.exchange.release_acceptances()
    end = bench.lookup("tb1-a")[-1]
    assert isinstance(end, r.BrokerCancelled | r.BrokerRejected)
    assert "the exchange does not take it" in end.detail


@pytest.mark.parametrize("code", [110, 200, 203, 321])
def test_order_when_the_gateway_refuses_it_then_it_is_rejected_in_its_words(bench: Bench, code: int) -> None:
    bench.gateway.error_on_order = (code, "this is not possible")
    answer = bench.submit("tb1-a", limit=50)
    assert isinstance(answer, r.BrokerRejected)
    assert answer.detail == f"this is not possible ({code})"
    assert bench.listed() == []


def test_order_when_a_message_without_meaning_answers_it_then_nothing_is_concluded(bench: Bench) -> None:
    bench.listed()
    bench.wait_briefly()
    bench.gateway.error_on_order = (10_999, "something is odd")
    with pytest.raises(RetryableBrokerError):
        bench.submit("tb1-a", limit=50)
    bench.wait_briefly(is_on=False)
    assert bench.kinds("tb1-a") == ["NotFound"]


@pytest.mark.parametrize("status", ["PreSubmitted", "PendingSubmit", "ValidationError"])
def test_market_order_when_it_is_only_presubmitted_then_it_is_accepted(bench: Bench, status: str) -> None:
    bench.gateway.first_status = status
    bench.exchange.holds_fills = True
    assert isinstance(bench.submit("tb1-a"), r.BrokerAccepted)
    assert bench.kinds("tb1-a") == ["Accepted"]
    bench.exchange.release_fills()
    assert bench.kinds("tb1-a") == ["Accepted", "Fill"]


def test_market_order_when_the_market_is_closed_then_its_warning_is_no_end(bench: Bench) -> None:
    bench.exchange.holds_fills = True
    bench.submit("tb1-a")
    text = "Order Message: Warning: your order will not be placed at the exchange until 2025-07-02 09:30:00 US/Eastern"
    bench.gateway.say(399, text, bench.gateway.order_of("tb1-a").order_id)
    assert bench.kinds("tb1-a") == ["Accepted"]


def test_order_when_it_turns_inactive_without_a_word_then_the_look_up_says_its_end(bench: Bench) -> None:
    bench.exchange.holds_fills = True
    bench.submit("tb1-a")
    order = bench.gateway.order_of("tb1-a")
    order.status = "Inactive"
    bench.gateway.tell_status(order)
    assert bench.kinds("tb1-a") == ["Accepted", "Cancelled"]


def test_order_when_it_goes_from_pending_cancel_to_cancelled_without_a_message_then_it_is_over(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    order = bench.gateway.order_of("tb1-a")
    for status in ("PendingCancel", "Cancelled"):
        order.status = status
        bench.gateway.tell_status(order)
    assert bench.kinds("tb1-a") == ["Accepted", "Cancelled"]


@pytest.mark.parametrize("code", [161, 10_147, 10_148])
def test_cancel_when_the_gateway_cannot_do_it_then_what_is_true_is_looked_up(bench: Bench, code: int) -> None:
    bench.submit("tb1-a", limit=50)
    bench.gateway.error_on_cancel = (code, "cannot be cancelled")
    reports = bench.broker.cancel("tb1-a", bench.now_ns)
    assert [type(report) for report in reports] == [r.BrokerAccepted]
    assert bench.listed() == ["tb1-a"]


def test_cancel_when_it_is_never_done_then_nothing_is_claimed(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    bench.gateway.ignores_cancels = True
    assert bench.broker.cancel("tb1-a", bench.now_ns) == ()
    assert bench.kinds("tb1-a") == ["Accepted"]


def test_cancel_when_the_order_is_of_another_client_number_then_it_says_what_to_do(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    bench.open(client_id=12)
    with pytest.raises(RetryableBrokerError, match="placed as client 11, so client 12 may not cancel it"):
        bench.broker.cancel("tb1-a", bench.now_ns)


def test_order_when_its_day_is_over_and_nothing_lists_it_then_it_has_ended(bench: Bench) -> None:
    bench.submit("tb1-a", limit=50)
    bench.gateway.orders.clear()
    with pytest.raises(RetryableBrokerError, match="neither as open nor as over"):
        bench.lookup("tb1-a")
    bench.now_ns = new_york_ns("2025-07-02 10:00")
    assert bench.kinds("tb1-a") == ["Accepted", "Cancelled"]


@pytest.mark.parametrize("shares", [0.5, 10.25, 0, -1])
def test_order_when_it_is_for_a_part_of_a_share_then_it_never_leaves(bench: Bench, shares: float) -> None:
    answer = bench.submit("tb1-a", shares=shares)
    assert isinstance(answer, r.BrokerRejected)
    assert "whole shares only" in answer.detail
    assert sent(bench, 3) == []


def test_order_when_the_symbol_is_unknown_or_ambiguous_then_it_is_rejected_in_words(bench: Bench) -> None:
    bench.gateway.know("TWICE")
    bench.gateway.ambiguous.add("TWICE")
    for symbol in ("NOPE", "TWICE"):
        answer = bench.submit(f"tb1-{symbol.lower()}", symbol=symbol)
        assert isinstance(answer, r.BrokerRejected)
        assert f"knows no US stock or option {symbol}" in answer.detail


def test_option_when_ordered_then_its_contract_is_the_one_of_its_occ_symbol(bench: Bench) -> None:
    symbol = "AAPL251219P00150000"
    bench.gateway.know(symbol)
    bench.submit("tb1-put", symbol=symbol, shares=2, limit=3)
    order = bench.gateway.order_of("tb1-put")
    assert (order.contract.kind, order.contract.right, order.contract.local_symbol) == (
        "OPT",
        "P",
        "AAPL  251219P00150000",
    )
    assert [listed.symbol for listed in bench.broker.open_orders(bench.now_ns)] == [symbol]


def test_stock_when_its_symbol_has_a_class_then_it_comes_back_as_it_was(bench: Bench) -> None:
    bench.quote(500, 501, "BRK.B")
    bench.submit("tb1-a", symbol="BRK.B", limit=400, shares=1)
    assert bench.gateway.order_of("tb1-a").contract.symbol == "BRK B"
    assert [listed.symbol for listed in bench.broker.open_orders(bench.now_ns)] == ["BRK.B"]


def test_hints_when_the_gateway_pushes_then_name_the_order_once(bench: Bench) -> None:
    bench.submit("tb1-a", limit=99.5)
    bench.fills()
    bench.broker.hints()
    bench.listed()
    assert bench.broker.hints() == []
    bench.quote(99, 99.5)
    bench.fills()
    assert "tb1-a" in bench.broker.hints()
    assert bench.broker.hints() == []


@pytest.mark.parametrize(
    ("more", "tif"), [({"trail_bps": 200}, "GTC"), ({"stop": 90}, "GTC"), ({"limit": 120}, "DAY"), ({}, "DAY")]
)
def test_sale_when_it_is_a_stop_then_it_stands_until_it_is_cancelled_and_in_the_regular_session(
    bench: Bench, more: dict[str, Any], tif: str
) -> None:
    bench.submit("tb1-a")
    bench.submit("tb1-s", "SELL", **more)
    order = bench.gateway.order_of("tb1-s")
    assert (order.tif, order.outside_rth) == (tif, "0")
