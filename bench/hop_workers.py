"""Three hops through four processes, twice: the real Runner with its store on each hop, and raw PUSH/PULL.

A tick's time of birth travels as its `ts_event`; the last process writes the age of what reached it into an array that
all processes share. For the bus that is the moment after execution's synced commit, when the order goes to the broker.
"""

import os
import sqlite3
import struct
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import zmq
from link_workers import bus_sockets
from workers import serve

from bus.assembly import Assembly, Setup
from bus.clock import boot_ns
from bus.codec import Greet, Hello, StepMark, Welcome, decode_frame, encode_frame, encode_message
from bus.decider import Shell
from bus.endpoints import Endpoints
from bus.keys import KeyRing
from bus.messages import (
    MICROS,
    NANOS,
    Bar,
    BarBatch,
    MarketMessage,
    Message,
    OrderPrepared,
    Reason,
    ServiceName,
    SignalRaised,
    StatusMessage,
    SubmitOrder,
)
from bus.runner import Runner
from bus.sockets import BusSockets
from bus.testing import a_signal
from bus.transport import TOPIC_MARKET
from config.env_bot import parse, proposals
from config.identity import Identity
from config.logs import set_up_logs
from config.paths import HomePaths
from config.vault import CurvePair

TICKS: Final = "ticks"
#: Asks for the ages, in the newest round of ticks, at which execution had decided and nothing was synced yet.
DECIDED: Final = "decided"
#: The ages of the newest ticks in nanoseconds, at the tick's number modulo the size; where decisions are noted as well,
#: their ages are in the second half.
Ages = Any
AGES_MAX: Final = 4096
_REPEAT_MS: Final = 250
_BATCH: Final = 64
_NONCE: Final = "bench"
_HEAD: Final = struct.Struct("<qq184x")  # number, time of birth, and padding to 200 bytes
_IDENTITY: Final = Identity(
    entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)
_REASON: Final = Reason(rule="breakout", value="close 101.20", threshold="101.10", passed=True)


class HopCore:
    """Passes a tick on as a signal, a signal as an order, an order as an intent; keeps nothing."""

    def initial(self) -> None:
        """Return no state."""

    def observe(self, state: None, data: MarketMessage) -> None:
        """Keep nothing."""

    def decide(self, state: None, message: Message, now_ns: int) -> Sequence[Message]:
        """Return the message that the next service waits for."""
        match message:
            case BarBatch():
                return (_signal(message),)
            case SignalRaised():
                return (_order(message),)
            case SubmitOrder():
                return (_intent(message),)
            case _:
                return ()

    def evolve(self, state: None, event: Message) -> None:
        """Keep nothing."""

    def settle(self, state: None, now_ns: int) -> Sequence[Message]:
        """Return nothing."""
        return ()

    def snapshot(self, state: None, now_ns: int) -> Sequence[StatusMessage]:
        """Return nothing."""
        return ()


class DeafHopCore(HopCore):
    """A hop that hears market data, as risk and execution do, and decides nothing on it."""

    def decide(self, state: None, message: Message, now_ns: int) -> Sequence[Message]:
        """Return the message that the next service waits for, market data excepted."""
        return () if isinstance(message, BarBatch) else super().decide(state, message, now_ns)


class ArrivalShell(Shell[None]):
    """Notes the age of each intent when it is decided, and once it is on disk: when the broker would hear of it."""

    def __init__(self, ages: Ages) -> None:
        self._ages = ages

    def before_commit(self, event: Message) -> None:
        """Note the age in the second half of the ages."""
        if isinstance(event, OrderPrepared):
            self._ages[AGES_MAX + int(event.intent_id) % AGES_MAX] = boot_ns() - event.ts_event

    def after_commit(self, state: None, event: Message, now_ns: int) -> Sequence[Message]:
        """Note the age at the tick's number, which is in the intent's id."""
        if isinstance(event, OrderPrepared):
            self._ages[int(event.intent_id) % AGES_MAX] = boot_ns() - event.ts_event
        return ()


def run_hop(_connection: Connection, name: ServiceName, home: Path, pairs: dict[str, CurvePair], ages: Ages) -> None:
    """Be strategy, risk or execution: the process's own loop, store and log, with a core that passes on."""
    paths = HomePaths(home)
    set_up_logs(name, "JSON", paths.logs)
    core = HopCore() if name == "strategy" else DeafHopCore()
    shell = ArrivalShell(ages) if name == "execution" else Shell[None]()
    setup = Setup(paths=paths, env=parse(proposals()), identity=_IDENTITY)
    runner = Runner(name, setup, BusSockets(KeyRing.of(name, pairs), Endpoints(paths)))
    runner.start(lambda _setup: Assembly(core=core, shell=shell))
    # The log goes to stderr as well, as in the real process; here it would run over the table.
    os.dup2(os.open(home / f"{name}.err", os.O_WRONLY | os.O_CREAT, 0o600), 2)
    runner.run()


def run_ticks(connection: Connection, home: Path, pairs: dict[str, CurvePair], ages: Ages) -> None:
    """Be the screener: publish a tick, wait for execution's mark of that step as the real feed does, then the next."""
    sockets = bus_sockets("screener", home, pairs)
    bar = Bar("SPY", 100 * MICROS, 101 * MICROS, 99 * MICROS, 100 * MICROS, 1_000 * NANOS)
    step = 0

    def tick() -> float:
        nonlocal step
        step += 1
        ages[step % AGES_MAX] = 0
        marked = 0
        while marked < step:
            now = boot_ns()
            sockets.publish(TOPIC_MARKET, encode_message(BarBatch.of((bar,), ts_event=now, ts_init=now, step=step)))
            while marked < step and sockets.wait(_REPEAT_MS):
                marked = max([marked, *_marks(sockets)])
        return float(ages[step % AGES_MAX]) / 1000

    decided: list[float] = []

    def ticks(count: int) -> list[float]:
        decided.clear()
        on_disk = []
        for _ in range(count):
            age = tick()
            if age > 0:
                on_disk.append(age)
                decided.append(float(ages[AGES_MAX + step % AGES_MAX]) / 1000)
        return on_disk

    serve(connection, {TICKS: ticks, DECIDED: lambda _count: decided})


def _marks(sockets: BusSockets) -> list[int]:
    """Return the steps that execution says are finished; agree with whatever it says of its stream."""
    steps = []
    for item in sockets.received(_BATCH):
        match decode_frame(item.payload):
            case StepMark() as mark:
                steps.append(mark.step)
            case Hello() as hello:
                answer = Welcome(_NONCE, 0) if hello.nonce == _NONCE else Greet(_NONCE)
                sockets.answer(item.routing_id, encode_frame(answer))
            case _:
                continue
    return steps


def pass_bare(_connection: Connection, heard: str, told: str, ages: Ages | None, file: Path | None = None) -> None:
    """Pass bytes on; the last process of the chain, which has `ages`, notes each age before it does.

    With a `file`, the others commit the bytes to it before they pass them on: one row, in SQLite's log, not synced.
    """
    keep = _keeper(file) if file and ages is None else None
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    inbox, outbox = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    inbox.bind(heard)
    outbox.connect(told)
    while True:
        payload = inbox.recv()
        if ages is not None:
            number, born = _HEAD.unpack(payload)
            ages[number % AGES_MAX] = boot_ns() - born
        if keep is not None:
            keep(payload)
        outbox.send(payload)


def _keeper(file: Path) -> Callable[[bytes], None]:
    """Return what commits some bytes as cheaply as SQLite can beside readers."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("CREATE TABLE kept (id INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT")

    # Outside a transaction each statement is one.
    def keep(payload: bytes) -> None:
        db.execute("INSERT INTO kept (payload) VALUES (?)", (payload,))

    return keep


def run_bare_ticks(connection: Connection, first: str, back: str, ages: Ages) -> None:
    """Send 200 bytes into the bare chain and wait until the last process says that they arrived."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    outbox, inbox = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    inbox.bind(back)
    outbox.connect(first)

    def tick(number: int) -> float:
        outbox.send(_HEAD.pack(number, boot_ns()))
        inbox.recv()
        return float(ages[number % AGES_MAX]) / 1000

    serve(connection, {TICKS: lambda count: [tick(number) for number in range(count)]})


def _signal(data: BarBatch) -> SignalRaised:
    return a_signal(str(data.step), data.ts_event, data.ts_event, (_REASON,))


def _order(signal: SignalRaised) -> SubmitOrder:
    return SubmitOrder(
        ts_event=signal.ts_event,
        ts_init=signal.ts_event,
        intent_id=signal.signal_id,
        session_date=signal.session_date,
        strategy=signal.strategy,
        symbol=signal.instrument,
        side="BUY",
        qty_nanos=10 * NANOS,
        order_type="LIMIT",
        limit_micros=signal.reference_micros,
        reference_micros=signal.reference_micros,
        trail_bps=signal.trail_bps,
        expires_ns=signal.expires_ns,
        cancel_at_ns=signal.expires_ns,
        exit_at_ns=signal.exit_at_ns,
        reason="breakout",
    )


def _intent(order: SubmitOrder) -> OrderPrepared:
    return OrderPrepared(
        ts_event=order.ts_event,
        ts_init=order.ts_event,
        client_order_id=f"tb1-{order.intent_id}",
        intent_id=order.intent_id,
        leg="entry",
        attempt=1,
        session_date=order.session_date,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        qty_nanos=order.qty_nanos,
        order_type=order.order_type,
        limit_micros=order.limit_micros,
        stop_micros=0,
        trail_bps=order.trail_bps,
        expires_ns=order.expires_ns,
        cancel_at_ns=order.cancel_at_ns,
        exit_at_ns=order.exit_at_ns,
        reason=order.reason,
    )
