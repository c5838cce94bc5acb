"""The table of inverse ETFs."""

import pytest

from services.strategy.inverse_etfs import INVERSE_ETFS, InverseEtf, faults, inverse_of, is_inverse_etf


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
    assert inverse_of(symbol) == inverse


@pytest.mark.parametrize(("symbol", "is_inverse"), [("SH", True), ("SQQQ", True), ("SPY", False), ("IBM", False)])
def test_inverse_when_of_any_leverage_then_known_for_what_it_is(symbol: str, is_inverse: bool) -> None:
    assert is_inverse_etf(symbol) is is_inverse


def test_table_when_checked_then_consistent() -> None:
    assert faults() == ()


def test_table_when_an_instrument_is_used_then_it_is_unlevered() -> None:
    leverage = {row.inverse: row.leverage for row in INVERSE_ETFS}
    used = {inverse_of(row.underlying) for row in INVERSE_ETFS} - {None}
    assert {leverage[inverse] for inverse in used} == {1}


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
