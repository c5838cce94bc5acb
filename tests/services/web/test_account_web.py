"""One's own account: another password, a second factor, recovery codes, and where one is logged in."""

import re
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from canaries import PASSWORD
from flask import Flask

from bus.clock import NS_PER_SECOND
from config.paths import HomePaths
from config.user_rules import user_named
from config.users import User
from config.vault import Vault
from services.web import second_factor
from services.web.audit_log import AuditFilter, AuditLog

NEW = "vixen lemur cobalt"
ARM = {"reason": "morning check done", "halt_counter": "0"}


class Clock:
    """The wall time of the codes."""

    def __init__(self) -> None:
        self.ns = 1_741_786_200 * NS_PER_SECOND

    def __call__(self) -> int:
        return self.ns

    def pass_steps(self, steps: int) -> None:
        self.ns += steps * second_factor.STEP_S * NS_PER_SECOND

    def code(self, secret: str, steps: int = 0) -> str:
        return pyotp.TOTP(secret).at(self.ns // NS_PER_SECOND + steps * second_factor.STEP_S)


@pytest.fixture
def clock(app: Flask, configured: HomePaths) -> Clock:
    found = Clock()
    app.extensions["tradebot"].codes = second_factor.CodeBook(configured.state, found)
    return found


def kept(home: HomePaths, name: str = "olga") -> User:
    return user_named(Vault(home).open().users, name)


def set_up(person: Any, clock: Clock) -> tuple[str, list[str]]:
    """Switch the second factor on; return its secret and the recovery codes that were shown."""
    page = person.post("/account/second-factor", {"password": PASSWORD}, form_on="/account").text
    found = re.search(r"type the key: <code>(\w+)</code>", page)
    assert found, page
    answer = person.post("/account/second-factor/confirm", {"new_totp_code": clock.code(found[1])}, form_on="/account")
    assert answer.status_code == 200
    return found[1], re.findall(r"<li><code>([a-z2-7-]+)</code></li>", answer.text)


def log_in(person: Any, code: str = "", password: str = PASSWORD) -> int:
    return int(person.post("/login", {"name": "olga", "password": password, "totp_code": code}).status_code)


def test_password_when_changed_then_only_the_new_one_opens_and_other_sessions_end(
    person_of: Callable[[str], Any], new_person: Callable[..., Any], app: Flask, configured: HomePaths
) -> None:
    olga, other = person_of("olga"), person_of("olga")
    before = olga.client.get_cookie("tradebot")
    fields = {"password": PASSWORD, "new_password": NEW, "new_password_again": NEW}
    assert olga.post("/account/password", fields, form_on="/account").status_code == 303
    assert olga.get("/").status_code == 200
    assert other.get("/api/snapshot").status_code == 401
    olga.client.set_cookie("tradebot", before.value)
    assert olga.get("/api/snapshot").status_code == 401, "the cookie from before the change"
    assert new_person(app).log_in("olga").status_code == 401
    assert new_person(app).log_in("olga", NEW).status_code == 303
    assert "password_changed" in [row.action for row in AuditLog(configured).rows(AuditFilter())]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"new_password": "short", "new_password_again": "short"}, 400, "must have at least 15"),
        ({"new_password": "passwordpassword", "new_password_again": "passwordpassword"}, 400, "tried first"),
        ({"new_password_again": "another long one"}, 400, "differ"),
        ({"new_password": PASSWORD, "new_password_again": PASSWORD}, 400, "is the old one"),
        ({"password": "wrong"}, 401, "The password is wrong"),
        ({"password": ""}, 401, "The password is wrong"),
    ],
)
def test_password_when_something_is_wrong_then_nothing_is_changed(
    person_of: Callable[[str], Any], configured: HomePaths, changes: dict[str, str], code: int, words: str
) -> None:
    olga, before = person_of("olga"), kept(configured)
    fields = {"password": PASSWORD, "new_password": NEW, "new_password_again": NEW, **changes}
    answer = olga.post("/account/password", fields, form_on="/account")
    assert (answer.status_code, words in answer.text) == (code, True)
    assert kept(configured) == before
    assert NEW not in answer.text


def test_second_factor_when_set_up_then_the_password_alone_opens_nothing(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], clock: Clock, configured: HomePaths
) -> None:
    other = person_of("olga")
    secret, codes = set_up(person_of("olga"), clock)
    assert len(set(codes)) == 10
    assert kept(configured).totp_secret == secret
    assert other.get("/api/snapshot").status_code == 401, "other sessions end"
    assert log_in(new_person(app)) == 401
    assert log_in(new_person(app), "000000") == 401
    assert log_in(new_person(app), clock.code(secret), "wrong") == 401
    assert log_in(new_person(app), clock.code(secret)) == 303


def test_second_factor_when_the_code_is_wrong_then_it_is_not_switched_on(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], clock: Clock, configured: HomePaths
) -> None:
    olga = person_of("olga")
    olga.post("/account/second-factor", {"password": PASSWORD}, form_on="/account")
    answer = olga.post("/account/second-factor/confirm", {"new_totp_code": "123"}, form_on="/account")
    assert answer.status_code == 400
    assert kept(configured).totp_secret == ""
    assert log_in(new_person(app)) == 303


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 303), (0, 303), (1, 303), (2, 401)])
def test_code_when_of_another_step_then_counts_one_to_either_side(
    app: Flask,
    person_of: Callable[[str], Any],
    new_person: Callable[..., Any],
    clock: Clock,
    steps: int,
    status: int,
) -> None:
    secret, _ = set_up(person_of("olga"), clock)
    assert log_in(new_person(app), clock.code(secret, steps)) == status


def test_code_when_used_then_counts_no_more_also_after_a_restart(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], clock: Clock, configured: HomePaths
) -> None:
    secret, _ = set_up(person_of("olga"), clock)
    code = clock.code(secret)
    assert log_in(new_person(app), code) == 303
    assert log_in(new_person(app), code) == 401
    app.extensions["tradebot"].codes = second_factor.CodeBook(configured.state, clock)
    assert log_in(new_person(app), code) == 401
    assert log_in(new_person(app), clock.code(secret, -1)) == 401, "nor one that is older than the last"
    clock.pass_steps(1)
    assert log_in(new_person(app), clock.code(secret)) == 303


def test_codes_when_five_are_wrong_then_the_account_is_locked_for_this_address(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], clock: Clock
) -> None:
    secret, _ = set_up(person_of("olga"), clock)
    thief = new_person(app)
    assert [log_in(thief, "000000") for _ in range(6)] == [401] * 5 + [429]
    assert log_in(thief, clock.code(secret)) == 429


def test_recovery_code_when_used_then_opens_once_and_is_gone(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], clock: Clock, configured: HomePaths
) -> None:
    _, codes = set_up(person_of("olga"), clock)
    assert log_in(new_person(app), codes[3].upper().replace("-", " ")) == 303
    assert log_in(new_person(app), codes[3]) == 401
    assert len(kept(configured).recovery_hashes) == 9
    assert log_in(new_person(app), codes[4]) == 303
    assert codes[5] not in repr(Vault(configured).open().users) + str(kept(configured).recovery_hashes)


def test_recovery_codes_when_renewed_then_the_old_are_worth_nothing(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], clock: Clock
) -> None:
    olga = person_of("olga")
    _, old = set_up(olga, clock)
    page = olga.post("/account/recovery-codes", form_on="/account").text
    new = re.findall(r"<li><code>([a-z2-7-]+)</code></li>", page)
    assert len(new) == 10
    assert not {*old} & {*new}
    assert log_in(new_person(app), old[0]) == 401
    assert log_in(new_person(app), new[0]) == 303
    assert not re.findall(r"<li><code>", olga.get("/account").text), "they are shown once"


def test_arming_when_there_is_a_second_factor_then_wants_a_code_too(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], clock: Clock
) -> None:
    secret, _ = set_up(person_of("olga"), clock)
    olga = new_person(app)
    assert log_in(olga, clock.code(secret)) == 303
    assert 'name="totp_code"' in olga.get("/control/arm").text
    fields = {**ARM, "password": PASSWORD}
    assert olga.post("/control/arm", fields).status_code == 401
    assert olga.post("/control/arm", {**fields, "totp_code": clock.code(secret)}).status_code == 401, "used already"
    clock.pass_steps(1)
    assert olga.post("/control/arm", {**fields, "totp_code": clock.code(secret)}).status_code == 303


def test_second_factor_when_switched_off_then_the_password_is_enough(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], clock: Clock
) -> None:
    olga = person_of("olga")
    set_up(olga, clock)
    assert olga.post("/account/second-factor/off", form_on="/account").status_code == 303
    assert olga.get("/").status_code == 200
    assert log_in(new_person(app)) == 303


def test_sessions_when_listed_then_one_or_all_others_can_be_ended_and_nobody_elses(
    person_of: Callable[[str], Any],
) -> None:
    olga, second, third, vera = person_of("olga"), person_of("olga"), person_of("olga"), person_of("vera")
    page = olga.get("/account").text
    handles = re.findall(r'name="session" value="(\w+)"', page)
    assert len(handles) == 2
    assert olga.post("/account/sessions", {"session": handles[0]}, form_on="/account").status_code == 303
    assert sorted(p.get("/api/snapshot").status_code for p in (second, third)) == [200, 401]
    theirs = re.findall(r'name="session" value="(\w+)"', second.get("/account").text + third.get("/account").text)
    vera.post("/account/sessions", {"session": theirs[0]}, form_on="/account")
    assert olga.get("/api/snapshot").status_code == 200
    olga.post("/account/sessions", form_on="/account")
    assert [p.get("/api/snapshot").status_code for p in (olga, second, third)] == [200, 401, 401]


def test_first_password_when_an_administrator_chose_it_then_is_changed_before_anything_else(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any]
) -> None:
    fields = {"name": "olga", "new_password": "first words of an admin", "password": PASSWORD}
    assert person_of("adam").post("/users/password", fields, form_on="/users").status_code == 303
    olga = new_person(app)
    assert olga.log_in("olga", "first words of an admin").location == "/account"
    assert olga.get("/").location == "/account"
    assert olga.get("/api/snapshot").status_code == 403
    assert olga.post("/control/kill", {"reason": "x", "word": "KILL"}, form_on="/account").status_code == 403
    change = {"password": "first words of an admin", "new_password": NEW, "new_password_again": NEW}
    assert olga.post("/account/password", change, form_on="/account").status_code == 303
    assert olga.get("/").status_code == 200
