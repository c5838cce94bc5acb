"""The account's executions, read from its activities: complete, each once, whatever the order they turn up in.

An execution's id is the activity's own: `20260105093000123::` and a UUID. It is never read for its time, because it
begins with the local time of New York. All ids are of one length, so comparing them as text gives an order that is
the same for everybody and after every restart, and which is nearly that of time. Nearly: two executions of the same
millisecond stand in the order of their UUIDs, and Alpaca may list an execution after one that came later. So a cursor
alone would lose some, and this is what makes up for it:

* every refresh reads the last minutes again; an execution that was not there before and stands before the cursor is
  late, and is reported once more than the cursor asks for;
* the executions of an order that was looked up are all reported with the next answer, wherever they stand. Execution
  looks every order up that it holds to be open after a restart, and every one that is over at the broker alone, and
  knows by its journal what it has booked already. So even what was late when the process died is booked.

An execution that takes the place of another one may be listed before the event that says so. It is *contested*: with
it more of its order would have traded than can have, or an event names it. It is held back until the one in whose place
it stands is taken back, and at most for a while.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from bus.clock import NS_PER_SECOND, boot_ns
from bus.messages import NANOS
from services.execution.brokers import alpaca_answers as a
from services.execution.brokers.alpaca_line import Line
from services.execution.brokers.interface import RetryableBrokerError
from services.execution.brokers.reports import BrokerFill

#: Source: Alpaca "Account activities", `page_size`: at most 100; "Get all orders", `limit`: at most 500. Read 2026-11.
PAGE_SIZE: Final = 100
ORDERS_A_PAGE: Final = 500
#: How far back a refresh reads again.
LATE_NS: Final = 300 * NS_PER_SECOND
#: While the budget is short an answer is good for so long.
FRESH_NS: Final = 2 * NS_PER_SECOND
#: A contested execution is held back so long: twice the time after which the activity events are read again.
CONTESTED_NS: Final = 600 * NS_PER_SECOND
#: So long its order is asked for again at each look: what was heard of it may be older than the execution.
ASKED_AGAIN_NS: Final = 30 * NS_PER_SECOND
#: Beyond so many executions those are forgotten that the cursor has passed and no refresh reads again.
KEPT_MAX: Final = 50_000
#: So many orders are asked for one by one; more are taken from a list first.
_SINGLE_MAX: Final = 3
_IDS_MAX: Final = 200_000
_FILLS: Final = "/account/activities/FILL"


class Activity(Struct, frozen=True):
    """An execution as Alpaca tells of it."""

    id: str
    order_id: str
    qty: Decimal
    price: Decimal
    transaction_time: str
    symbol: str = ""
    side: str = ""


class OrderIds:
    """Which of our ids an order has by Alpaca's, and the other way round; the oldest are forgotten."""

    def __init__(self) -> None:
        self._ours: dict[str, str] = {}
        self._theirs: dict[str, str] = {}
        self._traded_max: dict[str, int | None] = {}

    def learn(self, orders: Iterable[a.AlpacaOrder]) -> None:
        """Keep the ids of these."""
        for order in orders:
            name = order.client_order_id or external(order.id)
            self._ours[order.id] = name
            self._theirs[name] = order.id
            self._traded_max[order.id] = order.traded_nanos_max
        while len(self._ours) > _IDS_MAX:
            oldest = next(iter(self._ours))
            self._traded_max.pop(oldest, None)
            self._theirs.pop(self._ours.pop(oldest), None)

    def ours(self, order_id: str) -> str | None:
        """Return the client id of an order."""
        return self._ours.get(order_id)

    def theirs(self, client_order_id: str) -> str | None:
        """Return Alpaca's id of an order."""
        return self._theirs.get(client_order_id)

    def traded_nanos_max(self, order_id: str) -> int | None:
        """Return how much of an order can have traded, by what was last heard of it; None = not known."""
        return self._traded_max.get(order_id)


def external(order_id: str) -> str:
    """Return how an order is called that nobody gave a name of ours."""
    return f"external-{order_id}"[: a.ID_MAX]


def own_id(activity_id: str) -> str:
    """Return the half of an execution's id by which events name it."""
    return activity_id.rpartition("::")[2]


def place(activity_id: str) -> tuple[int, str]:
    """Return where an execution stands among all; execution compares its cursor in the same way."""
    return len(activity_id), activity_id


class History:
    """What is known of the executions, in memory: Alpaca keeps them for ever, so nothing is kept here.

    Args:
        line: who is asked.
        ids: which order is whose.
        clock: boot time.
    """

    def __init__(self, line: Line, ids: OrderIds, clock: Callable[[], int] = boot_ns) -> None:
        self._line = line
        self._ids = ids
        self._boot_ns = clock
        self._seen: dict[str, Activity] = {}
        #: The newest execution's own time; 0 = none yet.
        self._newest_ns = 0
        #: The oldest execution that was read from the newest on without a gap, and whether it is the very first.
        self._oldest = ""
        self._is_whole = False
        self._late: set[str] = set()
        #: Orders that were looked up since the last answer.
        self._asked: set[str] = set()
        self._refreshed_ns: int | None = None
        #: Executions that Alpaca took back, and may go on listing.
        self.taken_back: set[str] = set()
        #: Which execution stands in the place of which, by the events; the second halves of their ids.
        self.replaces: dict[str, str] = {}
        #: What was read and not reported yet; and what of it is contested, since when in boot time.
        self._unreported: set[str] = set()
        self._contested: dict[str, int] = {}

    def after(self, cursor: str, now_ns: int) -> list[BrokerFill]:
        """Return the executions that stand after the cursor, those that came late, and those of what was looked up.

        Raises:
            RetryableBrokerError: not all of it is known yet; what was read is kept, and the next call goes on.
            StopTradingError: Alpaca cannot be worked with.
        """
        is_newest = self._lacks(cursor) and self._load(cursor)
        if not is_newest and not self._is_fresh():
            self._refresh(cursor)
        wanted = [
            one
            for one in self._seen.values()
            if (place(one.id) > place(cursor) or one.id in self._late or one.order_id in self._asked)
            and one.id not in self.taken_back
        ]
        self._resolve(wanted)
        self._unreported = {name for name in self._unreported if place(name) > place(cursor) or name in self._late}
        wanted = self._uncontested(wanted)
        fills = [self._fill(one, now_ns) for one in wanted]
        # What is held back stands before the cursor once a later one was reported.
        self._late = set(self._contested)
        self._unreported = set(self._contested)
        self._asked.clear()
        self._prune(cursor)
        return fills

    def of_order(self, order_id: str, now_ns: int, *, urgent: bool = False) -> list[BrokerFill]:
        """Return every execution of one order, and note that it was looked up.

        Raises:
            RetryableBrokerError: no whole answer.
            StopTradingError: Alpaca cannot be worked with.
        """
        found = self._uncontested(self.listed(order_id, urgent=urgent))
        return [self._fill(one, now_ns) for one in found]

    def replacement(self, order_id: str, execution_id: str, now_ns: int) -> BrokerFill | None:
        """Return the execution of an order that an event names, held back or not; None = it is not listed yet.

        Raises:
            RetryableBrokerError: no whole answer.
            StopTradingError: Alpaca cannot be worked with.
        """
        found = self.listed(order_id) if order_id else []
        return next((self._fill(one, now_ns) for one in found if own_id(one.id) == execution_id), None)

    def listed(self, order_id: str, *, urgent: bool = False) -> list[Activity]:
        """Return every execution of one order that stands, as Alpaca lists it."""
        found: list[Activity] = []
        params = {"order_id": order_id, "direction": "asc", "page_size": str(PAGE_SIZE)}
        while True:
            page = self._page(params, urgent=urgent)
            found.extend(page)
            if len(page) < PAGE_SIZE:
                break
            params["page_token"] = page[-1].id
        for one in found:
            self._see(one)
        self._asked.add(order_id)
        self._resolve(found)
        return [one for one in found if one.id not in self.taken_back]

    def _see(self, one: Activity) -> None:
        if one.id not in self._seen:
            self._seen[one.id] = one
            self._unreported.add(one.id)

    def _uncontested(self, wanted: Iterable[Activity]) -> list[Activity]:
        """Return these in their order, without those that are held back."""
        ordered = sorted(wanted, key=lambda one: place(one.id))
        orders = {one.order_id for one in ordered if one.id in self._unreported}
        traded = dict.fromkeys(orders, 0)
        for one in self._seen.values() if orders else ():
            if one.order_id in orders and one.id not in self._unreported | self.taken_back:
                traded[one.order_id] += a.scaled(one.qty, NANOS)
        free: list[Activity] = []
        for one in ordered:
            if one.id in self._unreported:
                after = traded[one.order_id] + a.scaled(one.qty, NANOS)
                if self._is_held_back(one, after):
                    continue
                traded[one.order_id] = after
            free.append(one)
        return free

    def _is_held_back(self, one: Activity, traded_nanos: int) -> bool:
        """Tell whether an execution is contested and its time is not over; with it so much of its order has traded."""
        if not self._is_contested(one, traded_nanos):
            self._contested.pop(one.id, None)
            return False
        since_ns = self._contested.setdefault(one.id, self._boot_ns())
        if self._boot_ns() - since_ns < CONTESTED_NS:
            return True
        del self._contested[one.id]
        return False

    def _is_contested(self, one: Activity, traded_nanos: int) -> bool:
        replaced = self.replaces.get(own_id(one.id))
        if replaced is not None and replaced not in {own_id(name) for name in self.taken_back}:
            return True
        most = self._ids.traded_nanos_max(one.order_id)
        if most is None or traded_nanos <= most:
            return False
        if self._boot_ns() - self._contested.get(one.id, self._boot_ns()) < ASKED_AGAIN_NS:
            # What was last heard of the order may be older than this execution.
            self._resolve_one(one.order_id)
            most = self._ids.traded_nanos_max(one.order_id)
        return most is not None and traded_nanos > most

    def _lacks(self, cursor: str) -> bool:
        """Tell whether executions after the cursor have not been read yet: it is older than any before it."""
        return not self._is_whole and (not self._oldest or place(self._oldest) > place(cursor))

    def _load(self, cursor: str) -> bool:
        """Read from the newest, or from where the reading ended, back to the cursor and to the end of its page.

        Returns:
            Whether the newest page alone was read: while older ones are read, newer executions come.
        """
        pages, began_anew = 0, not self._oldest
        params = {"direction": "desc", "page_size": str(PAGE_SIZE)}
        while self._lacks(cursor):
            pages += 1
            if self._oldest:
                params["page_token"] = self._oldest
            page = self._page(params)
            for one in page:
                self._see(one)
                self._newest_ns = max(self._newest_ns, a.utc_ns_of(one.transaction_time))
            self._is_whole = len(page) < PAGE_SIZE
            if page:
                self._oldest = page[-1].id
        if began_anew:
            self._refreshed_ns = self._boot_ns()
        return began_anew and pages == 1

    def _refresh(self, cursor: str) -> None:
        """Read what is new, and the last minutes again."""
        params = {"direction": "asc", "page_size": str(PAGE_SIZE)}
        if self._newest_ns:
            params["after"] = a.iso_seconds(self._newest_ns - LATE_NS)
        while True:
            page = self._page(params)
            for one in page:
                if one.id not in self._seen:
                    self._see(one)
                    # Below the oldest that was read stands what was there at the start: the cursor had passed it.
                    is_new = self._is_whole or place(one.id) > place(self._oldest)
                    if is_new and place(one.id) <= place(cursor):
                        self._late.add(one.id)
                self._newest_ns = max(self._newest_ns, a.utc_ns_of(one.transaction_time))
            if len(page) < PAGE_SIZE:
                break
            params["page_token"] = page[-1].id
        self._refreshed_ns = self._boot_ns()

    def _is_fresh(self) -> bool:
        """Tell whether the newest answer is good enough: only while requests are short and nothing was looked up."""
        if self._asked or self._refreshed_ns is None or not self._line.budget.is_busy:
            return False
        return self._boot_ns() - self._refreshed_ns < FRESH_NS

    def _page(self, params: Mapping[str, str], *, urgent: bool = False) -> Sequence[Activity]:
        body = self._line.get(_FILLS, "the list of executions", params, urgent=urgent)
        return a.decoded(body, list[Activity])

    def _resolve(self, wanted: Iterable[Activity]) -> None:
        """Learn the client ids of the orders behind these."""
        unknown = {one.order_id: one for one in wanted if self._ids.ours(one.order_id) is None}
        if len(unknown) > _SINGLE_MAX:
            newest_ns = max(a.utc_ns_of(one.transaction_time) for one in unknown.values())
            params = {
                "status": "all",
                "limit": str(ORDERS_A_PAGE),
                "direction": "desc",
                "until": a.iso_seconds(newest_ns + NS_PER_SECOND),
            }
            self._ids.learn(a.decoded(self._line.get("/orders", "the list of orders", params), list[a.AlpacaOrder]))
        for order_id in unknown:
            if self._ids.ours(order_id) is None:
                self._resolve_one(order_id)

    def _resolve_one(self, order_id: str) -> None:
        answer = self._line.ask("GET", f"/orders/{order_id}", "an order")
        if a.is_not_found(answer.status, answer.body):
            self._ids.learn([a.AlpacaOrder(order_id)])
            return
        body = a.checked(answer.status, answer.body, "an order", ())
        self._ids.learn([a.decoded(body, a.AlpacaOrder)])

    def _fill(self, one: Activity, now_ns: int) -> BrokerFill:
        qty = a.scaled(one.qty, NANOS)
        if qty <= 0:
            raise RetryableBrokerError(f"Alpaca gives the execution {one.id} no quantity")
        return BrokerFill(
            ts_event=a.utc_ns_of(one.transaction_time),
            ts_init=now_ns,
            execution_id=one.id,
            client_order_id=(self._ids.ours(one.order_id) or external(one.order_id))[: a.ID_MAX],
            broker_order_id=one.order_id,
            qty_nanos=qty,
            price_micros=a.price(one.price),
            commission_micros=0,
            broker=a.NAME,
        )

    def _prune(self, cursor: str) -> None:
        if len(self._seen) <= KEPT_MAX:
            return
        old_ns = self._newest_ns - 2 * LATE_NS
        for one in list(self._seen.values()):
            if place(one.id) <= place(cursor) and a.utc_ns_of(one.transaction_time) < old_ns:
                del self._seen[one.id]
        # Whoever asks for older ones again has them read again.
        self._oldest, self._is_whole = min(self._seen, key=place, default=""), False
