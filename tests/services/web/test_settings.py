"""How long log-ins last, and how often a password may be tried: by the settings, at once, and bounded."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from msgspec.structs import replace

from bus.clock import NS_PER_MINUTE, boot_ns
from bus.keys import make_pairs
from config.env_bot import SettingsError, parse, proposals
from config.paths import HomePaths
from config.vault import Vault
from services.web import sessions
from services.web.settings import WebLimits

PASSWORD = "correct horse battery"
USUAL = WebLimits(
    idle_ns=15 * NS_PER_MINUTE, age_ns=720 * NS_PER_MINUTE, confirmed_ns=5 * NS_PER_MINUTE, tries=5, wait_minutes=15
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let minutes pass for the sessions."""
    now = [boot_ns()]
    monkeypatch.setattr(sessions, "boot_ns", lambda: now[0])

    def pass_minutes(minutes: int) -> None:
        now[0] += minutes * NS_PER_MINUTE

    return pass_minutes


def save(paths: HomePaths, **settings: str) -> None:
    vault = Vault(paths, new_pairs=make_pairs)
    kept = vault.open()
    vault.replace(replace(kept, settings=kept.settings | settings), kept.generation)


def test_limits_when_settings_are_older_or_malformed_then_are_the_proposals() -> None:
    assert WebLimits.of({}) == WebLimits.of(proposals()) == USUAL
    assert WebLimits.of({"WEB_SESSION_IDLE": "600", "WEB_LOGIN_TRIES": "many", "WEB_SESSION_AGE": "1"}) == replace(
        USUAL, age_ns=60 * NS_PER_MINUTE
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("WEB_SESSION_IDLE", "61"),
        ("WEB_SESSION_AGE", "25"),
        ("WEB_CONFIRM_TIME", "16"),
        ("WEB_LOGIN_TRIES", "11"),
        ("WEB_LOGIN_WAIT", "14"),
    ],
)
def test_limit_when_looser_than_its_bound_then_is_a_fault(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{key} is {value}"):
        parse(proposals() | {key: value})


def test_tries_when_two_in_an_hour_are_set_then_the_third_waits(
    app: Flask, new_person: Callable[..., Any], configured: HomePaths
) -> None:
    save(configured, WEB_LOGIN_TRIES="2", WEB_LOGIN_WAIT="60")
    person = new_person(app)
    assert [person.log_in("adam", "wrong").status_code for _ in range(3)] == [401, 401, 429]
    assert "Wait 60 minutes" in person.log_in("adam").text


def test_session_when_its_limits_are_tightened_then_it_ends_by_them_at_once(
    person_of: Callable[[str], Any], clock: Callable[[int], None], configured: HomePaths
) -> None:
    olga, vera = person_of("olga"), person_of("vera")
    clock(10)
    assert olga.get("/account").status_code == 200
    save(configured, WEB_SESSION_IDLE="2", WEB_SESSION_AGE="1")
    assert vera.get("/account").status_code == 303, "ten minutes without use are too many now"
    clock(2)
    assert olga.get("/account").status_code == 200
    answers = []
    for _ in range(25):
        clock(2)
        answers.append(olga.get("/account").status_code)
    assert answers == [200] * 24 + [303], "an hour after the log-in"


def test_confirmation_when_good_for_a_minute_then_the_password_is_asked_again_after_two(
    person_of: Callable[[str], Any], clock: Callable[[int], None], configured: HomePaths
) -> None:
    save(configured, WEB_CONFIRM_TIME="1")
    olga = person_of("olga")
    order = {"reason": "morning check done", "halt_counter": "0"}
    assert olga.post("/control/arm", {**order, "password": PASSWORD}).status_code == 303
    clock(2)
    assert olga.post("/control/arm", order).status_code == 401
