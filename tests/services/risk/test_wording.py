"""Amounts, ratios and times as people read them."""

import pytest

from services.risk.wording import clock_time, dollars, percent, ppm_percent, seconds


@pytest.mark.parametrize(
    ("micros", "words"),
    [
        (12_100_000, "$12.10"),
        (-3_000_000, "-$3.00"),
        (1_234_567_890_000, "$1,234,567.89"),
        (123_400, "$0.1234"),
        (-1, "-$0.0000"),
        (0, "$0.00"),
    ],
)
def test_dollars_when_written_then_cents_or_four_decimals(micros: int, words: str) -> None:
    assert dollars(micros) == words


def test_percent_when_just_over_a_limit_then_it_does_not_read_as_the_limit() -> None:
    assert percent(15_000, 1_000_000) == "1.50 %"
    assert percent(15_001, 1_000_000) == "1.51 %"


@pytest.mark.parametrize(("ppm", "words"), [(15_000, "1.5 %"), (20_000, "2 %"), (100, "0.01 %"), (1, "0.0001 %")])
def test_ppm_percent_when_written_then_no_idle_zeros(ppm: int, words: str) -> None:
    assert ppm_percent(ppm) == words


def test_seconds_and_time_of_day_when_written_then_rounded_up_and_in_utc() -> None:
    assert seconds(2_000_000_001) == "2.1 s"
    assert clock_time(1_381_239_000_000_000_000) == "13:30:00 UTC"
