"""What Interactive Brokers has on record of an account: orders, executions, money. Runs in the line's thread.

An order is looked for in the list of open orders, then among today's completed ones, then in today's executions and in
the bot's own file. What the connection heard of its state before decides only where no list says anything.
"""

from collections.abc import Callable, Sequence
from typing import Final

from bus.clock import boot_ns
from services.execution.brokers import reports as r
from services.execution.brokers.ibkr_books import IbkrBooks, KnownExecution, KnownOrder
from services.execution.brokers.ibkr_ears import OVER, AccountFigure, Course, HeldPosition, ListedOrder
from services.execution.brokers.ibkr_line import READS_MAX, Call, IbkrAccess, IbkrLine
from services.execution.brokers.ibkr_windows import new_york_day
from services.execution.brokers.interface import RetryableBrokerError

BROKER: Final = "IBKR"
#: An execution is reported without its commission when that is not there after so long, in nanoseconds of boot time.
#: Source: none is published; it follows its execution within milliseconds as a rule, and may never come.
COMMISSION_WAIT_NS: Final = 1_000_000_000
_SUMMARY_TAGS: Final = "TotalCashValue,BuyingPower,AvailableFunds"
_TEXT_MAX: Final = 400


class IbkrRecords:
    """Asks for lists, and puts what they say of an order together.

    Args:
        line: the line to the gateway.
        books: what outlives the process.
        access: as whom the gateway is used.
        clock: the time of the day, UTC nanoseconds.
    """

    def __init__(self, line: IbkrLine, books: IbkrBooks, access: IbkrAccess, clock: Callable[[], int]) -> None:
        self._line = line
        self._books = books
        self._access = access
        self._clock = clock

    async def look_up(self, call: Call, key: str, now_ns: int) -> Sequence[r.OrderReport]:
        """Report acceptance, executions and end of an order, or that it is not found."""
        listed = [order for order in await self.listed(call) if order.ref == key]
        done: list[ListedOrder] = []
        if not listed:
            done = [order for order in await self._completed(call) if order.ref == key]
        # Executions are asked for last: what is over by then has told all of them.
        await self._line.hear_executions(call)
        known, fills = self._books.order(key), self._books.executions_of(key)
        if known is None and not (listed or done or fills):
            return (_not_found(key, now_ns, "neither its lists nor the bot's own file has it"),)
        perm_id = next((order.perm_id for order in (*listed, *done) if order.perm_id), 0)
        perm_id = perm_id or (known.perm_id if known else 0) or (fills[0].perm_id if fills else 0)
        end = None if listed else self._end_of(known, done, key)
        if known is not None and known.refusal and not (fills or listed):
            return (_refused(key, known.refusal, now_ns),)
        if end is None and not perm_id:
            return (_not_found(key, now_ns, "it has a number, but Interactive Brokers does not list it"),)
        accepted = r.BrokerAccepted(
            ts_event=now_ns, ts_init=now_ns, client_order_id=key, broker_order_id=str(perm_id or key)
        )
        told = [fill_of(execution, now_ns) for execution in fills]
        if end is None:
            return (accepted, *told)
        filled = sum(execution.qty_nanos for execution in fills)
        cancelled = r.BrokerCancelled(
            ts_event=now_ns, ts_init=now_ns, client_order_id=key, filled_qty_nanos=filled, detail=end[:_TEXT_MAX]
        )
        is_whole = known is not None and self._books.traded_nanos(key) >= known.qty_nanos
        return (accepted, *told) if is_whole else (accepted, *told, cancelled)

    def _end_of(self, known: KnownOrder | None, done: Sequence[ListedOrder], key: str) -> str | None:
        """Return in words how an order that is not open any more ended; None when it may never have arrived.

        Raises:
            RetryableBrokerError: its end or its fills are not told yet.
        """
        filled = self._books.traded_nanos(key)
        own = known is not None and known.client_id == self._access.client_id
        course = self.course(known.order_id) if known is not None and own else Course()
        claimed = max([course.filled_nanos, *(order.filled_nanos for order in done)])
        if filled < claimed:
            raise RetryableBrokerError("Interactive Brokers says that more is filled than its executions add up to")
        if done:
            words = next((order.words for order in done if order.words), "")
            return words or f"it is {done[0].status.lower()}"
        if known is None or filled >= known.qty_nanos:
            return "it is filled"
        if course.is_over or course.status in OVER:
            return course.notice or course.refusal or f"it is {course.status.lower()}"
        if not known.perm_id:
            return None
        if known.day < new_york_day(self._clock()):
            return "it is of an earlier day, and is listed no more"
        raise RetryableBrokerError("Interactive Brokers took the order, and lists it neither as open nor as over")

    def course(self, order_id: int) -> Course:
        """Return what this connection heard of one of our orders by its number.

        Raises:
            RetryableBrokerError: there is no connection any more.
        """
        if self._line.ears is None:
            raise RetryableBrokerError("the connection to the gateway broke")
        return self._line.ears.course(order_id)

    async def listed(self, call: Call) -> list[ListedOrder]:
        """Return every open order of the account."""
        found: list[ListedOrder] = await self._line.ask(call, "open orders", self._line.client.reqAllOpenOrders)
        return [
            order
            for order in found
            if order.account in {"", self._line.account} and order.status not in OVER - {"Inactive"}
        ]

    async def _completed(self, call: Call) -> list[ListedOrder]:
        found: list[ListedOrder] = await self._line.ask(
            call, "completed orders", lambda: self._line.client.reqCompletedOrders(apiOnly=False)
        )
        return [order for order in found if order.account in {"", self._line.account}]

    async def figures(self, call: Call) -> list[AccountFigure]:
        """Return cash and buying power of the account."""
        request = self._line.next_request()
        found: list[AccountFigure] = await self._line.ask(
            call, request, lambda: self._line.client.reqAccountSummary(request, "All", _SUMMARY_TAGS)
        )
        # At most two summaries may be subscribed to at a time.
        await self._line.slot(call, READS_MAX)
        self._line.client.cancelAccountSummary(request)
        return [figure for figure in found if figure.account == self._line.account]

    async def account(self, call: Call) -> tuple[list[AccountFigure], list[HeldPosition]]:
        """Return figures and positions of the account."""
        figures = await self.figures(call)
        held: list[HeldPosition] = await self._line.ask(call, "positions", self._line.client.reqPositions)
        await self._line.slot(call, READS_MAX)
        self._line.client.cancelPositions()
        return figures, [position for position in held if position.account == self._line.account]

    async def executions_after(self, call: Call, name: str) -> list[KnownExecution]:
        """Return the executions after the one of this name; their commissions are fixed from now on."""
        await self._line.hear_executions(call)
        place = self._books.place_of(name) if name else 0
        if place is None:
            place = self._take_over(name)
        ears = self._line.ears
        found = self._books.executions_after(place)

        def is_paid() -> bool:
            heard_ns = [ears.unpaid.get(execution.execution_id, 0) for execution in found] if ears else []
            return not any(at and boot_ns() - at < COMMISSION_WAIT_NS for at in heard_ns)

        await self._line.until(call, is_paid, longest_s=COMMISSION_WAIT_NS / 1_000_000_000)
        found = self._books.executions_after(place)
        # From here on each is told with this commission; what is heard later is booked by itself.
        self._books.note_told(found)
        return self._books.executions_after(place)

    async def changes(self, call: Call, names: Sequence[str]) -> list[tuple[str, KnownExecution | None, str]]:
        """Return which of these reported executions were corrected or taken back: name, what is in its place, its id.

        What is in the place of one is reported from now on.
        """
        await self._line.hear_executions(call)
        found = [(name, *change) for name in names if (change := self._books.change_of(name)) is not None]
        self._books.note_told([right for _, right, _ in found if right is not None])
        return [(name, *change) for name, _, _ in found if (change := self._books.change_of(name)) is not None]

    def _take_over(self, name: str) -> int:
        words = (
            f"the bot's file of executions does not know {name}, which the journal has: it is lost or older than the "
            "journal. The count goes on from there; compare today's trades in TWS with the ledger, then arm again"
        )
        place = self._books.continue_from(name)
        if self._line.ears is not None:
            self._line.ears.contradictions.append(words)
        return place

    async def late_commissions(self, call: Call) -> list[KnownExecution]:
        """Return the executions of our orders that were told with another commission than they had."""
        await self._line.hear_executions(call)
        return self._books.late_commissions()


def fill_of(execution: KnownExecution, now_ns: int) -> r.BrokerFill:
    """Return the report of an execution, with the commission that it was first told with."""
    told = execution.told_commission_micros
    return r.BrokerFill(
        ts_event=now_ns,
        ts_init=now_ns,
        execution_id=execution.name,
        client_order_id=execution.client_order_id,
        broker_order_id=str(execution.perm_id),
        qty_nanos=execution.qty_nanos,
        price_micros=execution.price_micros,
        commission_micros=(execution.commission_micros or 0) if told is None else told,
        broker=BROKER,
    )


def reversal_of(name: str, right: KnownExecution | None, new_id: str, now_ns: int) -> r.BrokerReversal:
    """Return the report that an execution was corrected, or taken back where nothing is in its place."""
    words = f"Interactive Brokers corrected it by {new_id}" if new_id else "Interactive Brokers took it back"
    return r.BrokerReversal(
        ts_event=now_ns,
        ts_init=now_ns,
        execution_id=name,
        is_correction=bool(new_id),
        detail=words,
        corrected=fill_of(right, now_ns) if right is not None else None,
    )


def _not_found(key: str, now_ns: int, detail: str) -> r.BrokerNotFound:
    return r.BrokerNotFound(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=detail)


def _refused(key: str, detail: str, now_ns: int) -> r.BrokerRejected:
    return r.BrokerRejected(ts_event=now_ns, ts_init=now_ns, client_order_id=key, detail=detail[:_TEXT_MAX])
