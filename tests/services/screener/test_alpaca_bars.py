"""Missed minutes over REST: whole answers page by page, or a reason why not, never a key."""

from collections.abc import Iterator

import pytest
from alpaca_data import AlpacaData
from canaries import CREDENTIALS
from live_day import MINUTE, OPEN, a_bar

from services.screener.alpaca_bars import AlpacaBars
from services.screener.alpaca_rest import AlpacaRest
from services.screener.live import BarsError

KEYS = (CREDENTIALS["alpaca_data_key"], CREDENTIALS["alpaca_data_secret"])


@pytest.fixture
def data() -> Iterator[AlpacaData]:
    made = AlpacaData(keys=KEYS)
    made.keep_bars([a_bar(symbol, minute) for symbol in ("AAA", "BBB", "CCC") for minute in range(5)])
    yield made
    made.close()


def past(data: AlpacaData, keys: tuple[str, str] = KEYS) -> AlpacaBars:
    return AlpacaBars(AlpacaRest(keys, url=data.rest_url, timeout_s=(5.0, 5.0)), "iex")


def test_bars_when_asked_then_every_minute_of_the_span_comes_and_no_other(data: AlpacaData) -> None:
    found = past(data).bars(["AAA", "BBB"], OPEN + MINUTE, OPEN + 3 * MINUTE)
    assert sorted((bar.symbol, (bar.end_ns - OPEN) // MINUTE) for bar in found) == [
        ("AAA", 2),
        ("AAA", 3),
        ("BBB", 2),
        ("BBB", 3),
    ]
    assert data.questions[0] | {"symbols": "", "start": "", "end": ""} == {
        "symbols": "",
        "timeframe": "1Min",
        "start": "",
        "end": "",
        "limit": "10000",
        "adjustment": "raw",
        "feed": "iex",
        "sort": "asc",
    }


def test_bars_when_they_are_many_then_all_pages_are_read(data: AlpacaData) -> None:
    data.page_max = 4
    found = past(data).bars(["AAA", "BBB", "CCC"], OPEN, OPEN + 5 * MINUTE)
    assert len(found) == 15
    assert [question.get("page_token") for question in data.questions] == [None, "4", "8", "12"]


def test_bars_when_the_pages_never_end_then_the_answer_is_not_believed(data: AlpacaData) -> None:
    data.page_max = 0
    with pytest.raises(BarsError, match="more than 20 pages"):
        past(data).bars(["AAA"], OPEN, OPEN + 5 * MINUTE)


def test_bars_when_the_server_has_a_fault_then_there_is_no_half_answer(data: AlpacaData) -> None:
    data.rest_faults = 1
    with pytest.raises(BarsError, match="refused with 500, 'internal server error'"):
        past(data).bars(["AAA"], OPEN, OPEN + MINUTE)


def test_bars_when_the_keys_are_refused_then_they_are_not_in_the_words(data: AlpacaData) -> None:
    with pytest.raises(BarsError, match="403") as raised:
        past(data, (KEYS[0], "canaryWRONG")).bars(["AAA"], OPEN, OPEN + MINUTE)
    assert "anary" not in str(raised.value) + repr(past(data))


def test_bars_when_nobody_answers_then_it_is_said(data: AlpacaData) -> None:
    data.close()
    with pytest.raises(BarsError, match="no answer"):
        past(data).bars(["AAA"], OPEN, OPEN + MINUTE)
