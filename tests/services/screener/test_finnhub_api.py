"""Finnhub's answers and refusals, from a server on this machine; the key is looked for in all that can be seen."""

import logging
import traceback
from decimal import Decimal

import pytest
import requests
from finnhub_server import KEY, UTC_S, Answer, FinnhubServer, StillTime, api_of, said

from services.screener.finnhub_answers import Metrics, Missing, Profile
from services.screener.finnhub_api import (
    TOKEN_HEADER,
    TRIES_MAX,
    FinnhubBusyError,
    FinnhubError,
    FinnhubKeyError,
)

QUOTE = {"c": 308.82, "d": 3.83, "dp": 1.2558, "h": 311.4, "l": 305.84, "o": 306.12, "pc": 304.99, "t": 1779480000}
UNKNOWN = {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
PREMIUM = said({"error": "You don't have access to this resource."}, 403)
BUSY_TEXT = {"error": "API limit reached. Please try again later. Remaining Limit: 0"}
PAGE = Answer(b"<html><body>Bad\nGateway</body></html>", 502, kind="text/html")


def test_quote_when_asked_then_the_key_is_in_the_header_and_not_in_the_address(
    server: FinnhubServer, still: StillTime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers["quote"] = said(QUOTE)
    found = api_of(server, still).quote("AAPL")
    assert not isinstance(found, Missing)
    assert (found.price, found.prior_close, found.ts_s) == (Decimal("308.82"), Decimal("304.99"), 1779480000)
    (asked,) = server.asked
    assert asked.path == "/api/v1//quote"
    assert asked.query == {"symbol": ["AAPL"]}
    assert asked.headers[TOKEN_HEADER] == KEY
    assert "//quote?symbol=AAPL" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "answer", [UNKNOWN, UNKNOWN | {"c": 5.5}, UNKNOWN | {"t": 1779480000}, {}, {"c": None, "t": None}]
)
def test_quote_when_price_or_time_is_zero_then_there_is_no_data(
    server: FinnhubServer, still: StillTime, answer: dict[str, object]
) -> None:
    server.answers["quote"] = said(answer)
    assert api_of(server, still).quote("NOSUCH") is Missing.NO_DATA
    assert len(server.asked) == 1


def test_profile_when_in_millions_then_shares_and_dollars_are_whole(server: FinnhubServer, still: StillTime) -> None:
    api = api_of(server, still)
    whole = {"ticker": "AAPL", "currency": "USD", "shareOutstanding": 14687.36, "marketCapitalization": 4535749.272209}
    server.answers["stock/profile2"] = said(whole)
    assert api.profile("AAPL") == Profile(shares_outstanding=14_687_360_000, market_cap_dollars=4_535_749_272_209)
    server.answers["stock/profile2"] = said(whole | {"currency": "TWD"})
    assert api.profile("TSM") == Profile(shares_outstanding=14_687_360_000, market_cap_dollars=0)
    server.answers["stock/profile2"] = said({})
    assert api.profile("NOSUCH") is Missing.NO_DATA


def test_metrics_when_mixed_with_texts_and_nulls_then_what_is_no_number_is_unknown(
    server: FinnhubServer, still: StillTime
) -> None:
    api = api_of(server, still)
    metric = {"peTTM": "37.0039", "totalDebt/totalEquityQuarterly": 0.7955, "marketCapitalization": None}
    server.answers["stock/metric"] = said({"metric": metric | {"10DayAverageTradingVolume": 43.24591}, "series": {}})
    assert api.metrics("AAPL") == Metrics(
        pe_milli=37_004, debt_to_equity_milli=796, market_cap_dollars=0, volume_10_day_shares=43_245_910
    )
    server.answers["stock/metric"] = said({"metric": {"peTTM": "n/a", "totalDebt/totalEquityQuarterly": "NaN"}})
    found = api.metrics("AAPL")
    assert isinstance(found, Metrics)
    assert (found.pe_milli, found.debt_to_equity_milli) == (None, None)
    server.answers["stock/metric"] = said({"metric": {}, "series": {}})
    assert api.metrics("SPY") is Missing.NO_DATA


def test_market_when_asked_then_status_and_holidays_are_read(server: FinnhubServer, still: StillTime) -> None:
    server.answers["stock/market-status"] = said(
        {"exchange": "US", "holiday": None, "isOpen": False, "session": "pre-market", "t": 1, "timezone": "x"}
    )
    server.answers["stock/market-holiday"] = said(
        {"data": [{"eventName": "Christmas", "atDate": "2026-12-24", "tradingHour": "09:30-13:00"}], "exchange": "US"}
    )
    api = api_of(server, still)
    status, days = api.market_status(), api.holidays()
    assert not isinstance(status, Missing)
    assert not isinstance(days, Missing)
    assert (status.is_open, status.session, status.holiday) == (False, "pre-market", "")
    assert [(day.date, day.hours) for day in days] == [("2026-12-24", "09:30-13:00")]


def test_names_when_redirected_to_another_host_then_the_key_does_not_go_along(
    server: FinnhubServer, still: StillTime
) -> None:
    other = FinnhubServer({"stock/symbol": said([{"symbol": "A", "mic": "XNYS", "type": "Common Stock"}])})
    target = f"{other.url}/stock/symbol?signature=secret"
    server.answers["stock/symbol"] = said({}, 302, Location=target)
    try:
        (name,) = api_of(server, still).names()
    finally:
        other.close()
    assert (name.symbol, name.mic, name.type, name.currency) == ("A", "XNYS", "Common Stock", "")
    assert TOKEN_HEADER in server.asked[0].headers
    assert TOKEN_HEADER not in other.asked[0].headers


def test_names_when_there_are_none_then_says_so(server: FinnhubServer, still: StillTime) -> None:
    server.answers["stock/symbol"] = said([])
    with pytest.raises(FinnhubError, match="has no US names"):
        api_of(server, still).names()


def test_ask_when_premium_then_that_is_an_answer_and_is_not_asked_again(
    server: FinnhubServer, still: StillTime
) -> None:
    server.answers["stock/metric"] = PREMIUM
    assert api_of(server, still).metrics("AAPL") is Missing.NOT_IN_PLAN
    assert (len(server.asked), still.slept) == (1, [])


def test_ask_when_429_names_its_reset_then_it_waits_until_then(server: FinnhubServer, still: StillTime) -> None:
    busy = said(BUSY_TEXT, 429, X_Ratelimit_Limit="60", X_Ratelimit_Remaining="0", X_Ratelimit_Reset=str(UTC_S + 37))
    server.answers["quote"] = [busy, said(QUOTE)]
    assert not isinstance(api_of(server, still).quote("AAPL"), Missing)
    assert still.slept == [38.0]


@pytest.mark.parametrize("reset", ["", "soon", str(UTC_S - 5), str(UTC_S + 86_400), "9" * 40])
def test_ask_when_429_has_no_usable_reset_then_the_wait_grows_and_ends(
    server: FinnhubServer, still: StillTime, reset: str
) -> None:
    server.answers["quote"] = said(BUSY_TEXT, 429, X_Ratelimit_Reset=reset)
    with pytest.raises(FinnhubBusyError, match=r"quote of AAPL for too many calls.*lower it, then go on") as caught:
        api_of(server, still).quote("AAPL")
    assert "API limit reached" in str(caught.value)
    assert still.slept == [15.0, 30.0, 60.0]
    assert len(server.asked) == TRIES_MAX


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (PAGE, "status 502, '<html><body>Bad Gateway</body></html>'"),
        (Answer(b"<html>fine?</html>", 200, kind="text/html"), "not understood, '<html>fine"),
        (Answer(b'{"c": 308.82, "pc": 30'), "not understood"),
        (Answer(b'{"c": 308.82', missing_bytes=40), "broke"),
        (Answer(b"[" * 100_000), "not understood"),
        (Answer(b"", 500), "status 500, without a word"),
        (Answer(is_silent=True), "silence"),
        (Answer(b"", 302, (("Location", "/api/v1/quote"),)), "more than 3 redirects"),
    ],
)
def test_ask_when_the_answer_is_no_answer_then_it_asks_again_and_says_what_was_wrong(
    server: FinnhubServer, still: StillTime, answer: Answer, says: str
) -> None:
    server.answers["quote"] = answer
    with pytest.raises(FinnhubError) as caught:
        api_of(server, still, silence_s_max=0.1).quote("AAPL")
    words = str(caught.value)
    assert says in words
    assert words.startswith("Finnhub gives no answer to quote of AAPL at http://127.0.0.1:")
    assert words.endswith("then go on.")
    assert still.slept == [1.0, 2.0, 4.0]
    server.answers["quote"] = [answer, said(QUOTE)]
    assert not isinstance(api_of(server, still, silence_s_max=0.1).quote("AAPL"), Missing)


def test_ask_when_nobody_listens_then_says_so(server: FinnhubServer, still: StillTime) -> None:
    api = api_of(server, still)
    server.close()
    with pytest.raises(FinnhubError, match="could not be made, or broke"):
        api.quote("AAPL")


@pytest.mark.parametrize(
    "answer",
    [
        said({"error": "Invalid API key."}, 401),
        said({"error": "Please sign up for a free account at https://finnhub.io/register"}, 429),
    ],
)
def test_ask_when_the_key_is_refused_then_nothing_is_asked_again(
    server: FinnhubServer, still: StillTime, answer: Answer
) -> None:
    server.answers["quote"] = answer
    with pytest.raises(FinnhubKeyError, match="refuses the API key"):
        api_of(server, still).quote("AAPL")
    assert (len(server.asked), still.slept) == (1, [])


def test_ask_when_the_question_is_wrong_then_it_is_not_asked_again(server: FinnhubServer, still: StillTime) -> None:
    with pytest.raises(FinnhubError, match="404, 'no such page'"):
        api_of(server, still).quote("AAPL")
    assert len(server.asked) == 1


@pytest.mark.parametrize("key", ["", "short", "two words here", "line\nbreak12", "é" * 12])
def test_api_when_the_key_cannot_be_one_then_it_is_refused_unseen(
    server: FinnhubServer, still: StillTime, key: str
) -> None:
    with pytest.raises(FinnhubKeyError) as caught:
        api_of(server, still, key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        said({"error": f"Invalid API key: {KEY}"}, 401),
        said({"error": f"limit of {KEY} reached"}, 429),
        said({"error": f"see https://finnhub.io/api/v1/quote?token={KEY}"}, 500),
        Answer((" " * 1_550 + "x" + KEY).encode(), 400, kind="text/html"),
        Answer(KEY.encode() * 3, 200, kind="text/html"),
        Answer(is_silent=True),
        Answer(b"", 302, (("Location", f"/api/v1/quote?token={KEY}"),)),
        Answer(b"", 302, (("Location", f"http://127.0.0.1:1/{KEY}"),)),
    ],
)
def test_key_when_anything_goes_wrong_then_it_is_nowhere_to_be_seen(
    server: FinnhubServer,
    still: StillTime,
    answer: Answer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Ours alone: what the libraries would say at this level, addresses and all, no program of the bot lets them say.
    caplog.set_level(logging.DEBUG, logger="services")
    server.answers["quote"] = answer
    api = api_of(server, still, silence_s_max=0.1)
    with pytest.raises(FinnhubError) as caught:
        api.quote("AAPL")
    seen = [*traceback.format_exception(caught.value), repr(caught.value), repr(api), repr(vars(caught.value))]
    chain: BaseException | None = caught.value
    while chain is not None:
        assert not isinstance(chain, requests.RequestException)
        chain = chain.__cause__ or chain.__context__
    out = capfd.readouterr()
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("services.")]
    assert KEY not in "\n".join([*seen, *ours, out.out, out.err])
