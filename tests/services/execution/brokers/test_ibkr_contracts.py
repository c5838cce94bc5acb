"""Numbers, symbols and codes at the edge to Interactive Brokers' library."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_gateway_bench import new_york_ns

from bus.messages import MICROS
from services.execution.brokers.ibkr_codes import CODES, Meaning, farm_of, is_read_only, meaning_of
from services.execution.brokers.ibkr_contracts import is_within, micros_of, nanos_of, symbol_of


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_price_when_it_goes_through_the_librarys_float_then_no_micro_is_lost(micros: int) -> None:
    assert micros_of(micros / MICROS) == micros


@pytest.mark.parametrize("number", [1.7976931348623157e308, float("inf"), float("nan"), "", "N/A", None])
def test_number_when_it_stands_for_none_then_is_nought(number: object) -> None:
    assert (micros_of(number), nanos_of(number)) == (0, 0)


def test_quantity_when_it_is_a_fraction_then_is_exact() -> None:
    assert nanos_of(0.1) == 100_000_000
    assert nanos_of(-12.000000001) == -12_000_000_001


@pytest.mark.parametrize(
    ("kind", "symbol", "local", "ours"),
    [
        ("STK", "AAPL", "AAPL", "AAPL"),
        ("STK", "BRK B", "BRK B", "BRK.B"),
        ("OPT", "AAPL", "AAPL  251219P00150000", "AAPL251219P00150000"),
        ("CASH", "EUR", "EUR.USD", "EUR.USD"),
        ("FUT", "ES", "ESZ5", "ESZ5"),
        ("WAR", "", "", "CON77"),
    ],
)
def test_symbol_when_of_any_kind_of_contract_then_is_one_that_the_bus_takes(
    kind: str, symbol: str, local: str, ours: str
) -> None:
    contract = SimpleNamespace(secType=kind, symbol=symbol, localSymbol=local, conId=77)
    assert symbol_of(contract) == ours


def test_hours_when_they_name_another_zone_then_the_moment_is_read_in_it() -> None:
    at_ns = new_york_ns("2025-07-01 10:00")
    assert is_within("20250701:1530-20250701:2200", "Central European Standard Time", at_ns)
    assert not is_within("20250701:0930-20250701:1000", "US/Eastern", at_ns)
    assert not is_within("", "US/Eastern", at_ns)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (201, Meaning.REFUSED),
        (202, Meaning.CANCELLED),
        (103, Meaning.NUMBER_TAKEN),
        (104, Meaning.NUMBER_TAKEN),
        (105, Meaning.NUMBER_TAKEN),
        (110, Meaning.REFUSED),
        (200, Meaning.NO_CONTRACT),
        (321, Meaning.REFUSED),
        (326, Meaning.CLIENT_IN_USE),
        (399, Meaning.NOTICE),
        (1100, Meaning.LINE_LOST),
        (1101, Meaning.BACK_WITHOUT_DATA),
        (1102, Meaning.BACK),
        (1300, Meaning.PORT_MOVED),
        (2103, Meaning.FARM_LOST),
        (2104, Meaning.FARM_BACK),
        (2110, Meaning.LINE_LOST),
        (10147, Meaning.NOT_CANCELLABLE),
        (10148, Meaning.NOT_CANCELLABLE),
        (99999, Meaning.UNKNOWN),
    ],
)
def test_code_when_it_comes_then_means_what_the_table_says(code: int, meaning: Meaning) -> None:
    assert meaning_of(code) is meaning


def test_code_when_it_is_in_the_table_then_the_page_names_it() -> None:
    from pathlib import Path

    page = (Path(__file__).resolve().parents[4] / "docs" / "ibkr.md").read_text(encoding="utf-8")
    assert [code for code in CODES if f"{code}" not in page] == []


def test_message_when_it_says_that_the_api_may_only_read_then_it_is_noticed() -> None:
    assert is_read_only("The API interface is currently in Read-Only mode.")
    assert not is_read_only("Order rejected")
    assert farm_of("no colon") == ""
