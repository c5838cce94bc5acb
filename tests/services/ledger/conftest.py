"""What the ledger's tests share: a home, a request, messages, and the runtime's order of calls."""

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.assembly import Assembly, Setup
from bus.messages import NANOS, CashMoved, Message, OrderFilled
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.book import Book, open_book
from services.ledger.coa_utils_ledger import TEMPLATE_FILE, load_template
from services.ledger.core import LedgerCore, LedgerState
from services.ledger.provision import ProvisionRequest, create_ledger, ledger_path
from services.ledger.settings import LedgerSettings
from services.ledger.shell import build

sys.path.insert(0, str(Path(__file__).resolve().parent))

T0 = 1_700_000_000_000_000_000
CREATED = datetime(2025, 3, 12, 13, 0, tzinfo=UTC)


class Journal:
    """Drives an assembly as the runtime does; `events` is what was committed; `crash` drops a commit."""

    def __init__(self, assembly: Assembly[LedgerState], events: Sequence[Message] = ()) -> None:
        self.assembly = assembly
        self.events = list(events)
        self.state = assembly.core.initial()
        for event in self.events:
            self.state = assembly.core.evolve(self.state, event)
        assembly.shell.on_start(self.state, T0)

    def hear(self, message: Message, *, crash: bool = False) -> Sequence[Message]:
        answers = self.assembly.core.decide(self.state, message, T0 + 5)
        for event in answers:
            self.assembly.shell.before_commit(event)
            if crash:
                return answers
            self.events.append(event)
            self.state = self.assembly.core.evolve(self.state, event)
        return answers


@pytest.fixture
def identity() -> Identity:
    return Identity(
        entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
    )


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path / "h")
    for folder in (home.control, home.entities, home.state):
        folder.mkdir(parents=True)
    return home


@pytest.fixture
def setup(paths: HomePaths, identity: Identity) -> Setup:
    return Setup(paths=paths, env=parse(proposals()), identity=identity)


@pytest.fixture
def core() -> LedgerCore:
    return LedgerCore(LedgerSettings(broker_name="PAPER", settlement_days=0), "books")


@pytest.fixture
def ask(paths: HomePaths) -> Callable[..., Path]:
    """Leave a request as the web interface does; keywords replace its parts."""

    def leave(**parts: Any) -> Path:
        request = {"coa": msgspec.json.decode(TEMPLATE_FILE.read_bytes()), "currency_code": "USD", **parts}
        path = paths.control / "provision_ledger.json"
        path.write_bytes(msgspec.json.encode(request))
        return path

    return leave


@pytest.fixture
def ledger(paths: HomePaths, identity: Identity) -> Path:
    """A new, empty ledger."""
    path = ledger_path(paths, identity)
    create_ledger(path, identity, ProvisionRequest(coa=load_template(), currency_code="USD"), CREATED)
    return path


@pytest.fixture
def book(ledger: Path, identity: Identity) -> Iterator[Book]:
    opened = open_book(ledger, identity, may_write=True)
    yield opened
    opened.close()


@pytest.fixture
def start(setup: Setup) -> Iterator[Callable[..., Journal]]:
    """Start the service over what the journal holds; every one started is closed in the end."""
    started: list[Assembly[LedgerState]] = []

    def begin(events: Sequence[Message] = ()) -> Journal:
        assembly = build(setup)
        started.append(assembly)
        return Journal(assembly, events)

    yield begin
    for assembly in started:
        assembly.shell.close()


@pytest.fixture
def fill() -> Callable[..., OrderFilled]:
    """Make a fill; quantity in shares, price in dollars as text or int micros, time in seconds after T0."""
    count = iter(range(1, 1_000_000))

    def make(side: str, symbol: str, qty_nanos: int, price_micros: int, /, **changes: Any) -> OrderFilled:
        number = next(count)
        fields: dict[str, Any] = {
            "ts_event": T0 + number,
            "ts_init": T0 + number,
            "execution_id": f"PX-{number}",
            "client_order_id": f"tb1-{number}",
            "broker_order_id": f"PO-{number}",
            "intent_id": "intent-1",
            "leg": "entry" if side == "BUY" else "exit",
            "session_date": "2025-03-12",
            "strategy": "open",
            "symbol": symbol,
            "side": side,
            "qty_nanos": qty_nanos,
            "price_micros": price_micros,
            "commission_micros": 0,
            "cumulative_qty_nanos": qty_nanos,
            "order_qty_nanos": qty_nanos,
            "broker": "PAPER",
            "reason": "breakout",
        }
        return OrderFilled(**(fields | changes))

    return make


@pytest.fixture
def deposit() -> CashMoved:
    return CashMoved(
        ts_event=T0,
        ts_init=T0,
        activity_id="A-1",
        kind="DEPOSIT",
        amount_micros=100_000_000_000,
        broker="PAPER",
    )


@pytest.fixture
def day(fill: Callable[..., OrderFilled], deposit: CashMoved) -> list[Message]:
    """A deposit, two purchases of AAPL, a partial sale, one purchase of MSFT."""
    return [
        deposit,
        fill("BUY", "AAPL", 10 * NANOS, 100_000_000, commission_micros=350_000),
        fill("BUY", "AAPL", 10 * NANOS, 110_000_000),
        fill("SELL", "AAPL", 15 * NANOS, 120_000_000, commission_micros=20_000),
        fill("BUY", "MSFT", 2_500_000_000, 400_000_000),
    ]
