"""The two ends of one stream, each in a process of its own: the real Runner, Courier and Store over bad sockets."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from bus.assembly import Assembly, Setup
from bus.decider import Shell
from bus.endpoints import Endpoints
from bus.keys import KeyRing
from bus.messages import (
    MarketMessage,
    Message,
    OrderDenied,
    Reason,
    ServiceName,
    SignalRaised,
    StatusMessage,
)
from bus.runner import Runner
from bus.sockets import BusSockets
from bus.testing import a_signal
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from config.vault import CurvePair

SENDER: Final[ServiceName] = "strategy"
RECEIVER: Final[ServiceName] = "risk"
#: Messages that are made in one transaction.
_MADE_AT_ONCE: Final = 250
_IDENTITY: Final = Identity(
    entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
)
_REASON: Final = Reason(rule="breakout", value="close 101.20", threshold="101.10", passed=True)


class OutOfOrderError(Exception):
    """The receiver was given another message than the next one."""


class LossySockets(BusSockets):
    """The real sockets, which lose and double what is sent and answered.

    Args:
        ring: as for BusSockets.
        endpoints: as for BusSockets.
        rng: what decides.
        loss: the share that is lost, in both directions.
        doubling: the share that is sent twice.
    """

    def __init__(
        self, ring: KeyRing, endpoints: Endpoints, *, rng: random.Random, loss: float, doubling: float
    ) -> None:
        super().__init__(ring, endpoints)
        self._rng = rng
        self._loss = loss
        self._doubling = doubling

    def send(self, peer: ServiceName, payload: bytes) -> bool:
        """Send it, twice, or not at all; the sender cannot tell."""
        has_gone = True
        for _ in range(self._copies()):
            has_gone = super().send(peer, payload) and has_gone
        return has_gone

    def answer(self, routing_id: bytes, payload: bytes) -> None:
        """Answer it, twice, or not at all."""
        for _ in range(self._copies()):
            super().answer(routing_id, payload)

    def _copies(self) -> int:
        if self._rng.random() < self._loss:
            return 0
        return 2 if self._rng.random() < self._doubling else 1


class More(Message, frozen=True, kw_only=True):
    """The shell's report that there is room for more messages; it is never sent."""


class CountingCore:
    """Makes signals 1, 2, 3 ... up to a number, and remembers in its journal how far it came.

    Args:
        total: the last number.
    """

    def __init__(self, total: int) -> None:
        self._total = total

    def initial(self) -> int:
        """Return that nothing was made or taken."""
        return 0

    def observe(self, state: int, _data: MarketMessage) -> int:
        """Keep nothing."""
        return state

    def decide(self, state: int, message: Message, _now_ns: int) -> Sequence[Message]:
        """Make the next signals; take the one signal that is the next."""
        match message:
            case More():
                return [_signal(n) for n in range(state + 1, min(state + _MADE_AT_ONCE, self._total) + 1)]
            case SignalRaised():
                return [_taken(message)]
            case _:
                return ()

    def evolve(self, state: int, event: Message) -> int:
        """Count.

        Raises:
            OutOfOrderError: a message is not the next one.
        """
        match event:
            case SignalRaised():
                number = int(event.signal_id)
            case OrderDenied():
                number = int(event.intent_id)
            case _:
                return state
        if number != state + 1:
            raise OutOfOrderError(f"message {number} after {state}")
        return number

    def settle(self, _state: int, _now_ns: int) -> Sequence[Message]:
        """Return nothing."""
        return ()

    def snapshot(self, _state: int, _now_ns: int) -> Sequence[StatusMessage]:
        """Return nothing."""
        return ()


class MakingShell(Shell[int]):
    """Asks for more whenever the loop has time."""

    def on_idle(self, state: int, now_ns: int) -> Sequence[Message]:
        """Report that there is room."""
        return (More(ts_event=now_ns, ts_init=now_ns),)


@dataclass(frozen=True)
class End:
    """One end of the stream: who it is, where, with which keys, what draws its losses, and the last message."""

    name: ServiceName
    home: Path
    pairs: dict[str, CurvePair]
    seed: str
    total: int


def run_end(_connection: Connection, end: End) -> None:
    """Be one end: the process's own loop and store, over sockets that lose 30 % and double 20 %."""
    paths = HomePaths(end.home)
    setup = Setup(paths=paths, env=parse(proposals()), identity=_IDENTITY)
    ring = KeyRing.of(end.name, end.pairs)
    sockets = LossySockets(ring, Endpoints(paths), rng=random.Random(end.seed), loss=0.3, doubling=0.2)
    runner = Runner(end.name, setup, sockets)
    shell = MakingShell() if end.name == SENDER else Shell[int]()
    runner.start(lambda _setup: Assembly(core=CountingCore(end.total), shell=shell))
    # What is worth a warning here is what the bench does on purpose; errors stay in the file.
    os.dup2(os.open(end.home / f"{end.name}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    runner.run()


def _signal(number: int) -> SignalRaised:
    return a_signal(str(number), 0, 0, (_REASON,))


def _taken(signal: SignalRaised) -> OrderDenied:
    return OrderDenied(
        ts_event=0,
        ts_init=0,
        intent_id=signal.signal_id,
        session_date=signal.session_date,
        strategy=signal.strategy,
        symbol=signal.symbol,
        side="BUY",
        rule="counted",
        value="",
        limit="",
    )
