"""Why risk grants no lease now. Pure; whatever is not known refuses."""

from services.risk import portfolio as book
from services.risk.core import RiskState


def lease_refusal(state: RiskState | None) -> str | None:
    """Return in words why no order that adds exposure may be sent, as far as risk knows; None when it may.

    Args:
        state: the newest; None before the journal was folded.
    """
    if state is None:
        return "risk has not read its journal yet"
    return _day_refusal(state) or _standing_refusal(state)


def _day_refusal(state: RiskState) -> str | None:
    """Return what is missing, lost or contradicts itself in the session."""
    day = state.day
    if day.plan is None:
        return "risk knows no session plan"
    if day.account is None:
        return f"risk knows no account report for {day.plan.session_date}"
    if day.is_tripped:
        return "the kill switch tripped this session"
    if day.portfolio.oversold:
        return f"the books disagree: {day.portfolio.oversold}"
    unmarked = book.unmarked_symbols(day.portfolio, state.market.bids(book.open_symbols(day.portfolio)))
    return f"the day's result is not known: no bid heard for {', '.join(unmarked)}" if unmarked else None


def _standing_refusal(state: RiskState) -> str | None:
    """Return what stands against trading by what risk was told."""
    standing = state.day.standing
    if standing.is_halted:
        return f"halt {standing.halt_counter}: {standing.halt_detail}"
    return None if standing.is_armed else f"not armed: {standing.disarmed_detail}"
