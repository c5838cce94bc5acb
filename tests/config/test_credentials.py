"""The form of what is kept as a credential."""

import pytest

from config.credentials import alpaca_data_pair, api_key_fault, needs_of, webhook_fault


@pytest.mark.parametrize("key", ["c1abcdefgh", "PK_TEST-00000000", "x" * 200])
def test_key_when_it_is_one_word_then_there_is_no_fault(key: str) -> None:
    assert api_key_fault(key) is None


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 201, "two words here", "line\nbreak12", "caf\u00e9" * 5, "?token=abcdef"]
)
def test_key_when_it_cannot_be_one_then_the_fault_has_nothing_of_it(key: str) -> None:
    fault = api_key_fault(key)
    assert fault is not None
    assert not key or key not in fault


def test_alpaca_data_pair_when_its_own_is_whole_then_it_comes_before_the_one_that_trades() -> None:
    own = {"alpaca_data_key": "OWNKEYID", "alpaca_data_secret": "ownSECRET"}
    trading = {"alpaca_trading_key": "TRADEKEYID", "alpaca_trading_secret": "tradeSECRET"}
    assert alpaca_data_pair(own | trading) == ("OWNKEYID", "ownSECRET")
    assert alpaca_data_pair(trading) == ("TRADEKEYID", "tradeSECRET")
    assert alpaca_data_pair({"alpaca_data_key": "OWNKEYID"} | trading) == ("TRADEKEYID", "tradeSECRET")
    assert alpaca_data_pair({"alpaca_data_key": "OWNKEYID"}) == ("", "")


TRADES = {"BROKER_NAME": "ALPACA", "ALPACA_ENDPOINT": "paper"}
STREAMS = {"MARKET_DATA_SOURCE": "alpaca"}
TRADING = {"alpaca_trading_key": "TRADEKEYID", "alpaca_trading_secret": "tradeSECRET"}


@pytest.mark.parametrize(
    ("settings", "kept", "needed"),
    [
        ({}, {}, []),
        ({"UNIVERSE_SOURCE": "finnhub"}, {}, [("finnhub_api_key",)]),
        (TRADES, TRADING, [tuple(TRADING)]),
        (TRADES | STREAMS, {}, [tuple(TRADING)]),
        (STREAMS, {}, [("alpaca_data_key", "alpaca_data_secret")]),
        (STREAMS, TRADING, []),
        (TRADES | STREAMS | {"ALPACA_ENDPOINT": "simulator"}, {}, []),
    ],
)
def test_needs_when_settings_name_a_provider_then_the_credentials_they_cannot_do_without(
    settings: dict[str, str], kept: dict[str, str], needed: list[tuple[str, ...]]
) -> None:
    found = needs_of(settings, kept)
    assert [need.credentials for need in found] == needed
    assert all(need.words.startswith(need.setting) for need in found)


@pytest.mark.parametrize(
    "url", ["https://hooks.example.org/a/b?c=d", "https://example.org:8443/x", "http://127.0.0.1:9000/x"]
)
def test_webhook_that_can_be_one_is_taken(url: str) -> None:
    assert webhook_fault(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "canary",
        "https://",
        "http://example.org/canary",
        "https://u:canary@example.org/",
        "https://a b/canary",
        "https://example.org:99999/canary",
        "ftp://example.org/canary",
        "https://example.org/canary#x",
    ],
)
def test_webhook_that_cannot_be_one_is_refused_without_a_part_of_it(url: str) -> None:
    fault = webhook_fault(url)

    assert fault is not None
    assert "canary" not in fault
