"""A bus whose ledger is a real one: pages ask and order, and the ledger's own core, shell and file answer."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from bus.assembly import Setup
from bus.codec import CommandAnswer
from bus.commands import Outcome
from bus.halt import HaltRecord
from bus.messages import MICROS, NANOS, CashMoved, Message, OperatorRequest, OrderFilled, ReconcileNow
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.ledger.coa_utils_ledger import load_template
from services.ledger.provision import REQUEST_NAME
from services.ledger.shell import build

#: 2025-03-12T14:30:00Z.
AT_NS = 1_741_789_800_000_000_000


class BooksBus:
    """A running ledger without processes; `ordered` keeps the commands, `is_deaf` lets nobody answer.

    It lives in a thread of its own, as a service does in its process; pages may call from any thread.
    """

    def __init__(self, paths: HomePaths, identity: Identity) -> None:
        self._thread = ThreadPoolExecutor(1)
        self.ordered: list[OperatorRequest] = []
        self.is_deaf = False
        self._thread.submit(self._open, paths, identity).result()

    def _open(self, paths: HomePaths, identity: Identity) -> None:
        request = {"coa": load_template(), "currency_code": "USD"}
        (paths.control / REQUEST_NAME).write_bytes(msgspec.json.encode(request))
        self.assembly = build(Setup(paths=paths, env=parse(proposals()), identity=identity)).checked()
        self.state: Any = self.assembly.core.initial()
        self.assembly.shell.on_start(self.state, AT_NS)

    def hear(self, message: Message) -> None:
        """Let the ledger book a message of execution."""
        self._thread.submit(lambda: self.follow(self.decided(message))).result()

    def decided(self, message: Message) -> Sequence[Message]:
        return list(self.assembly.core.decide(self.state, message, AT_NS))

    def follow(self, events: Sequence[Message]) -> None:
        for event in events:
            self.assembly.shell.before_commit(event)
            self.state = self.assembly.core.evolve(self.state, event)

    def tell_halt(self, record: HaltRecord) -> None:
        raise AssertionError(record)

    def command(self, message: OperatorRequest, timeout_s: float) -> CommandAnswer | None:
        if self.is_deaf:
            return None
        if type(message).__name__ != "AskLedger":
            self.ordered.append(message)
        if isinstance(message, ReconcileNow):
            return CommandAnswer(message.command_id, is_done=True, detail="The broker was asked.")
        return self._thread.submit(self._answer, message, timeout_s).result()

    def _answer(self, message: OperatorRequest, timeout_s: float) -> CommandAnswer:
        outcome = self.assembly.on_request(message, self)
        until = time.monotonic() + timeout_s
        while not isinstance(outcome, Outcome):
            assert time.monotonic() < until
            time.sleep(0.001)
            outcome = outcome() or outcome
        return CommandAnswer(message.command_id, outcome.is_done, outcome.detail, outcome.body)

    def close(self) -> None:
        self._thread.submit(self.assembly.shell.close).result()
        self._thread.shutdown()


def booked(paths: HomePaths, identity: Identity) -> BooksBus:
    """Return a ledger with a deposit, a purchase, a sale with a gain, and a name that is markup."""
    bus = BooksBus(paths, identity)
    bus.hear(deposit("D1", 10_000))
    bus.hear(fill("E1", "BUY", 101_500_000))
    bus.hear(fill("E2", "SELL", 103_000_000))
    return bus


def deposit(activity: str, dollars: int) -> CashMoved:
    return CashMoved(
        ts_event=AT_NS,
        ts_init=AT_NS,
        activity_id=activity,
        kind="DEPOSIT",
        amount_micros=dollars * MICROS,
        broker="PAPER",
    )


def fill(execution: str, side: Any, price: int) -> OrderFilled:
    return OrderFilled(
        ts_event=AT_NS + (side == "SELL") * 3_600 * NANOS,
        ts_init=AT_NS + (side == "SELL") * 3_600 * NANOS,
        execution_id=execution,
        client_order_id=f"tb1-{execution}",
        broker_order_id="b1",
        intent_id="i1",
        leg="entry" if side == "BUY" else "exit",
        session_date="2025-03-12",
        strategy="open",
        symbol="AAPL",
        side=side,
        qty_nanos=10 * NANOS,
        price_micros=price,
        commission_micros=0,
        cumulative_qty_nanos=10 * NANOS,
        order_qty_nanos=10 * NANOS,
        broker="PAPER",
        reason="<script>alert(1)</script>",
    )
