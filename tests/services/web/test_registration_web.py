"""The registration: the phase between first configuration and main; each page says what comes next."""

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from msgspec.structs import replace

from bus.clock import utc_ns
from config.bootstrap_token import VALID_NS, BootstrapToken
from config.env_bot import proposals
from config.paths import HomePaths
from config.users import BCRYPT_COST, verify_password
from config.vault import Vault
from services.web import registration_web
from services.web.app import create_app
from services.web.audit_log import AuditFilter, AuditLog
from services.web.hub import StatusHub

PASSWORD = "a long enough password"
ADMIN = {"admin_name": "ada", "password": PASSWORD, "password_again": PASSWORD}
IDENTITY = {
    "entity_code": "TBOT",
    "jurisdiction_code": "USA",
    "account_name": "main",
    "broker_code": "PAPER",
    "bot_id": "BOT01",
}


@pytest.fixture
def app(home: HomePaths, hub: StatusHub) -> Flask:
    return create_app(home, hub)


@pytest.fixture
def token(home: HomePaths) -> str:
    return BootstrapToken(home, utc_ns).issue()


@pytest.fixture
def ada(person: Any, token: str) -> Any:
    """Whoever configured the bot, with the browser that did it."""
    answer = person.post("/configuration", {**proposals(), **IDENTITY, "bootstrap_token": token})
    assert answer.location == "/registration"
    return person


def step_of(page: str) -> str:
    (found,) = re.findall(r'<li aria-current="step">([^<]+)</li>', page)
    return str(found)


def test_phases_when_gone_through_then_each_page_says_where_one_is_and_what_comes_next(
    person: Any, token: str, home: HomePaths
) -> None:
    assert step_of(person.get("/").text) == "Configuration"
    person.post("/configuration", {**proposals(), **IDENTITY, "bootstrap_token": token})
    for path in ("/", "/registration"):
        page = person.get(path)
        assert page.status_code == 200
        assert step_of(page.text) == "Registration of the administrator"
    assert person.post("/registration", ADMIN).location == "/login"
    assert "Third step: log in" in person.get("/login").text
    assert person.get("/").location == "/login"
    assert person.log_in("ada", PASSWORD).location == "/"
    assert person.get("/").status_code == 200
    (user,) = Vault(home).open().users
    assert (user.name, user.role, user.is_active) == ("ada", "admin", True)
    assert user.password_hash.startswith(f"$2b${BCRYPT_COST}$")
    assert verify_password(PASSWORD, user.password_hash)
    assert [row.action for row in AuditLog(home).rows(AuditFilter())][::-1] == ["configured", "registered", "logged_in"]


@pytest.mark.parametrize("path", ["/login", "/configuration", "/control/arm", "/nope"])
def test_other_pages_when_nobody_is_registered_then_lead_to_the_registration(ada: Any, path: str) -> None:
    answer = ada.get(path)
    assert (answer.status_code, answer.location) == (303, "/registration")


def test_posts_and_data_when_nobody_is_registered_then_are_not_there(ada: Any) -> None:
    for path in ("/login", "/logout", "/control/arm", "/control/kill", "/nope"):
        assert ada.post_bare(path).status_code in {404, 405}
    for path in ("/stream", "/api/snapshot"):
        assert ada.get(path).status_code == 404
    assert ada.get("/static/theme.css").status_code == 200
    assert ada.get("/healthz").status_code == 200


def test_registration_when_much_is_wrong_then_every_fault_is_at_its_field_and_nobody_is_registered(
    ada: Any, home: HomePaths
) -> None:
    wrong = {"admin_name": "Not A Name", "password": "S3cretCanary!!", "password_again": "different"}
    answer = ada.post("/registration", wrong)
    assert answer.status_code == 422
    assert set(re.findall(r'<p class="fault" id="(\w+)-fault1">', answer.text)) == set(wrong)
    assert "3 faults: nothing was saved" in answer.text
    assert "S3cretCanary" not in answer.text
    assert ada.post("/registration", ADMIN | {"admin_name": '"><script>alert(1)</script>'}).status_code == 422
    assert Vault(home).open().users == ()


def test_registration_when_by_another_browser_then_needs_the_token(
    ada: Any, app: Flask, new_person: Callable[..., Any], token: str, home: HomePaths
) -> None:
    other = new_person(app)
    assert 'name="bootstrap_token"' not in ada.get("/registration").text
    assert 'name="bootstrap_token"' in other.get("/registration").text
    for typed in ("", "f" * 32):
        answer = other.post("/registration", ADMIN | {"bootstrap_token": typed})
        assert answer.status_code == 422
        assert "not the one-time token" in answer.text
    assert Vault(home).open().users == ()
    assert other.post("/registration", ADMIN | {"bootstrap_token": token}).status_code == 303


def test_registration_when_the_server_was_started_anew_then_goes_on_with_a_new_token(
    ada: Any, home: HomePaths, new_person: Callable[..., Any]
) -> None:
    again = new_person(create_app(home, StatusHub()))
    fresh = BootstrapToken(home, utc_ns).issue()
    assert again.get("/").status_code == 200
    assert again.post("/registration", ADMIN | {"bootstrap_token": fresh}).status_code == 303
    assert again.log_in("ada", PASSWORD).status_code == 303


def test_registration_when_half_an_hour_went_by_then_the_browser_shows_the_token_again(
    ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration_web, "utc_ns", lambda: utc_ns() + VALID_NS + 1)
    assert ada.post("/registration", ADMIN).status_code == 422
    assert 'name="bootstrap_token"' in ada.get("/registration").text


def test_registration_when_from_another_machine_then_is_refused(
    ada: Any, app: Flask, new_person: Callable[..., Any], token: str, home: HomePaths
) -> None:
    stranger = new_person(app, "192.0.2.7")
    assert stranger.get("/registration").status_code == 403
    mine = new_person(app)
    fields = {**ADMIN, "bootstrap_token": token, "csrf_token": mine.token("/registration")}
    stranger.client.set_cookie("tradebot", mine.client.get_cookie("tradebot").value)
    assert stranger.post_bare("/registration", fields).status_code == 403
    assert Vault(home).open().users == ()


def test_registration_when_without_a_form_token_then_is_refused(ada: Any, home: HomePaths) -> None:
    assert ada.post_bare("/registration", ADMIN).status_code == 403
    assert Vault(home).open().users == ()


def test_registration_when_several_race_then_one_is_the_administrator(
    ada: Any, app: Flask, new_person: Callable[..., Any], token: str, home: HomePaths
) -> None:
    people = [new_person(app) for _ in range(4)]
    forms = [
        {**ADMIN, "admin_name": f"admin{n}", "bootstrap_token": token, "csrf_token": one.token("/registration")}
        for n, one in enumerate(people)
    ]
    codes: dict[int, int] = {}

    def register(number: int) -> None:
        codes[number] = people[number].post_bare("/registration", forms[number]).status_code

    threads = [threading.Thread(target=register, args=(number,)) for number in range(len(people))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for number, code in codes.items() if code == 303]
    assert set(codes.values()) <= {303, 409, 410, 422}
    assert [user.name for user in Vault(home).open().users] == [f"admin{winner}"]


def test_registration_when_done_then_is_over_for_good(
    ada: Any, app: Flask, new_person: Callable[..., Any], token: str, home: HomePaths
) -> None:
    late = new_person(app)
    form = {**ADMIN, "admin_name": "mallory", "csrf_token": late.token("/registration")}
    ada.post("/registration", ADMIN)
    before = Vault(home).open()
    assert late.post_bare("/registration", form | {"bootstrap_token": token}).status_code == 410, "the token was used"
    assert late.post_bare("/registration", form).status_code == 409
    assert ada.get("/registration").location == "/"
    assert Vault(home).open() == before


def test_registration_when_the_vault_is_written_meanwhile_then_is_made_all_the_same(ada: Any, home: HomePaths) -> None:
    kept = Vault(home).open()
    Vault(home).replace(replace(kept, holdings={"etfs": []}), kept.generation)
    assert ada.post("/registration", ADMIN).status_code == 303
    assert Vault(home).open().holdings == {"etfs": []}


def test_token_when_somebody_is_still_to_be_registered_then_there_is_one(
    ada: Any, home: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    from services.web.verbs import VERBS

    assert VERBS["bootstrap-token"](home, ()) == 0
    ada.post("/registration", ADMIN)
    capsys.readouterr()
    assert VERBS["bootstrap-token"](home, ()) == 1
