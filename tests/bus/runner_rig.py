"""A runner in a thread over real sockets, and the services around it that speak the reliable streams."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from peers import DEADLINE_S, Peer, Rig

from bus.assembly import Assembly, Ports, Setup
from bus.build import build_id
from bus.codec import (
    Ack,
    Command,
    CommandAnswer,
    Data,
    Frame,
    Greet,
    Hello,
    Refusal,
    StepMark,
    Welcome,
    encode_message,
)
from bus.decider import Shell
from bus.endpoints import Endpoints
from bus.error_handler import halting_on_error
from bus.halt import ArmRecord
from bus.messages import MICROS, NANOS, Heartbeat, MarketMessage, Message, ServiceName, SubmitOrder
from bus.runner import Runner
from bus.sockets import BusSockets
from bus.store import read_journal
from bus.testing import CLOSE_NS, OPEN_NS, RecorderCore, RecorderState, a_fill
from config.paths import HomePaths
from config.vault import CurvePair

NAME: ServiceName = "execution"


def an_order(number: int = 1) -> SubmitOrder:
    return SubmitOrder(
        ts_event=OPEN_NS,
        ts_init=OPEN_NS,
        intent_id=f"2013-10-08:open:SPY:{number}",
        session_date="2013-10-08",
        strategy="open",
        symbol="SPY",
        side="BUY",
        qty_nanos=NANOS,
        order_type="MARKET",
        limit_micros=0,
        reference_micros=100 * MICROS,
        trail_bps=100,
        expires_ns=CLOSE_NS,
        cancel_at_ns=CLOSE_NS,
        exit_at_ns=CLOSE_NS,
        reason="test",
    )


def order_frame(seq: int, *, epoch: str = "e1", step: int = 0) -> Data:
    """Message `seq` of a stream whose message n is order n."""
    return Data(epoch, seq, step, encode_message(an_order(seq)))


class StreamPeer(Peer):
    """A service that says numbered messages to the runner, and agrees with everything the runner says of its own."""

    def __init__(self, name: ServiceName, rig: "RunnerRig") -> None:
        super().__init__(name, rig)
        self.is_welcome = False
        self.greets: list[Greet] = []
        self.verdicts: list[Welcome | Refusal] = []
        self.answers: list[Ack | Refusal] = []
        self.command_answers: list[CommandAnswer] = []
        self.inbox: list[Data | StepMark] = []

    def say(self, *frames: Frame | bytes) -> None:
        """Send frames; before the first message of a connection both ends compare where they stand."""
        for frame in frames:
            if isinstance(frame, Data) and not self.is_welcome:
                self.introduce(frame.epoch)
            self.send(frame)

    def introduce(
        self, epoch: str = "e1", *, first: int = 1, last: int = 10_000, base: int = 10_000
    ) -> Welcome | Refusal:
        """Say where the stream of this peer stands, and return what the runner makes of it."""
        self.greets.clear()
        self.verdicts.clear()
        (greet,) = self.until(
            lambda: self.greets[-1:], "greeting", lambda: self.say(Hello("", epoch, first, last, base))
        )
        self.say(Hello(greet.nonce, epoch, first, last, base))
        verdict = self.until(lambda: self.verdicts[-1:], "verdict on the stream")[0]
        self.is_welcome = isinstance(verdict, Welcome)
        return verdict

    def hear_frame(self, frame: Frame) -> None:
        if isinstance(frame, Hello):
            self.reply(Welcome("n", 0) if frame.nonce == "n" else Greet("n"))
            return
        assert isinstance(frame, Data | StepMark)
        self.inbox.append(frame)

    def hear_answer(self, frame: Frame) -> None:
        match frame:
            case Greet():
                self.is_welcome = False
                self.greets.append(frame)
            case Welcome():
                self.verdicts.append(frame)
            case CommandAnswer():
                self.command_answers.append(frame)
            case Ack() | Refusal():
                self.answers.append(frame)
                if isinstance(frame, Refusal):
                    self.verdicts.append(frame)
            case _:
                raise AssertionError(frame)

    def heard(self) -> str:
        return f"answers {self.answers}, {super().heard()}"

    def answer(self, wanted: Ack | Refusal | type[Refusal]) -> Ack | Refusal:
        def look() -> Ack | Refusal | None:
            for frame in self.answers:
                if frame == wanted or (isinstance(wanted, type) and isinstance(frame, wanted)):
                    return frame
            return None

        return self.until(look, f"answer {wanted}")

    def told(self, command: Command) -> CommandAnswer:
        """Give a command and return its answer."""
        self.command_answers.clear()
        self.say(command)
        return self.until(lambda: self.command_answers[-1:], "answer to the command")[0]

    def new_beat(self, holds: Callable[[Heartbeat], bool], doing: Callable[[], None] = lambda: None) -> Heartbeat:
        """Return a heartbeat that came after this call."""
        self.hear()
        self.beats.clear()
        return self.until(lambda: next((beat for beat in self.beats if holds(beat)), None), "such heartbeat", doing)


class RunnerRig(Rig[StreamPeer]):
    """A runner in a thread, its home, and the other services around it."""

    tested = NAME
    kind_of_peer = StreamPeer

    def __init__(self, paths: HomePaths, pairs: dict[str, CurvePair]) -> None:
        super().__init__(paths, pairs)
        self.gate: Any = None
        self.shell: Shell[RecorderState] = Shell()
        self.ended_by: Exception | None = None
        self._runner: Runner | None = None
        self._thread: threading.Thread | None = None

    def build(self, _setup: Setup) -> Assembly[RecorderState]:
        def attach(ports: Ports) -> None:
            self.gate = ports.gate

        return Assembly(core=RecorderCore(), shell=self.shell, attach=attach)

    def start(self, build: Callable[[Setup], Assembly[Any]] | None = None) -> Runner:
        runner = Runner(NAME, self.setup(), BusSockets(self.ring(NAME), Endpoints(self.paths)))

        def live() -> None:
            # The store belongs to the thread that opened it, as to the one thread of a process.
            try:
                with halting_on_error(NAME, self.paths):
                    runner.start(build or self.build)
                    runner.run()
            except sqlite3.Error as error:
                # The process ends here; what the system takes back then has to be closed in a thread.
                self.ended_by = error
                runner._store.close()
                runner._sockets.close()

        self._runner = runner
        self._thread = threading.Thread(target=live, daemon=True)
        self._thread.start()
        return runner

    def stop(self) -> None:
        if self._runner and self._thread:
            self._runner.stop()
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive()
        self._runner = None
        self.close_peers()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def orders(self) -> list[str]:
        return [e.intent_id[-1] for e in read_journal(self._db) if isinstance(e, SubmitOrder)]

    def journal(self, kind: type[Message]) -> list[Message]:
        return [event for event in read_journal(self._db) if isinstance(event, kind)]

    def quarantine(self) -> list[tuple[str, str, bytes]]:
        with closing(sqlite3.connect(f"{self._db.as_uri()}?mode=ro", uri=True)) as db:
            return db.execute("SELECT sender, reason, payload FROM quarantine ORDER BY id").fetchall()

    def halts(self) -> list[str]:
        return [path.name for path in sorted(self.paths.halts.glob("*.json"))]

    def halt_of(self, peer: StreamPeer, rule: str) -> str:
        """Wait for a halt by this rule and return its words."""

        def look() -> str | None:
            halt = self.control.read().halt
            return halt.detail if halt and halt.rule == rule else None

        return peer.until(look, f"halt {rule}")

    def arm(self) -> None:
        self.control.arm(
            ArmRecord(
                operator="ann",
                reason="test",
                armed_at_utc="2026-01-01T00:00:00.000Z",
                halt_counter=self.control.read().halt_counter,
                generation=1,
                build=build_id(),
            )
        )

    @property
    def _db(self) -> Any:
        return self.paths.state / f"{NAME}.db"


class FillsOnEachStep(Shell[RecorderState]):
    """Reports a fill for each market message, as the paper broker does."""

    def on_market(self, state: RecorderState, data: MarketMessage, now_ns: int) -> Sequence[Message]:
        return [a_fill(f"PX-{data.step:06d}")]
