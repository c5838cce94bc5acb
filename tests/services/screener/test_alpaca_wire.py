"""Frames of the stock stream: what makes sense is read, what does not is counted, and nothing raises."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.messages import MICROS, NANOS, PRICE_MICROS_MAX
from services.screener.alpaca_wire import WireError, bar_of, quote_of, read_frame, subscription, time_ns

AT = datetime(2025, 3, 12, 13, 30, 0, 250_001, tzinfo=UTC)
MINUTE_START = datetime(2025, 3, 12, 13, 30, tzinfo=UTC)
AT_NS = 1_741_786_200_250_001_000
QUOTE: dict[str, Any] = {
    "T": "q",
    "S": "AAA",
    "bp": 10.01,
    "bs": 3,
    "ap": 10.02,
    "as": 4,
    "t": AT,
    "bx": "V",
    "c": ["R"],
}
BAR: dict[str, Any] = {"T": "b", "S": "AAA", "o": 10.0, "h": 10.5, "l": 9.5, "c": 10.25, "v": 1200, "t": MINUTE_START}


def packed(*items: object) -> bytes:
    return msgspec.msgpack.encode(list(items))


def test_a_quote_when_read_then_its_floats_are_exact_integers() -> None:
    (raw,) = read_frame(packed(QUOTE)).quotes
    quote = quote_of(raw)
    assert quote is not None
    assert (quote.bid_micros, quote.ask_micros) == (10_010_000, 10_020_000)
    assert (quote.bid_size_nanos, quote.ask_size_nanos, quote.ts_ns) == (3 * NANOS, 4 * NANOS, AT_NS)


def test_a_quote_when_crossed_or_ten_times_off_then_it_is_passed_on_for_risk_to_judge() -> None:
    crossed = quote_of(QUOTE | {"bp": 100.2, "ap": 10.02})
    assert crossed is not None
    assert crossed.bid_micros > crossed.ask_micros


@pytest.mark.parametrize("bad", [0, -1.0, float("nan"), float("inf"), 1e300, None, "10", True])
def test_a_quote_when_a_price_makes_no_sense_then_that_side_is_absent_with_its_size(bad: object) -> None:
    quote = quote_of(QUOTE | {"bp": bad})
    assert quote is not None
    assert (quote.bid_micros, quote.bid_size_nanos) == (0, 0)
    assert quote.ask_micros == 10_020_000


@pytest.mark.parametrize("changes", [{"S": "aaa!"}, {"S": None}, {"t": "soon"}, {"t": 5}, {"t": None}])
def test_a_quote_when_it_has_no_name_or_time_then_there_is_none(changes: dict[str, Any]) -> None:
    assert quote_of(QUOTE | changes) is None


def test_a_bar_when_read_then_its_time_is_the_end_of_its_minute() -> None:
    (bar,) = read_frame(packed(BAR)).bars
    assert bar.end_ns == 1_741_786_260_000_000_000
    assert (bar.open_micros, bar.close_micros, bar.volume_nanos) == (10 * MICROS, 10_250_000, 1_200 * NANOS)


@pytest.mark.parametrize(
    "changes",
    [
        {"h": 9.0},
        {"l": 0},
        {"c": float("nan")},
        {"c": 11.0},
        {"o": 20.0},
        {"t": AT},
        {"h": PRICE_MICROS_MAX},
        {"S": ""},
    ],
)
def test_a_bar_when_it_is_none_then_it_is_counted_and_left_out(changes: dict[str, Any]) -> None:
    frame = read_frame(packed(BAR | changes, BAR))
    assert (len(frame.bars), frame.malformed) == (1, 1)


def test_a_bar_when_from_rest_then_its_time_may_be_text() -> None:
    bar = bar_of("AAA", BAR, "2025-03-12T13:30:00Z")
    assert bar is not None
    assert bar.end_ns == 1_741_786_260_000_000_000


def test_words_when_the_server_refuses_then_they_say_what_to_do() -> None:
    (word,) = read_frame(packed({"T": "error", "code": 405, "msg": "symbol limit exceeded"})).words
    assert "ALPACA_STREAM_SYMBOLS_MAX" in word.in_words
    (strange,) = read_frame(packed({"T": "error", "code": 999, "msg": "new\nwords"})).words
    assert strange.in_words == "says 999 'new words'"


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x81", packed(QUOTE)[:-3], msgspec.msgpack.encode({"T": "q"})])
def test_a_frame_when_it_is_no_list_then_it_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        read_frame(payload)


def test_a_frame_when_some_items_are_nonsense_then_the_rest_is_read() -> None:
    frame = read_frame(packed(1, "x", None, {"T": 7}, {"S": "AAA"}, {"T": "status", "S": "AAA"}, QUOTE))
    assert (len(frame.quotes), frame.malformed) == (1, 5)


@given(st.binary(max_size=200))
def test_a_frame_when_it_is_anything_then_it_is_read_or_refused(payload: bytes) -> None:
    try:
        frame = read_frame(payload)
    except WireError:
        return
    for item in frame.quotes:
        quote_of(item)


def test_a_subscription_when_written_then_it_names_quotes_and_bars() -> None:
    asked = msgspec.msgpack.decode(subscription({"B", "A"}, {"A"}))
    assert asked == {"action": "subscribe", "quotes": ["A", "B"], "bars": ["A"]}


def test_a_time_when_before_1970_or_without_a_zone_then_it_is_none() -> None:
    assert time_ns(datetime(1969, 1, 1, tzinfo=UTC)) is None
    assert time_ns("2025-03-12T13:30:00") is None
