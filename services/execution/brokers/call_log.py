"""A log of every call to a broker in another house: when, which, about what, how it ended, and how long it took.

One line of JSON a call, in `broker_calls.log` beside the other logs of the bot. The journal says what an answer
changed; this says what was asked, also where nothing followed from it.
"""

import logging
import logging.handlers
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from bus.clock import boot_ns, iso_utc, utc_ns
from bus.messages import AssetLine, QuoteBatch, SessionPlanned
from services.execution.brokers import reports as r
from services.execution.brokers.interface import (
    Broker,
    BrokerClock,
    BrokerPorts,
    NotFoundProof,
    NotSentError,
    OpenOrder,
    OrderRequest,
    RetryableBrokerError,
    StopTradingError,
)

if TYPE_CHECKING:
    # Numpy comes with it, which a process without a replay does not need.
    from bus.ahead import Ahead

FILE: Final = "broker_calls.log"
_BYTES_MAX: Final = 10 * 1024 * 1024
_FILES_KEPT: Final = 10
_WORDS_MAX: Final = 300
_NS_PER_MS: Final = 1_000_000
T = TypeVar("T")


class CallLog:
    """The file, ten of them of 10 MiB at most. A disk that does not take a line holds nothing up.

    Args:
        folder: where the bot's logs are; it is made when it is not there.
        broker: the code of the broker.
    """

    def __init__(self, folder: Path, broker: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._broker = broker
        self._handler = logging.handlers.RotatingFileHandler(
            folder / FILE, maxBytes=_BYTES_MAX, backupCount=_FILES_KEPT, encoding="utf-8"
        )

    def note(self, call: str, about: str, result: str, took_ns: int) -> None:
        """Write one call."""
        line = {
            "timestamp": iso_utc(utc_ns()),
            "broker": self._broker,
            "call": call,
            "about": about[:_WORDS_MAX],
            "result": result[:_WORDS_MAX],
            "ms": took_ns // _NS_PER_MS,
        }
        text = msgspec.json.encode(line).decode()
        self._handler.handle(logging.LogRecord("broker_calls", logging.INFO, "", 0, text, None, None))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class LoggedBroker(Broker):
    """A broker whose calls are written down.

    Args:
        broker: who is called.
        log: where each call goes.
    """

    def __init__(self, broker: Broker, log: CallLog) -> None:
        self._broker = broker
        self._log = log

    @property
    def name(self) -> str:
        """Return the broker's code."""
        return self._broker.name

    @property
    def not_found_proof(self) -> NotFoundProof:
        """Return the broker's proof."""
        return self._broker.not_found_proof

    @property
    def refuses_opposite_sides(self) -> bool:
        """Tell what the broker tells."""
        return self._broker.refuses_opposite_sides

    @property
    def tells_money(self) -> bool:
        """Tell what the broker tells."""
        return self._broker.tells_money

    def attach(self, ports: BrokerPorts) -> None:
        """Lend the broker what execution lends."""
        self._broker.attach(ports)

    def planned(self, plan: SessionPlanned) -> None:
        """Give the broker the day's hours."""
        self._broker.planned(plan)

    def faults(self) -> Sequence[str]:
        """Check at the start."""
        return self._noted("check", "", self._broker.faults)

    def clock(self, now_ns: int) -> BrokerClock | None:
        """Ask for the time."""
        return self._noted("clock", "", lambda: self._broker.clock(now_ns))

    def assets(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Ask what may be done with symbols."""
        return self._noted("assets", " ".join(symbols), lambda: self._broker.assets(symbols, now_ns))

    def assets_anew(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Ask the same as it stands now."""
        return self._noted("assets anew", " ".join(symbols), lambda: self._broker.assets_anew(symbols, now_ns))

    def fence(self, *, is_up: bool, now_ns: int) -> None:
        """Put the fence up or down."""
        self._noted("fence", "up" if is_up else "down", lambda: self._broker.fence(is_up=is_up, now_ns=now_ns))

    def submit(self, request: OrderRequest) -> r.OrderReport:
        """Place an order."""
        about = f"{request.client_order_id} {request.side} {request.qty_nanos} nanos {request.symbol}"
        return self._noted("submit", f"{about} {request.order_type}", lambda: self._broker.submit(request))

    def cancel(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        """Ask for a cancel."""
        return self._noted("cancel", client_order_id, lambda: self._broker.cancel(client_order_id, now_ns))

    def lookup(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        """Look an order up."""
        return self._noted("look-up", client_order_id, lambda: self._broker.lookup(client_order_id, now_ns))

    def executions_after(self, execution_id: str, now_ns: int) -> Sequence[r.BrokerFill]:
        """Ask for executions."""
        return self._noted("executions", execution_id, lambda: self._broker.executions_after(execution_id, now_ns))

    def open_orders(self, now_ns: int) -> Sequence[OpenOrder]:
        """Ask for open orders."""
        return self._noted("open orders", "", lambda: self._broker.open_orders(now_ns))

    def account(self, session_date: str, now_ns: int) -> r.BrokerAccount:
        """Ask for cash and positions."""
        return self._noted("account", "", lambda: self._broker.account(session_date, now_ns))

    def activities(self, now_ns: int) -> Sequence[r.BrokerActivity]:
        """Ask for what moved without a trade."""
        return self._noted("activities", "", lambda: self._broker.activities(now_ns))

    def reversals(self, execution_ids: Sequence[str], now_ns: int) -> Sequence[r.BrokerReversal]:
        """Ask what was taken back."""
        about = f"{len(execution_ids)} executions"
        return self._noted("reversals", about, lambda: self._broker.reversals(execution_ids, now_ns))

    def hints(self) -> Sequence[str]:
        """Return what was pushed; no call."""
        return self._broker.hints()

    def on_quotes(self, batch: QuoteBatch, session_date: str) -> Sequence[r.OrderReport]:
        """Hand the market on; no call."""
        return self._broker.on_quotes(batch, session_date)

    def quiet_for(self, ahead: "Ahead") -> int:
        """Tell what the broker tells; no call."""
        return self._broker.quiet_for(ahead)

    def let_pass(self, ahead: "Ahead", session_date: str) -> None:
        """Hand the market on; no call."""
        self._broker.let_pass(ahead, session_date)

    def finish(self, now_ns: int) -> Sequence[r.OrderReport]:
        """Ask what became of market orders."""
        return self._noted("finish", "", lambda: self._broker.finish(now_ns))

    def close(self) -> None:
        """Close the broker and the log."""
        self._broker.close()
        self._log.close()

    def _noted(self, call: str, about: str, act: Callable[[], T]) -> T:
        began_ns = boot_ns()
        try:
            answer = act()
        except (RetryableBrokerError, StopTradingError, NotSentError) as error:
            self._log.note(call, about, f"{type(error).__name__}: {error}", boot_ns() - began_ns)
            raise
        self._log.note(call, about, _words_of(answer), boot_ns() - began_ns)
        return answer


def _words_of(answer: object) -> str:
    """Return what came back: the kinds of a list's items and how many there are of each, or the kind of one thing."""
    if answer is None:
        return "done"
    if not isinstance(answer, Sequence):
        return type(answer).__name__
    kinds = [one if isinstance(one, str) else type(one).__name__ for one in answer]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)) or "nothing"
