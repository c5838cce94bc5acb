"""Decides on entries. Facts and time in, approvals, denials and the kill switch out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from bus.instruments import is_option
from bus.messages import (
    AccountReported,
    AssetsReported,
    BarBatch,
    CandidatesRanked,
    ChainArmed,
    ChainDisarmed,
    CloseIntent,
    ExitSignalled,
    FillReversed,
    FundsQuoteRequested,
    HaltRaised,
    HoldingsOrderRequested,
    IntentClosed,
    MarketMessage,
    Message,
    OptionsListed,
    OrderAccepted,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    PastBars,
    PortfolioSnapshot,
    PositionLine,
    QuoteBatch,
    ReservesStated,
    SessionPlanned,
    SignalRaised,
    StatusMessage,
    SubmitOrder,
)
from services.risk import day as days
from services.risk import halts, kill_switch
from services.risk import holdings_checks as holdings
from services.risk import market as markets
from services.risk import portfolio as book
from services.risk.checks import first_denial
from services.risk.day import Day
from services.risk.facts import Denial, Facts
from services.risk.holdings_checks import FundBook
from services.risk.market import Market
from services.risk.options import round_up_to_cent
from services.risk.portfolio import Exposure
from services.risk.settings import RiskSettings
from services.risk.sizing import allocation_limit_micros
from services.risk.valuation import Valuation

if TYPE_CHECKING:
    from bus.ahead import Ahead

_TEXT_MAX = 400
#: Before a plan is known no minute is after the open.
NEVER_NS = 2**63 - 1

#: Inputs that only change the state: each is its own event. One that changes nothing is not journaled.
_STATE_INPUTS: Final = frozenset(
    {
        SessionPlanned,
        CandidatesRanked,
        OptionsListed,
        AccountReported,
        AssetsReported,
        OrderExpired,
        OrderCancelled,
        OrderFilled,
        FillReversed,
        IntentClosed,
        HaltRaised,
        ChainArmed,
        ChainDisarmed,
        ReservesStated,
    }
)

#: What comes most often and changes nothing here.
_UNHEARD: Final = frozenset({QuoteBatch, BarBatch, OrderAccepted})


class RiskState(Struct, frozen=True, kw_only=True, gc=False):
    """`day` and `funds` come back after a restart, from the journal; `market` does not."""

    day: Day
    market: Market
    funds: FundBook = FundBook()


class RiskCore:
    """The decider of the risk service."""

    def __init__(self, settings: RiskSettings) -> None:
        self._limits = settings
        self._valuation = Valuation(book.EMPTY)
        #: The newest event that was tried on a day, and what it made of it.
        self._folded: tuple[Day | None, Message | None, Day] = (None, None, days.empty())
        #: The day's result, and what it was reckoned from.
        self._reckoned: tuple[book.Portfolio | None, markets.Marks, int] = (None, markets.NO_MARKS, 0)

    def initial(self) -> RiskState:
        """Return the state before anything happened: no session, not armed, no fact known."""
        return RiskState(day=days.empty(), market=markets.blank())

    def observe(self, state: RiskState, data: MarketMessage) -> RiskState:
        """Fold quotes and the day's volume."""
        if type(data) is QuoteBatch:
            valuation = self._valuation_of(state.day.portfolio)
            market = markets.hear_quotes(state.market, data, valuation.picks)
            return RiskState(day=state.day, market=market, funds=state.funds)
        plan = state.day.plan
        if type(data) is BarBatch:
            # Without a plan the open is not known, so no minute counts: what is missing denies later.
            if plan is None:
                return state
            return replace(state, market=markets.hear_bars(state.market, data, open_ns=plan.open_ns))
        if type(data) is PastBars:
            open_ns = plan.open_ns if plan else NEVER_NS
            return replace(state, market=markets.hear_past(state.market, data, open_ns=open_ns))
        return state

    def decide(self, state: RiskState, message: Message, now_ns: int) -> Sequence[Message]:
        """Return the verdict on a signal, an exit passed on, or the input itself when it changes the state."""
        if type(message) in _UNHEARD:
            return ()
        if type(message) in _STATE_INPUTS:
            return self._take(state, message)
        if type(message) is SignalRaised:
            return self._judge(state, message, now_ns)
        match message:
            case ExitSignalled():
                return _closing(state, message, now_ns)
            case OrderRejected():
                return self._on_rejected(state, message, now_ns)
            case FundsQuoteRequested():
                return (holdings.quoted(self._fund_facts(state, now_ns), message),)
            case HoldingsOrderRequested():
                return holdings.verdict(self._fund_facts(state, now_ns), message)
            case _:
                return ()

    def _take(self, state: RiskState, message: Message) -> Sequence[Message]:
        """Return an input that changes the state; nothing where it changes nothing."""
        if type(message) in holdings.FOLDED:
            funds = holdings.fold(state.funds, message)
            if holdings.is_of_holdings(message) or (funds is not state.funds and funds != state.funds):
                return (message,)
        folded = days.fold(state.day, message)
        # What is decided is folded next; the same day and the same event need not be folded twice.
        self._folded = (state.day, message, folded)
        return (message,) if days.differ(folded, state.day) else ()

    def evolve(self, state: RiskState, event: Message) -> RiskState:
        """Fold one event."""
        funds = state.funds
        if type(event) in holdings.FOLDED:
            funds = holdings.fold(funds, event)
            if holdings.is_of_holdings(event):
                return replace(state, funds=funds)
        known = self._folded
        if known[1] is event and known[0] is state.day:
            day = known[2]
        elif type(event) is SubmitOrder:
            day = days.approve(state.day, event)
        else:
            day = days.fold(state.day, event)
        if type(event) is SessionPlanned and days.is_new_session(state.day, event):
            return RiskState(day=day, market=markets.blank(), funds=holdings.begin_session(funds))
        if day.portfolio is not state.day.portfolio and type(event) is not SessionPlanned:
            self._valuation = self._valuation_of(state.day.portfolio).after(day.portfolio, event)
        return RiskState(day=day, market=state.market, funds=funds)

    def _fund_facts(self, state: RiskState, now_ns: int) -> holdings.FundFacts:
        return holdings.FundFacts(
            now_ns=now_ns, limits=self._limits, day=state.day, market=state.market, book=state.funds
        )

    def settle(self, state: RiskState, now_ns: int) -> Sequence[Message]:
        """Trip the kill switch, once a session, when the day's loss is beyond DAILY_LOSS_LIMIT; keep a new peak.

        When the strategies are out of the market, let the holdings begin.
        """
        day = state.day
        if day.plan is None or day.account is None or day.is_tripped:
            return ()
        date = day.plan.session_date
        limit = self._loss_limit(day)
        pnl = self._pnl(day.portfolio, state.market)
        peak = kill_switch.base_micros(self._limits.daily_loss_from, day.peak_micros)
        if kill_switch.is_breached(pnl - peak, limit):
            return (kill_switch.trip(date, pnl_micros=pnl, limit_micros=limit, now_ns=now_ns, peak_micros=peak),)
        if self._is_peak(state, pnl):
            return (kill_switch.peak(date, pnl_micros=pnl, limit_micros=limit, now_ns=now_ns),)
        return holdings.window(self._fund_facts(state, now_ns)) if self._limits.funds else ()

    def quiet_for(self, state: RiskState, ahead: "Ahead") -> int:
        """Return for how many messages the day's result neither breaks its limit nor makes a new peak."""
        day = state.day
        if self._limits.funds:
            # Each step may be the one in which the holdings begin.
            return 0
        if day.plan is None or day.account is None or day.is_tripped:
            return len(ahead)
        # DAILY_LOSS_FROM: a new peak counts only where losses are counted from it.
        limit, is_from_peak = self._loss_limit(day), self._limits.daily_loss_from == "peak"
        low = kill_switch.base_micros(self._limits.daily_loss_from, day.peak_micros) - limit
        high = day.peak_micros if is_from_peak else NEVER_NS
        return self._valuation_of(day.portfolio).within(ahead, low=low, high=high)

    def let_pass(self, state: RiskState, ahead: "Ahead") -> RiskState:
        """Hear the newest quotes and all volumes."""
        quotes = ahead.newest_quotes
        if quotes is not None:
            state = self.observe(state, quotes)
        for bars in ahead.bars:
            state = self.observe(state, bars)
        return state

    def _is_peak(self, state: RiskState, pnl_micros: int) -> bool:
        # DAILY_LOSS_FROM=peak. A position without a bid counts at its cost, which may be better than it is.
        if self._limits.daily_loss_from == "start" or pnl_micros <= state.day.peak_micros:
            return False
        return not self._valuation_of(state.day.portfolio).unmarked_symbols(state.market)

    def _loss_limit(self, day: Day) -> int:
        return kill_switch.loss_limit_micros(day.start_equity_micros, self._limits.daily_loss_limit_ppm)

    def _pnl(self, portfolio: book.Portfolio, market: Market) -> int:
        """Return the day's result. Nothing new was heard in most steps: then it is what it was."""
        if self._reckoned[0] is not portfolio or self._reckoned[1] is not market.marks:
            self._reckoned = (portfolio, market.marks, self._valuation_of(portfolio).pnl_micros(market))
        return self._reckoned[2]

    def _valuation_of(self, portfolio: book.Portfolio) -> Valuation:
        if self._valuation.portfolio is not portfolio:
            self._valuation = Valuation(portfolio)
        return self._valuation

    def snapshot(self, state: RiskState, now_ns: int) -> Sequence[StatusMessage]:
        """Return the account as risk sees it: result, limits, positions and the newest refusals."""
        day, bids = state.day, state.market.bids(book.open_symbols(state.day.portfolio))
        start = day.start_equity_micros
        unrealized = book.unrealized_micros(day.portfolio, bids)
        held = (e for e in day.portfolio.exposures.values() if e.qty_nanos > 0)
        return (
            PortfolioSnapshot(
                ts_event=now_ns,
                ts_init=now_ns,
                session_date=day.plan.session_date if day.plan else "",
                start_equity_micros=start,
                equity_micros=start + day.portfolio.realized_micros + unrealized,
                realized_micros=day.portfolio.realized_micros,
                unrealized_micros=unrealized,
                loss_limit_micros=self._loss_limit(day),
                allocated_micros=book.allocated_micros(day.portfolio),
                allocation_limit_micros=allocation_limit_micros(self._limits, start),
                positions=tuple(_line(exposure, bids) for exposure in held),
                denied=day.denied,
                denied_total=day.denied_total,
                peak_micros=kill_switch.base_micros(self._limits.daily_loss_from, day.peak_micros),
                trades=day.pace.total,
                trades_max=self._limits.trades_per_day_max,
            ),
        )

    def _judge(self, state: RiskState, signal: SignalRaised, now_ns: int) -> Sequence[Message]:
        """Give a signal its one verdict; a repeat of a decided signal gets none."""
        if signal.signal_id in state.day.decided:
            return ()
        valuation = self._valuation_of(state.day.portfolio)
        facts = Facts(now_ns=now_ns, limits=self._limits, day=state.day, market=state.market, valuation=valuation)
        denial = first_denial(signal, facts)
        if denial is None:
            return (_approved(signal, facts),)
        denied = _denied(signal, denial, now_ns)
        if denial.rule == halts.REPEATED:
            return (denied, halts.repeated_halt(denial.value, denial.limit, now_ns))
        return (denied,)

    def _on_rejected(self, state: RiskState, rejected: OrderRejected, now_ns: int) -> Sequence[Message]:
        """Count a refusal; halt when there are too many of them within BROKER_REJECTIONS_WINDOW."""
        limits, refused = self._limits, days.fold(state.day, rejected).rejections
        count = halts.count_within(refused, limits.rejections_window_ns, rejected.ts_event)
        # MAX_BROKER_REJECTIONS. A halt that stands is not raised again.
        if count <= limits.broker_rejections_max or state.day.standing.is_halted:
            return (rejected,)
        return (rejected, halts.rejections_halt(count, limits, rejected.detail, now_ns))


def _denied(signal: SignalRaised, denial: Denial, now_ns: int) -> OrderDenied:
    return OrderDenied(
        ts_event=now_ns,
        ts_init=now_ns,
        intent_id=signal.signal_id,
        session_date=signal.session_date,
        strategy=signal.strategy,
        symbol=signal.instrument,
        side="BUY",
        rule=denial.rule,
        value=denial.value,
        limit=denial.limit,
    )


def _approved(signal: SignalRaised, facts: Facts) -> SubmitOrder:
    """Return the order, with the ask it stands on: a restart reserves the same amount from the journal."""
    now, sizing, quote = facts.now_ns, facts.size_of(signal), facts.quote_of(signal.instrument)
    ask, is_put = quote.ask_micros if quote else 0, is_option(signal.instrument)
    # The market of an option is wide: no more than the ask is paid, which is what is reserved too.
    ask = round_up_to_cent(ask) if is_put else ask
    flatten = facts.day.plan.flatten_ns if facts.day.plan else signal.exit_at_ns
    exit_at = min(signal.exit_at_ns, flatten)
    return SubmitOrder(
        ts_event=now,
        ts_init=now,
        intent_id=signal.signal_id,
        session_date=signal.session_date,
        strategy=signal.strategy,
        symbol=signal.instrument,
        side="BUY",
        qty_nanos=sizing.qty_nanos,
        order_type="LIMIT" if is_put else "MARKET",
        limit_micros=ask if is_put else 0,
        reference_micros=ask,
        trail_bps=signal.trail_bps,
        expires_ns=signal.expires_ns,
        # ENTRY_TIMEOUT ends an entry's life, and so does its exit where that comes first.
        cancel_at_ns=min(now + facts.limits.entry_timeout_ns, exit_at),
        exit_at_ns=exit_at,
        reason=_reason(signal, sizing.bound),
    )


def _closing(state: RiskState, signal: ExitSignalled, now_ns: int) -> Sequence[Message]:
    """Pass an exit on when its intent is open or working; it only reduces, so no check may stand in its way."""
    if not book.has_intent(state.day.portfolio, signal.signal_id):
        return ()
    return (
        CloseIntent(
            ts_event=now_ns,
            ts_init=now_ns,
            intent_id=signal.signal_id,
            session_date=signal.session_date,
            reason=f"{signal.strategy}: {signal.detail}"[:_TEXT_MAX],
        ),
    )


def _reason(signal: SignalRaised, bound: str) -> str:
    """Say in a line why and how much; the signal itself keeps every number that made it."""
    words = f"{signal.strategy} {signal.direction.lower()} on {signal.symbol}"
    if signal.reasons:
        first = signal.reasons[0]
        words = f"{words}: {first.value}, {first.threshold}"
    return f"{words}; sized by {bound}"[:_TEXT_MAX]


def _line(exposure: Exposure, bids: Mapping[str, int]) -> PositionLine:
    average = book.average_micros(exposure)
    return PositionLine(
        intent_id=exposure.intent_id,
        strategy=exposure.strategy,
        symbol=exposure.symbol,
        qty_nanos=exposure.qty_nanos,
        entry_micros=average,
        last_micros=bids.get(exposure.symbol, average),
        pnl_micros=book.position_gain_micros(exposure, bids),
    )
