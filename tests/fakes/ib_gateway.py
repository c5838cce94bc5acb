"""A stand-in for Interactive Brokers' gateway: its socket protocol on 127.0.0.1, an exchange in memory behind it.

    gateway = IbGateway(exchange)          # listens on gateway.port
    gateway.drop()                         # every line breaks; the next connect works
    gateway.stop(); gateway.start()        # nobody listens; listens again on the same port
    gateway.say(1100, "Connectivity between IB and Trader Workstation has been lost.")
    gateway.on_next({3}, "swallow")        # see `_PLANS`
    gateway.close()

A thread for each line; whoever moves the exchange writes what follows from it.
"""

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from decimal import Decimal

from fakes import ib_words as words
from fakes.exchange import BASIS_POINTS, NANOS, Event, Exchange, Order, RefusalError, Ticket
from fakes.ib_words import Contract, IbExecution, IbOrder

_TYPES = {"MKT": "MARKET", "LMT": "LIMIT", "STP": "STOP", "TRAIL": "TRAILING_STOP"}
#: What may become of the next message of a kind: it never arrives; it is carried out and nothing is answered from then
#: on; it is carried out and the line breaks; the line breaks unread; it waits for `release`.
_PLANS = ("swallow", "mute", "carry-and-drop", "drop", "hold")
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


class IbGateway:
    """One gateway with one account; every public attribute is a control.

    Args:
        exchange: where its orders go.
        account: the account that it manages; paper accounts begin with DU.
    """

    def __init__(self, exchange: Exchange, *, account: str = "DU1234567") -> None:
        self.exchange = exchange
        self.accounts = [account]
        self.currency = "USD"
        self.version = 176
        self.next_valid_id = 1
        self.zone = "US/Eastern"
        self.execution_time = "20250701 10:00:00 US/Eastern"
        self.clock_s = 1_751_378_400
        self.hours = HOURS
        self.symbols: dict[str, Contract] = {}
        self.ambiguous: set[str] = set()
        #: Message numbers that are never answered, though the handshake works.
        self.unanswered: set[int] = set()
        #: Names of messages that wait for `release_executions` or `release_commissions`.
        self.holds_executions = False
        self.holds_commissions = False
        self.repeats_executions = False
        self.commission = "0.0"
        #: Orders of these clients are of nobody else: a second line of one of them is refused with 326.
        self.is_read_only = False
        self.first_status = "Submitted"
        self.orders: list[IbOrder] = []
        self.executions: list[IbExecution] = []
        self.global_cancels = 0
        self.ignores_cancels = False
        self.error_on_cancel: tuple[int, str] | None = None
        self.error_on_order: tuple[int, str] | None = None
        self.foreign_positions: dict[str, int] = {}
        self.received: list[list[str]] = []
        self.lines: list[Line] = []
        self._plans: list[tuple[frozenset[int], str]] = []
        self._held: list[Callable[[], None]] = []
        self._late_executions: list[tuple[IbOrder, IbExecution]] = []
        self._late_commissions: list[tuple[IbOrder, IbExecution]] = []
        self._perm_ids = itertools.count(1_800_000_001)
        self._con_ids = itertools.count(265_598)
        self._lock = threading.RLock()
        self._server: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self.port = 0
        exchange.listen(self._happened)
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
        self.on_next(frozenset(range(200)), "mute-for-good")

    def on_next(self, kinds: Collection[int], plan: str) -> None:
        """Let this become of the next message of one of these numbers."""
        with self._lock:
            self._plans.append((frozenset(kinds), plan))

    def release(self) -> None:
        """Carry out what was held back."""
        held, self._held = self._held, []
        for act in held:
            act()

    def release_executions(self) -> None:
        """Tell of the executions that were held back."""
        self.holds_executions = False
        late, self._late_executions = self._late_executions, []
        for order, execution in late:
            self._tell_execution(order, execution)

    def release_commissions(self) -> None:
        """Tell the commissions that were held back."""
        self.holds_commissions = False
        late, self._late_commissions = self._late_commissions, []
        for order, execution in late:
            self._to(order.client_id, words.commission(execution.execution_id, self.commission))

    def repeat_executions(self) -> None:
        """Tell every execution once more."""
        for execution in list(self.executions):
            self._to(execution.order.client_id, words.execution(-1, execution))

    def correct(self, number: int, price_micros: int) -> None:
        """Correct an execution, counted from 0: the same id with the last part one higher."""
        old = self.executions[number]
        stem, last = old.execution_id.rsplit(".", 1)
        new = replace(old, execution_id=f"{stem}.{int(last) + 1:02d}", price_micros=price_micros)
        self.executions.append(new)
        self._to(old.order.client_id, words.execution(-1, new))

    def say(self, code: int, text: str, request_id: int = -1) -> None:
        """Send an error, a warning or news to every client."""
        for line in list(self.lines):
            line.write(words.error(request_id, code, text, self.version))

    def tell_status(self, order: IbOrder) -> None:
        """Send an order's status as it stands in the gateway."""
        self._to(order.client_id, words.order_status(order))

    def order_of(self, ref: str) -> IbOrder:
        """Return the newest order of an order reference."""
        return next(order for order in reversed(self.orders) if order.ref == ref)

    def place_foreign(
        self, symbol: str, side: str, qty_nanos: int, limit_micros: int, *, client_id: int = 99, ref: str = ""
    ) -> IbOrder:
        """Place a limit order by another client's hand."""
        order = IbOrder(
            order_id=7,
            client_id=client_id,
            perm_id=next(self._perm_ids),
            account=self.accounts[0],
            ref=ref,
            contract=self.contract(symbol.replace(".", " ")) or Contract(1, symbol),
            action=side,
            qty_nanos=qty_nanos,
            kind="LMT",
            limit_micros=limit_micros,
        )
        self._place(order)
        return order

    def contract(self, symbol: str) -> Contract | None:
        """Return the contract of a symbol that was quoted or made known."""
        if symbol not in self.symbols and symbol.replace(" ", ".") in self.exchange.quotes:
            self.symbols[symbol] = Contract(next(self._con_ids), symbol)
        return self.symbols.get(symbol)

    def know(self, *symbols: str) -> None:
        """Make symbols known that nobody quotes; an option by its OCC symbol."""
        for symbol in symbols:
            self.symbols.setdefault(symbol, _contract_of(next(self._con_ids), symbol))

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
            assert stream.read(4) == b"API\0"
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
        line.sock.close()

    def _heard(self, line: Line, fields: list[str]) -> None:
        kind = int(fields[0])
        self.received.append(fields)
        plan = self._plan_for(kind)
        if line.is_mute or plan == "swallow" or kind in self.unanswered:
            return
        if plan == "hold":
            self._held.append(lambda: self._carry_out(line, kind, fields))
            return
        if plan in {"mute", "mute-for-good"}:
            line.is_mute = True
        if plan == "drop":
            raise ConnectionError
        if plan != "mute-for-good":
            if plan == "carry-and-drop":
                line.is_mute = True
            self._carry_out(line, kind, fields)
        if plan == "carry-and-drop":
            with contextlib.suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)
            raise ConnectionError

    def _plan_for(self, kind: int) -> str:
        with self._lock:
            for index, (kinds, plan) in enumerate(self._plans):
                if kind in kinds:
                    if plan != "mute-for-good":
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
            49: lambda line, _: line.write([49, 1, self.clock_s]),
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
            1: self._market_data,
        }.get(kind)
        if answer is not None:
            answer(line, fields)

    def _start_api(self, line: Line, fields: list[str]) -> None:
        client_id = int(fields[2])
        with self._lock:
            if any(other.client_id == client_id for other in self.lines):
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
            known = self.contract(symbol.replace(".", " ")) or _contract_of(1, symbol)
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
            if order.is_over:
                line.write(words.completed_order(order, self.version))
        line.write([102])

    def _executions(self, line: Line, fields: list[str]) -> None:
        request_id = int(fields[2])
        late = {execution.execution_id for _, execution in self._late_executions}
        unpaid = {execution.execution_id for _, execution in self._late_commissions} | late
        for execution in self.executions:
            if execution.execution_id not in late:
                line.write(words.execution(request_id, execution))
                if execution.execution_id not in unpaid:
                    line.write(words.commission(execution.execution_id, self.commission))
        line.write([55, 1, request_id])

    def _summary(self, line: Line, fields: list[str]) -> None:
        cash = words.money(self.exchange.cash_micros)
        values = {"TotalCashValue": cash, "BuyingPower": cash, "AvailableFunds": cash}
        for account in self.accounts:
            for tag in fields[4].split(","):
                if tag in values:
                    line.write([63, 1, fields[2], account, tag, values[tag], self.currency])
        line.write([64, 1, fields[2]])

    def _account_updates(self, line: Line, fields: list[str]) -> None:
        line.write([6, 2, "TotalCashValue", words.money(self.exchange.cash_micros), self.currency, fields[3]])
        line.write([8, 1, "10:00"])
        line.write([54, 1, fields[3]])

    def _account_updates_multi(self, line: Line, fields: list[str]) -> None:
        cash = words.money(self.exchange.cash_micros)
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

    def _market_data(self, line: Line, fields: list[str]) -> None:
        request_id = int(fields[2])
        quote = self.exchange.quotes.get(fields[4].replace(" ", "."))
        line.write([58, 1, request_id, 1])
        line.write([81, request_id, "0.01", "9c0001", 3])
        if quote is not None:
            for tick, price, size in (
                (1, quote.bid_micros, quote.bid_nanos),
                (2, quote.ask_micros, quote.ask_nanos),
            ):
                line.write([1, 6, request_id, tick, words.money(price), words.quantity(size), 1])
        line.write([57, 1, request_id])

    # --- orders -----

    def _order(self, line: Line, fields: list[str]) -> None:
        order_id = int(fields[1])
        order = _order_of(fields, line.client_id, next(self._perm_ids), self)
        fault = self.error_on_order
        self.error_on_order = None
        if self.is_read_only:
            fault = (321, "Error validating request.-'bN' : cause - The API interface is currently in Read-Only mode.")
        elif any(o.order_id == order_id and o.client_id == line.client_id for o in self.orders):
            fault = (103, "Duplicate order id")
        if fault is not None:
            line.write(words.error(order_id, *fault, self.version))
            return
        self.next_valid_id = max(self.next_valid_id, order_id + 1)
        self._place(order)

    def _place(self, order: IbOrder) -> None:
        with self._lock:
            self.orders.append(order)
        ticket = Ticket(
            client_id=str(order.perm_id),
            symbol=_plain_symbol(order.contract),
            side=order.action,
            qty_nanos=order.qty_nanos,
            order_type=_TYPES[order.kind],
            limit_micros=order.limit_micros,
            stop_micros=order.aux_micros if order.kind == "STP" else 0,
            trail_bps=int(Decimal(order.trail_percent or 0) * BASIS_POINTS / 100),
        )
        try:
            self.exchange.place(ticket)
        except RefusalError as error:
            order.status, order.words = "Inactive", str(error)
            self._to(order.client_id, words.open_order(order, self.version))
            self._to(order.client_id, words.order_status(order))
            self._reject(order)

    def _reject(self, order: IbOrder) -> None:
        text = f"Order rejected - reason:{order.words}"
        self._to(order.client_id, words.error(order.order_id, 201, text, self.version))

    def _cancel(self, line: Line, fields: list[str]) -> None:
        order_id = int(fields[2])
        order = next((o for o in self.orders if (o.order_id, o.client_id) == (order_id, line.client_id)), None)
        fault, self.error_on_cancel = self.error_on_cancel, None
        if fault is not None:
            line.write(words.error(order_id, *fault, self.version))
        elif order is None:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            line.write(words.error(order_id, 10147, text, self.version))
        elif order.is_over:
            text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {order.status}."
            line.write(words.error(order_id, 10148, text, self.version))
        else:
            order.status = "PendingCancel"
            line.write(words.order_status(order))
            if not self.ignores_cancels:
                self.exchange.cancel(order.exchange_id)

    def _global_cancel(self, _line: Line, _fields: list[str]) -> None:
        self.global_cancels += 1
        for order in list(self.orders):
            if not order.is_over:
                self.exchange.cancel(order.exchange_id)

    def _happened(self, event: Event) -> None:
        order = next((o for o in self.orders if str(o.perm_id) == event.order.ticket.client_id), None)
        if order is None:
            return
        order.exchange_id = event.order.order_id
        if event.kind == "filled":
            self._filled(order, event)
            return
        order.status = {"accepted": self._resting_status(event.order)}.get(event.kind, "Cancelled")
        if event.kind == "rejected":
            order.status = "Inactive"
        order.words = event.order.words
        self._to(order.client_id, words.open_order(order, self.version))
        self._to(order.client_id, words.order_status(order))
        if event.kind == "rejected":
            self._reject(order)
        elif event.kind in {"cancelled", "expired"}:
            text = "Order Canceled - reason:"
            self._to(order.client_id, words.error(order.order_id, 202, text, self.version))

    def _resting_status(self, order: Order) -> str:
        return "PreSubmitted" if order.ticket.order_type in {"STOP", "TRAILING_STOP"} else self.first_status

    def _filled(self, order: IbOrder, event: Event) -> None:
        trade = event.execution
        assert trade is not None
        order.filled_nanos = event.order.filled_nanos
        order.average_micros = event.order.average_micros
        if order.filled_nanos >= order.qty_nanos:
            order.status = "Filled"
        execution = IbExecution(
            execution_id=f"0000e0d5.{trade.number:08x}.01.01",
            order=order,
            time=self.execution_time,
            qty_nanos=trade.qty_nanos,
            price_micros=trade.price_micros,
            total_nanos=order.filled_nanos,
            average_micros=order.average_micros,
        )
        if all(known.execution_id != execution.execution_id for known in self.executions):
            self.executions.append(execution)
        if self.holds_executions:
            self._late_executions.append((order, execution))
            self._to(order.client_id, words.order_status(order))
            return
        self._tell_execution(order, execution)

    def _tell_execution(self, order: IbOrder, execution: IbExecution) -> None:
        for _ in range(2 if self.repeats_executions else 1):
            self._to(order.client_id, words.execution(-1, execution))
        self._to(order.client_id, words.open_order(order, self.version))
        self._to(order.client_id, words.order_status(order))
        if self.holds_commissions:
            self._late_commissions.append((order, execution))
        else:
            self._to(order.client_id, words.commission(execution.execution_id, self.commission))


def _exactly(stream: object, size: int) -> bytes:
    data = stream.read(size)  # type: ignore[attr-defined] - a buffered reader
    if len(data) < size:
        raise ConnectionError
    return bytes(data)


def _order_of(fields: list[str], client_id: int, perm_id: int, gateway: IbGateway) -> IbOrder:
    key = fields[13].replace(" ", "") if fields[4] == "OPT" else fields[3]
    return IbOrder(
        order_id=int(fields[1]),
        client_id=client_id,
        perm_id=perm_id,
        account=fields[23] or gateway.accounts[0],
        ref=fields[26],
        contract=gateway.contract(key) or _contract_of(int(fields[2] or 0), key),
        action=fields[16],
        qty_nanos=int(Decimal(fields[17]) * NANOS),
        kind=fields[18],
        limit_micros=_micros(fields[19]),
        aux_micros=_micros(fields[20]),
        trail_percent=fields[70],
        tif=fields[21],
        transmit=fields[27],
        outside_rth=fields[33],
    )


def _micros(text: str) -> int:
    return int(Decimal(text) * words.MICROS) if text else 0


def _contract_of(con_id: int, symbol: str) -> Contract:
    if len(symbol) > 15 and symbol[-9] in "CP" and symbol[-8:].isdigit():
        root, rest = symbol[:-15], symbol[-15:]
        strike = words.money(int(rest[7:]) * 1000)
        local = f"{root:<6}{rest}"
        return Contract(con_id, root, "OPT", local, f"20{rest[:6]}", strike, rest[6], "100")
    return Contract(con_id, symbol.replace(".", " "))


def _plain_symbol(contract: Contract) -> str:
    return contract.local_symbol.replace(" ", "") if contract.kind == "OPT" else contract.symbol.replace(" ", ".")
