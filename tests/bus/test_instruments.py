"""Symbols of options: what they name, what they are worth, and what is none."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.instruments import cash_of, is_option, multiplier_of, notional_of, option_terms
from bus.messages import MICROS, NANOS, cash_micros, notional_micros


def test_an_occ_symbol_when_read_then_names_its_terms() -> None:
    terms = option_terms("AAPL251219P00150500")
    assert (terms.root, terms.expiry, terms.right) == ("AAPL", "2025-12-19", "PUT")
    assert terms.strike_micros == 150_500_000


@pytest.mark.parametrize(
    ("symbol", "price", "worth"),
    [
        ("SPY251219P00650000", 640, 10),
        ("SPY251219P00650000", 650, 0),
        ("SPY251219P00650000", 700, 0),
        ("SPY251219C00650000", 660, 10),
        ("SPY251219C00650000", 640, 0),
    ],
)
def test_an_option_when_exercised_then_is_worth_what_the_strike_is_better_by(
    symbol: str, price: int, worth: int
) -> None:
    assert option_terms(symbol).intrinsic_micros(price * MICROS) == worth * MICROS


@pytest.mark.parametrize(
    "symbol",
    [
        "SPY",
        "BRK.B",
        "",
        "251219P00650000",
        "SPY251219X00650000",
        "SPY251319P00650000",
        "SPY251232P00650000",
        "SPY250229P00650000",
        "SPY251219P0065000",
        "SPY  251219P00650000",
        "SPYSPYS251219P00650000",
        "spy251219P00650000",
        "SPY25121\u0669P00650000",
        "SPY251219P00650000\n",
    ],
)
def test_a_symbol_when_it_is_no_option_then_is_a_share_and_its_terms_are_refused(symbol: str) -> None:
    assert not is_option(symbol)
    assert multiplier_of(symbol) == 1
    with pytest.raises(ValueError, match=r"OCC symbol|month|day"):
        option_terms(symbol)


def test_a_symbol_when_it_is_malformed_then_the_error_says_how_to_write_it() -> None:
    with pytest.raises(ValueError, match=r"'SPY' is not the OCC symbol.*such as SPY251219P00650000"):
        option_terms("SPY")


@given(
    root=st.from_regex(r"[A-Z]{1,6}", fullmatch=True),
    expiry=st.dates(min_value=date(2000, 1, 1), max_value=date(2099, 12, 31)),
    right=st.sampled_from("CP"),
    thousandths=st.integers(0, 99_999_999),
)
def test_an_occ_symbol_when_written_from_terms_then_reads_back(
    root: str, expiry: date, right: str, thousandths: int
) -> None:
    symbol = f"{root}{expiry:%y%m%d}{right}{thousandths:08d}"
    terms = option_terms(symbol)
    assert (terms.root, terms.expiry) == (root, f"{expiry:%Y-%m-%d}")
    assert terms.strike_micros == thousandths * 1_000
    assert multiplier_of(symbol) == 100


def test_money_when_the_symbol_is_known_then_an_option_counts_a_hundred_times() -> None:
    price, qty = 2_505_000, 3 * NANOS
    assert notional_of("SPY", price, qty) == notional_micros(price, qty)
    assert cash_of("SPY", price, qty) == cash_micros(price, qty)
    assert notional_of("SPY251219P00650000", price, qty) == 751_500_000
    # The multiplier comes before the rounding to cents.
    assert cash_of("SPY251219P00650000", 10_005_000, NANOS) == 1_000_500_000
