"""A broker in another house, played in memory: it shows that the cards of a line that fails can be passed.

It is a check of the cards, no adapter: its house keeps its books with the paper broker's pieces, and its line does to
each call what a card says.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from conformance.paper_rig import PaperRig
from conformance.rig import STARTING_CASH_MICROS, UNKNOWN, Call, Outcome, Rig
from conformance.rigs import RIGS
from msgspec.structs import replace

from bus import messages as m
from services.execution.brokers import reports as r
from services.execution.brokers.interface import (
    OUTSIDE_PROOF,
    Broker,
    BrokerClock,
    BrokerPorts,
    NotSentError,
    OpenOrder,
    OrderRequest,
    RetryableBrokerError,
    StopTradingError,
)
from services.execution.brokers.paper import PaperBroker

T = TypeVar("T")
#: What the house does, though the answer is lost.
_DONE_WITHOUT_ANSWER = (
    Outcome.TIMEOUT_AFTER_ACCEPT,
    Outcome.RESET_AFTER_ACCEPT,
    Outcome.HTTP_500_AFTER,
    Outcome.HTTP_504_AFTER,
    Outcome.UNREADABLE,
)


class House:
    """The other house: its books, what others hold and ask for there, and what it lets the account do."""

    def __init__(self, books: PaperBroker) -> None:
        self.books = books
        self.others: list[OpenOrder] = []
        self.positions: dict[str, int] = {}
        self.assets: dict[str, m.AssetLine] = {}
        self.is_fenced = False
        self.taken: list[str] = []
        #: Requests that arrive in the next settling.
        self.later: list[Callable[[], object]] = []
        self.outcomes: dict[Call, Outcome] = {}
        self.is_cut = False
        self.before_write: Callable[[], None] = lambda: None

    def accept(self, request: OrderRequest) -> r.OrderReport:
        """Take an order, or say why not."""
        refusal = self.refusal(request)
        if refusal:
            ts = request.ts_ns
            return r.BrokerRejected(ts_event=ts, ts_init=ts, client_order_id=request.client_order_id, detail=refusal)
        answer = self.books.submit(request)
        if isinstance(answer, r.BrokerAccepted):
            self.taken.append(request.client_order_id)
        return answer

    def refusal(self, request: OrderRequest) -> str:
        """Return the rules that the books do not have."""
        line = self.asset(request.symbol)
        if self.is_fenced:
            return "trading is suspended"
        if not line.is_tradable:
            return f"asset {request.symbol} is not tradable"
        if request.qty_nanos % m.NANOS and not line.is_fractionable:
            return f"asset {request.symbol} is not fractionable"
        if any(o.symbol == request.symbol and o.side != request.side for o in self.books.open_orders(0)):
            return "opposite side order exists"
        return ""

    def asset(self, symbol: str) -> m.AssetLine:
        """Return what the account may do with a symbol."""
        known = symbol != UNKNOWN
        return self.assets.get(
            symbol, m.AssetLine(symbol=symbol, is_tradable=known, is_fractionable=known, is_shortable=known)
        )


class Double(Broker):
    """The adapter: each call goes over a line that may fail."""

    name = "DOUBLE"
    not_found_proof = OUTSIDE_PROOF

    def __init__(self, house: House, tick: Callable[[], None], ports: BrokerPorts) -> None:
        self._house = house
        self._tick = tick
        self._ports = ports

    def attach(self, ports: BrokerPorts) -> None:
        self._ports = ports

    def _line(self, call: Call, act: Callable[[], T]) -> T:
        """Carry one call over the line."""
        self._ports.breathe()
        outcome = self._house.outcomes.pop(call, None)
        if self._house.is_cut or outcome is Outcome.TIMEOUT_BEFORE:
            raise RetryableBrokerError("no answer")
        if outcome is Outcome.LATE_ACCEPT:
            self._house.later.append(act)
            raise RetryableBrokerError("no answer")
        if outcome is Outcome.UNAUTHORIZED:
            raise StopTradingError("the key is refused: set another one on the credentials page")
        if outcome is Outcome.RATE_LIMITED:
            if call == "submit":
                raise NotSentError("too many requests", m.NANOS)
            raise RetryableBrokerError("too many requests")
        if outcome is Outcome.FILLED_BEFORE:
            self._tick()
        answer = act()
        if outcome in _DONE_WITHOUT_ANSWER:
            raise RetryableBrokerError("no usable answer")
        return answer

    def faults(self) -> Sequence[str]:
        return ()

    def clock(self, now_ns: int) -> BrokerClock | None:
        return self._line("clock", lambda: BrokerClock(utc_ns=now_ns, is_open=True))

    def assets(self, symbols: Sequence[str], now_ns: int) -> Sequence[m.AssetLine]:
        return self._line("assets", lambda: [self._house.asset(symbol) for symbol in symbols])

    def fence(self, *, is_up: bool, now_ns: int) -> None:
        self._line("fence", lambda: setattr(self._house, "is_fenced", is_up))

    def submit(self, request: OrderRequest) -> r.OrderReport:
        self._house.before_write()
        refusal = self._ports.gate.refusal(reduces=request.reduces)
        if refusal:
            raise NotSentError(refusal, 0)
        if self._house.outcomes.get("submit") is Outcome.REJECT:
            self._house.outcomes.pop("submit")
            ts = request.ts_ns
            return r.BrokerRejected(
                ts_event=ts, ts_init=ts, client_order_id=request.client_order_id, detail="refused by the house"
            )
        return self._line("submit", lambda: self._house.accept(request))

    def cancel(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        if self._house.outcomes.get("cancel") is Outcome.CANCEL_PENDING:
            self._house.outcomes.pop("cancel")
            self._house.later.append(lambda: self._house.books.cancel(client_order_id, now_ns))
            return ()
        return self._line("cancel", lambda: self._house.books.cancel(client_order_id, now_ns))

    def lookup(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        return self._line("lookup", lambda: self._named(self._house.books.lookup(client_order_id, now_ns)))

    def executions_after(self, execution_id: str, now_ns: int) -> Sequence[r.BrokerFill]:
        books = self._house.books
        return self._line("executions_after", lambda: self._named(books.executions_after(execution_id, now_ns)))

    def _named(self, reports: Sequence[T]) -> list[T]:
        return [replace(one, broker=self.name) if isinstance(one, r.BrokerFill) else one for one in reports]

    def open_orders(self, now_ns: int) -> Sequence[OpenOrder]:
        return self._line("open_orders", lambda: [*self._house.others, *self._house.books.open_orders(now_ns)])

    def account(self, session_date: str, now_ns: int) -> r.BrokerAccount:
        return self._line("account", lambda: self._account(session_date, now_ns))

    def _account(self, session_date: str, now_ns: int) -> r.BrokerAccount:
        account = self._house.books.account(session_date, now_ns)
        held = dict(zip(account.symbols, account.qtys_nanos, strict=True))
        for symbol, qty in self._house.positions.items():
            held[symbol] = held.get(symbol, 0) + qty
        symbols = tuple(sorted(held))
        return replace(account, broker=self.name, symbols=symbols, qtys_nanos=tuple(held[symbol] for symbol in symbols))

    def activities(self, now_ns: int) -> Sequence[r.BrokerCash]:
        return self._line("activities", lambda: self._house.books.activities(now_ns))

    def on_quotes(self, batch: m.QuoteBatch, session_date: str) -> Sequence[r.OrderReport]:
        return ()

    def finish(self, now_ns: int) -> Sequence[r.OrderReport]:
        return ()

    def close(self) -> None:
        return


class OutsideRig(PaperRig):
    """The double, on a house that keeps the paper broker's books."""

    name = "double"
    capabilities = RIGS["double"].capabilities

    def _open(self) -> None:
        if not self._opened:
            self._opened.append(PaperBroker(self._path, starting_cash_micros=STARTING_CASH_MICROS))
            self._opened[0].planned(self._plan)
            self.house = House(self._opened[0])
        ports = BrokerPorts(gate=self.gate, breathe=self.breathe)
        self.broker = Double(self.house, self._tick, ports)

    def _tick(self) -> None:
        self.broker, door = self._opened[0], self.broker
        super().settle()
        self.broker = door

    def settle(self) -> None:
        arrived, self.house.later = self.house.later, []
        for act in arrived:
            act()
        self._tick()

    def foreign_order(self, symbol: str, side: m.Side, qty_nanos: int, limit_micros: int) -> str:
        order = OpenOrder(client_order_id="", broker_order_id=f"F-{len(self.house.others)}", symbol=symbol, side=side)
        self.house.others.append(order)
        return order.broker_order_id

    def foreign_position(self, symbol: str, qty_nanos: int) -> None:
        self.house.positions[symbol] = qty_nanos

    def asset(self, symbol: str, *, is_tradable: bool = True, is_fractionable: bool = True) -> None:
        self.house.assets[symbol] = m.AssetLine(
            symbol=symbol, is_tradable=is_tradable, is_fractionable=is_fractionable, is_shortable=True
        )

    def fail_next(self, call: Call, outcome: Outcome) -> None:
        self.house.outcomes[call] = outcome

    def disconnect(self) -> None:
        self.house.is_cut = True

    def reconnect(self) -> None:
        self.house.is_cut = False

    def repeat_executions(self) -> None:
        return

    def at_the_last_moment(self, act: Callable[[], None]) -> None:
        def once() -> None:
            self.house.before_write = lambda: None
            act()

        self.house.before_write = once

    def houses_orders(self) -> list[str]:
        return list(self.house.taken)


@contextmanager
def make(folder: Path) -> Iterator[Rig]:
    """Give a rig whose house keeps its books in this folder."""
    rig = OutsideRig(folder / "house.db")
    yield rig
    rig.close()
