"""A broker and its market that are only simulated, in a process of their own: for demonstrations without an account."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from bus.processes import ROOT
from config.env_bot import proposals
from config.identity import Identity
from replay.books import BrokerBooks
from replay.session import DEMO_IDENTITY, SessionChoice
from replay.stage import Stage, StageError

_PROGRAM: Final = ROOT / "tests" / "fakes" / "broker_simulator.py"
DEFAULT_SPEED: Final = "20"
#: Which part of the session is over when the lines break, and when the execution service is killed.
_CUT_AT: Final = 0.3
_KILL_AT: Final = 0.45
_BACK_S: Final = 60
_POLL_S: Final = 0.2


class SimulatorError(Exception):
    """The simulator does not answer; the message says what to do."""


@dataclass(frozen=True)
class SimulatedChoice:
    """Which protocol the simulated broker speaks (`alpaca`, `ibkr`), and which generated session it plays."""

    broker: str
    session: SessionChoice

    @property
    def identity(self) -> Identity:
        """Return the bot that trades there."""
        return replace(DEMO_IDENTITY, broker_code=self.broker.upper())


class Simulator:
    """One simulator, from its start to its end."""

    def __init__(self, choice: SimulatedChoice) -> None:
        """Start it, and wait until it listens.

        Raises:
            SimulatorError: it does not start.
        """
        given = {
            "--date": choice.session.date,
            "--seed": choice.session.seed,
            "--speed": choice.session.speed or DEFAULT_SPEED,
        }
        arguments = [part for pair in given.items() if pair[1] for part in pair]
        self._choice = choice
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, str(_PROGRAM), choice.broker, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._place = self._heard()

    def settings(self) -> dict[str, str]:
        """Return the full settings of a bot that trades at this simulator."""
        date = self._choice.session.date
        name = self._choice.broker.upper()
        chosen = {
            "BROKER_NAME": name,
            f"{name}_ENABLED": "true",
            "ALPACA_ENDPOINT": "simulator",
            "ALPACA_DATA_SIMULATOR_PORT": str(self._place["data_port"]),
            "MARKET_DATA_SOURCE": "alpaca",
            "MARKET_DATA_SYMBOLS": ",".join(self._place["symbols"]),
            "ALPACA_STREAM_SYMBOLS_MAX": "500",
            # A second of the session is a fraction of one here: what is sent at once is old when it is heard.
            "SIGNAL_TTL": "60",
        }
        chosen |= {"ALPACA_SIMULATOR_PORT" if name == "ALPACA" else "IBKR_PORT": str(self._place["port"])}
        return proposals() | chosen | ({"MARKET_DATA_DATE": date} if date else {})

    def cut(self) -> None:
        """Let the broker and the market break every connection once."""
        self._ask("cut")

    def books(self) -> BrokerBooks:
        """Return what the broker has executed and holds."""
        told = self._ask("books")
        return BrokerBooks(
            cash_micros=int(told["cash_micros"]),
            positions={str(symbol): int(qty) for symbol, qty in told["positions"].items()},
            execution_ids=frozenset(told["executions"]),
            own_id=_gateway_id if self._choice.broker == "ibkr" else str,
        )

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, word: str) -> dict[str, Any]:
        if self._process.stdin is None:
            raise SimulatorError("the simulator was started without a way to ask it")
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise SimulatorError(f"The simulator {Path(_PROGRAM).name} has ended; its words are above.")
        return dict(json.loads(line))


def _gateway_id(booked: str) -> str:
    """Return the gateway's own id: the adapter numbers executions in the order in which it first hears of them."""
    return booked.partition("-")[2].rstrip("_")


class Disturbance:
    """What goes wrong in a session: the lines break, then a service dies and its operator arms the chain again."""

    def __init__(self, stage: Stage, simulator: Simulator) -> None:
        self._stage = stage
        self._simulator = simulator
        self._due = [(_CUT_AT, self._cut), (_KILL_AT, self._kill)]

    def look(self, share: float, say: Callable[[str], None]) -> None:
        """Do what is due when so much of the session is over, and say it.

        Raises:
            StageError: the chain does not halt, or cannot be armed again.
        """
        while self._due and share >= self._due[0][0]:
            say(self._due.pop(0)[1]())

    def _cut(self) -> str:
        self._simulator.cut()
        return "  -- every connection of the broker and of the market was broken --"

    def _kill(self) -> str:
        os.kill(int(self._stage.chain.control("pid", "tradebot:execution")), signal.SIGKILL)
        end = time.monotonic() + _BACK_S
        while self._stage.chain_state().get("state") != "HALTED":
            self._wait(end, "the chain does not halt")
        while True:
            try:
                self._stage.arm("demonstration: the execution service was killed, and agrees with the broker again")
                break
            except StageError as error:
                self._wait(end, str(error))
        return "  -- the execution service was killed: the chain halted, and its operator has armed it again --"

    def _wait(self, end: float, words: str) -> None:
        if time.monotonic() > end:
            raise StageError(words)
        time.sleep(_POLL_S)
