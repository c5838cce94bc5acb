"""The strategy service for the runtime: its core, and the checks that must pass before arming."""

import logging
from collections.abc import Sequence
from functools import partial

from bus import inverse_etfs
from bus.assembly import Assembly, Setup
from bus.clock import iso_utc, utc_ns
from bus.messages import Message, SignalRaised, SignalSuppressed
from config.env_bot import EnvBot
from services.strategy import strategy_router
from services.strategy.core import StrategyCore, StrategyState
from services.strategy.settings import StrategySettings

logger = logging.getLogger(__name__)


def build(setup: Setup) -> Assembly[StrategyState]:
    """Put the service together. It touches nothing outside, so it has no shell of its own."""
    return Assembly(
        core=StrategyCore(StrategySettings.from_env(setup.env)),
        self_check=partial(self_check, setup.env),
        when_stalled=suppressed,
    )


def suppressed(event: Message) -> Message:
    """Return a signal as suppressed: it would be old before risk hears it. Other events stay as they are."""
    if not isinstance(event, SignalRaised):
        return event
    return SignalSuppressed(
        ts_event=event.ts_event,
        ts_init=event.ts_init,
        session_date=event.session_date,
        strategy=event.strategy,
        symbol=event.symbol,
        direction=event.direction,
        rule="unacknowledged",
        detail="messages wait for over 2 s to be acknowledged: no new signals until they are",
    )


def self_check(env: EnvBot) -> Sequence[str]:
    """Return one sentence for each fault: the table of inverse ETFs, and each strategy's known-answer run.

    Any of them keeps the chain from being armed. A strategy's fault is logged with strategy, reason and context as
    fields of their own; the sentence has them too, and the time in UTC.
    """
    strategies = strategy_router.strategies_in_order(StrategySettings.from_env(env))
    said = list(inverse_etfs.faults())
    for fault in strategy_router.faults(strategies):
        sentence = (
            f"The self-check of strategy {fault.strategy} failed at {iso_utc(utc_ns())}: {fault.reason} "
            f"(context: {fault.context})"
        )
        fields = {"strategy": fault.strategy, "reason": fault.reason, "context": fault.context}
        logger.error("%s", sentence, extra={"fields": fields})
        said.append(sentence)
    return tuple(said)
