"""The screener with Interactive Brokers' data, from its settings to what its listeners hear, over both libraries."""

from collections.abc import Iterator

import ib_gateway_data as data
import pytest
from finnhub_server import provision
from ib_gateway_data import Chain
from ibkr_data_bench import OPEN_S, DataBench, dollars
from live_day import MINUTE, OPEN, SECOND, a_status, bars_of, until
from live_screener import SHORT, Screener

from bus.clock import on_host
from bus.messages import MarketMessage, OptionsListed, QuoteBatch, VixObserved
from config.paths import HomePaths

PUT = "AAPL250321P00100000"


class Wall:
    """A host whose wall clock a test sets."""

    def __init__(self, bench: DataBench) -> None:
        self._bench = bench

    def utc_ns(self) -> int:
        return self._bench.now_ns

    def boot_ns(self) -> int:
        return self._bench.boot_ns()


@pytest.fixture
def screener(ib: DataBench, short_home: HomePaths) -> Iterator[Screener]:
    """Give a screener before the open of a day on which AAPL and its inverse fund can be traded."""
    provision(short_home)
    ib.now_ns = OPEN - 4 * MINUTE
    for name in ("AAPL", "AAPD"):
        ib.gateway.say_ticks(
            name, last="101", last_time_s=OPEN_S - 600, close="100", volume="500000", average_volume="9000000"
        )
    ib.gateway.days["VIX"] = [("20250311", "26.92")]
    ib.gateway.know("AAPL", PUT)
    ib.gateway.chains["AAPL"] = [Chain(("20250321",), ("100.0",))]
    ib.gateway.say_ticks(PUT, open_interest="1200", delta="-0.48", bid="2.1", ask="2.2")
    with on_host(Wall(ib)):
        made = Screener(
            short_home,
            1,
            MARKET_DATA_SOURCE="ibkr",
            ALPACA_ENDPOINT="paper",
            IBKR_PORT=str(ib.gateway.port),
            IBKR_LIBRARY=ib.library,
            MARKET_DATA_SYMBOLS="AAPL",
            SHORT_TYPE_OPEN="LongPut",
        )
        yield made
        made.assembly.shell.close()
        until(lambda: not ib.gateway.lines, "end of the connection")


def found(screener: Screener, kind: type) -> object:
    def look() -> object:
        screener.idle()
        return next((event for event in screener.events if isinstance(event, kind)), None)

    return until(look, kind.__name__)


def test_a_day_when_it_begins_then_names_volatility_and_puts_are_said_and_quotes_and_minutes_come(
    ib: DataBench, screener: Screener
) -> None:
    screener.hear(SHORT)
    ranked = screener.ranked()
    assert [one.symbol for one in ranked.candidates] == ["AAPL"]
    assert "1 of 1 names in Interactive Brokers' market data" in ranked.source
    vix = found(screener, VixObserved)
    assert isinstance(vix, VixObserved)
    assert (vix.vix_hundredths, vix.as_of_date) == (26_92, "2025-03-11")
    listed = found(screener, OptionsListed)
    assert isinstance(listed, OptionsListed)
    assert [(put.symbol, put.open_interest, put.delta_ppm) for put in listed.puts] == [(PUT, 1_200, 480_000)]
    assert listed.ts_event == ib.now_ns, "a chain is as old as its question"

    session = screener.open()
    said: list[MarketMessage] = []

    def hear() -> list[MarketMessage]:
        screener.idle()
        ib.skipped_ns += SECOND // 4
        while (message := session.next()) is not None:
            said.append(message)
            session.hear_status(a_status(7, message.step))
        return said

    until(lambda: hear() and set(ib.gateway.names(50)) == {"AAPL", "AAPD"}, "five-second bars")
    until(lambda: hear() and PUT in ib.gateway.names(), "quotes of the put")
    ib.quote("AAPL", "100.9", "101.1")
    ib.quote(PUT, "2.15", "2.25")

    def quoted(symbol: str, ask: float) -> bool:
        hear()
        batches = [one for one in said if isinstance(one, QuoteBatch)]
        return any(q.symbol == symbol and q.ask_micros == dollars(ask) for one in batches for q in one.quotes)

    until(lambda: quoted("AAPL", 101.1) and quoted(PUT, 2.25), "quotes of both")
    until(lambda: hear() and session._ports.stream._counts_from_ns, "the count")
    ib.now_ns = OPEN
    until(lambda: hear() and "market data: whole" in screener.assembly.remark(), "a whole feed")
    ib.now_ns = OPEN + MINUTE
    for name in ("AAPL", "AAPD"):
        ib.bar(name, 0, "101", "300")
        ib.bar(name, 55, "102", "200")

    def names() -> set[str]:
        # They come in one batch or in two, as they are heard.
        return {name for kind, minute, names in bars_of(hear()) for name in names if (kind, minute) == ("BarBatch", 0)}

    until(lambda: names() == {"AAPD", "AAPL"}, "the first minute")
    session.close()
    assert screener.halts == []


def test_prices_when_the_account_has_no_subscription_then_names_wait_and_it_says_what_to_do(
    ib: DataBench, screener: Screener, caplog: pytest.LogCaptureFixture
) -> None:
    ib.gateway.data_refusals[1, "AAPL"] = data.NOT_SUBSCRIBED
    screener.hear(SHORT)

    def look() -> bool:
        screener.idle()
        return "cannot be chosen yet" in caplog.text

    until(look, "warning")
    assert "subscribe to it in Client Portal" in caplog.text
    assert "the day's names cannot be chosen yet" in screener.assembly.remark()


def test_data_when_no_name_has_a_subscription_any_more_then_the_chain_is_halted_in_words(
    ib: DataBench, screener: Screener
) -> None:
    screener.hear(SHORT)
    screener.ranked()
    ib.gateway.data_refusals |= {(1, "AAPL"): data.NOT_SUBSCRIBED, (1, "AAPD"): data.NOT_SUBSCRIBED}
    session = screener.open()

    def look() -> list[tuple[str, str]]:
        ib.skipped_ns += SECOND // 4
        session.next()
        return screener.halts

    ((rule, words),) = until(look, "halt")
    assert rule == "market_data"
    assert "Interactive Brokers gives no live data of any name" in words
    session.close()
