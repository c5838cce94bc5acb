"""One service's loop over real sockets: one effect for each message, and a halt for what nobody may say."""

import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from bus.assembly import Assembly, CannotStartError, Ports, Setup
from bus.build import build_id
from bus.clock import boot_ns
from bus.codec import (
    Ack,
    Command,
    CommandAnswer,
    Data,
    Frame,
    Greet,
    Hello,
    MalformedMessageError,
    Refusal,
    StepMark,
    Welcome,
    decode_frame,
    decode_message,
    encode_frame,
    encode_message,
)
from bus.commands import COMMAND_VALID_NS
from bus.control import ControlFolder
from bus.decider import Shell
from bus.endpoints import Endpoints
from bus.gate import RunnerGate
from bus.halt import LEASE_VALID_NS, ArmRecord, LeaseBook
from bus.keys import KeyRing, make_pairs
from bus.messages import (
    MICROS,
    NANOS,
    ChainArmed,
    ChainDisarmed,
    HaltRaised,
    Heartbeat,
    Lease,
    MarketMessage,
    Message,
    OrderFilled,
    ResolveStream,
    ServiceName,
    SessionPlanned,
    StreamResolved,
    SubmitOrder,
)
from bus.routes import LEASE_ISSUERS
from bus.runner import Runner
from bus.sockets import BusSockets
from bus.store import read_journal
from bus.testing import CLOSE_NS, OPEN_NS, RecorderCore, RecorderState, a_fill, a_plan, a_quote_batch
from bus.transport import TOPIC_HALT, TOPIC_LEASE, TOPIC_MARKET, TOPIC_STATUS
from config.env_bot import parse, proposals
from config.paths import HomePaths
from config.vault import CurvePair
from replay.session import DEMO_IDENTITY

T = TypeVar("T")
NAME: ServiceName = "execution"
DEADLINE_S = 10.0


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


class Peer:
    """Another service of the chain, with its own key: what it hears of the runner is kept."""

    def __init__(self, name: ServiceName, paths: HomePaths, pairs: dict[str, CurvePair]) -> None:
        self.name = name
        self.is_welcome = False
        self.greets: list[Greet] = []
        self.verdicts: list[Welcome | Refusal] = []
        self.answers: list[Ack | Refusal] = []
        self.command_answers: list[CommandAnswer] = []
        self.beats: list[Heartbeat] = []
        self.inbox: list[Data | StepMark] = []
        self.hellos: list[Hello] = []
        self.halts: list[HaltRaised] = []
        self.welcome: Callable[[Hello], Frame] = lambda hello: Welcome("n", 0) if hello.nonce == "n" else Greet("n")
        self._routing_ids: dict[ServiceName | None, bytes] = {}
        self._sockets = BusSockets(KeyRing.of(name, pairs), Endpoints(paths))
        self._sockets.bind()
        self._sockets.connect([NAME])
        self._sockets.subscribe(NAME, TOPIC_STATUS, TOPIC_HALT)

    def say(self, *frames: Frame | bytes) -> None:
        """Send frames; before the first message of a connection both ends compare where they stand."""
        for frame in frames:
            if isinstance(frame, Data) and not self.is_welcome:
                self.introduce(frame.epoch)
            assert self._sockets.send(NAME, frame if isinstance(frame, bytes) else encode_frame(frame))

    def introduce(
        self, epoch: str = "e1", *, first: int = 1, last: int = 10_000, base: int = 10_000
    ) -> Welcome | Refusal:
        """Say where the stream of this peer stands, and return what the runner makes of it."""
        self.greets.clear()
        self.verdicts.clear()
        greet = self.until(lambda: self.greets[-1:], "greeting", lambda: self.say(Hello("", epoch, first, last, base)))[
            0
        ]
        self.say(Hello(greet.nonce, epoch, first, last, base))
        verdict = self.until(lambda: self.verdicts[-1:], "verdict on the stream")[0]
        self.is_welcome = isinstance(verdict, Welcome)
        return verdict

    def publish(self, topic: bytes, message: Message) -> None:
        self._sockets.publish(topic, encode_message(message))

    def publish_raw(self, topic: bytes, payload: bytes) -> None:
        self._sockets.publish(topic, payload)

    def answer_to(self, sender: ServiceName, frame: Ack | Refusal) -> None:
        self._sockets.answer(self._routing_ids[sender], encode_frame(frame))

    def hear(self) -> None:
        """Take what has arrived, waiting a little for it."""
        self._sockets.wait(10)
        for _, payload in self._sockets.answers(100):
            self._hear_answer(decode_frame(payload))
        for _, topic, payload in self._sockets.broadcasts(100):
            message = decode_message(payload)
            if isinstance(message, Heartbeat):
                self.beats.append(message)
            elif isinstance(message, HaltRaised) and topic == TOPIC_HALT:
                self.halts.append(message)
        for item in self._sockets.received(100):
            self._routing_ids[item.sender] = item.routing_id
            frame = decode_frame(item.payload)
            if isinstance(frame, Hello):
                # This peer agrees with everything the runner says of its stream.
                self.hellos.append(frame)
                self._sockets.answer(item.routing_id, encode_frame(self.welcome(frame)))
                continue
            assert isinstance(frame, Data | StepMark)
            self.inbox.append(frame)

    def _hear_answer(self, frame: Frame) -> None:
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

    def until(self, found: Callable[[], T | None], what: str, doing: Callable[[], None] = lambda: None) -> T:
        """Listen, and repeat `doing`, until something is found."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            if value := found():
                return value
            doing()
            self.hear()
        raise AssertionError(f"{self.name}: no {what}; answers {self.answers}, last beat {self.beats[-1:]}")

    def answer(self, wanted: Ack | Refusal | type[Refusal]) -> Ack | Refusal:
        def look() -> Ack | Refusal | None:
            for frame in self.answers:
                if frame == wanted or (isinstance(wanted, type) and isinstance(frame, wanted)):
                    return frame
            return None

        return self.until(look, f"answer {wanted}")

    def new_beat(self, holds: Callable[[Heartbeat], bool], doing: Callable[[], None] = lambda: None) -> Heartbeat:
        """Return a heartbeat that came after this call."""
        self.hear()
        self.beats.clear()
        return self.until(lambda: next((beat for beat in self.beats if holds(beat)), None), "such heartbeat", doing)

    def close(self) -> None:
        self._sockets.close()


class Rig:
    """A runner in a thread, its home, and the other services around it."""

    def __init__(self, paths: HomePaths, pairs: dict[str, CurvePair]) -> None:
        self.paths = paths
        self.control = ControlFolder(paths)
        self.gate: Any = None
        self.shell: Shell[RecorderState] = Shell()
        self._pairs = pairs
        self._peers: list[Peer] = []
        self._runner: Runner | None = None
        self._thread: threading.Thread | None = None

    def build(self, _setup: Setup) -> Assembly[RecorderState]:
        def attach(ports: Ports) -> None:
            self.gate = ports.gate

        return Assembly(core=RecorderCore(), shell=self.shell, attach=attach)

    def start(self, build: Callable[[Setup], Assembly[Any]] | None = None) -> Runner:
        setup = Setup(paths=self.paths, env=parse(proposals()), identity=DEMO_IDENTITY)
        runner = Runner(NAME, setup, BusSockets(KeyRing.of(NAME, self._pairs), Endpoints(self.paths)))

        def live() -> None:
            # The store belongs to the thread that opened it, as to the one thread of a process.
            runner.start(build or self.build)
            runner.run()

        self._runner = runner
        self._thread = threading.Thread(target=live, daemon=True)
        self._thread.start()
        return runner

    def peer(self, name: ServiceName) -> Peer:
        peer = Peer(name, self.paths, self._pairs)
        self._peers.append(peer)
        return peer

    def stop(self) -> None:
        if self._runner and self._thread:
            self._runner.stop()
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive()
        self._runner = None
        for peer in self._peers:
            peer.close()
        self._peers.clear()

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

    def halt_of(self, peer: Peer, rule: str) -> str:
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


@pytest.fixture(scope="module")
def pairs() -> dict[str, CurvePair]:
    return make_pairs()


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, CurvePair]) -> Iterator[Rig]:
    # The folder's name is short: unix sockets hang off it.
    paths = HomePaths(tmp_path_factory.mktemp("h"))
    paths.make()
    made = Rig(paths, pairs)
    yield made
    made.stop()


# --- numbered messages -------------------------------------------------------------------------------------------


def test_a_message_when_sent_twice_is_acknowledged_twice_and_has_one_effect(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    risk.answers.clear()
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    assert rig.orders() == ["1"]
    assert rig.quarantine() == []
    assert rig.halts() == []


def test_a_message_when_one_before_it_is_missing_waits_until_that_one_came(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1), order_frame(3))
    risk.until(lambda: risk.answers[1:], "second answer")
    assert risk.answers == [Ack("e1", 1), Ack("e1", 1)]
    assert rig.orders() == ["1"]
    risk.say(order_frame(2), order_frame(3))
    risk.answer(Ack("e1", 3))
    assert rig.orders() == ["1", "2", "3"]


def test_a_message_when_applied_before_a_restart_has_no_second_effect_after_it(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    rig.stop()
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1), order_frame(2))
    risk.answer(Ack("e1", 2))
    assert rig.orders() == ["1", "2"]


# --- what nobody may say -----------------------------------------------------------------------------------------


def test_a_message_when_its_sender_may_not_say_it_halts_and_is_kept_and_not_applied(rig: Rig) -> None:
    rig.start()
    watchdog = rig.peer("watchdog")
    frame = order_frame(1)
    watchdog.say(frame)
    assert rig.halt_of(watchdog, "forbidden_message") == "watchdog may not send SubmitOrder to execution"
    assert watchdog.new_beat(lambda beat: beat.rejected_messages > 0)
    assert rig.orders() == []
    (kept,) = rig.quarantine()
    assert kept == ("watchdog", "watchdog may not send SubmitOrder to execution", frame.payload)
    assert watchdog.answer(Refusal) == Refusal("watchdog may not send SubmitOrder to execution")
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    risk.answer(Ack("e1", 1))
    assert rig.orders() == ["1"]


@pytest.mark.parametrize("step", [0, 5], ids=["of this step", "of a step to come"])
def test_a_sender_when_it_has_nothing_to_say_here_is_refused_and_counted(rig: Rig, step: int) -> None:
    rig.start()
    web = rig.peer("web")
    web.is_welcome = True  # it does not care
    web.say(order_frame(1, step=step), Hello("", "e1", 1, 1, 0))
    web.new_beat(lambda beat: beat.rejected_messages == 2)
    assert rig.orders() == []
    assert [(sender, "says nothing" in why) for sender, why, _ in rig.quarantine()] == [("web", True)] * 2
    assert web.greets == []
    assert web.answers == []


def test_a_message_when_its_bytes_are_poison_halts_and_stops_that_sender_alone(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1), Data("e1", 2, 0, b"\xc1poison"), order_frame(3))
    assert rig.halt_of(risk, "poison_message").startswith("execution cannot read message 2 of risk: not a message")
    risk.until(lambda: risk.answers[2:], "third answer")
    assert [isinstance(answer, Refusal) for answer in risk.answers] == [False, True, True]
    assert rig.orders() == ["1"]
    assert [(sender, payload) for sender, _, payload in rig.quarantine()] == [("risk", b"\xc1poison")]
    watchdog = rig.peer("watchdog")
    watchdog.say(Data("w", 1, 0, encode_message(a_plan())))
    watchdog.answer(Ack("w", 1))
    assert rig.halts() == ["000001.json"]


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x00", b"\xc1" * 100, b"\x94\xa1d\xa1e\x01", b"\x91" * 60_000],
    ids=["nothing", "zero", "unused codes", "half a frame", "nested"],
)
def test_a_frame_when_it_is_garbage_is_counted_and_the_service_goes_on(rig: Rig, garbage: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode_frame(garbage)
    rig.start()
    risk = rig.peer("risk")
    risk.say(garbage, garbage, order_frame(1))
    risk.answer(Ack("e1", 1))
    risk.new_beat(lambda beat: beat.rejected_messages == 2)
    assert rig.is_alive()
    assert rig.orders() == ["1"]
    assert [(sender, payload) for sender, _, payload in rig.quarantine()] == [("risk", garbage)] * 2


def test_a_broadcast_when_it_is_garbage_is_counted_and_the_service_goes_on(rig: Rig) -> None:
    rig.start()
    screener = rig.peer("screener")
    beat = screener.new_beat(
        lambda beat: beat.rejected_messages > 0, lambda: screener.publish_raw(TOPIC_MARKET, b"\xc1")
    )
    assert beat.step == 0
    assert rig.is_alive()
    assert screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))


# --- streams with another history --------------------------------------------------------------------------------


def _stopped(rig: Rig, epoch: str = "e1", **standing: int) -> tuple[Peer, Refusal]:
    """Let risk say three messages, then come back as if its file had been put back from a copy."""
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1), order_frame(2), order_frame(3))
    risk.answer(Ack("e1", 3))
    verdict = risk.introduce(epoch, **standing)
    assert isinstance(verdict, Refusal)
    return risk, verdict


def test_a_sender_when_it_comes_with_another_history_is_refused_and_halts(rig: Rig) -> None:
    risk, refusal = _stopped(rig, "e2")
    assert "another history" in refusal.detail
    assert rig.halt_of(risk, "regressed_producer") == refusal.detail
    risk.is_welcome = True
    risk.say(order_frame(4))
    risk.until(lambda: risk.greets, "greeting: the connection is not welcome any more")
    assert rig.orders() == ["1", "2", "3"]
    assert rig.halts() == ["000001.json"]


def test_a_sender_when_it_knows_fewer_messages_than_were_taken_is_refused_and_halts(rig: Rig) -> None:
    risk, refusal = _stopped(rig, first=1, last=2, base=2)
    assert "3 messages were taken from it, and it knows of 2" in refusal.detail
    assert rig.halt_of(risk, "regressed_producer") == refusal.detail


def test_a_sender_when_it_was_told_of_more_than_is_known_here_is_refused_and_halts(rig: Rig) -> None:
    risk, refusal = _stopped(rig, first=6, last=9)
    assert "5 messages were taken, and 3 are known here" in refusal.detail
    assert rig.halt_of(risk, "lost_history") == refusal.detail


def test_a_receiver_when_it_never_heard_a_sender_that_has_history_refuses_it(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    verdict = risk.introduce("e1", first=4, last=9)
    assert isinstance(verdict, Refusal)
    assert rig.halt_of(risk, "lost_history") == verdict.detail


def test_a_hello_when_it_is_late_and_of_an_older_greeting_is_not_believed(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(order_frame(1))
    old = risk.greets[-1].nonce
    risk.say(order_frame(2))
    risk.answer(Ack("e1", 2))
    risk.say(Hello(old, "e1", 1, 1, 1))
    risk.until(lambda: risk.greets[1:], "another greeting")
    assert rig.halts() == []


def test_a_stopped_stream_when_the_service_restarts_stays_stopped(rig: Rig) -> None:
    risk, refusal = _stopped(rig, "e2")
    rig.halt_of(risk, "regressed_producer")
    rig.stop()
    rig.start()
    risk = rig.peer("risk")
    assert risk.introduce("e1") == refusal
    beat = risk.new_beat(lambda beat: bool(beat.stopped_streams))
    assert [(stop.sender, stop.rule, stop.detail) for stop in beat.stopped_streams] == [
        ("risk", "regressed_producer", refusal.detail)
    ]
    assert rig.orders() == ["1", "2", "3"]


def test_a_sender_when_refused_again_and_again_halts_once_beside_its_own_halt(rig: Rig) -> None:
    risk, refusal = _stopped(rig, "e2")
    rig.halt_of(risk, "regressed_producer")
    # What the refused service writes when it hears of it, in a process of its own.
    rig.control.raise_halt("risk", "refused_stream", "execution refuses messages of risk")
    assert [risk.introduce("e2") for _ in range(2)] == [refusal, refusal]
    risk.new_beat(lambda _beat: True)
    assert rig.halts() == ["000001.json", "000002.json"]


# --- an operator's command ---------------------------------------------------------------------------------------


def _command(rig: Rig, *, command_id: str = "c1", age_ns: int = 0, **changes: Any) -> Command:
    command = ResolveStream(
        ts_event=0,
        ts_init=0,
        command_id=command_id,
        expires_boot_ns=boot_ns() + COMMAND_VALID_NS - age_ns,
        halt_counter=rig.control.read().halt_counter,
        operator="ann",
        reason="compared the books",
        receiver=NAME,
        sender="risk",
        action="accept_history",
        seq=10_000,
    )
    return Command(encode_message(replace(command, **changes)))


def _told(web: Peer, command: Command) -> CommandAnswer:
    web.command_answers.clear()
    web.say(command)
    return web.until(lambda: web.command_answers[-1:], "answer to the command")[0]


def test_a_stopped_stream_when_an_operator_accepts_its_history_goes_on_with_what_is_not_acknowledged(rig: Rig) -> None:
    risk, _ = _stopped(rig, "e2", first=2, last=4)
    rig.halt_of(risk, "regressed_producer")
    web = rig.peer("web")
    assert _told(web, _command(rig, seq=4)).is_done
    assert isinstance(risk.introduce("e2", first=2, last=4), Welcome)
    risk.say(*(order_frame(seq, epoch="e2") for seq in (2, 3, 4)))
    risk.answer(Ack("e2", 4))
    assert rig.orders() == ["1", "2", "3", "2", "3", "4"]
    (resolved,) = rig.journal(StreamResolved)
    assert isinstance(resolved, StreamResolved)
    assert (resolved.operator, resolved.reason, resolved.seq) == ("ann", "compared the books", 1)


def test_a_restored_sender_when_accepted_goes_on_after_what_it_had_made_before(rig: Rig) -> None:
    # It was restored at message 2 and has made 3 anew: that one is not the 3 that was taken.
    risk, _ = _stopped(rig, "e1", first=1, last=2, base=2)
    web = rig.peer("web")
    assert _told(web, _command(rig, seq=2)).is_done
    assert risk.introduce("e1", first=1, last=3, base=2) == risk.verdicts[-1]
    assert isinstance(risk.verdicts[-1], Welcome)
    assert risk.verdicts[-1].cursor == 2
    risk.say(order_frame(3))
    risk.until(lambda: rig.orders() == ["1", "2", "3", "3"], "third message, made anew")


def test_a_poison_message_when_an_operator_skips_it_is_kept_and_the_stream_goes_on(rig: Rig) -> None:
    rig.start()
    risk, web = rig.peer("risk"), rig.peer("web")
    risk.say(order_frame(1), Data("e1", 2, 0, b"\xc1poison"))
    rig.halt_of(risk, "poison_message")
    risk.answer(Refusal)
    assert not _told(web, _command(rig, command_id="c0", seq=2)).is_done
    assert _told(web, _command(rig, seq=2, action="skip_message")).is_done
    risk.introduce("e1")
    risk.say(order_frame(2), order_frame(3))
    risk.answer(Ack("e1", 3))
    assert rig.orders() == ["1", "3"]
    assert [payload for _, _, payload in rig.quarantine()] == [b"\xc1poison"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"age_ns": COMMAND_VALID_NS}, "older than 10 s"),
        ({"age_ns": -COMMAND_VALID_NS}, "older than 10 s"),
        ({"halt_counter": 0}, "halt 1 came after it was given"),
        ({"receiver": "ledger"}, "it was given to ledger"),
        ({"sender": "watchdog"}, "is not stopped"),
        ({"seq": 9}, "stands at 10000 by now"),
        ({"action": "skip_message"}, "does not answer regressed_producer"),
    ],
)
def test_a_command_when_it_does_not_fit_is_refused_with_words(rig: Rig, changes: dict[str, Any], words: str) -> None:
    risk, refusal = _stopped(rig, "e2")
    rig.halt_of(risk, "regressed_producer")
    answer = _told(rig.peer("web"), _command(rig, **changes))
    assert not answer.is_done
    assert words in answer.detail
    assert risk.introduce("e2") == refusal


def test_a_command_when_replayed_is_carried_out_once(rig: Rig) -> None:
    risk, _ = _stopped(rig, "e2", first=2, last=4)
    rig.halt_of(risk, "regressed_producer")
    web = rig.peer("web")
    command = _command(rig, seq=4)
    assert _told(web, command).is_done
    assert isinstance(risk.introduce("e1", first=1, last=4), Refusal)
    again = _told(web, command)
    assert (again.is_done, again.detail) == (False, "this command was carried out before")


def test_a_command_when_another_service_than_the_web_gives_it_halts_the_chain(rig: Rig) -> None:
    risk, refusal = _stopped(rig, "e2")
    rig.halt_of(risk, "regressed_producer")
    risk.say(_command(rig))
    assert rig.halt_of(risk, "forbidden_message") == "risk may not command ResolveStream to execution"
    assert risk.introduce("e2") == refusal


# --- halts on the bus --------------------------------------------------------------------------------------------


def _notice(counter: int) -> HaltRaised:
    return HaltRaised(ts_event=0, ts_init=0, counter=counter, source="risk", rule="test", detail="a test")


def test_a_halt_when_told_on_the_bus_is_acknowledged_in_the_next_heartbeat(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.new_beat(lambda beat: beat.halt_counter == 0)
    record = rig.control.raise_halt("risk", "test", "a test")
    risk.new_beat(
        lambda beat: beat.halt_counter == record.counter, lambda: risk.publish(TOPIC_HALT, _notice(record.counter))
    )
    assert rig.halts() == ["000001.json"]


def test_a_halt_when_its_record_is_on_another_host_is_written_here_too(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.new_beat(lambda beat: beat.halt_counter == 1, lambda: risk.publish(TOPIC_HALT, _notice(1)))
    assert rig.halt_of(risk, "test") == "a test"


def test_a_halt_of_our_own_when_raised_is_told_on_the_bus(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.say(Data("e1", 1, 0, b"\xc1poison"))
    notice = risk.until(lambda: risk.halts[-1:], "notice")[0]
    assert (notice.counter, notice.source, notice.rule) == (1, NAME, "poison_message")


def test_a_lease_when_it_was_granted_before_a_halt_does_not_count(rig: Rig) -> None:
    rig.start()
    rig.arm()
    issuers = [rig.peer(name) for name in LEASE_ISSUERS]
    rig.control.raise_halt("web", "operator", "a test")
    issuers[0].new_beat(lambda beat: beat.halt_counter == 1)
    rig.arm()

    def grant(counter: int) -> None:
        for peer in issuers:
            lease = Lease(
                ts_event=0,
                ts_init=0,
                issuer=peer.name,
                seq=1,
                halt_counter=counter,
                expires_boot_ns=boot_ns() + LEASE_VALID_NS,
            )
            peer.publish(TOPIC_LEASE, lease)

    for _ in range(5):
        grant(0)
        issuers[0].new_beat(lambda _beat: True)
    assert rig.gate.refusal(reduces=False) == "no lease from watchdog and risk"
    issuers[0].until(lambda: rig.gate.refusal(reduces=False) is None, "open gate", lambda: grant(1))


def test_a_socket_when_another_process_takes_its_path_halts_the_chain(rig: Rig) -> None:
    rig.start()
    risk = rig.peer("risk")
    risk.new_beat(lambda _beat: True)
    path = rig.paths.run / f"{NAME}.inbox.sock"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as thief:
        thief.bind(str(path))
        assert "was removed or taken by another process" in rig.halt_of(risk, "stolen_socket")


# --- as a sender -------------------------------------------------------------------------------------------------


def test_a_stream_when_its_receiver_refuses_it_halts_the_sender(rig: Rig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    ledger = rig.peer("ledger")
    screener = rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    ledger.until(lambda: ledger.inbox, "message")
    ledger.answer_to(NAME, Refusal("the ledger was restored"))
    assert rig.halt_of(ledger, "refused_stream") == "ledger refuses messages of execution: the ledger was restored"


def test_a_message_when_acknowledged_is_not_repeated_and_leaves_the_outbox(rig: Rig) -> None:
    rig.shell = FillsOnEachStep()
    runner = rig.start()
    ledger, risk, screener = rig.peer("ledger"), rig.peer("risk"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    for peer in (ledger, risk):
        peer.until(lambda heard=peer.inbox: heard, "message")
        frame = next(frame for frame in peer.inbox if isinstance(frame, Data))
        peer.answer_to(NAME, Ack("another life", 1))
        assert peer.new_beat(lambda beat: beat.outbox_depth > 0)
        peer.answer_to(NAME, Ack(frame.epoch, 1))
    assert screener.new_beat(lambda beat: beat.outbox_depth == 0)
    assert runner.failure == ""
    assert rig.halts() == []


def test_an_acknowledgement_when_it_is_of_more_than_was_ever_said_halts(rig: Rig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    ledger, screener = rig.peer("ledger"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    ledger.until(lambda: ledger.inbox, "message")
    frame = next(frame for frame in ledger.inbox if isinstance(frame, Data))
    ledger.answer_to(NAME, Ack(frame.epoch, 99))
    ledger.until(rig.halts, "halt")
    halt = rig.control.read().halt
    assert halt is not None
    assert halt.rule == "regressed_producer"


# --- market steps ------------------------------------------------------------------------------------------------


class FillsOnEachStep(Shell[RecorderState]):
    """Reports a fill for each market message, as the paper broker does."""

    def on_market(self, state: RecorderState, data: MarketMessage, now_ns: int) -> Sequence[Message]:
        return [a_fill(f"PX-{data.step:06d}")]


def test_a_message_when_made_at_a_later_step_is_held_until_that_step_is_heard(rig: Rig) -> None:
    rig.start()
    risk, screener = rig.peer("risk"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    risk.say(order_frame(1, step=1), order_frame(2, step=2), order_frame(3, step=1))
    risk.answer(Ack("e1", 1))
    risk.new_beat(lambda beat: beat.step == 1)
    assert rig.orders() == ["1"]
    screener.publish(TOPIC_MARKET, a_quote_batch(2))
    risk.answer(Ack("e1", 3))
    assert rig.orders() == ["1", "2", "3"]
    assert rig.quarantine() == []


def test_a_message_when_repeated_while_it_is_held_has_one_effect(rig: Rig) -> None:
    rig.start()
    risk, screener = rig.peer("risk"), rig.peer("screener")
    risk.say(*[order_frame(1, step=1)] * 5)
    risk.new_beat(lambda beat: beat.step == 0)
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    risk.answer(Ack("e1", 1))
    assert rig.orders() == ["1"]


def test_a_message_when_made_while_a_step_is_heard_carries_that_step(rig: Rig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    ledger, screener = rig.peer("ledger"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    (first, *_) = ledger.until(lambda: ledger.inbox, "fill")
    assert isinstance(first, Data)
    message = decode_message(first.payload)
    assert isinstance(message, OrderFilled)
    assert message.execution_id == "PX-000001"
    assert (first.seq, first.step) == (1, 1)


def test_a_market_step_when_published_again_is_heard_once(rig: Rig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    screener = rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    for _ in range(3):
        screener.publish(TOPIC_MARKET, a_quote_batch(1))
    screener.new_beat(lambda beat: beat.step == 2, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(2)))
    fills = [e.execution_id for e in rig.journal(OrderFilled) if isinstance(e, OrderFilled)]
    assert fills == ["PX-000001", "PX-000002"]


def test_a_market_message_when_another_service_than_the_screener_says_it_is_not_heard(rig: Rig) -> None:
    rig.start()
    web, screener = rig.peer("web"), rig.peer("screener")
    for _ in range(3):
        web.publish(TOPIC_MARKET, a_quote_batch(9))
        web.hear()
    beat = screener.new_beat(lambda beat: beat.step > 0, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    assert beat.step == 1


def test_a_step_when_finished_is_told_on_after_the_risk_service_finished_it(rig: Rig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    risk, screener = rig.peer("risk"), rig.peer("screener")
    screener.new_beat(lambda beat: beat.step == 1, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1)))
    risk.until(lambda: [f for f in risk.inbox if isinstance(f, StepMark)], "mark")
    assert next(f for f in risk.inbox if isinstance(f, StepMark)) == StepMark(1, 1)
    assert screener.inbox == []
    # Risk's mark runs ahead of the order it made in that step: the step is over when the order is in.
    risk.say(StepMark(1, 1))
    risk.new_beat(lambda _beat: True)
    screener.hear()
    assert screener.inbox == []
    risk.say(order_frame(1, step=1))
    screener.until(lambda: screener.inbox, "mark")
    assert screener.inbox[0] == StepMark(1, 0)
    assert rig.orders() == ["1"]


# --- heartbeats and the start ------------------------------------------------------------------------------------


def test_a_heartbeat_when_the_plan_is_known_says_ready(rig: Rig) -> None:
    rig.start()
    watchdog = rig.peer("watchdog")
    first = watchdog.new_beat(lambda _beat: True)
    assert (first.service, first.build, first.state) == (NAME, build_id(), "waits for the session plan")
    watchdog.say(Data("w", 1, 0, encode_message(a_plan())))
    ready = watchdog.new_beat(lambda beat: beat.state == "ready")
    assert (ready.boot_id, ready.outbox_depth, ready.rejected_messages) == (first.boot_id, 0, 0)
    assert rig.journal(SessionPlanned) == [a_plan()]


def test_a_heartbeat_when_messages_are_not_acknowledged_says_how_many(rig: Rig) -> None:
    rig.shell = FillsOnEachStep()
    rig.start()
    screener = rig.peer("screener")
    beat = screener.new_beat(
        lambda beat: beat.outbox_depth > 0, lambda: screener.publish(TOPIC_MARKET, a_quote_batch(1))
    )
    assert beat.outbox_depth == 2  # the fill goes to risk and to the ledger


def test_a_runner_when_restarted_has_another_boot_id(rig: Rig) -> None:
    rig.start()
    before = rig.peer("watchdog").new_beat(lambda _beat: True).boot_id
    rig.stop()
    rig.start()
    assert rig.peer("watchdog").new_beat(lambda _beat: True).boot_id != before


def _refuses(_setup: Setup) -> Assembly[RecorderState]:
    raise CannotStartError("MARKET_DATA_DIR is empty: give a folder")


def _is_faulty(_setup: Setup) -> Assembly[RecorderState]:
    return Assembly(core=RecorderCore(), self_check=lambda: ("the first fault", "the second fault"))


class FailsAtStart(Shell[RecorderState]):
    """Cannot recover."""

    def on_start(self, state: RecorderState, now_ns: int) -> Sequence[Message]:
        raise CannotStartError("the ledger is of another account")


def _fails_at_start(_setup: Setup) -> Assembly[RecorderState]:
    return Assembly(core=RecorderCore(), shell=FailsAtStart())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (_refuses, "cannot start: MARKET_DATA_DIR is empty: give a folder"),
        (_is_faulty, "cannot start: the first fault; the second fault"),
        (_fails_at_start, "cannot start: the ledger is of another account"),
    ],
)
def test_a_service_when_it_cannot_start_stays_up_says_why_and_takes_nothing(
    rig: Rig, build: Callable[[Setup], Assembly[Any]], words: str
) -> None:
    runner = rig.start(build)
    risk = rig.peer("risk")
    risk.is_welcome = True  # it does not care
    risk.say(order_frame(1), Hello("", "e1", 1, 1, 0))
    beats = [risk.new_beat(lambda _beat: True) for _ in range(2)]
    assert {beat.state for beat in beats} == {words}
    assert f"cannot start: {runner.failure}" == words
    assert rig.is_alive()
    assert (risk.answers, risk.greets) == ([], [])
    assert rig.orders() == []


# --- the control folder and the gate -----------------------------------------------------------------------------


def test_the_core_when_the_control_folder_changes_is_told_once_of_each_change(rig: Rig) -> None:
    rig.start()
    peer = rig.peer("watchdog")
    peer.new_beat(lambda _beat: True)
    peer.until(lambda: rig.journal(ChainDisarmed), "disarmed")
    rig.arm()
    peer.until(lambda: rig.journal(ChainArmed), "armed")
    rig.control.raise_halt("risk", "test", "a test")
    peer.until(lambda: rig.journal(HaltRaised), "halt")
    peer.new_beat(lambda _beat: True)
    kinds = [type(e) for e in rig.journal(Message) if isinstance(e, ChainArmed | ChainDisarmed | HaltRaised)]
    assert kinds == [ChainDisarmed, ChainArmed, HaltRaised]


def _grant(peer: Peer, issuer: ServiceName, valid_ns: int = LEASE_VALID_NS) -> None:
    lease = Lease(ts_event=0, ts_init=0, issuer=issuer, seq=1, halt_counter=0, expires_boot_ns=boot_ns() + valid_ns)
    peer.publish(TOPIC_LEASE, lease)


def test_the_gate_when_a_lease_is_missing_or_told_by_another_stays_shut_for_entries(rig: Rig) -> None:
    rig.start()
    rig.arm()
    watchdog, risk = rig.peer("watchdog"), rig.peer("risk")

    def tell_alone() -> None:
        _grant(watchdog, "watchdog")
        _grant(watchdog, "risk")

    watchdog.until(lambda: rig.gate and rig.gate.refusal(reduces=False) == "no lease from risk", "lease", tell_alone)
    assert rig.gate.refusal(reduces=True) is None

    def tell_both() -> None:
        _grant(watchdog, "watchdog")
        _grant(risk, "risk")

    risk.until(lambda: rig.gate.refusal(reduces=False) is None, "open gate", tell_both)
    rig.control.raise_halt("risk", "test", "a test")
    assert rig.gate.refusal(reduces=False) == "halted: a test"
    assert rig.gate.refusal(reduces=True) is None
    rig.arm()
    # Nobody renews the leases: they run out.
    risk.until(lambda: str(rig.gate.refusal(reduces=False)).startswith("no lease from"), "shut gate")
    assert rig.gate.refusal(reduces=True) is None


def test_the_gate_when_any_permission_is_taken_away_refuses_entries_and_lets_exits_pass(rig: Rig) -> None:
    leases = LeaseBook(LEASE_ISSUERS)
    gate = RunnerGate(rig.control, leases)

    def lease(issuer: ServiceName) -> None:
        leases.heard(issuer, boot_ns() + 3600 * NANOS, boot_ns())

    def refusal() -> str:
        assert gate.refusal(reduces=True) is None
        return gate.refusal(reduces=False) or ""

    assert "not armed" in refusal()
    lease("watchdog")
    lease("risk")
    assert "not armed" in refusal()
    rig.arm()
    assert refusal() == ""
    leases.forget()
    assert refusal() == "no lease from watchdog and risk"
    lease("watchdog")
    assert refusal() == "no lease from risk"
    lease("risk")
    rig.control.request_stop("ann")
    assert "stopped: arm it again" in refusal()
    rig.arm()
    assert refusal() == ""
    rig.control.raise_halt("risk", "test", "a test")
    assert refusal() == "halted: a test"
    rig.arm()
    assert refusal() == ""
    (rig.paths.control / "kill.txt").touch()
    assert "kill.txt" in refusal()
    (rig.paths.control / "kill.txt").unlink()
    (rig.paths.control / "arm.json").write_bytes(b"{broken")
    assert "cannot be read" in refusal()
