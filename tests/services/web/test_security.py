"""Who may do what: form tokens, roles, headers, lock-out, sessions; looped over every route there is."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from canaries import PASSWORD
from flask import Flask

from bus.control import ControlFolder
from bus.halt import ControlState
from config.paths import HomePaths
from config.vault import Vault
from services.web import security
from services.web.app import create_app
from services.web.hub import StatusHub

PEOPLE = ("nobody", "vera", "olga", "adam")
#: (method, route) -> what nobody, viewer, operator and admin get, with a valid form token but an empty form.
MATRIX: dict[tuple[str, str], tuple[int, int, int, int]] = {
    ("GET", "/"): (303, 200, 200, 200),
    ("GET", "/api/snapshot"): (401, 200, 200, 200),
    ("GET", "/stream"): (401, 200, 200, 200),
    ("GET", "/login"): (200, 303, 303, 303),
    ("POST", "/login"): (401, 401, 401, 401),
    ("POST", "/logout"): (401, 303, 303, 303),
    ("POST", "/preferences"): (303, 303, 303, 303),
    ("GET", "/control/arm"): (303, 403, 200, 200),
    ("GET", "/control/stop"): (303, 403, 200, 200),
    ("GET", "/control/kill"): (303, 403, 200, 200),
    ("POST", "/control/arm"): (401, 403, 400, 400),
    ("POST", "/control/stop"): (401, 403, 400, 400),
    ("POST", "/control/kill"): (401, 403, 400, 400),
    ("GET", "/control/streams"): (303, 403, 200, 200),
    ("POST", "/control/streams"): (401, 403, 400, 400),
    ("GET", "/candidates"): (303, 200, 200, 200),
    ("GET", "/trades"): (303, 200, 200, 200),
    ("GET", "/trades.csv"): (303, 200, 200, 200),
    ("GET", "/orders/chain"): (303, 404, 404, 404),
    ("GET", "/books/journal"): (303, 503, 503, 503),
    ("GET", "/books/journal.csv"): (303, 303, 303, 303),
    ("GET", "/books/entry"): (303, 400, 400, 400),
    ("POST", "/books/entry"): (401, 403, 400, 400),
    ("GET", "/books/accounts"): (303, 503, 503, 503),
    ("POST", "/books/accounts"): (401, 403, 400, 400),
    ("GET", "/books/accounts/versions"): (303, 503, 503, 503),
    ("POST", "/books/accounts/export"): (401, 403, 400, 400),
    ("GET", "/books/reconciliation"): (303, 503, 503, 503),
    ("POST", "/books/reconciliation"): (401, 403, 400, 400),
    ("POST", "/books/reconciliation/suspense"): (401, 403, 400, 400),
    ("POST", "/books/reconciliation/activity"): (401, 403, 400, 400),
    ("GET", "/books/reports"): (303, 503, 503, 503),
    ("GET", "/books/reports.csv"): (303, 303, 303, 303),
    ("GET", "/alerts"): (303, 200, 200, 200),
    ("POST", "/alerts"): (401, 403, 400, 400),
    ("GET", "/logs"): (303, 200, 200, 200),
    ("GET", "/logs/lines"): (401, 200, 200, 200),
    ("GET", "/logs/download"): (303, 404, 404, 404),
    ("GET", "/test"): (303, 200, 200, 200),
    ("POST", "/test"): (401, 403, 400, 400),
    ("POST", "/test/stop"): (401, 403, 303, 303),
    ("GET", "/test/progress"): (401, 200, 200, 200),
    ("GET", "/test/log"): (303, 404, 404, 404),
    ("GET", "/going-live"): (303, 200, 200, 200),
    ("GET", "/help"): (303, 200, 200, 200),
    ("GET", "/settings"): (303, 403, 403, 200),
    ("GET", "/settings/history"): (303, 403, 403, 200),
    ("GET", "/settings/identity"): (303, 403, 403, 200),
    ("POST", "/settings/review"): (401, 403, 403, 409),
    ("POST", "/settings/edit"): (401, 403, 403, 409),
    ("POST", "/settings/save"): (401, 403, 403, 409),
    ("GET", "/credentials"): (303, 403, 403, 200),
    ("POST", "/credentials/<key>/test"): (401, 403, 403, 404),
    ("POST", "/credentials/<key>/replace"): (401, 403, 403, 404),
    ("POST", "/credentials/<key>/forget"): (401, 403, 403, 404),
    ("GET", "/backups"): (303, 403, 403, 200),
    ("POST", "/backups/verify/<what>"): (401, 403, 403, 404),
    ("POST", "/backups/verify-archive"): (401, 403, 403, 404),
    ("GET", "/books/files"): (303, 200, 200, 200),
    ("POST", "/books/files/<key>"): (401, 404, 404, 404),
    ("POST", "/backups/verify-secrets"): (401, 403, 403, 200),
    ("GET", "/account"): (303, 200, 200, 200),
    ("POST", "/account/password"): (401, 400, 400, 400),
    ("POST", "/account/second-factor"): (401, 401, 401, 401),
    ("POST", "/account/second-factor/confirm"): (401, 409, 409, 409),
    ("POST", "/account/second-factor/off"): (401, 401, 401, 401),
    ("POST", "/account/recovery-codes"): (401, 409, 409, 409),
    ("POST", "/account/sessions"): (401, 303, 303, 303),
    ("GET", "/users"): (303, 403, 403, 200),
    ("POST", "/users/add"): (401, 403, 403, 400),
    ("POST", "/users/role"): (401, 403, 403, 400),
    ("POST", "/users/disable"): (401, 403, 403, 409),
    ("POST", "/users/enable"): (401, 403, 403, 409),
    ("POST", "/users/password"): (401, 403, 403, 400),
    ("POST", "/users/second-factor-off"): (401, 403, 403, 409),
    ("POST", "/users/sessions"): (401, 403, 403, 303),
    ("GET", "/audit"): (303, 403, 403, 200),
    ("POST", "/audit/verify"): (401, 403, 403, 200),
    ("GET", "/audit/export.csv"): (303, 403, 403, 200),
    ("GET", "/audit/export.json"): (303, 403, 403, 200),
    ("GET", "/holdings"): (303, 200, 200, 200),
    ("POST", "/holdings/settings"): (401, 403, 422, 422),
    ("GET", "/holdings/run/<kind>"): (303, 403, 404, 404),
    ("POST", "/holdings/run/<kind>"): (401, 403, 404, 404),
    ("GET", "/holdings/pay/<purpose>"): (303, 403, 404, 404),
    ("POST", "/holdings/pay/<purpose>"): (401, 403, 404, 404),
    ("GET", "/holdings/report"): (303, 200, 200, 200),
    ("GET", "/holdings/movements.csv"): (303, 200, 200, 200),
    ("GET", "/holdings/report.<kind>"): (303, 404, 404, 404),
    ("GET", "/holdings/nights/<name>"): (303, 404, 404, 404),
    ("GET", "/registration"): (303, 303, 303, 303),
    ("POST", "/registration"): (409, 409, 409, 409),
    ("GET", "/configuration"): (303, 303, 303, 303),
    ("POST", "/configuration"): (409, 409, 409, 409),
    # Who is logged in is not asked: a token of the vault is, and none is set here.
    ("GET", "/metrics"): (403, 403, 403, 403),
    ("GET", "/healthz"): (200, 200, 200, 200),
    ("GET", "/static/<name>"): (200, 200, 200, 200),
    ("GET", "/vendor/<name>"): (404, 404, 404, 404),
}


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, rule.rule


def path_of(route: str) -> str:
    names = {"/static/<name>": "/static/theme.css", "/vendor/<name>": "/vendor/package.json"}
    for part, word in (("<key>", "nobody"), ("<what>", "nothing"), ("<suffix>", "exe"), ("<int:seq>", "1")):
        route = route.replace(part, word)
    return names.get(route, route)


def state_of(home: HomePaths) -> tuple[ControlState, int]:
    return ControlFolder(home).read(), Vault(home).generation()


def test_matrix_when_routes_are_listed_then_each_has_an_entry(app: Flask) -> None:
    assert set(routes(app)) == set(MATRIX)


@pytest.mark.parametrize("name", PEOPLE)
def test_routes_when_asked_by_each_role_then_answer_exactly_as_the_matrix_says(
    app: Flask, new_person: Callable[..., Any], name: str
) -> None:
    for (method, route), answers in MATRIX.items():
        person = new_person(app)
        token = person.token("/login")
        if name != "nobody":
            person.log_in(name)
            token = person.token("/")
        path = path_of(route)
        fields = {"csrf_token": token}
        answer = person.get(path) if method == "GET" else person.post_bare(path, fields)
        answer.close()
        assert answer.status_code == answers[PEOPLE.index(name)], (method, route)


def test_unsafe_routes_when_form_token_is_missing_or_wrong_then_refuse_and_change_nothing(
    app: Flask, person_of: Callable[[str], Any], configured: HomePaths, bus: Any
) -> None:
    ControlFolder(configured).raise_halt("web", "operator", "so that a stream may be resolved")
    before = state_of(configured)
    full = {"reason": "test", "word": "KILL", "password": PASSWORD, "halt_counter": "1"}
    full |= {"receiver": "execution", "sender": "risk", "action": "skip_message", "seq": "2"}
    for method, route in routes(app):
        if method == "GET" or route in {"/configuration", "/registration"}:
            continue
        for token in (None, "wrong", person_of("olga").token("/")):
            person = person_of("adam")
            fields = full if token is None else {**full, "csrf_token": token}
            answer = person.post_bare(path_of(route), fields)
            assert answer.status_code == 403, (route, token)
            assert person.get("/").status_code == 200, "still logged in"
    assert state_of(configured) == before
    assert (bus.halts, bus.commands) == ([], [])


def test_unsafe_routes_when_form_comes_from_another_site_then_refuse(
    person_of: Callable[[str], Any], configured: HomePaths
) -> None:
    person = person_of("adam")
    fields = {"csrf_token": person.token("/"), "reason": "x", "word": "KILL"}
    assert person.post_bare("/control/kill", fields, Origin="http://evil.example").status_code == 403
    assert ControlFolder(configured).read().halt_counter == 0
    assert person.post_bare("/control/kill", fields, Origin="http://localhost").status_code == 303


def test_state_when_asked_by_get_then_never_changes(
    app: Flask, person_of: Callable[[str], Any], configured: HomePaths
) -> None:
    before = state_of(configured)
    person = person_of("adam")
    for method, route in routes(app):
        if method == "GET":
            person.get(path_of(route)).close()
    assert state_of(configured) == before


@pytest.mark.parametrize(
    "path",
    ["/", "/login", "/nope", "/healthz", "/static/theme.css", "/api/snapshot", "/control/kill", "/control/streams"],
)
def test_headers_when_any_page_answers_then_are_exactly_these(person_of: Callable[[str], Any], path: str) -> None:
    headers = person_of("vera").get(path).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cache-Control"] == ("no-cache" if path.startswith("/static") else "no-store")


def test_fixed_file_when_asked_with_its_version_then_is_kept_for_good(person: Any) -> None:
    address = re.search(r"/static/theme\.css\?v=\w+", person.get("/login").text)
    assert address
    assert "immutable" in person.get(address[0]).headers["Cache-Control"]


def test_cookies_when_set_then_are_http_only_and_same_site_strict(person: Any) -> None:
    cookies = person.get("/login").headers.getlist("Set-Cookie")
    cookies += person.post("/preferences", {"theme": "dark"}, form_on="/login").headers.getlist("Set-Cookie")
    assert len(cookies) >= 2
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/vendor/../pyproject.toml",
        "/static//etc/passwd",
        "/vendor/bootstrap/package.json",
    ],
)
def test_fixed_files_when_path_climbs_then_are_not_found(person: Any, path: str) -> None:
    assert person.get(path).status_code == 404


def test_host_when_not_this_machine_then_is_refused(person: Any) -> None:
    answer = person.client.get("/login", base_url="http://evil.example")
    assert answer.status_code == 400
    assert "csrf_token" not in answer.text


def test_view_when_it_has_no_permission_then_answers_nobody(
    app: Flask, configured: HomePaths, hub: StatusHub, new_person: Callable[..., Any]
) -> None:
    fresh = create_app(configured, hub)
    fresh.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    person = new_person(fresh)
    person.log_in("adam")
    assert person.get("/forgotten").status_code == 403
    assert new_person(fresh).get("/forgotten").status_code == 403


def test_login_when_wrong_then_unknown_and_known_user_get_the_same_answer(
    app: Flask, new_person: Callable[..., Any]
) -> None:
    def answer_to(name: str) -> tuple[int, str]:
        answer = new_person(app).log_in(name, "wrong password")
        text = re.sub(r'value="[^"]*"', "", answer.text)
        return answer.status_code, text

    assert answer_to("adam") == answer_to("zzzz")


def test_login_when_wrong_five_times_then_even_the_right_password_waits_and_others_do_not(
    app: Flask, new_person: Callable[..., Any]
) -> None:
    person = new_person(app)
    assert [person.log_in("adam", "wrong").status_code for _ in range(6)] == [401] * 5 + [429]
    refused = person.log_in("adam")
    assert refused.status_code == 429
    assert "15 minutes" in refused.text
    assert new_person(app).log_in("olga").status_code == 303
    assert new_person(app, "127.0.0.9").log_in("adam").status_code == 303


def test_login_when_locked_then_no_password_is_hashed(app: Flask, person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(app.extensions["tradebot"], "authenticate", lambda name, _password: hashed.append(name))
    for _ in range(100):
        person.log_in("nobody-known", "wrong")
    assert len(hashed) == 5


def test_login_when_right_then_count_of_wrong_ones_starts_anew(app: Flask, new_person: Callable[..., Any]) -> None:
    for _ in range(3):
        person = new_person(app)
        assert [person.log_in("adam", "wrong").status_code for _ in range(4)] == [401] * 4
        assert person.log_in("adam").status_code == 303


def test_session_when_logged_out_then_the_old_cookie_is_worth_nothing(
    person_of: Callable[[str], Any],
) -> None:
    person = person_of("adam")
    cookie = person.client.get_cookie("tradebot")
    person.post("/logout", form_on="/")
    person.client.set_cookie("tradebot", cookie.value)
    assert person.get("/").location == "/login"
    assert person.get("/api/snapshot").status_code == 401


def test_session_when_logging_in_then_id_is_new(person: Any) -> None:
    before = person.client.get_cookie("tradebot")
    person.log_in("adam")
    first = person.client.get_cookie("tradebot")
    assert before != first


def test_session_when_user_is_removed_or_changes_role_then_next_request_knows(
    person_of: Callable[[str], Any], configured: HomePaths
) -> None:
    import msgspec

    adam, olga = person_of("adam"), person_of("olga")
    vault = Vault(configured)
    secrets = vault.open()
    users = tuple(msgspec.structs.replace(user, role="viewer") for user in secrets.users if user.name != "adam")
    vault.replace(msgspec.structs.replace(secrets, users=users), secrets.generation)
    assert adam.get("/").location == "/login"
    assert olga.get("/control/kill").status_code == 403


def test_vault_when_damaged_then_page_says_which_file(person_of: Callable[[str], Any], configured: HomePaths) -> None:
    person = person_of("adam")
    (configured.secrets / "CURRENT").write_text("nonsense")
    answer = person.get("/")
    assert answer.status_code == 503
    assert "CURRENT does not name a generation" in answer.text


def test_page_when_it_fails_then_shows_no_trace(
    app: Flask, person_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    person = person_of("vera")

    def fail() -> None:
        raise RuntimeError("S3cretCanary")

    monkeypatch.setattr(app.extensions["tradebot"].hub, "snapshot", fail)
    answer = person.get("/api/snapshot")
    assert answer.status_code == 500
    assert "S3cretCanary" not in answer.text
    assert "Traceback" not in answer.text


def test_form_when_larger_than_a_mebibyte_then_is_refused(person: Any) -> None:
    fields = {"csrf_token": person.token("/login"), "name": "x" * 1_100_000}
    assert person.post_bare("/login", fields).status_code in {403, 413}


def test_permissions_when_listed_then_each_role_has_exactly_these() -> None:
    viewer = {"look", "export"}
    operator = viewer | {"control", "holdings", "books"}
    admin = operator | {"settings", "credentials", "users", "audit", "backups"}
    assert {"viewer": viewer, "operator": operator, "admin": admin} == security.PERMISSIONS
