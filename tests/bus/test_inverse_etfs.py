"""The table of inverse ETFs."""

import pytest

from bus.inverse_etfs import INVERSE_ETFS, InverseEtf, faults, inverse_of, is_inverse_etf


@pytest.mark.parametrize(
    ("symbol", "inverse"),
    [
        ("SPY", "SH"),
        ("VOO", "SH"),
        ("QQQ", "PSQ"),
        ("AAPL", "AAPD"),
        ("XLF", "SEF"),
        ("SOXX", None),
        ("IBM", None),
    ],
)
def test_inverse_when_asked_then_the_unlevered_fund_or_none(symbol: str, inverse: str | None) -> None:
    fund = inverse_of(symbol)
    assert (fund.inverse if fund else None) == inverse


@pytest.mark.parametrize(
    ("symbol", "leverage_max", "inverse", "leverage"),
    [
        ("SPY", 3, "SH", 1),
        ("TSLA", 2, "TSLS", 1),
        ("XLE", 1, None, 0),
        ("XLE", 2, "ERY", 2),
        ("SOXX", 2, None, 0),
        ("SOXX", 3, "SOXS", 3),
        ("IBM", 3, None, 0),
    ],
)
def test_inverse_when_leverage_is_allowed_then_used_only_where_no_smaller_one_is_there(
    symbol: str, leverage_max: int, inverse: str | None, leverage: int
) -> None:
    fund = inverse_of(symbol, leverage_max)
    assert ((fund.inverse, fund.leverage) if fund else (None, 0)) == (inverse, leverage)


@pytest.mark.parametrize(("symbol", "is_inverse"), [("SH", True), ("SQQQ", True), ("SPY", False), ("IBM", False)])
def test_inverse_when_of_any_leverage_then_known_for_what_it_is(symbol: str, is_inverse: bool) -> None:
    assert is_inverse_etf(symbol) is is_inverse


def test_table_when_checked_then_consistent() -> None:
    assert faults() == ()


def test_table_when_an_instrument_is_used_then_it_is_unlevered() -> None:
    used = [inverse_of(row.underlying) for row in INVERSE_ETFS]
    assert {fund.leverage for fund in used if fund is not None} == {1}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((InverseEtf("A", "B", 4),), "leverage 4"),
        ((InverseEtf("A", "B", 1), InverseEtf("B", "C", 1)), "B as a name and as an inverse"),
        ((InverseEtf("A", "B", 1), InverseEtf("C", "B", 2)), "B two leverages"),
        ((InverseEtf("A", "B", 1), InverseEtf("A", "B", 1)), "A with B twice"),
    ],
)
def test_table_when_it_contradicts_itself_then_a_fault_names_the_row(rows: tuple[InverseEtf, ...], said: str) -> None:
    (fault,) = faults(rows)
    assert said in fault
