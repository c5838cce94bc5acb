"""The checks of an entry, in one table and in order. The first that finds something denies.

A check is a pure function of the signal and the facts. It returns None to let the signal pass, or what was
found and the limit it broke, both in words. Each one denies by itself when the fact it needs is missing,
whatever ran before it.
"""

from collections.abc import Callable
from functools import cached_property

from msgspec import Struct

from bus.messages import Quote, SignalRaised
from services.risk import portfolio as book
from services.risk.day import Day
from services.risk.kill_switch import is_breached, loss_limit_micros
from services.risk.market import Market
from services.risk.settings import RiskSettings
from services.risk.sizing import Means, Sizing, allocation_limit_micros, size_entry
from services.risk.valuation import Valuation
from services.risk.wording import clock_time, dollars, percent, ppm_percent, seconds, shares

_PPM = 1_000_000
#: Words of a finding are cut to this, so that a full status message stays within one frame of the bus.
WORDS_MAX = 80
#: An ask this many times above or below the price the signal was made at is a wrong quote, not a market.
PRICE_JUMP_FACTOR = 10

Finding = tuple[str, str]


class Facts(Struct, frozen=True, kw_only=True, dict=True):
    """What is known at the moment of a signal; `now_ns` is session time. What is asked for twice is found once."""

    now_ns: int
    limits: RiskSettings
    day: Day
    market: Market
    valuation: Valuation

    @cached_property
    def means(self) -> Means:
        """Return what there is to spend now; nothing while the account is unknown."""
        account, value = self.day.account, self.valuation
        cash = account.cash_micros + self.day.portfolio.cash_flow_micros if account else 0
        return Means(
            start_equity_micros=self.day.start_equity_micros,
            allocated_micros=value.held_cost_micros + value.reserved_micros,
            cash_micros=cash - value.reserved_micros,
        )

    def quote_of(self, symbol: str) -> Quote | None:
        """Return a symbol's newest quote."""
        if symbol not in self._quotes:
            self._quotes[symbol] = self.market.quote_of(symbol)
        return self._quotes[symbol]

    @cached_property
    def _quotes(self) -> dict[str, Quote | None]:
        return {}


class Check(Struct, frozen=True, kw_only=True):
    """One row of the table: the rule's name, the setting behind it ("" = none), and its question."""

    rule: str
    setting: str
    words: str
    find: Callable[[SignalRaised, Facts], Finding | None]


class Denial(Struct, frozen=True, kw_only=True):
    """Why a signal does not become an order."""

    rule: str
    value: str
    limit: str


def first_denial(signal: SignalRaised, facts: Facts) -> Denial | None:
    """Run the table in order and return the first denial, or None when every check lets the signal pass."""
    for check in CHECKS:
        finding = check.find(signal, facts)
        if finding is not None:
            value, limit = finding
            return Denial(rule=check.rule, value=value[:WORDS_MAX], limit=limit[:WORDS_MAX])
    return None


def size_of(signal: SignalRaised, facts: Facts) -> Sizing:
    """Return how many shares of the signal's instrument the limits allow at the ask; 0 without a quote."""
    quote = facts.quote_of(signal.instrument)
    ask = quote.ask_micros if quote else 0
    return size_entry(facts.limits, facts.means, ask_micros=ask, trail_bps=signal.trail_bps, leverage=signal.leverage)


def _session_known(_: SignalRaised, facts: Facts) -> Finding | None:
    return None if facts.day.plan else ("no session plan was received", "a session plan")


def _session_same(signal: SignalRaised, facts: Facts) -> Finding | None:
    today = facts.day.plan.session_date if facts.day.plan else "no session"
    return None if signal.session_date == today else (f"signal of {signal.session_date}", f"session {today}")


def _trading_day(_: SignalRaised, facts: Facts) -> Finding | None:
    if facts.day.plan and facts.day.plan.is_trading_day:
        return None
    return ("not a trading day", "a trading day of the exchange and of TRADING_DAYS")


def _armed(_: SignalRaised, facts: Facts) -> Finding | None:
    standing = facts.day.standing
    return None if standing.is_armed else (f"not armed: {standing.disarmed_detail}", "armed by an operator")


def _not_halted(_: SignalRaised, facts: Facts) -> Finding | None:
    standing = facts.day.standing
    if not standing.is_halted:
        return None
    return (
        f"halt {standing.halt_counter}: {standing.halt_detail}",
        "no halt that an operator has not answered",
    )


def _not_tripped(_: SignalRaised, facts: Facts) -> Finding | None:
    return ("the kill switch tripped this session", "not tripped") if facts.day.is_tripped else None


def _phase(_: SignalRaised, facts: Facts) -> Finding | None:
    plan = facts.day.plan
    if plan is None:
        return ("no session plan was received", "a session plan")
    if plan.open_ns <= facts.now_ns < plan.flatten_ns:
        return None
    return (clock_time(facts.now_ns), f"{clock_time(plan.open_ns)} to before {clock_time(plan.flatten_ns)}")


def _not_expired(signal: SignalRaised, facts: Facts) -> Finding | None:
    if facts.now_ns <= signal.expires_ns:
        return None
    return (f"{seconds(facts.now_ns - signal.expires_ns)} too late", f"until {clock_time(signal.expires_ns)}")


def _exit_ahead(signal: SignalRaised, facts: Facts) -> Finding | None:
    if signal.exit_at_ns > facts.now_ns:
        return None
    return (f"its exit was due at {clock_time(signal.exit_at_ns)}", "an exit in the future")


def _screened(signal: SignalRaised, facts: Facts) -> Finding | None:
    day = facts.day
    if day.plan is None or day.candidates_date != day.plan.session_date:
        return ("no candidates were received for this session", "a candidate of the screener")
    if signal.symbol in day.candidates:
        return None
    return (f"{signal.symbol} is not a candidate", "a candidate of the screener")


def _account_known(_: SignalRaised, facts: Facts) -> Finding | None:
    return None if facts.day.account else ("no account report for this session", "an account report")


def _books_agree(_: SignalRaised, facts: Facts) -> Finding | None:
    oversold = facts.day.portfolio.oversold
    return (oversold, "no sale beyond what is held") if oversold else None


def _marked(_: SignalRaised, facts: Facts) -> Finding | None:
    unmarked = facts.valuation.unmarked_symbols(facts.market)
    if not unmarked:
        return None
    return (
        f"no bid heard for {', '.join(unmarked)}",
        "a bid for every open position, to know the day's result",
    )


def _within_loss(_: SignalRaised, facts: Facts) -> Finding | None:
    # The switch itself trips when the step is complete; a loss that is known already stops this entry.
    if facts.day.account is None:
        return ("no account report for this session", "an account report")
    limit = loss_limit_micros(facts.day.start_equity_micros, facts.limits.daily_loss_limit_ppm)
    pnl = facts.valuation.pnl_micros(facts.market)
    return (f"{dollars(pnl)} today", f"a loss of at most {dollars(limit)}") if is_breached(pnl, limit) else None


def _quote_of(signal: SignalRaised, facts: Facts) -> Quote | None:
    return facts.quote_of(signal.instrument)


def _no_quote(signal: SignalRaised) -> Finding:
    return (f"no quote of {signal.instrument} was heard", f"a quote of {signal.instrument}")


def _quoted(signal: SignalRaised, facts: Facts) -> Finding | None:
    return None if _quote_of(signal, facts) else _no_quote(signal)


def _two_sided(signal: SignalRaised, facts: Facts) -> Finding | None:
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    if min(quote.bid_micros, quote.ask_micros, quote.bid_size_nanos, quote.ask_size_nanos) > 0:
        return None
    bid = f"{shares(quote.bid_size_nanos)} at {dollars(quote.bid_micros)}"
    return (
        f"bid {bid}, ask {shares(quote.ask_size_nanos)} at {dollars(quote.ask_micros)}",
        "both sides quoted",
    )


def _not_crossed(signal: SignalRaised, facts: Facts) -> Finding | None:
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    if quote.bid_micros <= quote.ask_micros:
        return None
    return (f"bid {dollars(quote.bid_micros)}, ask {dollars(quote.ask_micros)}", "a bid below the ask")


def _not_locked(signal: SignalRaised, facts: Facts) -> Finding | None:
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    if quote.bid_micros != quote.ask_micros:
        return None
    return (f"bid and ask are both {dollars(quote.ask_micros)}", "a bid below the ask")


def _fresh(signal: SignalRaised, facts: Facts) -> Finding | None:
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    # A quote from the future is as little to be believed as an old one: the clocks disagree.
    age_ns = abs(facts.now_ns - quote.ts_event)
    if age_ns <= facts.limits.max_quote_age_ns:
        return None
    direction = "old" if quote.ts_event < facts.now_ns else "ahead of the clock"
    return (f"{seconds(age_ns)} {direction}", f"at most {seconds(facts.limits.max_quote_age_ns)}")


def _no_jump(signal: SignalRaised, facts: Facts) -> Finding | None:
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    reference, ask = signal.reference_micros, quote.ask_micros
    # A signal through an inverse ETF carries no price of its instrument (0), so there is nothing to compare.
    if reference == 0 or (reference < ask * PRICE_JUMP_FACTOR and ask < reference * PRICE_JUMP_FACTOR):
        return None
    return (
        f"ask {dollars(ask)}, signal at {dollars(reference)}",
        f"less than {PRICE_JUMP_FACTOR} times apart",
    )


def _spread(signal: SignalRaised, facts: Facts) -> Finding | None:
    quote = _quote_of(signal, facts)
    if quote is None or quote.ask_micros == 0:
        return _no_quote(signal)
    # MAX_SPREAD is measured against the ask, the price of the entry.
    gap = quote.ask_micros - quote.bid_micros
    if gap * _PPM <= quote.ask_micros * facts.limits.max_spread_ppm:
        return None
    value = f"{percent(gap, quote.ask_micros)} of {dollars(quote.ask_micros)}"
    return (value, f"at most {ppm_percent(facts.limits.max_spread_ppm)}")


def _volume(signal: SignalRaised, facts: Facts) -> Finding | None:
    limit = f"at least {shares(facts.limits.min_volume_nanos)} since the open"
    volume = facts.market.volumes.of(signal.instrument)
    if volume is None:
        return (f"no minute of {signal.instrument} was heard", limit)
    # MIN_VOLUME_THRESHOLD counts the minutes heard by this process: a restart begins again at nothing.
    return None if volume >= facts.limits.min_volume_nanos else (shares(volume), limit)


def _room(_: SignalRaised, facts: Facts) -> Finding | None:
    count, most = book.open_count(facts.day.portfolio), facts.limits.max_open_positions
    return None if count < most else (f"{count} positions and entries are open", f"at most {most}")


def _not_open(signal: SignalRaised, facts: Facts) -> Finding | None:
    if not (facts.valuation.has(signal.instrument) or signal.instrument in facts.day.portfolio.externals):
        return None
    return (f"{signal.instrument} is open or ordered", f"one position in {signal.instrument}")


def _allocation(signal: SignalRaised, facts: Facts) -> Finding | None:
    quote = _quote_of(signal, facts)
    if quote is None:
        return _no_quote(signal)
    limit = allocation_limit_micros(facts.limits, facts.day.start_equity_micros)
    used = facts.means.allocated_micros
    if used + quote.ask_micros <= limit:
        return None
    return (
        f"{dollars(used)} in use, one share costs {dollars(quote.ask_micros)}",
        f"at most {dollars(limit)}",
    )


def _size(signal: SignalRaised, facts: Facts) -> Finding | None:
    sizing = size_of(signal, facts)
    return None if sizing.qty_shares > 0 else (f"no whole share: {sizing.bound}", "at least 1 share")


def _row(rule: str, setting: str, words: str, *, find: Callable[[SignalRaised, Facts], Finding | None]) -> Check:
    return Check(rule=rule, setting=setting, words=words, find=find)


CHECKS: tuple[Check, ...] = (
    _row("no_session", "", "Is there a session plan?", find=_session_known),
    _row("other_session", "", "Is the signal of this session?", find=_session_same),
    _row(
        "not_a_trading_day",
        "TRADING_DAYS",
        "Does the exchange trade today, and may the bot?",
        find=_trading_day,
    ),
    _row("not_armed", "", "Has an operator armed the chain?", find=_armed),
    _row("halted", "", "Is every halt answered by an operator?", find=_not_halted),
    _row("kill_switch", "DAILY_LOSS_LIMIT", "Has the kill switch not tripped this session?", find=_not_tripped),
    _row("session_phase", "FLATTEN_BEFORE_CLOSE", "Is it between the open and the flatten?", find=_phase),
    _row("signal_expired", "SIGNAL_TTL", "Is the signal still young enough?", find=_not_expired),
    _row("exit_time_passed", "", "Is there time left until the planned exit?", find=_exit_ahead),
    _row("not_a_candidate", "", "Did the screener let the name pass today?", find=_screened),
    _row("account_unknown", "", "Is it known what the account holds?", find=_account_known),
    _row("books_disagree", "", "Was nothing sold that was not held?", find=_books_agree),
    _row("unmarked_position", "", "Is there a price for every open position?", find=_marked),
    _row("daily_loss", "DAILY_LOSS_LIMIT", "Is the day's result within the limit?", find=_within_loss),
    _row("missing_quote", "", "Was a quote of the instrument heard?", find=_quoted),
    _row("one_sided_quote", "", "Do bid and ask have a price and a size?", find=_two_sided),
    _row("crossed_quote", "", "Is the bid not above the ask?", find=_not_crossed),
    _row("locked_quote", "", "Is the bid not equal to the ask?", find=_not_locked),
    _row("stale_quote", "MAX_QUOTE_AGE", "Is the quote fresh?", find=_fresh),
    _row("price_jump", "", "Is the ask near the price of the signal?", find=_no_jump),
    _row("spread", "MAX_SPREAD", "Is the market narrow enough?", find=_spread),
    _row("volume", "MIN_VOLUME_THRESHOLD", "Has the instrument traded enough today?", find=_volume),
    _row("max_open_positions", "MAX_OPEN_POSITIONS", "Is there room for one more position?", find=_room),
    _row("already_open", "", "Is nothing open in this instrument?", find=_not_open),
    _row("allocation", "TOTAL_ALLOCATION", "Is there allocation left for one share?", find=_allocation),
    _row("size_zero", "MAX_RISK_PER_TRADE", "Do the limits together allow one share?", find=_size),
)
