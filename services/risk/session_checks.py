"""Checks of the moment: the session, the chain's standing, the switches, and the signal's own times."""

from bus.messages import SignalRaised
from services.risk.facts import Facts, Finding
from services.risk.wording import clock_time, seconds


def session_known(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny while no session is planned."""
    return None if facts.day.plan else ("no session plan was received", "a session plan")


def session_same(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a signal of another session."""
    today = facts.day.plan.session_date if facts.day.plan else "no session"
    return None if signal.session_date == today else (f"signal of {signal.session_date}", f"session {today}")


def trading_day(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny on a day that the exchange or TRADING_DAYS leaves out."""
    if facts.day.plan and facts.day.plan.is_trading_day:
        return None
    return ("not a trading day", "a trading day of the exchange and of TRADING_DAYS")


def armed(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny while no operator has armed the chain."""
    standing = facts.day.standing
    return None if standing.is_armed else (f"not armed: {standing.disarmed_detail}", "armed by an operator")


def not_halted(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny while a halt is not answered."""
    standing = facts.day.standing
    if not standing.is_halted:
        return None
    return (
        f"halt {standing.halt_counter}: {standing.halt_detail}",
        "no halt that an operator has not answered",
    )


def not_tripped(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny after the kill switch, to the end of the session."""
    return ("the kill switch tripped this session", "not tripped") if facts.day.is_tripped else None


def phase(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny before the open and from the flatten on."""
    plan = facts.day.plan
    if plan is None:
        return ("no session plan was received", "a session plan")
    if plan.open_ns <= facts.now_ns < plan.flatten_ns:
        return None
    return (clock_time(facts.now_ns), f"{clock_time(plan.open_ns)} to before {clock_time(plan.flatten_ns)}")


def not_expired(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a signal that waited longer than SIGNAL_TTL."""
    if facts.now_ns <= signal.expires_ns:
        return None
    return (f"{seconds(facts.now_ns - signal.expires_ns)} too late", f"until {clock_time(signal.expires_ns)}")


def exit_ahead(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a signal whose planned exit has come."""
    if signal.exit_at_ns > facts.now_ns:
        return None
    return (f"its exit was due at {clock_time(signal.exit_at_ns)}", "an exit in the future")


def screened(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a name that is not a candidate of this session."""
    day = facts.day
    if day.plan is None or day.candidates_date != day.plan.session_date:
        return ("no candidates were received for this session", "a candidate of the screener")
    if signal.symbol in day.candidates:
        return None
    return (f"{signal.symbol} is not a candidate", "a candidate of the screener")


def not_reducing(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny while an operator lets what is open come to its end, and nothing begin."""
    standing = facts.day.standing
    return (f"reducing: {standing.disarmed_detail}", "an armed chain") if standing.is_reducing else None


def not_defending(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny every entry while DEFENSE_MODE is on."""
    # DEFENSE_MODE=true: exits only.
    return ("DEFENSE_MODE is true", "DEFENSE_MODE false: exits only until then") if facts.limits.is_defending else None


def strategy_enabled(signal: SignalRaised, facts: Facts) -> Finding | None:
    """Deny a signal of a strategy that is switched off, whatever the strategy service thinks."""
    # STRAT_*_ENABLED, the second barrier: the first is that a strategy which is off says nothing.
    if signal.strategy in facts.limits.enabled_strategies:
        return None
    key = f"STRAT_{signal.strategy.upper()}_ENABLED"
    return (f"{key} is false", f"{key} true")


def broker_enabled(_: SignalRaised, facts: Facts) -> Finding | None:
    """Deny while the broker that BROKER_NAME names is not switched on."""
    # ALPACA_ENABLED, IBKR_ENABLED, the second barrier: the first is that the settings do not fit together.
    if facts.limits.is_broker_enabled:
        return None
    name = facts.limits.broker_name
    return (f"{name}_ENABLED is not true", f"BROKER_NAME {name} with its switch on")
