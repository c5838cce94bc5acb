"""A home with three users, the application on it, and a person who clicks through it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from canaries import PASSWORD, SESSION_KEY
from flask import Flask
from werkzeug.test import TestResponse

from bus import messages as m
from bus.codec import CommandAnswer
from bus.halt import HaltRecord
from bus.keys import make_pairs
from config.env_bot import proposals
from config.identity import Identity
from config.paths import HomePaths
from config.users import Role, User, hash_password
from config.vault import Secrets, Vault
from services.web.app import create_app
from services.web.hub import StatusHub

TS = 1_741_786_200_000_000_000
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_HTML = {"Accept": "text/html"}


class Person:
    """One browser: keeps its cookies, and takes form tokens from the pages it reads."""

    password = PASSWORD

    def __init__(self, app: Flask, address: str = "127.0.0.1") -> None:
        self.client = app.test_client()
        self._environment = {"REMOTE_ADDR": address}

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.client.get(path, headers=_HTML, environ_base=self._environment, **kwargs)

    def token(self, path: str) -> str:
        found = _TOKEN.search(self.get(path).text)
        assert found, f"{path} has no form"
        return found[1]

    def post(self, path: str, data: dict[str, str] | None = None, *, form_on: str | None = None) -> TestResponse:
        fields = {"csrf_token": self.token(form_on or path), **(data or {})}
        return self.post_bare(path, fields)

    def post_bare(self, path: str, data: dict[str, str] | None = None, **headers: str) -> TestResponse:
        return self.client.post(path, data=data, headers={**_HTML, **headers}, environ_base=self._environment)

    def log_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        return self.post("/login", {"name": name, "password": password})


@pytest.fixture(scope="session")
def password_hash() -> str:
    return hash_password(PASSWORD, cost=4)


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path / "home")
    paths.make()
    return paths


@pytest.fixture
def hub() -> StatusHub:
    return StatusHub()


@pytest.fixture
def configured(home: HomePaths, password_hash: str) -> HomePaths:
    """A home whose first configuration is done, with a user for each role."""
    roles: dict[str, Role] = {"vera": "viewer", "olga": "operator", "adam": "admin"}
    Vault(home).provision(
        Secrets(
            generation=0,
            settings=proposals(),
            identity=Identity(
                entity_code="TBOT",
                jurisdiction_code="USA",
                account_name="main",
                broker_code="PAPER",
                bot_id="BOT01",
            ),
            users=tuple(User(name=name, password_hash=password_hash, role=role) for name, role in roles.items()),
            credentials={"web_session_key": SESSION_KEY},
            coa={},
            curve=make_pairs(),
        )
    )
    return home


class FakeBus:
    """Remembers what pages say, and answers every command with `answer`."""

    def __init__(self) -> None:
        self.halts: list[HaltRecord] = []
        self.commands: list[m.ResolveStream] = []
        self.answer: tuple[bool, str] | None = (True, "The stream goes on.")

    def tell_halt(self, record: HaltRecord) -> None:
        self.halts.append(record)

    def command(self, message: m.ResolveStream, timeout_s: float) -> CommandAnswer | None:
        assert timeout_s > 0
        self.commands.append(message)
        return CommandAnswer(message.command_id, *self.answer) if self.answer else None


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def app(configured: HomePaths, hub: StatusHub, bus: FakeBus) -> Flask:
    return create_app(configured, hub, bus=bus)


@pytest.fixture
def person(app: Flask) -> Person:
    return Person(app)


@pytest.fixture
def person_of(app: Flask) -> Callable[[str], Person]:
    """Make a logged-in person with the given user name."""

    def make(name: str) -> Person:
        made = Person(app)
        assert made.log_in(name).status_code == 303
        return made

    return make


@pytest.fixture
def new_person() -> Callable[..., Person]:
    return Person


@pytest.fixture
def say() -> Callable[..., m.Message]:
    """Build catalogue messages with plausible values, any of them replaced."""

    def fill(**changes: Any) -> m.OrderFilled:
        values: dict[str, Any] = {
            "execution_id": "e1",
            "client_order_id": "tb1-a",
            "broker_order_id": "b1",
            "intent_id": "i1",
            "leg": "entry",
            "session_date": "2025-03-12",
            "strategy": "open",
            "symbol": "AAPL",
            "side": "BUY",
            "qty_nanos": 10 * m.NANOS,
            "price_micros": 101_500_000,
            "commission_micros": 0,
            "cumulative_qty_nanos": 10 * m.NANOS,
            "order_qty_nanos": 20 * m.NANOS,
            "broker": "PAPER",
            "reason": "breakout",
        }
        return m.OrderFilled(ts_event=TS, ts_init=TS, **{**values, **changes})

    def portfolio(**changes: Any) -> m.PortfolioSnapshot:
        values: dict[str, Any] = {
            "session_date": "2025-03-12",
            "start_equity_micros": 100_000 * m.MICROS,
            "equity_micros": 99_500 * m.MICROS,
            "realized_micros": -600 * m.MICROS,
            "unrealized_micros": 100 * m.MICROS,
            "loss_limit_micros": 2_000 * m.MICROS,
            "allocated_micros": 12_500 * m.MICROS,
            "allocation_limit_micros": 50_000 * m.MICROS,
            "positions": (),
            "denied": (),
            "denied_total": 0,
            "ts_event": TS,
        }
        return m.PortfolioSnapshot(ts_init=TS, **{**values, **changes})

    def chain(**changes: Any) -> m.ChainStatus:
        values: dict[str, Any] = {
            "state": "ACTIVE",
            "bot_state": "TRADING",
            "stopped": "Nothing.",
            "goes_on": "Everything.",
            "detail": "",
            "session_date": "2025-03-12",
            "halt_counter": 0,
            "armed_by": "olga",
            "services": (),
        }
        return m.ChainStatus(ts_event=TS, ts_init=TS, **{**values, **changes})

    def denied(**changes: Any) -> m.OrderDenied:
        values: dict[str, Any] = {
            "intent_id": "i2",
            "session_date": "2025-03-12",
            "strategy": "open",
            "symbol": "MSFT",
            "side": "BUY",
            "rule": "max_spread",
            "value": "2.1 %",
            "limit": "1.5 %",
        }
        return m.OrderDenied(ts_event=TS, ts_init=TS, **{**values, **changes})

    def beat(**changes: Any) -> m.Heartbeat:
        values: dict[str, Any] = {
            "service": "execution",
            "build": "b",
            "boot_id": "one",
            "pid": 1,
            "step": 0,
            "state": "ready",
            "outbox_depth": 0,
            "oldest_unacked_ms": 0,
            "rejected_messages": 0,
        }
        return m.Heartbeat(ts_event=TS, ts_init=TS, **{**values, **changes})

    kinds: dict[str, Callable[..., m.Message]] = {
        "beat": beat,
        "fill": fill,
        "portfolio": portfolio,
        "chain": chain,
        "denied": denied,
    }
    return lambda kind, **changes: kinds[kind](**changes)
