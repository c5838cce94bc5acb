"""Which strategies run, in what order, and why not."""

from typing import Any

import pytest

from services.strategy import open as opening_range
from services.strategy import strategy_router as router
from services.strategy.settings import StrategySettings

ALL_ON = {"STRAT_MID_ENABLED": "true", "STRAT_CLOSE_ENABLED": "true"}


def strategies_of(make: Any, **env: str) -> Any:
    return router.strategies_in_order(StrategySettings.from_env(make.settings(**env)))


def test_order_when_the_sequence_is_set_then_strategies_run_in_it(make: Any) -> None:
    for sequence in ("open,mid,close", "close,open,mid", "mid,close,open"):
        found = strategies_of(make, **ALL_ON, STRATEGY_SEQUENCE=sequence)
        assert ",".join(strategy.name for strategy in router.running(make.plan(), found)) == sequence


def test_running_when_switched_off_overridden_or_left_out_then_not_there(make: Any) -> None:
    for change, expected in (
        ({}, ["open"]),
        ({"STRAT_OPEN_ENABLED": "false"}, []),
        (ALL_ON | {"STRATEGY_OVERRIDE": "close"}, ["close"]),
        (ALL_ON | {"STRATEGY_SEQUENCE": "mid"}, ["mid"]),
    ):
        found = router.running(make.plan(), strategies_of(make, **change))
        assert [strategy.name for strategy in found] == expected


def test_silences_when_days_and_settings_differ_then_each_rule_is_named(make: Any) -> None:
    strategies = strategies_of(make, STRAT_CLOSE_ENABLED="true")
    plans = (make.plan(), make.plan(is_trading_day=False), make.plan(start_open_ns=0, start_close_ns=0))
    found = {(silence.strategy, silence.rule) for plan in plans for silence in router.silences(plan, strategies)}
    assert found == {
        ("open", "not_a_trading_day"),
        ("mid", "strategy_disabled"),
        ("open", "window_outside_session"),
        ("close", "window_outside_session"),
    }


def test_silence_when_trading_day_and_enabled_then_open_runs(make: Any) -> None:
    strategies = strategies_of(make)
    assert [strategy.name for strategy in router.running(make.plan(), strategies)] == ["open"]
    assert [silence.strategy for silence in router.silences(make.plan(), strategies)] == ["mid", "close"]
    assert router.running(make.plan(is_trading_day=False), strategies) == ()


def test_faults_when_a_self_check_fails_then_the_strategy_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert router.faults(strategies_of(make)) == ()
    monkeypatch.setattr(opening_range, "_KNOWN_BARS_PERCENT", 10)
    found = router.faults(strategies_of(make, STRAT_OPEN_ENABLED="false"))
    assert found
    assert {(fault.strategy, fault.context) for fault in found} == {("open", opening_range.OpenStrategy.known_case)}
