"""The top of every page: which broker, what kind of money, and whose prices."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from config.env_bot import proposals
from config.paths import HomePaths
from config.vault import Vault
from services.web.venue import venue_of

ALPACA_LIVE = {"BROKER_NAME": "ALPACA", "ALPACA_ENDPOINT": "live", "MARKET_DATA_SOURCE": "alpaca"}


@pytest.mark.parametrize(
    ("changes", "money", "badge"),
    [
        ({}, "simulator", "PAPER · simulator"),
        ({"BROKER_NAME": "ALPACA"}, "paper", "ALPACA · paper account"),
        ({"BROKER_NAME": "ALPACA", "ALPACA_ENDPOINT": "simulator"}, "simulator", "ALPACA · simulator"),
        (ALPACA_LIVE, "live", "ALPACA · REAL MONEY"),
        ({"BROKER_NAME": "IBKR"}, "paper", "IBKR · paper account"),
        ({"BROKER_NAME": "IBKR", "IBKR_MODE": "live"}, "live", "IBKR · REAL MONEY"),
        # Alpaca's switch says nothing about another broker's account.
        ({"ALPACA_ENDPOINT": "live"}, "simulator", "PAPER · simulator"),
        ({"BROKER_NAME": "IBKR", "ALPACA_ENDPOINT": "live"}, "paper", "IBKR · paper account"),
    ],
)
def test_venue_when_settings_name_an_account_then_its_money_is_said(
    changes: dict[str, str], money: str, badge: str
) -> None:
    found = venue_of(proposals() | changes)
    assert (found.money, found.badge) == (money, badge)
    assert ("REAL MONEY" in found.words) is (money == "live")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"BROKER_NAME": "NEW"},
        {"BROKER_NAME": "ALPACA"},
        {"BROKER_NAME": "ALPACA", "ALPACA_ENDPOINT": "elsewhere"},
        {"BROKER_NAME": "IBKR"},
    ],
)
def test_venue_when_the_account_is_not_known_then_counts_as_real_money(settings: dict[str, str]) -> None:
    found = venue_of(settings)
    assert found.money == "live"
    assert "REAL MONEY for all that is known" in found.words


@pytest.mark.parametrize(
    ("changes", "prices"),
    [
        ({}, "generated"),
        ({"MARKET_DATA_SOURCE": "recorded"}, "recorded"),
        ({"MARKET_DATA_SOURCE": "alpaca"}, "live, Alpaca iex"),
        ({"MARKET_DATA_SOURCE": "alpaca", "ALPACA_DATA_FEED": "sip"}, "live, Alpaca sip"),
        ({"MARKET_DATA_SOURCE": "ibkr"}, "live, Interactive Brokers"),
        ({"MARKET_DATA_SOURCE": "ibkr", "IBKR_DELAYED_DATA": "true"}, "DELAYED 15 minutes, Interactive Brokers"),
        ({"MARKET_DATA_SOURCE": "alpaca", "ALPACA_ENDPOINT": "simulator"}, "simulated exchange"),
        ({"MARKET_DATA_SOURCE": ""}, "unknown"),
    ],
)
def test_prices_when_settings_name_a_source_then_it_is_said(changes: dict[str, str], prices: str) -> None:
    assert venue_of(proposals() | changes).prices == prices


def set_to(home: HomePaths, **changes: str) -> None:
    vault = Vault(home)
    secrets = vault.open()
    vault.replace(msgspec.structs.replace(secrets, settings=secrets.settings | changes), secrets.generation)


def test_pages_when_the_broker_is_the_embedded_one_then_say_simulator_and_no_real_money(
    person_of: Callable[[str], Any],
) -> None:
    for path in ("/", "/control/arm", "/control/streams"):
        page = person_of("olga").get(path).text
        assert re.search(r'data-money="simulator"[^>]*>PAPER · simulator<', page), path
        assert "Prices: generated" in page
        assert "REAL MONEY" not in page


def test_pages_when_the_account_is_live_then_each_says_real_money_and_arming_says_it_again(
    person_of: Callable[[str], Any], configured: HomePaths
) -> None:
    set_to(configured, **ALPACA_LIVE)
    for path in ("/", "/control/arm", "/control/stop", "/control/kill", "/control/streams"):
        page = person_of("olga").get(path).text
        assert re.search(r'data-money="live"[^>]*>ALPACA · REAL MONEY<', page), path
        assert 'id="real-money">REAL MONEY: orders go to the live account at Alpaca.<' in page
    arm = person_of("olga").get("/control/arm").text
    assert "REAL MONEY: orders go to the live account at Alpaca. Prices: live, Alpaca iex." in arm


def test_pages_when_a_setting_is_markup_then_it_is_text(person_of: Callable[[str], Any], configured: HomePaths) -> None:
    set_to(configured, BROKER_NAME="<script>alert(1)</script>", MARKET_DATA_SOURCE='"><img src=x>')
    page = person_of("olga").get("/control/arm").text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_login_when_nobody_is_logged_in_then_says_nothing_of_the_account(person: Any) -> None:
    page = person.get("/login").text
    assert "PAPER" not in page
    assert "generated" not in page
