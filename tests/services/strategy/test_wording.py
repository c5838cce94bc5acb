"""Numbers for people, exact to the micro-dollar."""

from typing import Any

import pytest

from services.strategy.wording import dollars, percent, utc_hhmm


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0.00"),
        (10_500_000, "$10.50"),
        (10_505_000, "$10.505"),
        (1, "$0.000001"),
        (1_234_560_000, "$1234.56"),
    ],
)
def test_dollars_when_written_then_no_micro_is_lost(micros: int, text: str) -> None:
    assert dollars(micros) == text


@pytest.mark.parametrize(
    ("ppm", "text"), [(0, "0.00"), (1_000, "0.10"), (1_250, "0.125"), (1, "0.0001"), (50_000, "5.00")]
)
def test_percent_when_written_then_exact(ppm: int, text: str) -> None:
    assert percent(ppm) == text


def test_utc_hhmm_when_written_then_time_of_day(make: Any) -> None:
    assert utc_hhmm(make.OPEN) == "13:30"
