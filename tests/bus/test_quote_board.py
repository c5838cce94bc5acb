"""The newest quote of each symbol, whatever lists of names the batches came in."""

from hypothesis import given
from hypothesis import strategies as st

from bus.messages import Quote, QuoteBatch
from bus.quote_board import QuoteBoard

NAMES = ("A", "B", "C", "D", "E")


def batch_of(step: int, symbols: tuple[str, ...]) -> QuoteBatch:
    quotes = (Quote(symbol, step, step + 1, 1, 1, step) for symbol in symbols)
    return QuoteBatch.of(quotes, ts_event=step, ts_init=step, step=step)


@given(st.lists(st.lists(st.sampled_from(NAMES), unique=True, max_size=5).map(tuple), max_size=60))
def test_a_board_when_it_hears_any_batches_knows_the_newest_quote_of_each_name(lists: list[tuple[str, ...]]) -> None:
    board, expected = QuoteBoard(), {}
    for step, symbols in enumerate(lists, 1):
        batch = batch_of(step, symbols)
        board = board.heard(batch)
        expected |= {quote.symbol: quote for quote in batch.quotes}
    assert {name: board.quote_of(name) for name in NAMES} == dict.fromkeys(NAMES) | expected


def test_a_board_when_it_hears_many_lists_keeps_few_batches() -> None:
    board = QuoteBoard()
    for step in range(1, 100):
        board = board.heard(batch_of(step, (f"S{step}",)))
    assert len(board.batches) <= 8
    assert all(board.quote_of(f"S{step}") == Quote(f"S{step}", step, step + 1, 1, 1, step) for step in range(1, 100))
