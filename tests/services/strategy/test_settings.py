"""The strategy's settings: units, and faults in plain words."""

from typing import Any

import pytest

from services.strategy.settings import StrategySettings, hhmm, precision_faults


def test_settings_when_read_then_in_the_units_of_their_names(make: Any) -> None:
    found = StrategySettings.from_env(make.settings(OPEN_BREAKOUT_BUFFER="0.15", TRAILING_STOP="2.5"))
    assert found.open_buffer_ppm == 1_500
    assert found.trail_bps == 250
    assert found.open_analysis_ns == 15 * 60 * 10**9
    assert found.signal_ttl_ns == 5 * 10**9
    assert found.start_open_minute == 14 * 60 + 30
    assert found.analysis_minutes == 15
    assert [found.is_enabled(name) for name in ("open", "mid", "close")] == [True, False, False]


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, None),
        ({"START_TIME_OPEN": "14:00"}, "before the exchange opens at 14:30 UTC"),
        ({"START_TIME_OPEN": "13:30", "START_TIME_DST": "fixed"}, None),
        ({"START_TIME_OPEN": "13:00", "START_TIME_DST": "fixed"}, "before the exchange opens at 13:30 UTC"),
        ({"OPEN_BREAKOUT_TIME": "370"}, None),
        ({"OPEN_BREAKOUT_TIME": "371"}, "end at 20:56 UTC, after all positions are sold at 20:55"),
        ({"START_TIME_OPEN": "09:00", "STRAT_OPEN_ENABLED": "false"}, None),
    ],
)
def test_faults_when_the_windows_do_not_fit_the_day_then_one_sentence_says_so(
    make: Any, env: dict[str, str], said: str | None
) -> None:
    faults = StrategySettings.from_env(make.settings(**env)).faults()
    assert len(faults) == (0 if said is None else 1)
    assert said is None or said in faults[0]


@pytest.mark.parametrize(
    ("env", "keys"),
    [
        ({}, []),
        ({"OPEN_BREAKOUT_BUFFER": "0.1234", "TRAILING_STOP": "1.25"}, []),
        ({"OPEN_BREAKOUT_BUFFER": "0.12345"}, ["OPEN_BREAKOUT_BUFFER"]),
        ({"TRAILING_STOP": "1.255"}, ["TRAILING_STOP"]),
    ],
)
def test_precision_when_decimals_would_be_lost_then_a_fault(make: Any, env: dict[str, str], keys: list[str]) -> None:
    assert [fault.split()[0] for fault in precision_faults(make.settings(**env))] == keys


def test_hhmm_when_past_midnight_then_it_wraps() -> None:
    assert [hhmm(0), hhmm(870), hhmm(1_500)] == ["00:00", "14:30", "01:00"]
