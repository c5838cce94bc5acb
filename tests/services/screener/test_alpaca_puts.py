"""Chains and quotes of puts at Alpaca: few contracts, whole answers, and never a key in the words."""

from collections.abc import Iterator

import pytest
from alpaca_data import AlpacaData
from canaries import CREDENTIALS
from live_day import OPEN, PLAN, SECOND, until

from bus.messages import MICROS
from services.screener.alpaca_puts import AlpacaChains, AlpacaPutQuotes
from services.screener.alpaca_rest import AlpacaRest
from services.screener.chain_source import ChainError
from services.screener.live import LiveQuote
from services.screener.settings import PutWindow

DATE = PLAN.session_date
KEYS = (CREDENTIALS["alpaca_data_key"], CREDENTIALS["alpaca_data_secret"])
WINDOW = PutWindow(days_min=7, days_max=45, per_name=3)
PUTS = ("SPY250321P00100000", "SPY250321P00095000", "SPY250321P00105000", "SPY250328P00100000")


@pytest.fixture
def data() -> Iterator[AlpacaData]:
    made = AlpacaData(keys=KEYS)
    for put in PUTS:
        made.options.list_put(put)
    yield made
    made.close()


def rest(data: AlpacaData, keys: tuple[str, str] = KEYS) -> AlpacaRest:
    return AlpacaRest(keys, url=data.rest_url, timeout_s=(5.0, 5.0))


def chains(data: AlpacaData, keys: tuple[str, str] = KEYS) -> AlpacaChains:
    return AlpacaChains([rest(data, keys)], rest(data, keys), "indicative", WINDOW)


def symbols(data: AlpacaData) -> list[str]:
    return [put.symbol for put in chains(data).puts("SPY", 101 * MICROS, DATE)]


def test_chain_when_asked_then_the_nearest_puts_come_with_what_is_open_of_them(data: AlpacaData) -> None:
    puts = chains(data).puts("SPY", 101 * MICROS, DATE)
    assert [put.symbol for put in puts] == ["SPY250321P00100000", "SPY250328P00100000", "SPY250321P00105000"]
    assert {(put.open_interest, put.delta_ppm) for put in puts} == {(1_200, 480_000)}
    assert data.options.contract_questions[0] == {
        "underlying_symbols": "SPY",
        "type": "put",
        "status": "active",
        "expiration_date_gte": "2025-03-19",
        "expiration_date_lte": "2025-04-26",
        "strike_price_gte": "85.85",
        "strike_price_lte": "116.15",
        "limit": "1000",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"size": "10"},
        {"tradable": False},
        {"root_symbol": "SPY1"},
        {"strike_price": "100.001"},
        {"expiration_date": "2025-03-20"},
    ],
)
def test_a_contract_when_it_is_no_plain_put_on_the_share_then_it_is_not_listed(
    data: AlpacaData, change: dict[str, object]
) -> None:
    data.options.list_put(PUTS[0], **change)
    assert PUTS[0] not in symbols(data)
    assert len(symbols(data)) == 3


def test_chain_when_facts_are_not_known_then_they_are_left_open(data: AlpacaData) -> None:
    data.options.list_put(PUTS[0], open_interest=None, delta=0.3)
    first = chains(data).puts("SPY", 100 * MICROS, DATE)[0]
    assert (first.symbol, first.open_interest, first.delta_ppm) == (PUTS[0], None, None)


def test_chain_when_it_has_pages_then_all_are_read_and_endless_ones_are_not_believed(data: AlpacaData) -> None:
    data.options.page_max = 1
    assert len(symbols(data)) == 3
    data.options.page_max = 0
    with pytest.raises(ChainError, match="more than 5 pages"):
        symbols(data)


def test_chain_when_there_are_no_puts_then_it_is_empty_and_nothing_more_is_asked(data: AlpacaData) -> None:
    assert chains(data).puts("NONE", 100 * MICROS, DATE) == ()


def test_chain_when_the_server_has_a_fault_then_there_is_no_half_answer(data: AlpacaData) -> None:
    data.rest_faults = 1
    with pytest.raises(ChainError, match="no chain of SPY: refused with 500"):
        symbols(data)


def test_chain_when_the_first_server_does_not_know_the_keys_then_the_other_one_is_asked_first_from_then_on(
    data: AlpacaData,
) -> None:
    stranger = AlpacaData(keys=("other", "keys"))
    try:
        source = AlpacaChains([rest(stranger), rest(data)], rest(data), "indicative", WINDOW)
        assert len(source.puts("SPY", 100 * MICROS, DATE)) == 3
        stranger.close()
        assert len(source.puts("SPY", 100 * MICROS, DATE)) == 3
    finally:
        stranger.close()


def test_chain_when_the_keys_are_refused_everywhere_then_they_are_not_in_the_words(data: AlpacaData) -> None:
    source = chains(data, (KEYS[0], "canaryWRONG"))
    with pytest.raises(ChainError, match="refused with 403") as raised:
        source.puts("SPY", 100 * MICROS, DATE)
    assert "anary" not in str(raised.value) + repr(source) + repr(rest(data))


def quotes(data: AlpacaData) -> AlpacaPutQuotes:
    return AlpacaPutQuotes(rest(data), "indicative", every_s=0.01)


def test_puts_when_watched_then_each_new_quote_comes_once(data: AlpacaData) -> None:
    data.options.quote_put(PUTS[0], 2.1, 2.2, OPEN + 123_456_789)
    source = quotes(data)
    source.watch(PUTS[:2])
    first = until(source.take, "quote")
    micros = 123_456_000
    assert first == {PUTS[0]: LiveQuote(PUTS[0], 2_100_000, 2_200_000, 7 * SECOND, 7 * SECOND, OPEN + micros)}
    asked = len(data.options.quote_questions)
    until(lambda: len(data.options.quote_questions) > asked + 2, "more questions")
    assert source.take() == {}, "it is the same quote"
    data.options.quote_put(PUTS[0], 2.0, 2.2, OPEN + SECOND)
    assert until(source.take, "newer quote")[PUTS[0]].bid_micros == 2_000_000
    source.watch(PUTS[1:2])
    until(lambda: data.options.quote_questions[-1]["symbols"] == PUTS[1], "other question")
    assert data.options.quote_questions[0] == {"symbols": ",".join(PUTS[:2]), "feed": "indicative"}
    source.close()


def test_puts_when_the_server_has_a_fault_then_it_is_said_once_and_asked_again(
    data: AlpacaData, caplog: pytest.LogCaptureFixture
) -> None:
    data.rest_faults = 3
    data.options.quote_put(PUTS[0], 2.1, 2.2, OPEN)
    source = quotes(data)
    source.watch(PUTS)
    assert until(source.take, "quote")
    assert caplog.text.count("no quotes of puts from Alpaca") == 1
    source.close()
