"""Which strategies run, in what order, and why not."""

from typing import Any

from bus import messages as m
from services.strategy import strategy_router as router
from services.strategy.settings import StrategySettings


def settings_of(make: Any, **env: str) -> StrategySettings:
    return StrategySettings.from_env(make.settings(**env))


def test_route_when_bars_come_then_only_the_enabled_and_known_strategies(make: Any) -> None:
    everything = settings_of(make, STRAT_MID_ENABLED="true", STRAT_CLOSE_ENABLED="true")
    assert router.strategies_for(m.BarBatch, everything) == ("open",)
    assert router.strategies_for(m.QuoteBatch, everything) == ()
    assert router.strategies_for(m.BarBatch, settings_of(make, STRAT_OPEN_ENABLED="false")) == ()


def test_faults_when_a_strategy_is_not_part_of_this_version_then_the_setting_and_the_remedy_are_named(
    make: Any,
) -> None:
    assert router.faults(settings_of(make)) == ()
    assert router.faults(settings_of(make, STRAT_MID_ENABLED="true", STRAT_CLOSE_ENABLED="true")) == (
        "STRAT_MID_ENABLED is true, but this version has no mid strategy: set it to false",
        "STRAT_CLOSE_ENABLED is true, but this version has no close strategy: set it to false",
    )


def test_silences_when_days_and_settings_differ_then_each_rule_is_named(make: Any) -> None:
    settings = settings_of(make, STRAT_MID_ENABLED="true")
    plans = (make.plan(), make.plan(is_trading_day=False), make.plan(start_open_ns=0))
    found = {silence.rule for plan in plans for silence in router.silences(plan, settings)}
    assert found == {
        "not_a_trading_day",
        "strategy_disabled",
        "strategy_not_available",
        "window_outside_session",
    }


def test_silence_when_trading_day_and_enabled_then_open_runs(make: Any) -> None:
    settings = settings_of(make)
    assert not router.is_silent("open", make.plan(), settings)
    assert router.is_silent("mid", make.plan(), settings)
    assert router.is_silent("open", make.plan(is_trading_day=False), settings)
