"""What an intruder tries: old cookies, guessing, two first configurations at once, climbing paths, nonsense."""

import random
import re
import string
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import bcrypt
import pytest
from canaries import PASSWORD
from flask import Flask

from bus.clock import utc_ns
from config.bootstrap_token import BootstrapToken
from config.env_bot import proposals
from config.paths import HomePaths
from config.users import hash_password, verify_password
from config.vault import Vault
from services.web import security
from services.web.app import create_app
from services.web.hub import StatusHub

NEW = "vixen lemur cobalt"
FUZZ_REQUESTS = 5000


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, rule.rule


# ---- old cookies


def log_out(person: Any, _adam: Any) -> None:
    person.post("/logout", form_on="/")


def change_password(person: Any, _adam: Any) -> None:
    fields = {"password": PASSWORD, "new_password": NEW, "new_password_again": NEW}
    assert person.post("/account/password", fields, form_on="/account").status_code == 303


def confirm(person: Any, _adam: Any) -> None:
    fields = {"reason": "x", "halt_counter": "0", "password": PASSWORD}
    assert person.post("/control/arm", fields).status_code == 303


def be_disabled(_person: Any, adam: Any) -> None:
    assert adam.post("/users/disable", {"name": "olga", "password": PASSWORD}, form_on="/users").status_code == 303


def get_password(_person: Any, adam: Any) -> None:
    fields = {"name": "olga", "password": PASSWORD, "new_password": NEW}
    assert adam.post("/users/password", fields, form_on="/users").status_code == 303


def be_ended(_person: Any, adam: Any) -> None:
    adam.post("/users/sessions", {"name": "olga"}, form_on="/users")


@pytest.mark.parametrize("event", [log_out, change_password, confirm, be_disabled, get_password, be_ended])
def test_cookie_when_it_is_from_before_an_event_then_opens_nothing_any_more(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any], event: Callable[[Any, Any], None]
) -> None:
    olga, adam = person_of("olga"), person_of("adam")
    stolen = olga.client.get_cookie("tradebot").value
    event(olga, adam)
    thief = new_person(app)
    thief.client.set_cookie("tradebot", stolen)
    assert thief.get("/api/snapshot").status_code == 401
    assert thief.get("/account").location == "/login"


def test_password_when_changed_by_the_command_then_open_sessions_end(
    person_of: Callable[[str], Any], configured: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.web import verbs

    adam, olga = person_of("adam"), person_of("olga")
    answers = iter((NEW, NEW))
    monkeypatch.setattr("builtins.input", lambda _prompt: "adam")
    monkeypatch.setattr(verbs, "getpass", lambda _prompt: next(answers))
    assert verbs.reset_user(configured) == 0
    assert adam.get("/api/snapshot").status_code == 401
    assert olga.get("/api/snapshot").status_code == 200
    assert adam.log_in("adam", NEW).status_code == 303


def test_command_when_the_password_is_weak_or_the_user_unknown_then_nothing_is_changed(
    configured: HomePaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from services.web import verbs

    for name, typed, words in (("adam", ("short",), "at least 15"), ("ghost", (NEW, NEW), "no such user")):
        answers = iter(typed)
        monkeypatch.setattr("builtins.input", lambda _prompt, name=name: name)
        monkeypatch.setattr(verbs, "getpass", lambda _prompt, answers=answers: next(answers))
        assert verbs.reset_user(configured) == 1
        assert words in capsys.readouterr().err
    assert Vault(configured).generation() == 1


# ---- guessing


def test_guesses_when_from_the_same_address_then_lock_out_no_browser_that_knew_the_password(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any]
) -> None:
    adam, thief = person_of("adam"), new_person(app)
    adam.post("/logout", form_on="/")
    assert [thief.log_in("adam", "wrong").status_code for _ in range(6)] == [401] * 5 + [429]
    assert adam.log_in("adam").status_code == 303, "the only administrator gets in from his own browser"
    assert new_person(app).log_in("adam").status_code == 429, "a new one waits"


def test_guesses_when_made_with_a_known_browser_then_are_limited_as_well(person_of: Callable[[str], Any]) -> None:
    adam = person_of("adam")
    adam.post("/logout", form_on="/")
    assert [adam.log_in("adam", "wrong").status_code for _ in range(6)] == [401] * 5 + [429]


def test_browser_when_known_for_one_user_then_counts_for_no_other(
    app: Flask, person_of: Callable[[str], Any], new_person: Callable[..., Any]
) -> None:
    olga, thief = person_of("olga"), new_person(app)
    olga.post("/logout", form_on="/")
    for _ in range(6):
        thief.log_in("adam", "wrong")
    assert olga.log_in("adam", "wrong").status_code == 429
    forged = new_person(app)
    forged.client.set_cookie(security.DEVICE_COOKIE, '{"user":"adam","id":"x"}')
    assert forged.log_in("adam").status_code == 429


def test_answer_when_the_user_is_unknown_then_is_the_same_as_for_a_known_one(
    app: Flask, new_person: Callable[..., Any]
) -> None:
    known, unknown = (new_person(app).log_in(name, "wrong") for name in ("adam", "ghost"))
    assert known.status_code == unknown.status_code == 401

    def shape(answer: Any, name: str) -> str:
        token = answer.text.split('name="csrf_token" value="')[1].split('"')[0]
        return str(answer.text.replace(token, "").replace(name, ""))

    assert shape(known, "adam") == shape(unknown, "ghost")
    assert set(known.headers.keys()) == set(unknown.headers.keys())


def test_log_in_when_refused_for_any_reason_then_one_hash_is_checked(
    app: Flask, new_person: Callable[..., Any], person_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"name": "olga", "password": PASSWORD}
    assert person_of("adam").post("/users/disable", fields, form_on="/users").status_code == 303
    checked: list[bytes] = []
    really = bcrypt.checkpw

    def counted(password: bytes, stored: bytes) -> bool:
        checked.append(stored)
        return really(password, stored)

    monkeypatch.setattr("config.users.bcrypt.checkpw", counted)
    tries = {"ghost": "wrong", "adam": "wrong", "olga": PASSWORD, "": "", "Not A Name": "wrong", "a" * 500: "b" * 2000}
    for number, (name, password) in enumerate(tries.items(), start=1):
        assert new_person(app, f"127.0.1.{number}").log_in(name, password).status_code == 401
        assert len(checked) == number, name


def test_log_ins_when_a_hundred_are_wrong_then_five_hashes_are_checked(
    app: Flask, new_person: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes] = []
    monkeypatch.setattr("config.users.bcrypt.checkpw", lambda _password, stored: checked.append(stored) or False)
    thief = new_person(app)
    codes = [thief.log_in("adam", f"wrong {number}").status_code for number in range(100)]
    assert codes == [401] * 5 + [429] * 95
    assert len(checked) == 5


def test_hash_when_of_fewer_rounds_than_usual_then_is_made_anew_at_the_log_in(
    app: Flask, new_person: Callable[..., Any], configured: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.users.BCRYPT_COST", 5)
    monkeypatch.setattr("services.web.site.hash_password", lambda password: hash_password(password, cost=5))
    adam = new_person(app)
    assert adam.log_in("adam", "wrong").status_code == 401
    assert Vault(configured).generation() == 1, "only who knows the password has it made anew"
    assert adam.log_in("adam").status_code == 303
    assert adam.get("/").status_code == 200, "the session is of the new hash"
    users = {user.name: user for user in Vault(configured).open().users}
    assert users["adam"].password_hash.startswith("$2b$05$")
    assert verify_password(PASSWORD, users["adam"].password_hash)
    assert users["olga"].password_hash.startswith("$2b$04$")
    assert new_person(app).log_in("adam").status_code == 303
    assert Vault(configured).generation() == 2


# ---- the first configuration


def test_first_configuration_when_several_race_then_one_is_kept_and_the_others_are_refused(
    home: HomePaths, hub: StatusHub, new_person: Callable[..., Any]
) -> None:
    app = create_app(home, hub)
    token = BootstrapToken(home, utc_ns).issue()
    identity = {"entity_code": "T1", "jurisdiction_code": "USA", "account_name": "main", "bot_id": "B1"}
    fields = {**proposals(), **identity, "broker_code": "PAPER", "bootstrap_token": token}
    people = [new_person(app) for _ in range(4)]
    forms = [{**fields, "bot_id": f"B{n}", "csrf_token": p.token("/")} for n, p in enumerate(people)]
    codes: dict[int, int] = {}

    def save(number: int) -> None:
        codes[number] = people[number].post_bare("/configuration", forms[number]).status_code

    threads = [threading.Thread(target=save, args=(number,)) for number in range(len(people))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for number, code in codes.items() if code == 303]
    assert set(codes.values()) <= {303, 409, 410, 422}
    assert Vault(home).open().identity.bot_id == f"B{winner}"


def test_first_configuration_when_from_another_machine_then_is_refused_with_the_right_token_too(
    home: HomePaths, hub: StatusHub, new_person: Callable[..., Any]
) -> None:
    token = BootstrapToken(home, utc_ns).issue()
    stranger = new_person(create_app(home, hub), "192.0.2.1")
    assert stranger.get("/configuration").status_code == 403
    assert stranger.post_bare("/configuration", {"bootstrap_token": token}).status_code == 403
    assert not Vault(home).is_provisioned()


# ---- climbing paths

CLIMBS = [
    f"{up * times}{target}"
    for up in ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "....//", "..%252f", "%c0%ae%c0%ae/", "..;/")
    for times in (1, 3, 8)
    for target in ("etc/passwd", "storage/keys/g000001.key")
]


@pytest.mark.parametrize("folder", ["/static/", "/vendor/"])
def test_file_routes_when_a_path_climbs_then_give_nothing(
    person_of: Callable[[str], Any], configured: HomePaths, folder: str
) -> None:
    assert len(CLIMBS) == 60
    adam, key = person_of("adam"), (configured.keys / "g000001.key").read_text().strip()
    for climb in CLIMBS:
        answer = adam.get(folder + climb)
        assert answer.status_code in {301, 303, 308, 400, 404}, climb
        assert "root:" not in answer.text
        assert key not in answer.text


#: Every other route that finds a file by what somebody asks for.
BY_NAME = (
    *("/logs?file=", "/logs/lines?file=", "/logs/download?file=", "/candidates?list="),
    *("/holdings/nights/", "/holdings/report.", "/holdings/run/"),
)
POSTED = (("/backups/verify-archive", "name"), ("/backups/verify/", ""), ("/books/files/", ""), ("/credentials/", ""))


def test_routes_that_find_a_file_by_name_when_a_path_climbs_then_give_nothing(
    person_of: Callable[[str], Any], configured: HomePaths
) -> None:
    adam, key = person_of("adam"), (configured.keys / "g000001.key").read_text().strip()
    token = adam.token("/")
    for climb in (*CLIMBS, "/etc/passwd", str(configured.keys / "g000001.key")):
        answers = [adam.get(f"{route}{climb}") for route in BY_NAME]
        for route, field in POSTED:
            fields = {"csrf_token": token, field: climb} if field else {"csrf_token": token}
            answers.append(adam.post_bare(route if field else f"{route}{climb}", fields))
        for answer in answers:
            assert answer.status_code in {200, 301, 303, 308, 400, 404, 405}, (answer.request.path, climb)
            text = answer.get_data(as_text=True)
            assert "root:" not in text
            assert key not in text
            answer.close()


# ---- nonsense

NASTY = [
    "",
    "\0",
    "'",
    '"><script>alert(1)</script>',
    "{{7*7}}",
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "9" * 400,
    "-1",
    "NaN",
    "1e999",
    "é" * 50,
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "%00",
    "\r\nSet-Cookie: x=1",
    "true",
    "[]",
    "null",
    "a" * 5000,
]
FIELDS = [
    *(
        "name",
        "password",
        "totp_code",
        "new_totp_code",
        "new_password",
        "new_password_again",
        "role",
        "session",
        "reason",
    ),
    *("word", "halt_counter", "receiver", "sender", "action", "seq", "theme", "who", "what", "text", "since", "until"),
    *("before", "bootstrap_token", "users", "generation"),
]


def test_requests_when_five_thousand_are_nonsense_then_none_breaks_a_page(
    app: Flask, person_of: Callable[[str], Any], configured: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is tried here is what pages make of their input: the hash of each password would only take time.
    before, adam, chance = Vault(configured).open(), person_of("adam"), random.Random(20250312)
    monkeypatch.setattr(app.extensions["tradebot"], "authenticate", lambda _name, _password: None)
    token, found = adam.token("/"), list(routes(app))
    skipped = {"/stream", "/logout"}
    sent = 0
    while sent < FUZZ_REQUESTS:
        method, route = chance.choice(found)
        if route in skipped:
            continue
        noise = "".join(chance.choices(string.printable, k=chance.randint(0, 30)))
        fields = {name: chance.choice([*NASTY, noise]) for name in chance.sample(FIELDS, chance.randint(0, 6))}
        part = quote(chance.choice([*NASTY[1:7], "theme.css"]), safe="")
        path = re.sub(r"<[^>]+>", lambda _found, part=part: part, route)
        if method == "GET":
            answer = adam.get(path, query_string=fields)
        else:
            answer = adam.post_bare(path, {"csrf_token": token, **fields})
        # 503 is an answer in words: a service that a page asks is not there in this test.
        assert answer.status_code != 500, (method, path, fields)
        assert "Traceback" not in answer.get_data(as_text=True), (method, path, fields)
        answer.close()
        sent += 1
    assert Vault(configured).open() == before
