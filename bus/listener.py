"""Hears the status topic of every service in a thread of its own, for the web UI; says that the web UI is alive."""

import logging
import os
import secrets as random_ids
import threading
from collections.abc import Callable
from typing import Final

from bus.assembly import Setup
from bus.build import build_id
from bus.clock import boot_ns, utc_ns
from bus.codec import MalformedMessageError, decode_message, encode_message
from bus.endpoints import Endpoints
from bus.keys import KeyRing
from bus.messages import Heartbeat, Message, ServiceName
from bus.routes import SERVICES
from bus.sockets import BusSockets
from bus.transport import TOPIC_STATUS

logger = logging.getLogger(__name__)
_POLL_MS: Final = 100
_BATCH: Final = 256
_HEARTBEAT_NS: Final = 150_000_000


class StatusListener:
    """One thread that owns the sockets; `on_message` is called in it with the sender and each message."""

    def __init__(self, setup: Setup, ring: KeyRing, on_message: Callable[[ServiceName, Message], None]) -> None:
        self._setup = setup
        self._ring = ring
        self._on_message = on_message
        self._stopping = threading.Event()
        self._boot_id = random_ids.token_hex(6)
        self._thread = threading.Thread(target=self._run, name="status-listener", daemon=True)

    def start(self) -> None:
        """Bind, subscribe to every other service, and begin to listen.

        Raises:
            bus.sockets.BindError: another web UI runs on this chain.
        """
        self._sockets = BusSockets(self._ring, Endpoints.from_env(self._setup.paths, self._setup.env))
        self._sockets.bind()
        for publisher in SERVICES:
            if publisher != self._ring.service:
                self._sockets.subscribe(publisher, TOPIC_STATUS)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the sockets."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        beat_at = 0
        while not self._stopping.is_set():
            self._sockets.wait(_POLL_MS)
            for publisher, _topic, payload in self._sockets.broadcasts(_BATCH):
                try:
                    message = decode_message(payload)
                except MalformedMessageError:
                    logger.warning("refused %d bytes from %s", len(payload), publisher)
                    continue
                self._on_message(publisher, message)
            if boot_ns() >= beat_at:
                beat_at = boot_ns() + _HEARTBEAT_NS
                self._sockets.publish(TOPIC_STATUS, encode_message(self._heartbeat()))
        self._sockets.close()

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
            rejected_messages=0,
        )
