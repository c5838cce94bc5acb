"""A line that fails: an HTTP proxy on 127.0.0.1 between an adapter and a stand-in. It spoils what it is told to.

    with FaultProxy(alpaca.port) as proxy:
        proxy.spoil("POST", "/v2/orders", "status_after", status=504)     # the next such request, once
        ... http://127.0.0.1:{proxy.port} ...
        assert proxy.count("POST", "/v2/orders") == 1                     # what came, forwarded or not

What a fault does to a request:

* `delay`: it is forwarded after `seconds`;                  * `drip`: its answer comes a byte at a time;
* `silent_before`: never forwarded, never answered;          * `silent_after`: forwarded, never answered;
* `reset_before`: the connection is reset instead;           * `reset_after`: forwarded, then reset;
* `status_before`: answered with `status`, not forwarded;    * `status_after`: forwarded, answered with `status`;
* `truncated`: forwarded, and half of its answer comes;      * `garbage`, `empty`: forwarded, and the answer is a page,
* `late`: never answered, forwarded in `release_late`;         or nothing at all, with status 200;
* `twice`: forwarded twice, and the second answer comes.

`cut` resets every connection at once and every new one, until `mend`.
"""

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT_S = 5.0


@dataclass
class Fault:
    """What is done to the requests that match, after `skips` of them; `times` < 0 = to all of them."""

    method: str
    path: str
    kind: str
    status: int = 504
    seconds: float = 0.5
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"<html>an error page</html>"
    times: int = 1
    skips: int = 0


@dataclass
class Request:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class FaultProxy:
    """Forwards to a port of 127.0.0.1."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.seen: list[tuple[str, str]] = []
        self.is_cut = False
        #: Asked for each request that no fault was named for: what becomes of it, None = nothing.
        self.chooser: Callable[[Request], Fault | None] = lambda _request: None
        self._faults: list[Fault] = []
        self._late: list[Request] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        outer = self

        class Handler(_Handler):
            proxy = outer

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and let go of whoever still waits."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._reset_all()
        self._thread.join(5)

    def spoil(self, method: str, path: str, kind: str, **more: Any) -> Fault:
        """Spoil the next request of this method to a path that the pattern matches; `times` of them."""
        fault = Fault(method, path, kind, **more)
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._faults.clear()

    def cut(self) -> None:
        """Let nothing through from now on."""
        self.is_cut = True
        self._reset_all()

    def mend(self) -> None:
        """Let everything through again."""
        self.is_cut = False

    def count(self, method: str, path: str) -> int:
        """Return how many requests came, whatever became of them."""
        with self._lock:
            return sum(one[0] == method and re.fullmatch(path, one[1]) is not None for one in self.seen)

    def release_late(self) -> int:
        """Forward what was held back; return how many requests that were."""
        with self._lock:
            late, self._late = self._late, []
        for request in late:
            self.forward(request)
        return len(late)

    # --- for the handler ---

    def fault_for(self, request: Request) -> Fault | None:
        """Note a request, and take the fault that it meets."""
        path = request.target.split("?")[0]
        with self._lock:
            self.seen.append((request.method, path))
            for fault in self._faults:
                if not fault.times or fault.method not in {request.method, "*"} or not re.fullmatch(fault.path, path):
                    continue
                if fault.skips:
                    fault.skips -= 1
                    continue
                fault.times -= 1
                return fault
        return self.chooser(request)

    def hold_back(self, request: Request) -> None:
        """Keep a request for later."""
        with self._lock:
            self._late.append(request)

    def forward(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        """Ask the stand-in."""
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=WAIT_S)
        try:
            connection.request(request.method, request.target, request.body or None, request.headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        self._closing.wait(seconds)

    def opened(self, one: socket.socket) -> None:
        """Remember a connection, so that it can be reset."""
        with self._lock:
            self._open.add(one)

    def closed(self, one: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(one)

    def _reset_all(self) -> None:
        with self._lock:
            sockets = list(self._open)
        for one in sockets:
            reset(one)


def reset(one: socket.socket) -> None:
    """End a connection with a reset."""
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, _request: Any, _address: Any) -> None:
        """Say nothing of connections that were cut on purpose."""


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.proxy.opened(self.connection)

    def finish(self) -> None:
        self.proxy.closed(self.connection)
        super().finish()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, dict(self.headers.items()), body)
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._tunnel(request)
            return
        fault = self.proxy.fault_for(request)
        if self.proxy.is_cut:
            self._reset()
            return
        if fault is None:
            self._answer(*self.proxy.forward(request))
            return
        self._spoil(fault, request)

    def _spoil(self, fault: Fault, request: Request) -> None:
        match fault.kind:
            case "delay":
                self.proxy.wait(fault.seconds)
                self._answer(*self.proxy.forward(request))
            case "drip":
                self._answer(*self.proxy.forward(request), pause_s=fault.seconds)
            case "silent_before":
                self._be_silent()
            case "late":
                self.proxy.hold_back(request)
                self._be_silent()
            case "reset_before":
                self._reset()
            case "twice":
                self.proxy.forward(request)
                self._answer(*self.proxy.forward(request))
            case "status_before":
                self._answer(fault.status, fault.headers, fault.body)
            case _:
                self._spoil_after(fault, *self.proxy.forward(request))

    def _spoil_after(self, fault: Fault, status: int, headers: dict[str, str], body: bytes) -> None:
        match fault.kind:
            case "silent_after":
                self._be_silent()
            case "reset_after":
                self._reset()
            case "status_after":
                self._answer(fault.status, fault.headers, fault.body)
            case "truncated":
                self._answer(status, headers, body, is_cut_short=True)
            case "garbage":
                self._answer(status, {}, b"<html>not what was asked for")
            case "empty":
                self._answer(status, {}, b"")
            case _:
                raise AssertionError(fault.kind)

    def _answer(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        *,
        is_cut_short: bool = False,
        pause_s: float = 0.0,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if is_cut_short:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        if not pause_s:
            self.wfile.write(body)
            return
        for place in range(len(body)):
            self.wfile.write(body[place : place + 1])
            self.wfile.flush()
            self.proxy.wait(pause_s)

    def _be_silent(self) -> None:
        """Say nothing until whoever asked is gone."""
        self.close_connection = True
        self.connection.settimeout(WAIT_S)
        try:
            self.rfile.read(1)
        except OSError:
            return

    def _reset(self) -> None:
        self.close_connection = True
        reset(self.connection)

    def _tunnel(self, request: Request) -> None:
        """Let a stream through, both ways, as it is."""
        self.close_connection = True
        if self.proxy.is_cut:
            self._reset()
            return
        head = f"{request.method} {request.target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        with socket.create_connection(("127.0.0.1", self.proxy.upstream), timeout=WAIT_S) as there:
            there.settimeout(None)
            there.sendall(f"{head}\r\n".encode())
            back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there)
            back.join(WAIT_S)

    do_GET = do_POST = do_DELETE = do_PATCH = _handle  # noqa: N815 - the names that http.server looks for


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
    except OSError:
        pass
    for one in (source, target):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue
