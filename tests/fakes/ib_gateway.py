"""A stand-in for Interactive Brokers' gateway: its socket protocol on 127.0.0.1, an exchange in memory behind it.

    gateway = IbGateway(exchange)          # listens on gateway.port
    gateway.drop()                         # every line breaks; the next connect works
    gateway.stop(); gateway.start()        # nobody listens; listens again on the same port
    gateway.say(1100, "Connectivity between IB and Trader Workstation has been lost.")
    gateway.on_next({3}, "swallow")        # see `PLANS`
    gateway.close()

A thread for each line; whoever moves the exchange writes what follows from it.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import ib_words as words
from exchange import NANOS, Exchange
from ib_gateway_data import IbDataDesk
from ib_gateway_orders import IbDesk, contract_of
from ib_words import Contract, IbOrder

from bus.clock import boot_ns, utc_ns

#: What may become of the next message of a kind: it never arrives; it is carried out and not answered; the same, and
#: nothing is answered from then on; it is carried out and the line breaks; it is answered with what cannot be read; the
#: line breaks unread; it waits for `release`; it arrives twice; its list is answered as empty. With a number and words
#: after a colon, as in `error:100:too many messages`: it is answered so and not carried out, or carried out before.
PLANS = ("swallow", "mute-once", "mute", "carry-and-drop", "garble", "drop", "hold", "twice", "empty")
PLANS_IN_WORDS = ("error", "carry-and-error")
#: Message -> where it has its own number; the others have none.
REQUEST_PLACE = {3: 1, 4: 2, 7: 2, 9: 2, 62: 2}
HOURS = ("20250701:0400-20250701:2000", "20250701:0930-20250701:1600")


@dataclass
class Line:
    """One client's connection."""

    sock: socket.socket
    client_id: int = -1
    is_mute: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    received: list[list[str]] = field(default_factory=list)

    def write(self, fields: list[object]) -> None:
        """Send one message; a line that broke meanwhile takes none."""
        if not self.is_mute:
            with self.lock, contextlib.suppress(OSError):
                self.sock.sendall(words.frame(fields))


class IbGateway(IbDesk, IbDataDesk):
    """One gateway with one account; every public attribute is a control.

    Args:
        exchange: where its orders go.
        account: the account that it manages; paper accounts begin with DU.
    """

    def __init__(self, exchange: Exchange, *, account: str = "DU1234567") -> None:
        super().__init__(exchange, account)
        self.begin_data()
        self.currency = "USD"
        self.zone = "US/Eastern"
        #: Its time; None = this machine's.
        self.clock_s: int | None = 1_751_378_400
        self.hours = HOURS
        self.ambiguous: set[str] = set()
        #: Message numbers that are never answered, though the handshake works.
        self.unanswered: set[int] = set()
        self.foreign_positions: dict[str, int] = {}
        self.received: list[list[str]] = []
        self.lines: list[Line] = []
        #: Asked for each message that no plan was made for: its number and its fields; "" = nothing becomes of it.
        self.chooser: Callable[[int, list[str]], str] = lambda _kind, _fields: ""
        self._plans: list[tuple[frozenset[int], str]] = []
        self._held: list[Callable[[], None]] = []
        self._server: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self.port = 0
        self.start()

    # --- controls -----

    def start(self) -> None:
        """Listen; again on the port it had before."""
        server = socket.create_server(("127.0.0.1", self.port))
        self.port = server.getsockname()[1]
        self._server = server
        self._run(lambda: self._accept(server))

    def stop(self) -> None:
        """Break every line and listen no more."""
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
        self.drop()

    def close(self) -> None:
        """Stop, and wait for the threads."""
        self.stop()
        for thread in self._threads:
            thread.join(2)

    def drop(self) -> None:
        """Break every line."""
        for line in list(self.lines):
            with contextlib.suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self.lines.clear()

    def go_silent(self) -> None:
        """Answer nothing any more on the lines that are there; what arrives is not carried out."""
        self.on_next(frozenset(range(200)), "deaf")

    def on_next(self, kinds: Collection[int], plan: str) -> None:
        """Let this become of the next message of one of these numbers."""
        with self._lock:
            self._plans.append((frozenset(kinds), plan))

    def release(self) -> None:
        """Carry out what was held back."""
        held, self._held = self._held, []
        for act in held:
            act()

    def wait_until_told(self) -> None:
        """Wait until every trade was told: another thread may be telling while a test moves the market."""
        until_ns = boot_ns() + 5 * NANOS
        while len(self.executions) < len(self.exchange.trades()) and boot_ns() < until_ns:
            time.sleep(0.002)

    def say(self, code: int, text: str, request_id: int = -1) -> None:
        """Send an error, a warning or news to every client."""
        for line in list(self.lines):
            line.write(words.error(request_id, code, text, self.version))

    # --- lines -----

    def _run(self, what: Callable[[], None]) -> None:
        thread = threading.Thread(target=what, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = server.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line = Line(sock)
                with self._lock:
                    self.lines.append(line)
                self._run(lambda line=line: self._serve(line))  # type: ignore[misc] - a default argument binds it

    def _serve(self, line: Line) -> None:
        with contextlib.suppress(OSError, ConnectionError):
            stream = line.sock.makefile("rb")
            if _exactly(stream, 4) != b"API\0":
                raise ConnectionError
            size = struct.unpack(">I", _exactly(stream, 4))[0]
            _exactly(stream, size)
            line.write([self.version, f"20250701 09:00:00 {self.zone}"])
            while True:
                size = struct.unpack(">I", _exactly(stream, 4))[0]
                fields = _exactly(stream, size).decode().split("\0")[:-1]
                self._heard(line, fields)
        with self._lock:
            if line in self.lines:
                self.lines.remove(line)
        self.forget_line(line)
        line.sock.close()

    def _heard(self, line: Line, fields: list[str]) -> None:
        kind = int(fields[0])
        self.received.append(fields)
        plan = self._plan_for(kind) or self.chooser(kind, fields)
        if line.is_mute or plan == "swallow" or kind in self.unanswered:
            return
        if plan == "hold":
            self._held.append(lambda: self._carry_out(line, kind, fields))
            return
        if plan == "drop":
            raise ConnectionError
        if plan == "deaf":
            line.is_mute = True
            return
        if self._answered_otherwise(line, plan, fields):
            return
        line.is_mute = bool(plan)
        self._carry_out(line, kind, fields)
        line.is_mute = plan == "mute"
        if plan == "garble":
            for garbage in ([5, "?"], [63, "?"], [999, "?"]):
                line.write(list(garbage))
        if plan == "carry-and-drop":
            with contextlib.suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)
            raise ConnectionError

    def _answered_otherwise(self, line: Line, plan: str, fields: list[str]) -> bool:
        """Answer by a plan that has words of its own; False where the plan is another one."""
        kind, (name, _, rest) = int(fields[0]), plan.partition(":")
        if name in PLANS_IN_WORDS:
            if name == "carry-and-error":
                line.is_mute = True
                self._carry_out(line, kind, fields)
                line.is_mute = False
            code, _, text = rest.partition(":")
            number = int(fields[REQUEST_PLACE[kind]]) if kind in REQUEST_PLACE else -1
            line.write(words.error(number, int(code), text, self.version))
        elif plan == "twice":
            self._carry_out(line, kind, fields)
            self._carry_out(line, kind, fields)
        elif plan == "empty":
            ends: dict[int, list[object]] = {16: [53, 1], 99: [102], 7: [55, 1, fields[2] if kind == 7 else ""]}
            line.write(ends[kind])
        else:
            return False
        return True

    def _plan_for(self, kind: int) -> str:
        with self._lock:
            for index, (kinds, plan) in enumerate(self._plans):
                if kind in kinds:
                    if plan != "deaf":
                        del self._plans[index]
                    return plan
        return ""

    def _to(self, client_id: int, fields: list[object]) -> None:
        for line in list(self.lines):
            if line.client_id == client_id:
                line.write(fields)

    # --- what a client asks -----

    def _carry_out(self, line: Line, kind: int, fields: list[str]) -> None:
        answer = {
            71: self._start_api,
            49: lambda line, _: line.write([49, 1, utc_ns() // NANOS if self.clock_s is None else self.clock_s]),
            61: self._positions,
            5: lambda line, _: self._open_orders(line, line.client_id),
            16: lambda line, _: self._open_orders(line, None),
            99: self._completed,
            7: self._executions,
            62: self._summary,
            6: self._account_updates,
            76: self._account_updates_multi,
            9: self._details,
            3: self._order,
            4: self._cancel,
            58: self._global_cancel,
            **self.data_answers(),
        }.get(kind)
        if answer is not None:
            answer(line, fields)

    def _start_api(self, line: Line, fields: list[str]) -> None:
        client_id = int(fields[2])
        with self._lock:
            if any(other.client_id == client_id and not _has_hung_up(other) for other in self.lines):
                text = "Unable to connect as the client id is already in use. Retry with a unique client id."
                line.write(words.error(-1, 326, text, self.version))
                raise ConnectionError
            line.client_id = client_id
        line.write([15, 1, ",".join(self.accounts)])
        line.write([9, 1, self.next_valid_id])
        for code, farm in ((2104, "Market data farm"), (2106, "HMDS data farm"), (2158, "Sec-def data farm")):
            line.write(words.error(-1, code, f"{farm} connection is OK:usfarm", self.version))

    def _positions(self, line: Line, _fields: list[str]) -> None:
        held = dict(self.exchange.positions)
        for symbol, nanos in self.foreign_positions.items():
            held[symbol] = held.get(symbol, 0) + nanos
        for symbol, nanos in held.items():
            known = self.contract(symbol.replace(".", " ")) or contract_of(1, symbol)
            line.write(words.position(self.accounts[0], known, nanos))
        line.write([62, 1])

    def _open_orders(self, line: Line, client_id: int | None) -> None:
        if self.is_read_only:
            text = "The API interface is currently in Read-Only mode."
            line.write(words.error(-1, 321, f"Error validating request.-'bN' : cause - {text}", self.version))
            return
        for order in self.orders:
            if not order.is_over and client_id in {None, order.client_id}:
                self._follow_stop(order)
                line.write(words.open_order(order, self.version))
                line.write(words.order_status(order))
        line.write([53, 1])

    def _follow_stop(self, order: IbOrder) -> None:
        known = self.exchange.order(order.exchange_id)
        order.stop_micros = known.stop_micros if known else 0

    def _completed(self, line: Line, _fields: list[str]) -> None:
        for order in self.orders:
            if order.is_over and not order.is_of_yesterday:
                line.write(words.completed_order(order, self.version))
        line.write([102])

    def _executions(self, line: Line, fields: list[str]) -> None:
        request_id = int(fields[2])
        late = {execution.execution_id for _, execution in self._late_executions}
        unpaid = {execution.execution_id for _, execution in self._late_commissions} | late
        for execution in self.executions:
            if fields[4] not in {"", execution.order.account}:
                continue
            if execution.execution_id not in late and not execution.is_of_yesterday:
                line.write(words.execution(request_id, execution))
                if execution.execution_id not in unpaid:
                    line.write(words.commission(execution.execution_id, execution.commission))
        line.write([55, 1, request_id])

    def _summary(self, line: Line, fields: list[str]) -> None:
        free = words.money(self.exchange.buying_power_micros - self.charged_micros)
        values = {"TotalCashValue": words.money(self.cash_micros), "BuyingPower": free, "AvailableFunds": free}
        for account in self.accounts:
            for tag in fields[4].split(","):
                if tag in values:
                    line.write([63, 1, fields[2], account, tag, values[tag], self.currency])
        line.write([64, 1, fields[2]])

    def _account_updates(self, line: Line, fields: list[str]) -> None:
        line.write([6, 2, "TotalCashValue", words.money(self.cash_micros), self.currency, fields[3]])
        line.write([8, 1, "10:00"])
        line.write([54, 1, fields[3]])

    def _account_updates_multi(self, line: Line, fields: list[str]) -> None:
        cash = words.money(self.cash_micros)
        line.write([73, 1, fields[2], fields[3], "", "CashBalance", cash, self.currency])
        line.write([74, 1, fields[2]])

    def _details(self, line: Line, fields: list[str]) -> None:
        request_id, symbol, kind, local = int(fields[2]), fields[4], fields[5], fields[13]
        key = local.replace(" ", "") if kind == "OPT" else symbol
        known = self.contract(key)
        if known is None:
            text = "No security definition has been found for the request"
            line.write(words.error(request_id, 200, text, self.version))
            return
        line.write(words.contract_details(request_id, known, self.hours, self.version))
        if key in self.ambiguous:
            other = Contract(known.con_id + 1_000_000, known.symbol)
            line.write(words.contract_details(request_id, other, self.hours, self.version))
        line.write([52, 1, request_id])


def _exactly(stream: object, size: int) -> bytes:
    data = stream.read(size)  # type: ignore[attr-defined] - a buffered reader
    if len(data) < size:
        raise ConnectionError
    return bytes(data)


def _has_hung_up(line: Line) -> bool:
    """Tell whether the client has closed this line, though its own thread has not come to see it yet."""
    try:
        return line.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
