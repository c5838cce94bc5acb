"""Messages that lie ahead: what is said of many at once is what one look after the other finds."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.ahead import Ahead, Block, blocks_of
from bus.messages import Bar, BarBatch, FeedEnded, MarketMessage, Quote, QuoteBatch

NAMES = ("AIG", "IBM", "SPY")
SECOND_NS = 1_000_000_000
#: A bid, how far the ask is above it, and the sizes: sides may be absent, and quotes crossed.
QUOTES = st.tuples(st.integers(0, 120), st.integers(-1, 2), st.integers(0, 3), st.integers(1, 3))
MINUTES = st.lists(st.one_of(st.none(), st.tuples(QUOTES, QUOTES, QUOTES)), min_size=1, max_size=12)
STOPS = st.tuples(st.integers(0, 2), st.integers(1, 130), st.integers(1, 3_000))


def _messages(said: Sequence[tuple[tuple[int, int, int, int], ...] | None]) -> list[MarketMessage]:
    """Return quotes of all names for each entry, and a bar where there is none."""
    messages: list[MarketMessage] = []
    names = NAMES
    for step, quotes in enumerate(said, 1):
        ts = step * SECOND_NS
        if quotes is None:
            bars = [Bar("SPY", 1, 1, 1, 1, 5)]
            messages.append(BarBatch.of(bars, ts_event=ts, ts_init=ts, step=step))
            continue
        rows = [
            Quote(name, bid, max(bid + spread, 0), bid_size, ask_size, ts)
            for name, (bid, spread, bid_size, ask_size) in zip(NAMES, quotes, strict=True)
        ]
        batch = QuoteBatch.of(rows, ts_event=ts, ts_init=ts, step=step)
        names = batch.symbols if names is NAMES else names
        messages.append(
            QuoteBatch(**{name: getattr(batch, name) for name in batch.__struct_fields__} | {"symbols": names})
        )
    return messages


def _is_sound(batch: QuoteBatch, name: str) -> bool:
    quote = batch.quote_of(name)
    return quote is not None and (
        0 < quote.bid_micros <= quote.ask_micros and min(quote.bid_size_nanos, quote.ask_size_nanos) > 0
    )


def _bid(batch: QuoteBatch, name: str) -> int:
    quote = batch.quote_of(name)
    assert quote is not None
    return quote.bid_micros


@settings(max_examples=200)
@given(MINUTES, st.lists(STOPS, min_size=1, max_size=4), st.data())
def test_stops_when_looked_for_ahead_then_where_one_quote_after_the_other_hits_them(
    said: list[tuple[tuple[int, int, int, int], ...] | None], stops: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    messages = _messages(said)
    (block,) = blocks_of(messages)
    assert isinstance(block, Block)
    start = data.draw(st.integers(0, len(messages) - 1))
    stop = data.draw(st.integers(start + 1, len(messages)))
    keys = [str(number) for number in range(len(stops))]
    rows, peaks, trails = (list(column) for column in zip(*stops, strict=True))
    found = Ahead(block, start, stop).until_stopped(keys, rows, peaks, trails)
    expected = stop - start
    for count, message in enumerate(messages[start:stop]):
        if not isinstance(message, QuoteBatch):
            continue
        bids = [_bid(message, NAMES[row]) for row in rows]
        peaks = [max(peak, bid) for peak, bid in zip(peaks, bids, strict=True)]
        is_hit = any(
            bid * 10_000 <= peak * (10_000 - trail) for bid, peak, trail in zip(bids, peaks, trails, strict=True)
        )
        if is_hit or not all(_is_sound(message, NAMES[row]) for row in rows):
            expected = count
            break
    assert found == expected
    if found:
        # What was found is remembered: who looks again from a later message finds the same.
        later = Ahead(block, start + found - 1, stop)
        assert later.until_stopped(keys, rows, peaks, trails) == 1 or found == stop - start


@settings(max_examples=200)
@given(MINUTES, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), min_size=1, max_size=4), st.data())
def test_worth_when_looked_for_ahead_then_what_one_quote_after_the_other_gives(
    said: list[tuple[tuple[int, int, int, int], ...] | None], held: list[tuple[int, int]], data: st.DataObject
) -> None:
    messages = _messages(said)
    (block,) = blocks_of(messages)
    assert isinstance(block, Block)
    start = data.draw(st.integers(0, len(messages) - 1))
    low, high = data.draw(st.integers(-10, 6_000)), data.draw(st.integers(0, 12_000))
    rows, shares = (list(column) for column in zip(*held, strict=True))
    expected = len(messages) - start
    for count, message in enumerate(messages[start:]):
        if not isinstance(message, QuoteBatch):
            continue
        worth = sum(_bid(message, NAMES[row]) * many for row, many in held)
        if not low <= worth <= high or not all(_is_sound(message, NAMES[row]) for row in rows):
            expected = count
            break
    assert Ahead(block, start, len(messages)).worth_within(rows, shares, low=low, high=high) == expected


def test_blocks_when_names_change_or_the_feed_ends_then_another_begins() -> None:
    quotes = ((10, 1, 1, 1),) * 3
    first, other = _messages([quotes, None, quotes]), _messages([quotes, None])
    end = FeedEnded(ts_event=9, ts_init=9, step=6, steps=6)
    parts = list(blocks_of([*first, *other, end]))
    assert [len(part.messages) if isinstance(part, Block) else part for part in parts] == [3, 2, end]


def test_messages_when_looked_at_then_times_bars_and_quotes_are_theirs() -> None:
    quotes = ((10, 1, 1, 1),) * 3
    (block,) = blocks_of(_messages([None, quotes, None, quotes]))
    assert isinstance(block, Block)
    ahead = Ahead(block, 1, 4)
    assert (len(ahead), ahead.begins_at(), ahead.last.step) == (3, 2 * SECOND_NS, 4)
    assert [bars.step for bars in ahead.bars] == [3]
    assert ahead.newest_quotes is block.messages[3]
    assert ahead.until(3 * SECOND_NS) == 1
    assert Ahead(block, 0, 1).newest_quotes is None
