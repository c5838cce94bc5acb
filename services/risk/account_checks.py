"""Checks of the account: what it holds, the day's result, and what its broker lets it buy."""

from datetime import date
from typing import Final

from bus.instruments import is_option, multiplier_of, option_terms
from bus.messages import NANOS, SignalRaised
from services.risk import kill_switch
from services.risk.facts import Facts, Finding
from services.risk.options import OptionFacts, option_finding, underlying_of
from services.risk.settings import plain_symbol
from services.risk.wording import dollars

_YES: Final = {True: "yes", False: "no"}


def account_known(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny while the account of this session is not known."""
    return None if facts.day.account else ("no account report for this session", "an account report")


def books_agree(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny once more was sold than was held."""
    oversold = facts.day.portfolio.oversold
    return (oversold, "no sale beyond what is held") if oversold else None


def marked(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny while a held position has no price, so that the day's result is not known."""
    unmarked = facts.valuation.unmarked_symbols(facts.market)
    if not unmarked:
        return None
    return (
        f"no bid heard for {', '.join(unmarked)}",
        "a bid for every open position, to know the day's result",
    )


def within_loss(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny when the loss is beyond DAILY_LOSS_LIMIT already."""
    # The switch itself trips when the step is complete; a loss that is known already stops this entry.
    if facts.day.account is None:
        return ("no account report for this session", "an account report")
    limit = kill_switch.loss_limit_micros(facts.means.start_equity_micros, facts.limits.daily_loss_limit_ppm)
    pnl = facts.valuation.pnl_micros(facts.market)
    peak = kill_switch.base_micros(facts.limits.daily_loss_from, facts.day.peak_micros)
    if not kill_switch.is_breached(pnl - peak, limit):
        return None
    best = f" after {dollars(peak)}" if peak else ""
    return (f"{dollars(pnl)} today{best}", f"a loss of at most {dollars(limit)}")


def not_restricted(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a name of RESTRICTED_SYMBOLS, as what is watched, as what is bought, and as what an option is on."""
    if not facts.limits.restricted:
        return None
    names = (signal.symbol, signal.instrument, underlying_of(signal.instrument) or signal.instrument)
    found = [name for name in names if plain_symbol(name) in facts.limits.restricted]
    return (f"{found[0]} is restricted", "a symbol that RESTRICTED_SYMBOLS does not name") if found else None


def asset_known(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny what the broker has not spoken of in this session."""
    if facts.asset_of(signal.instrument) is not None:
        return None
    return (f"the broker has said nothing of {signal.instrument}", "an instrument that the broker knows")


def asset_tradable(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny what the broker does not let the account trade: halted, delisted, or never listed."""
    asset = facts.asset_of(signal.instrument)
    if asset is not None and asset.is_tradable:
        return None
    words = f"{signal.instrument} is not tradable"
    if asset is not None:
        words += f" (fractions: {_YES[asset.is_fractionable]}, short: {_YES[asset.is_shortable]})"
    return (words, "an instrument that the broker lets the account trade")


def option_known(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny an option beyond its limits, and one that was not listed for this session as a put on this name."""
    if underlying_of(signal.instrument) is None:
        return None
    return option_finding(_option_facts(signal, facts), facts.limits.options)


def _option_facts(signal: SignalRaised, facts: Facts) -> OptionFacts | None:
    """Return what is known of the option; None when it was not listed, or on another name."""
    listed, plan = facts.day.put_of(signal.instrument), facts.day.plan
    if listed is None or plan is None or listed[0] != signal.symbol or not is_option(signal.instrument):
        return None
    quote = facts.quote_of(signal.instrument)
    expiry = date.fromisoformat(option_terms(signal.instrument).expiry)
    return OptionFacts(
        contracts=max(facts.size_of(signal).qty_nanos // NANOS, 1),
        ask_micros=quote.ask_micros if quote else None,
        shares_per_contract=multiplier_of(signal.instrument),
        days_to_expiry=(expiry - date.fromisoformat(plan.session_date)).days,
        open_interest=listed[1].open_interest,
    )
