"""The order desk of a stand-in gateway: what it does with orders, and what it tells of them."""

import itertools
import threading
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

import ib_words as words
from exchange import BASIS_POINTS, NANOS, Event, Exchange, Order, RefusalError, Ticket
from ib_gateway_brackets import Brackets, Desk
from ib_words import Contract, IbExecution, IbOrder

_TYPES = {"MKT": "MARKET", "LMT": "LIMIT", "STP": "STOP", "TRAIL": "TRAILING_STOP"}


class Line(Protocol):
    """A client's connection."""

    client_id: int

    def write(self, fields: list[object]) -> None: ...


class IbDesk:
    """Orders and executions of one account; every public attribute is a control.

    Args:
        exchange: where its orders go.
        account: the account; paper accounts begin with DU.
    """

    def __init__(self, exchange: Exchange, account: str) -> None:
        self.exchange = exchange
        self.accounts = [account]
        self.version = 176
        self.next_valid_id = 1
        self.execution_time = "20250701 10:00:00 US/Eastern"
        self.symbols: dict[str, Contract] = {}
        self.holds_executions = False
        self.holds_commissions = False
        self.repeats_executions = False
        self.commission = "0.0"
        self.is_read_only = False
        self.first_status = "Submitted"
        self.orders: list[IbOrder] = []
        self.executions: list[IbExecution] = []
        self.global_cancels = 0
        self.ignores_cancels = False
        self.error_on_cancel: tuple[int, str] | None = None
        self.error_on_order: tuple[int, str] | None = None
        self._late_executions: list[tuple[IbOrder, IbExecution]] = []
        self._late_commissions: list[tuple[IbOrder, IbExecution]] = []
        self._perm_ids = itertools.count(1_800_000_001)
        self._con_ids = itertools.count(265_598)
        self._lock = threading.RLock()
        self._brackets = Brackets(Desk(exchange, self.orders, self._place, self._tell_held, self._end_held))
        exchange.listen(self._happened)

    def _to(self, client_id: int, fields: list[object]) -> None:
        raise NotImplementedError

    @property
    def charged_micros(self) -> int:
        """What the executions have cost; a corrected one costs what stands in its place."""
        costs = {one.execution_id.rpartition(".")[0]: one.commission_micros for one in self.executions}
        return sum(costs.values())

    @property
    def cash_micros(self) -> int:
        """The account's cash: the exchange knows no commissions."""
        return self.exchange.cash_micros - self.charged_micros

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
            self._to(order.client_id, words.commission(execution.execution_id, execution.commission))

    def begin_day(self) -> None:
        """Let midnight pass: what is over, and every execution, is listed no more."""
        for order in self.orders:
            order.is_of_yesterday = order.is_over
        for execution in self.executions:
            execution.is_of_yesterday = True

    def repeat_executions(self) -> None:
        """Tell every execution once more."""
        for execution in list(self.executions):
            self._to(execution.order.client_id, words.execution(-1, execution))

    def correct(self, number: int, price_micros: int, qty_nanos: int | None = None) -> None:
        """Correct an execution, counted from 0: the same id with the last part one higher; no quantity = taken back."""
        old = self.executions[number]
        stem, last = old.execution_id.rsplit(".", 1)
        qty = old.qty_nanos if qty_nanos is None else qty_nanos
        new = replace(old, execution_id=f"{stem}.{int(last) + 1:02d}", price_micros=price_micros, qty_nanos=qty)
        self.executions.append(new)
        self._to(old.order.client_id, words.execution(-1, new))

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
            self.symbols.setdefault(symbol, contract_of(next(self._con_ids), symbol))

    def _order(self, line: Line, fields: list[str]) -> None:
        order_id = int(fields[1])
        order = _order_of(fields, line.client_id, next(self._perm_ids), self)
        fault = self.error_on_order
        self.error_on_order = None
        if self.is_read_only:
            fault = (321, "Error validating request.-'bN' : cause - The API interface is currently in Read-Only mode.")
        elif any(o.order_id == order_id and o.client_id == line.client_id for o in self.orders):
            fault = (103, "Duplicate order id")
        elif any(_is_between_ticks(order, price) for price in (order.limit_micros, order.aux_micros)):
            fault = (110, "The price does not conform to the minimum price variation for this contract.")
        if fault is not None:
            line.write(words.error(order_id, *fault, self.version))
            return
        self.next_valid_id = max(self.next_valid_id, order_id + 1)
        if not self._brackets.takes(order):
            self._place(order)

    def _tell_held(self, order: IbOrder, why_held: str) -> None:
        self._to(order.client_id, words.open_order(order, self.version))
        self._to(order.client_id, words.order_status(order, why_held=why_held))

    def _end_held(self, order: IbOrder) -> None:
        """End an order that never came to the exchange."""
        order.status = "Cancelled"
        self._tell_held(order, "")
        self._to(order.client_id, words.error(order.order_id, 202, "Order Canceled - reason:", self.version))

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
            is_gtc=order.tif == "GTC",
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
                self._withdraw(order)

    def _withdraw(self, order: IbOrder) -> None:
        if order.exchange_id:
            self.exchange.cancel(order.exchange_id)
        else:
            self._end_held(order)

    def _global_cancel(self, _line: Line, _fields: list[str]) -> None:
        self.global_cancels += 1
        for order in list(self.orders):
            if not order.is_over:
                self._withdraw(order)

    def _happened(self, event: Event) -> None:
        order = next((o for o in self.orders if str(o.perm_id) == event.order.ticket.client_id), None)
        if order is None:
            return
        order.exchange_id = event.order.order_id
        if event.kind == "filled":
            self._filled(order, event)
            self._brackets.happened(order)
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
        self._brackets.happened(order)

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
            commission=self.commission,
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
            self._to(order.client_id, words.commission(execution.execution_id, execution.commission))


def _order_of(fields: list[str], client_id: int, perm_id: int, gateway: IbDesk) -> IbOrder:
    key = fields[12].replace(" ", "") if fields[4] == "OPT" else fields[3]
    return IbOrder(
        order_id=int(fields[1]),
        client_id=client_id,
        perm_id=perm_id,
        account=fields[23] or gateway.accounts[0],
        ref=fields[26],
        contract=gateway.contract(key) or contract_of(int(fields[2] or 0), key),
        action=fields[16],
        qty_nanos=int(Decimal(fields[17]) * NANOS),
        kind=fields[18],
        limit_micros=_micros(fields[19]),
        aux_micros=_micros(fields[20]),
        trail_percent=fields[70],
        tif=fields[21],
        transmit=fields[27],
        parent_id=int(fields[28] or 0),
        outside_rth=fields[33],
    )


def _micros(text: str) -> int:
    return int(Decimal(text) * words.MICROS) if text else 0


def contract_of(con_id: int, symbol: str) -> Contract:
    if len(symbol) > 15 and symbol[-9] in "CP" and symbol[-8:].isdigit():
        root, rest = symbol[:-15], symbol[-15:]
        strike = words.money(int(rest[7:]) * 1000)
        local = f"{root:<6}{rest}"
        return Contract(con_id, root, "OPT", local, f"20{rest[:6]}", strike, rest[6], "100")
    return Contract(con_id, symbol.replace(".", " "))


def _plain_symbol(contract: Contract) -> str:
    return contract.local_symbol.replace(" ", "") if contract.kind == "OPT" else contract.symbol.replace(" ", ".")


def _is_between_ticks(order: IbOrder, micros: int) -> bool:
    """A cent from a dollar up and for options, a hundredth of a cent for shares below."""
    is_fine = order.contract.kind == "STK" and micros < words.MICROS
    return micros % (100 if is_fine else 10_000) != 0
