"""Processes for the halt bench: every service as it is, but risk approves several orders on every quote."""

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import zmq

from bus.assembly import Assembly, Setup
from bus.decider import Core
from bus.endpoints import Endpoints
from bus.keys import KeyRing
from bus.messages import (
    MICROS,
    NANOS,
    MarketMessage,
    Message,
    Quote,
    QuoteBatch,
    ServiceName,
    SessionPlanned,
    StatusMessage,
    SubmitOrder,
)
from bus.processes import ROOT
from bus.runner import Runner
from bus.sockets import BusSockets
from config.env_bot import parse
from config.logs import set_up_logs
from config.paths import HomePaths
from config.vault import CurvePair
from replay.local import BUILDERS
from replay.session import DEMO_IDENTITY
from services.risk.core import RiskState

#: Orders on one batch of quotes, and which of them is priced to fill: one in so many.
ORDERS_AT_ONCE: Final = 6
FILLS_ONE_IN: Final = 60
_QTY_NANOS: Final = NANOS
_TRAIL_BPS: Final = 2_000
_CENT_MICROS: Final = MICROS // 100


class FloodingCore(Core[RiskState]):
    """Risk's own core, which besides approves orders that no signal asked for while the chain is armed.

    Most are priced three percent below the market and so stay open; a few are priced to fill, and so leave positions
    with stops.

    Args:
        core: risk's.
    """

    def __init__(self, core: Core[RiskState]) -> None:
        self._core = core

    def initial(self) -> RiskState:
        """Return risk's first state."""
        return self._core.initial()

    def observe(self, state: RiskState, data: MarketMessage) -> RiskState:
        """Fold market data as risk does."""
        return self._core.observe(state, data)

    def decide(self, state: RiskState, message: Message, now_ns: int) -> Sequence[Message]:
        """Decide as risk does, and approve more."""
        events = self._core.decide(state, message, now_ns)
        standing, plan = state.day.standing, state.day.plan
        is_open = standing.is_armed and not standing.is_halted and plan is not None and now_ns < plan.flatten_ns
        if not isinstance(message, QuoteBatch) or plan is None or not is_open or not message.quotes:
            return events
        # The cheapest name: the account must not be what ends the flood.
        quote = min(message.quotes, key=lambda quote: (quote.ask_micros or 1 << 62, quote.symbol))
        numbers = range(ORDERS_AT_ONCE * message.step, ORDERS_AT_ONCE * (message.step + 1))
        return [*events, *(_order(number, quote, plan, now_ns) for number in numbers)]

    def evolve(self, state: RiskState, event: Message) -> RiskState:
        """Fold an event as risk does."""
        return self._core.evolve(state, event)

    def settle(self, state: RiskState, now_ns: int) -> Sequence[Message]:
        """Settle as risk does."""
        return self._core.settle(state, now_ns)

    def snapshot(self, state: RiskState, now_ns: int) -> Sequence[StatusMessage]:
        """Show what risk shows."""
        return self._core.snapshot(state, now_ns)


def run_service_of_bench(
    _connection: Connection, name: ServiceName, home: Path, pairs: dict[str, CurvePair], settings: dict[str, str]
) -> None:
    """Be one service of the chain, in the process's own loop; risk floods."""
    paths = HomePaths(home)
    set_up_logs(name, "JSON", paths.logs)
    os.dup2(os.open(home / f"{name}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    setup = Setup(paths=paths, env=parse(settings), identity=DEMO_IDENTITY)
    runner = Runner(name, setup, BusSockets(KeyRing.of(name, pairs), Endpoints(paths)))
    runner.start(_builder(name))
    runner.run()


def _builder(name: ServiceName) -> Callable[[Setup], Assembly[Any]]:
    if name == "watchdog":
        return _watchdog_build()
    build = BUILDERS[name]
    if name != "risk":
        return build

    def build_flooding(setup: Setup) -> Assembly[Any]:
        assembly = build(setup)
        return replace(assembly, core=FloodingCore(assembly.core))

    return build_flooding


def _watchdog_build() -> Callable[[Setup], Assembly[Any]]:
    # supervisor/ is no package: the PyPI package of that name must win.
    spec = importlib.util.spec_from_file_location("watchdog_bot", ROOT / "supervisor" / "watchdog_bot.py")
    if spec is None or spec.loader is None:
        raise ImportError("supervisor/watchdog_bot.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def build(setup: Setup) -> Assembly[Any]:
        # A home that is made for a trial has no secrets, and nobody to tell.
        built: Assembly[Any] = module.assembled(setup, module.Attendants(ballast=module.Ballast(setup.paths)))
        return built

    return build


def _order(number: int, quote: Quote, plan: SessionPlanned, now_ns: int) -> SubmitOrder:
    fills = number % FILLS_ONE_IN == 0
    # Execution sends no entry that is more than 5 % from the market.
    price = quote.ask_micros * 104 // 100 if fills else quote.bid_micros * 97 // 100
    return SubmitOrder(
        ts_event=now_ns,
        ts_init=now_ns,
        intent_id=f"flood-{number}",
        session_date=plan.session_date,
        strategy="open",
        symbol=quote.symbol,
        side="BUY",
        qty_nanos=_QTY_NANOS,
        order_type="LIMIT",
        limit_micros=max(_CENT_MICROS, price // _CENT_MICROS * _CENT_MICROS),
        reference_micros=quote.ask_micros,
        trail_bps=_TRAIL_BPS,
        expires_ns=plan.flatten_ns,
        cancel_at_ns=plan.flatten_ns,
        exit_at_ns=plan.flatten_ns,
        reason="flood",
    )


def hear_bare(_connection: Connection, publisher: str, collector: str) -> None:
    """Be one bare listener: answer each broadcast with as many bytes."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    inbox, outbox = context.socket(zmq.SUB), context.socket(zmq.PUSH)
    inbox.setsockopt(zmq.SUBSCRIBE, b"")
    inbox.connect(publisher)
    outbox.connect(collector)
    while True:
        outbox.send(inbox.recv())
