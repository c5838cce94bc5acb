"""The embedded paper broker: it accepts orders and fills them on the quotes it hears afterwards.

It stands for a broker in another house: its books are its own, each change is on disk before it answers, and
so a crash of the bot at any point leaves it consistent and its look-ups authoritative.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from bus.instruments import cash_of, is_option, multiplier_of
from bus.messages import AssetLine, Quote, QuoteBatch, SessionPlanned
from bus.quote_board import QuoteBoard
from services.execution.brokers import matching, paper_rules
from services.execution.brokers import paper_reports as said
from services.execution.brokers import reports as r
from services.execution.brokers.buffered_books import BufferedBooks
from services.execution.brokers.commission import FREE, Commission
from services.execution.brokers.interface import Broker, NotFoundProof, OpenOrder, OrderRequest
from services.execution.brokers.matching import BookOrder
from services.execution.brokers.paper_books import Account, Execution, Expiry, PaperBooks
from services.execution.brokers.paper_rules import PLAIN, Hours, PaperRules
from services.execution.brokers.working_orders import WorkingOrders, resting_stop

if TYPE_CHECKING:
    from bus.ahead import Ahead


@dataclass(slots=True)
class _Draft:
    """What one batch of quotes changes; it becomes the truth only once it is on disk."""

    cash: int
    next_execution: int
    #: The moment at which it trades, in session time.
    ts_ns: int = 0
    #: Of the symbols that were traded only.
    positions: dict[str, int] = field(default_factory=dict)
    orders: dict[str, BookOrder] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    expiries: list[Expiry] = field(default_factory=list)
    #: What is left of each quoted side, shared by the orders in the order of their acceptance.
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)

    def end(self, order: BookOrder, detail: str) -> None:
        """Let an order be over."""
        self.orders[order.client_order_id] = replace(order, state="CANCELLED", detail=detail)


class PaperBroker(Broker):
    """A cash account without shorting.

    See `matching` for the prices, `commission` for the charges, and `paper_rules` for how fast, how much and when.
    Before the first plan of a session is known the market is held to be open.
    """

    name: Final = said.NAME
    #: Its books are in this house and are read whole: one look is enough.
    not_found_proof: Final = NotFoundProof(answers=1, over_ns=0)

    def __init__(
        self,
        path: Path,
        *,
        starting_cash_micros: int,
        slippage_ppm: int = 0,
        commission: Commission = FREE,
        is_buffered: bool = False,
        rules: PaperRules = PLAIN,
    ) -> None:
        """Open the books; buffered ones are on disk only once the broker is closed.

        Raises:
            RetryableBrokerError: another process holds the file.
            StopTradingError: the file cannot be used.
        """
        self._books = (BufferedBooks if is_buffered else PaperBooks)(path, starting_cash_micros)
        self._slippage_ppm = slippage_ppm
        self._commission = commission
        self._account = self._books.account()
        self._working = WorkingOrders(self._books.working_orders(), keeps_peaks=is_buffered)
        self._positions = self._books.positions()
        self._order_seq, self._execution_seq = self._books.newest_seqs()
        self._board = QuoteBoard()
        #: The cash that waits for purchases, and the quotes it was reckoned at; None = an order has changed since.
        self._reserved: tuple[QuoteBoard, int] | None = None
        self._rules = rules
        self._hours: Hours | None = None
        #: What was taken of each symbol and side, and in which minute: needed where PAPER_PARTICIPATION is not all.
        self._taken: dict[tuple[str, str], tuple[int, int]] = {}
        if rules.participation_percent < paper_rules.WHOLE_PERCENT:
            self._note_taken(self._books.executions_after(0))

    def submit(self, request: OrderRequest) -> r.OrderReport:
        """Place an order; whatever the answer is, it is on disk first."""
        known = self._books.order(request.client_order_id)
        ts = request.ts_ns
        if known is not None:
            return r.BrokerDuplicate(
                ts_event=ts, ts_init=ts, client_order_id=known.client_order_id, detail="duplicate client id"
            )
        refusal = self._refusal(request)
        order = BookOrder(
            seq=self._order_seq + 1,
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            qty_nanos=max(0, request.qty_nanos),
            order_type=request.order_type,
            limit_micros=request.limit_micros,
            stop_micros=request.stop_micros,
            trail_bps=request.trail_bps,
            accepted_ns=ts,
            state="REJECTED" if refusal else "WORKING",
            peak_micros=self._standing_bid(request),
            detail=refusal or "",
            session_date=self._hours.session_of(ts) if self._hours else "",
        )
        self._books.write(account=self._account, orders=[order])
        self._order_seq = order.seq
        if refusal:
            return said.rejected(order, ts)
        # What waits for the purchases before it was reckoned for this one, at the same quotes.
        reserved = self._reserved
        self._working.put(order)
        if order.side == "BUY" and reserved is not None and reserved[0] is self._board:
            self._reserved = self._board, reserved[1] + self._waiting_micros(order)
        return said.accepted(order, ts)

    def _standing_bid(self, request: OrderRequest) -> int:
        """Return the bid that stands at the acceptance: a trailing stop's first peak. 0 = none heard."""
        quote = self._board.quote_of(request.symbol) if request.order_type == "TRAILING_STOP" else None
        return quote.bid_micros if quote is not None and matching.is_tradable(quote) else 0

    def _refusal(self, request: OrderRequest) -> str | None:
        if request.qty_nanos <= 0:
            return "the quantity is not positive"
        if request.order_type == "LIMIT" and request.limit_micros <= 0:
            return "a limit order needs a limit price"
        if request.order_type == "STOP" and request.stop_micros <= 0:
            return "a stop order needs a stop price"
        if request.order_type == "TRAILING_STOP" and (request.side == "BUY" or not 0 < request.trail_bps < 10_000):
            return "a trailing stop must sell, with a trail between 0 and 100 percent"
        return self._breach(request) or self._shortfall(request)

    def _breach(self, request: OrderRequest) -> str | None:
        """Return which of the market's rules an order breaks."""
        symbol = request.symbol
        # PAPER_WASH_RULE
        if self._rules.refuses_opposite_sides and any(o.side != request.side for o in self._working.of(symbol)):
            return f"an order of the other side is open in {symbol}: the two could trade with each other"
        return paper_rules.price_fault(
            symbol, request.order_type, request.limit_micros, request.stop_micros
        ) or paper_rules.option_fault(symbol, request.qty_nanos, self._hours.day if self._hours else "")

    def _shortfall(self, request: OrderRequest) -> str | None:
        return self._uncovered(request) if request.side == "SELL" else self._unaffordable(request)

    def _uncovered(self, request: OrderRequest) -> str | None:
        """Return why a sale could end short: what is held is counted once, also by the sales that wait."""
        held = self._positions.get(request.symbol, 0)
        waiting = sum([o.rest_nanos for o in self._working.of(request.symbol) if o.side == "SELL"])
        if request.qty_nanos <= held - waiting:
            return None
        return (
            "insufficient quantity available, and short selling is not allowed: "
            f"{said.shares(request.qty_nanos)} {request.symbol} to sell, "
            f"{said.shares(held)} held, {said.shares(waiting)} of them for other orders"
        )

    def _unaffordable(self, request: OrderRequest) -> str | None:
        """Return why a purchase costs too much at the last ask; before one is heard, fills are limited."""
        waiting = self._reserved_micros()
        cost = self._cost(request.symbol, request.limit_micros, request.qty_nanos, is_first=True)
        if cost <= self._account.cash_micros - waiting:
            return None
        return (
            f"insufficient cash: {said.dollars(cost)} needed, {said.dollars(self._account.cash_micros)} there, "
            f"{said.dollars(waiting)} of it for other orders"
        )

    def _reserved_micros(self) -> int:
        """Return the cash that waits for purchases, by the newest quotes."""
        if self._reserved is None or self._reserved[0] is not self._board:
            self._reserved = self._board, sum(map(self._waiting_micros, self._working.buys.values()))
        return self._reserved[1]

    def _waiting_micros(self, order: BookOrder) -> int:
        return self._cost(order.symbol, order.limit_micros, order.rest_nanos, is_first=not order.filled_nanos)

    def _cost(self, symbol: str, limit_micros: int, qty_nanos: int, *, is_first: bool) -> int:
        quote = self._board.quote_of(symbol)
        price = limit_micros or (quote.ask_micros if quote else 0)
        charge = self._commission.of_fill(qty_nanos, is_first=is_first)
        worst = -(-price * (matching.PPM + self._slippage_ppm) // matching.PPM)
        return cash_of(symbol, worst, qty_nanos) + charge

    def cancel(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        """Cancel at once; an order that is over already is looked up instead."""
        order = self._working.get(client_order_id)
        if order is None:
            return self.lookup(client_order_id, now_ns)
        over = replace(order, state="CANCELLED", detail="cancelled on request")
        self._books.write(account=self._account, orders=[over])
        self._working.remove(order)
        self._reserved = None
        return (said.cancelled(over, now_ns),)

    def lookup(self, client_order_id: str, now_ns: int) -> Sequence[r.OrderReport]:
        """Report all that the books know of an order; here, not found is proof that it was never accepted."""
        order = self._books.order(client_order_id)
        if order is None:
            detail = "the broker's books have no such order"
            return (r.BrokerNotFound(ts_event=now_ns, ts_init=now_ns, client_order_id=client_order_id, detail=detail),)
        if order.state == "REJECTED":
            return (said.rejected(order, now_ns),)
        fills = [said.fill(execution, now_ns) for execution in self._books.executions_of(client_order_id)]
        end = [said.cancelled(order, now_ns)] if order.state == "CANCELLED" else []
        return (said.accepted(order, now_ns), *fills, *end)

    def executions_after(self, execution_id: str, now_ns: int) -> Sequence[r.BrokerFill]:
        """Report the executions after this one, in order."""
        seq = int(execution_id.removeprefix("PX-")) if execution_id else 0
        return [said.fill(execution, now_ns) for execution in self._books.executions_after(seq)]

    def open_orders(self, now_ns: int) -> Sequence[OpenOrder]:
        """Return the orders that may still fill, in the order of acceptance."""
        return [
            OpenOrder(
                stop_micros=resting_stop(order),
                client_order_id=order.client_order_id,
                broker_order_id=order.broker_order_id,
                symbol=order.symbol,
                side=order.side,
            )
            for order in self._working.values()
        ]

    @property
    def refuses_opposite_sides(self) -> bool:
        """Tell what PAPER_WASH_RULE says."""
        return self._rules.refuses_opposite_sides

    def assets(self, symbols: Sequence[str], now_ns: int) -> Sequence[AssetLine]:
        """Let everything be traded, shares in fractions too; nothing is lent to be sold short."""
        return [
            AssetLine(symbol=symbol, is_tradable=True, is_fractionable=not is_option(symbol), is_shortable=False)
            for symbol in symbols
        ]

    def planned(self, plan: SessionPlanned) -> None:
        """Take the day's hours: what was good for an earlier day is over, what waited for the next is for this one."""
        hours = self._hours = Hours.of(plan)
        draft = _Draft(self._account.cash_micros, self._execution_seq + 1)
        for order in self._working.values():
            if hours.are_over_for(order):
                draft.end(order, "expired: it was good for the day, and the day is over")
            elif paper_rules.is_good_for_the_day(order) and not order.session_date:
                # One that came after this day's close waits for the next plan.
                bound = replace(order, session_date=hours.session_of(order.accepted_ns))
                if bound != order:
                    draft.orders[order.client_order_id] = bound
        self._expire_options(draft, hours, hours.open_ns)
        self._keep(draft, self._account)

    def account(self, session_date: str, now_ns: int) -> r.BrokerAccount:
        """Report cash and positions."""
        symbols = tuple(sorted(self._positions))
        return r.BrokerAccount(
            ts_event=now_ns,
            ts_init=now_ns,
            session_date=session_date,
            broker=self.name,
            cash_micros=self._account.cash_micros,
            buying_power_micros=max(0, self._account.cash_micros - self._reserved_micros()),
            symbols=symbols,
            qtys_nanos=tuple(self._positions[symbol] for symbol in symbols),
        )

    def activities(self, now_ns: int) -> Sequence[r.BrokerActivity]:
        """Report the opening deposit, dated by the first call, and the options that expired while they were held."""
        if any(activity.ts_ns == 0 for activity in self._books.activities()):
            self._books.date_activities(now_ns)
        moved = [said.moved(activity, now_ns) for activity in self._books.activities()]
        return [*moved, *(said.expired(expiry, now_ns) for expiry in self._books.expiries())]

    def on_quotes(self, batch: QuoteBatch, session_date: str) -> Sequence[r.OrderReport]:
        """Fill what these quotes fill: one transaction, and none when no order and no peak changed."""
        newest = self._account
        if session_date == newest.session_date and batch.step <= newest.step:
            return ()
        self._board = self._board.heard(batch)
        is_open = self._is_open(batch.ts_event)
        moved = self._working.moved_by(batch, batch.ts_event - self._rules.latency_ns) if is_open else ()
        if is_open and not moved and not self._working.has_risen:
            self._account = Account(newest.cash_micros, session_date, batch.step)
            return []
        draft = _Draft(newest.cash_micros, self._execution_seq + 1, batch.ts_event)
        if is_open:
            self._trade(draft, batch, moved)
        elif self._hours:
            self._end_session(draft, self._hours, batch.ts_event)
        self._keep(draft, Account(draft.cash, session_date, batch.step))
        ended = (order for order in draft.orders.values() if order.state == "CANCELLED")
        return [
            *(said.fill(execution, batch.ts_event) for execution in draft.executions),
            *(said.cancelled(order, batch.ts_event) for order in ended),
        ]

    def quiet_for(self, ahead: "Ahead") -> int:
        """Return how many messages come before the close, or before an order may trade."""
        hours = self._hours
        if hours is None or not hours.are_at(ahead.begins_at()):
            return 0
        return min(ahead.until(hours.close_ns), self._working.quiet_for(ahead, self._rules.latency_ns))

    def let_pass(self, ahead: "Ahead", session_date: str) -> None:
        """Let trailing stops follow quotes at which none is hit."""
        newest, quotes = self._account, ahead.newest_quotes
        if quotes is None:
            return
        self._board = self._board.heard(quotes)
        draft = _Draft(newest.cash_micros, self._execution_seq + 1, quotes.ts_event)
        if not self._working.is_empty:
            draft.orders = {order.client_order_id: order for order in self._working.raised_by(ahead)}
        self._keep(draft, Account(newest.cash_micros, session_date, quotes.step))

    def _is_open(self, ts_ns: int) -> bool:
        return self._hours is None or self._hours.are_at(ts_ns)

    def _trade(self, draft: _Draft, batch: QuoteBatch, moved: Iterable[BookOrder]) -> None:
        heard_ns = batch.ts_event - self._rules.latency_ns
        for order in moved:
            quote = batch.quote_of(order.symbol)
            # An order meets only what is heard after it was accepted: not the batch that it was decided on.
            if quote is None or heard_ns <= order.accepted_ns or not matching.is_tradable(quote):
                continue
            if order.is_trailing and quote.bid_micros > order.peak_micros:
                # A stop's new peak is all that changes: most of what a quote does.
                draft.orders[order.client_order_id] = replace(order, peak_micros=quote.bid_micros)
            else:
                self._work(draft, order, quote, batch.ts_event)

    def _end_session(self, draft: _Draft, hours: Hours, ts_ns: int) -> None:
        """End what is good for the day once its session has closed; before the open nothing happens."""
        if ts_ns < hours.close_ns:
            return
        for order in self._working.values():
            if paper_rules.is_good_for_the_day(order) and order.session_date == hours.day:
                draft.end(order, "expired: it was good for the day, and the session has closed")
        self._expire_options(draft, hours, ts_ns)

    def _expire_options(self, draft: _Draft, hours: Hours, ts_ns: int) -> None:
        """Let options whose last day has closed be gone for nothing, and their orders be over."""
        for order in self._working.values():
            if paper_rules.is_expired(order.symbol, hours, ts_ns):
                draft.end(order, f"expired: {order.symbol} is no longer traded")
        for symbol, qty in self._positions.items():
            if paper_rules.is_expired(symbol, hours, ts_ns):
                draft.expiries.append(Expiry(symbol, qty, ts_ns))
                draft.positions[symbol] = 0
                draft.moved.add(symbol)

    def finish(self, now_ns: int) -> Sequence[r.OrderReport]:
        """Fill what waits at market with the quotes that stand, by the same rules of price and size.

        A broker in another house would go on while the bot is away; this one sleeps with it. A closed market fills
        nothing.
        """
        if not self._is_open(now_ns):
            return ()
        newest = self._account
        draft = _Draft(newest.cash_micros, self._execution_seq + 1, now_ns)
        for order in self._working.values():
            quote = self._board.quote_of(order.symbol)
            is_at_market = order.order_type == "MARKET" or order.is_triggered
            if is_at_market and quote is not None and matching.is_tradable(quote):
                self._work(draft, order, quote, max(now_ns, order.accepted_ns))
        self._keep(draft, Account(draft.cash, newest.session_date, newest.step))
        return [said.fill(execution, now_ns) for execution in draft.executions]

    def _keep(self, draft: _Draft, account: Account) -> None:
        """Put a draft on disk, then take it for the truth; without a changed order nothing is written."""
        if draft.orders or draft.expiries or self._working.has_risen:
            changed = {symbol: draft.positions.get(symbol, 0) for symbol in draft.moved}
            self._books.write(
                account=account,
                orders=draft.orders.values(),
                executions=draft.executions,
                positions=changed,
                expiries=draft.expiries,
            )
            self._adopt(draft)
        self._account = account

    def _work(self, draft: _Draft, order: BookOrder, quote: Quote, ts_ns: int) -> None:
        """Let one order see one quote, and put what changes into the draft."""
        seen = matching.watched(order, quote)
        price = matching.fill_price(seen, quote, self._slippage_ppm)
        qty = self._fillable(draft, seen, quote, price) if price else 0
        if qty and price:
            execution = Execution(
                draft.next_execution,
                seen.client_order_id,
                seen.seq,
                seen.symbol,
                seen.side,
                qty,
                price,
                ts_ns,
                self._charge(seen, qty, price),
            )
            seen = replace(
                seen,
                filled_nanos=seen.filled_nanos + qty,
                state="WORKING" if qty < seen.rest_nanos else "FILLED",
            )
            bought = qty if seen.side == "BUY" else -qty
            draft.positions[seen.symbol] = self._held(draft, seen.symbol) + bought
            draft.moved.add(seen.symbol)
            draft.cash += execution.cash_micros
            draft.next_execution += 1
            draft.sizes[seen.symbol, seen.side] -= qty
            draft.executions.append(execution)
        if seen is not order:
            draft.orders[seen.client_order_id] = seen

    def _held(self, draft: _Draft, symbol: str) -> int:
        return draft.positions.get(symbol, self._positions.get(symbol, 0))

    def _charge(self, order: BookOrder, qty_nanos: int, price: int) -> int:
        """Return what a fill costs; a sale never costs more than it brings, so that cash cannot fall below zero."""
        is_first = not order.filled_nanos
        if order.side == "BUY":
            return self._commission.of_fill(qty_nanos, is_first=is_first)
        proceeds = cash_of(order.symbol, price, qty_nanos)
        return self._commission.of_sale(qty_nanos, proceeds, is_first=is_first)

    def _fillable(self, draft: _Draft, order: BookOrder, quote: Quote, price: int) -> int:
        quoted = quote.ask_size_nanos if order.side == "BUY" else quote.bid_size_nanos
        key = order.symbol, order.side
        if key not in draft.sizes:
            draft.sizes[key] = self._allowance(key, quoted, draft.ts_ns)
        size = draft.sizes[key]
        if order.side == "BUY":
            cash = self._commission.spendable(draft.cash, is_first=not order.filled_nanos)
            unit = price * multiplier_of(order.symbol) + self._commission.share_micros
            return min(size, matching.affordable_nanos(order, unit, cash))
        # Sales that wait never add up to more than is held; the position bounds them once more.
        return min(size, order.rest_nanos, self._held(draft, order.symbol))

    def _allowance(self, key: tuple[str, str], shown_nanos: int, ts_ns: int) -> int:
        """Return what may be taken of a quoted size, by PAPER_PARTICIPATION."""
        minute, taken = self._taken.get(key, (0, 0))
        is_this_minute = minute == ts_ns // paper_rules.MINUTE_NS
        percent = self._rules.participation_percent
        return paper_rules.allowance_nanos(shown_nanos, taken if is_this_minute else 0, percent)

    def _note_taken(self, executions: Iterable[Execution]) -> None:
        for execution in executions:
            key, minute = (execution.symbol, execution.side), execution.ts_ns // paper_rules.MINUTE_NS
            before, taken = self._taken.get(key, (minute, 0))
            self._taken[key] = (minute, execution.qty_nanos + (taken if before == minute else 0))

    def _adopt(self, draft: _Draft) -> None:
        self._reserved, self._working.has_risen = None, False
        for order in draft.orders.values():
            if order.state == "WORKING":
                self._working.put(order)
            else:
                self._working.remove(order)
        for symbol in draft.moved:
            if draft.positions[symbol]:
                self._positions[symbol] = draft.positions[symbol]
            else:
                self._positions.pop(symbol, None)
        self._execution_seq = draft.next_execution - 1
        self._note_taken(draft.executions)

    def faults(self) -> Sequence[str]:
        """Return one sentence for each way in which the books contradict themselves."""
        return self._books.faults()

    def close(self) -> None:
        """Close the books."""
        if risen := self._working.take_risen():
            self._books.write(account=self._books.account(), orders=risen)
        self._books.close()
