"""The stream's thread against a server that drops, falls mute, refuses and talks nonsense."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from alpaca_data import AlpacaData
from canaries import CREDENTIALS
from live_day import OPEN, a_bar, a_quote, until

from bus.clock import boot_ns, utc_ns
from bus.messages import MICROS
from services.screener.alpaca_stream import AlpacaStream, StreamSettings
from services.screener.live import Heard, LiveBar, LiveQuote

KEYS = (CREDENTIALS["alpaca_data_key"], CREDENTIALS["alpaca_data_secret"])


class Ear:
    """Takes what a stream brings, again and again, and keeps all of it."""

    def __init__(self, stream: AlpacaStream) -> None:
        self.stream = stream
        self.quotes: dict[str, LiveQuote] = {}
        self.bars: list[LiveBar] = []

    def hear(self, holds: Callable[[Heard], bool], what: str) -> Heard:
        def look() -> Heard | None:
            heard = self.stream.take()
            self.quotes.update(heard.quotes)
            self.bars.extend(heard.bars)
            return heard if holds(heard) else None

        return until(look, what)


@pytest.fixture
def data() -> Iterator[AlpacaData]:
    made = AlpacaData(keys=KEYS, symbols_max=3)
    yield made
    made.close()


@pytest.fixture
def new_ear() -> Iterator[Callable[..., Ear]]:
    made: list[AlpacaStream] = []

    def new(data: AlpacaData, keys: tuple[str, str] = KEYS, quiet_s: float = 60.0) -> Ear:
        settings = StreamSettings(
            url=f"{data.stream_url}/iex",
            quiet_s=lambda: quiet_s,
            utc_ns=utc_ns,
            boot_ns=boot_ns,
            backoff_s=(0.01,),
        )
        made.append(AlpacaStream(keys, settings))
        return Ear(made[-1])

    yield new
    for stream in made:
        stream.close()


def test_a_stream_when_wanted_then_quotes_and_bars_come_and_the_newest_quote_wins(
    data: AlpacaData, new_ear: Callable[..., Ear]
) -> None:
    ear = new_ear(data)
    ear.stream.want(["AAA", "BBB"], ["AAA"])
    ear.hear(lambda heard: heard.is_up, "stream")
    assert data.subscribed == ({"AAA", "BBB"}, {"AAA"})
    data.say_quotes([a_quote("AAA", 1, 10), a_quote("BBB", 1, 20), a_quote("ZZZ", 1, 30)])
    data.say_quotes([a_quote("AAA", 1_000_000, 11)])
    data.say_bars([a_bar("AAA", 0), a_bar("BBB", 0)])
    heard = ear.hear(lambda _heard: bool(ear.bars), "bars")
    assert {symbol: quote.bid_micros // MICROS for symbol, quote in ear.quotes.items()} == {"AAA": 11, "BBB": 20}
    assert ear.bars == [a_bar("AAA", 0)]
    assert heard.newest_ns == a_bar("AAA", 0).end_ns
    assert heard.lag_ns == pytest.approx(utc_ns() - OPEN, rel=0.01)


def test_a_stream_when_dropped_then_it_comes_back_with_all_its_names(
    data: AlpacaData, new_ear: Callable[..., Ear]
) -> None:
    ear = new_ear(data)
    ear.stream.want(["AAA"], ["AAA"])
    ear.hear(lambda heard: heard.life == 1, "first connection")
    ear.stream.want(["BBB"], [])
    until(lambda: data.subscribed == ({"AAA", "BBB"}, {"AAA"}), "second name")
    data.drop()
    ear.hear(lambda heard: heard.life == 2 and heard.is_up, "second connection")
    assert data.subscribed == ({"AAA", "BBB"}, {"AAA"})


def test_a_stream_when_mute_for_too_long_then_the_connection_is_made_anew(
    data: AlpacaData, new_ear: Callable[..., Ear]
) -> None:
    ear = new_ear(data, quiet_s=0.3)
    ear.stream.want(["AAA"], ["AAA"])
    ear.hear(lambda heard: heard.life == 1, "first connection")
    data.is_mute = True
    ear.hear(lambda heard: heard.life > 1, "second connection")
    assert data.connections > 1


def test_keys_when_refused_then_the_feed_is_given_up_in_words_without_them(
    data: AlpacaData, new_ear: Callable[..., Ear], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ear = new_ear(data, keys=(KEYS[0], "canaryWRONG"))
    ear.stream.want(["AAA"], ["AAA"])
    heard = ear.hear(lambda heard: bool(heard.fault), "fault")
    assert heard.fault == (
        "Alpaca's stream refuses the keys for market data: enter them again on the configuration page. It said 402."
    )
    ear.stream.close()
    assert data.connections == 1, "refused keys are not tried again"
    assert "canaryWRONG" not in caplog.text + repr(ear.stream)
    assert KEYS[0] not in caplog.text + repr(ear.stream)


def test_names_when_there_are_too_many_then_the_feed_is_given_up_and_says_which_setting(
    data: AlpacaData, new_ear: Callable[..., Ear]
) -> None:
    ear = new_ear(data)
    ear.stream.want(["A", "B", "C", "D"], [])
    heard = ear.hear(lambda heard: bool(heard.fault), "fault")
    assert "ALPACA_STREAM_SYMBOLS_MAX" in heard.fault
    assert "405" in heard.fault


def test_a_plan_when_it_has_no_such_feed_then_the_feed_is_given_up(
    data: AlpacaData, new_ear: Callable[..., Ear]
) -> None:
    data.refusals = [(409, "insufficient subscription")]
    ear = new_ear(data)
    ear.stream.want(["AAA"], [])
    assert "ALPACA_DATA_FEED" in ear.hear(lambda heard: bool(heard.fault), "fault").fault


def test_an_older_connection_when_it_still_counts_then_this_one_waits_for_its_end(
    data: AlpacaData, new_ear: Callable[..., Ear]
) -> None:
    data.refusals = [(406, "connection limit exceeded"), (404, "auth timeout"), (500, "internal error")]
    ear = new_ear(data)
    ear.stream.want(["AAA"], [])
    heard = ear.hear(lambda heard: heard.is_up, "stream")
    assert (heard.life, heard.fault, data.connections) == (1, "", 4)


def test_another_connection_when_it_stays_then_the_feed_is_given_up(
    data: AlpacaData, new_ear: Callable[..., Ear]
) -> None:
    data.refusals = [(406, "connection limit exceeded")] * 50
    ear = new_ear(data)
    ear.stream.want(["AAA"], [])
    assert "another connection" in ear.hear(lambda heard: bool(heard.fault), "fault").fault


def test_nonsense_when_sent_then_it_is_counted_and_the_stream_goes_on(
    data: AlpacaData, new_ear: Callable[..., Ear]
) -> None:
    ear = new_ear(data)
    ear.stream.want(["AAA"], ["AAA"])
    ear.hear(lambda heard: heard.is_up, "stream")
    for payload in (b"\xc1", b"\x90", b"not msgpack", b"\x91\x81\xa1T\xa1q"):
        data.say_bytes(payload)
    data.say_quotes([a_quote("AAA", 1)])
    heard = ear.hear(lambda _heard: bool(ear.quotes), "quote")
    assert heard.malformed == 3
    assert data.connections == 1


def test_a_server_when_it_is_not_there_then_it_is_tried_until_it_is(new_ear: Callable[..., Ear]) -> None:
    gone = AlpacaData(keys=KEYS)
    port = gone.port
    gone.close()
    ear = new_ear(gone)
    ear.stream.want(["AAA"], [])
    assert not ear.stream.take().is_up
    back = AlpacaData(keys=KEYS, port=port)
    ear.hear(lambda heard: heard.is_up, "stream")
    ear.stream.close()
    back.close()


def test_a_stream_when_our_own_code_fails_in_it_then_that_is_a_fault_and_not_a_quiet_market(
    data: AlpacaData, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", printed.append)

    def broken() -> float:
        raise ZeroDivisionError

    settings = StreamSettings(url=f"{data.stream_url}/iex", quiet_s=broken, utc_ns=utc_ns, boot_ns=boot_ns)
    ear = Ear(AlpacaStream(KEYS, settings))
    ear.stream.want(["AAA"], [])
    heard = ear.hear(lambda heard: bool(heard.fault), "fault")
    assert "a fault of this program" in heard.fault
    assert not heard.is_up
    until(lambda: printed, "trace")


def test_names_when_dropped_then_their_places_are_free_for_others_and_what_was_on_its_way_is_no_fault(
    data: AlpacaData, new_ear: Callable[..., Ear]
) -> None:
    ear = new_ear(data)
    ear.stream.want(["AAA", "BBB", "CCC"], ["AAA", "BBB"])
    assert ear.hear(lambda heard: heard.is_up, "subscription").barred == {"AAA", "BBB"}
    ear.stream.drop(["BBB", "CCC"])
    data.say_quotes([a_quote("BBB", 1)])
    ear.stream.want(["DDD", "EEE"], ["DDD"])
    until(lambda: data.subscribed == ({"AAA", "DDD", "EEE"}, {"AAA", "DDD"}), "the new subscription")
    data.say_quotes([a_quote("AAA", 2), a_quote("EEE", 2)])
    heard = ear.hear(lambda _: {"AAA", "EEE"} <= ear.quotes.keys(), "quotes")
    assert (heard.fault, heard.malformed, heard.life) == ("", 0, 1), "the plan's three names were never exceeded"
    assert heard.barred == {"AAA", "DDD"}
    assert "BBB" not in ear.quotes
    data.drop()
    ear.hear(lambda heard: heard.life == 2, "second life")
    assert data.subscribed == ({"AAA", "DDD", "EEE"}, {"AAA", "DDD"})
