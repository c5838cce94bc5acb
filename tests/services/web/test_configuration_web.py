"""The first configuration: only its page answers; all is checked at once; all is saved or nothing."""

import errno
import json
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from bus.clock import utc_ns
from bus.routes import SERVICES
from config.bootstrap_token import BootstrapToken
from config.env_bot import proposals
from config.env_bot_settings import SETTINGS
from config.paths import HomePaths
from config.vault import Secrets, Vault
from services.web import configuration_web
from services.web.app import create_app
from services.web.credential_fields import FIELDS
from services.web.hub import StatusHub

IDENTITY = {
    "entity_code": "TBOT",
    "jurisdiction_code": "USA",
    "account_name": "main",
    "broker_code": "PAPER",
    "bot_id": "BOT01",
}


@pytest.fixture
def provisioned() -> list[Secrets]:
    return []


#: The one-time token of the test's home, as a terminal shows it.
SHOWN: dict[str, str] = {}


@pytest.fixture
def app(home: HomePaths, hub: StatusHub, provisioned: list[Secrets], tmp_path: Path) -> Flask:
    SHOWN["bootstrap_token"] = BootstrapToken(home, utc_ns).issue()
    made = create_app(home, hub, provisioned.append)
    template = tmp_path / "coa.json"
    template.write_text(json.dumps({"accounts": [{"code": "1000", "name": "Cash"}]}))
    made.extensions["tradebot"].coa_template = template
    return made


def form(**changes: str) -> dict[str, str]:
    return {**proposals(), **IDENTITY, **SHOWN, **changes}


@pytest.mark.parametrize("path", ["/", "/configuration"])
def test_page_when_unconfigured_then_shows_every_setting_with_its_proposal(person: Any, path: str) -> None:
    answer = person.get(path)
    assert answer.status_code == 200
    for setting in SETTINGS:
        assert f'name="{setting.key}"' in answer.text
        assert f'for="{setting.key}"' in answer.text
    assert 'value="TBOT"' in answer.text
    assert answer.text.count('type="password"') == len(FIELDS)


@pytest.mark.parametrize("path", ["/login", "/registration", "/control/arm", "/nope", "/api"])
def test_other_pages_when_unconfigured_then_lead_to_the_configuration(person: Any, path: str) -> None:
    answer = person.get(path)
    assert answer.status_code == 303
    assert answer.location == "/configuration"


@pytest.mark.parametrize("path", ["/login", "/logout", "/registration", "/control/arm", "/control/kill", "/nope", "/"])
def test_posts_when_unconfigured_then_find_nothing(person: Any, path: str) -> None:
    assert person.post_bare(path).status_code in {404, 405}


@pytest.mark.parametrize("path", ["/stream", "/api/snapshot"])
def test_data_when_unconfigured_then_is_not_found(person: Any, path: str) -> None:
    assert person.get(path).status_code == 404


def test_static_and_health_when_unconfigured_then_answer(person: Any) -> None:
    assert person.get("/static/theme.css").status_code == 200
    assert person.get("/healthz").json == {"status": "ok", "configured": False, "hears_chain": False}


def test_save_when_all_is_good_then_vault_ledger_request_and_listener_have_it(
    person: Any, home: HomePaths, provisioned: list[Secrets]
) -> None:
    answer = person.post("/configuration", form(MAX_OPEN_POSITIONS="3", entity_code="ACME"))
    assert (answer.status_code, answer.location) == (303, "/registration")
    secrets = Vault(home).open()
    assert secrets.settings == {**proposals(), "MAX_OPEN_POSITIONS": "3"}
    assert secrets.identity.entity_code == "ACME"
    assert secrets.users == ()
    assert set(secrets.curve) == set(SERVICES)
    assert len({pair.secret for pair in secrets.curve.values()}) == len(SERVICES)
    assert len(secrets.credentials["web_session_key"]) >= 64
    request = json.loads((home.control / "provision_ledger.json").read_text())
    assert request == {"coa": secrets.coa, "currency_code": "USD"}
    assert secrets.coa["accounts"][0]["name"] == "Cash"
    assert [found.generation for found in provisioned] == [1]


def test_save_when_all_is_good_then_every_system_log_is_made_for_its_owner_alone(person: Any, home: HomePaths) -> None:
    assert list(home.output.rglob("*.log")) == []
    person.post("/configuration", form())
    logs = home.output / Vault(home).open().identity.bot_identity / "logs"
    named = {"open.log", "mid.log", "close.log", "unresolved_orders.log", *(f"{service}.log" for service in SERVICES)}
    assert {path.name for path in logs.iterdir()} == named
    assert {stat.S_IMODE(path.stat().st_mode) for path in logs.iterdir()} == {0o600}


def test_save_when_the_logs_cannot_be_made_then_says_so_and_the_bot_is_not_configured(
    person: Any, home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_folder: Path, _names: Iterable[str]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(configuration_web, "create_logs", full)
    answer = person.post("/configuration", form())
    assert answer.status_code == 503
    assert "No space left on device" in answer.text
    assert not Vault(home).is_provisioned()
    assert not (home.control / "provision_ledger.json").exists()


def test_save_when_the_real_chart_of_accounts_is_used_then_it_is_stored(
    app: Flask, person: Any, home: HomePaths
) -> None:
    root = Path(__file__).resolve().parents[3]
    template = root / "services" / "ledger" / "tbot_ledger_coa_template.json"
    app.extensions["tradebot"].coa_template = template
    person.post("/configuration", form())
    assert Vault(home).open().coa == json.loads(template.read_text())


def test_save_when_much_is_wrong_then_every_fault_is_next_to_its_field_and_nothing_is_saved(
    person: Any, home: HomePaths
) -> None:
    wrong = form(
        TOTAL_ALLOCATION="250",
        MAX_SPREAD="abc",
        TRADING_DAYS="Mon,Funday",
        START_TIME_OPEN="25:99",
        entity_code="lower case",
    )
    del wrong["DAILY_LOSS_LIMIT"]
    answer = person.post("/configuration", wrong)
    assert answer.status_code == 422
    faulty = set(re.findall(r'<p class="fault" id="(\w+)-fault1">', answer.text))
    assert faulty == {
        "TOTAL_ALLOCATION",
        "MAX_SPREAD",
        "TRADING_DAYS",
        "START_TIME_OPEN",
        "DAILY_LOSS_LIMIT",
        "entity_code",
    }
    assert "6 faults: nothing was saved" in answer.text
    assert 'value="250"' in answer.text
    assert 'value="Mon,Funday"' in answer.text
    assert not Vault(home).is_provisioned()
    assert not (home.control / "provision_ledger.json").exists()


def test_save_when_two_settings_contradict_then_fault_is_at_the_setting(person: Any) -> None:
    answer = person.post("/configuration", form(MARKET_DATA_SOURCE="recorded"))
    assert 'id="MARKET_DATA_DIR-fault1"' in answer.text


def test_save_when_typed_text_is_markup_then_it_is_shown_as_text(person: Any) -> None:
    answer = person.post("/configuration", form(entity_code='"><script>alert(1)</script>'))
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


def test_save_when_already_configured_then_conflicts_and_changes_nothing(
    person: Any, new_person: Callable[..., Any], app: Flask, home: HomePaths
) -> None:
    late = new_person(app)
    token = late.token("/configuration")
    person.post("/configuration", form())
    before = Vault(home).open()
    typed = form(csrf_token=token, entity_code="EVIL")
    answer = late.post_bare("/configuration", typed)
    assert answer.status_code == 409
    assert "What comes next is the registration" in answer.text
    assert Vault(home).open() == before
    assert person.get("/configuration").location == "/registration"


def test_save_when_the_one_time_token_is_missing_or_wrong_or_old_then_says_so_and_saves_nothing(
    person: Any, home: HomePaths, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for typed, words in (("", "not the one-time token"), ("f" * 32, "not the one-time token")):
        answer = person.post("/configuration", form(bootstrap_token=typed))
        assert answer.status_code == 422
        assert words in answer.text
    older = SHOWN["bootstrap_token"]
    SHOWN["bootstrap_token"] = BootstrapToken(home, utc_ns).issue()
    assert person.post("/configuration", form(bootstrap_token=older)).status_code == 422
    late = BootstrapToken(home, lambda: utc_ns() + 31 * 60 * 1_000_000_000)
    monkeypatch.setattr(app.extensions["tradebot"], "bootstrap", late)
    answer = person.post("/configuration", form())
    assert answer.status_code == 422
    assert "30 minutes, which are over" in answer.text
    assert not Vault(home).is_provisioned()


def test_token_when_issued_then_is_in_no_file(app: Flask, home: HomePaths) -> None:
    token = SHOWN["bootstrap_token"].encode()
    assert [path for path in home.root.rglob("*") if path.is_file() and token in path.read_bytes()] == []


def test_save_when_without_form_token_then_is_refused(person: Any, home: HomePaths) -> None:
    assert person.post_bare("/configuration", form()).status_code == 403
    assert not Vault(home).is_provisioned()


def test_configuration_when_asked_from_another_machine_then_is_refused(
    app: Flask, new_person: Callable[..., Any]
) -> None:
    stranger = new_person(app, "192.0.2.7")
    answer = stranger.get("/configuration")
    assert answer.status_code == 403
    assert "over TLS alone" in answer.text, "and over TLS it is refused too: see test_public_address"


def test_save_when_chart_of_accounts_is_missing_then_says_so_and_saves_nothing(
    app: Flask, person: Any, home: HomePaths
) -> None:
    app.extensions["tradebot"].coa_template = home.root / "missing.json"
    answer = person.post("/configuration", form())
    assert answer.status_code == 503
    assert "missing.json cannot be read" in answer.text
    assert not Vault(home).is_provisioned()


def test_save_when_a_finnhub_key_is_typed_then_it_is_in_the_vault_and_never_shown(person: Any, home: HomePaths) -> None:
    key = "canary0f1nnhubkey"
    refused = person.post("/configuration", form(finnhub_api_key=key, MAX_SPREAD="9"))
    assert refused.status_code == 422
    assert key not in refused.text
    person.post("/configuration", form(finnhub_api_key=f" {key} ", UNIVERSE_SOURCE="finnhub"))
    assert Vault(home).open().credentials["finnhub_api_key"] == key
    for path in home.root.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes()


def test_save_when_no_finnhub_key_is_typed_then_there_is_none(person: Any, home: HomePaths) -> None:
    person.post("/configuration", form(finnhub_api_key=""))
    assert list(Vault(home).open().credentials) == ["web_session_key"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"finnhub_api_key": "two canary words"}, "An API key is one word"),
        ({"UNIVERSE_SOURCE": "finnhub"}, "needs an API key of Finnhub"),
    ],
)
def test_save_when_the_finnhub_key_is_wrong_or_wanting_then_the_fault_is_at_its_field(
    person: Any, home: HomePaths, changes: dict[str, str], says: str
) -> None:
    answer = person.post("/configuration", form(**changes))
    assert answer.status_code == 422
    assert 'id="finnhub_api_key-fault1"' in answer.text
    assert says in answer.text
    assert "canary" not in answer.text
    assert not Vault(home).is_provisioned()


ALPACA = {"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": "true", "broker_code": "ALPACA"}
LIVE_PRICES = {"MARKET_DATA_SOURCE": "alpaca", "MARKET_DATA_SYMBOLS": "SPY,AAPL"}
DATA_PAIR = {"alpaca_data_key": "PKCANARY0DATA", "alpaca_data_secret": "canary/d4ta+word="}
PAIR = {"alpaca_trading_key": "PKCANARY0KEY", "alpaca_trading_secret": "canary/s3cret+word="}


def test_save_when_alpacas_pairs_are_typed_then_they_are_in_the_vault_and_never_shown(
    person: Any, home: HomePaths
) -> None:
    pairs = PAIR | DATA_PAIR
    refused = person.post("/configuration", form(**ALPACA, **pairs, MAX_SPREAD="9"))
    assert refused.status_code == 422
    assert not any(secret in refused.text for secret in pairs.values())
    assert person.post("/configuration", form(**ALPACA, **pairs)).status_code == 303
    kept = Vault(home).open().credentials
    assert {name: kept[name] for name in pairs} == pairs
    for path in home.root.rglob("*"):
        assert not path.is_file() or not any(secret.encode() in path.read_bytes() for secret in pairs.values())


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        (ALPACA, "alpaca_trading_key", "needs a key and its secret"),
        (ALPACA | {"alpaca_trading_key": "PKCANARY0KEY"}, "alpaca_trading_secret", "needs a key and its secret"),
        ({"alpaca_trading_key": "PKCANARY0KEY"}, "alpaca_trading_secret", "belong together"),
        (
            ALPACA | PAIR | {"alpaca_trading_secret": "two canary words"},
            "alpaca_trading_secret",
            "A secret is one word",
        ),
        (LIVE_PRICES, "alpaca_data_key", "needs a key and its secret for market data"),
        (LIVE_PRICES | {"alpaca_data_secret": "canary0word"}, "alpaca_data_key", "for market data"),
        ({"alpaca_data_key": "PKCANARY0DATA"}, "alpaca_data_secret", "belong together"),
        (DATA_PAIR | {"alpaca_data_key": "two canary words"}, "alpaca_data_key", "An API key is one word"),
        (LIVE_PRICES | {"alpaca_trading_key": "PKCANARY0KEY"}, "alpaca_trading_secret", "belong together"),
    ],
)
def test_save_when_alpacas_pair_is_wrong_or_wanting_then_the_fault_is_at_its_field(
    person: Any, home: HomePaths, changes: dict[str, str], field: str, says: str
) -> None:
    answer = person.post("/configuration", form(**changes))
    assert answer.status_code == 422
    assert f'id="{field}-fault1"' in answer.text
    assert says in answer.text
    assert "canary" not in answer.text.lower()
    assert not Vault(home).is_provisioned()


def test_save_when_alpaca_is_the_simulator_then_no_keys_are_needed(person: Any, home: HomePaths) -> None:
    assert person.post("/configuration", form(**ALPACA, ALPACA_ENDPOINT="simulator")).status_code == 303
    assert Vault(home).is_provisioned()


@pytest.mark.parametrize("pair", [DATA_PAIR, PAIR], ids=["market data", "trading"])
def test_save_when_prices_are_live_then_either_pair_is_enough(
    person: Any, home: HomePaths, pair: dict[str, str]
) -> None:
    assert person.post("/configuration", form(**LIVE_PRICES, **pair)).status_code == 303
    assert Vault(home).open().settings["MARKET_DATA_SOURCE"] == "alpaca"


def test_save_when_prices_are_simulated_then_no_keys_are_needed(person: Any, home: HomePaths) -> None:
    assert person.post("/configuration", form(**LIVE_PRICES, ALPACA_ENDPOINT="simulator")).status_code == 303
    assert set(Vault(home).open().credentials) == {"web_session_key"}


def test_broker_code_when_it_is_not_the_brokers_name_then_the_fault_and_the_help_say_what_it_must_be(
    person: Any, home: HomePaths
) -> None:
    answer = person.post("/configuration", form(broker_code="IBKR"))
    assert answer.status_code == 422
    assert "broker_code is &#39;IBKR&#39;: it must be BROKER_NAME, PAPER" in answer.text
    assert "the same word as BROKER_NAME: PAPER, ALPACA, IBKR" in answer.text
    unknown = person.post("/configuration", form(BROKER_NAME="NOBODY"))
    assert 'id="BROKER_NAME-fault1"' in unknown.text
    assert 'id="broker_code-fault1"' not in unknown.text
    assert not Vault(home).is_provisioned()
