"""Which strategies run for a message, and in what order; and why one does not run today. Times are UTC."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from bus.messages import BarBatch, Message, SessionPlanned, StrategyName
from services.strategy.open_windows import is_inside_session, open_windows
from services.strategy.settings import StrategySettings

#: Strategies are asked in this order, so their events of one minute always come in the same order.
ORDER: Final[tuple[StrategyName, ...]] = ("open", "mid", "close")
#: What each strategy of this version listens to. A strategy that is not here is not part of this version.
LISTENS: Final[dict[StrategyName, tuple[type[Message], ...]]] = {"open": (BarBatch,)}
#: What a SignalSuppressed names when it silences a strategy for the whole session.
ALL_SYMBOLS: Final = "ALL"


class Silence(Struct, frozen=True, kw_only=True):
    """A strategy raises nothing this session, by this rule."""

    strategy: StrategyName
    rule: str
    detail: str


def strategies_for(kind: type[Message], settings: StrategySettings) -> tuple[StrategyName, ...]:
    """Return the strategies to ask about a message of this type, in order: enabled, and listening to it."""
    return tuple(name for name in ORDER if settings.is_enabled(name) and kind in LISTENS.get(name, ()))


def silences(plan: SessionPlanned, settings: StrategySettings) -> tuple[Silence, ...]:
    """Return which strategies are silent on this day and why; a day without trading silences all at once."""
    if not plan.is_trading_day:
        # TRADING_DAYS or the exchange's calendar says no.
        detail = f"{plan.session_date} is not a trading day, by the exchange's calendar and TRADING_DAYS"
        return (Silence(strategy=ORDER[0], rule="not_a_trading_day", detail=detail),)
    found = (_silence(name, plan, settings) for name in ORDER)
    return tuple(silence for silence in found if silence is not None)


def is_silent(strategy: StrategyName, plan: SessionPlanned, settings: StrategySettings) -> bool:
    """Tell whether this strategy raises nothing on this day."""
    return not plan.is_trading_day or _silence(strategy, plan, settings) is not None


def _silence(strategy: StrategyName, plan: SessionPlanned, settings: StrategySettings) -> Silence | None:
    switch = f"STRAT_{strategy.upper()}_ENABLED"
    if not settings.is_enabled(strategy):
        # Disabled is a decision of the operator, so it is said and not left out.
        return Silence(strategy=strategy, rule="strategy_disabled", detail=f"{switch} is false")
    if strategy not in LISTENS:
        detail = f"{switch} is true, but this version has no {strategy} strategy"
        return Silence(strategy=strategy, rule="strategy_not_available", detail=detail)
    if not is_inside_session(open_windows(plan, settings), plan):
        # START_TIME_OPEN or OPEN_ANALYSIS_TIME does not fit this day, a half-day for instance.
        detail = (
            "The opening range, from START_TIME_OPEN for OPEN_ANALYSIS_TIME, must begin in the exchange's "
            "hours and end before positions are sold; on this day it does not"
        )
        return Silence(strategy=strategy, rule="window_outside_session", detail=detail)
    return None


def faults(settings: StrategySettings) -> Sequence[str]:
    """Return one sentence for each strategy that is enabled but not part of this version."""
    return tuple(
        f"STRAT_{name.upper()}_ENABLED is true, but this version has no {name} strategy: set it to false"
        for name in ORDER
        if settings.is_enabled(name) and name not in LISTENS
    )
