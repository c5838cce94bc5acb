"""The password again: what needs it, how long it is good for, and that the session gets a new id by it."""

from collections.abc import Callable
from typing import Any

import pytest
from canaries import PASSWORD

from bus.clock import NS_PER_MINUTE
from bus.control import ControlFolder
from config.paths import HomePaths
from services.web import sessions

ARM = {"reason": "morning check done", "halt_counter": "0"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let minutes pass for the sessions."""
    now = [sessions.boot_ns()]
    monkeypatch.setattr(sessions, "boot_ns", lambda: now[0])

    def pass_minutes(minutes: int) -> None:
        now[0] += minutes * NS_PER_MINUTE

    return pass_minutes


def arm(person: Any, **changes: str) -> Any:
    return person.post("/control/arm", {**ARM, **changes})


def test_arm_when_only_logged_in_then_wants_the_password(person_of: Callable[[str], Any]) -> None:
    olga = person_of("olga")
    assert 'name="password"' in olga.get("/control/arm").text
    assert arm(olga).status_code == 401


def test_arm_when_confirmed_then_is_not_asked_again_for_five_minutes(
    person_of: Callable[[str], Any], clock: Callable[[int], None], configured: HomePaths
) -> None:
    olga = person_of("olga")
    assert arm(olga, password=PASSWORD).status_code == 303
    assert 'name="password"' not in olga.get("/control/arm").text
    clock(4)
    assert arm(olga, reason="again").status_code == 303
    clock(2)
    assert arm(olga, reason="too late").status_code == 401
    record = ControlFolder(configured).read().arm
    assert record is not None
    assert record.reason == "again"


def test_arm_when_confirmed_in_another_session_then_is_asked_in_this_one(person_of: Callable[[str], Any]) -> None:
    first, second = person_of("olga"), person_of("olga")
    assert arm(first, password=PASSWORD).status_code == 303
    assert arm(second).status_code == 401


def test_password_when_wrong_within_the_five_minutes_then_is_refused(person_of: Callable[[str], Any]) -> None:
    olga = person_of("olga")
    assert arm(olga, password=PASSWORD).status_code == 303
    assert arm(olga, password="wrong").status_code == 401


def test_session_when_confirmed_then_the_cookie_from_before_is_worth_nothing(person_of: Callable[[str], Any]) -> None:
    olga = person_of("olga")
    before = olga.client.get_cookie("tradebot")
    assert arm(olga, password=PASSWORD).status_code == 303
    assert olga.get("/").status_code == 200
    olga.client.set_cookie("tradebot", before.value)
    assert olga.get("/api/snapshot").status_code == 401


def test_session_when_idle_for_a_quarter_hour_or_twelve_hours_old_then_has_ended(
    person_of: Callable[[str], Any], clock: Callable[[int], None]
) -> None:
    olga = person_of("olga")
    clock(14)
    assert olga.get("/").status_code == 200
    clock(16)
    assert olga.get("/api/snapshot").status_code == 401
    olga = person_of("olga")
    for _ in range(72):
        clock(10)
        assert olga.get("/").status_code == 200
    clock(1)
    assert olga.get("/api/snapshot").status_code == 401
