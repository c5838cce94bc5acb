"""The loop of one service's process: receive -> core -> commit -> acknowledge -> send; heartbeats, leases, halts.

The loop blocks on its sockets; nothing here decides. Start and recovery are the same path: fold the journal.
"""

import logging
import os
import secrets as random_ids
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from bus.assembly import Assembly, CannotStartError, Ports, Setup
from bus.build import build_id
from bus.clock import SessionClock, boot_ns
from bus.codec import (
    Ack,
    Data,
    MalformedMessageError,
    Refusal,
    StepMark,
    decode_frame,
    decode_message,
    encode_frame,
    encode_message,
)
from bus.control import ControlFolder
from bus.delivery import StepBoard, Verdict
from bus.feed import FeedDriver
from bus.gate import RunnerGate
from bus.halt import LEASE_EVERY_NS, LEASE_VALID_NS, ArmRecord, LeaseBook, announcement
from bus.messages import (
    BarBatch,
    ChainStatus,
    FeedEnded,
    HaltRaised,
    Heartbeat,
    Lease,
    Message,
    QuoteBatch,
    ServiceName,
    StatusMessage,
)
from bus.node import Node
from bus.orphan import Parent
from bus.routes import (
    LEASE_ISSUERS,
    MARKET_PUBLISHER,
    MARKET_SUBSCRIBERS,
    SERVICES,
    STEP_MARKS,
    is_told_by,
    may_send,
    peers_of,
    receivers,
)
from bus.sockets import topics_between
from bus.store import Store, Synchronous
from bus.transport import TOPIC_LEASE, TOPIC_MARKET, TOPIC_STATUS, Transport

logger = logging.getLogger(__name__)

_BATCH: Final = 64
_HEARTBEAT_NS: Final = 150_000_000
_IDLE_NS: Final = 20_000_000
_CONTROL_NS: Final = 50_000_000
_SNAPSHOT_NS: Final = 1_000_000_000
_SNAPSHOT_SOON_NS: Final = 250_000_000
_LOOP_GAP_NS: Final = 500_000_000
_FLUSH_NS: Final = 1_000_000_000
_SUMMARY_NS: Final = 5_000_000_000
_POLL_MS: Final = 20
_HELD_MAX: Final = 1_000
#: A power cut must not lose what these two committed; the others reconcile (see docs/decisions.md).
_SYNCED: Final = ("execution", "ledger")


class Runner:
    """Drives one Node over the bus until it is told to stop.

    Args:
        name: which service this is.
        setup: the home, settings and identity.
        sockets: what carries its messages.
    """

    def __init__(self, name: ServiceName, setup: Setup, sockets: Transport) -> None:
        self.name: ServiceName = name
        self.failure = ""
        self._setup = setup
        self._control = ControlFolder(setup.paths)
        self._sockets = sockets
        self._clock = SessionClock(follows_feed=True)
        self._leases = LeaseBook(LEASE_ISSUERS)
        self._board = StepBoard()
        self._held: dict[ServiceName, deque[tuple[bytes, Data]]] = {}
        self._node: Node[Any] | None = None
        self._driver: FeedDriver | None = None
        self._is_active = False
        self._stop = False
        self._boot_id = random_ids.token_hex(6)
        self._parent = Parent()
        self._rejected = 0
        self._lease_seq = 0
        self._due: dict[str, int] = {}
        self._last_loop = boot_ns()
        self._control_stamp: tuple[int, ...] = ()
        self._control_seen: tuple[int, bool, ArmRecord | None] | None = None
        self._is_changed = True
        self._refused: dict[ServiceName, int] = {}
        self._heard: list[str] = []
        self._heard_total = 0
        self._summary = ""
        self._events: list[Message] = []

    # --- start and end -------------------------------------------------------------------------------------------

    def start(self, build: Callable[[Setup], Assembly[Any]]) -> None:
        """Open sockets and store, build the service, fold the journal.

        A CannotStartError leaves the process up with `failure` set, so that the reason can be seen and nothing trades.
        """
        self._sockets.bind()
        self._sockets.connect(peers_of(self.name))
        for publisher in SERVICES:
            topics = topics_between(self.name, publisher)
            if topics:
                self._sockets.subscribe(publisher, *topics)
        synchronous: Synchronous = "FULL" if self.name in _SYNCED else "NORMAL"
        self._store = Store(self._setup.paths.state / f"{self.name}.db", synchronous)
        try:
            assembly = build(self._setup).checked()
            assembly.attach(Ports(RunnerGate(self._control, self._leases), self._publish_status, self._halt))
            node = Node(self.name, assembly, self._store, clock=self._clock, on_event=self._on_event)
            node.start()
            self._node = node
        except CannotStartError as error:
            self._fail(error)

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stop = True

    def run(self) -> None:
        """Loop until stopped, or until supervisord is gone."""
        while not self._stop and not self._parent.has_died():
            self._sockets.wait(self.wait_ms())
            self.turn()
        self.close()

    def turn(self) -> None:
        """Go through the loop once: hear what has arrived, do what is due, send what waits. Never blocks."""
        self._check_loop_gap()
        self._hear_broadcasts()
        self._hear_answers()
        self._hear_inbox()
        self._on_timer()
        self._advance()
        self._send_outbox()
        self._drive_feed()
        self._tell()

    def close(self) -> None:
        """Make the last acknowledgements durable and release everything."""
        if self._node:
            self._node.flush_acks()
            self._node.assembly.shell.close()
        self._store.close()
        self._sockets.close()

    def wait_ms(self) -> int:
        """Return how long the loop may block: a paced feed must not wait for the next heartbeat."""
        if self._driver is None:
            return _POLL_MS
        return min(_POLL_MS, self._driver.wait_ns(boot_ns()) // 1_000_000)

    def _fail(self, error: CannotStartError) -> None:
        self.failure = str(error)
        logger.error("cannot start: %s", error)

    # --- hearing -------------------------------------------------------------------------------------------------

    def _check_loop_gap(self) -> None:
        """Drop the leases after a gap in our own life: we cannot know what happened meanwhile."""
        now = boot_ns()
        if now - self._last_loop > _LOOP_GAP_NS:
            logger.warning("the loop stood still for %d ms: leases dropped", (now - self._last_loop) // 1_000_000)
            self._leases.forget()
        self._last_loop = now

    def _hear_broadcasts(self) -> None:
        for publisher, topic, payload in self._sockets.broadcasts(_BATCH):
            try:
                message = decode_message(payload)
            except MalformedMessageError as error:
                self._reject(publisher, error, payload)
                continue
            if topic == TOPIC_LEASE and isinstance(message, Lease) and message.issuer == publisher:
                self._leases.heard(message.issuer, message.expires_boot_ns, boot_ns())
            elif topic == TOPIC_MARKET and isinstance(message, QuoteBatch | BarBatch | FeedEnded):
                self._hear_market(message)
            elif topic == TOPIC_STATUS:
                self._hear_status(publisher, message)

    def _hear_market(self, data: QuoteBatch | BarBatch | FeedEnded) -> None:
        node = self._node
        if node is None:
            return
        # The control folder is read first: whoever sees step 1 of a replay also sees the arm record that started it.
        self._hear_control()
        if data.step <= node.step:
            self._board.again()
        else:
            node.on_market(data)
            self._board.own = node.step
            self._is_changed = True
            self._apply_held()

    def _hear_status(self, publisher: ServiceName, message: Message) -> None:
        if isinstance(message, ChainStatus) and publisher == "watchdog":
            self._is_active = message.state == "ACTIVE"
        if self._node:
            self._node.assembly.on_status(publisher, message)

    def _hear_control(self) -> None:
        """Turn a change of the control folder into a message for the core, once."""
        if self._node is None or not (self.name == "watchdog" or self.name in receivers("watchdog", HaltRaised)):
            return
        stamp = self._control.stamp()
        if stamp == self._control_stamp:
            return
        self._control_stamp = stamp
        state = self._control.read()
        refusal = state.refusal(build_id())
        seen = (state.halt_counter if state.is_halted() else -1, refusal is None, state.arm)
        if seen == self._control_seen:
            return
        self._control_seen = seen
        self._node.on_input(announcement(state, refusal, self._clock.now_ns()))
        self._is_changed = True

    def _hear_answers(self) -> None:
        for peer, payload in self._sockets.answers(_BATCH):
            try:
                frame = decode_frame(payload)
            except MalformedMessageError as error:
                self._reject(peer, error, payload)
                continue
            if isinstance(frame, Ack) and self._node:
                if not self._node.heard_ack(peer, frame.epoch, frame.cursor):
                    self._halt("regressed_producer", f"{peer} has more messages of {self.name} than {self.name} knows")
            elif isinstance(frame, Refusal):
                self._halt("refused_stream", f"{peer} refuses messages of {self.name}: {frame.detail}")

    def _hear_inbox(self) -> None:
        for item in self._sockets.received(_BATCH):
            if item.sender is None or self._node is None:
                continue
            try:
                frame = decode_frame(item.payload)
            except MalformedMessageError as error:
                self._reject(item.sender, error, item.payload)
                continue
            if isinstance(frame, StepMark):
                self._hear_mark(item.sender, frame)
            elif isinstance(frame, Data):
                self._hear_data(item.sender, item.routing_id, frame)

    def _hear_mark(self, sender: ServiceName, mark: StepMark) -> None:
        if (sender, self.name) not in STEP_MARKS or self._node is None:
            return
        if self.name == MARKET_PUBLISHER and self._driver:
            self._driver.heard_mark(mark.step)
        elif sender in self._node.cursors:
            self._board.hear(sender, mark.step, mark.after_seq, self._node.cursors[sender].seq)

    def _hear_data(self, sender: ServiceName, routing_id: bytes, frame: Data) -> None:
        """Apply a numbered message now, or hold it until we have seen the market step it was made in."""
        node = self._node
        if node is None:
            return
        if sender not in node.cursors:
            self._reject(sender, MalformedMessageError(f"{sender} says nothing to {self.name}"), frame.payload)
            return
        waiting = self._held.setdefault(sender, deque())
        # In a life that has heard no market yet nothing can be held: the feed may itself wait for our answer.
        is_ahead = self.name in MARKET_SUBSCRIBERS and 0 < node.step < frame.step
        if waiting or is_ahead:
            if len(waiting) < _HELD_MAX:
                waiting.append((routing_id, frame))
            return
        self._apply(sender, routing_id, frame)

    def _apply_held(self) -> None:
        if self._node is None:
            return
        for sender, waiting in self._held.items():
            while waiting and waiting[0][1].step <= self._node.step:
                self._apply(sender, *waiting.popleft())

    def _apply(self, sender: ServiceName, routing_id: bytes, frame: Data) -> None:
        node = self._node
        if node is None:
            return
        cursor = node.cursors[sender]
        verdict = cursor.judge(frame.epoch, frame.seq)
        if verdict is Verdict.NEXT:
            message = self._accepted(sender, frame)
            if message is None:
                return
            self._heard.append(f"heard {type(message).__name__} from {sender}")
            self._heard_total += 1
            try:
                node.on_reliable(sender, frame.epoch, frame.seq, message)
            except CannotStartError as error:
                self._fail(error)
                return
            self._board.caught_up(sender, cursor.seq)
            self._is_changed = True
        elif verdict is Verdict.REFUSED:
            detail = f"{sender} has another history than {self.name} knows: reconcile before arming again"
            self._sockets.answer(routing_id, encode_frame(Refusal(detail)))
            self._halt("regressed_producer", detail)
            return
        self._sockets.answer(routing_id, encode_frame(Ack(cursor.epoch, cursor.seq)))

    def _accepted(self, sender: ServiceName, frame: Data) -> Message | None:
        """Return the message when it decodes and the sender may say it; else stop this stream and halt."""
        try:
            message = decode_message(frame.payload)
        except MalformedMessageError as error:
            self._refuse(sender, frame, error)
            self._halt("poison_message", f"{self.name} cannot read message {frame.seq} of {sender}")
            return None
        if not may_send(sender, self.name, type(message)):
            detail = f"{sender} may not send {type(message).__name__} to {self.name}"
            self._refuse(sender, frame, MalformedMessageError(detail))
            self._halt("forbidden_message", detail)
            return None
        return message

    def _refuse(self, sender: ServiceName, frame: Data, error: MalformedMessageError) -> None:
        """Keep a refused message once, however often its sender repeats it."""
        if self._refused.get(sender) != frame.seq:
            self._refused[sender] = frame.seq
            self._reject(sender, error, frame.payload)

    def _reject(self, sender: str, error: MalformedMessageError, payload: bytes) -> None:
        """Count and keep what was refused; nothing of it has an effect."""
        self._rejected += 1
        self._store.quarantine(sender, str(error), payload)
        logger.warning("refused bytes from %s: %s (%d bytes)", sender, error, len(payload))

    def _halt(self, rule: str, detail: str) -> None:
        """Halt once for each reason; the control folder keeps it until an operator answers."""
        if self._control.raise_halt_once(self.name, rule, detail):
            logger.error("halt: %s", detail)

    # --- time ----------------------------------------------------------------------------------------------------

    def _is_due(self, what: str, every_ns: int) -> bool:
        now = boot_ns()
        if now < self._due.get(what, 0):
            return False
        self._due[what] = now + every_ns
        return True

    def _on_timer(self) -> None:
        if self._is_due("heartbeat", _HEARTBEAT_NS):
            self._publish_status(self._heartbeat())
        if self._is_due("control", _CONTROL_NS):
            self._hear_control()
        if self.name in LEASE_ISSUERS and self._is_due("lease", LEASE_EVERY_NS):
            self._grant_lease()
        if self._is_due("summary", _SUMMARY_NS):
            self._summarise()
        node = self._node
        if node is None:
            return
        if self._is_due("idle", _IDLE_NS):
            node.on_idle()
        if self._is_due("flush", _FLUSH_NS):
            node.flush_acks()
        every = _SNAPSHOT_SOON_NS if self._is_changed else _SNAPSHOT_NS
        if boot_ns() >= self._due.get("snapshot", 0) + every:
            self._due["snapshot"] = boot_ns()
            self._is_changed = False
            for message in node.snapshot():
                self._publish_status(message)

    def _state(self) -> str:
        if self.failure or self._node is None:
            return f"cannot start: {self.failure}"[:400]
        return "ready" if self._node.is_ready else "waits for the session plan"

    def _summarise(self) -> None:
        """Say now and then what is heard, for whoever runs this service alone; nothing when nothing changed."""
        beat = self._heartbeat()
        heard = f"market step {beat.step}, {self._heard_total} messages heard"
        line = f"{beat.state}; {heard}, {beat.outbox_depth} of ours not acknowledged"
        if line != self._summary:
            self._summary = line
            logger.info("%s", line)

    def _heartbeat(self) -> Heartbeat:
        node = self._node
        now = self._clock.now_ns()
        return Heartbeat(
            ts_event=now,
            ts_init=now,
            service=self.name,
            build=build_id(),
            boot_id=self._boot_id,
            pid=os.getpid(),
            step=node.step if node else 0,
            state=self._state(),
            outbox_depth=node.outbox_depth() if node else 0,
            oldest_unacked_ms=node.oldest_unacked_ms() if node else 0,
            rejected_messages=self._rejected,
        )

    def _grant_lease(self) -> None:
        state = self._control.read()
        node = self._node
        if node is None or self.failure or state.refusal(build_id()) or node.assembly.lease_refusal():
            return
        self._lease_seq += 1
        now = self._clock.now_ns()
        lease = Lease(
            ts_event=now,
            ts_init=now,
            issuer=self.name,
            seq=self._lease_seq,
            halt_counter=state.halt_counter,
            expires_boot_ns=boot_ns() + LEASE_VALID_NS,
        )
        self._sockets.publish(TOPIC_LEASE, encode_message(lease))

    # --- saying --------------------------------------------------------------------------------------------------

    def _publish_status(self, message: StatusMessage) -> None:
        self._sockets.publish(TOPIC_STATUS, encode_message(message))

    def _on_event(self, event: Message) -> None:
        self._events.append(event)

    def _tell(self) -> None:
        """Log and publish what happened, after everything that trades has been sent on its way."""
        for line in self._heard:
            logger.info("%s", line)
        for event in self._events:
            logger.info("%s", event)
            if is_told_by(self.name, type(event)):
                self._sockets.publish(TOPIC_STATUS, encode_message(event))
        self._heard.clear()
        self._events.clear()

    def _send_outbox(self) -> None:
        if self._node is None:
            return
        now = boot_ns()
        epoch = self._node.epoch
        for peer, link in self._node.links.items():
            for row in link.due(now):
                self._send(peer, encode_frame(Data(epoch, row.seq, row.step, row.payload)))

    def _send(self, peer: str, payload: bytes) -> None:
        for name in SERVICES:
            if name == peer:
                self._sockets.send(name, payload)

    def _advance(self) -> None:
        """Tell the next service that our market step is finished, once nothing of it waits here."""
        node = self._node
        if node is None or self._board.own == 0:
            return
        for (sender, receiver), waits_for in STEP_MARKS.items():
            if sender != self.name or not self._board.may_tell(receiver, waits_for):
                continue
            node.on_idle()
            if not node.is_settled():
                return
            node.settle()
            self._send_outbox()
            link = node.links.get(receiver)
            if link is not None and not link.all_sent():
                return
            self._send(receiver, encode_frame(StepMark(self._board.own, link.last if link else 0)))
            self._board.told[receiver] = self._board.own

    def _drive_feed(self) -> None:
        """Publish market data, in the one service that has it, while the chain is active or was activated once."""
        node = self._node
        if node is None or node.assembly.feed is None or node.plan is None or self.failure:
            return
        if self._driver is None:
            # A journaled plan of another day waits for today's, which the watchdog sends at its start.
            is_today = node.plan.session_date == self._setup.env.word("MARKET_DATA_DATE")
            if not self._is_active or not is_today or node.outbox_depth():
                return
            speed = self._setup.env.whole("MARKET_DATA_SPEED")
            try:
                self._driver = FeedDriver(node.assembly.feed(node.plan), speed)
            except CannotStartError as error:
                self._fail(error)
                return
        data = self._driver.due(boot_ns())
        if data is not None:
            self._clock.heard(data.ts_event)
            node.step = data.step
            self._sockets.publish(TOPIC_MARKET, encode_message(data))
