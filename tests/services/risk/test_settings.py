"""The limits are read from the settings exactly, and cut to the tighter side."""

import pytest
from msgspec.structs import replace

from bus.messages import NANOS
from config.env_bot import parse, proposals
from services.risk.settings import RiskSettings


def test_settings_when_the_proposals_are_read_then_in_the_units_of_their_names() -> None:
    settings = RiskSettings.from_env(parse(proposals()))
    assert settings == RiskSettings(
        total_allocation_ppm=500_000,
        max_risk_per_trade_ppm=2_500,
        max_open_positions=5,
        daily_loss_limit_ppm=20_000,
        min_volume_nanos=50_000 * NANOS,
        max_spread_ppm=15_000,
        max_quote_age_ns=2_000_000_000,
        entry_timeout_ns=60_000_000_000,
    )
    assert settings.faults() == ()


def test_settings_when_finer_than_a_millionth_then_the_limit_gets_tighter() -> None:
    env = parse({**proposals(), "MAX_SPREAD": "1.49999"})
    assert RiskSettings.from_env(env).max_spread_ppm == 14_999


@pytest.mark.parametrize(("risk_ppm", "faults"), [(20_000, 0), (20_001, 1)])
def test_settings_when_one_trade_may_lose_more_than_a_day_then_a_fault(risk_ppm: int, faults: int) -> None:
    settings = replace(RiskSettings.from_env(parse(proposals())), max_risk_per_trade_ppm=risk_ppm)
    assert len(settings.faults()) == faults
