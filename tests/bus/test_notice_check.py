"""One letter as a test: by the way that is asked for, with typed credentials or kept ones; each failure in words."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from canaries import SESSION_KEY

from bus.keys import make_pairs
from bus.notice_check import check
from bus.processes import ROOT, free_port
from config.connection_check import Question
from config.env_bot import proposals
from config.paths import HomePaths
from config.vault import Secrets, Vault
from replay.session import DEMO_IDENTITY

KEPT = {"smtp_user": "", "smtp_password": ""}


def home_with(folder: Path, credentials: dict[str, str], **settings: str) -> HomePaths:
    paths = HomePaths(folder)
    paths.make()
    Vault(paths).provision(
        Secrets(
            generation=0,
            settings={**proposals(), **settings},
            identity=DEMO_IDENTITY,
            users=(),
            credentials={"web_session_key": SESSION_KEY, **credentials},
            coa={},
            curve=make_pairs(),
        )
    )
    return paths


@pytest.fixture
def hook() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    posted: list[tuple[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((self.path, json.loads(body)))
            self.send_response(204 if "right" in self.path else 403)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()
    server.server_close()
    thread.join()


def test_webhook_when_it_takes_the_letter_then_in(hook: tuple[str, list[tuple[str, Any]]], tmp_path: Path) -> None:
    url, posted = hook
    answer = check(Question(provider="webhook"), home_with(tmp_path, {"webhook_url": f"{url}/right/canary"}))
    assert answer.is_in
    assert DEMO_IDENTITY.bot_identity in posted[0][1]["text"]
    assert "canary" not in answer.words[0]


def test_webhook_when_a_typed_one_refuses_then_said_without_its_address(
    hook: tuple[str, list[tuple[str, Any]]], tmp_path: Path
) -> None:
    url, posted = hook
    paths = home_with(tmp_path, {"webhook_url": f"{url}/right"})
    answer = check(Question(provider="webhook", keys={"webhook_url": f"{url}/wrong/canary"}), paths)
    assert not answer.is_in
    assert answer.words == ("Not sent: the webhook at 127.0.0.1 answered 403.",)
    assert [path for path, _ in posted] == ["/wrong/canary"]


def test_mail_when_the_server_takes_it_then_in(tmp_path: Path) -> None:
    class Box:
        def __init__(self) -> None:
            self.mails: list[str] = []

        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            self.mails.append(envelope.content.decode())
            return "250 taken"

    box = Box()
    port = free_port()
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        settings = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_SECURITY": "NONE"}
        people = {"SMTP_FROM": "bot@example.org", "SMTP_TO": "ann@example.org"}
        answer = check(Question(provider="mail"), home_with(tmp_path, KEPT, **settings, **people))
    finally:
        server.stop()
    assert answer.is_in, answer.words
    assert "a test of notices" in box.mails[0]


@pytest.mark.parametrize(
    ("provider", "says"), [("mail", "SMTP_HOST is empty"), ("webhook", "no webhook"), ("pigeon", "no way 'pigeon'")]
)
def test_way_when_there_is_none_then_says_what_to_do(tmp_path: Path, provider: str, says: str) -> None:
    answer = check(Question(provider=provider), home_with(tmp_path, {}))
    assert not answer.is_in
    assert says in answer.words[0]


def test_process_when_asked_then_answers_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bus.notice_check"],
        cwd=ROOT,
        env={**os.environ, "TRADEBOT_HOME": str(home_with(tmp_path, {}).root)},
        input=b'{"provider": "mail"}',
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["is_in"] is False
