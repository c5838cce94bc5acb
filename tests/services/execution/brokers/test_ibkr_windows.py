"""Interactive Brokers' planned windows in New York's time, through the year and its two changes of the clock."""

import pytest
from ib_gateway_bench import new_york_ns

from services.execution.brokers.ibkr_windows import is_overdue, may_be_away, new_york_day, waiting_words, window_at

NIGHT = "the gateway's nightly restart"
SUNDAY = "the weekly log-in on Sunday"
MINUTE_NS = 60 * 10**9
DAY_MINUTES = 24 * 60


def name_at(text: str) -> str:
    window = window_at(new_york_ns(text))
    return window.name if window else ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2025-07-01 23:39", ""),
        ("2025-07-01 23:40", NIGHT),
        ("2025-07-01 23:59", NIGHT),
        ("2025-07-02 00:00", NIGHT),
        ("2025-07-02 00:09", NIGHT),
        ("2025-07-02 00:10", ""),
        ("2025-07-05 12:00", ""),
        ("2025-07-06 00:59", ""),
        ("2025-07-06 01:00", SUNDAY),
        ("2025-07-06 23:39", SUNDAY),
        ("2025-07-06 23:40", NIGHT),
        ("2025-07-07 00:10", ""),
        ("2025-07-07 09:30", ""),
        ("2025-01-15 23:40", NIGHT),
        ("2025-01-16 00:10", ""),
        # The nights in which the clock goes forward, and back.
        ("2025-03-08 23:45", NIGHT),
        ("2025-03-09 03:30", SUNDAY),
        ("2025-11-01 23:45", NIGHT),
        ("2025-11-02 01:30", SUNDAY),
    ],
)
def test_window_when_it_is_this_time_in_new_york_then_is_named(text: str, name: str) -> None:
    assert name_at(text) == name


@pytest.mark.parametrize(
    ("day", "minutes"),
    [
        ("2025-07-01", 30),
        # A Sunday: from midnight to 00:10 and from 01:00 to midnight. Its 23 and its 25 hours are counted as they pass.
        ("2025-07-06", 10 + 23 * 60),
        ("2025-03-09", 10 + 22 * 60),
        ("2025-11-02", 10 + 24 * 60),
    ],
)
def test_window_when_a_whole_day_passes_then_so_many_minutes_are_in_one(day: str, minutes: int) -> None:
    start = new_york_ns(f"{day} 00:00")
    inside = [
        minute
        for minute in range(DAY_MINUTES + 60)
        if new_york_day(start + minute * MINUTE_NS) == day and window_at(start + minute * MINUTE_NS)
    ]
    assert len(inside) == minutes


def test_window_when_the_exchange_trades_then_there_is_none_on_any_day_of_two_years() -> None:
    start = new_york_ns("2025-01-01 12:00")
    for day in range(730):
        date = new_york_day(start + day * DAY_MINUTES * MINUTE_NS)
        for at in ("09:30", "12:45", "15:59"):
            at_ns = new_york_ns(f"{date} {at}")
            window = window_at(at_ns)
            assert window is None or window.name == SUNDAY, date
            assert may_be_away(at_ns) or window is None


RESTART = "This is the gateway's nightly restart, 23:40 to 00:10; "
WEEKLY = "This is the weekly log-in on Sunday, 01:00 to 23:40; "
LOG_IN = "the log-in of the week is over: a person logs the gateway in, with the second factor; "


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2025-07-02 03:00", "it is needed from Wednesday 09:15 on"),
        ("2025-07-02 23:45", f"{RESTART}it is needed from Thursday 09:15 on"),
        ("2025-07-04 17:00", "it is needed from Monday 09:15 on"),
        ("2025-07-06 00:30", "it is needed from Monday 09:15 on"),
        ("2025-07-06 01:00", f"{WEEKLY}{LOG_IN}it is needed from Monday 09:15 on"),
        ("2025-07-06 23:45", f"{RESTART}{LOG_IN}it is needed from Monday 09:15 on"),
        ("2025-07-07 08:00", f"{LOG_IN}it is needed from Monday 09:15 on"),
    ],
)
def test_words_when_the_gateway_may_be_away_then_say_why_until_when_and_who_logs_it_in(text: str, words: str) -> None:
    assert waiting_words(new_york_ns(text)) == f"{words}, and waited for until then (New York)"


@pytest.mark.parametrize(
    ("text", "away", "overdue"),
    [
        ("2025-07-02 00:30", True, False),
        ("2025-07-02 09:14", True, False),
        ("2025-07-02 09:15", False, True),
        ("2025-07-02 09:29", False, True),
        ("2025-07-02 09:30", False, False),
        ("2025-07-02 15:59", False, False),
        ("2025-07-02 16:00", True, False),
        ("2025-07-05 11:00", True, False),
        ("2025-07-06 09:20", True, False),
        ("2025-07-07 09:14", True, False),
        ("2025-07-07 09:15", False, True),
        ("2025-12-01 09:15", False, True),
        ("2025-03-10 09:14", True, False),
        ("2025-03-10 09:15", False, True),
        ("2025-11-03 09:15", False, True),
    ],
)
def test_gateway_when_away_at_this_time_then_it_is_waited_for_or_missing(text: str, away: bool, overdue: bool) -> None:
    assert (may_be_away(new_york_ns(text)), is_overdue(new_york_ns(text))) == (away, overdue)
