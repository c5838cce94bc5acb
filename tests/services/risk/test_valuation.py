"""The quick reckoning of the day's result against the plain one, and volumes over any lists of names."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.columns import Picks
from bus.messages import MICROS, NANOS, Bar, BarBatch, IntentClosed, Quote, QuoteBatch
from services.risk import market as markets
from services.risk import portfolio as book
from services.risk.market import Marks
from services.risk.portfolio import Exposure, Portfolio
from services.risk.valuation import Valuation

NAMES = ("A", "B", "C")
QUOTES = st.dictionaries(st.sampled_from(NAMES), st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2)))
HELD = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([0, 1, 3, 0.5, 0.123456789])), max_size=4)


def _portfolio(held: list[tuple[str, float]]) -> Portfolio:
    exposures = {
        str(number): Exposure(
            intent_id=str(number),
            strategy="open",
            symbol=symbol,
            ask_micros=0,
            unfilled_nanos=0,
            qty_nanos=round(shares * NANOS),
            cost_micros=number * MICROS + 1 if shares else 0,
        )
        for number, (symbol, shares) in enumerate(held)
    }
    return replace(book.EMPTY, exposures=exposures, realized_micros=7)


@given(st.lists(QUOTES, max_size=6), HELD)
def test_result_when_any_quotes_are_heard_then_it_is_that_of_the_last_good_bids(
    batches: list[dict[str, tuple[int, int, int]]], held: list[tuple[str, float]]
) -> None:
    portfolio = _portfolio(held)
    valuation, market, good = Valuation(portfolio), markets.blank(), {}
    for step, quoted in enumerate(batches, 1):
        quotes = [
            Quote(name, bid * MICROS, ask * MICROS, size * NANOS, NANOS, step)
            for name, (bid, ask, size) in sorted(quoted.items())
        ]
        batch = QuoteBatch.of(quotes, ts_event=step, ts_init=step, step=step)
        market = markets.hear_quotes(market, batch, valuation.picks)
        good |= {
            q.symbol: q.bid_micros
            for q in quotes
            if q.bid_micros and q.bid_size_nanos and not 0 < q.ask_micros < q.bid_micros
        }
    bids = {symbol: good[symbol] for symbol, _ in held if symbol in good}
    assert market.bids([symbol for symbol, _ in held]) == bids
    assert valuation.pnl_micros(market) == book.pnl_micros(portfolio, bids)


@given(st.lists(st.lists(st.sampled_from("ABCDEFGHIJKL"), unique=True, max_size=12).map(tuple), max_size=40))
def test_volumes_when_minutes_have_any_names_then_each_is_counted_once(lists: list[tuple[str, ...]]) -> None:
    volumes, expected = markets.Volumes(), Counter()
    for step, names in enumerate(lists, 1):
        bars = [Bar(name, 1, 1, 1, 1, step) for name in names]
        volumes.add(BarBatch.of(bars, ts_event=step, ts_init=step, step=step))
        expected.update(dict.fromkeys(names, step))
    assert {name: volumes.of(name) for name in "ABCDEFGHIJKL"} == dict.fromkeys("ABCDEFGHIJKL") | expected


@pytest.mark.parametrize("held", [[], [("A", 1.0)]])
def test_picks_when_nothing_was_heard_then_no_result_beyond_what_is_realized(held: list[tuple[str, float]]) -> None:
    portfolio = _portfolio(held)
    assert Valuation(portfolio).pnl_micros(markets.blank()) == 7
    assert Picks([]).of(("A",), b"") is None


STEPS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, 0, 1, 5, 0.25]), st.integers(0, 9)), max_size=30)


@given(STEPS)
def test_valuation_when_it_follows_any_events_then_it_is_that_of_the_last_portfolio(
    steps: list[tuple[int, float | None, int]],
) -> None:
    portfolio = book.EMPTY
    followed, market = Valuation(portfolio), markets.blank()
    quotes = [Quote(name, 5 * MICROS, 6 * MICROS, NANOS, NANOS, 1) for name in NAMES]
    for number, shares, unfilled in steps:
        intent, exposures = str(number), dict(portfolio.exposures)
        exposures.pop(intent, None)
        if shares is not None:
            exposures[intent] = Exposure(
                intent_id=intent,
                strategy="open",
                symbol=NAMES[number % 3],
                ask_micros=3,
                unfilled_nanos=unfilled * NANOS,
                qty_nanos=round(shares * NANOS),
                cost_micros=number + unfilled if shares else 0,
            )
        portfolio = replace(portfolio, exposures=exposures)
        followed = followed.after(portfolio, IntentClosed(ts_event=1, ts_init=1, intent_id=intent, symbol="A"))
        # At the marks of before the event, then at newer ones at which every price is another.
        assert followed.pnl_micros(market) == book.pnl_micros(portfolio, market.bids(book.open_symbols(portfolio)))
        quotes = [replace(quote, bid_micros=quote.bid_micros + 1, ask_micros=9 * MICROS) for quote in quotes]
        market = markets.hear_quotes(market, QuoteBatch.of(quotes, ts_event=1, ts_init=1, step=1), followed.picks)
        assert followed.pnl_micros(market) == book.pnl_micros(portfolio, market.bids(book.open_symbols(portfolio)))
        assert followed.held_cost_micros + followed.reserved_micros == book.allocated_micros(portfolio)
        assert followed.reserved_micros == book.reserved_micros(portfolio)
        assert sorted(followed.picks.wanted) == sorted(book.open_symbols(portfolio))
        assert followed.unmarked_symbols(market) == ()


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 9)), max_size=4), st.booleans())
def test_bid_when_of_one_name_then_it_is_that_of_all_by_name(said: list[tuple[str, int]], is_laid_out: bool) -> None:
    bids = dict(said)
    marks = Marks(tuple(name for name, _ in said), tuple(bids[name] for name, _ in said))
    if is_laid_out:
        assert dict(marks.by_name) == bids
    assert {name: marks.bid_of(name) for name in NAMES} == {name: bids.get(name, 0) for name in NAMES}
