"""Whether a provider of data lets the bot in: the right words for each case, and no key in any of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from finnhub_server import KEY, Answer, FinnhubServer, provision, said

from bus.processes import ROOT
from config.connection_check import ARGUMENT, Question
from config.paths import HomePaths
from services.screener.connection_check import check
from services.screener.verbs import Urls

TYPED = {"finnhub_api_key": "canary0typedkey"}
PAIR = {"alpaca_data_key": "PKCANARY0DATA", "alpaca_data_secret": "canary/d4ta+word="}
OPEN = said({"exchange": "US", "holiday": None, "isOpen": True, "session": "regular", "t": 1_790_000_000})


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path / "home")
    paths.make()
    return paths


@pytest.fixture
def server() -> Iterator[FinnhubServer]:
    found = FinnhubServer({"stock/market-status": OPEN})
    yield found
    found.close()


@pytest.fixture
def urls(server: FinnhubServer) -> Urls:
    return Urls(finnhub=server.url, alpaca=server.root)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def test_finnhub_when_it_takes_the_kept_key_then_in(server: FinnhubServer, urls: Urls, home: HomePaths) -> None:
    provision(home)
    answer = check(Question(provider="finnhub"), home, urls)
    assert (answer.is_in, answer.words) == (True, ("Finnhub takes the key and says that the US market is open.",))
    assert [asked.headers["X-Finnhub-Token"] for asked in server.asked] == [KEY]


def test_finnhub_when_a_key_is_typed_then_that_one_is_tried(server: FinnhubServer, urls: Urls, home: HomePaths) -> None:
    provision(home)
    assert check(Question(provider="finnhub", keys=TYPED), home, urls).is_in
    assert [asked.headers["X-Finnhub-Token"] for asked in server.asked] == ["canary0typedkey"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (said({"error": "Invalid API key"}, 401), "refuses the API key"),
        (said({"error": "limit reached"}, 429), "too many calls"),
        (Answer(b"<html>down</html>", 502, kind="text/html"), "gives no answer"),
        (Answer(b"not json"), "gives no answer"),
    ],
)
def test_finnhub_when_it_does_not_let_in_then_says_why_without_the_key(
    server: FinnhubServer, urls: Urls, home: HomePaths, answer: Answer, says: str
) -> None:
    provision(home)
    server.answers["stock/market-status"] = answer
    found = check(Question(provider="finnhub", keys=TYPED), home, urls)
    assert not found.is_in
    assert says in found.words[0]
    assert "canary" not in found.words[0]


def test_finnhub_when_there_is_no_key_then_says_so(urls: Urls, home: HomePaths) -> None:
    provision(home, key="", UNIVERSE_SOURCE="session")
    found = check(Question(provider="finnhub"), home, urls)
    assert not found.is_in
    assert "cannot be used" in found.words[0]


def test_market_data_when_the_pair_is_taken_then_in(server: FinnhubServer, urls: Urls, home: HomePaths) -> None:
    provision(home, more=PAIR)
    server.answers["stocks/snapshots"] = said({})
    found = check(Question(provider="alpaca_data"), home, urls)
    assert found.is_in, found.words
    assert "has no price of SPY now" in found.words[0]
    (asked,) = server.asked
    headers = {name.lower(): text for name, text in asked.headers.items()}
    assert headers["apca-api-secret-key"] == PAIR["alpaca_data_secret"]


@pytest.mark.parametrize("keys", [{}, {"alpaca_data_key": "PKCANARY0DATA"}], ids=["none", "half a pair"])
def test_market_data_when_there_is_no_pair_then_says_so(urls: Urls, home: HomePaths, keys: dict[str, str]) -> None:
    provision(home)
    found = check(Question(provider="alpaca_data", keys=keys), home, urls)
    assert not found.is_in
    assert "no Alpaca key pair" in found.words[0]


def test_market_data_when_the_pair_is_refused_then_says_so_without_it(
    server: FinnhubServer, urls: Urls, home: HomePaths
) -> None:
    provision(home, more=PAIR)
    server.answers["stocks/snapshots"] = said({"message": "forbidden."}, 403)
    found = check(Question(provider="alpaca_data"), home, urls)
    assert not found.is_in
    assert not any(secret in found.words[0] for secret in PAIR.values())


def test_market_data_when_it_is_simulated_then_nothing_is_asked(
    server: FinnhubServer, urls: Urls, home: HomePaths
) -> None:
    provision(home, more=PAIR, MARKET_DATA_SOURCE="alpaca", ALPACA_ENDPOINT="simulator")
    assert "never gets the keys" in check(Question(provider="alpaca_data"), home, urls).words[0]
    assert server.asked == []


def test_a_provider_when_unknown_then_said(urls: Urls, home: HomePaths) -> None:
    provision(home)
    assert not check(Question(provider="nobody"), home, urls).is_in


def test_the_process_when_asked_then_answers_one_line(home: HomePaths) -> None:
    provision(home, more=PAIR, MARKET_DATA_SOURCE="alpaca", ALPACA_ENDPOINT="simulator")
    done = subprocess.run(
        [sys.executable, "-m", "services.screener", ARGUMENT],
        cwd=ROOT,
        env={**os.environ, "TRADEBOT_HOME": str(home.root)},
        input=json.dumps({"provider": "alpaca_data", "keys": PAIR}).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["is_in"] is True
    assert not any(secret.encode() in done.stdout + done.stderr for secret in PAIR.values())
