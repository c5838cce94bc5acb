"""Lots: rounding, holding periods and figures."""

from datetime import UTC, datetime

import pytest

from bus.messages import MICROS, NANOS, cash_micros
from services.ledger.figures import dollars, shares
from services.ledger.lots import (
    BrokenEntryError,
    Lot,
    after_closes,
    close_first_in,
    first_lots,
    is_long_term,
)


def ns(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, 15, tzinfo=UTC).timestamp()) * NANOS


@pytest.mark.parametrize(
    ("price", "qty", "cash"),
    [
        (10_500_000, 3 * NANOS, 31_500_000),
        (1_005_000, NANOS, 1_000_000),
        (1_015_000, NANOS, 1_020_000),
        (1_015_001, NANOS, 1_020_000),
        (4_999, NANOS, 0),
    ],
)
def test_cash_when_not_whole_cents_then_half_to_even(price: int, qty: int, cash: int) -> None:
    assert cash_micros(price, qty) == cash


@pytest.mark.parametrize(
    ("bought", "sold", "is_long"),
    [
        ((2023, 3, 10), (2024, 3, 10), False),
        ((2023, 3, 10), (2024, 3, 11), True),
        ((2024, 2, 29), (2025, 2, 28), False),
        ((2024, 2, 29), (2025, 3, 1), True),
        ((2023, 2, 28), (2024, 2, 29), True),
    ],
)
def test_term_when_held_about_a_year_then_long_from_the_day_after(
    bought: tuple[int, int, int], sold: tuple[int, int, int], is_long: bool
) -> None:
    assert is_long_term(ns(*bought), ns(*sold)) is is_long


def test_close_when_sold_in_thirds_then_costs_sum_to_the_total() -> None:
    lots: tuple[Lot, ...] = (Lot(acquired_ns=0, qty_nanos=3 * NANOS, cost_micros=10 * MICROS),)
    taken = []
    for _ in range(3):
        (close,) = close_first_in(lots, NANOS, 5 * MICROS, NANOS)
        taken.append(close.cost_micros)
        lots = after_closes(lots, (close,))
    assert taken == [3_330_000, 3_340_000, 3_330_000]
    assert lots == ()


@pytest.mark.parametrize("qty", [0, -1, NANOS + 1])
def test_close_when_quantity_does_not_fit_then_error(qty: int) -> None:
    with pytest.raises(BrokenEntryError):
        close_first_in((Lot(acquired_ns=0, qty_nanos=NANOS, cost_micros=MICROS),), qty, MICROS, 1)


def test_figures_when_written_then_as_people_read_them() -> None:
    assert [dollars(v) for v in (0, -1_234_500_000, 3_500)] == ["0.00", "-1,234.50", "0.003500"]
    assert [shares(v) for v in (0, 2_500_000_000, -NANOS)] == ["0", "2.5", "-1"]


@pytest.mark.parametrize("qty", range(1, 7))
def test_lots_when_a_sale_takes_from_them_then_the_first_are_named_that_it_closes(qty: int) -> None:
    lots = [Lot(acquired_ns=number, qty_nanos=number, cost_micros=number) for number in (1, 2, 3)]
    assert list(first_lots(lots, qty)) == [lots[close.index] for close in close_first_in(lots, qty, 0, 0)]
