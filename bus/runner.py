"""The loop of one service's process: receive -> core -> commit -> acknowledge -> send; heartbeats, leases, halts.

The loop blocks on its sockets; nothing here decides. Start and recovery are the same path: fold the journal.
"""

import logging
import os
import secrets as random_ids
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from bus.aftermath import Aftermath
from bus.assembly import Assembly, CannotStartError, Ports, Setup
from bus.broadcasts import Broadcast, Broadcasts
from bus.build import build_id
from bus.clock import boot_ns
from bus.codec import MalformedMessageError, encode_message
from bus.control import ControlFolder
from bus.courier import Courier
from bus.failpoints import Failpoint
from bus.gate import RunnerGate
from bus.halt import LEASE_EVERY_NS, ArmRecord, LeaseBook, announcement
from bus.lease_giver import LeaseGiver
from bus.leaving import leave
from bus.life import Life
from bus.live_feed import session_clock
from bus.market_drive import MarketDrive
from bus.messages import (
    BarBatch,
    ChainStatus,
    FeedEnded,
    HaltRaised,
    Heartbeat,
    Lease,
    MarketMessage,
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
    SERVICES,
    STEP_MARKS,
    peers_of,
    receivers,
)
from bus.sockets import topics_between
from bus.store import Store
from bus.timers import Timer, Timers
from bus.transport import TOPIC_HALT, TOPIC_MARKET, TOPIC_STATUS, Transport
from config.live_source import is_live

logger = logging.getLogger(__name__)

_BATCH: Final = 64
_HEARTBEAT_NS: Final = 250_000_000
_IDLE_NS: Final = 20_000_000
_CONTROL_NS: Final = 50_000_000
_SNAPSHOT_NS: Final = 1_000_000_000
_SNAPSHOT_SOON_NS: Final = 250_000_000
_FLUSH_NS: Final = 1_000_000_000
_SUMMARY_NS: Final = 5_000_000_000
_POLL_MS: Final = 20
#: How long a service that has taken a halt lets the others take it before it begins to cancel.
_HALT_YIELD_NS: Final = 5_000_000
_INTRUDER_NS: Final = 1_000_000_000
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
        self._clock = session_clock(setup.env)
        self._leases = LeaseBook(LEASE_ISSUERS)
        self._node: Node[Any] | None = None
        self._courier: Courier | None = None
        self._market = MarketDrive(setup.env)
        self._is_live = is_live(setup.env)
        self._is_active = False
        self._stop = False
        self._boot_id = random_ids.token_hex(6)
        self._parent = Parent()
        self._rejected = 0
        self._shown_ns = 0
        self._life = Life(boot_ns())
        self._broadcasts = Broadcasts(sockets, self._reject)
        self._control_stamp: tuple[int, ...] = ()
        self._control_glance: tuple[int, int] | None = None
        self._control_due = 0
        self._control_seen: tuple[int, bool, ArmRecord | None] | None = None
        self._halt_counter = 0
        self._is_changed = True
        self._summary = ""
        self._aftermath = Aftermath(name, sockets, self._has_changed)
        self._heartbeats = Timer(_HEARTBEAT_NS, self._beat)
        self._lease_giver = LeaseGiver(name, self._control, sockets, self._clock)
        leases = (Timer(LEASE_EVERY_NS, self._grant_lease),) if name in LEASE_ISSUERS else ()
        self._timers = Timers(
            self._heartbeats,
            Timer(_CONTROL_NS, self._hear_control),
            Timer(_SUMMARY_NS, self._summarise),
            Timer(_INTRUDER_NS, self._check_sockets),
            Timer(_IDLE_NS, self._idle),
            Timer(_FLUSH_NS, self._flush),
            Timer(_SNAPSHOT_SOON_NS, self._show),
            *leases,
        )
        self._hears_control = name == "watchdog" or name in receivers("watchdog", HaltRaised)
        # Live data has no lock-step: nobody waits for anybody to finish a step.
        marks = () if self._is_live else STEP_MARKS.items()
        self._marks = tuple((r, waits) for (s, r), waits in marks if s == name)
        self._halt_point = Failpoint(f"{name}.halt")

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
        self._store = Store(self._setup.paths.state / f"{self.name}.db", "FULL" if self.name in _SYNCED else "NORMAL")
        try:
            assembly = build(self._setup).checked()
            assembly.attach(
                Ports(RunnerGate(self._control, self._leases), self._publish_status, self._halt, self.breathe)
            )
            node = Node(self.name, assembly, self._store, clock=self._clock, on_event=self._aftermath.events.append)
            node.start()
            self._node = node
            self._courier = self._courier_of(node)
        except CannotStartError as error:
            self._fail(error)

    def _courier_of(self, node: Node[Any]) -> Courier:
        courier = Courier(
            node,
            self._sockets,
            life=self._boot_id,
            halt=self._halt,
            halt_counter=lambda: self._control.read().halt_counter,
        )
        if self.name == MARKET_PUBLISHER:
            courier.on_mark = self._hear_mark
        return courier

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stop = True

    def run(self) -> None:
        """Loop until stopped, or until supervisord is gone."""
        while not self._stop and not self._parent.has_died():
            self._sockets.wait(self.wait_ms())
            self.turn()
        if self._stop:
            self._wind_down()
        self.close()

    def turn(self) -> None:
        """Go through the loop once: hear what has arrived, do what is due, send what waits. Never blocks."""
        now = boot_ns()
        self._check_loop_gap(now)
        if self._control_due and now >= self._control_due:
            self._hear_control()
        self._hear_broadcasts()
        courier = self._courier
        if courier is None:
            self._drain()
            self._timers.run(boot_ns())
            return
        courier.hear_answers()
        try:
            courier.hear_inbox()
        except CannotStartError as error:
            self._fail(error)
        # What was decided leaves before anything else is done; most of the rest waits until nothing trades.
        courier.send()
        self._timers.run(boot_ns())
        self._advance(courier)
        courier.send()
        self._drive_feed()
        self._aftermath.follows(courier)

    def _wind_down(self) -> None:
        """Do what is owed before the end, and say good-bye."""
        self._leases.forget()
        if self._node is not None and self._courier is not None:
            leave(self._node, self._courier, self._sockets, self._say_last)
        self._publish_status(replace(self._heartbeat(), state="stopping", ends=True))

    def _say_last(self) -> None:
        self._heartbeats.run(boot_ns())
        if self._courier:
            self._aftermath.ends(self._courier)

    def _drain(self) -> None:
        """Let nothing pile up in a service that could not be built; its senders keep what is not acknowledged."""
        self._sockets.received(_BATCH)
        self._sockets.answers(_BATCH)

    def close(self) -> None:
        """Make the last acknowledgements durable and release everything."""
        if self._node:
            self._node.flush_acks()
            self._node.assembly.shell.close()
        self._market.close()
        self._store.close()
        self._sockets.close()

    def wait_ms(self) -> int:
        """Return how long the loop may block: neither a paced feed nor a halt waits for the next heartbeat."""
        if self._control_due:
            return _HALT_YIELD_NS // 1_000_000
        wait_ns = self._market.wait_ns(boot_ns())
        return self._aftermath.wait_ms(_POLL_MS if wait_ns is None else min(_POLL_MS, wait_ns // 1_000_000))

    def _fail(self, error: CannotStartError) -> None:
        self.failure = str(error)
        logger.critical("cannot start: %s", error)

    # --- hearing -------------------------------------------------------------------------------------------------

    def breathe(self) -> None:
        """Show life, and take leases and halts, while a call into the world outside is waited for.

        Called in the loop's own thread, from within the node: the node is not entered again. What else arrives waits
        for the next turn.
        """
        self._show_life(boot_ns())
        for broadcast in self._broadcasts.urgent_by_now():
            self._hear_urgent(broadcast)
        self._heartbeats.run(boot_ns())

    def _show_life(self, now: int) -> None:
        """Drop the leases after a gap in our own life: we cannot know what happened meanwhile."""
        if self._life.shows(now):
            logger.warning("the loop stood still for %d ms: leases dropped", self._life.stood_ms)
            self._leases.forget()

    def _check_loop_gap(self, now: int) -> None:
        self._show_life(now)
        if self._life.stood_ms:
            if self._node:
                self._node.on_gap()
            self._life.answered(boot_ns())

    def _hear_broadcasts(self) -> None:
        for broadcast in self._broadcasts.heard():
            if broadcast.is_urgent:
                self._hear_urgent(broadcast)
            elif isinstance(broadcast.message, QuoteBatch | BarBatch | FeedEnded):
                self._hear_market(broadcast.message)
            else:
                self._hear_status(broadcast.publisher, broadcast.message)

    def _hear_urgent(self, broadcast: Broadcast) -> None:
        message = broadcast.message
        if isinstance(message, HaltRaised):
            self._hear_halt(message)
        elif isinstance(message, Lease) and message.issuer == broadcast.publisher and self._may_be_leased(message):
            self._leases.heard(message.issuer, message.expires_boot_ns, boot_ns())

    def _may_be_leased(self, lease: Lease) -> bool:
        # Before a gap was answered nobody has looked at the broker; at the end this process has said good-bye.
        return lease.halt_counter >= self._halt_counter and not (self._life.stood_ms or self._stop)

    def _hear_halt(self, notice: HaltRaised) -> None:
        """Take a halt at once, not at the next look into the control folder.

        Where services share a disk the record is there already; where they do not, it is written here as well.
        """
        counter = self._control.adopt_halt(notice.counter, notice.source, notice.rule, notice.detail)
        # The gate is closed by the record. Everybody says that it knows before anybody begins to cancel, because the
        # services share the processors.
        self._take_halt(counter)
        self._control_due = boot_ns() + _HALT_YIELD_NS

    def _take_halt(self, counter: int) -> None:
        """Let no older lease count from here on, and say in a heartbeat that this halt was taken."""
        if counter > self._halt_counter:
            self._halt_counter = counter
            self._leases.forget()
            self._publish_status(self._heartbeat())

    def _hear_market(self, data: MarketMessage) -> None:
        node, courier = self._node, self._courier
        if node is None or courier is None:
            return
        # The control folder comes first: whoever sees step 1 of a replay also sees the arm record that started it.
        glance = self._control.glance()
        if glance is None or glance != self._control_glance:
            self._hear_control()
            self._control_glance = glance
        if data.step <= node.step:
            courier.board.again(data.step)
        else:
            node.on_market(data)
            courier.board.own = node.step
            self._is_changed = True
            self._aftermath.comes()
            courier.apply_held()
            if self._is_live:
                node.settle()

    def _hear_status(self, publisher: ServiceName, message: Message) -> None:
        if isinstance(message, ChainStatus) and publisher == "watchdog":
            self._is_active = message.state == "ACTIVE"
        if self._node:
            self._node.assembly.on_status(publisher, message)

    def _hear_control(self) -> None:
        """Turn a change of the control folder into a message for the core, once, and acknowledge a halt."""
        node = self._node
        self._control_due = 0
        if node is None:
            return
        stamp = self._control.stamp()
        if stamp == self._control_stamp:
            return
        self._control_stamp = stamp
        state = self._control.read()
        refusal = state.refusal(build_id())
        # Before the core acts on it: the cancels of many orders take a while.
        self._take_halt(state.halt_counter)
        seen = (state.halt_counter if state.is_halted() else -1, refusal is None, state.arm)
        if seen != self._control_seen and self._hears_control:
            node.on_input(announcement(state, refusal, self._clock.now_ns()))
            self._is_changed = True
        self._control_seen = seen

    def _hear_mark(self, step: int) -> None:
        self._market.heard_mark(step)

    def _reject(self, sender: str, error: MalformedMessageError, payload: bytes) -> None:
        if self._courier:
            self._courier.reject(sender, error, payload)
        else:
            self._rejected += 1

    def _halt(self, rule: str, detail: str) -> None:
        """Halt once for each reason: on disk first, then on the bus. It stands until an operator answers it."""
        with self._halt_point:
            record = self._control.raise_halt_once(self.name, rule, detail)
        if record is None:
            return
        logger.error("halt %d: %s", record.counter, detail)
        now = self._clock.now_ns()
        notice = HaltRaised(
            ts_event=now,
            ts_init=now,
            counter=record.counter,
            source=self.name,
            rule=rule,
            detail=record.detail,
        )
        self._sockets.publish(TOPIC_HALT, encode_message(notice))

    # --- time ----------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        self._publish_status(self._heartbeat())

    def _check_sockets(self) -> None:
        intruder = self._sockets.intruder()
        if intruder:
            self._halt("stolen_socket", intruder)

    def _idle(self) -> None:
        if self._node:
            self._node.on_idle()

    def _flush(self) -> None:
        if self._node:
            self._node.flush_acks()

    def _show(self) -> None:
        """Publish what the status topic should show, soon after a change and once a second."""
        now = boot_ns()
        if self._node is None or not (self._is_changed or now >= self._shown_ns + _SNAPSHOT_NS):
            return
        self._shown_ns = now
        self._is_changed = False
        for message in self._node.snapshot():
            self._publish_status(message)

    def _state(self) -> str:
        if self._stop:
            return "stopping"
        if self.failure:
            return f"cannot start: {self.failure}"[:400]
        if self._node is None:
            return "starting"
        return (self._node.assembly.unready() or "ready") if self._node.is_ready else "waits for the session plan"

    def _summarise(self) -> None:
        """Say now and then what is heard, for whoever runs this service alone; nothing when nothing changed."""
        beat = self._heartbeat()
        total = self._courier.heard_total if self._courier else 0
        line = f"{beat.state}; market step {beat.step}, {total} messages heard, {beat.outbox_depth} unacknowledged"
        if line != self._summary:
            self._summary = line
            logger.info("%s", line)

    def _heartbeat(self) -> Heartbeat:
        node, courier = self._node, self._courier
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
            rejected_messages=courier.rejected if courier else self._rejected,
            dropped_messages=self._broadcasts.dropped,
            market_holes=self._broadcasts.holes,
            refused_connections=self._sockets.refused_connections(),
            halt_counter=self._halt_counter,
            reconciled_ms=node.assembly.reconciled_ms() if node else -1,
            stopped_streams=tuple(courier.stopped.values()) if courier else (),
            remark=node.assembly.remark() if node else "",
        )

    def _grant_lease(self) -> None:
        node = self._node
        if node is not None and not self.failure and not node.assembly.lease_refusal():
            self._lease_giver.grant()

    # --- saying --------------------------------------------------------------------------------------------------

    def _publish_status(self, message: StatusMessage) -> None:
        self._sockets.publish(TOPIC_STATUS, encode_message(message))

    def _has_changed(self) -> None:
        self._is_changed = True

    def _advance(self, courier: Courier) -> None:
        """Tell the next service that our market step is finished, once nothing of it waits here."""
        node, board = self._node, courier.board
        if node is None or board.own in (0, board.all_told):
            return
        for receiver, waits_for in self._marks:
            if not board.may_tell(receiver, waits_for):
                continue
            node.on_idle()
            if not node.is_settled():
                return
            node.settle()
            courier.send()
            if not courier.tell_step(receiver):
                return
        if all(board.told.get(receiver, 0) >= board.own for receiver, _ in self._marks):
            board.all_told = board.own

    def _drive_feed(self) -> None:
        """Publish market data, in the one service that has it."""
        node, data = self._node, None
        if node is None or self.failure:
            return
        try:
            data = self._market.due(node, is_active=self._is_active)
        except CannotStartError as error:
            self._fail(error)
        if data is not None:
            self._clock.heard(data.ts_event)
            node.step = data.step
            self._sockets.publish(TOPIC_MARKET, encode_message(data))
