"""Interactive Brokers through TWS or IB Gateway on this machine.

An order's identity is its reference (our client id), its permanent id and the ids of its executions; the number that
the gateway knows it by is only used to cancel it. What an order has become is always asked anew: of the list of open
orders, of today's completed orders and of today's executions.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bus.clock import utc_ns
from bus.ib_library import load_ib_library
from bus.messages import AssetLine, CashKind, QuoteBatch
from services.execution.brokers import reports as r
from services.execution.brokers.ibkr_books import IbkrBooks, KnownOrder
from services.execution.brokers.ibkr_catalogue import ANEW_MAX, IbkrCatalogue
from services.execution.brokers.ibkr_contracts import order_for, unsendable
from services.execution.brokers.ibkr_ears import OVER, AccountFigure, RequestFailedError
from services.execution.brokers.ibkr_line import (
    CANCELS_MAX,
    ORDERS_MAX,
    PACE_NS,
    Call,
    IbkrAccess,
    IbkrLine,
)
from services.execution.brokers.ibkr_records import BROKER, IbkrRecords, fill_of, reversal_of
from services.execution.brokers.ibkr_windows import new_york_day, window_at
from services.execution.brokers.interface import (
    CALL_NS_MAX,
    OUTSIDE_PROOF,
    Broker,
    BrokerClock,
    BrokerPorts,
    NotFoundProof,
    NotSentError,
    OpenOrder,
    OrderRequest,
    PlannedPauseError,
    RetryableBrokerError,
    StopTradingError,
)
from services.execution.gate import ClosedGate

#: A call ends a little before the port's limit, in nanoseconds of boot time.
PATIENCE_NS: Final = CALL_NS_MAX - 100_000_000
#: After these an order that did not leave may be sent again, in nanoseconds of boot time.
CLOSED_AGAIN_NS: Final = 250_000_000
AWAY_AGAIN_NS: Final = 1_000_000_000
PAUSE_AGAIN_NS: Final = 60_000_000_000
#: How long the words of a refusal, and the end of a cancel, are waited for, in seconds.
_WORDS_S: Final = 0.25
_CANCEL_S: Final = 0.5
_TEXT_MAX: Final = 400
_SKEW_NS_MAX: Final = 5_000_000_000
_log = logging.getLogger(__name__)


class IbkrBroker(Broker):
    """Interactive Brokers as execution sees it.

    Args:
        access: where the gateway is, and as whom it is used.
        library: which Python library speaks to it.
        path: the file of order numbers and executions.
        patience_ns: how long one call may take, in nanoseconds of boot time.
        pace_ns: for how long a message counts among those that the gateway takes in a second.
        clock: the time of the day, UTC nanoseconds.

    Raises:
        StopTradingError: the file cannot be used.
    """

    def __init__(
        self,
        access: IbkrAccess,
        *,
        library: str,
        path: Path,
        patience_ns: int = PATIENCE_NS,
        pace_ns: int = PACE_NS,
        clock: Callable[[], int] = utc_ns,
    ) -> None:
        self._access = access
        self._clock = clock
        self._ports = BrokerPorts(gate=ClosedGate(), breathe=lambda: None)
        self._books = IbkrBooks(path)
        self._library = load_ib_library(library)
        self._line = IbkrLine(self._library, access, self._books, patience_ns=patience_ns, pace_ns=pace_ns, clock=clock)
        self._catalogue = IbkrCatalogue(self._library, self._line, clock)
        self._records = IbkrRecords(self._line, self._books, access, clock)
        self._is_fenced = False

    @property
    def name(self) -> str:
        """Return the code IBKR."""
        return BROKER

    @property
    def not_found_proof(self) -> NotFoundProof:
        """Return the proof of a broker in another house."""
        return OUTSIDE_PROOF

    @property
    def tells_money(self) -> bool:
        """Tell that dividends, interest, fees and transfers are in no message of a gateway."""
        return False

    def attach(self, ports: BrokerPorts) -> None:
        """Take the gate and the breath."""
        self._ports = ports
        self._line.breathe = ports.breathe

    def close(self) -> None:
        """End the connection and close the file; what is closed already stays so."""
        self._line.close()
        self._books.close()

    # --- whether and when -----

    def faults(self) -> Sequence[str]:
        """Say why this gateway cannot be traded through; one that is away while nobody needs it is no fault."""
        try:
            return self._line.run(self._line.new_call(), self._check)
        except PlannedPauseError as error:
            _log.warning("%s", error)
            return ()
        except (RetryableBrokerError, StopTradingError) as error:
            return (f"{error}.",)

    async def _check(self, call: Call) -> tuple[str, ...]:
        faults = []
        skew_ns = await self._catalogue.now_ns(call) - self._clock()
        if abs(skew_ns) > _SKEW_NS_MAX:
            faults.append(
                f"This machine's clock and Interactive Brokers' differ by {skew_ns // 1_000_000_000} s: let NTP set it."
            )
        currencies = {figure.currency for figure in await self._records.figures(call)}
        if currencies != {"USD"}:
            told = ", ".join(sorted(currencies)) or "not known"
            faults.append(f"The base currency of account {self._line.account} is {told}: only US dollars are booked.")
        try:
            await self._records.listed(call)
        except RequestFailedError:
            # A gateway that may only read refuses the very question.
            if not self._is_read_only:
                raise
        if self._is_read_only:
            faults.append("The gateway's API may only read: switch Read-Only API off in its API settings.")
        return tuple(faults)

    @property
    def _is_read_only(self) -> bool:
        return self._line.ears is not None and self._line.ears.is_read_only

    def clock(self, now_ns: int) -> BrokerClock:
        """Return Interactive Brokers' time to half a second, and whether its US stocks trade in the regular session."""
        return self._line.run(self._line.new_call(), self._catalogue.clock)

    def assets(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Return which symbols it knows; many need several calls, each of which goes on where the last one ended."""
        return self._line.run(self._line.new_call(), lambda call: self._catalogue.assets(call, symbols))

    def assets_anew(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Return the same; only of a few symbols is it asked again, since each is a question of its own.

        Of a halt nothing is told here: a refusal tells it.
        """
        if len(symbols) <= ANEW_MAX:
            self._catalogue.forget(symbols)
        return self.assets(symbols, now_ns)

    def fence(self, *, is_up: bool, now_ns: int) -> None:
        """Let the gateway cancel whatever adds exposure, once; it has no switch against new orders.

        Its global cancel takes every order of the account, so it is used only where no protective order of ours and no
        order of anybody else stands; else ours are cancelled one by one.
        """
        if is_up == self._is_fenced:
            return
        if is_up:
            self._line.run(self._line.new_call(), self._cancel_exposure)
        self._is_fenced = is_up

    async def _cancel_exposure(self, call: Call) -> None:
        listed = await self._records.listed(call)
        known = [self._books.order(order.ref) if order.ref else None for order in listed]
        await self._line.slot(call, CANCELS_MAX)
        if all(order is not None and not order.reduces for order in known):
            # An order that is still on its way to the list is caught as well.
            self._line.client.reqGlobalCancel()
            return
        for order in known:
            if order is not None and not order.reduces and order.client_id == self._access.client_id:
                await self._line.slot(call, CANCELS_MAX)
                self._line.client.cancelOrder(order.order_id)

    # --- orders -----

    def submit(self, request: OrderRequest) -> r.OrderReport:
        """Place an order; one that was ever given a number is never sent again."""
        detail = unsendable(request)
        if detail:
            return self._rejected(request, detail)
        window = window_at(request.ts_ns)
        if window is not None:
            words = f"no order is sent in a planned window: {window.name}, {window.begins:%H:%M} to {window.ends:%H:%M}"
            raise NotSentError(f"{words} in New York", PAUSE_AGAIN_NS)
        call = self._line.new_call()
        try:
            return self._line.run(call, lambda call: self._submit(call, request))
        except RetryableBrokerError as error:
            if call.has_written:
                raise
            # Whatever still runs in the other thread finds the call abandoned, and writes nothing.
            raise NotSentError(str(error), AWAY_AGAIN_NS) from error

    async def _submit(self, call: Call, request: OrderRequest) -> r.OrderReport:
        known = self._books.order(request.client_order_id)
        if known is not None and not await self._never_arrived(call, request, known):
            return r.BrokerDuplicate(
                ts_event=request.ts_ns,
                ts_init=request.ts_ns,
                client_order_id=request.client_order_id,
                detail=f"it was given number {known.order_id} before, and sent",
            )
        contract = await self._catalogue.contract(call, request.symbol)
        if contract is None:
            return self._rejected(request, f"Interactive Brokers knows no US stock or option {request.symbol}")
        order_id = self._send(call, request, contract)
        return await self._first_answer(call, request, order_id)

    async def _never_arrived(self, call: Call, request: OrderRequest, known: KnownOrder) -> bool:
        """Tell whether an order that was given a number is nowhere; it keeps the number, which makes it one order."""
        if known.perm_id or known.refusal or known.client_id != self._access.client_id:
            return False
        reports = await self._records.look_up(call, request.client_order_id, request.ts_ns)
        return any(isinstance(report, r.BrokerNotFound) for report in reports)

    def _send(self, call: Call, request: OrderRequest, contract: Any) -> int:
        """Give the order a number, on disk, and write it if the gate is open at that moment; nothing is awaited here.

        Raises:
            NotSentError: it was not written, and its number is free again.
        """
        line = self._line
        if line.ears is None:
            raise RetryableBrokerError("the connection to the gateway broke")
        if line.is_full(ORDERS_MAX):
            raise NotSentError(f"{ORDERS_MAX} messages were sent to the gateway within a second", AWAY_AGAIN_NS)
        order_id, is_new = self._number(request, line.ears.next_valid_id)
        order = order_for(self._library, request, line.account)
        line.ears.courses.pop(order_id, None)
        line.ears.course(order_id)
        with call.lock:
            refusal = self._refusal(call, request)
            if refusal is None:
                call.has_written = True
                line.note_write()
                line.client.placeOrder(order_id, contract, order)
                return order_id
        if is_new:
            self._books.forget_order(request.client_order_id)
        line.ears.courses.pop(order_id, None)
        raise NotSentError(refusal, CLOSED_AGAIN_NS)

    def _number(self, request: OrderRequest, next_valid_id: int) -> tuple[int, bool]:
        """Return the number of an order, on disk, and whether it was given just now.

        An order that never arrived is sent with the number it had: should it arrive late after all, the gateway has the
        number once and refuses the second.
        """
        known = self._books.order(request.client_order_id)
        if known is not None:
            return known.order_id, False
        order_id = max(next_valid_id, self._books.next_order_id(self._access.client_id))
        self._books.add_order(
            KnownOrder(
                client_order_id=request.client_order_id,
                client_id=self._access.client_id,
                order_id=order_id,
                qty_nanos=request.qty_nanos,
                reduces=request.reduces,
                day=new_york_day(self._clock()),
            )
        )
        return order_id, True

    def _refusal(self, call: Call, request: OrderRequest) -> str | None:
        """Return why an order may not be written at this moment; the gate is asked last."""
        if call.is_abandoned:
            return "whoever sent it has given it up"
        if not self._line.is_writable():
            return "the gateway does not take what was written to it before"
        return self._ports.gate.refusal(reduces=request.reduces)

    async def _first_answer(self, call: Call, request: OrderRequest, order_id: int) -> r.OrderReport:
        course = self._records.course(order_id)

        def has_answer() -> bool:
            return course.is_taken or bool(course.refusal or course.number_taken)

        if not await self._line.until(call, has_answer):
            raise RetryableBrokerError("the gateway did not say whether it has the order")
        if course.status in OVER - {"Filled"} and not course.refusal:
            await self._line.until(call, lambda: bool(course.refusal), longest_s=_WORDS_S)
        if course.refusal and not course.filled_nanos:
            self._books.note_refusal(request.client_order_id, course.refusal)
            return self._rejected(request, course.refusal)
        if course.number_taken and not course.is_taken:
            raise StopTradingError(
                f"the gateway answers for {request.client_order_id} that number {order_id} is another order's: "
                f"{course.number_taken}. Another program uses client number {self._access.client_id}, or the gateway's "
                "numbers were reset: compare the open orders in TWS, then arm again"
            )
        self._books.flush()
        return r.BrokerAccepted(
            ts_event=request.ts_ns,
            ts_init=request.ts_ns,
            client_order_id=request.client_order_id,
            broker_order_id=str(course.perm_id),
        )

    def _rejected(self, request: OrderRequest, detail: str) -> r.BrokerRejected:
        return r.BrokerRejected(
            ts_event=request.ts_ns,
            ts_init=request.ts_ns,
            client_order_id=request.client_order_id,
            detail=detail[:_TEXT_MAX],
        )

    def cancel(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        """Ask for a cancel and wait a moment for its end; what is not certain then is said by a later look-up."""
        return self._line.run(self._line.new_call(), lambda call: self._cancel(call, client_order_id, now_ns))

    async def _cancel(self, call: Call, key: str, now_ns: int) -> Sequence[r.OrderReport]:
        known = self._books.order(key)
        if known is None:
            return await self._records.look_up(call, key, now_ns)
        if known.client_id != self._access.client_id:
            raise RetryableBrokerError(
                f"{key} was placed as client {known.client_id}, so client {self._access.client_id} may not cancel it: "
                "cancel it in TWS, or set IBKR_CLIENT_ID back"
            )
        course = self._records.course(known.order_id)
        course.not_cancellable = ""
        await self._line.slot(call, CANCELS_MAX)
        self._line.client.cancelOrder(known.order_id)
        is_over = await self._line.until(
            call, lambda: course.is_over or bool(course.not_cancellable), longest_s=_CANCEL_S
        )
        if not is_over:
            if course.status == "PendingCancel":
                return ()
            raise RetryableBrokerError("the gateway did not answer the cancel")
        reports = await self._records.look_up(call, key, now_ns)
        ends = [report for report in reports if isinstance(report, r.BrokerCancelled)]
        return ends if ends and not ends[0].filled_qty_nanos else reports

    def lookup(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        """Report what the lists of open and completed orders and the executions say of an order."""
        return self._line.run(self._line.new_call(), lambda call: self._records.look_up(call, client_order_id, now_ns))

    def open_orders(self, now_ns: int) -> Sequence[OpenOrder]:
        """Return every order that rests in the account, other clients' and those of TWS included."""
        listed = self._line.run(self._line.new_call(), self._records.listed)
        return [
            OpenOrder(
                client_order_id=order.ref,
                broker_order_id=str(order.perm_id),
                symbol=order.symbol,
                side=order.side,
                stop_micros=order.stop_micros,
            )
            for order in listed
        ]

    # --- executions and money -----

    def executions_after(self, execution_id: str, now_ns: int) -> Sequence[r.BrokerFill]:
        """Report the executions after this one in the order in which they were first heard."""
        found = self._line.run(self._line.new_call(), lambda call: self._records.executions_after(call, execution_id))
        return [fill_of(execution, now_ns) for execution in found]

    def reversals(self, execution_ids: Sequence[str], now_ns: int) -> Sequence[r.BrokerReversal]:
        """Report which of these executions were corrected, or came again without a quantity: those are taken back."""
        if not execution_ids:
            return ()
        found = self._line.run(self._line.new_call(), lambda call: self._records.changes(call, execution_ids))
        return [reversal_of(name, right, new_id, now_ns) for name, right, new_id in found]

    def account(self, session_date: str, now_ns: int) -> r.BrokerAccount:
        """Report cash in US dollars, what may be bought for, and positions."""
        figures, held = self._line.run(self._line.new_call(), self._records.account)
        found = {figure.tag: figure.micros for figure in figures if figure.currency == "USD"}
        positions = sorted((position.symbol, position.qty_nanos) for position in held if position.qty_nanos)
        return r.BrokerAccount(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=session_date,
            broker=self.name,
            cash_micros=self._cash(figures),
            buying_power_micros=found.get("BuyingPower", found.get("AvailableFunds", 0)),
            symbols=tuple(symbol for symbol, _ in positions),
            qtys_nanos=tuple(qty for _, qty in positions),
        )

    def activities(self, now_ns: int) -> Sequence[r.BrokerActivity]:
        """Report the cash that the account began with, and commissions that came after their fill was reported.

        Dividends, interest, fees, deposits, splits and exercises after the beginning are not told through this
        interface: they show as differences of cash and positions.
        """
        figures = self._line.run(self._line.new_call(), self._records.figures)
        opening = self._books.opening(self._line.account, self._cash(figures), now_ns)
        late = self._line.run(self._line.new_call(), self._records.late_commissions)
        began = [self._moved(f"opening-{self._line.account}", r.DEPOSITS, *opening)] if opening and opening[0] else []
        charged = [
            self._moved(
                f"commission-{execution.execution_id}",
                r.CHARGES,
                (execution.told_commission_micros or 0) - (execution.commission_micros or 0),
                now_ns,
            )
            for execution in late
        ]
        return [*began, *charged]

    def _moved(
        self, activity_id: str, kinds: tuple[CashKind, CashKind], amount_micros: int, ts_ns: int
    ) -> r.BrokerCash:
        return r.BrokerCash(
            ts_event=ts_ns,
            ts_init=ts_ns,
            activity_id=activity_id,
            kind=r.kind_by_sign(kinds, amount_micros),
            amount_micros=amount_micros,
            broker=self.name,
        )

    def _cash(self, figures: Sequence[AccountFigure]) -> int:
        for figure in figures:
            if figure.tag == "TotalCashValue" and figure.currency == "USD":
                return figure.micros
        raise StopTradingError(
            f"Interactive Brokers reports no cash in US dollars for account {self._line.account}: its base currency "
            "has to be USD"
        )

    def hints(self) -> Sequence[str]:
        """Return the orders that the gateway said something new of, oldest first, each once."""
        told = self._line.hints
        return list(dict.fromkeys(told.popleft() for _ in range(len(told))))

    def on_quotes(self, batch: QuoteBatch, session_date: str) -> Sequence[r.OrderReport]:
        """Report nothing: this market is elsewhere."""
        return ()

    def finish(self, now_ns: int) -> Sequence[r.OrderReport]:
        """Report nothing: what is on its way is asked for at the next start."""
        return ()
