"""A server on 127.0.0.1 that answers as Finnhub does and keeps what it was asked; a clock that only sleep moves."""

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from bus.keys import make_pairs
from config.credentials import FINNHUB_KEY
from config.env_bot import proposals
from config.identity import Identity
from config.paths import HomePaths
from config.vault import Secrets, Vault
from services.screener.call_budget import CallBudget
from services.screener.finnhub_api import FinnhubApi

KEY = "canary0f1nnhubkey"
UTC_S = 1_790_000_000
SECOND = 1_000_000_000


class StillTime:
    """A clock that moves when somebody sleeps; `on_sleep` may do more."""

    def __init__(self) -> None:
        self.ns = UTC_S * SECOND
        self.slept: list[float] = []

    def utc_ns(self) -> int:
        return self.ns

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ns += round(seconds * SECOND)


class Answer(NamedTuple):
    """What the server says. `missing_bytes`: how much of what Content-Length promises does not come."""

    body: bytes = b"{}"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "application/json; charset=utf-8"
    missing_bytes: int = 0
    is_silent: bool = False


class Asked(NamedTuple):
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


def said(value: Any, status: int = 200, **headers: str) -> Answer:
    names = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Answer(json.dumps(value).encode(), status, names)


class FinnhubServer:
    """Answers by path, such as "quote"; by "quote AAPL" for one name; a list is used up, its last answer stays."""

    def __init__(self, answers: dict[str, Answer | list[Answer]] | None = None) -> None:
        self.answers: dict[str, Answer | list[Answer]] = dict(answers or {})
        self.asked: list[Asked] = []
        self.before: Callable[[Asked], None] = lambda _asked: None
        self._closing = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner._answer(self)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{self.root}/api/v1"

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def names_asked(self, path: str) -> list[str]:
        return [one.query["symbol"][0] for one in self.asked if one.path.endswith(path)]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        asked = Asked(parts.path, parse_qs(parts.query), dict(handler.headers.items()))
        self.asked.append(asked)
        self.before(asked)
        answer = self._choose(asked)
        if answer.is_silent:
            self._closing.wait(30)
            return
        handler.send_response(answer.status)
        handler.send_header("Content-Type", answer.kind)
        handler.send_header("Content-Length", str(len(answer.body) + answer.missing_bytes))
        for name, text in answer.headers:
            handler.send_header(name, text)
        handler.end_headers()
        handler.wfile.write(answer.body)

    def _choose(self, asked: Asked) -> Answer:
        name = re.sub(r"^/(?:api/v1|v2)/+", "", asked.path)
        symbol = asked.query.get("symbol", [""])[0]
        found = self.answers.get(f"{name} {symbol}", self.answers.get(name))
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found if found is not None else Answer(b"no such page", 404, kind="text/html")


def api_of(server: FinnhubServer, time: StillTime, *, key: str = KEY, silence_s_max: float = 5.0) -> FinnhubApi:
    budget = CallBudget(60, 30, now_ns=time.utc_ns, sleep=time.sleep)
    return FinnhubApi(key, budget, utc_ns=time.utc_ns, sleep=time.sleep, url=server.url, silence_s_max=silence_s_max)


def provision(paths: HomePaths, *, key: str = KEY, more: dict[str, str] | None = None, **settings: str) -> None:
    """Configure a home, with a Finnhub API key unless it is empty, and with more credentials."""
    Vault(paths).provision(
        Secrets(
            generation=0,
            settings=proposals() | {"UNIVERSE_SOURCE": "finnhub"} | settings,
            identity=Identity(
                entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
            ),
            users=(),
            credentials={**({FINNHUB_KEY: key} if key else {}), **(more or {})},
            coa={},
            curve=make_pairs(),
        )
    )
