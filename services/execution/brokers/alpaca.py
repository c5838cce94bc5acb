"""Alpaca: orders over its REST interface, everything looked up there, and its stream of trade updates as a hint.

A call asks at most a few questions within `CALL_NS_MAX`, from one worker thread, and breathes meanwhile. No request
that writes is ever repeated here. What each answer means stands in `alpaca_answers`, and in docs/alpaca.md.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from bus.clock import boot_ns
from bus.messages import AssetLine, QuoteBatch
from services.execution.brokers import alpaca_answers as a
from services.execution.brokers import reports as r
from services.execution.brokers.alpaca_account import AccountDesk, Endpoint
from services.execution.brokers.alpaca_activities import Activities
from services.execution.brokers.alpaca_answers import AlpacaOrder, Fate
from services.execution.brokers.alpaca_events import ActivityEvents
from services.execution.brokers.alpaca_history import ORDERS_A_PAGE, History, OrderIds, external, place
from services.execution.brokers.alpaca_line import NO_KEYS, Line
from services.execution.brokers.alpaca_orders import body_of, refusal
from services.execution.brokers.alpaca_stream import Hints, Stream
from services.execution.brokers.interface import (
    CALL_NS_MAX,
    OUTSIDE_PROOF,
    Broker,
    BrokerClock,
    BrokerPorts,
    NotFoundProof,
    OpenOrder,
    OrderRequest,
    RetryableBrokerError,
    StopTradingError,
)
from services.execution.orders import is_own

#: Source: alpaca-py 0.44.0, alpaca/common/enums.py, BaseURL. Not a setting: orders go to Alpaca and nowhere else.
HOSTS: Final = {"paper": "https://paper-api.alpaca.markets", "live": "https://api.alpaca.markets"}
#: What the simulator is told instead of the operator's keys.
SIMULATOR_KEYS: Final = ("PKSIMULATOR000000000", "simulated-secret-of-no-account-at-all")
#: How long the end of the process waits for market orders, and how often it looks, in nanoseconds of boot time.
FINISH_NS: Final = 2_000_000_000
FINISH_LOOK_NS: Final = 300_000_000
_log = logging.getLogger(__name__)


class AlpacaBroker(Broker):
    """One account at Alpaca.

    Args:
        keys: the key id and its secret; neither is in any log, message or `repr`. The simulator never gets them.
        endpoint: the setting ALPACA_ENDPOINT.
        simulator_port: where a simulator listens on 127.0.0.1; used for the endpoint `simulator` alone.
        listens: open the stream of trade updates as well.
        clock: boot time, by which requests are counted.
        call_ns: how long one call may take in all, in nanoseconds.
    """

    name: Final = a.NAME
    not_found_proof: Final[NotFoundProof] = OUTSIDE_PROOF

    def __init__(
        self,
        keys: tuple[str, str],
        endpoint: Endpoint,
        *,
        simulator_port: int = 0,
        listens: bool = True,
        clock: Callable[[], int] = boot_ns,
        call_ns: int = CALL_NS_MAX,
    ) -> None:
        self._endpoint: Endpoint = endpoint
        is_simulated = endpoint == "simulator"
        self._keys = SIMULATOR_KEYS if is_simulated else keys
        url = f"http://127.0.0.1:{simulator_port}" if is_simulated else HOSTS[endpoint]
        self._line = Line(self._keys, url, clock=clock, call_ns=call_ns)
        self._ids = OrderIds()
        self._history = History(self._line, self._ids, clock)
        self._desk = AccountDesk(self._line, endpoint, self._keys[0])
        self._activities = Activities(self._line)
        self._events = ActivityEvents(self._line, self._history, clock)
        self._hints = Hints()
        self._stream = (
            Stream(self._keys, f"ws{url.removeprefix('http')}/stream", self._hints)
            if listens and all(self._keys)
            else None
        )
        self._fence_is_up: bool | None = None
        self._cursor = ""
        #: Our orders that were open when the list was read, or were accepted since; and those at market.
        self._open: set[str] = set()
        self._at_market: set[str] = set()
        #: Ours that are good until they are cancelled; Alpaca need not list them as open between two sessions.
        self._overnight: set[str] = set()

    def __repr__(self) -> str:
        """Return the endpoint alone."""
        return f"AlpacaBroker({self._endpoint})"

    @property
    def refuses_opposite_sides(self) -> bool:
        """Tell that Alpaca takes an order for a wash trade while one of the other side is open in its symbol."""
        return True

    def attach(self, ports: BrokerPorts) -> None:
        """Take the gate and the breath, and begin to listen to the stream."""
        self._line.attach(ports)
        if self._stream is not None:
            self._stream.start()

    def faults(self) -> Sequence[str]:
        """Check keys, account and clock. A network that is down is no fault: execution asks until it answers."""
        if not all(self._keys):
            return (NO_KEYS,)
        if self._endpoint == "live":
            _log.warning("ALPACA_ENDPOINT is live: orders go to the market with REAL MONEY")
        self._line.begin()
        try:
            return self._desk.faults()
        except StopTradingError as error:
            return (str(error),)
        except RetryableBrokerError as error:
            _log.warning("the account at Alpaca could not be checked yet: %s", error)
            return ()

    def clock(self, now_ns: int) -> BrokerClock | None:
        """Return Alpaca's time and whether its market is open."""
        self._line.begin()
        return self._desk.clock()

    def assets(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Return what the account may do with each symbol."""
        self._line.begin()
        return self._desk.assets(symbols, now_ns)

    def assets_anew(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Return the same as it stands now."""
        self._line.begin()
        return self._desk.assets_anew(symbols, now_ns)

    def fence(self, *, is_up: bool, now_ns: int) -> None:
        """Set the account's suspend_trade: while it is up Alpaca refuses every new order, also one that reduces."""
        if self._fence_is_up is is_up:
            return
        self._line.begin()
        # Until the answer is there nobody knows where it stands.
        self._fence_is_up = None
        self._desk.suspend(is_up=is_up)
        self._fence_is_up = is_up

    def submit(self, request: OrderRequest) -> r.OrderReport:
        """Place an order, in one request that is never repeated."""
        words = refusal(request)
        if words:
            return _rejected(request.client_order_id, words, request.ts_ns)
        self._line.begin()
        answer = self._line.post_order(body_of(request), reduces=request.reduces)
        said = self._line.words(answer)
        match a.outcome_of_post(answer.status, answer.body):
            case "accepted":
                return self._taken(request, a.decoded(answer.body, AlpacaOrder))
            case "refused":
                return _rejected(request.client_order_id, said, request.ts_ns)
            case "duplicate":
                ts = request.ts_ns
                return r.BrokerDuplicate(
                    ts_event=ts, ts_init=ts, client_order_id=request.client_order_id, detail=said[: a.TEXT_MAX]
                )
            case "stop":
                raise StopTradingError(a.refused_keys(said))
            case "busy" | "unknown":
                raise RetryableBrokerError(f"nobody knows whether Alpaca has the order: {said}")

    def _taken(self, request: OrderRequest, order: AlpacaOrder) -> r.OrderReport:
        if order.client_order_id != request.client_order_id:
            raise RetryableBrokerError("Alpaca answered a new order with another one")
        self._ids.learn([order])
        if order.fate is Fate.REFUSED and not order.filled_nanos:
            return _rejected(request.client_order_id, _end_words(order), request.ts_ns)
        self._open.add(request.client_order_id)
        if request.order_type == "MARKET":
            self._at_market.add(request.client_order_id)
        if request.stands_overnight:
            self._overnight.add(request.client_order_id)
        return _accepted(order, request.ts_ns)

    def cancel(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        """Ask for a cancel, which Alpaca does some time after it has answered; report what is over by then."""
        self._line.begin()
        order_id = self._ids.theirs(client_order_id)
        if order_id is None:
            found = self._find(client_order_id, urgent=True)
            if found is None or found.fate is not Fate.RESTS:
                return self._reports(client_order_id, found, now_ns, urgent=True)
            order_id = found.id
        answer = self._line.ask("DELETE", f"/orders/{order_id}", "a cancel", purpose="exit")
        # 404 and 422: it is over already, or never was; what it is, the look-up says.
        if answer.status not in {404, 422}:
            a.checked(answer.status, answer.body, "a cancel", self._keys)
        # Alpaca answers 204 also for what is cancelled already, so only a look tells whether more has to come.
        found = self._find(client_order_id, urgent=True)
        if found is not None and found.fate is Fate.RESTS:
            return ()
        return self._reports(client_order_id, found, now_ns, urgent=True)

    def lookup(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        """Report what Alpaca knows of an order."""
        self._line.begin()
        return self._reports(client_order_id, self._find(client_order_id), now_ns)

    def _find(self, client_order_id: str, *, urgent: bool = False) -> AlpacaOrder | None:
        """Return an order by our id; None is Alpaca's own word that there is none."""
        params = {"client_order_id": client_order_id}
        purpose: Final = "exit" if urgent else "query"
        answer = self._line.ask("GET", "/orders:by_client_order_id", "an order", params, purpose=purpose)
        if a.is_not_found(answer.status, answer.body):
            return None
        order = a.decoded(a.checked(answer.status, answer.body, "an order", self._keys), AlpacaOrder)
        if order.client_order_id != client_order_id:
            raise RetryableBrokerError(f"Alpaca answered the question for {client_order_id} with another order")
        self._ids.learn([order])
        if order.time_in_force == "gtc" and order.may_rest and is_own(client_order_id):
            self._overnight.add(client_order_id)
        return order

    def _reports(
        self, client_order_id: str, order: AlpacaOrder | None, now_ns: int, *, urgent: bool = False
    ) -> Sequence[r.OrderReport]:
        if order is None:
            detail = f"Alpaca has no order {client_order_id}"
            return (r.BrokerNotFound(ts_event=now_ns, ts_init=now_ns, client_order_id=client_order_id, detail=detail),)
        fills = self._history.of_order(order.id, now_ns, urgent=urgent) if order.filled_nanos else []
        reports: list[r.OrderReport] = [_accepted(order, now_ns), *fills]
        fate = order.fate
        if fate in {Fate.OVER, Fate.REFUSED}:
            listed = sum(fill.qty_nanos for fill in fills)
            if listed != order.filled_nanos:
                # An order may end only after its last execution, and Alpaca lists executions a moment late.
                raise RetryableBrokerError(
                    f"Alpaca lists executions of {listed} billionths of {client_order_id}, of {order.filled_nanos}"
                )
            reports.append(_end(order, now_ns))
        if fate is not Fate.RESTS:
            self._open.discard(client_order_id)
            self._at_market.discard(client_order_id)
        return reports

    def executions_after(self, execution_id: str, now_ns: int) -> Sequence[r.BrokerFill]:
        """Report the executions after this one, those that turned up late, and those of what was looked up before.

        `alpaca_history` says why these are not one and the same.
        """
        self._line.begin()
        if execution_id:
            self._events.read_first(now_ns)
        fills = self._history.after(execution_id, now_ns)
        if fills:
            self._hints.found_fills()
        self._cursor = max(self._cursor, execution_id, key=place)
        return fills

    def open_orders(self, now_ns: int) -> Sequence[OpenOrder]:
        """Return every order that rests in the account; one with several legs is named once for each."""
        self._line.begin()
        listed = self._listed()
        self._open = {one.client_order_id for one in listed if is_own(one.client_order_id)}
        return [open_order for one in listed for open_order in _open_orders(one)]

    def _listed(self) -> list[AlpacaOrder]:
        found: dict[str, AlpacaOrder] = {}
        params = {"status": "open", "limit": str(ORDERS_A_PAGE), "direction": "asc", "nested": "false"}
        while True:
            page = a.decoded(self._line.get("/orders", "the list of open orders", params), list[AlpacaOrder])
            # A status that is unknown here stays on the list: somebody else's order must not hold up the whole of it.
            found.update({one.id: one for one in page if one.may_rest})
            if len(page) < ORDERS_A_PAGE:
                break
            params["after_order_id"] = page[-1].id
        self._ids.learn(found.values())
        for key in sorted(self._overnight - {one.client_order_id for one in found.values()}):
            order = self._find(key)
            if order is not None and order.may_rest:
                found[order.id] = order
            else:
                self._overnight.discard(key)
        return list(found.values())

    def account(self, session_date: str, now_ns: int) -> r.BrokerAccount:
        """Report cash and positions."""
        self._line.begin()
        return self._desk.account(session_date, now_ns)

    def activities(self, now_ns: int) -> Sequence[r.BrokerActivity]:
        """Report money that moved without a trade, and what expired, was exercised or split."""
        self._line.begin()
        return self._activities.read(now_ns)

    def reversals(self, execution_ids: Sequence[str], now_ns: int) -> Sequence[r.BrokerReversal]:
        """Report which of these executions Alpaca says that it took back or corrected."""
        self._line.begin()
        return self._events.reversals(execution_ids, now_ns)

    def hints(self) -> Sequence[str]:
        """Return the client ids that the stream told of since the last call; all that are open after a reconnect."""
        ids, is_all = self._hints.take()
        return sorted({*ids, *self._open}) if is_all else ids

    def on_quotes(self, batch: QuoteBatch, session_date: str) -> Sequence[r.OrderReport]:
        """Say that the stream told of an execution, so that the executions are read now and not at the next look."""
        if not self._hints.take_fill_look():
            return ()
        ts = batch.ts_init
        return [
            r.BrokerAccepted(ts_event=ts, ts_init=ts, client_order_id=key, broker_order_id=order_id)
            for key in sorted(self._open)
            if (order_id := self._ids.theirs(key)) is not None
        ]

    def finish(self, now_ns: int) -> Sequence[r.OrderReport]:
        """Wait for market orders for two seconds at most, and report the executions since the last report."""
        if not self._at_market:
            return ()
        until_ns = boot_ns() + FINISH_NS
        self._line.begin()
        self._at_market &= {one.client_order_id for one in self._listed()}
        while self._at_market and boot_ns() + FINISH_LOOK_NS < until_ns:
            self._line.pause(FINISH_LOOK_NS)
            self._at_market &= {one.client_order_id for one in self._listed()}
        return self._history.after(self._cursor, now_ns)

    def close(self) -> None:
        """Close the stream and the connection."""
        if self._stream is not None:
            self._stream.close()
        self._line.close()


def _accepted(order: AlpacaOrder, ts_ns: int) -> r.BrokerAccepted:
    return r.BrokerAccepted(
        ts_event=ts_ns, ts_init=ts_ns, client_order_id=order.client_order_id, broker_order_id=order.id
    )


def _rejected(client_order_id: str, words: str, ts_ns: int) -> r.BrokerRejected:
    return r.BrokerRejected(ts_event=ts_ns, ts_init=ts_ns, client_order_id=client_order_id, detail=words[: a.TEXT_MAX])


def _end_words(order: AlpacaOrder) -> str:
    return f"{order.status} by Alpaca{f': {order.reject_reason}' if order.reject_reason else ''}"[: a.TEXT_MAX]


def _end(order: AlpacaOrder, now_ns: int) -> r.OrderReport:
    # One that traded in part before the venue refused the rest has ended, and was not refused.
    if order.fate is Fate.REFUSED and not order.filled_nanos:
        return _rejected(order.client_order_id, _end_words(order), now_ns)
    return r.BrokerCancelled(
        ts_event=now_ns,
        ts_init=now_ns,
        client_order_id=order.client_order_id,
        filled_qty_nanos=order.filled_nanos,
        detail=_end_words(order),
    )


def _open_orders(order: AlpacaOrder) -> list[OpenOrder]:
    legs = [(leg.symbol, leg.side) for leg in order.legs or ()] if not order.symbol else []
    return [
        OpenOrder(
            client_order_id=(order.client_order_id or external(order.id))[: a.ID_MAX],
            broker_order_id=order.id,
            symbol=symbol,
            side="BUY" if side == "buy" else "SELL",
            stop_micros=order.stop_micros,
        )
        for symbol, side in (legs or [(order.symbol, order.side or "")])
    ]
