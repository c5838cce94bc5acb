"""The status hub: keeps the newest of everything the bus says, and hands it to every browser that watches.

One thread publishes, one thread for each open stream reads. A browser gets a full snapshot first and then
every change, without a gap between them. A browser that does not keep up is dropped and starts again with a
snapshot.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from bus import messages as m
from bus.clock import boot_ns
from services.web import frames

EVENTS_KEPT: Final = 500
FILLS_KEPT: Final = 500
CURVE_POINTS_MAX: Final = 3000
#: The curve has one point for each stretch of this length on the session's clock; later values replace it.
CURVE_STEP_MS: Final = 15_000
CLIENTS_MAX: Final = 48
CLIENT_QUEUE_FRAMES: Final = 256
HEARTBEAT_EVERY_S: Final = 10.0
_STATUS_NAMES: Final[dict[type[m.Message], str]] = {
    m.ChainStatus: "chain",
    m.PortfolioSnapshot: "portfolio",
    m.OrdersSnapshot: "orders",
    m.LedgerSnapshot: "ledger",
}
#: Heard many times a second; ChainStatus and the snapshots already say what they mean. PastBars are said again at each
#: start, for the services that missed them: nothing happens with them that a person has to see.
_NOT_SHOWN: Final = (m.Lease, m.QuoteBatch, m.BarBatch, m.PastBars)


class HubFullError(Exception):
    """More streams are open than the server has threads for; the message says what to do."""


class Subscription:
    """One browser's stream: a bounded queue of frames."""

    def __init__(self, frames_max: int) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(frames_max)
        self._is_ended = False

    def offer(self, frame: bytes) -> bool:
        """Queue a frame; False means that the queue is full and the stream has ended."""
        try:
            self._queue.put_nowait(frame)
        except queue.Full:
            self.end()
            return False
        return True

    def end(self) -> None:
        """End the stream now: what was queued is dropped, the reader wakes up."""
        self._is_ended = True
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            # The reader is not waiting when its queue is full; it sees the flag before its next frame.
            return

    def read(self, heartbeat_every_s: float = HEARTBEAT_EVERY_S) -> Iterator[bytes]:
        """Yield frames until the stream ends, and a comment whenever nothing happened for a while."""
        while not self._is_ended:
            try:
                frame = self._queue.get(timeout=heartbeat_every_s)
            except queue.Empty:
                yield b": still here\n\n"
                continue
            if frame is None or self._is_ended:
                return
            yield frame


class StatusHub:
    """Thread-safe store of what the bus says, and the fan-out to the open streams."""

    def __init__(self, *, clients_max: int = CLIENTS_MAX, queue_frames: int = CLIENT_QUEUE_FRAMES) -> None:
        self._clients_max = clients_max
        self._queue_frames = queue_frames
        self._lock = threading.Lock()
        self._clients: set[Subscription] = set()
        self._is_closed = False
        self._newest: dict[str, Any] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._fills: deque[dict[str, Any]] = deque(maxlen=FILLS_KEPT)
        self._denied: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._curve: deque[tuple[int, str]] = deque(maxlen=CURVE_POINTS_MAX)
        self._curve_date = ""
        self._events_total = 0
        self._chain_heard_boot_ns: int | None = None
        self._stopped: dict[m.ServiceName, tuple[m.StoppedStream, ...]] = {}

    def publish(self, message: msgspec.Struct) -> None:
        """Keep a message of the catalogue and tell every open stream. Never blocks on a browser."""
        if not isinstance(message, m.Message) or isinstance(message, _NOT_SHOWN):
            return
        with self._lock:
            if isinstance(message, m.Heartbeat):
                # Of a heartbeat only this is shown: the watchdog's ChainStatus already says what the rest means.
                self._keep_stopped(message.service, message.stopped_streams)
                return
            name = _STATUS_NAMES.get(type(message))
            changes = self._keep_status(name, message) if name else self._keep_event(message)
            for kind, value in changes:
                self._send(_frame(kind, value))

    def snapshot(self) -> dict[str, Any]:
        """Return everything the hub knows as JSON values; what was never heard is null or empty."""
        with self._lock:
            return self._snapshot()

    def subscribe(self) -> Subscription:
        """Open a stream; its first frame is the snapshot.

        Raises:
            HubFullError: too many streams are open, or the server is stopping.
        """
        with self._lock:
            if self._is_closed:
                raise HubFullError("The server is stopping. The page connects again by itself.")
            if len(self._clients) >= self._clients_max:
                raise HubFullError(f"{self._clients_max} live pages are open, which is the most. Close one of them.")
            client = Subscription(self._queue_frames)
            client.offer(_frame("snapshot", self._snapshot(), retry_ms=1000))
            self._clients.add(client)
            return client

    def unsubscribe(self, client: Subscription) -> None:
        """Close a stream; twice is harmless."""
        with self._lock:
            self._clients.discard(client)
        client.end()

    def client_count(self) -> int:
        """Return how many streams are open."""
        with self._lock:
            return len(self._clients)

    def close(self) -> None:
        """End every stream, so that the server's threads are free at once."""
        with self._lock:
            self._is_closed = True
            clients = tuple(self._clients)
            self._clients.clear()
        for client in clients:
            client.end()

    def chain(self) -> dict[str, Any] | None:
        """Return the newest ChainStatus as the pages show it; None before the watchdog was heard."""
        with self._lock:
            newest = self._newest.get("chain")
            return dict(newest) if newest else None

    def has_closed(self) -> bool:
        """Tell whether the session's clock has passed its close, as last heard."""
        with self._lock:
            chain, session = self._newest.get("chain"), self._newest.get("session")
        return bool(chain and session and session["is_trading_day"] and chain["ts_event_ms"] >= session["close_ms"])

    def open_positions(self) -> tuple[int, str]:
        """Return how many positions are open and what is allocated to them, in dollars, as last heard."""
        with self._lock:
            portfolio = self._newest.get("portfolio")
        return (len(portfolio["positions"]), portfolio["allocated"]) if portfolio else (0, "0.00")

    def stopped_streams(self) -> tuple[tuple[m.ServiceName, m.StoppedStream], ...]:
        """Return the receiver and the state of every stopped stream, as last heard."""
        with self._lock:
            return tuple((receiver, stop) for receiver, stops in sorted(self._stopped.items()) for stop in stops)

    def stream_goes_on(self, receiver: m.ServiceName, sender: m.ServiceName) -> None:
        """Take a stream off the list because its receiver said so, before its next heartbeat says the same."""
        with self._lock:
            rest = tuple(stop for stop in self._stopped.get(receiver, ()) if stop.sender != sender)
            self._keep_stopped(receiver, rest)

    def _keep_stopped(self, receiver: m.ServiceName, stops: tuple[m.StoppedStream, ...]) -> None:
        if stops != self._stopped.get(receiver, ()):
            self._stopped[receiver] = stops
            self._send(_frame("stopped_streams", self._stopped_view()))

    def _stopped_view(self) -> list[dict[str, Any]]:
        return [
            {"receiver": receiver, **frames.plain(stop)}
            for receiver, stops in sorted(self._stopped.items())
            for stop in stops
        ]

    def _keep_status(self, name: str, message: m.Message) -> list[tuple[str, Any]]:
        changes: list[tuple[str, Any]] = []
        if isinstance(message, m.ChainStatus):
            self._chain_heard_boot_ns = boot_ns()
            self._newest[name] = frames.plain(message)
        elif isinstance(message, m.PortfolioSnapshot):
            self._newest[name] = frames.portfolio_view(message)
            changes.append(("equity", self._add_point(message)))
        else:
            self._newest[name] = frames.plain(message)
        return [(name, self._newest[name]), *changes]

    def _keep_event(self, message: m.Message) -> list[tuple[str, Any]]:
        self._events_total += 1
        line = frames.event_line(message, self._events_total)
        self._events.append(line)
        changes: list[tuple[str, Any]] = [("event", line)]
        if isinstance(message, m.OrderFilled):
            self._fills.append(frames.plain(message))
            changes.append(("fill", self._fills[-1]))
        elif isinstance(message, m.OrderDenied):
            self._denied.append(frames.plain(message))
            changes.append(("denied", self._denied[-1]))
        elif isinstance(message, m.CandidatesRanked):
            self._newest["candidates"] = frames.plain(message)
            changes.append(("candidates", self._newest["candidates"]))
        elif isinstance(message, m.SessionPlanned):
            self._newest["session"] = frames.plain(message)
            changes.append(("session", self._newest["session"]))
        return changes

    def _add_point(self, message: m.PortfolioSnapshot) -> dict[str, Any]:
        if message.session_date != self._curve_date:
            self._curve.clear()
            self._curve_date = message.session_date
        at_ms = message.ts_event // frames.NS_PER_MS // CURVE_STEP_MS * CURVE_STEP_MS
        point = (at_ms, frames.dollars(message.equity_micros))
        if self._curve and at_ms <= self._curve[-1][0]:
            point = (self._curve[-1][0], point[1])
            self._curve[-1] = point
        else:
            self._curve.append(point)
        return {"session_date": self._curve_date, "point": point}

    def _snapshot(self) -> dict[str, Any]:
        heard = self._chain_heard_boot_ns
        return {
            **{name: self._newest.get(name) for name in (*_STATUS_NAMES.values(), "candidates", "session")},
            "chain_age_ms": None if heard is None else (boot_ns() - heard) // frames.NS_PER_MS,
            "equity": list(self._curve),
            "session_date": self._curve_date,
            "fills": list(self._fills),
            "denied": list(self._denied),
            "events": list(self._events),
            "stopped_streams": self._stopped_view(),
        }

    def _send(self, frame: bytes) -> None:
        slow = [client for client in self._clients if not client.offer(frame)]
        self._clients.difference_update(slow)


def _frame(kind: str, value: Any, retry_ms: int | None = None) -> bytes:
    """Return one server-sent event; JSON has no line breaks, so nothing in it can end the event early."""
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    return retry + b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"
