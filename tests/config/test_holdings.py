"""What an operator may set for the holdings, and what is said where it cannot be used."""

from typing import Any

import pytest

from config.holdings import DEFAULTS, HoldingsSettings, HoldingsSettingsError, Target, equal_weights, left_over_bps


def test_without_anything_set_the_defaults_hold() -> None:
    found = HoldingsSettings.from_vault({})
    assert found.targets == (Target(symbol="SCHD", weight_bps=5_000), Target(symbol="SCHY", weight_bps=5_000))
    assert (found.float_bps, found.tax_bps, found.payroll_bps) == (1_000, 2_000, 1_000)
    assert (found.rebalance_months, found.is_auto_rebalance, found.band_bps) == (6, True, 0)
    assert not found.is_enabled, "nothing is bought before an operator asks for it"


def test_equal_weights_fill_the_whole_in_the_order_of_the_symbols() -> None:
    found = HoldingsSettings.from_vault({"etfs": {"CCC": "", "AAA": "", "BBB": ""}, "weights": "equal"})
    assert [(target.symbol, target.weight_bps) for target in found.targets] == [
        ("AAA", 3_334),
        ("BBB", 3_333),
        ("CCC", 3_333),
    ]
    assert left_over_bps(found.targets) == 0
    assert equal_weights(()) == ()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"etfs": {"AAA": "60", "BBB": "38.5"}}, "add up to 98.50 %: 1.50 % would stay in cash. Rescale"),
        ({"etfs": {"AAA": "60", "BBB": "40.01"}}, "0.01 % too much"),
        ({"etfs": {f"E{n}": "5" for n in range(21)}}, "There are 21 funds: keep at most 20"),
        ({"etfs": {"aaa": "100"}}, "aaa is no ticker"),
        ({"etfs": {"AAA": "1e2"}}, "AAA's weight is '1e2'"),
        ({"etfs": ["AAA"]}, "etfs is no list of funds"),
        ({"float_percent": "101"}, "float_percent is '101'"),
        ({"tax_percent": 20}, "tax_percent is 20"),
        ({"payroll_percent": "-1"}, "payroll_percent is '-1'"),
        ({"band_percent": "50.01"}, "band_percent is '50.01'"),
        ({"rebalance_months": 4}, "rebalance_months is 4: set 3, 6 or 12"),
        ({"rebalance_months": [6]}, "set 3, 6 or 12"),
        ({"is_enabled": "yes"}, "is_enabled is 'yes'"),
        ({"weights": "some"}, "weights is 'some'"),
        ({"colour": "red"}, "colour is not known"),
    ],
)
def test_a_fault_is_said_with_what_to_do(part: dict[str, Any], words: str) -> None:
    with pytest.raises(HoldingsSettingsError) as told:
        HoldingsSettings.from_vault(part)
    assert words in str(told.value)


def test_all_faults_are_said_at_once() -> None:
    part = {"etfs": {"AAA": "50"}, "tax_percent": "x", "rebalance_months": 1, "is_auto_rebalance": None}
    with pytest.raises(HoldingsSettingsError) as told:
        HoldingsSettings.from_vault(part)
    for words in ("add up to 50.00 %", "tax_percent", "rebalance_months", "is_auto_rebalance"):
        assert words in str(told.value)


def test_a_fund_that_the_strategies_trade_is_refused() -> None:
    with pytest.raises(HoldingsSettingsError) as told:
        HoldingsSettings.from_vault({"etfs": {"SH": "50", "SCHD": "50"}}, day_trading=("sh", "SPY"))
    assert "SH is traded by the strategies too" in str(told.value)
    assert "SCHD is" not in str(told.value)


def test_no_fund_at_all_is_a_choice() -> None:
    assert HoldingsSettings.from_vault({"etfs": {}}).targets == ()


def test_the_defaults_are_sound_and_name_every_setting() -> None:
    assert HoldingsSettings.from_vault(DEFAULTS) == HoldingsSettings.from_vault({})
