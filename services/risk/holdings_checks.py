"""Orders of the long-term holdings: their own session rule and their own money, never the strategies'. Pure.

The holdings deal when the strategies are out of the market: from the flatten on, when nothing of theirs is open, until
one minute before the close. What is missing denies.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bus.instruments import notional_of
from bus.messages import (
    MICROS,
    NANOS,
    AccountReported,
    FundQuote,
    FundsQuoted,
    FundsQuoteRequested,
    HoldingsOrderDenied,
    HoldingsOrderRequested,
    HoldingsWindowOpened,
    IntentClosed,
    Message,
    OrderFilled,
    Quote,
    SubmitOrder,
)
from services.risk.day import Day
from services.risk.facts import PPM, Finding
from services.risk.market import Market
from services.risk.settings import RiskSettings
from services.risk.wording import clock_time, seconds, shares

#: No order of the holdings begins later than this before the close, and what is unfilled then is cancelled.
LAST_ORDER_NS: Final = 60_000_000_000
#: So long an order may wait to be sent, in session time.
_LIFE_NS: Final = 30_000_000_000


class FundBook(Struct, frozen=True, kw_only=True):
    """What the holdings did in this session, folded from approvals and fills.

    `flow_micros` is what their fills moved in cash, `bought_nanos` in shares, by symbol, sales below zero; `open` are
    the approved orders that are not over. `window_date` is the session whose window was opened.
    """

    open: dict[str, SubmitOrder] = {}
    decided: frozenset[str] = frozenset()
    executions: frozenset[str] = frozenset()
    flow_micros: int = 0
    bought_nanos: dict[str, int] = {}
    window_date: str = ""


#: What may be about the holdings alone, or changes their book.
FOLDED: Final = frozenset(
    {
        SubmitOrder,
        OrderFilled,
        IntentClosed,
        HoldingsOrderRequested,
        HoldingsOrderDenied,
        HoldingsWindowOpened,
        FundsQuoted,
    }
)
_OF_HOLDINGS: Final = frozenset({HoldingsOrderRequested, HoldingsOrderDenied, HoldingsWindowOpened, FundsQuoted})


def is_of_holdings(message: Message) -> bool:
    """Tell whether an event is about the holdings alone, so that the day's book leaves it out."""
    if type(message) is SubmitOrder:
        return message.strategy == "holdings"
    if type(message) is OrderFilled:
        return message.leg == "fund"
    return type(message) in _OF_HOLDINGS


def fold(book: FundBook, event: Message) -> FundBook:
    """Fold one event; a type that changes nothing here returns the same book."""
    if type(event) is OrderFilled:
        return _filled(book, event) if event.leg == "fund" else book
    if type(event) is IntentClosed:
        is_open = event.intent_id in book.open
        rest = {key: order for key, order in book.open.items() if key != event.intent_id} if is_open else book.open
        return replace(book, open=rest) if is_open else book
    if type(event) is SubmitOrder:
        if event.strategy != "holdings":
            return book
        return replace(book, open={**book.open, event.intent_id: event}, decided=book.decided | {event.intent_id})
    if type(event) is HoldingsOrderDenied:
        return replace(book, decided=book.decided | {event.intent_id})
    if type(event) is HoldingsWindowOpened:
        return replace(book, window_date=event.session_date)
    return book


def begin_session(book: FundBook) -> FundBook:
    """Return the book of a new session: the broker's report of it counts what was done before."""
    return FundBook(decided=book.decided, window_date=book.window_date)


def _filled(book: FundBook, fill: OrderFilled) -> FundBook:
    if fill.execution_id in book.executions:
        return book
    sign = 1 if fill.side == "BUY" else -1
    moved = sign * notional_of(fill.symbol, fill.price_micros, fill.qty_nanos) + fill.commission_micros
    bought = book.bought_nanos.get(fill.symbol, 0) + sign * fill.qty_nanos
    opened = dict(book.open)
    if fill.intent_id in opened:
        left = max(fill.order_qty_nanos - fill.cumulative_qty_nanos, 0)
        opened[fill.intent_id] = replace(opened[fill.intent_id], qty_nanos=left)
    return replace(
        book,
        open=opened,
        executions=book.executions | {fill.execution_id},
        flow_micros=book.flow_micros - moved,
        bought_nanos={**book.bought_nanos, fill.symbol: bought},
    )


class FundFacts(Struct, frozen=True, kw_only=True):
    """What is known at the moment of a request; `now_ns` is session time."""

    now_ns: int
    limits: RiskSettings
    day: Day
    market: Market
    book: FundBook

    @property
    def cash_micros(self) -> int:
        """Return the account's cash less what open purchases may still cost; 0 while the account is unknown."""
        account = self.day.account
        if account is None:
            return 0
        owed = sum(
            notional_of(order.symbol, order.reference_micros, order.qty_nanos)
            for order in self.book.open.values()
            if order.side == "BUY"
        )
        return account.cash_micros + self.day.portfolio.cash_flow_micros + self.book.flow_micros - owed

    def held_nanos(self, symbol: str) -> int:
        """Return the shares the broker holds, less what open sales may still take."""
        account = self.day.account
        if account is None:
            return 0
        selling = sum(
            order.qty_nanos for order in self.book.open.values() if order.symbol == symbol and order.side == "SELL"
        )
        return _reported(account, symbol) + self.book.bought_nanos.get(symbol, 0) - selling

    def fresh_quote(self, symbol: str) -> Quote | None:
        """Return a two-sided quote that is young enough; None where there is none."""
        quote = self.market.quote_of(symbol)
        if quote is None or not 0 < quote.bid_micros <= quote.ask_micros:
            return None
        # MAX_QUOTE_AGE
        return quote if self.now_ns - quote.ts_event <= self.limits.max_quote_age_ns else None


def standing_refusal(facts: FundFacts) -> str:
    """Return why the holdings may not deal now; empty when they may."""
    plan = facts.day.plan
    if plan is None or not plan.is_trading_day:
        return "no trading session is planned"
    if facts.day.account is None:
        return "the broker has not reported the account of this session"
    if not plan.flatten_ns <= facts.now_ns < plan.close_ns - LAST_ORDER_NS:
        first, last = clock_time(plan.flatten_ns), clock_time(plan.close_ns - LAST_ORDER_NS)
        return f"it is {clock_time(facts.now_ns)}; the holdings deal from {first} to {last}"
    if facts.day.portfolio.exposures:
        return f"{len(facts.day.portfolio.exposures)} position(s) or entries of the strategies are still open"
    return _stopped(facts)


def _stopped(facts: FundFacts) -> str:
    standing, limits = facts.day.standing, facts.limits
    if standing.is_halted:
        return f"halt {standing.halt_counter}: {standing.halt_detail}"
    if not standing.is_armed:
        return f"not armed: {standing.disarmed_detail}"
    if facts.day.is_tripped:
        return "the kill switch tripped this session"
    # DEFENSE_MODE=true: exits only. ALPACA_ENABLED, IBKR_ENABLED: the broker's own switch.
    if limits.is_defending:
        return "DEFENSE_MODE is true"
    return "" if limits.is_broker_enabled else f"{limits.broker_name}_ENABLED is not true"


def window(facts: FundFacts) -> tuple[HoldingsWindowOpened, ...]:
    """Return that the holdings may begin, once a session; nothing where no fund is set."""
    plan = facts.day.plan
    if not facts.limits.funds or plan is None or facts.book.window_date == plan.session_date:
        return ()
    if facts.now_ns < plan.flatten_ns or standing_refusal(facts):
        return ()
    return (
        HoldingsWindowOpened(
            ts_event=facts.now_ns,
            ts_init=facts.now_ns,
            session_date=plan.session_date,
            until_ns=plan.close_ns - LAST_ORDER_NS,
        ),
    )


def quoted(facts: FundFacts, request: FundsQuoteRequested) -> FundsQuoted:
    """Return the market and the account as they are known now."""
    lines = []
    for symbol in request.symbols:
        quote, asset = facts.fresh_quote(symbol), facts.day.asset_of(symbol)
        lines.append(
            FundQuote(
                symbol=symbol,
                bid_micros=quote.bid_micros if quote else 0,
                ask_micros=quote.ask_micros if quote else 0,
                is_tradable=asset is not None and asset.is_tradable,
                is_fractionable=asset is not None and asset.is_fractionable,
                held_nanos=facts.held_nanos(symbol),
            )
        )
    is_today = facts.day.plan is not None and facts.day.plan.session_date == request.session_date
    return FundsQuoted(
        ts_event=facts.now_ns,
        ts_init=facts.now_ns,
        request_id=request.request_id,
        session_date=request.session_date,
        quotes=tuple(lines),
        cash_micros=facts.cash_micros,
        refusal=standing_refusal(facts)[:400] if is_today else f"the session of {request.session_date} is over",
    )


def verdict(facts: FundFacts, request: HoldingsOrderRequested) -> tuple[Message, ...]:
    """Return the one answer to a request: the order, or why there is none. A repeat gets none."""
    if request.intent_id in facts.book.decided:
        return ()
    for rule, find in CHECKS:
        if found := find(request, facts):
            return (_denied(request, rule, found, facts.now_ns),)
    plan = facts.day.plan
    until_ns = plan.close_ns - LAST_ORDER_NS if plan else facts.now_ns
    return (
        SubmitOrder(
            ts_event=facts.now_ns,
            ts_init=facts.now_ns,
            intent_id=request.intent_id,
            session_date=request.session_date,
            strategy="holdings",
            symbol=request.symbol,
            side=request.side,
            qty_nanos=request.qty_nanos,
            order_type="MARKET",
            limit_micros=0,
            reference_micros=_price(facts, request),
            trail_bps=1,
            expires_ns=min(facts.now_ns + _LIFE_NS, until_ns),
            cancel_at_ns=until_ns,
            exit_at_ns=until_ns,
            reason=request.reason,
        ),
    )


def _price(facts: FundFacts, request: HoldingsOrderRequested) -> int:
    quote = facts.fresh_quote(request.symbol)
    if quote is None:
        return 0
    return quote.ask_micros if request.side == "BUY" else quote.bid_micros


def _denied(request: HoldingsOrderRequested, rule: str, found: Finding, now_ns: int) -> HoldingsOrderDenied:
    return HoldingsOrderDenied(
        ts_event=now_ns,
        ts_init=now_ns,
        intent_id=request.intent_id,
        session_date=request.session_date,
        symbol=request.symbol,
        side=request.side,
        rule=rule,
        value=found[0][:400],
        limit=found[1][:400],
    )


def _standing(request: HoldingsOrderRequested, facts: FundFacts) -> Finding | None:
    refusal = standing_refusal(facts)
    if refusal:
        return refusal, "an armed chain, after the flatten, with nothing of the strategies open"
    today = facts.day.plan.session_date if facts.day.plan else ""
    return None if request.session_date == today else (f"a request of {request.session_date}", f"session {today}")


def _fund(request: HoldingsOrderRequested, facts: FundFacts) -> Finding | None:
    if request.side == "SELL" or request.symbol in facts.limits.funds:
        return None
    return f"{request.symbol} is none of the funds", f"one of {', '.join(sorted(facts.limits.funds))}"


def _asset(request: HoldingsOrderRequested, facts: FundFacts) -> Finding | None:
    asset = facts.day.asset_of(request.symbol)
    if asset is None or not asset.is_tradable:
        return f"{request.symbol}: the broker does not say that it may be traded", "a tradable asset"
    if request.qty_nanos % NANOS and not asset.is_fractionable:
        return f"{shares(request.qty_nanos)} shares, and the broker takes no fractions of it", "whole shares"
    return None if request.qty_nanos > 0 else ("no quantity", "a positive quantity")


def _market(request: HoldingsOrderRequested, facts: FundFacts) -> Finding | None:
    quote = facts.fresh_quote(request.symbol)
    if quote is None:
        return f"{request.symbol} has no sound fresh quote", f"a quote younger than {_age(facts)}"
    spread = (quote.ask_micros - quote.bid_micros) * PPM
    # MAX_SPREAD
    if spread > facts.limits.max_spread_ppm * quote.ask_micros:
        return f"the spread is {spread // quote.ask_micros} ppm of the ask", f"{facts.limits.max_spread_ppm} ppm"
    off = abs(_price(facts, request) - request.reference_micros) * PPM
    # PRICE_COLLAR: the plan was made at another price than the market's now.
    if off > facts.limits.price_collar_ppm * request.reference_micros:
        return f"the market is {off // max(request.reference_micros, 1)} ppm from the plan", (
            f"{facts.limits.price_collar_ppm} ppm"
        )
    return None


def _age(facts: FundFacts) -> str:
    return seconds(facts.limits.max_quote_age_ns)


def _means(request: HoldingsOrderRequested, facts: FundFacts) -> Finding | None:
    """Deny a purchase beyond the cash that is not set aside, and a sale beyond the shares: no margin, no short sale."""
    if request.side == "SELL":
        held = facts.held_nanos(request.symbol)
        return None if request.qty_nanos <= held else (f"{shares(request.qty_nanos)} shares", f"{shares(held)} held")
    cost = notional_of(request.symbol, _price(facts, request), request.qty_nanos)
    there = facts.cash_micros - facts.day.reserved_micros
    return None if cost <= there else (f"${cost // MICROS:,}", f"${there // MICROS:,} of cash")


#: The checks of an order of the holdings, in order. The first that finds something denies.
CHECKS: Final[tuple[tuple[str, Callable[[HoldingsOrderRequested, FundFacts], Finding | None]], ...]] = (
    ("holdings_standing", _standing),
    ("holdings_fund", _fund),
    ("holdings_asset", _asset),
    ("holdings_market", _market),
    ("holdings_means", _means),
)


def _reported(account: AccountReported, symbol: str) -> int:
    return dict(zip(account.symbols, account.qtys_nanos, strict=True)).get(symbol, 0)
