"""Which strategies run on a day, and in what order; and why one does not. Times are UTC."""

from collections.abc import Sequence
from typing import Any, Final

from bus.messages import SessionPlanned
from services.strategy.close import CloseStrategy
from services.strategy.mid import MidStrategy
from services.strategy.open import OpenStrategy
from services.strategy.settings import StrategySettings
from services.strategy.strategy import Fault, Silence, Strategy

#: Every strategy there is. To add one, write its class, name it here and in StrategyName, and give it its settings.
STRATEGIES: Final[tuple[type[Strategy[Any]], ...]] = (OpenStrategy, MidStrategy, CloseStrategy)


def strategies_in_order(settings: StrategySettings) -> tuple[Strategy[Any], ...]:
    """Return the plug-ins in the order of STRATEGY_SEQUENCE; those it does not name come last and never run.

    They are asked in this order, so their events of one minute always come in the same order.
    """
    sequence = settings.strategy_sequence
    kinds = sorted(STRATEGIES, key=lambda kind: sequence.index(kind.name) if kind.name in sequence else len(sequence))
    return tuple(kind(settings) for kind in kinds)


def silences(plan: SessionPlanned, strategies: Sequence[Strategy[Any]]) -> tuple[Silence, ...]:
    """Return which strategies are silent on this day and why; a day without trading silences all at once."""
    if not plan.is_trading_day:
        # TRADING_DAYS or the exchange's calendar says no.
        detail = f"{plan.session_date} is not a trading day, by the exchange's calendar and TRADING_DAYS"
        return (Silence(strategy=strategies[0].name, rule="not_a_trading_day", detail=detail),)
    found = (silence_of(strategy, plan) for strategy in strategies)
    return tuple(silence for silence in found if silence is not None)


def running(plan: SessionPlanned, strategies: Sequence[Strategy[Any]]) -> tuple[Strategy[Any], ...]:
    """Return the strategies that run on this day, in order."""
    if not plan.is_trading_day:
        return ()
    return tuple(strategy for strategy in strategies if silence_of(strategy, plan) is None)


def silence_of(strategy: Strategy[Any], plan: SessionPlanned) -> Silence | None:
    """Return why this strategy raises nothing on a trading day, None when it runs: switches first, then its windows."""
    settings, name = strategy.settings, strategy.name
    if not settings.is_enabled(name):
        # STRAT_*_ENABLED false is a decision of the operator, so it is said and not left out.
        return Silence(strategy=name, rule="strategy_disabled", detail=f"STRAT_{name.upper()}_ENABLED is false")
    if settings.strategy_override not in {"", name}:
        detail = f"STRATEGY_OVERRIDE is {settings.strategy_override}: only that strategy runs"
        return Silence(strategy=name, rule="strategy_override", detail=detail)
    if name not in settings.strategy_sequence:
        detail = f"STRATEGY_SEQUENCE does not name {name}"
        return Silence(strategy=name, rule="not_in_sequence", detail=detail)
    return strategy.silence(plan)


def faults(strategies: Sequence[Strategy[Any]]) -> tuple[Fault, ...]:
    """Run every strategy's self-check, also of those that are switched off; return what is wrong."""
    return tuple(
        Fault(strategy=one.name, reason=reason, context=one.known_case)
        for one in strategies
        for reason in one.self_check()
    )
