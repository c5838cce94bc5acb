"""The status hub: keeps the newest of everything the bus says, and hands it to every browser that watches.

One thread publishes, one thread for each open stream reads. A browser gets a full snapshot first and then
every change, without a gap between them. A browser that does not keep up is dropped and starts again with a
snapshot.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from bus import messages as m
from bus.clock import boot_ns, utc_ns
from services.web import frames
from services.web.alerts import SILENCE_MS_MAX, Alert, AlertBook, Level, alert_of, stopped_words
from services.web.session_curve import SessionCurve
from services.web.tally import Tally
from services.web.traces import Trace, TraceBook

EVENTS_KEPT: Final = 500
FILLS_KEPT: Final = 500
CLIENTS_MAX: Final = 48
CLIENT_QUEUE_FRAMES: Final = 256
HEARTBEAT_EVERY_S: Final = 10.0
#: A stream sends what has gathered meanwhile at most so often: each time it wakes its thread and its socket, and looks
#: up whether its person is still logged in, on cores that the chain may need.
GATHER_S: Final = 0.1
_STATUS_NAMES: Final[dict[type[m.Message], str]] = {
    m.ChainStatus: "chain",
    m.PortfolioSnapshot: "portfolio",
    m.OrdersSnapshot: "orders",
    m.LedgerSnapshot: "ledger",
    m.HoldingsSnapshot: "holdings",
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
        self._frames_max = frames_max
        self._ended = threading.Event()

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
        self._ended.set()
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            # The reader is not waiting when its queue is full; it sees the flag before its next frame.
            return

    def read(self, heartbeat_every_s: float = HEARTBEAT_EVERY_S) -> Iterator[bytes]:
        """Yield frames until the stream ends, and a comment whenever nothing happened for a while.

        The first frame after a silence is yielded at once; what follows it gathers for a moment and comes in one piece.
        """
        while not self._ended.is_set():
            try:
                frame = self._queue.get(timeout=heartbeat_every_s)
            except queue.Empty:
                yield b": still here\n\n"
                continue
            waiting = self._waiting()
            if frame is None or self._ended.is_set():
                return
            yield b"".join((frame, *waiting))
            self._ended.wait(GATHER_S)

    def _waiting(self) -> list[bytes]:
        """Take what is queued, without waiting for more."""
        taken: list[bytes] = []
        for _ in range(self._frames_max):
            try:
                frame = self._queue.get_nowait()
            except queue.Empty:
                break
            if frame is not None:
                taken.append(frame)
        return taken


class StatusHub:
    """Thread-safe store of what the bus says, and the fan-out to the open streams."""

    def __init__(
        self,
        *,
        alerts: AlertBook | None = None,
        curve: SessionCurve | None = None,
        clients_max: int = CLIENTS_MAX,
        queue_frames: int = CLIENT_QUEUE_FRAMES,
    ) -> None:
        self.alerts = alerts or AlertBook()
        self.tally = Tally(self.alerts.unseen)
        self._clients_max = clients_max
        self._queue_frames = queue_frames
        self._lock = threading.Lock()
        self._clients: set[Subscription] = set()
        self._is_closed = False
        self._newest: dict[str, Any] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._fills: deque[dict[str, Any]] = deque(maxlen=FILLS_KEPT)
        self._denied: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._curve = curve or SessionCurve()
        self._events_total = 0
        self._chain_heard_boot_ns: int | None = None
        self._stopped: dict[m.ServiceName, tuple[m.StoppedStream, ...]] = {}
        self._lag_ms: dict[str, int] = {}
        self._status_of: dict[str, str] = {}
        self._traces = TraceBook()
        self._candidates: m.CandidatesRanked | None = None
        self._stops: dict[str, m.StopLine] = {}
        self._stop_moved_ns: dict[str, int] = {}

    def publish(self, message: msgspec.Struct, sender: str = "") -> None:
        """Keep a message of the catalogue and tell every open stream. Never blocks on a browser."""
        if not isinstance(message, m.Message) or isinstance(message, _NOT_SHOWN):
            return
        self.tally.count(message)
        with self._lock:
            if isinstance(message, m.Heartbeat):
                # Of a heartbeat only this is shown: the watchdog's ChainStatus already says what the rest means.
                self._lag_ms[message.service] = message.oldest_unacked_ms
                self._keep_stopped(message.service, message.stopped_streams)
                return
            self._alert_for(message, sender)
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
        self.alerts.close()

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

    def is_trading(self) -> bool:
        """Tell whether the chain is active and the session's clock is between open and close, as last heard."""
        with self._lock:
            chain, session = self._newest.get("chain"), self._newest.get("session")
        if not chain or not session or chain["state"] != "ACTIVE" or not session["is_trading_day"]:
            return False
        return bool(session["open_ms"] <= chain["ts_event_ms"] < session["close_ms"])

    def open_positions(self) -> tuple[int, str]:
        """Return how many positions are open and what is allocated to them, in dollars, as last heard."""
        with self._lock:
            portfolio = self._newest.get("portfolio")
        return (len(portfolio["positions"]), portfolio["allocated"]) if portfolio else (0, "0.00")

    def candidates(self) -> m.CandidatesRanked | None:
        """Return the newest list of the screener as it was said, None before one was heard."""
        with self._lock:
            return self._candidates

    def chain_age_ms(self) -> int | None:
        """Return how long ago the watchdog was heard, None when it never was."""
        with self._lock:
            heard = self._chain_heard_boot_ns
        return None if heard is None else (boot_ns() - heard) // frames.NS_PER_MS

    def trace(self, intent_id: str) -> Trace | None:
        """Return what is known of one intent, None when nothing is."""
        with self._lock:
            return self._traces.trace(intent_id)

    def traces(self) -> list[Trace]:
        """Return what is known of every intent, oldest first."""
        with self._lock:
            return self._traces.traces()

    def restore(self, kept: Sequence[m.Message]) -> None:
        """Know the newest intents that the services keep, and the fills and denials of the newest session.

        What was heard since this process listens stays; what the journals had by then as well counts once.
        """
        with self._lock:
            known, heard = set(kept), self._traces
            self._traces = TraceBook()
            for message in kept:
                self._traces.add(message)
            for trace in heard.traces():
                for message in trace.messages:
                    if message not in known:
                        self._traces.add(message)
            day = max((one.session_date for one in kept if isinstance(one, m.OrderFilled | m.OrderDenied)), default="")
            for kind, lines in ((m.OrderFilled, self._fills), (m.OrderDenied, self._denied)):
                past = [frames.plain(one) for one in kept if isinstance(one, kind) and one.session_date == day]
                fresh = [line for line in lines if line not in past]
                lines.clear()
                lines.extend([*past, *fresh])

    def acknowledge(self, number: int | None, by: str) -> int:
        """Mark one alert as seen by somebody, or all with None, and tell every open page; return how many."""
        count = self.alerts.acknowledge(number, by, utc_ns() // frames.NS_PER_MS)
        with self._lock:
            self._send(_frame("alerts", self._alerts_view(None)))
        return count

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
        before = self._stopped.get(receiver, ())
        if stops != before:
            self._stopped[receiver] = stops
            self._send(_frame("stopped_streams", self._stopped_view()))
            for stop in stops:
                if (stop.sender, stop.rule) not in {(known.sender, known.rule) for known in before}:
                    self._alert("bad", "stopped stream", receiver, stopped_words(receiver, stop))

    def _stopped_view(self) -> list[dict[str, Any]]:
        return [
            {"receiver": receiver, **frames.plain(stop)}
            for receiver, stops in sorted(self._stopped.items())
            for stop in stops
        ]

    def _keep_status(self, name: str, message: m.Message) -> list[tuple[str, Any]]:
        changes: list[tuple[str, Any]] = []
        if isinstance(message, m.ChainStatus):
            self._newest[name] = self._chain_view(message)
        elif isinstance(message, m.PortfolioSnapshot):
            self._newest[name] = frames.portfolio_view(message, self._stops, self._stop_moved_ns)
            changes.append(("equity", self._curve.add(message)))
        elif isinstance(message, m.OrdersSnapshot):
            self._keep_stops(message)
            self._newest[name] = self._orders_view(message)
        else:
            self._newest[name] = frames.plain(message)
        return [(name, self._newest[name]), *changes]

    def _chain_view(self, message: m.ChainStatus) -> dict[str, Any]:
        """Return the watchdog's status with what heartbeats and alerts say of each service."""
        heard, now = self._chain_heard_boot_ns, boot_ns()
        self._chain_heard_boot_ns = now
        silent_ms = 0 if heard is None else (now - heard) // frames.NS_PER_MS
        if silent_ms > SILENCE_MS_MAX:
            words = f"The watchdog was not heard for {silent_ms / 1000:.1f} s: what was shown then was old."
            self._alert("warn", "lost link", "watchdog", words)
        for line in message.services:
            before = self._status_of.get(line.service, "up")
            self._status_of[line.service] = line.status
            if line.status in {"stale", "down"} and before == "up":
                self._alert("bad", "service", line.service, f"{line.service} is {line.status}: {line.detail}")
        view: dict[str, Any] = frames.plain(message)
        for row in view["services"]:
            last = self.alerts.last_bad_of(row["service"])
            row["lag_ms"] = self._lag_ms.get(row["service"], 0)
            row["last_error"] = last.text if last else ""
        return view

    def _keep_stops(self, message: m.OrdersSnapshot) -> None:
        """Remember where each stop stands, and when it was last seen to move; the first sight is no move."""
        stops = {line.intent_id: line for line in message.stops}
        for intent_id, line in stops.items():
            before = self._stops.get(intent_id)
            if before is not None and before.stop_micros != line.stop_micros:
                self._stop_moved_ns[intent_id] = message.ts_event
        self._stops = stops
        self._stop_moved_ns = {key: at for key, at in self._stop_moved_ns.items() if key in stops}

    def _orders_view(self, message: m.OrdersSnapshot) -> dict[str, Any]:
        """Return the orders, each with the newest words about it that were heard of the broker's side."""
        view: dict[str, Any] = frames.plain(message)
        for row in view["orders"]:
            row["broker_words"] = self._traces.broker_words(row["client_order_id"])
        return view

    def _alert_for(self, message: m.Message, sender: str) -> None:
        order_id = getattr(message, "client_order_id", "")
        trace = self._traces.trace(self._traces.intent_of(order_id)) if order_id else None
        prepared = trace.first(m.OrderPrepared) if trace else None
        found = alert_of(message, prepared.symbol if isinstance(prepared, m.OrderPrepared) else "")
        if found:
            level, kind, text = found
            self._alert(level, kind, sender or str(getattr(message, "source", "")), text)

    def _alert(self, level: Level, kind: str, source: str, text: str) -> None:
        made = self.alerts.add(level, kind, source, text, ts_ms=utc_ns() // frames.NS_PER_MS)
        if made.times == 1:
            self._send(_frame("alerts", self._alerts_view(made)))

    def _alerts_view(self, newest: Alert | None) -> dict[str, Any]:
        """Return how many alerts nobody has seen, and the one that is new; a snapshot has no new one."""
        return {"unseen": self.alerts.unseen(), "newest": frames.plain(newest)}

    def _keep_event(self, message: m.Message) -> list[tuple[str, Any]]:
        self._events_total += 1
        self._traces.add(message)
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
            self._candidates = message
            self._newest["candidates"] = frames.plain(message)
            changes.append(("candidates", self._newest["candidates"]))
        elif isinstance(message, m.SessionPlanned):
            self._newest["session"] = frames.plain(message)
            changes.append(("session", self._newest["session"]))
        return changes

    def _snapshot(self) -> dict[str, Any]:
        heard = self._chain_heard_boot_ns
        return {
            **{name: self._newest.get(name) for name in (*_STATUS_NAMES.values(), "candidates", "session")},
            "chain_age_ms": None if heard is None else (boot_ns() - heard) // frames.NS_PER_MS,
            "equity": self._curve.points(),
            "session_date": self._curve.session_date,
            "fills": list(self._fills),
            "denied": list(self._denied),
            "events": list(self._events),
            "stopped_streams": self._stopped_view(),
            "alerts": self._alerts_view(None),
        }

    def _send(self, frame: bytes) -> None:
        slow = [client for client in self._clients if not client.offer(frame)]
        self._clients.difference_update(slow)


def _frame(kind: str, value: Any, retry_ms: int | None = None) -> bytes:
    """Return one server-sent event; JSON has no line breaks, so nothing in it can end the event early."""
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    return retry + b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"
