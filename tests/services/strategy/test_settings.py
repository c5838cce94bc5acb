"""The strategy's settings, in the units of their names."""

from typing import Any

from services.strategy.settings import StrategySettings


def test_settings_when_read_then_in_the_units_of_their_names(make: Any) -> None:
    found = StrategySettings.from_env(make.settings(OPEN_BREAKOUT_BUFFER="0.15", TRAILING_STOP="2.5"))
    assert found.open_buffer_ppm == 1_500
    assert found.trail_bps == 250
    assert found.open_analysis_ns == 15 * 60 * 10**9
    assert found.signal_ttl_ns == 5 * 10**9
    assert found.analysis_minutes == 15
    assert [found.is_enabled(name) for name in ("open", "mid", "close")] == [True, False, False]
