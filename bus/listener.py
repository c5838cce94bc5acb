"""The web UI's place on the bus: hears the status topic of every service, tells halts, gives operators' commands.

The sockets belong to one thread. What the threads of web pages want to say waits in a queue, and a doorbell ends the
socket thread's wait: a halt does not stand in that queue until the next heartbeat.
"""

import logging
import os
import queue
import secrets as random_ids
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bus.assembly import Setup
from bus.build import build_id
from bus.clock import boot_ns, utc_ns
from bus.codec import (
    Command,
    CommandAnswer,
    MalformedMessageError,
    decode_frame,
    decode_message,
    encode_frame,
    encode_message,
)
from bus.endpoints import Endpoints
from bus.halt import HaltRecord
from bus.keys import KeyRing
from bus.messages import HaltRaised, Heartbeat, Message, OperatorRequest, ServiceName
from bus.routes import SERVICES, may_publish, senders_to
from bus.sockets import BindError, BusSockets
from bus.transport import TOPIC_HALT, TOPIC_STATUS

logger = logging.getLogger(__name__)
_BATCH: Final = 256
_HEARTBEAT_NS: Final = 250_000_000
_NS_PER_MS: Final = 1_000_000
#: What pages may have waiting for the socket thread, which empties it within milliseconds.
_OUTGOING_MAX: Final = 64
#: Every service that takes messages from others may have a stream to resolve.
_COMMANDED: Final = tuple(service for service in SERVICES if senders_to(service))


@dataclass
class _Waiting:
    """A command that somebody waits for the answer of."""

    receiver: ServiceName
    answer: CommandAnswer | None = None
    is_over: threading.Event = field(default_factory=threading.Event)


class Doorbell:
    """Ends another thread's wait: a pair of sockets of which the waiting one polls the `descriptor`."""

    def __init__(self) -> None:
        self._inside, self._outside = socket.socketpair()
        self._inside.settimeout(0)
        self._outside.settimeout(0)

    @property
    def descriptor(self) -> int:
        """Return what becomes readable when the bell was rung."""
        return self._inside.fileno()

    def ring(self) -> None:
        """End the wait; harmless when it is over already."""
        try:
            self._outside.send(b"!")
        except OSError:
            # Full: it has been rung often and not yet answered. Closed: nobody waits any more.
            return

    def hush(self) -> None:
        """Take back all rings."""
        try:
            while self._inside.recv(4096):
                continue
        except BlockingIOError:
            return

    def close(self) -> None:
        """Release both ends."""
        self._outside.close()
        self._inside.close()


class StatusListener:
    """One thread that owns the sockets; `on_message` is called in it with the sender and each message."""

    def __init__(self, setup: Setup, ring: KeyRing, on_message: Callable[[ServiceName, Message], None]) -> None:
        self._setup = setup
        self._ring = ring
        self._on_message = on_message
        self._stopping = threading.Event()
        self._boot_id = random_ids.token_hex(6)
        self._rejected = 0
        self._complained: set[tuple[ServiceName, str]] = set()
        #: (to whom, bytes); to nobody in particular = on the halt topic.
        self._outgoing: queue.Queue[tuple[ServiceName | None, bytes]] = queue.Queue(_OUTGOING_MAX)
        self._bell = Doorbell()
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._thread = threading.Thread(target=self._run, name="status-listener", daemon=True)

    def start(self) -> None:
        """Bind, connect, subscribe to every other service, and begin to listen.

        Raises:
            bus.sockets.BindError: another web UI runs on this chain.
        """
        self._sockets = BusSockets(self._ring, Endpoints.from_env(self._setup.paths, self._setup.env))
        try:
            self._sockets.bind()
        except BindError:
            self._sockets.close()
            raise
        self._sockets.also_wait_for(self._bell.descriptor)
        self._sockets.connect(_COMMANDED)
        for publisher in SERVICES:
            if publisher != self._ring.service:
                self._sockets.subscribe(publisher, TOPIC_STATUS)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the sockets; who still waits for an answer gets none."""
        self._stopping.set()
        self._bell.ring()
        self._thread.join()
        self._bell.close()

    # --- what pages say: called in any thread -------------------------------------------------------------------------

    def tell_halt(self, record: HaltRecord) -> None:
        """Tell every service at once of a halt that is on disk, before its next look into the control folder."""
        now = utc_ns()
        notice = HaltRaised(
            ts_event=now,
            ts_init=now,
            counter=record.counter,
            source=self._ring.service,
            rule=record.rule,
            detail=record.detail,
        )
        if not self._put(None, encode_message(notice)):
            logger.error("halt %d is on disk and could not be told at once", record.counter)

    def command(self, message: OperatorRequest, timeout_s: float) -> CommandAnswer | None:
        """Give an operator's command to its receiver, once, and wait for what became of it.

        Returns:
            The receiver's answer; None when nobody answered in time. The command may still be carried out then, as long
            as it is fresh.
        """
        if message.receiver not in _COMMANDED:
            raise ValueError(f"{message.receiver} takes no commands")
        payload = encode_frame(Command(encode_message(message)))
        waiting = _Waiting(message.receiver)
        with self._lock:
            if self._stopping.is_set():
                return None
            self._waiting[message.command_id] = waiting
        try:
            if self._put(message.receiver, payload):
                waiting.is_over.wait(timeout_s)
            return waiting.answer
        finally:
            with self._lock:
                del self._waiting[message.command_id]

    def _put(self, receiver: ServiceName | None, payload: bytes) -> bool:
        try:
            self._outgoing.put_nowait((receiver, payload))
        except queue.Full:
            return False
        self._bell.ring()
        return True

    # --- the socket thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        beat_at = 0
        while not self._stopping.is_set():
            now = boot_ns()
            if now >= beat_at:
                beat_at = now + _HEARTBEAT_NS
                self._sockets.publish(TOPIC_STATUS, encode_message(self._heartbeat()))
            self._sockets.wait(max(1, (beat_at - now) // _NS_PER_MS))
            self._bell.hush()
            self._say()
            self._hear_broadcasts()
            self._hear_answers()
            for item in self._sockets.received(_BATCH):
                if item.sender is not None:
                    self._reject(item.sender, "anything to the web's inbox")
        with self._lock:
            for waiting in self._waiting.values():
                waiting.is_over.set()
        self._sockets.close()

    def _say(self) -> None:
        while True:
            try:
                receiver, payload = self._outgoing.get_nowait()
            except queue.Empty:
                return
            if receiver is None:
                self._sockets.publish(TOPIC_HALT, payload)
            elif not self._sockets.send(receiver, payload):
                logger.warning("a command to %s was not sent: too many wait for it", receiver)

    def _hear_broadcasts(self) -> None:
        for publisher, topic, payload in self._sockets.broadcasts(_BATCH):
            try:
                message = decode_message(payload)
            except MalformedMessageError:
                self._reject(publisher, "what is not a message")
                continue
            kind = type(message)
            if not may_publish(publisher, topic, kind):
                self._reject(publisher, kind.__name__)
            elif isinstance(message, Heartbeat) and message.service != publisher:
                self._reject(publisher, "another service's heartbeat")
            else:
                self._on_message(publisher, message)

    def _hear_answers(self) -> None:
        for peer, payload in self._sockets.answers(_BATCH):
            try:
                frame = decode_frame(payload)
            except MalformedMessageError:
                self._reject(peer, "an answer that is not a frame")
                continue
            if not isinstance(frame, CommandAnswer):
                self._reject(peer, f"{type(frame).__name__} as an answer")
                continue
            with self._lock:
                waiting = self._waiting.get(frame.command_id)
            if waiting is None or waiting.receiver != peer:
                words = "done" if frame.is_done else "refused"
                logger.warning("nobody waits for %s's answer to %r: %s", peer, frame.command_id[:96], words)
                continue
            waiting.answer = frame
            waiting.is_over.set()

    def _reject(self, sender: ServiceName, what: str) -> None:
        """Drop and count what may not be said; the log hears of each sender and kind once, however often it comes."""
        self._rejected += 1
        if (sender, what) not in self._complained:
            self._complained.add((sender, what))
            logger.warning("%s may not say %s here: dropped, and not logged again", sender, what)

    def _heartbeat(self) -> Heartbeat:
        now = utc_ns()
        return Heartbeat(
            ts_event=now,
            ts_init=now,
            service=self._ring.service,
            build=build_id(),
            boot_id=self._boot_id,
            pid=os.getpid(),
            step=0,
            state="ready",
            outbox_depth=0,
            oldest_unacked_ms=0,
            rejected_messages=self._rejected,
            refused_connections=self._sockets.refused_connections(),
        )
