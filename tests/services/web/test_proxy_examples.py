"""The examples of docs/security.md for nginx and Caddy: what they say, and, where one is installed, what it does.

They are put into a configuration as they stand there; the rest of it is what an operator has anyway: a certificate, and
here a port that anybody may open.
"""

import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import waitress
from tls_proxy import make_certificate
from waitress import wasyncore

from bus import messages as m
from bus.processes import free_port
from config.paths import HomePaths
from services.web import server
from services.web.app import create_app
from services.web.hub import StatusHub

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAME = "bot.example.org"
PASSWORD = "correct horse battery"
#: Where programs for root lie on Debian, whatever the PATH of who tests.
PLACES = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
NGINX = re.search(r"^    location / \{\n.*?^    \}\n", PAGE, re.MULTILINE | re.DOTALL)
CADDY = re.search(r"^    bot\.example\.org \{\n.*?^    \}\n", PAGE, re.MULTILINE | re.DOTALL)


def test_examples_when_read_then_pass_on_who_asks_by_which_scheme_and_under_which_name() -> None:
    assert NGINX
    assert CADDY
    for line in (
        "proxy_set_header Host $host;",
        # Set, not added to: an address that somebody claims must not arrive.
        "proxy_set_header X-Forwarded-For $remote_addr;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_buffering off;",
    ):
        assert line in NGINX[0]
    # Caddy does all of that by itself.
    assert CADDY[0].split() == ["bot.example.org", "{", "reverse_proxy", "127.0.0.1:8780", "}"]


@pytest.fixture
def served(configured: HomePaths, hub: StatusHub) -> Iterator[int]:
    """Serve the pages as the program does, on a port of their own."""
    origin = f"https://{NAME}"
    app = create_app(configured, hub, origin=origin)
    made = waitress.create_server(app, host="127.0.0.1", port=0, threads=8, **server.server_options(origin))
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield int(made.effective_port)
    hub.close()
    made.pull_trigger = lambda: None
    made.trigger.pull_trigger(lambda: wasyncore.close_all(made._map))
    thread.join(timeout=5)
    made.task_dispatcher.shutdown()


def _nginx(folder: Path, behind: int, certificate: Path) -> tuple[list[str], int]:
    assert NGINX
    port = free_port()
    bodies = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off; {bodies}\n"
        f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate};\n"
        f"{NGINX[0].replace('8780', str(behind))}}} }}\n"
    )
    return ["nginx", "-e", "stderr", "-c", str(folder / "nginx.conf")], port


def _caddy(folder: Path, behind: int, _certificate: Path) -> tuple[list[str], int]:
    assert CADDY
    port = free_port()
    told = f"{{\n local_certs\n skip_install_trust\n admin off\n https_port {port}\n auto_https disable_redirects\n}}\n"
    (folder / "Caddyfile").write_text(told + CADDY[0].replace("8780", str(behind)))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")], port


class Asker:
    """A browser on another machine, as far as a proxy can tell."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, str] = {}
        # What the proxies show here is signed by nobody.
        self._trust = ssl._create_unverified_context()

    def ask(self, path: str, *, body: str = "", name: str = NAME) -> http.client.HTTPResponse:
        """Ask for a page under a name; cookies are kept."""
        line = http.client.HTTPSConnection(name, self._port, context=self._trust, timeout=30)
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        line.sock = self._trust.wrap_socket(plain, server_hostname=NAME)
        said = {"Host": name, "Cookie": "; ".join(f"{key}={value}" for key, value in self._cookies.items())}
        if body:
            said |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{NAME}"}
            said["Referer"] = f"https://{NAME}{path}"
        line.request("POST" if body else "GET", path, body=body or None, headers=said)
        answer = line.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            key, _, rest = cookie.partition("=")
            self._cookies[key] = rest.partition(";")[0]
        return answer


@pytest.fixture
def proxy(tmp_path: Path, served: int) -> Iterator[Callable[[str], Asker | None]]:
    """Start a proxy with its example, where it is installed."""
    running: list[subprocess.Popen[bytes]] = []

    def start(kind: str) -> Asker | None:
        program = shutil.which(kind, path=PLACES)
        if program is None:
            return None
        folder = tmp_path / kind
        folder.mkdir()
        make = {"nginx": _nginx, "caddy": _caddy}[kind]
        command, port = make(folder, served, make_certificate(folder, NAME))
        with (folder / "log").open("wb") as log:
            homes = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
            running.append(subprocess.Popen([program, *command[1:]], stdout=log, stderr=log, env=homes))
        asker = Asker(port)
        end = time.monotonic() + 30
        while True:
            try:
                asker.ask("/healthz").read()
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            else:
                return asker
            assert running[-1].poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_proxy_when_it_has_the_example_then_pages_are_secure_and_the_stream_is_live(
    proxy: Callable[[str], Asker | None], hub: StatusHub, say: Callable[..., m.Message], kind: str
) -> None:
    asker = proxy(kind)
    if asker is None:
        # What it is told was looked at above; CI has both.
        return
    page = asker.ask("/login")
    assert page.status == 200
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    token = page.read().decode().split('name="csrf_token" value="')[1].split('"')[0]
    answer = asker.ask("/login", body=f"csrf_token={token}&name=olga&password={PASSWORD.replace(' ', '+')}")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    for cookie in answer.headers.get_all("Set-Cookie") or []:
        assert cookie.startswith("__Host-")
        assert {"Secure", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    stream = asker.ask("/stream")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    _read_until(stream, b"event: ")
    # A proxy that keeps the stream back would never pass this on: nothing follows it.
    hub.publish(say("fill", symbol="LIVE"))
    _read_until(stream, b"LIVE")
    assert b"csrf_token" not in asker.ask("/login", name="other.example.org").read()
    assert asker.ask("/metrics").status == 403
    stream.close()


def _read_until(stream: Any, words: bytes) -> None:
    heard = b""
    while words not in heard:
        heard += stream.readline()
