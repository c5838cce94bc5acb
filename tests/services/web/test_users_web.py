"""Users: added, put into roles, disabled, given passwords; never without an administrator; every change is a row."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from canaries import PASSWORD
from flask import Flask

from config.paths import HomePaths
from config.user_rules import user_named
from config.users import User, verify_password
from config.vault import Vault
from services.web.audit_log import AuditFilter, AuditLog

FIRST = "first words of an admin"


@pytest.fixture
def adam(person_of: Callable[[str], Any]) -> Any:
    return person_of("adam")


def change(person: Any, action: str, **fields: str) -> Any:
    return person.post(f"/users/{action}", {"password": PASSWORD, **fields}, form_on="/users")


def users_of(home: HomePaths) -> dict[str, User]:
    return {user.name: user for user in Vault(home).open().users}


def test_user_when_added_then_can_log_in_and_has_to_change_the_password(
    adam: Any, app: Flask, new_person: Callable[..., Any], configured: HomePaths
) -> None:
    assert change(adam, "add", name="ida", role="operator", new_password=FIRST).status_code == 303
    ida = users_of(configured)["ida"]
    assert (ida.role, ida.is_active, ida.must_change_password) == ("operator", True, True)
    assert verify_password(FIRST, ida.password_hash)
    assert new_person(app).log_in("ida", FIRST).location == "/account"
    row = AuditLog(configured).rows(AuditFilter(action="user_added"))[0]
    assert (row.actor, row.subject, row.after) == ("adam", "ida", "operator")


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"name": "olga"}, 409, "There is a user 'olga' already"),
        ({"name": "Ida"}, 409, "2 to 32 small letters"),
        ({"name": "<b>x</b>"}, 409, "2 to 32 small letters"),
        ({"role": "owner"}, 400, "no such role"),
        ({"role": ""}, 400, "no such role"),
        ({"new_password": "short"}, 400, "at least 15"),
        ({"password": "wrong"}, 401, "password is wrong"),
    ],
)
def test_user_when_it_cannot_be_added_then_nothing_is_changed(
    adam: Any, configured: HomePaths, fields: dict[str, str], code: int, words: str
) -> None:
    before = Vault(configured).generation()
    answer = change(adam, "add", **{"name": "ida", "role": "viewer", "new_password": FIRST, **fields})
    assert answer.status_code == code
    assert words in answer.text.replace("&#39;", "'")
    assert "<b>x</b>" not in answer.text
    assert Vault(configured).generation() == before


def test_role_when_changed_then_counts_with_the_next_click(
    adam: Any, person_of: Callable[[str], Any], configured: HomePaths
) -> None:
    vera = person_of("vera")
    assert vera.get("/control/kill").status_code == 403
    assert change(adam, "role", name="vera", role="operator").status_code == 303
    assert vera.get("/control/kill").status_code == 200
    row = AuditLog(configured).rows(AuditFilter(action="role_changed"))[0]
    assert (row.subject, row.before, row.after) == ("vera", "viewer", "operator")


def test_user_when_disabled_then_sessions_end_and_the_right_password_is_wrong_until_enabled(
    adam: Any, app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any]
) -> None:
    olga = person_of("olga")
    assert change(adam, "disable", name="olga").status_code == 303
    assert olga.get("/api/snapshot").status_code == 401
    assert new_person(app, "127.0.0.7").log_in("olga").status_code == 401
    assert change(adam, "enable", name="olga").status_code == 303
    assert new_person(app, "127.0.0.7").log_in("olga").status_code == 303
    assert olga.get("/api/snapshot").status_code == 401, "the old session stays over"


@pytest.mark.parametrize(("action", "fields"), [("disable", {}), ("role", {"role": "operator"})])
def test_last_administrator_when_disabled_or_put_into_another_role_then_is_refused(
    adam: Any, configured: HomePaths, action: str, fields: dict[str, str]
) -> None:
    answer = change(adam, action, name="adam", **fields)
    assert answer.status_code == 409
    assert "last active administrator" in answer.text
    assert users_of(configured)["adam"].role == "admin"
    assert change(adam, "role", name="olga", role="admin").status_code == 303
    assert change(adam, action, name="adam", **fields).status_code == 303


def test_last_administrator_when_the_other_one_is_disabled_then_is_the_last(adam: Any) -> None:
    change(adam, "role", name="olga", role="admin")
    change(adam, "disable", name="olga")
    assert change(adam, "disable", name="adam").status_code == 409


def test_second_factor_when_taken_away_then_the_password_is_enough(
    adam: Any, app: Flask, configured: HomePaths, new_person: Callable[..., Any]
) -> None:
    vault = Vault(configured)
    kept = vault.open()
    changed = (msgspec.structs.replace(user_named(kept.users, "olga"), totp_secret="A" * 32),)
    others = tuple(user for user in kept.users if user.name != "olga")
    vault.replace(msgspec.structs.replace(kept, users=others + changed), kept.generation)
    assert new_person(app).log_in("olga").status_code == 401
    assert change(adam, "second-factor-off", name="olga").status_code == 303
    assert new_person(app).log_in("olga").status_code == 303


def test_sessions_when_ended_by_an_administrator_then_all_but_the_own_end(
    adam: Any, person_of: Callable[[str], Any]
) -> None:
    olga, vera, second = person_of("olga"), person_of("vera"), person_of("adam")
    change(adam, "sessions", name="olga")
    assert [p.get("/api/snapshot").status_code for p in (olga, vera, second)] == [401, 200, 200]
    change(adam, "sessions")
    assert [p.get("/api/snapshot").status_code for p in (adam, vera, second)] == [200, 401, 401]


def test_change_when_nobody_has_this_name_then_says_so(adam: Any) -> None:
    for action, fields in (("role", {"role": "viewer"}), ("disable", {}), ("password", {"new_password": FIRST})):
        assert change(adam, action, name="nobody", **fields).status_code == 409, action


def test_form_when_it_holds_more_than_its_fields_then_only_those_count(adam: Any, configured: HomePaths) -> None:
    extra = {"must_change_password": "", "password_hash": "x", "totp_secret": "x", "is_active": "", "users": "x"}
    assert change(adam, "add", name="ida", role="viewer", new_password=FIRST, **extra).status_code == 303
    ida = users_of(configured)["ida"]
    assert (ida.must_change_password, ida.totp_secret, ida.is_active) == (True, "", True)
    assert verify_password(FIRST, ida.password_hash)
