"""From other machines: over TLS through a proxy, or not at all; what that changes in cookies and headers."""

import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import waitress
from canaries import PASSWORD
from flask import Flask
from tls_proxy import TlsProxy, make_certificate
from waitress import wasyncore

from config.paths import HomePaths
from services.web import public_address, server
from services.web.app import create_app
from services.web.hub import StatusHub

NAME = "bot.example.org"
ORIGIN = f"https://{NAME}"
SECURE = {"base_url": ORIGIN, "environ_base": {"REMOTE_ADDR": "192.0.2.7"}}
PLAIN = {"base_url": f"http://{NAME}", "environ_base": {"REMOTE_ADDR": "192.0.2.7"}}


@pytest.fixture
def public(configured: HomePaths, hub: StatusHub) -> Flask:
    return create_app(configured, hub, origin=ORIGIN)


def log_in(client: Any, how: dict[str, Any]) -> Any:
    token = client.get("/login", **how).text.split('name="csrf_token" value="')[1].split('"')[0]
    fields = {"csrf_token": token, "name": "olga", "password": PASSWORD}
    return client.post("/login", data=fields, headers={"Origin": how["base_url"], "Referer": how["base_url"]}, **how)


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("http://bot.example.org", "without TLS the pages are for this machine alone"),
        ("bot.example.org", "it must be like"),
        ("https://", "a name and nothing after it"),
        ("https://bot.example.org/page", "nothing after it"),
        ("https://me@bot.example.org", "nothing after it"),
        ("https://bot.example.org:99999", "nothing after it"),
        ("https://127.0.0.1", "this machine itself"),
        ("https://localhost:8780", "this machine itself"),
    ],
)
def test_start_when_the_address_is_not_one_over_tls_then_says_so_and_returns_two(
    home: HomePaths, origin: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.main([], {"TRADEBOT_HOME": str(home.root), public_address.ORIGIN_VARIABLE: origin}) == 2
    said = capsys.readouterr().err
    assert words in said
    assert public_address.ORIGIN_VARIABLE in said


@pytest.mark.parametrize("origin", ["", "https://bot.example.org", "https://bot.example.org/", "https://bot:8443"])
def test_address_when_it_is_one_then_has_no_fault(origin: str) -> None:
    assert public_address.origin_fault(origin) is None


def test_cookies_when_over_tls_then_are_secure_and_tied_to_the_host(public: Flask) -> None:
    client = public.test_client()
    answer = log_in(client, SECURE)
    assert answer.status_code == 303
    cookies = {line.partition("=")[0]: line for line in answer.headers.getlist("Set-Cookie")}
    assert set(cookies) == {"__Host-tradebot", "__Host-tradebot_browser"}
    for cookie in cookies.values():
        for words in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
            assert words in cookie.split("; ")
        assert "Domain" not in cookie
    assert client.get("/", **SECURE).status_code == 200


def test_headers_when_over_tls_then_browsers_ask_for_nothing_else_for_a_year(public: Flask, person: Any) -> None:
    client = public.test_client()
    for path in ("/login", "/nope", "/static/theme.css", "/healthz"):
        answer = client.get(path, **SECURE)
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000", path
        answer.close()
    assert "Strict-Transport-Security" not in person.get("/login").headers, "it would bind a name that has no TLS"


def test_pages_when_another_machine_asks_without_tls_then_are_refused(public: Flask) -> None:
    client = public.test_client()
    answer = client.get("/login", **PLAIN)
    assert answer.status_code == 403
    assert "over TLS alone" in answer.text
    elsewhere = {"base_url": "http://127.0.0.1", "environ_base": {"REMOTE_ADDR": "192.0.2.7"}}
    assert client.get("/login", **elsewhere).status_code == 403
    assert client.post("/login", data={}, **PLAIN).status_code == 403


def test_pages_when_asked_under_another_name_then_are_refused_over_tls_too(public: Flask) -> None:
    assert public.test_client().get("/login", base_url="https://evil.example").status_code == 400


def test_pages_when_on_this_machine_then_need_no_tls_all_the_same(
    public: Flask, new_person: Callable[..., Any]
) -> None:
    person = new_person(public)
    assert person.log_in("olga").status_code == 303
    assert person.get("/").status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded", "Via"])
def test_pages_when_a_proxy_passes_on_that_nobody_expects_then_are_refused(person: Any, header: str) -> None:
    answer = person.client.get("/login", headers={header: "192.0.2.7"})
    assert answer.status_code == 403
    assert public_address.ORIGIN_VARIABLE in answer.text


def test_first_steps_when_through_the_proxy_then_are_refused(home: HomePaths, hub: StatusHub) -> None:
    client = create_app(home, hub, origin=ORIGIN).test_client()
    answer = client.get("/configuration", **SECURE)
    assert answer.status_code == 403
    assert "on the machine itself" in answer.text


# ---- with sockets


@pytest.fixture
def serve(configured: HomePaths, hub: StatusHub) -> Iterator[Callable[[str], int]]:
    """Start the pages as the program does, and return the port."""
    running = []

    def start(origin: str) -> int:
        app = create_app(configured, hub, origin=origin)
        made = waitress.create_server(app, host="127.0.0.1", port=0, threads=4, **server.server_options(origin))
        thread = threading.Thread(target=made.run, daemon=True)
        thread.start()
        running.append((made, thread))
        return int(made.effective_port)

    yield start
    for made, thread in running:
        made.pull_trigger = lambda: None
        made.trigger.pull_trigger(lambda made=made: wasyncore.close_all(made._map))
        thread.join(timeout=5)
        made.task_dispatcher.shutdown()


@pytest.fixture
def proxy_of(tmp_path: Path) -> Iterator[Callable[..., TlsProxy]]:
    made: list[TlsProxy] = []

    def start(port: int, **headers: str) -> TlsProxy:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        made.append(TlsProxy(make_certificate(tmp_path, NAME), port, named))
        return made[-1]

    yield start
    for proxy in made:
        proxy.close()


def ask(proxy: TlsProxy, folder: Path, path: str) -> tuple[int, Any, str]:
    trust = ssl.create_default_context(cafile=str(folder / f"{NAME}.pem"))
    request = urllib.request.Request(f"https://127.0.0.1:{proxy.port}{path}", headers={"Host": NAME})
    try:
        with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read().decode()


def test_proxy_when_it_ends_tls_then_the_pages_know_who_asks_and_that_it_is_secure(
    serve: Callable[[str], int], proxy_of: Callable[..., TlsProxy], tmp_path: Path
) -> None:
    proxy = proxy_of(serve(ORIGIN), X_Forwarded_Proto="https", X_Forwarded_For="192.0.2.7")
    code, headers, page = ask(proxy, tmp_path, "/login")
    assert code == 200
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["Set-Cookie"].startswith("__Host-tradebot=")
    assert "csrf_token" in page


@pytest.mark.parametrize("headers", [{}, {"X_Forwarded_For": "192.0.2.7"}, {"X_Forwarded_Proto": "http"}])
def test_proxy_when_it_does_not_say_that_tls_was_ended_then_is_refused(
    serve: Callable[[str], int], proxy_of: Callable[..., TlsProxy], tmp_path: Path, headers: dict[str, str]
) -> None:
    code, _, page = ask(proxy_of(serve(ORIGIN), **headers), tmp_path, "/login")
    assert code == 403
    assert "over TLS alone" in page


def test_proxy_when_no_address_is_set_then_is_refused(
    serve: Callable[[str], int], proxy_of: Callable[..., TlsProxy], tmp_path: Path
) -> None:
    proxy = proxy_of(serve(""), X_Forwarded_Proto="https", X_Forwarded_For="192.0.2.7")
    assert ask(proxy, tmp_path, "/login")[0] in {400, 403}


def test_server_when_it_listens_then_on_the_loopback_address_alone() -> None:
    assert public_address.is_loopback(server.HOST)
