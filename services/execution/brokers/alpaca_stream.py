"""Alpaca's trade_updates as a hint: which orders to look at soon. Nothing is booked from it, and all of it may be lost.

alpaca-py's own stream swallows its errors and needs an event loop; this needs a thread, a socket and two messages.
Source: Alpaca "Websocket streaming", read 2026-11: JSON in binary frames; nothing is replayed after a reconnect.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

#: Ids that wait to be looked at; beyond that everything is.
HINTS_MAX: Final = 1_000
#: The push of an execution may be ahead of the list: it is looked for so often before the regular look has to find it.
FILL_LOOKS: Final = 5
FRAME_BYTES_MAX: Final = 1_048_576
_OPEN_S: Final = 5.0
#: How often the thread looks whether it has to end, in seconds.
_LISTEN_S: Final = 1.0
_BACK_OFF_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_log = logging.getLogger(__name__)
#: The library writes each frame into its log at DEBUG, the one with the secret too: its own level forbids that.
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.setLevel(logging.WARNING)


class Hints:
    """Client ids that something happened to, in the order of the news; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, None] = {}
        self._is_all = False
        self._fill_looks = 0

    def put(self, client_order_id: str, *, is_fill: bool) -> None:
        """Note one."""
        with self._lock:
            self._ids[client_order_id] = None
            if is_fill:
                self._fill_looks = FILL_LOOKS
            self._is_all = self._is_all or len(self._ids) > HINTS_MAX

    def put_all(self) -> None:
        """Note that anything may have happened."""
        with self._lock:
            self._is_all, self._fill_looks = True, FILL_LOOKS

    def take(self) -> tuple[list[str], bool]:
        """Return and forget them: the ids, and whether every order should be looked at."""
        with self._lock:
            taken = list(self._ids), self._is_all
            self._ids.clear()
            self._is_all = False
            return taken

    def take_fill_look(self) -> bool:
        """Tell whether the executions should be read now; so many times for one hint, until one is found."""
        with self._lock:
            is_due = self._fill_looks > 0
            self._fill_looks = max(0, self._fill_looks - 1)
            return is_due

    def found_fills(self) -> None:
        """Note that executions were found: what was hinted at is there."""
        with self._lock:
            self._fill_looks = 0


class Stream:
    """A thread that listens, reconnects, and never decides anything.

    Args:
        keys: the key id and its secret; neither is in any log or message.
        url: where the stream is.
        hints: where the news go.
    """

    def __init__(self, keys: tuple[str, str], url: str, hints: Hints) -> None:
        self._keys = keys
        self._url = url
        self._hints = hints
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alpaca-stream", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, and wait for it briefly."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * _LISTEN_S)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            words = self._listen()
            if self._stop.is_set():
                return
            # A connection that had been authorized begins anew with the shortest wait.
            failures = 0 if words is None else failures + 1
            wait_s = _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
            _log.info("no trade updates (%s): only polled, tried again in %.0f s", words or "cut off", wait_s)
            self._stop.wait(wait_s)

    def _listen(self) -> str | None:
        """Listen until the connection ends; return why it never began, or None when it had begun."""
        has_begun = False
        try:
            with connect(
                self._url,
                open_timeout=_OPEN_S,
                close_timeout=_LISTEN_S,
                max_size=FRAME_BYTES_MAX,
                proxy=None,
                logger=_library_log,
            ) as socket:
                if not self._is_let_in(socket):
                    return "the stream refuses the keys"
                has_begun = True
                # What happened while nobody listened is not told again.
                self._hints.put_all()
                while not self._stop.is_set():
                    self._hear(socket)
        except (WebSocketException, InvalidHandshake, InvalidURI, OSError) as error:
            return None if has_begun else type(error).__name__
        return None

    def _is_let_in(self, socket: ClientConnection) -> bool:
        key_id, secret = self._keys
        _say(socket, {"action": "authenticate", "data": {"key_id": key_id, "secret_key": secret}})
        told = _read(socket, _OPEN_S)
        data = told.get("data") if told else None
        if not isinstance(data, dict) or data.get("status") != "authorized":
            return False
        _say(socket, {"action": "listen", "data": {"streams": ["trade_updates"]}})
        return True

    def _hear(self, socket: ClientConnection) -> None:
        told = _read(socket, _LISTEN_S)
        if not told or told.get("stream") != "trade_updates":
            return
        data = told.get("data")
        order = data.get("order") if isinstance(data, dict) else None
        name = order.get("client_order_id") if isinstance(order, dict) else None
        if not isinstance(data, dict) or not isinstance(name, str) or not name:
            # Something happened, and it does not say to what.
            self._hints.put_all()
            return
        self._hints.put(name, is_fill=data.get("event") in {"fill", "partial_fill"})


def _say(socket: ClientConnection, message: dict[str, Any]) -> None:
    socket.send(msgspec.json.encode(message).decode())


def _read(socket: ClientConnection, timeout_s: float) -> dict[str, Any] | None:
    """Return the next message; None when none came in time, or it is no JSON object."""
    try:
        frame = socket.recv(timeout=timeout_s)
    except TimeoutError:
        return None
    try:
        return msgspec.json.decode(frame, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


#: Makes a stream out of keys, address and hints: a test may give one that hears nothing.
StreamMaker = Callable[[tuple[str, str], str, Hints], Stream]
