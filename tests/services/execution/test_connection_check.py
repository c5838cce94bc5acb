"""Whether a broker lets the bot in: the right words for each case, keys through standard input alone and never out."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alpaca_trading import AlpacaTrading
from canaries import SESSION_KEY
from exchange import Exchange
from ib_gateway import IbGateway

from bus.clock import NS_PER_SECOND, utc_ns
from bus.keys import make_pairs
from bus.processes import ROOT
from config.connection_check import ARGUMENT, Question
from config.env_bot import proposals
from config.identity import Identity
from config.paths import HomePaths
from config.vault import Secrets, Vault
from services.execution import connection_check
from services.execution.brokers import alpaca
from services.execution.connection_check import check

KEPT = {"alpaca_trading_key": "PKCANARY0KEPT", "alpaca_trading_secret": "canary/kept+word="}
TYPED = {"alpaca_trading_key": "PKCANARY0TYPED", "alpaca_trading_secret": "canary/typed+word="}


def pair(keys: dict[str, str]) -> tuple[str, str]:
    return keys["alpaca_trading_key"], keys["alpaca_trading_secret"]


def home_with(folder: Path, **settings: str) -> HomePaths:
    paths = HomePaths(folder)
    paths.make()
    Vault(paths).provision(
        Secrets(
            generation=0,
            settings={**proposals(), **settings},
            identity=Identity(
                entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
            ),
            users=(),
            credentials={"web_session_key": SESSION_KEY, **KEPT},
            coa={},
            curve=make_pairs(),
        )
    )
    return paths


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[AlpacaTrading]:
    """Stand in for both of Alpaca's hosts; it lets in the kept pair."""
    with AlpacaTrading(keys=pair(KEPT)) as found:
        for endpoint in ("paper", "live"):
            monkeypatch.setitem(alpaca.HOSTS, endpoint, f"http://127.0.0.1:{found.port}")
        yield found


def test_alpaca_when_the_kept_pair_is_right_then_in_and_which_account_it_opens(
    house: AlpacaTrading, tmp_path: Path
) -> None:
    answer = check(Question(provider="alpaca"), home_with(tmp_path))
    assert answer.is_in
    assert answer.words[0].startswith("Alpaca's paper account answers: no money.")
    assert {seen.method for seen in house.seen} == {"GET"}, "a test changes nothing at the broker"


def test_alpaca_when_a_pair_is_typed_then_that_one_is_tried_and_not_the_kept_one(
    house: AlpacaTrading, tmp_path: Path
) -> None:
    paths = home_with(tmp_path)
    refused = check(Question(provider="alpaca", keys=TYPED), paths)
    assert not refused.is_in
    assert "alpaca_trading_key and alpaca_trading_secret" in refused.words[0]
    house.keys = pair(TYPED)
    assert check(Question(provider="alpaca", keys=TYPED), paths).is_in
    assert not check(Question(provider="alpaca"), paths).is_in


def test_alpaca_when_the_pair_is_of_the_other_kind_of_account_then_says_so(
    house: AlpacaTrading, tmp_path: Path
) -> None:
    answer = check(Question(provider="alpaca"), home_with(tmp_path, ALPACA_ENDPOINT="live"))
    assert not answer.is_in
    assert "the key of a paper account" in answer.words[0]


def test_alpaca_when_the_account_is_blocked_then_not_in(house: AlpacaTrading, tmp_path: Path) -> None:
    house.account = {"account_blocked": True}
    answer = check(Question(provider="alpaca"), home_with(tmp_path))
    assert not answer.is_in
    assert "blocked from trading" in answer.words[0]


def test_alpaca_when_nobody_answers_then_says_so_within_its_patience(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(connection_check, "PATIENCE_NS", NS_PER_SECOND)
    paths = home_with(tmp_path, ALPACA_ENDPOINT="simulator", ALPACA_SIMULATOR_PORT="1")
    answer = check(Question(provider="alpaca"), paths)
    assert not answer.is_in
    assert "did not answer" in answer.words[0]


def test_a_provider_when_unknown_then_said(tmp_path: Path) -> None:
    assert not check(Question(provider="nobody"), home_with(tmp_path)).is_in


def test_settings_when_they_are_not_usable_then_said(tmp_path: Path) -> None:
    answer = check(Question(provider="alpaca"), home_with(tmp_path, MAX_SPREAD="9"))
    assert not answer.is_in
    assert "MAX_SPREAD is 9" in answer.words[0]


def test_the_gateway_when_logged_in_then_in_under_a_client_number_of_its_own(tmp_path: Path) -> None:
    with closing(IbGateway(Exchange(clock=utc_ns))) as gateway:
        gateway.clock_s = None
        paths = home_with(tmp_path, IBKR_PORT=str(gateway.port), IBKR_CLIENT_ID="11")
        answer = check(Question(provider="ibkr"), paths)
        assert answer.is_in, answer.words
        assert "a paper account: no money" in answer.words[0]
        started = [fields for fields in gateway.received if fields[0] == "71"]
        assert [fields[2] for fields in started] == ["12"], "the bot's own number stays with the service that trades"
    assert not list(paths.run.glob("connection-check-*")), "nothing is left behind"


def test_the_gateway_when_it_is_of_the_other_kind_then_says_so(tmp_path: Path) -> None:
    with closing(IbGateway(Exchange(clock=utc_ns), account="U7654321")) as gateway:
        answer = check(Question(provider="ibkr"), home_with(tmp_path, IBKR_PORT=str(gateway.port)))
    assert not answer.is_in
    assert "U7654321 is a live account" in answer.words[0]


def test_the_gateway_when_nobody_listens_then_not_in_also_while_it_may_be_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("services.execution.brokers.ibkr_line.may_be_away", lambda _now: True)
    answer = check(Question(provider="ibkr"), home_with(tmp_path, IBKR_PORT="1"))
    assert not answer.is_in
    assert "nobody listens on 127.0.0.1:1" in answer.words[0]


def run(home: HomePaths, question: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "services.execution", ARGUMENT],
        cwd=ROOT,
        env={**os.environ, "TRADEBOT_HOME": str(home.root)},
        input=question,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_the_process_when_asked_then_answers_one_line_and_no_key_is_in_what_it_says(tmp_path: Path) -> None:
    with AlpacaTrading() as house:
        paths = home_with(tmp_path, ALPACA_ENDPOINT="simulator", ALPACA_SIMULATOR_PORT=str(house.port))
        done = run(paths, json.dumps({"provider": "alpaca", "keys": TYPED}).encode())
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["is_in"] is True
    assert "never gets the keys" in said["words"][0]
    for secret in (*TYPED.values(), *KEPT.values()):
        assert secret.encode() not in done.stdout + done.stderr


def test_the_process_when_the_question_is_not_understood_then_two_and_it_is_not_repeated(tmp_path: Path) -> None:
    paths = home_with(tmp_path)
    for question in (b"", b"not json canary", b'{"provider": "alpaca", "canary": 1}', b"[" * 9000):
        done = run(paths, question)
        assert done.returncode == 2
        assert b"reads one question from standard input" in done.stderr
        assert b"canary" not in done.stdout + done.stderr
