"""Which few contracts of a chain are listed: around the wanted strike, of two days of expiry."""

from datetime import date

from services.screener.chain_source import Terms, nearest
from services.screener.settings import PutWindow

DOLLAR = 1_000_000
DAYS = [date(2025, 3, day) for day in (14, 21, 28)] + [date(2025, 4, 17), date(2025, 4, 18)]
TERMS = [Terms(day, strike * DOLLAR) for day in DAYS for strike in range(80, 121, 5)]


def test_puts_when_the_target_is_a_half_then_those_at_the_money_come_first_and_monthly_days_before_others() -> None:
    found = nearest(TERMS, 101 * DOLLAR, "2025-03-12", PutWindow(days_min=7, days_max=45))
    assert {one.expiry for one in found} == {date(2025, 3, 21), date(2025, 4, 18)}
    assert found[:3] == [
        Terms(date(2025, 3, 21), 100 * DOLLAR),
        Terms(date(2025, 4, 18), 100 * DOLLAR),
        Terms(date(2025, 3, 21), 105 * DOLLAR),
    ]


def test_puts_when_a_smaller_delta_is_wanted_then_lower_strikes_come_first() -> None:
    window = PutWindow(days_min=1, days_max=10, delta_target_ppm=250_000)
    found = nearest(TERMS, 100 * DOLLAR, "2025-03-12", window)
    assert found[0] == Terms(date(2025, 3, 21), 95 * DOLLAR)
    assert {one.expiry for one in found} == {date(2025, 3, 14), date(2025, 3, 21)}


def test_puts_when_none_is_in_the_window_then_there_are_none() -> None:
    assert nearest(TERMS, 100 * DOLLAR, "2025-03-12", PutWindow(days_min=300, days_max=365)) == []


def test_a_put_when_named_then_by_its_occ_symbol() -> None:
    assert Terms(date(2025, 3, 21), 97_500_000).symbol("SPY") == "SPY250321P00097500"
