"""The limits are read from the settings exactly, and cut to the tighter side."""

from decimal import Decimal

import pytest
from msgspec.structs import fields

from bus.messages import MICROS, NANOS
from config.env_bot import BY_KEY, EnvBot, SettingsError, parse, proposals
from config.settings_table.risk_limits import RISK_LIMITS
from services.risk.options import OptionLimits
from services.risk.settings import RiskSettings


def test_settings_when_the_proposals_are_read_then_in_the_units_of_their_names() -> None:
    settings = RiskSettings.from_env(parse(proposals()))
    assert settings == RiskSettings(
        total_allocation_ppm=500_000,
        max_risk_per_trade_ppm=2_500,
        max_open_positions=8,
        position_per_symbol_ppm=250_000,
        order_notional_max_micros=25_000 * MICROS,
        order_max_nanos=10_000 * NANOS,
        is_fractional=False,
        daily_loss_limit_ppm=20_000,
        daily_loss_from="start",
        trades_per_day_max=100,
        orders_per_second_max=10,
        orders_per_minute_max=60,
        repeated_orders_max=3,
        repeats_window_ns=10_000_000_000,
        broker_rejections_max=5,
        rejections_window_ns=60_000_000_000,
        min_volume_nanos=50_000 * NANOS,
        max_spread_ppm=15_000,
        max_quote_age_ns=2_000_000_000,
        price_collar_ppm=50_000,
        price_jump_percent=1_000,
        restricted=frozenset(),
        is_defending=False,
        options=OptionLimits(
            premium_max_micros=500 * MICROS, days_min=7, days_max=45, open_interest_min=100, spread_max_ppm=100_000
        ),
        enabled_strategies=frozenset(("open", "mid", "close")),
        broker_name="PAPER",
        is_broker_enabled=True,
        entry_timeout_ns=60_000_000_000,
        funds=frozenset(),
    )


def test_settings_when_switches_and_lists_are_set_then_they_are_read() -> None:
    changes = {
        "STRAT_MID_ENABLED": "false",
        "RESTRICTED_SYMBOLS": "BRK.B, gme",
        "DEFENSE_MODE": "true",
        "FRACTIONAL_SHARES": "true",
        "DAILY_LOSS_FROM": "peak",
    }
    settings = RiskSettings.from_env(parse({**proposals(), **changes}))
    assert settings.enabled_strategies == {"open", "close"}
    assert settings.restricted == {"BRKB", "GME"}
    assert (settings.is_defending, settings.is_fractional, settings.daily_loss_from) == (True, True, "peak")


@pytest.mark.parametrize(
    ("values", "is_enabled"),
    [
        ({"BROKER_NAME": "PAPER"}, True),
        ({"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": True}, True),
        ({"BROKER_NAME": "ALPACA", "ALPACA_ENABLED": False, "IBKR_ENABLED": True}, False),
        ({"BROKER_NAME": "IBKR", "IBKR_ENABLED": True}, True),
        ({"BROKER_NAME": "IBKR", "IBKR_ENABLED": False}, False),
        ({"BROKER_NAME": "SOMEBODY", "ALPACA_ENABLED": True, "IBKR_ENABLED": True}, False),
    ],
)
def test_broker_when_its_switch_is_on_then_and_only_then_it_is_enabled(
    values: dict[str, bool | str], is_enabled: bool
) -> None:
    env = EnvBot({**parse(proposals()).values, **values})
    assert RiskSettings.from_env(env).is_broker_enabled == is_enabled


def test_limits_when_listed_then_each_has_an_end_and_none_may_be_left_empty() -> None:
    numbers = [one for one in RISK_LIMITS if one.kind in ("int", "decimal")]
    assert len(numbers) > 15
    for setting in numbers:
        assert setting.bounds is not None, setting.key
        assert not setting.optional, setting.key
        assert Decimal(setting.bounds[1]) < Decimal(10) ** 10, setting.key
    # The one list that may be empty forbids something: empty, it forbids nothing more.
    assert [one.key for one in RISK_LIMITS if one.optional] == ["RESTRICTED_SYMBOLS"]


def test_settings_when_read_then_no_field_has_a_default() -> None:
    for kind in (RiskSettings, OptionLimits):
        assert [field.name for field in fields(kind) if not field.required] == []


@pytest.mark.parametrize("key", [one.key for one in RISK_LIMITS])
def test_limit_when_it_is_missing_or_without_end_then_the_settings_are_refused(key: str) -> None:
    left_out = {name: text for name, text in proposals().items() if name != key}
    with pytest.raises(SettingsError, match=key):
        parse(left_out)
    if BY_KEY[key].kind in ("int", "decimal"):
        for endless in ("Infinity", "NaN", "", "99999999999999999999"):
            with pytest.raises(SettingsError, match=key):
                parse({**proposals(), key: endless})
