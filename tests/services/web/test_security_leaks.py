"""What must not get out: headers on every answer, rights of every file, and secrets in no file, log or page."""

import logging
import re
import stat
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from canaries import PASSWORD
from flask import Flask

from bus.clock import NS_PER_SECOND, utc_ns
from config.paths import HomePaths
from config.vault import Vault
from services.web import security
from services.web.audit_log import AuditFilter, AuditLog

NEW = "vixen lemur cobalt CANARY"
FIRST = "first words of an admin CANARY"


def paths_of(app: Flask) -> list[str]:
    known = {"/static/<name>": "/static/theme.css", "/vendor/<name>": "/vendor/nothing.js"}
    rules = [rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    return [known.get(rule) or re.sub(r"<[^>]+>", "1", rule) for rule in rules]


@pytest.mark.parametrize("name", ["nobody", "vera", "adam"])
def test_headers_when_any_route_answers_then_are_on_every_answer_and_exactly_these(
    app: Flask, new_person: Callable[..., Any], name: str
) -> None:
    person = new_person(app)
    if name != "nobody":
        person.log_in(name)
    answers = [(path, person.get(path)) for path in [*paths_of(app), "/no/such/page", "/console", "/static/none.css"]]
    answers.append(("POST without a token", person.post_bare("/control/kill", {"word": "KILL"})))
    answers.append(("a method that is not there", person.client.put("/login")))
    for path, answer in answers:
        assert {key: answer.headers.get(key) for key in security.HEADERS} == security.HEADERS, path
        kept = answer.headers["Cache-Control"]
        assert kept == "no-store" or path.startswith(("/static", "/vendor")), path
        assert "Server" not in answer.headers
        answer.close()
    assert dict(answers)["/console"].status_code == 404, "there is no debugger"


def test_state_when_asked_for_by_get_then_only_exports_leave_a_row(
    app: Flask, person_of: Callable[[str], Any], configured: HomePaths
) -> None:
    adam = person_of("adam")
    before = Vault(configured).generation(), len(AuditLog(configured).rows(AuditFilter()))
    for path in paths_of(app):
        adam.get(path).close()
    rows = AuditLog(configured).rows(AuditFilter())
    assert Vault(configured).generation() == before[0]
    added = {row.action for row in rows[: len(rows) - before[1]]}
    assert [action for action in added if not action.endswith(("exported", "_downloaded"))] == []


@pytest.fixture
def busy_day(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> tuple[set[str], list[str]]:
    """Go through everything that has to do with secrets; return the secrets and every page that was answered."""
    caplog.set_level(logging.DEBUG)
    adam, ida = person_of("adam"), new_person(app)
    pages: list[str] = []

    def keep(answer: Any) -> str:
        pages.append(answer.text)
        return str(answer.text)

    fields = {"name": "ida", "role": "operator", "new_password": FIRST, "password": PASSWORD}
    keep(adam.post("/users/add", {**fields, "new_password": "CANARYshort"}, form_on="/users"))
    keep(adam.post("/users/add", fields, form_on="/users"))
    keep(ida.log_in("ida", f"{FIRST} wrong"))
    keep(ida.log_in("ida", FIRST))
    change = {"password": FIRST, "new_password": NEW, "new_password_again": NEW}
    keep(ida.post("/account/password", {**change, "new_password_again": "CANARYother"}, form_on="/account"))
    keep(ida.post("/account/password", change, form_on="/account"))
    shown = ida.post("/account/second-factor", form_on="/account").text
    secret = re.findall(r"type the key: <code>(\w+)</code>", shown)[0]
    code = pyotp.TOTP(secret).at(utc_ns() // NS_PER_SECOND)
    # The key and the codes are shown once, on purpose: these two pages are not looked at.
    codes = ida.post("/account/second-factor/confirm", {"new_totp_code": code}, form_on="/account").text
    recovery = re.findall(r"<li><code>([a-z2-7-]+)</code></li>", codes)
    again = new_person(app)
    keep(again.post("/login", {"name": NEW, "password": ""}))
    keep(again.post("/login", {"name": "ida", "password": NEW, "totp_code": recovery[0]}))
    keep(again.post("/control/stop", {"reason": f"with {NEW} and {secret}", "password": NEW}))
    for path in paths_of(app):
        if path != "/stream":
            keep(adam.get(path))
            keep(again.get(path))
    sid = again.client.get_cookie("tradebot").value
    kept = app.extensions["tradebot"].secrets()
    bus = {pair.secret for pair in kept.curve.values()}
    hashes = {user.password_hash for user in kept.users}
    return {FIRST, NEW, secret, *recovery, sid, kept.credentials["web_session_key"], *bus, *hashes}, pages


def test_secrets_when_a_day_was_busy_then_are_in_no_file_no_log_and_on_no_page(
    busy_day: tuple[set[str], list[str]], configured: HomePaths, caplog: pytest.LogCaptureFixture
) -> None:
    secrets, pages = busy_day
    secrets |= {path.read_text().strip() for path in configured.keys.rglob("*.key")}
    assert len(secrets) > 20
    files = [path for path in configured.root.rglob("*") if path.is_file()]
    for secret in secrets:
        found = [path.name for path in files if secret.encode() in path.read_bytes() and path.suffix != ".key"]
        assert found == [], "a file holds a secret"
        assert secret not in caplog.text, "the log holds a secret"
        assert not any(secret in page for page in pages), "a page holds a secret"
    assert not any("CANARYshort" in text or "CANARYother" in text for text in [caplog.text, *pages])


def test_files_when_a_day_was_busy_then_belong_to_the_owner_alone(
    busy_day: tuple[set[str], list[str]], configured: HomePaths
) -> None:
    private = [configured.audit, configured.keys, configured.secrets, configured.secrets_backups, configured.run]
    found = [path for folder in private for path in (folder, *folder.rglob("*"))]
    found += [configured.state / name for name in ("audit_head.json", "web_codes.json") if name]
    open_to_others = [path.name for path in found if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []
