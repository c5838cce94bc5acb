"""Decides on a night of the holdings: asks for facts, takes the next step, waits for what it has ordered. Pure.

A night is a chain of rounds. Each asks the ledger how the books stand and risk how the market stands, and takes one
step on the answers: money into the reserves, orders, or the end. What was asked and answered is in the journal, so a
night that was cut off goes on where it was, and nothing is ordered or set aside twice.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bus.decider import Core
from bus.messages import (
    BooksReported,
    BooksRequested,
    FundLine,
    FundsQuoted,
    FundsQuoteRequested,
    GainsAllocated,
    HoldingsOrderDenied,
    HoldingsOrderEnded,
    HoldingsOrderRequested,
    HoldingsRunAsked,
    HoldingsSnapshot,
    HoldingsWindowOpened,
    MarketMessage,
    Message,
    NightBegan,
    NightEnded,
    NightStep,
    NightStepped,
    Purpose,
    ReserveAllocated,
    ReservePaidOut,
    SessionPlanned,
    StatusMessage,
)
from config.holdings import percent_text
from services.holdings import run as runs
from services.holdings.night import Allocate, Buy, Finish, Night, Sell, Step, begin, next_step
from services.holdings.plan import plan_night, plan_words
from services.holdings.portfolio import Leg, Portfolio, Reserves, float_target_micros
from services.holdings.rebalance import is_due, is_outside_band, next_rebalance
from services.holdings.run import Run
from services.holdings.settings import ServiceSettings
from services.holdings.targets import drifts

_TEXT_MAX: Final = 400
#: Events of a night that its record shows; a night has at most about two hundred.
RECORD_MAX: Final = 2_000


class AskAgain(Message, frozen=True, kw_only=True):
    """The shell's timer: what the books lacked may be in them by now."""


class HoldingsState(Struct, frozen=True, kw_only=True):
    """Folded from the journal.

    `gain_mark_micros` is the sum of all gains that were ever allocated, None before the first night; `record` are the
    events of the present run, or of the last. `records` counts what has a record: the runs that have ended and the
    payouts; `record_number` and `paid_number` are the numbers of the newest of each. `asked` is what an operator
    wants done in the next run; `window` is the newest that was opened.
    """

    run: Run | None = None
    reserves: Reserves = Reserves()
    gain_mark_micros: int | None = None
    watermark_seq: int = 0
    last_session: str = ""
    last_rebalance: str = ""
    records: int = 0
    record_number: int = 0
    paid: ReservePaidOut | None = None
    paid_number: int = 0
    books: BooksReported | None = None
    seen: NightStepped | None = None
    ended: NightEnded | None = None
    record: tuple[Message, ...] = ()
    asked: HoldingsRunAsked | None = None
    window: HoldingsWindowOpened | None = None
    quotes: FundsQuoted | None = None
    runs_of_session: int = 0


class HoldingsCore(Core[HoldingsState]):
    """The decider of the holdings."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings.holdings
        self._broker = settings.broker_name

    def initial(self) -> HoldingsState:
        """Return the state before the first night."""
        return HoldingsState()

    def observe(self, state: HoldingsState, data: MarketMessage) -> HoldingsState:
        """Return the state: prices are asked for when they are needed."""
        return state

    def decide(self, state: HoldingsState, message: Message, now_ns: int) -> Sequence[Message]:
        """Return what follows from a window, an answer, or the end of an order."""
        now = max(now_ns, message.ts_init)
        run = state.run
        match message:
            case SessionPlanned() | ReservePaidOut():
                return (message,)
            case HoldingsWindowOpened():
                kept = () if message == state.window else (message,)
                return (*kept, *self._begin(state, message, now))
            case HoldingsRunAsked():
                return self._asked(state, message, now)
            case BooksReported() if run is not None and message.request_id == run.request_id:
                return (message, *self._heard_books(run, message, now))
            case FundsQuoted() if run is not None and message.request_id == run.request_id:
                return self._followed(state, message, now)
            case HoldingsOrderEnded() | HoldingsOrderDenied() if run is not None and message.intent_id in run.orders:
                after = runs.after_end(run, message)
                asks = () if after.open_orders else (self._ask_books(after, after.fills, now),)
                return (message, *asks)
            case AskAgain() if run is not None and run.books is not None and run.books.missing:
                return (self._ask_books(run, (*run.books.missing, *(b.event_id for b in run.books.booked)), now),)
            case _:
                # An answer to an older question, or the end of an order of an older step.
                return ()

    def evolve(self, state: HoldingsState, event: Message) -> HoldingsState:
        """Fold one event."""
        if isinstance(event, NightBegan):
            run = Run(
                run_id=event.run_id,
                session_date=event.session_date,
                until_ns=event.until_ns,
                is_rebalance_due=event.is_rebalance_due,
                is_asked=event.is_asked,
            )
            number = state.runs_of_session + 1 if state.last_session == event.session_date else 1
            return replace(state, run=run, record=(event,), asked=None, runs_of_session=number)
        if isinstance(event, HoldingsRunAsked):
            return replace(state, asked=event)
        if isinstance(event, HoldingsWindowOpened):
            return replace(state, window=event)
        if isinstance(event, ReservePaidOut):
            return _paid_out(state, event)
        state = replace(state, record=(*state.record, event)[-RECORD_MAX:]) if state.run else state
        match event:
            case NightEnded():
                return _ended(state, event)
            case GainsAllocated():
                return _allocated(state, event)
            case _ if state.run is not None:
                seen = event if isinstance(event, NightStepped) else state.seen
                books = event if isinstance(event, BooksReported) else state.books
                quotes = event if isinstance(event, FundsQuoted) else state.quotes
                return replace(state, run=_fold_run(state.run, event), seen=seen, books=books, quotes=quotes)
            case _:
                return state

    def snapshot(self, state: HoldingsState, now_ns: int) -> Sequence[StatusMessage]:
        """Return the holdings as they were known last."""
        seen, books = state.seen, state.books
        following = ""
        if state.last_rebalance and self._settings.is_auto_rebalance:
            last = date.fromisoformat(state.last_rebalance)
            following = next_rebalance(last, self._settings.rebalance_months).isoformat()
        return (
            HoldingsSnapshot(
                ts_event=now_ns,
                ts_init=now_ns,
                as_of_date=state.run.session_date if state.run else state.last_session,
                phase=_phase(state),
                outcome=_outcome(state.ended),
                cash_micros=books.cash_micros if books else 0,
                float_target_micros=seen.float_target_micros if seen else 0,
                tax_reserve_micros=books.tax_reserve_micros if books else 0,
                payroll_reserve_micros=books.payroll_reserve_micros if books else 0,
                due_micros=state.reserves.due_micros,
                carry_micros=state.reserves.carry_micros,
                funds=seen.funds if seen else (),
                last_rebalance=state.last_rebalance,
                next_rebalance=following,
            ),
        )

    # --- a run ---------------------------------------------------------------------------------------------------

    def _begin(self, state: HoldingsState, window: HoldingsWindowOpened, now: int) -> Sequence[Message]:
        """Begin the night of a session, once; one that was left open by an earlier session is closed before."""
        if not self._settings.is_enabled or state.last_session >= window.session_date:
            return ()
        if state.run is not None and state.run.session_date >= window.session_date:
            return ()
        left = () if state.run is None else (self._end(state.run, "the session ended before the night did", now),)
        return (*left, *self._begun(state, window, window.session_date, now))

    def _asked(self, state: HoldingsState, message: HoldingsRunAsked, now: int) -> Sequence[Message]:
        """Keep an operator's wish for the next run, and begin one at once after the night where the window is open."""
        if not self._settings.is_enabled:
            return ()
        window = state.window
        is_over = window is None or now >= window.until_ns or state.last_session != window.session_date
        if window is None or is_over or state.run is not None:
            return (message,)
        run_id = f"{window.session_date}-{state.runs_of_session + 1}"
        return (message, *self._begun(self.evolve(state, message), window, run_id, now))

    def _begun(self, state: HoldingsState, window: HoldingsWindowOpened, run_id: str, now: int) -> Sequence[Message]:
        last = date.fromisoformat(state.last_rebalance) if state.last_rebalance else None
        today = date.fromisoformat(window.session_date)
        is_asked = state.asked is not None and state.asked.is_rebalance
        began = NightBegan(
            ts_event=now,
            ts_init=now,
            run_id=run_id,
            session_date=window.session_date,
            # REBALANCE: the clock begins with the first night; a rebalance that was missed is done once.
            is_rebalance_due=is_asked
            or (self._settings.is_auto_rebalance and is_due(last, today, self._settings.rebalance_months)),
            until_ns=window.until_ns,
            is_asked=is_asked,
        )
        run = self.evolve(state, began).run
        return (began,) if run is None else (began, self._ask_books(run, (), now))

    def _heard_books(self, run: Run, books: BooksReported, now: int) -> Sequence[Message]:
        if books.suspended:
            return (self._end(run, f"the ledger could not book {books.suspended} event(s): resolve them first", now),)
        if books.missing:
            # The fills are on their way to the ledger: the shell's timer asks again.
            return ()
        symbols = runs.symbols_of(self._settings, books.lots)
        return (
            FundsQuoteRequested(
                ts_event=now,
                ts_init=now,
                request_id=run.request_id,
                session_date=run.session_date,
                symbols=symbols,
            ),
        )

    def _followed(self, state: HoldingsState, quotes: FundsQuoted, now: int) -> Sequence[Message]:
        """Return the step that follows from the answers, all events of it."""
        heard = self.evolve(state, quotes)
        run = heard.run
        if run is None or run.books is None:
            return ()
        if fault := runs.fault_of(run.books, quotes):
            return (quotes, self._end(run, fault, now))
        return (quotes, *self._step(heard, run, run.books, now))

    def _step(self, state: HoldingsState, run: Run, books: BooksReported, now: int) -> Sequence[Message]:
        quotes = run.quotes
        if quotes is None:
            return ()
        portfolio = runs.portfolio_from(books, quotes, state.reserves, self._settings)
        # The first night sets the mark: what was gained before the holdings were begun is not set aside.
        mark = books.gain_micros if state.gain_mark_micros is None else state.gain_mark_micros
        is_rebalance = run.is_rebalance if run.steps else self._rebalances(run, portfolio)
        night = run.night(portfolio, books.gain_micros - mark, is_rebalance=is_rebalance)
        step: Step = next_step(night, self._settings)
        if isinstance(step, Finish):
            return (self._end(run, "", now),)
        stepped = self._stepped(run, night, step, now)
        run = runs.after_step(run, stepped)
        if isinstance(step, Allocate):
            return self._allocate(replace(state, run=run), stepped, step, now)
        legs = step.legs if isinstance(step, Sell) else step.purchase.legs
        return (stepped, *(_request(run, leg, now) for leg in legs))

    def _rebalances(self, run: Run, portfolio: Portfolio) -> bool:
        """Tell whether a rebalance that is due deals in anything: a band that no fund has left lets all stand.

        One that an operator asks for knows no band.
        """
        band_bps = 0 if run.is_asked else self._settings.band_bps
        return run.is_rebalance_due and is_outside_band(portfolio, self._settings.float_bps, band_bps)

    def preview(self, state: HoldingsState, *, is_rebalance: bool) -> tuple[str, ...]:
        """Return in words what a run would do at the newest books and prices, if each order filled whole."""
        if state.books is None or state.quotes is None or state.run is not None:
            return ()
        portfolio = runs.portfolio_from(state.books, state.quotes, state.reserves, self._settings)
        mark = state.books.gain_micros if state.gain_mark_micros is None else state.gain_mark_micros
        night = begin(portfolio, state.books.gain_micros - mark, is_rebalance=is_rebalance)
        return plan_words(plan_night(night, self._settings), state.quotes.session_date)

    def _allocate(self, state: HoldingsState, stepped: NightStepped, step: Allocate, now: int) -> Sequence[Message]:
        found, run_id = step.allocated, stepped.run_id
        event = GainsAllocated(
            ts_event=now,
            ts_init=now,
            run_id=run_id,
            step=stepped.step,
            gain_micros=found.gain_micros,
            carry_before_micros=found.carry_before_micros,
            base_micros=found.base_micros,
            tax_micros=found.tax_micros,
            payroll_micros=found.payroll_micros,
            tax_funded_micros=found.tax_funded_micros,
            payroll_funded_micros=found.payroll_funded_micros,
            carry_micros=found.reserves.carry_micros,
            tax_due_micros=found.reserves.tax_due_micros,
            payroll_due_micros=found.reserves.payroll_due_micros,
        )
        run = state.run
        if run is None:
            return ()
        parts: tuple[tuple[Purpose, int, int, int], ...] = (
            ("TAX", found.tax_funded_micros, self._settings.tax_bps, found.base_micros),
            ("PAYROLL", found.payroll_funded_micros, self._settings.payroll_bps, found.base_micros - found.tax_micros),
        )
        moved = tuple(
            ReserveAllocated(
                ts_event=now,
                ts_init=now,
                activity_id=f"holdings-{run_id}-{stepped.step}-{purpose}",
                session_date=run.session_date,
                purpose=purpose,
                amount_micros=amount,
                basis=f"night {run_id}, {percent_text(rate)} % of {_money(base)}, and what was due",
                broker=self._broker,
            )
            for purpose, amount, rate, base in parts
            if amount
        )
        asks = self._ask_books(run, tuple(reserve.activity_id for reserve in moved), now)
        return (stepped, event, *moved, asks)

    def _stepped(self, run: Run, night: Night, step: Allocate | Sell | Buy, now: int) -> NightStepped:
        portfolio, float_bps = night.portfolio, self._settings.float_bps
        prices = {fund.symbol: fund for fund in portfolio.funds}
        return NightStepped(
            ts_event=now,
            ts_init=now,
            run_id=run.run_id,
            step=run.steps + 1,
            kind=_kind(step),
            is_rebalance=night.is_rebalance,
            cash_micros=portfolio.cash_micros,
            unsettled_micros=portfolio.unsettled_micros,
            total_micros=portfolio.total_micros,
            float_target_micros=float_target_micros(portfolio, float_bps),
            due_micros=portfolio.reserves.due_micros,
            funds=tuple(
                FundLine(
                    symbol=drift.symbol,
                    qty_nanos=prices[drift.symbol].qty_nanos,
                    price_micros=prices[drift.symbol].price_micros,
                    value_micros=drift.value_micros,
                    weight_bps=drift.weight_bps,
                    target_bps=drift.target_bps,
                )
                for drift in drifts(portfolio, float_bps)
            ),
            unplaced=_unplaced(step),
        )

    def _ask_books(self, run: Run, booked: tuple[str, ...], now: int) -> BooksRequested:
        return BooksRequested(
            ts_event=now,
            ts_init=now,
            request_id=f"{run.run_id}:{run.round + 1}",
            session_date=run.session_date,
            booked=booked,
        )

    def _end(self, run: Run, fault: str, now: int) -> NightEnded:
        parts = (fault, *run.unfilled)
        return NightEnded(
            ts_event=now,
            ts_init=now,
            run_id=run.run_id,
            session_date=run.session_date,
            outcome="DONE" if run.steps else "SKIPPED",
            detail="; ".join(filter(None, parts))[:_TEXT_MAX],
            watermark_seq=run.books.seq if run.books else 0,
            # Looked at and found inside the band counts as done: the next look is an interval later.
            is_rebalance=run.is_rebalance_due and run.steps > 0,
        )


def _fold_run(run: Run, event: Message) -> Run:
    match event:
        case BooksRequested():
            return replace(run, round=run.round + 1, books=None, quotes=None)
        case BooksReported():
            return replace(run, books=event)
        case FundsQuoted():
            return replace(run, quotes=event)
        case NightStepped():
            return runs.after_step(run, event)
        case HoldingsOrderRequested():
            return runs.after_request(run, event)
        case HoldingsOrderEnded() | HoldingsOrderDenied():
            return runs.after_end(run, event)
        case _:
            return run


def _allocated(state: HoldingsState, event: GainsAllocated) -> HoldingsState:
    run = state.run
    before = state.gain_mark_micros
    if before is None:
        before = (run.books.gain_micros if run and run.books else 0) - event.gain_micros
    reserves = Reserves(
        carry_micros=event.carry_micros,
        tax_due_micros=event.tax_due_micros,
        payroll_due_micros=event.payroll_due_micros,
    )
    return replace(state, reserves=reserves, gain_mark_micros=before + event.gain_micros)


def _ended(state: HoldingsState, event: NightEnded) -> HoldingsState:
    # The clock of the rebalances begins with the first night that did anything.
    is_new_clock = event.outcome == "DONE" and (event.is_rebalance or not state.last_rebalance)
    return replace(
        state,
        run=None,
        ended=event,
        records=state.records + 1,
        record_number=state.records + 1,
        last_session=event.session_date,
        last_rebalance=event.session_date if is_new_clock else state.last_rebalance,
        watermark_seq=max(event.watermark_seq, state.watermark_seq),
    )


def _paid_out(state: HoldingsState, event: ReservePaidOut) -> HoldingsState:
    """Return the state after a payout, which has a record of its own, whatever the night does."""
    number = state.records + 1
    books = state.books
    if books is not None:
        books = replace(
            books,
            cash_micros=event.cash_micros,
            tax_reserve_micros=event.tax_reserve_micros,
            payroll_reserve_micros=event.payroll_reserve_micros,
        )
    return replace(state, books=books, records=number, paid=event, paid_number=number)


def _request(run: Run, leg: Leg, now: int) -> HoldingsOrderRequested:
    words = {"SELL_FOR_REBALANCE": "above its target", "SELL_FOR_FLOAT": "cash is below the float"}
    return HoldingsOrderRequested(
        ts_event=now,
        ts_init=now,
        intent_id=f"holdings:{run.run_id}:{run.steps}:{leg.symbol}",
        session_date=run.session_date,
        symbol=leg.symbol,
        side="BUY" if run.kind == "BUY" else "SELL",
        qty_nanos=leg.qty_nanos,
        reference_micros=leg.price_micros,
        reason=f"{words.get(run.kind or '', 'cash is above the float')}: {_money(leg.amount_micros)} of {leg.symbol}",
    )


def _kind(step: Allocate | Sell | Buy) -> NightStep:
    match step:
        case Allocate():
            return "ALLOCATE"
        case Sell():
            return "SELL_FOR_FLOAT" if step.is_for_float else "SELL_FOR_REBALANCE"
        case Buy():
            return "BUY"


def _unplaced(step: Allocate | Sell | Buy) -> str:
    if not isinstance(step, Buy):
        return ""
    return ", ".join(f"{symbol} {_money(amount)}" for symbol, amount in step.purchase.unplaced)[:_TEXT_MAX]


def _phase(state: HoldingsState) -> str:
    if state.run is not None:
        return state.run.phase
    if state.asked is not None:
        what = "a rebalance" if state.asked.is_rebalance else "a top-up"
        return f"waits for the next window: {what} is asked for by {state.asked.operator}"[:_TEXT_MAX]
    return "waits for the end of the session"


def _outcome(ended: NightEnded | None) -> str:
    if ended is None:
        return "no night yet"
    return f"{ended.run_id}: {ended.outcome.lower()}{f', {ended.detail}' if ended.detail else ''}"[:_TEXT_MAX]


def _money(micros: int) -> str:
    return f"${micros // 1_000_000:,}.{micros // 10_000 % 100:02d}"
