"""Limits of a long option: premium, days to expiry, open interest; unknown denies."""

from typing import Any

import pytest
from msgspec.structs import replace

from bus.messages import MICROS
from services.risk.options import OptionFacts, OptionLimits, option_finding, underlying_of

LIMITS = OptionLimits(
    premium_max_micros=500 * MICROS, days_min=7, days_max=45, open_interest_min=100, spread_max_ppm=100_000
)
GOOD = OptionFacts(contracts=2, ask_micros=2_500_000, shares_per_contract=100, days_to_expiry=30, open_interest=100)


def test_option_when_every_limit_is_just_kept_then_allowed() -> None:
    assert option_finding(GOOD, LIMITS) is None


def test_option_when_nothing_is_known_of_it_then_denied() -> None:
    assert option_finding(None, LIMITS) is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ask_micros": 2_500_001}, "$500.0002 of premium"),
        ({"contracts": 3}, "$750.00 of premium"),
        ({"contracts": 0}, "no contracts"),
        ({"contracts": -2}, "no contracts"),
        ({"ask_micros": 0}, "no premium"),
        ({"ask_micros": -1}, "no premium"),
        ({"ask_micros": None}, "its premium is not known"),
        ({"ask_micros": 2**53}, "of premium"),
        ({"shares_per_contract": None}, "its premium is not known"),
        ({"shares_per_contract": 0}, "no premium"),
        ({"days_to_expiry": 6}, "expires in 6 days"),
        ({"days_to_expiry": 46}, "expires in 46 days"),
        ({"days_to_expiry": -1}, "expires in -1 days"),
        ({"days_to_expiry": None}, "its expiry is not known"),
        ({"open_interest": 99}, "99 contracts open"),
        ({"open_interest": 0}, "0 contracts open"),
        ({"open_interest": None}, "its open interest is not known"),
        ({"open_interest": -1}, "its open interest is not known"),
    ],
)
def test_option_when_one_fact_is_beyond_its_limit_or_missing_then_denied_in_words(
    changes: dict[str, Any], words: str
) -> None:
    found = option_finding(replace(GOOD, **changes), LIMITS)
    assert found is not None
    assert words in found[0]


@pytest.mark.parametrize("days", [7, 45])
def test_option_when_its_expiry_is_at_an_end_of_the_range_then_allowed(days: int) -> None:
    assert option_finding(replace(GOOD, days_to_expiry=days), LIMITS) is None


def test_option_when_it_has_expired_then_denied_whatever_the_range_says() -> None:
    limits = OptionLimits(
        premium_max_micros=500 * MICROS, days_min=-5, days_max=45, open_interest_min=0, spread_max_ppm=100_000
    )
    assert option_finding(replace(GOOD, days_to_expiry=-1), limits) is not None


@pytest.mark.parametrize(
    ("symbol", "root"),
    [
        ("AAPL131019P00480000", "AAPL"),
        ("AAPL  131019P00480000", "AAPL"),
        ("F131019C00017000", "F"),
        ("AAPL", None),
        ("BRK.B", None),
        ("AAPL131019X00480000", None),
        ("AAPL131019P0048", None),
    ],
)
def test_symbol_when_it_is_an_options_then_its_underlying_is_read(symbol: str, root: str | None) -> None:
    assert underlying_of(symbol) == root
