"""The limits are read from the settings exactly, and cut to the tighter side."""

from bus.messages import NANOS
from config.env_bot import parse, proposals
from services.risk.settings import RiskSettings


def test_settings_when_the_proposals_are_read_then_in_the_units_of_their_names() -> None:
    settings = RiskSettings.from_env(parse(proposals()))
    assert settings == RiskSettings(
        total_allocation_ppm=500_000,
        max_risk_per_trade_ppm=2_500,
        max_open_positions=8,
        daily_loss_limit_ppm=20_000,
        min_volume_nanos=50_000 * NANOS,
        max_spread_ppm=15_000,
        max_quote_age_ns=2_000_000_000,
        entry_timeout_ns=60_000_000_000,
    )
