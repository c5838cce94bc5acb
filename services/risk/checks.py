"""The checks of an entry, in one table and in order. The first that finds something denies.

A check is a pure function of the signal and the facts. It returns None to let the signal pass, or what was
found and the limit it broke, both in words. Each one denies by itself when the fact it needs is missing,
whatever ran before it. docs/risk.md shows this table.
"""

from collections.abc import Callable
from typing import Final

from bus.messages import SignalRaised
from services.risk import account_checks as account
from services.risk import limit_checks as limit
from services.risk import market_checks as market
from services.risk import session_checks as session
from services.risk.facts import Check, Denial, Facts, Finding
from services.risk.halts import REPEATED

#: Words of a finding are cut to this, so that a full status message stays within one frame of the bus.
WORDS_MAX: Final = 80


def first_denial(signal: SignalRaised, facts: Facts) -> Denial | None:
    """Run the table in order and return the first denial, or None when every check lets the signal pass."""
    for rule, find in _QUESTIONS:
        finding = find(signal, facts)
        if finding is not None:
            value, limit_words = finding
            return Denial(rule=rule, value=value[:WORDS_MAX], limit=limit_words[:WORDS_MAX])
    return None


def _row(
    rule: str, settings: str, words: str, find: Callable[[SignalRaised, Facts], Finding | None], *, bad: bool = False
) -> Check:
    """Return a row; `settings` are names with spaces between, `bad` asks whether something bad is known."""
    return Check(rule=rule, settings=tuple(settings.split()), words=words, find=find, needs_evidence=bad)


_STRATEGIES = "STRAT_OPEN_ENABLED STRAT_MID_ENABLED STRAT_CLOSE_ENABLED"
_BROKERS = "BROKER_NAME ALPACA_ENABLED IBKR_ENABLED"
_REPEATS = "MAX_REPEATED_ORDERS REPEATED_ORDERS_WINDOW"
_OPTIONS = "MAX_OPTION_PREMIUM PUT_EXPIRY_MIN_DAYS PUT_EXPIRY_MAX_DAYS PUT_OPEN_INTEREST_MIN"

CHECKS: Final[tuple[Check, ...]] = (
    _row("no_session", "", "Is there a session plan?", session.session_known),
    _row("other_session", "", "Is the signal of this session?", session.session_same),
    _row("not_a_trading_day", "TRADING_DAYS", "Does the exchange trade today, and may the bot?", session.trading_day),
    _row("not_armed", "", "Has an operator armed the chain?", session.armed),
    _row("reducing", "", "Is the chain not only reducing?", session.not_reducing, bad=True),
    _row("halted", "", "Is every halt answered by an operator?", session.not_halted, bad=True),
    _row(
        "kill_switch",
        "DAILY_LOSS_LIMIT",
        "Has the kill switch not tripped this session?",
        session.not_tripped,
        bad=True,
    ),
    _row("defense_mode", "DEFENSE_MODE", "Is the defense mode off?", session.not_defending, bad=True),
    _row("strategy_disabled", _STRATEGIES, "Is the strategy switched on?", session.strategy_enabled, bad=True),
    _row("broker_disabled", _BROKERS, "Is the broker switched on?", session.broker_enabled, bad=True),
    _row("session_phase", "FLATTEN_BEFORE_CLOSE", "Is it between the open and the flatten?", session.phase),
    _row("signal_expired", "SIGNAL_TTL", "Is the signal still young enough?", session.not_expired),
    _row("exit_time_passed", "", "Is there time left until the planned exit?", session.exit_ahead),
    _row("restricted", "RESTRICTED_SYMBOLS", "May the bot buy this name at all?", account.not_restricted, bad=True),
    _row("not_a_candidate", "", "Did the screener let the name pass today?", session.screened),
    _row("account_unknown", "", "Is it known what the account holds?", account.account_known),
    _row("books_disagree", "", "Was nothing sold that was not held?", account.books_agree, bad=True),
    _row("unmarked_position", "", "Is there a price for every open position?", account.marked, bad=True),
    _row(
        "daily_loss", "DAILY_LOSS_LIMIT DAILY_LOSS_FROM", "Is the day's result within the limit?", account.within_loss
    ),
    _row("missing_quote", "", "Was a quote of the instrument heard?", market.quoted),
    _row("one_sided_quote", "", "Do bid and ask have a price and a size?", market.two_sided),
    _row("crossed_quote", "", "Is the bid not above the ask?", market.not_crossed),
    _row("locked_quote", "", "Is the bid not equal to the ask?", market.not_locked),
    _row("stale_quote", "MAX_QUOTE_AGE", "Is the quote fresh?", market.fresh),
    _row("price_jump", "MAX_PRICE_JUMP", "Is the ask near the price of the signal?", market.no_jump),
    _row("price_collar", "PRICE_COLLAR", "Is the ask within the collar of the signal's price?", market.within_collar),
    _row("spread", "MAX_SPREAD PUT_SPREAD_MAX", "Is the market narrow enough?", market.spread),
    _row("volume", "MIN_VOLUME_THRESHOLD", "Has the instrument traded enough today?", market.volume),
    _row("asset_unknown", "", "Has the broker said what may be done with the instrument?", account.asset_known),
    _row("not_tradable", "", "Does the broker let the account trade the instrument?", account.asset_tradable),
    _row("option_unknown", _OPTIONS, "Is it a share, or an option with known facts?", account.option_known, bad=True),
    _row("max_open_positions", "MAX_OPEN_POSITIONS", "Is there room for one more position?", limit.room, bad=True),
    _row("already_open", "", "Is nothing open in this instrument?", limit.not_open, bad=True),
    _row("allocation", "TOTAL_ALLOCATION", "Is there allocation left for one share?", limit.allocation),
    _row("order_notional", "MAX_ORDER_NOTIONAL", "Is the order cheap enough?", limit.within_notional),
    _row("order_shares", "MAX_ORDER_SHARES", "Is the order small enough?", limit.within_shares, bad=True),
    _row(
        "position_per_symbol",
        "MAX_POSITION_PER_SYMBOL",
        "Is the symbol worth little enough with this order?",
        limit.within_symbol,
    ),
    _row("buying_power", "", "Do cash and buying power both pay for the order?", limit.within_means),
    _row("trades_per_day", "MAX_TRADES_PER_DAY", "Were there few enough entries today?", limit.within_trades, bad=True),
    _row("orders_per_second", "MAX_ORDERS_PER_SECOND", "And within a second?", limit.within_second, bad=True),
    _row("orders_per_minute", "MAX_ORDERS_PER_MINUTE", "And within a minute?", limit.within_minute, bad=True),
    _row("size_zero", "MAX_RISK_PER_TRADE FRACTIONAL_SHARES", "Do the limits together allow one share?", limit.sized),
    # This one halts the chain too: whoever sends the same order again and again does not know what it does.
    _row(REPEATED, _REPEATS, "Is it not the same order again and again?", limit.not_repeated),
)
#: Of each row what is asked of every signal.
_QUESTIONS: Final = tuple((check.rule, check.find) for check in CHECKS)
