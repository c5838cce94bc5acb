"""Snapshots as Alpaca answers them: days sorted, many names in few calls, refusals in words, keys nowhere seen."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from canaries import CREDENTIALS
from finnhub_server import UTC_S, Answer, FinnhubServer, StillTime, said

from bus.messages import MICROS, NANOS
from services.screener.alpaca_snapshots import SYMBOLS_A_CALL, AlpacaSnapshots
from services.screener.snapshots import Snapshot, SnapshotError, live_rows
from services.screener.universe_file import Fundamentals, UniverseName

KEYS = (CREDENTIALS["alpaca_data_key"], CREDENTIALS["alpaca_data_secret"])
SPEC = (Path(__file__).resolve().parents[3] / "../shared/specs/alpaca-market-data-api.json").resolve()
PATH = "stocks/snapshots"


def bar(day: str, close: float, volume: float) -> dict[str, Any]:
    return {"t": f"{day}T04:00:00Z", "o": 1, "h": 2, "l": 1, "c": close, "v": volume, "n": 3, "vw": 1.5}


def seen(trade: str, price: float, day: dict[str, Any] | None, before: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "latestTrade": {"t": trade, "p": price, "s": 1, "x": "Q"},
        "latestQuote": {"ap": 1.0, "bp": 1.0, "t": trade},
        "minuteBar": None,
        "dailyBar": day,
        "prevDailyBar": before,
    }


MONDAY, TUESDAY, WEDNESDAY = (
    bar("2022-08-15", 173.19, 54_091_719),
    bar("2022-08-16", 173.03, 56_457_696),
    bar("2022-08-17", 174.5501, 1_000_000.5),
)


def source_of(
    server: FinnhubServer, still: StillTime, *, feed: str = "iex", timeout_s: tuple[float, float] = (5.0, 5.0)
) -> AlpacaSnapshots:
    return AlpacaSnapshots(KEYS, feed, sleep=still.sleep, utc_ns=still.utc_ns, url=server.root, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # Before the open the daily bar is yesterday's, and what is called the previous one is of the day before that.
        (
            seen("2022-08-17T10:18:24.114694956Z", 172.61, TUESDAY, MONDAY),
            Snapshot(
                symbol="AAPL",
                price_micros=172_610_000,
                price_ts_ns=1_660_731_504_114_694_000,
                prior_close_micros=173_030_000,
                prior_volume_nanos=56_457_696 * NANOS,
            ),
        ),
        (
            seen("2022-08-17T15:00:00Z", 174.6, WEDNESDAY, TUESDAY),
            Snapshot(
                symbol="AAPL",
                price_micros=174_600_000,
                price_ts_ns=1_660_748_400 * NANOS,
                prior_close_micros=173_030_000,
                prior_volume_nanos=56_457_696 * NANOS,
                day_close_micros=174_550_100,
                day_volume_nanos=1_000_000_500_000_000,
            ),
        ),
        # Nobody traded it today: its last trade is of another day and is no price of this one. 03:59 UTC is New York's
        # evening before.
        (
            seen("2022-08-17T03:59:59Z", 172.0, TUESDAY, MONDAY),
            Snapshot(symbol="AAPL", prior_close_micros=173_030_000, prior_volume_nanos=56_457_696 * NANOS),
        ),
        (seen("2022-08-17T15:00:00Z", 0, None, None), Snapshot(symbol="AAPL", price_ts_ns=1_660_748_400 * NANOS)),
        ({}, Snapshot(symbol="AAPL")),
    ],
)
def test_snapshot_when_bars_are_of_several_days_then_each_is_put_where_it_belongs(
    server: FinnhubServer, still: StillTime, answer: dict[str, Any], expected: Snapshot
) -> None:
    server.answers[PATH] = said({"AAPL": answer, "NONE": None})
    assert source_of(server, still).snapshots(["AAPL", "NONE"], "2022-08-17") == {"AAPL": expected}


def test_snapshots_when_there_are_thousands_then_they_come_in_few_calls_with_keys_in_headers(
    server: FinnhubServer, still: StillTime
) -> None:
    server.answers[PATH] = said({"A0": seen("2022-08-17T15:00:00Z", 1, WEDNESDAY, TUESDAY)})
    names = [f"A{number}" for number in range(2 * SYMBOLS_A_CALL + 1)]
    assert set(source_of(server, still, feed="delayed_sip").snapshots(names, "2022-08-17")) == {"A0"}
    asked = [one.query["symbols"][0].split(",") for one in server.asked]
    assert [len(part) for part in asked] == [SYMBOLS_A_CALL, SYMBOLS_A_CALL, 1]
    assert [name for part in asked for name in part] == names
    assert {one.query["feed"][0] for one in server.asked} == {"delayed_sip"}
    assert all(one.headers["APCA-API-KEY-ID"] == KEYS[0] for one in server.asked)
    assert set(server.paths()) == {"/v2/stocks/snapshots"}


def test_snapshots_when_no_name_is_asked_for_then_nothing_is_asked(server: FinnhubServer, still: StillTime) -> None:
    assert source_of(server, still).snapshots([], "2022-08-17") == {}
    assert server.asked == []


def test_snapshots_when_429_names_its_reset_then_it_waits_until_then(server: FinnhubServer, still: StillTime) -> None:
    busy = said({"message": "too many requests."}, 429, X_RateLimit_Reset=str(UTC_S + 9))
    server.answers[PATH] = [busy, said({})]
    assert source_of(server, still).snapshots(["A"], "2022-08-17") == {}
    assert still.slept == [10.0]


@pytest.mark.parametrize(
    ("answer", "says", "slept"),
    [
        (said({"message": "too many requests."}, 429), "429, 'too many requests.'", [70.0, 70.0]),
        (Answer(b"<html>Bad Gateway</html>", 502, kind="text/html"), "502, '<html>Bad", [1.0, 4.0]),
        (Answer(b"", 504), "504, without a word", [1.0, 4.0]),
        (Answer(b"<html>", 200, kind="text/html"), "JSONDecodeError", [1.0, 4.0]),
        (Answer(b'{"A": {"latestTrade": {"p": "x"}}}'), "not understood", [1.0, 4.0]),
        (Answer(b'{"A": {"dailyBar": {"t": "soon", "c": 1}}}'), "not understood", [1.0, 4.0]),
        (Answer(b'{"A": ', missing_bytes=50), "ChunkedEncodingError", [1.0, 4.0]),
        (Answer(is_silent=True), "ReadTimeout", [1.0, 4.0]),
    ],
)
def test_snapshots_when_the_answer_is_no_answer_then_it_asks_again_and_says_what_was_wrong(
    server: FinnhubServer, still: StillTime, answer: Answer, says: str, slept: list[float]
) -> None:
    server.answers[PATH] = answer
    with pytest.raises(SnapshotError) as caught:
        source_of(server, still, timeout_s=(1.0, 0.1)).snapshots(["A"], "2022-08-17")
    assert says in str(caught.value)
    assert str(caught.value).startswith("Alpaca gives no snapshots after 3 tries")
    assert (still.slept, len(server.asked)) == (slept, 3)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "refuses the keys"),
        (403, "or their plan has no feed sip"),
        (400, "refuses the question"),
        (422, "question"),
    ],
)
def test_snapshots_when_refused_then_it_is_not_asked_again_and_no_key_is_seen(
    server: FinnhubServer, still: StillTime, caplog: pytest.LogCaptureFixture, status: int, says: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers[PATH] = said({"message": f"no {KEYS[1]} for {KEYS[0]}"}, status)
    source = source_of(server, still, feed="sip")
    with pytest.raises(SnapshotError, match=says) as caught:
        source.snapshots(["A"], "2022-08-17")
    assert (len(server.asked), still.slept) == (1, [])
    told = [str(caught.value), repr(caught.value), repr(source), caplog.text]
    assert not [key for key in KEYS if key in "".join(told)]


@pytest.mark.parametrize("keys", [("", ""), ("KEYID", "")])
def test_source_when_there_are_no_keys_then_says_which_credentials_it_needs(
    still: StillTime, keys: tuple[str, str]
) -> None:
    with pytest.raises(SnapshotError, match="alpaca_data_key and alpaca_data_secret"):
        AlpacaSnapshots(keys, "iex", sleep=still.sleep, utc_ns=still.utc_ns)


def test_live_rows_when_a_name_has_no_trade_today_then_its_price_is_the_prior_close() -> None:
    known = Fundamentals(shares_outstanding=5, market_cap_dollars=6, pe_milli=7, fetched_at_s=1)
    names = [
        UniverseName(symbol="A", mic="XNYS", security_type="ADR", fundamentals=known),
        UniverseName(symbol="B", mic="XNAS", security_type="ETP"),
    ]
    traded = Snapshot(
        symbol="A", price_micros=2 * MICROS, prior_close_micros=MICROS, day_volume_nanos=3, day_close_micros=4
    )
    first, second = live_rows(names, {"A": traded})
    assert (first.price_micros, first.prior_close_micros, first.day_volume_nanos) == (2 * MICROS, MICROS, 3)
    assert (first.mic, first.security_type, first.shares_outstanding, first.pe_milli) == ("XNYS", "ADR", 5, 7)
    assert (second.price_micros, second.mic) == (0, "XNAS")
    (quiet,) = live_rows(names[:1], {"A": Snapshot(symbol="A", prior_close_micros=MICROS)})
    assert quiet.price_micros == MICROS


if SPEC.is_file():

    def test_snapshots_when_the_answer_is_the_example_of_alpacas_description_then_it_is_read(
        server: FinnhubServer, still: StillTime
    ) -> None:
        answers = json.loads(SPEC.read_text())["paths"]["/v2/stocks/snapshots"]["get"]["responses"]["200"]
        example = answers["content"]["application/json"]["examples"]["snapshots"]["value"]
        server.answers[PATH] = said(example)
        found = source_of(server, still).snapshots(["AAPL", "TSLA"], "2022-08-17")
        apple = found["AAPL"]
        assert (apple.price_micros, apple.prior_close_micros) == (172_610_000, 173_030_000)
        assert (apple.day_volume_nanos, apple.prior_volume_nanos) == (0, 56_457_696 * NANOS)
        assert found["TSLA"].prior_close_micros == 919_690_000
