"""The border: what is not a message of the catalogue does not get in."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import messages as m
from bus.codec import (
    Ack,
    Data,
    Frame,
    MalformedMessageError,
    OversizedMessageError,
    StepMark,
    decode_frame,
    decode_message,
    encode_frame,
    encode_message,
)
from bus.testing import a_fill, a_plan, a_quote_batch


@pytest.mark.parametrize("message", [a_fill(), a_plan(), a_quote_batch()], ids=lambda message: type(message).__name__)
def test_a_message_when_encoded_and_decoded_is_the_same(message: m.Message) -> None:
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize("frame", [Data("e", 1, 2, b"x"), Ack("e", 3), StepMark(4, 5)])
def test_a_frame_when_encoded_and_decoded_is_the_same(frame: Frame) -> None:
    assert decode_frame(encode_frame(frame)) == frame


def _fields(**changes: object) -> bytes:
    fields = msgspec.to_builtins(a_fill()) | changes
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        encode_message(a_fill())[:-3],
        _fields(surprise=1),
        _fields(type="NoSuchMessage"),
        _fields(price_micros="12"),
        _fields(price_micros=1.5),
        _fields(price_micros=float("nan")),
        _fields(price_micros=-1),
        _fields(qty_nanos=2**63),
        _fields(symbol="../../etc"),
        _fields(symbol=""),
        _fields(reason="x" * 401),
        b"\x91" * 100_000,
    ],
    ids=[
        "empty", "not MessagePack", "truncated", "unknown field", "unknown type", "text for a number", "float",
        "NaN", "negative price", "too large", "path as symbol", "no symbol", "long text", "nesting bomb",
    ],
)  # fmt: skip
def test_decode_when_the_bytes_are_malformed_refuses(payload: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode_message(payload)


@given(st.binary(max_size=300))
def test_decode_when_given_any_bytes_answers_or_refuses(payload: bytes) -> None:
    for decode in (decode_message, decode_frame):
        try:
            decode(payload)
        except MalformedMessageError:
            continue


def test_encode_when_a_message_is_larger_than_a_frame_refuses() -> None:
    quotes = tuple(m.Quote(f"S{i}", 2**50, 2**50, 2**60, 2**60, 2**60) for i in range(2000))
    with pytest.raises(OversizedMessageError, match="65536 are allowed"):
        encode_message(m.QuoteBatch.of(quotes, ts_event=1, ts_init=1, step=1))


#: What other classes are derived from; nobody says them.
BASES = (m.Message, m.OperatorRequest, m.OperatorCommand)


def test_the_catalogue_when_listed_has_every_message_class_of_the_module() -> None:
    defined = {
        kind
        for kind in vars(m).values()
        if isinstance(kind, type) and issubclass(kind, m.Message) and kind not in BASES
    }
    assert defined == set(get_args(m.AnyMessage))
    assert all(kind.__struct_config__.frozen and kind.__struct_config__.forbid_unknown_fields for kind in defined)


def test_notional_when_half_way_rounds_to_even() -> None:
    assert m.notional_micros(1, m.NANOS // 2) == 0
    assert m.notional_micros(3, m.NANOS // 2) == 2
    assert m.notional_micros(10_500_000, 3 * m.NANOS) == 31_500_000
