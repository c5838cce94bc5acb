"""Columns of numbers on the wire: what goes in comes out, and what cannot be right is refused at the border."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import messages as m
from bus.codec import MalformedMessageError, decode_message, encode_message
from bus.columns import Picks, pack, rows_of, unpack, views_of

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INT64, max_size=20))
def test_a_column_when_packed_is_read_back_whole_and_one_by_one(values: list[int]) -> None:
    column = pack(values)
    assert unpack(column) == values
    assert list(views_of(column)[0]) == values


def test_a_number_when_beyond_64_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        pack([2**63])


def test_rows_when_many_lists_are_asked_for_are_those_of_each_list() -> None:
    lists = [tuple(f"S{n}" for n in range(size)) for size in range(80)]
    assert all(rows_of(one) == {symbol: row for row, symbol in enumerate(one)} for one in lists * 2)


@given(st.lists(st.permutations(["A", "B", "C", "D"]), max_size=6), st.lists(st.sampled_from("ABCD"), max_size=6))
def test_picks_when_batches_have_any_order_are_the_numbers_of_the_wanted_names(
    lists: list[list[str]], wanted: list[str]
) -> None:
    picks = Picks(wanted)
    for names in lists * 2:
        value_of = {name: number for number, name in enumerate(names)}
        found = picks.of(tuple(names), pack(range(4)), pack(range(10, 14)))
        expected = [tuple(value_of[name] + more for name in wanted) for more in (0, 10)]
        assert found == (expected if wanted else None)


PICK_STEPS = st.lists(st.one_of(st.sampled_from("ABCD"), st.integers(0, 5), st.permutations(["A", "B", "C"])))


@given(PICK_STEPS)
def test_picks_when_names_come_and_go_are_those_of_the_names_that_are_wanted_then(
    steps: list[str | int | list[str]],
) -> None:
    picks, wanted, said, column = Picks(), list[str](), ("A", "B", "C"), pack([1, 2, 3])
    for step in steps:
        if isinstance(step, str):
            picks.append(step)
            wanted.append(step)
        elif isinstance(step, list):
            said, column = tuple(step), pack(map(ord, step))
        elif step < len(wanted):
            picks.drop(step)
            last = wanted.pop()
            wanted[step : step + 1] = [last] if step < len(wanted) else []
        assert picks.wanted == tuple(wanted)
        assert picks.of(said, column, column) == Picks(wanted).of(said, column, column)


def test_picks_when_a_wanted_name_is_absent_are_none() -> None:
    assert Picks(["A", "Z"]).of(("A", "B"), pack([1, 2])) is None


BARS = (m.Bar("AAA", 1, 4, 1, 3, 100), m.Bar("BBB", 5, 8, 5, 7, 200))
QUOTES = (m.Quote("AAA", 10, 11, 100, 200, 7), m.Quote("BBB", 0, 21, 0, 300, 8))


def test_batches_when_encoded_and_decoded_hold_the_same_rows() -> None:
    bars = m.BarBatch.of(BARS, ts_event=1, ts_init=2, step=3, parts_left=1)
    quotes = m.QuoteBatch.of(QUOTES, ts_event=1, ts_init=2, step=3)
    heard_bars, heard_quotes = decode_message(encode_message(bars)), decode_message(encode_message(quotes))
    assert isinstance(heard_bars, m.BarBatch)
    assert isinstance(heard_quotes, m.QuoteBatch)
    assert (heard_bars.bars, heard_bars.parts_left) == (BARS, 1)
    assert heard_quotes.quotes == QUOTES
    assert heard_quotes.quote_of("BBB") == QUOTES[1]
    assert heard_quotes.quote_of("CCC") is None


@pytest.mark.parametrize("column", ["closes_micros", "volumes_nanos"])
@pytest.mark.parametrize("length", [0, 8, 15, 24])
def test_a_batch_when_a_column_has_another_length_does_not_get_in(column: str, length: int) -> None:
    fields = msgspec.to_builtins(m.BarBatch.of(BARS, ts_event=1, ts_init=2, step=3), builtin_types=(bytes,))
    fields[column] = bytes(length)
    with pytest.raises(MalformedMessageError, match="must have 16"):
        decode_message(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize(
    "wrong", [m.Quote("AAA", -1, 11, 1, 1, 7), m.Quote("AAA", 10, 2**53 + 1, 1, 1, 7), m.Quote("AAA", 10, 11, 1, -1, 7)]
)
def test_a_quote_when_its_numbers_make_no_sense_is_no_quote(wrong: m.Quote) -> None:
    batch = m.QuoteBatch.of((wrong, QUOTES[1]), ts_event=1, ts_init=1, step=1)
    assert batch.quote_of("AAA") is None
    assert batch.quotes == (QUOTES[1],)
