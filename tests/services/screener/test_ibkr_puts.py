"""Chains and quotes of puts at Interactive Brokers over both libraries: few contracts, and never the whole chain."""

import ib_gateway_data as data
import pytest
from ib_gateway_data import Chain
from ibkr_data_bench import DataBench, dollars
from live_day import PLAN, SECOND, until

from services.screener.chain_source import ChainError
from services.screener.ibkr_puts import COMPETING_NS, IbkrChains, IbkrPutQuotes
from services.screener.live import LiveQuote
from services.screener.settings import PutWindow

DATE = PLAN.session_date
WINDOW = PutWindow(days_min=7, days_max=45, per_name=3)
PUTS = ("SPY250321P00100000", "SPY250321P00095000", "SPY250321P00105000")


def chains(ib: DataBench) -> IbkrChains:
    """Let the gateway list puts of two days on SPY; the pair of the 105 strike and the later day does not exist."""
    ib.gateway.know("SPY", *PUTS, "SPY250328P00100000", "SPY250328P00095000")
    ib.gateway.chains["SPY"] = [
        Chain(("20250313", "20250321", "20250328", "20250620"), ("95.0", "97.123", "100.0", "105.0")),
        Chain(("20250321",), ("50.0",), trading_class="2SPY"),
        Chain(("20250321",), ("99.0",), multiplier="10"),
    ]
    for put in (*PUTS, "SPY250328P00100000"):
        ib.gateway.say_ticks(put, open_interest="1200", delta="-0.48")
    return IbkrChains(ib.line, WINDOW, patience_ns=SECOND // 2)


def test_chain_when_asked_then_the_nearest_puts_come_with_what_is_open_of_them(ib: DataBench) -> None:
    puts = chains(ib).puts("SPY", dollars(101), DATE)
    assert [put.symbol for put in puts] == ["SPY250321P00100000", "SPY250328P00100000", "SPY250321P00105000"]
    assert {(put.open_interest, put.delta_ppm) for put in puts} == {(1_200, 480_000)}
    looked_up = [fields for fields in ib.gateway.received if fields[0] == "9"]
    assert len(looked_up) <= 1 + 3 * WINDOW.per_name, "the whole chain is never asked for"
    until(lambda: not ib.gateway.names(), "return of the lines")


def test_chain_when_facts_of_a_put_are_not_known_then_they_are_left_open(ib: DataBench) -> None:
    source = chains(ib)
    ib.gateway.facts["SPY250321P00100000"].open_interest = ""
    ib.gateway.facts["SPY250321P00100000"].delta = "-2"
    first = source.puts("SPY", dollars(100), DATE)[0]
    assert (first.symbol, first.open_interest, first.delta_ppm) == ("SPY250321P00100000", None, None)


def test_chain_when_nothing_expires_in_the_window_then_it_is_empty(ib: DataBench) -> None:
    chains(ib)
    far = PutWindow(days_min=300, days_max=400)
    assert IbkrChains(ib.line, far).puts("SPY", dollars(100), DATE) == ()


def test_chain_when_options_have_no_subscription_then_it_says_what_to_do(ib: DataBench) -> None:
    source = chains(ib)
    ib.gateway.data_refusals[1, "SPY250321P00100000"] = data.NOT_SUBSCRIBED
    with pytest.raises(ChainError, match="no chain of SPY: the account has no subscription"):
        source.puts("SPY", dollars(100), DATE)


def test_chain_when_the_name_is_unknown_or_nobody_listens_then_it_is_said(ib: DataBench) -> None:
    with pytest.raises(ChainError, match="does not know the name"):
        chains(ib).puts("NOPE", dollars(100), DATE)
    ib.open(answer_s=0.2)
    ib.gateway.stop()
    with pytest.raises(ChainError, match="not there"):
        IbkrChains(ib.line, WINDOW).puts("SPY", dollars(100), DATE)


def test_puts_when_watched_then_quoted_and_the_lines_of_others_given_back(ib: DataBench) -> None:
    chains(ib)
    quotes = IbkrPutQuotes(ib.line, lambda: ib.now_ns)
    quotes.watch(PUTS[:2])
    until(lambda: set(ib.gateway.names()) == set(PUTS[:2]), "subscriptions")
    ib.quote(PUTS[0], "2.10", "2.20", size="7")
    found: list[LiveQuote] = []
    until(lambda: found.extend(quotes.take().values()) or (found and found[-1].ask_micros), "quote with both sides")
    quote = found[-1]
    assert (quote.symbol, quote.bid_micros, quote.ask_micros) == (PUTS[0], dollars(2.1), dollars(2.2))
    assert (quote.ask_size_nanos, quote.ts_ns) == (7 * SECOND, ib.now_ns)
    quotes.watch(PUTS[1:])
    until(lambda: set(ib.gateway.names()) == set(PUTS[1:]), "other subscriptions")
    ib.gateway.drop()
    until(lambda: not ib.gateway.names(), "end of the connection")
    until(lambda: set(ib.gateway.names()) == set(PUTS[1:]), "subscriptions on the next connection")
    quotes.close()
    until(lambda: not ib.gateway.names(), "end")


def test_puts_when_one_is_refused_then_the_others_are_quoted(ib: DataBench, caplog: pytest.LogCaptureFixture) -> None:
    ib.gateway.data_refusals[1, PUTS[0]] = data.NOT_SUBSCRIBED
    quotes = IbkrPutQuotes(ib.line, lambda: ib.now_ns)
    quotes.watch(PUTS[:2])
    until(lambda: "no quotes of SPY250321P00100000: the account has no subscription" in caplog.text, "word of it")
    assert ib.gateway.names() == [PUTS[1]]
    ib.gateway.say_of(1, PUTS[1], *data.COMPETING)
    until(lambda: not ib.gateway.names(), "end of the subscription")
    ib.skipped_ns += COMPETING_NS
    until(lambda: ib.gateway.names() == [PUTS[1]], "subscription after the other session")
    quotes.close()
