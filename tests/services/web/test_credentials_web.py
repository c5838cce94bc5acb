"""Credentials: replaced and never shown, tested before they are kept, and in no page, file or argument."""

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from alpaca_trading import AlpacaTrading
from canaries import PASSWORD
from flask import Flask

from config.connection_check import Answer, Question
from config.env_bot import proposals
from config.paths import HomePaths
from config.vault import Secrets, Vault
from services.web import credentials_web
from services.web.audit_log import AuditFilter
from services.web.credential_fields import FIELDS, PROVIDERS
from services.web.short_process import Job, Outcome, TooManyAtOnceError

CONFIRMED = {"reason": "a new key", "password": PASSWORD}
TRADING = {"alpaca_trading_key": "PKCANARY0TYPED", "alpaca_trading_secret": "canary/typed+word="}
FINNHUB = {"finnhub_api_key": "canary0f1nnhubkey"}


@pytest.fixture
def adam(person_of: Callable[[str], Any]) -> Any:
    return person_of("adam")


class Provider:
    """Stands in for the processes that try connections: keeps what it was asked, answers what it is told."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.outcome = Outcome(code=0, out='{"is_in": true, "words": ["The account answers."]}', err="")

    @property
    def question(self) -> Question:
        return msgspec.json.decode(self.jobs[-1].given, type=Question)

    def run(self, _paths: HomePaths, job: Job) -> Outcome:
        self.jobs.append(job)
        return self.outcome

    def refuse(self, words: str) -> None:
        raw = msgspec.json.encode(Answer(is_in=False, words=(words,)))
        self.outcome = Outcome(code=1, out=raw.decode(), err="")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    found = Provider()
    monkeypatch.setattr(credentials_web, "run", found.run)
    return found


def kept(home: HomePaths) -> dict[str, str]:
    return {name: text for name, text in Vault(home).open().credentials.items() if name != "web_session_key"}


def store(home: HomePaths, credentials: dict[str, str], **settings: str) -> None:
    secrets = Vault(home).open()
    after = msgspec.structs.replace(
        secrets, credentials={**secrets.credentials, **credentials}, settings={**secrets.settings, **settings}
    )
    Vault(home).replace(after, secrets.generation)


def post(person: Any, key: str, step: str, **fields: str) -> Any:
    return person.post(f"/credentials/{key}/{step}", fields, form_on="/credentials")


def audited(app: Flask, action: str) -> list[Any]:
    return list(app.extensions["tradebot"].audit.log.rows(AuditFilter(action=action)))


@pytest.mark.parametrize("name", ["vera", "olga"])
def test_page_when_the_role_may_not_then_refused(person_of: Callable[[str], Any], name: str) -> None:
    assert person_of(name).get("/credentials").status_code == 403


@pytest.mark.parametrize("step", ["test", "replace", "forget"])
def test_steps_when_the_role_may_not_then_refused(
    person_of: Callable[[str], Any], provider: Provider, step: str
) -> None:
    answer = person_of("olga").post(f"/credentials/alpaca/{step}", form_on="/control/arm")
    assert answer.status_code == 403
    assert provider.jobs == []


def test_page_when_nothing_is_kept_then_every_provider_says_not_set(adam: Any) -> None:
    page = adam.get("/credentials").text
    assert page.count("● not set") == len(FIELDS)
    for one in PROVIDERS:
        assert one.title in page
    assert "alpaca_trading_key" in page


def test_page_when_credentials_are_kept_then_says_set_and_shows_no_part_of_one(adam: Any, home: HomePaths) -> None:
    store(home, {**TRADING, **FINNHUB, "webhook_url": "https://hooks.example.org/canary"})
    page = adam.get("/credentials").text
    assert page.count("✓ set") == 4
    assert "as entered at the first configuration" in page
    assert "canary" not in page.lower()
    assert "=typed" not in page


def test_replace_when_the_provider_lets_in_then_kept_audited_and_nowhere_shown(
    adam: Any, app: Flask, home: HomePaths, provider: Provider
) -> None:
    answer = post(adam, "alpaca", "replace", **TRADING, **CONFIRMED, test_first="yes")
    assert (answer.status_code, answer.location) == (303, "/credentials")
    assert kept(home) == TRADING
    assert (provider.question.provider, provider.question.keys) == ("alpaca", TRADING)
    assert provider.jobs[0].program == "services.execution"
    assert not any(secret in " ".join(provider.jobs[0].arguments) for secret in TRADING.values())
    page = adam.get("/credentials").text
    assert "Alpaca, trading: replaced with generation 2. In force at the next session start." in page
    assert "replaced by adam" in page
    rows = audited(app, "credential_changed")
    assert {(row.subject, row.before, row.after) for row in rows} == {
        ("alpaca_trading_key", "not set", "replaced"),
        ("alpaca_trading_secret", "not set", "replaced"),
    }
    everything = [page, *(msgspec.json.encode(row).decode() for row in audited(app, ""))]
    assert not any(secret in text for text in everything for secret in TRADING.values())
    for path in home.root.rglob("*"):
        assert not path.is_file() or not any(secret.encode() in path.read_bytes() for secret in TRADING.values())


def test_replace_when_the_provider_does_not_let_in_then_nothing_is_kept(
    adam: Any, home: HomePaths, provider: Provider
) -> None:
    provider.refuse("The keys are refused.")
    answer = post(adam, "alpaca", "replace", **TRADING, **CONFIRMED, test_first="yes")
    assert "Not let in. The keys are refused." in answer.text
    assert not any(secret in answer.text for secret in TRADING.values())
    assert kept(home) == {}


def test_replace_when_no_test_is_wanted_then_kept_without_one(adam: Any, home: HomePaths, provider: Provider) -> None:
    assert post(adam, "finnhub", "replace", **FINNHUB, **CONFIRMED).status_code == 303
    assert provider.jobs == []
    assert kept(home) == FINNHUB


@pytest.mark.parametrize(
    ("key", "typed", "field", "says"),
    [
        ("alpaca", {"alpaca_trading_key": "PKCANARY0KEY"}, "alpaca_trading_secret", "belong together"),
        (
            "alpaca",
            {**TRADING, "alpaca_trading_key": "two canary words"},
            "alpaca_trading_key",
            "An API key is one word",
        ),
        ("finnhub", {}, "finnhub_api_key", "Enter it"),
        ("webhook", {"webhook_url": "http://example.org/canary"}, "webhook_url", "https://"),
        ("mail", {"smtp_user": "ann", "smtp_password": "canary" * 50}, "smtp_password", "at most 256 characters"),
    ],
)
def test_replace_when_what_is_typed_cannot_be_right_then_the_fault_is_at_its_field_without_it(
    adam: Any, home: HomePaths, provider: Provider, key: str, typed: dict[str, str], field: str, says: str
) -> None:
    answer = post(adam, key, "replace", **typed, **CONFIRMED, test_first="yes")
    assert answer.status_code == 422
    assert f'id="{field}-fault1"' in answer.text
    assert says in answer.text
    assert "canary" not in answer.text.lower()
    assert (kept(home), provider.jobs) == ({}, [])


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [({"reason": ""}, 400, "Give a reason"), ({"password": "wrong"}, 401, "The password is wrong")],
)
@pytest.mark.parametrize("step", ["replace", "forget"])
def test_step_when_not_confirmed_then_nothing_is_tried_or_changed(
    adam: Any, home: HomePaths, provider: Provider, step: str, changes: dict[str, str], code: int, says: str
) -> None:
    store(home, FINNHUB)
    answer = post(adam, "finnhub", step, finnhub_api_key="another0word", test_first="yes", **{**CONFIRMED, **changes})
    assert answer.status_code == code
    assert says in answer.text
    assert "another0word" not in answer.text
    assert (kept(home), provider.jobs) == (FINNHUB, [])


def test_replace_when_somebody_else_did_since_the_page_was_loaded_then_conflict(
    adam: Any, home: HomePaths, provider: Provider
) -> None:
    assert post(adam, "finnhub", "replace", **FINNHUB, **CONFIRMED).status_code == 303
    answer = post(adam, "finnhub", "replace", finnhub_api_key="another0word", **CONFIRMED, seen="")
    assert answer.status_code == 409
    assert "adam has changed these credentials at" in answer.text
    assert kept(home) == FINNHUB
    seen = adam.get("/credentials").text.split('/credentials/finnhub/replace"')[1].split('name="seen" value="')[1]
    fields = {"finnhub_api_key": "another0word", "seen": seen.split('"')[0], **CONFIRMED}
    assert post(adam, "finnhub", "replace", **fields).status_code == 303


def test_replace_when_the_vault_is_written_at_that_moment_then_conflict(
    adam: Any, app: Flask, home: HomePaths, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = app.extensions["tradebot"].vault
    replace = vault.replace

    def late(secrets: Secrets, expected: int) -> int:
        store(home, {})
        return replace(secrets, expected)

    monkeypatch.setattr(vault, "replace", late)
    answer = post(adam, "finnhub", "replace", **FINNHUB, **CONFIRMED)
    assert answer.status_code == 409
    assert "somebody saved first" in answer.text
    assert kept(home) == {}


def test_forget_when_a_setting_needs_it_then_refused(adam: Any, home: HomePaths) -> None:
    store(home, FINNHUB, UNIVERSE_SOURCE="finnhub")
    answer = post(adam, "finnhub", "forget", **CONFIRMED)
    assert answer.status_code == 409
    assert "Change the setting first" in answer.text
    assert kept(home) == FINNHUB


def test_forget_when_nothing_needs_it_then_gone_and_audited(adam: Any, app: Flask, home: HomePaths) -> None:
    store(home, {**FINNHUB, **TRADING})
    assert post(adam, "finnhub", "forget", **CONFIRMED).status_code == 303
    assert kept(home) == TRADING
    (row,) = audited(app, "credential_changed")
    assert (row.subject, row.before, row.after) == ("finnhub_api_key", "set", "forgotten")


def test_test_when_nothing_is_typed_then_what_is_kept_is_tried(adam: Any, app: Flask, provider: Provider) -> None:
    answer = post(adam, "ibkr", "test")
    assert answer.status_code == 200
    assert "Let in. The account answers." in answer.text
    assert provider.question.keys == {}
    (row,) = audited(app, "connection_tested")
    assert (row.subject, row.after) == ("Interactive Brokers", "what is kept: let in")


def test_test_when_something_is_typed_then_that_is_tried_and_not_kept(
    adam: Any, home: HomePaths, provider: Provider
) -> None:
    assert post(adam, "finnhub", "test", **FINNHUB).status_code == 200
    assert provider.question.keys == FINNHUB
    assert kept(home) == {}


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Outcome(code=None, out="", err=""), "There was no answer in time"),
        (Outcome(code=1, out="Traceback", err="canary"), "The test itself failed: services.screener ended with 1"),
        (Outcome(code=0, out='{"is_in": true}', err=""), "The test itself failed"),
    ],
)
def test_test_when_the_process_fails_then_not_let_in_and_its_errors_are_not_shown(
    adam: Any, provider: Provider, outcome: Outcome, says: str
) -> None:
    provider.outcome = outcome
    answer = post(adam, "finnhub", "test")
    assert f"Not let in. {says}" in answer.text
    assert "canary" not in answer.text


def test_test_when_others_run_then_refused(adam: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_paths: HomePaths, _job: Job) -> Outcome:
        raise TooManyAtOnceError

    monkeypatch.setattr(credentials_web, "run", busy)
    assert post(adam, "finnhub", "test").status_code == 409


def test_passphrase_of_archives_when_typed_then_kept_and_there_is_nobody_to_test_it(
    adam: Any, home: HomePaths, provider: Provider
) -> None:
    phrase = {"archive_passphrase": "canary words that open an archive"}
    assert post(adam, "archive", "replace", **phrase, **CONFIRMED, test_first="yes").status_code == 303
    assert kept(home) == phrase
    assert post(adam, "archive", "test").status_code == 404
    assert post(adam, "archive", "replace", archive_passphrase="short", **CONFIRMED).status_code == 422
    assert provider.jobs == []


def test_a_provider_when_unknown_then_not_found(adam: Any, provider: Provider) -> None:
    for step in ("test", "replace", "forget"):
        assert post(adam, "nobody", step).status_code == 404
    assert provider.jobs == []


def test_test_when_real_then_a_process_of_its_own_asks_the_broker_and_no_key_is_in_any_argument(
    adam: Any, home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    popen = credentials_web.run.__globals__["subprocess"].Popen

    def watched(arguments: list[str], **options: Any) -> Any:
        seen.extend([*arguments, *options["env"].values()])
        return popen(arguments, **options)

    monkeypatch.setattr("services.web.short_process.subprocess.Popen", watched)
    with AlpacaTrading() as house:
        store(home, {}, **{**proposals(), "ALPACA_ENDPOINT": "simulator", "ALPACA_SIMULATOR_PORT": str(house.port)})
        answer = post(adam, "alpaca", "test", **TRADING)
        assert house.count("GET", "/v2/account") == 1
    assert "Let in. The stand-in for Alpaca on this machine answers" in answer.text
    assert seen[:3] == [sys.executable, "-m", "services.execution"]
    assert not any(secret in word for secret in TRADING.values() for word in seen)
