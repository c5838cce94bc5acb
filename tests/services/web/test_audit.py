"""What goes into the audit log: who, from where, by which request; every log-in and command; never a secret."""

from collections.abc import Callable
from typing import Any

import pytest
from canaries import PASSWORD, SESSION_KEY
from flask import Flask

from config.paths import HomePaths
from services.web.audit_log import AuditFilter, AuditLog, Row

ARM = {"reason": "morning check done", "halt_counter": "0"}


@pytest.fixture
def rows(configured: HomePaths) -> Callable[[], list[Row]]:
    """Return every row, oldest first."""
    return lambda: AuditLog(configured).rows(AuditFilter())[::-1]


def shown(row: Row) -> tuple[str, str, str, str]:
    return row.actor, row.address, row.request, row.action


def test_log_in_when_wrong_right_locked_and_out_then_each_is_a_row(
    app: Flask, new_person: Callable[..., Any], rows: Callable[[], list[Row]]
) -> None:
    person = new_person(app, "127.0.0.5")
    person.log_in("adam", "wrong")
    person.log_in("adam")
    person.post("/logout", form_on="/")
    for _ in range(6):
        person.log_in("nobody-known", "wrong")
    assert [shown(row) for row in rows()] == [
        ("adam", "127.0.0.5", "POST /login", "login_refused"),
        ("adam", "127.0.0.5", "POST /login", "logged_in"),
        ("adam", "127.0.0.5", "POST /logout", "logged_out"),
        *[("nobody-known", "127.0.0.5", "POST /login", "login_refused")] * 5,
        ("nobody-known", "127.0.0.5", "POST /login", "login_locked"),
    ]


def test_commands_when_given_then_each_is_a_row_with_its_reason(
    person_of: Callable[[str], Any], rows: Callable[[], list[Row]]
) -> None:
    olga = person_of("olga")
    olga.post("/control/arm", {**ARM, "password": PASSWORD})
    olga.post("/control/stop", {"reason": "lunch"})
    olga.post("/control/kill", {"reason": "it smokes", "word": "KILL"})
    found = rows()
    assert [row.action for row in found] == ["logged_in", "confirmed", "armed", "stop_requested", "kill_pressed"]
    assert [row.after for row in found[2:]] == ["morning check done", "lunch", "it smokes"]
    assert {row.actor for row in found} == {"olga"}


def test_record_when_a_text_holds_a_secret_then_it_is_masked(
    app: Flask, person_of: Callable[[str], Any], rows: Callable[[], list[Row]], configured: HomePaths
) -> None:
    olga = person_of("olga")
    olga.post("/control/stop", {"reason": f"the key is {SESSION_KEY} and my password {PASSWORD}", "password": PASSWORD})
    assert rows()[-1].after == "the key is [secret] and my password [secret]"
    assert PASSWORD.encode() not in AuditLog(configured).path.read_bytes()


def test_log_when_it_cannot_be_written_then_arming_is_refused_and_a_halt_is_not(
    person_of: Callable[[str], Any], configured: HomePaths
) -> None:
    olga = person_of("olga")
    (configured.state / "audit_head.json").write_bytes(b"torn")
    refused = olga.post("/control/arm", {**ARM, "password": PASSWORD})
    assert refused.status_code == 503
    assert "head of the audit log" in refused.text
    assert olga.post("/control/kill", {"reason": "it smokes", "word": "KILL"}).status_code == 303


def test_record_when_written_outside_of_a_request_then_says_command(app: Flask, rows: Callable[[], list[Row]]) -> None:
    app.extensions["tradebot"].audit.record("users_listed", "all", after="x" * 5000)
    (row,) = rows()
    assert shown(row) == ("nobody", "this machine", "command", "users_listed")
    assert len(row.after) == 4000
