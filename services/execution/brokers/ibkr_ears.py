"""What one connection to the gateway hears: the library calls this object, and gets no opinion of its own in.

The library's protocol half (`Client`) is used without its other half, which keeps orders: that one takes an order for
cancelled when any message names it, and for alive when its connection is gone. Here only what Interactive Brokers says
of an order's state counts, and each look asks anew. All of it runs in the thread of the connection.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from typing import Any, Final, Literal

from msgspec import Struct

from bus.clock import boot_ns
from bus.ib_library import UNSET_ABOVE
from services.execution.brokers.ibkr_books import IbkrBooks, KnownExecution, KnownOrder
from services.execution.brokers.ibkr_codes import Meaning, farm_of, is_read_only, meaning_of
from services.execution.brokers.ibkr_contracts import micros_of, nanos_of, symbol_of
from services.execution.brokers.interface import StopTradingError

Side = Literal["BUY", "SELL"]

#: Interactive Brokers' words for an order that is over. `Inactive` is said of a refused one, and of one that waits for
#: something, so it is over only where no list has it any more.
OVER: Final = frozenset({"Filled", "Cancelled", "ApiCancelled", "Inactive"})
_TEXT_MAX: Final = 300
_log = logging.getLogger(__name__)


class ListedOrder(Struct, frozen=True, kw_only=True):
    """An order as a list has it; `filled_nanos` is -1 where the list does not say."""

    ref: str
    account: str
    client_id: int
    order_id: int
    perm_id: int
    symbol: str
    side: Side
    status: str
    stop_micros: int
    filled_nanos: int = -1
    words: str = ""


class HeldPosition(Struct, frozen=True, kw_only=True):
    """A position; below zero = short."""

    account: str
    symbol: str
    qty_nanos: int


class AccountFigure(Struct, frozen=True, kw_only=True):
    """One figure of an account's summary."""

    account: str
    tag: str
    micros: int
    currency: str


@dataclass
class Course:
    """What was heard of one of our own orders on this connection."""

    perm_id: int = 0
    status: str = ""
    filled_nanos: int = 0
    is_cancelled: bool = False
    refusal: str = ""
    number_taken: str = ""
    not_cancellable: str = ""
    notice: str = ""

    @property
    def is_taken(self) -> bool:
        """Tell whether Interactive Brokers has it."""
        return bool(self.perm_id and self.status)

    @property
    def is_over(self) -> bool:
        """Tell whether it is over for certain."""
        return self.is_cancelled or (self.status in OVER and self.status != "Inactive")


class RequestFailedError(Exception):
    """The gateway answered a request with a fault; the words are its own."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"{words} ({code})")
        self.code = code


@dataclass
class _Asked:
    """A request that waits for its end."""

    future: "asyncio.Future[list[Any]]"
    items: list[Any] = field(default_factory=list)


class _Zone:
    """What the library's decoder asks of the half that is not used: the zone of a time that names none."""

    TimezoneTWS = "UTC"


class IbkrEars:
    """Hears one connection.

    Args:
        books: where executions and permanent ids are kept.
        client_id: our number as a client of the gateway.
        loop: the loop of the connection's thread.
        hints: takes the client id of an order that something happened to without our asking.
    """

    def __init__(self, books: IbkrBooks, client_id: int, loop: asyncio.AbstractEventLoop, hints: "deque[str]") -> None:
        self.changed = asyncio.Event()
        self.is_lost = False
        self.next_valid_id = 0
        #: The account that is traded; executions of others are none of ours. Empty = not known yet, and all are kept.
        self.account = ""
        #: Why the gateway turned this connection away, in its words.
        self.turned_away = ""
        #: What is away behind the gateway: a name -> the gateway's words.
        self.away: dict[str, str] = {}
        self.is_read_only = False
        #: What contradicts the books, in words; each is raised once.
        self.contradictions: list[str] = []
        self.courses: dict[int, Course] = {}
        #: Execution -> boot time at which it was heard; 0 once its commission was.
        self.unpaid: dict[str, int] = {}
        self.ib = _Zone()
        self.defaultTimezone = UTC
        self._books = books
        self._client_id = client_id
        self._loop = loop
        self._hints = hints
        self._asked: dict[Hashable, _Asked] = {}
        self._early_commissions: dict[str, int] = {}
        #: How many executions were understood.
        self._understood = 0
        for theirs, ours in self._callbacks().items():
            setattr(self, theirs, ours)

    def _callbacks(self) -> dict[str, Callable[..., None]]:
        """Return what the library calls, by its own names."""
        return {
            "nextValidId": self._next_valid_id,
            "error": self._message,
            "openOrder": self._open_order,
            "openOrderEnd": lambda: self._ended("open orders"),
            "completedOrder": self._completed_order,
            "completedOrdersEnd": lambda: self._ended("completed orders"),
            "orderStatus": self._order_status,
            "execDetails": self._execution,
            "execDetailsEnd": self._ended,
            "commissionReport": self._commission,
            "position": self._position,
            "positionEnd": lambda: self._ended("positions"),
            "accountSummary": self._figure,
            "accountSummaryEnd": self._ended,
            "contractDetails": self._item,
            "contractDetailsEnd": self._ended,
            "currentTime": self._time,
            "connectAck": lambda: None,
            "connectionClosed": self._lost,
            "setEventsDone": self._lost,
            "tcpDataProcessed": self._processed,
        }

    def guard(self, decoder: Any) -> None:
        """Let an execution that the library cannot read stop trading instead of being dropped with a line in a log."""
        read = decoder.handlers[11]

        def read_or_stop(fields: list[str]) -> None:
            before = self._understood
            try:
                read(fields)
            finally:
                if self._understood == before:
                    # An execution that nobody books is money that nobody knows of.
                    self._contradict(
                        f"Interactive Brokers reported an execution that could not be read ({len(fields)} fields). "
                        "Compare today's trades in TWS with the ledger, book what is missing, then arm again"
                    )

        decoder.handlers[11] = read_or_stop

    def ask(self, key: Hashable) -> "asyncio.Future[list[Any]]":
        """Begin a request; the future gives what was heard until its end."""
        asked = _Asked(self._loop.create_future())
        self._asked[key] = asked
        return asked.future

    def forget(self, key: Hashable) -> None:
        """Give a request up."""
        self._asked.pop(key, None)

    def course(self, order_id: int) -> Course:
        """Return what was heard of one of our orders by its number."""
        return self.courses.setdefault(order_id, Course())

    # --- what the library calls -----

    def _processed(self) -> None:
        """Put on disk what one packet said, in the order in which it said it."""
        try:
            self._books.flush()
        except StopTradingError as error:
            self._contradict(str(error))
        self.changed.set()

    def _ended(self, key: Hashable) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None and not asked.future.done():
            asked.future.set_result(asked.items)

    def _failed(self, key: Hashable, error: Exception) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None and not asked.future.done():
            asked.future.set_exception(error)

    def _item(self, key: Hashable, item: Any) -> None:
        asked = self._asked.get(key)
        if asked is not None:
            asked.items.append(item)

    def _lost(self) -> None:
        self.is_lost = True
        for key in list(self._asked):
            self._failed(key, ConnectionError("the connection to the gateway broke"))
        self.changed.set()

    def _next_valid_id(self, order_id: int) -> None:
        self.next_valid_id = max(self.next_valid_id, order_id)

    def _time(self, seconds: int) -> None:
        self._item("time", seconds)
        self._ended("time")

    def _message(self, key: int, code: int, text: str, _advanced: str = "") -> None:
        """Take a numbered message: of the line, of a request, or of one of our orders."""
        meaning, words = meaning_of(code), f"{text[:_TEXT_MAX]} ({code})"
        _log.info("the gateway says of %d: %s", key, words)
        if is_read_only(text):
            self.is_read_only = True
            for waiting in [waiting for waiting in self._asked if isinstance(waiting, str)]:
                self._failed(waiting, RequestFailedError(code, text))
        if self._is_of_the_line(meaning, text, words):
            return
        if key in self._asked and meaning is not Meaning.NOTICE:
            self._failed(key, RequestFailedError(code, text))
            return
        if key in self.courses:
            self._of_order(self.courses[key], meaning, words)

    def _is_of_the_line(self, meaning: Meaning, text: str, words: str) -> bool:
        match meaning:
            case Meaning.LINE_LOST:
                self.away["line"] = words
            case Meaning.FARM_LOST:
                self.away[farm_of(text)] = words
            case Meaning.FARM_BACK:
                self.away.pop(farm_of(text), None)
            case Meaning.BACK | Meaning.BACK_WITHOUT_DATA:
                self.away.clear()
                # What was heard before is old: each state is asked for anew.
                self.courses.clear()
            case Meaning.CLIENT_IN_USE:
                self.turned_away = words
            case Meaning.PORT_MOVED:
                self.turned_away = words
                self.away["line"] = words
            case _:
                return False
        return True

    def _of_order(self, course: Course, meaning: Meaning, words: str) -> None:
        match meaning:
            case Meaning.REFUSED | Meaning.NO_CONTRACT:
                course.refusal = words
            case Meaning.NUMBER_TAKEN:
                course.number_taken = words
            case Meaning.CANCELLED:
                course.is_cancelled = True
                course.notice = words
            case Meaning.NOT_CANCELLABLE:
                course.not_cancellable = words
            case _:
                # No state follows from it, whatever the library would make of it.
                course.notice = words

    def _open_order(self, order_id: int, contract: Any, order: Any, state: Any) -> None:
        listed = _listed(contract, order, str(state.status), str(state.warningText or ""))
        self._item("open orders", listed)
        self._match(listed.client_id, order_id, listed.perm_id, listed.ref)
        if listed.client_id == self._client_id and order_id in self.courses:
            course = self.courses[order_id]
            course.perm_id = listed.perm_id or course.perm_id
            if course.status not in OVER:
                course.status = listed.status

    def _completed_order(self, contract: Any, order: Any, state: Any) -> None:
        words = str(state.completedStatus or "")
        listed = _listed(contract, order, str(state.status), words, filled_nanos=nanos_of(order.filledQuantity))
        self._item("completed orders", listed)

    def _order_status(self, order_id: int, status: str, filled: float, *rest: Any) -> None:
        _remaining, _average, perm_id, _parent, _last, client_id = rest[:6]
        if client_id != self._client_id or order_id not in self.courses:
            return
        course = self.courses[order_id]
        before = (course.status, course.filled_nanos)
        course.perm_id = perm_id or course.perm_id
        course.filled_nanos = max(course.filled_nanos, nanos_of(filled))
        # Messages of one order may overtake each other: what is over stays over.
        if not course.is_over:
            course.status = status
        known = self._books.order_numbered(client_id, order_id)
        if known is not None:
            self._match(client_id, order_id, perm_id, known.client_order_id)
            if before != (course.status, course.filled_nanos):
                self._hints.append(known.client_order_id)

    def _execution(self, request_id: int, _contract: Any, execution: Any) -> None:
        execution_id, ref = str(execution.execId), str(execution.orderRef or "")
        # No quantity under a later number is an execution that is taken back.
        least = 1 if execution_id.rpartition(".")[2] in {"", "1", "01"} else 0
        if not execution_id or nanos_of(execution.shares) < least or micros_of(execution.price) < 0:
            return
        if self.account and str(execution.acctNumber) != self.account:
            self._understood += 1
            return
        perm_id = int(execution.permId)
        known = self._match(int(execution.clientId), int(execution.orderId), perm_id, ref)
        key = known.client_order_id if known is not None else ref or f"not-ours-{perm_id}"
        self._books.add_execution(
            KnownExecution(
                execution_id=execution_id,
                client_order_id=key,
                perm_id=perm_id,
                qty_nanos=nanos_of(execution.shares),
                price_micros=micros_of(execution.price),
            )
        )
        self._understood += 1
        if request_id < 0 and known is not None:
            self._hints.append(key)
        if execution_id in self._early_commissions:
            self._books.note_commission(execution_id, self._early_commissions.pop(execution_id))
            self.unpaid[execution_id] = 0
        else:
            self.unpaid.setdefault(execution_id, boot_ns())

    def _commission(self, report: Any) -> None:
        execution_id = str(report.execId)
        if abs(Decimal(str(report.commission))) > Decimal(UNSET_ABOVE):
            return
        micros = micros_of(report.commission)
        if execution_id in self.unpaid:
            self._books.note_commission(execution_id, micros)
            self.unpaid[execution_id] = 0
        else:
            self._early_commissions[execution_id] = micros

    def _position(self, account: str, contract: Any, quantity: float, _cost: float) -> None:
        held = HeldPosition(account=account, symbol=symbol_of(contract), qty_nanos=nanos_of(quantity))
        self._item("positions", held)

    def _figure(self, request_id: int, account: str, *told: str) -> None:
        tag, value, currency = told
        self._item(request_id, AccountFigure(account=account, tag=tag, micros=micros_of(value), currency=currency))

    # --- whose is it -----

    def _match(self, client_id: int, order_id: int, perm_id: int, ref: str) -> KnownOrder | None:
        """Return our order that a message is about, by its reference; note what contradicts what was kept of it."""
        known = self._books.order(ref) if ref else None
        is_numbered = client_id == self._client_id and order_id > 0
        numbered = self._books.order_numbered(client_id, order_id) if is_numbered else None
        if numbered is not None and numbered.client_order_id != ref:
            if not ref and perm_id and numbered.perm_id == perm_id:
                # The reference was left out; the permanent id says the same.
                return numbered
            self._contradict(
                f"the gateway says that order number {order_id} is '{ref or 'without a reference'}' (permanent id "
                f"{perm_id}), but that number was given to {numbered.client_order_id}: the gateway's numbers began "
                "again, or another program uses our client number. Compare the open orders in TWS, then arm again"
            )
            return known
        if known is not None and perm_id and known.perm_id != perm_id:
            if known.perm_id:
                self._contradict(
                    f"Interactive Brokers has {ref} twice, with the permanent ids {known.perm_id} and {perm_id}: "
                    "cancel the one too many in TWS, then arm again"
                )
            else:
                self._books.note_perm_id(ref, perm_id)
        return known

    def _contradict(self, words: str) -> None:
        self.contradictions.append(words)


def _listed(contract: Any, order: Any, status: str, words: str, *, filled_nanos: int = -1) -> ListedOrder:
    trailing = str(order.orderType).startswith("TRAIL")
    stop = order.trailStopPrice if trailing else order.auxPrice if str(order.orderType).startswith("STP") else 0
    return ListedOrder(
        ref=str(order.orderRef or ""),
        account=str(order.account or ""),
        client_id=int(order.clientId or 0),
        order_id=int(order.orderId or 0),
        perm_id=int(order.permId or 0),
        symbol=symbol_of(contract),
        side="BUY" if str(order.action).upper().startswith("B") else "SELL",
        status=status,
        stop_micros=max(0, micros_of(stop)),
        filled_nanos=filled_nanos,
        words=words[:_TEXT_MAX],
    )
