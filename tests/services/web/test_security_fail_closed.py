"""A check that breaks refuses: whatever part of who-may-do-what fails, nobody gets in and nothing is changed."""

from collections.abc import Callable
from typing import Any

import pytest
from canaries import PASSWORD
from flask import Flask

from bus.control import ControlFolder
from config.paths import HomePaths
from config.vault import Vault, VaultError
from services.web import control_web, public_address, security
from services.web.sessions import SessionBook
from services.web.site import Site

#: Every check on the way to a page, and to what changes something: whose, and its name.
CHECKS: list[tuple[Any, str]] = [
    (public_address, "refuse_plain"),
    (security, "_refuse_foreign_origin"),
    (security, "permission_of"),
    (security, "may"),
    (Site, "phase"),
    (Site, "user_of"),
    (Site, "secrets"),
    (SessionBook, "owner_of"),
]
#: Those of what needs the password again.
CHECKS_OF_CHANGES: list[tuple[Any, str]] = [
    *CHECKS,
    (security, "may_try_password"),
    (Site, "authenticate"),
    (Site, "has_second_factor"),
    (SessionBook, "confirm"),
    (control_web, "reason_refusal"),
]


def breaks(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, error: type[Exception]) -> None:
    def broken(*_arguments: Any, **_named: Any) -> Any:
        raise error("broken on purpose")

    monkeypatch.setattr(where, name, broken)


def asked(request: Callable[[], Any]) -> tuple[int, str]:
    """Return status and text; where even the page of the error breaks, the server says 500 and no more."""
    try:
        answer = request()
    except (RuntimeError, VaultError, KeyError, OSError):
        return 500, ""
    found = answer.status_code, answer.get_data(as_text=True)
    answer.close()
    return found


@pytest.mark.parametrize("error", [RuntimeError, VaultError, KeyError, OSError])
@pytest.mark.parametrize(("where", "name"), CHECKS, ids=[name for _, name in CHECKS])
def test_pages_when_a_check_breaks_then_nobody_sees_one(
    app: Flask,
    person_of: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    error: type[Exception],
) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    adam = person_of("adam")
    breaks(monkeypatch, where, name, error)
    for path in ("/users", "/audit", "/api/snapshot", "/stream"):
        code, text = asked(lambda path=path: adam.get(path))
        assert code in {401, 403, 500, 503}, path
        assert "<table" not in text, path


@pytest.mark.parametrize(("where", "name"), CHECKS_OF_CHANGES, ids=[name for _, name in CHECKS_OF_CHANGES])
def test_changes_when_a_check_breaks_then_nothing_is_changed(
    app: Flask,
    person_of: Callable[[str], Any],
    configured: HomePaths,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    adam = person_of("adam")
    token, before = adam.token("/"), (ControlFolder(configured).read(), Vault(configured).open())
    breaks(monkeypatch, where, name, RuntimeError)
    fields = {"csrf_token": token, "password": PASSWORD, "reason": "x", "halt_counter": "0", "name": "olga"}
    for path in ("/control/arm", "/users/disable"):
        code, _ = asked(lambda path=path: adam.post_bare(path, fields | {"role": "viewer"}))
        is_of_arming_alone = (where, name) == (control_web, "reason_refusal") and path == "/users/disable"
        assert code in {401, 403, 500, 503} or is_of_arming_alone, (path, code)
    after = ControlFolder(configured).read(), Vault(configured).open()
    assert after[0] == before[0]
    assert after[1].settings == before[1].settings


def test_log_in_when_a_check_breaks_then_no_session_is_opened(
    app: Flask, new_person: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    for where, name in ((security, "may_try_password"), (Site, "authenticate"), (Site, "has_second_factor")):
        person = new_person(app)
        with monkeypatch.context() as patched:
            breaks(patched, where, name, RuntimeError)
            assert person.log_in("adam").status_code == 500
        assert person.get("/api/snapshot").status_code == 401
