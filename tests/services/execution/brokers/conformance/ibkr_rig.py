"""Interactive Brokers' adapter for the cards, on either library: its house is a stand-in gateway with its protocol."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from conformance.rig import OTHER, PUT, STARTING_CASH_MICROS, SYMBOL, Outcome, Rig
from conformance.rig import Call as Question
from conformance.rigs import RIGS
from exchange import Exchange
from ib_gateway import IbGateway
from ib_gateway_bench import PACE_NS, break_lines, new_york_ns

from bus import messages as m
from bus.instruments import option_terms
from services.execution.brokers.ibkr import IbkrBroker
from services.execution.brokers.ibkr_line import Call, IbkrAccess
from services.execution.brokers.ibkr_windows import new_york_day
from services.execution.brokers.interface import BrokerPorts

SECOND = m.NANOS
_DAY_NS = int(timedelta(days=1).total_seconds()) * SECOND
#: A call that the house leaves without an answer is given up so soon: a card looks at what follows from it.
SHORT_NS = 400_000_000
#: Call -> the message that it begins with.
MESSAGES: dict[Question, int] = {
    "submit": 3,
    "cancel": 4,
    "lookup": 16,
    "open_orders": 16,
    "executions_after": 7,
    "account": 62,
    "assets": 9,
    "clock": 49,
}
SPOILED = {
    Outcome.TIMEOUT_BEFORE: "swallow",
    Outcome.TIMEOUT_AFTER_ACCEPT: "mute-once",
    Outcome.RESET_AFTER_ACCEPT: "carry-and-drop",
    Outcome.UNREADABLE: "garble",
    Outcome.LATE_ACCEPT: "hold",
}


class IbkrRig(Rig):
    """The adapter and the stand-in."""

    def __init__(self, folder: Path, library: str) -> None:
        super().__init__()
        self.name = f"ibkr-{library.removeprefix('ib_')}"
        self.capabilities = RIGS[self.name].capabilities
        self._library = library
        self._path = folder / "ibkr_books.db"
        self._now_ns = new_york_ns("2013-10-08 10:00")
        self._opened: list[IbkrBroker] = []
        self.house = IbGateway(Exchange(STARTING_CASH_MICROS))
        self.house.know(SYMBOL, OTHER, PUT)
        self._tell_day()
        self.restart()

    def _tell_day(self) -> None:
        day = new_york_day(self._now_ns).replace("-", "")
        self.house.hours = (f"{day}:0400-{day}:2000", f"{day}:0930-{day}:1600")
        self.house.execution_time = f"{day} 10:00:00 US/Eastern"
        self.house.clock_s = self._now_ns // SECOND

    @property
    def now_ns(self) -> int:
        return self._now_ns

    @property
    def session_date(self) -> str:
        return new_york_day(self._now_ns)

    def quote(
        self, symbol: str, bid_micros: int, ask_micros: int, bid_shares: int = 1000, ask_shares: int = 1000
    ) -> None:
        sizes = {"bid_nanos": bid_shares * m.NANOS, "ask_nanos": ask_shares * m.NANOS}
        self.house.exchange.set_quote(symbol, bid_micros, ask_micros, **sizes)
        self.house.wait_until_told()

    def settle(self) -> None:
        self._now_ns += SECOND
        self.house.clock_s = self._now_ns // SECOND
        self.house.release()
        self.house.exchange.release_cancels()

    def restart(self) -> None:
        # The gateway notices that the process is gone.
        break_lines(self.house, self._opened)
        self.broker = IbkrBroker(
            IbkrAccess(port=self.house.port, client_id=11, account="", mode="paper"),
            library=self._library,
            path=self._path,
            pace_ns=PACE_NS,
            clock=lambda: self._now_ns,
        )
        self.broker.attach(BrokerPorts(gate=self.gate, breathe=self.breathe))
        self._opened.append(self.broker)

    def end_session(self) -> None:
        exchange = self.house.exchange
        exchange.expire_day()
        exchange.holds_fills = True
        if self.session_date >= option_terms(self.put).expiry:
            exchange.positions.pop(self.put, None)
            self.house.symbols.pop(self.put, None)

    def next_session(self) -> None:
        self._now_ns += _DAY_NS
        # What was quoted yesterday trades no more.
        self.house.exchange.quotes.clear()
        self.house.exchange.holds_fills = False
        self.house.begin_day()
        self._tell_day()

    def close(self) -> None:
        for broker in self._opened:
            broker.close()
        self.house.close()

    def foreign_order(self, symbol: str, side: m.Side, qty_nanos: int, limit_micros: int) -> str:
        return str(self.house.place_foreign(symbol, side, qty_nanos, limit_micros).perm_id)

    def foreign_position(self, symbol: str, qty_nanos: int) -> None:
        self.house.foreign_positions[symbol] = qty_nanos

    def asset(self, symbol: str, *, is_tradable: bool = True, is_fractionable: bool = True) -> None:
        # This house does not tell of fractions, and a symbol that may not be traded is one that it does not know.
        if not is_tradable:
            self.house.symbols.pop(symbol, None)

    def fail_next(self, call: Question, outcome: Outcome) -> None:
        # A contract is asked for once a day: the next day's first question is the one that reaches the line.
        self.broker._catalogue._found.clear()
        match outcome:
            case Outcome.REJECT:
                self.house.exchange.reject_next("the account may not open new positions")
            case Outcome.CANCEL_PENDING:
                self.house.exchange.holds_cancels = True
            case Outcome.FILLED_BEFORE:
                # This house trades as soon as a quote allows it: whatever could trade has traded by now.
                return
            case _:
                self.house.on_next({MESSAGES[call]}, SPOILED[outcome])
                self._wait_briefly_once()

    def _wait_briefly_once(self) -> None:
        line, new_call = self.broker._line, self.broker._line.new_call

        def once() -> Call:
            line.new_call = new_call
            return Call(SHORT_NS)

        line.new_call = once

    def disconnect(self) -> None:
        self.house.stop()
        break_lines(self.house, self._opened)

    def reconnect(self) -> None:
        self.house.start()
        # The time after which the adapter tries again is over.
        self.broker._line._retry_at_ns = 0

    def repeat_executions(self) -> None:
        self.house.repeat_executions()

    def hide_execution(self, trade: Callable[[], None]) -> None:
        self.house.holds_executions = True
        trade()
        self.house.holds_executions = False

    def show_executions(self) -> None:
        self.house.release_executions()

    def correct_first_execution(self, price_micros: int) -> None:
        self.house.correct(0, price_micros)

    def bust_first_execution(self) -> None:
        self.house.correct(0, 0, qty_nanos=0)

    def houses_orders(self) -> list[str]:
        return [order.ref for order in self.house.orders]


@contextmanager
def made(folder: Path, library: str) -> Iterator[Rig]:
    """Give a rig on one of the libraries."""
    rig = IbkrRig(folder, library)
    yield rig
    rig.close()
