"""How soon every open page hears what the chain says, how soon one can load, and how soon the server stops.

    python bench/sse_bench.py [--clients 48] [--seconds 20]

A real web server process is fed with what a busy chain says: the account ten times a second, 150 orders and the
watchdog's status four times. Each client is one open event stream. The time is from the moment at which a message is
handed to the hub until a client has its last byte, on one clock. The exit code is 1 when a limit is broken.
"""

import argparse
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlencode

from bus import messages as m
from bus.clock import boot_ns
from bus.codec import CommandAnswer
from bus.halt import HaltRecord
from bus.keys import make_pairs
from bus.processes import free_port
from config.env_bot import proposals
from config.identity import Identity
from config.paths import HomePaths
from config.users import User, hash_password
from config.vault import Secrets, Vault
from services.web.priority import stand_behind_the_chain
from services.web.server import PORT_VARIABLE, Publish, serve

P99_MS_MAX: Final = 250.0
PAGE_MS_MAX: Final = 100.0
STOP_S_MAX: Final = 2.0
TICK_S: Final = 0.1
ORDERS: Final = 150
PASSWORD: Final = "one long bench word"
_PAGES_TIMED: Final = 20
_SEE_OTHER, _START_S_MAX = 303, 30
_MARK: Final = re.compile(rb'"realized":"([0-9]+)\.([0-9]+)"')


class Feed:
    """Stands in for the bus: says what a busy chain says, with the time of saying in the realized result."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to speak."""
        self._thread.start()

    def stop(self) -> None:
        """Fall silent."""
        self._stopping.set()
        self._thread.join()

    def tell_halt(self, record: HaltRecord) -> None:
        """Do nothing: nobody presses a button here."""

    def command(self, message: m.OperatorRequest, timeout_s: float) -> CommandAnswer | None:
        """Return None: nobody asks."""
        return None

    def _run(self) -> None:
        step, orders = 0, tuple(_order(number) for number in range(ORDERS))
        while not self._stopping.wait(TICK_S):
            step += 1
            if step % 3 == 0:
                self._publish(
                    m.OrdersSnapshot(ts_event=step, ts_init=step, orders=orders, orders_total=ORDERS), "execution"
                )
                self._publish(_chain(step), "watchdog")
            self._publish(_portfolio(step), "risk")


def _portfolio(step: int) -> m.PortfolioSnapshot:
    # The result in micro-dollars is the time in microseconds: it comes back to the last digit.
    return m.PortfolioSnapshot(
        ts_event=step * 1_000_000_000, ts_init=step, session_date="2025-03-12", start_equity_micros=1,
        equity_micros=1, realized_micros=boot_ns() // 1000, unrealized_micros=0, loss_limit_micros=1,
        allocated_micros=0, allocation_limit_micros=1, positions=(), denied=(), denied_total=0,
    )  # fmt: skip


def _order(number: int) -> m.OrderLine:
    return m.OrderLine(
        client_order_id=f"tb1-{number:026d}", intent_id=f"2025-03-12:open:S{number}:BULLISH", leg="entry",
        strategy="open", symbol=f"S{number}", side="BUY", qty_nanos=m.NANOS, filled_nanos=0, average_micros=0,
        order_type="LIMIT", stop_micros=0, state="WORKING", reason="r" * 120, ts_ns=1,
    )  # fmt: skip


def _chain(step: int) -> m.ChainStatus:
    return m.ChainStatus(
        ts_event=step, ts_init=step, state="ACTIVE", bot_state="TRADING", stopped="Nothing.", goes_on="All.",
        detail="Armed.", session_date="2025-03-12", halt_counter=0, armed_by="bench", services=(),
    )  # fmt: skip


def prepare(paths: HomePaths) -> None:
    """Configure a home with one user who may look."""
    paths.make()
    Vault(paths).provision(
        Secrets(
            generation=0,
            settings=proposals(),
            identity=Identity(
                entity_code="TBOT", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BENCH"
            ),
            users=(User(name="bench", password_hash=hash_password(PASSWORD), role="viewer"),),
            credentials={"web_session_key": "k" * 64},
            coa={},
            curve=make_pairs(),
        )
    )


def log_in(port: int) -> str:
    """Return the cookie of a session, once the server answers."""
    headers, body = _first_page(port)
    token = re.search(rb'name="csrf_token" value="([^"]+)"', body)
    if token is None:
        raise RuntimeError("the log-in page has no form")
    form = urlencode({"csrf_token": token[1].decode(), "name": "bench", "password": PASSWORD})
    status, headers, _ = _ask(port, "POST", "/login", form=form, cookie=_cookie(headers))
    if status != _SEE_OTHER:
        raise RuntimeError(f"the log-in was refused: {status}")
    return _cookie(headers)


def _first_page(port: int) -> tuple[list[tuple[str, str]], bytes]:
    deadline = time.monotonic() + _START_S_MAX
    while True:
        try:
            _, headers, body = _ask(port, "GET", "/login")
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return headers, body


def _cookie(headers: list[tuple[str, str]]) -> str:
    return "; ".join(value.partition(";")[0] for name, value in headers if name.lower() == "set-cookie")


def _ask(
    port: int, method: str, path: str, *, form: str = "", cookie: str = ""
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, path, form or None, headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.getheaders(), body


def open_streams(port: int, cookie: str, clients: int) -> list[socket.socket]:
    """Return so many open event streams."""
    request = f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode()
    sockets = []
    for _ in range(clients):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(request)
        one.settimeout(0)
        sockets.append(one)
    return sockets


def listen(sockets: list[socket.socket], seconds: float) -> tuple[list[float], int]:
    """Return every delay in milliseconds, and how many streams were still open at the end."""
    chosen = selectors.DefaultSelector()
    rests = {}
    for one in sockets:
        chosen.register(one, selectors.EVENT_READ)
        rests[one] = b""
    delays: list[float] = []
    end = time.monotonic() + seconds
    # The first frames are the state so far; what is measured comes after them.
    begins_us = boot_ns() // 1000 + 1_000_000
    while time.monotonic() < end:
        for key, _ in chosen.select(0.1):
            stream = key.fileobj
            if not isinstance(stream, socket.socket):
                continue
            got = stream.recv(1 << 20)
            if not got:
                chosen.unregister(stream)
                rests.pop(stream)
                continue
            now_us = boot_ns() // 1000
            *frames, rests[stream] = (rests[stream] + got).split(b"\n\n")
            for frame in frames:
                mark = _MARK.search(frame) if b"event: portfolio" in frame else None
                if mark:
                    said_us = int(mark[1]) * m.MICROS + int(mark[2].ljust(6, b"0"))
                    if said_us > begins_us:
                        delays.append((now_us - said_us) / 1000)
    return delays, len(rests)


def page_ms(port: int, cookie: str) -> list[float]:
    """Return how long the dashboard takes to load while the streams are open."""
    found = []
    for _ in range(_PAGES_TIMED):
        begin = boot_ns()
        status, _, _ = _ask(port, "GET", "/", cookie=cookie)
        found.append((boot_ns() - begin) / 1_000_000)
        if status != 200:
            raise RuntimeError(f"the dashboard answers {status}")
    return found


def share(values: list[float], part: float) -> float:
    """Return the value that this part of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def main(arguments: list[str]) -> int:
    """Measure and print a line for each figure."""
    parser = argparse.ArgumentParser(description="Fan what a chain says out to many pages, and stop in the middle.")
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--serve", metavar="HOME", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.serve:
        stand_behind_the_chain()
        port = int(os.environ[PORT_VARIABLE])
        return serve(HomePaths(Path(asked.serve)), port, lambda _setup, _secrets, publish: Feed(publish))
    with TemporaryDirectory(prefix="tb-") as folder:
        prepare(HomePaths(Path(folder)))
        port = free_port()
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve", folder],
            env={**os.environ, PORT_VARIABLE: str(port)},
            stderr=subprocess.DEVNULL,
        )
        try:
            return _measure(server, port, asked.clients, asked.seconds)
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()


def _measure(server: "subprocess.Popen[bytes]", port: int, clients: int, seconds: float) -> int:
    cookie = log_in(port)
    sockets = open_streams(port, cookie, clients)
    delays, still_open = listen(sockets, seconds)
    pages = page_ms(port, cookie)
    begin = time.monotonic()
    server.send_signal(signal.SIGTERM)
    code = server.wait(timeout=30)
    stop_s = time.monotonic() - begin
    for one in sockets:
        one.close()
    p99, page_p50 = share(delays, 0.99), share(pages, 0.5)
    print(f"{clients} streams, {len(delays)} frames heard, {still_open} streams open at the end")
    print(f"from the hub to a page: p50 {share(delays, 0.5):.1f} ms, p99 {p99:.1f} ms, most {max(delays):.1f} ms")
    print(f"the dashboard beside them: p50 {page_p50:.1f} ms, p95 {share(pages, 0.95):.1f} ms")
    print(f"stop with open streams: {stop_s:.2f} s, exit code {code}")
    is_good = p99 <= P99_MS_MAX and page_p50 <= PAGE_MS_MAX and stop_s <= STOP_S_MAX and code == 0
    return 0 if is_good and still_open == clients else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
