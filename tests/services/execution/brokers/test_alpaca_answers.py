"""What Alpaca's answers mean, row by row."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from alpaca_bench import a_request

from bus.messages import MICROS, NANOS
from services.execution.brokers import alpaca_answers as a
from services.execution.brokers.alpaca_answers import Fate
from services.execution.brokers.alpaca_orders import body_of, decimal_text, refusal
from services.execution.brokers.interface import RetryableBrokerError, StopTradingError

SPEC = (Path(__file__).resolve().parents[4] / "../shared/specs/alpaca-trading-api.json").resolve()
#: Every status of the specification read in 2026-11.
STATUSES = {
    *("new", "partially_filled", "filled", "done_for_day", "canceled", "expired", "replaced", "pending_cancel"),
    *("pending_replace", "accepted", "pending_new", "accepted_for_bidding", "stopped", "rejected", "suspended"),
    *("calculated", "held"),
}
PUT = "AAPL251219P00150000"


def said(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}).encode()


def test_the_table_of_statuses_when_compared_with_the_specification_then_has_every_one() -> None:
    assert set(a.STATUS) == STATUSES
    if SPEC.is_file():
        told = json.loads(SPEC.read_text(encoding="utf-8"))["components"]["schemas"]["OrderStatus"]["enum"]
        assert set(told) == STATUSES


def test_a_status_when_it_is_unknown_then_nothing_is_concluded_from_it() -> None:
    with pytest.raises(RetryableBrokerError, match="'sold_to_the_moon'"):
        _ = a.AlpacaOrder("id", status="sold_to_the_moon").fate
    assert a.AlpacaOrder("id", status="done_for_day").fate is Fate.OVER
    assert a.AlpacaOrder("id", status="calculated").fate is Fate.RESTS


def test_an_order_when_done_for_the_day_and_good_until_cancelled_then_it_rests_until_the_next_one() -> None:
    assert a.AlpacaOrder("id", status="done_for_day", time_in_force="gtc").fate is Fate.RESTS
    assert a.AlpacaOrder("id", status="done_for_day", time_in_force="day").fate is Fate.OVER
    assert a.AlpacaOrder("id", status="canceled", time_in_force="gtc").fate is Fate.OVER


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"{}", "accepted"),
        (201, b"{}", "accepted"),
        (400, said(40010000, "bad request"), "refused"),
        (403, said(40310000, "insufficient buying power"), "refused"),
        (403, said(40310000, 'asset "THIN" is not fractionable'), "refused"),
        (403, said(40310000, "potential wash trade detected. use complex orders"), "refused"),
        (403, said(40310000, "account not eligible to trade uncovered option contracts"), "refused"),
        (403, said(40310000, "new orders are rejected by user request"), "refused"),
        (422, said(42210000, "fractional orders must be DAY orders"), "refused"),
        (404, said(40410000, "asset not found"), "refused"),
        (422, said(40010001, "client_order_id must be unique"), "duplicate"),
        (401, b"", "stop"),
        (401, said(40110000, "request is not authorized"), "stop"),
        (403, said(40310000, "account is blocked from trading"), "stop"),
        (403, b'{"message": "forbidden."}', "stop"),
        (429, b"", "busy"),
        (403, b"", "unknown"),
        (422, b"<html>a proxy's page</html>", "unknown"),
        (422, b'{"code": 42210000}', "unknown"),
        (422, b"[" * 100_000, "unknown"),
        (404, b'{"message": "no such page"}', "unknown"),
        (307, b"", "unknown"),
        (408, b"", "unknown"),
        (500, said(50010000, "internal server error"), "unknown"),
        (502, b"", "unknown"),
        (504, b"", "unknown"),
        (418, said(1, "teapot"), "unknown"),
    ],
)
def test_an_answer_to_a_new_order_when_judged_then_is_this(status: int, body: bytes, outcome: str) -> None:
    assert a.outcome_of_post(status, body) == outcome


def test_an_answer_to_a_question_when_it_is_no_success_then_proves_nothing_or_calls_a_person() -> None:
    assert a.checked(204, b"", "a cancel", ()) == b""
    for status, body in ((404, b""), (500, b""), (429, b""), (302, b""), (403, said(40310000, "not today"))):
        with pytest.raises(RetryableBrokerError):
            a.checked(status, body, "the account", ())
    for status, body in ((401, b""), (403, b'{"message": "forbidden."}')):
        with pytest.raises(StopTradingError, match="alpaca_trading_key"):
            a.checked(status, body, "the account", ())


def test_not_found_when_it_is_not_alpacas_own_word_then_is_no_proof() -> None:
    assert a.is_not_found(404, said(40410000, "order not found for x"))
    for status, body in ((404, b""), (404, b"<html>"), (404, said(1, "x")), (500, said(40410000, "x"))):
        assert not a.is_not_found(status, body)


def test_words_when_they_are_shown_then_are_one_line_without_secrets() -> None:
    body = said(40310000, "no\nway\x1b[31m for key CANARY at all " + "x" * 1_000)
    words = a.words_of(403, body, ("CANARY",))
    assert words.startswith("no way [31m for key *** at all")
    assert "\n" not in words
    assert len(words) < 400
    assert a.words_of(504, b"<html>", ()) == "no readable words (Alpaca 504)"


def test_a_trailing_stop_when_its_price_is_not_told_then_is_reckoned_from_its_best_price() -> None:
    def order(**more: object) -> a.AlpacaOrder:
        return a.AlpacaOrder("id", side="sell", hwm=Decimal(110), trail_percent=Decimal("1.5"), **more)

    assert order().stop_micros == 108_350_000
    assert order(stop_price=Decimal("108.35")).stop_micros == 108_350_000
    assert a.AlpacaOrder("id").stop_micros == 0


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-sNaN", "1e999999", "1e30"])
def test_an_amount_when_it_cannot_be_one_then_is_not_taken(text: str) -> None:
    with pytest.raises(RetryableBrokerError):
        a.scaled(Decimal(text), NANOS)


def test_amounts_when_read_then_are_exact() -> None:
    assert a.scaled(Decimal("0.057436865"), NANOS) == 57_436_865
    assert a.scaled(Decimal("-23140.2"), MICROS) == -23_140_200_000
    assert a.scaled(None, MICROS) == 0
    with pytest.raises(RetryableBrokerError):
        a.price(Decimal(-1))


def test_times_when_read_then_are_exact_and_nonsense_is_refused() -> None:
    assert a.utc_ns_of("2026-10-08T13:30:00.123456789Z") == 1_791_466_200_123_456_789
    assert a.utc_ns_of("2026-10-08T09:30:00.5-04:00") == 1_791_466_200_500_000_000
    assert a.iso_seconds(1_791_466_200_999_999_999) == "2026-10-08T13:30:00Z"
    for text in ("", "20261008093000123", "2026-13-41T00:00:00Z", "yesterday"):
        with pytest.raises(RetryableBrokerError):
            a.utc_ns_of(text)


def test_a_body_when_it_is_not_what_was_asked_for_then_is_unreadable() -> None:
    for body in (b"", b"<html>", b"[]", b'{"id": 5}', b"[" * 100_000):
        with pytest.raises(RetryableBrokerError, match="cannot be read"):
            a.decoded(body, a.AlpacaOrder)


def test_an_order_when_put_into_alpacas_words_then_has_strings_and_no_float() -> None:
    request = a_request("tb1-a", shares=1.5, order_type="LIMIT", limit_micros=99_990_000)
    assert body_of(request) == {
        "symbol": "AAPL",
        "qty": "1.5",
        "side": "buy",
        "type": "limit",
        "time_in_force": "day",
        "client_order_id": "tb1-a",
        "limit_price": "99.99",
    }
    stop = body_of(a_request("s", "SELL", order_type="STOP", stop_micros=512_500))
    assert (stop["type"], stop["stop_price"], stop["side"]) == ("stop", "0.5125", "sell")
    trail = body_of(a_request("t", "SELL", order_type="TRAILING_STOP", trail_bps=150))
    assert (trail["type"], trail["trail_percent"]) == ("trailing_stop", "1.5")
    option = body_of(a_request("o", symbol=PUT, shares=2, order_type="LIMIT", limit_micros=1_250_000))
    assert (option["symbol"], option["qty"], option["position_intent"]) == (PUT, "2", "buy_to_open")
    closing = body_of(a_request("c", "SELL", symbol=PUT, shares=2))
    assert closing["position_intent"] == "sell_to_close"


@pytest.mark.parametrize(
    ("amount", "scale", "text"),
    [(1, NANOS, "0.000000001"), (100 * NANOS, NANOS, "100"), (0, NANOS, "0"), (2**62, NANOS, "4611686018.427387904")],
)
def test_an_amount_when_written_then_is_a_plain_decimal(amount: int, scale: int, text: str) -> None:
    assert decimal_text(amount, scale) == text


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"shares": 0.5, "order_type": "STOP", "stop_micros": MICROS}, "not as stop"),
        ({"shares": 0.5, "order_type": "TRAILING_STOP", "trail_bps": 100}, "not as trailing_stop"),
        ({"shares": 0}, "not positive"),
        ({"order_type": "LIMIT"}, "needs a limit price"),
        ({"order_type": "LIMIT", "limit_micros": 99_995_000}, "99.995 has more than the 2 decimals"),
        ({"order_type": "LIMIT", "limit_micros": 512_550}, "0.51255 has more than the 4 decimals"),
        ({"symbol": PUT, "shares": 0.5}, "whole contracts"),
        ({"symbol": PUT, "order_type": "TRAILING_STOP", "trail_bps": 100}, "no trailing stops for options"),
        ({"symbol": PUT, "order_type": "LIMIT", "limit_micros": 512_500}, "0.5125 has more than the 2 decimals"),
    ],
)
def test_an_order_when_alpaca_would_not_take_it_then_the_refusal_says_why(more: dict[str, object], says: str) -> None:
    words = refusal(a_request("tb1-a", **more))
    assert words is not None
    assert says in words
