"""Live days follow each other by themselves: weekends, holidays, half-days, daylight saving, excluded weekdays."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import exchange_calendars
import pytest

from bus.assembly import CannotStartError
from bus.calendar import ExchangeDay, exchange_day
from bus.day_planner import DayPlanner, new_york_day
from config.env_bot import parse, proposals

LIVE = {"MARKET_DATA_SOURCE": "alpaca", "MARKET_DATA_SYMBOLS": "SPY"}


@cache
def _calendar() -> Any:
    return exchange_calendars.get_calendar("XNYS", start="2024-10-01", end="2026-12-31")


def read_day(day: str) -> ExchangeDay:
    return exchange_day(_calendar(), day)


def read_sessions(first: str, last: str) -> tuple[ExchangeDay, ...]:
    last = min(last, "2026-12-31")
    return tuple(read_day(day.date().isoformat()) for day in _calendar().sessions_in_range(first, last))


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def planner(**settings: str) -> DayPlanner:
    return DayPlanner(parse(proposals() | LIVE | settings), read_day, read_sessions)


@pytest.mark.parametrize(
    ("now", "planned"),
    [
        ("2025-03-12T04:30:00", "2025-03-12"),
        ("2025-03-12T15:00:00", "2025-03-12"),
        ("2025-03-12T20:29:59", "2025-03-12"),
        ("2025-03-12T20:30:00", "2025-03-13"),
        ("2025-03-13T02:00:00", "2025-03-13"),
        ("2025-03-07T22:00:00", "2025-03-10"),
        ("2025-07-03T17:31:00", "2025-07-07"),
        ("2024-11-28T12:00:00", "2024-11-29"),
        ("2024-12-31T23:00:00", "2025-01-02"),
        ("2025-01-08T22:00:00", "2025-01-10"),
    ],
    ids=[
        "before the open",
        "in the session",
        "just after the close",
        "half an hour after the close",
        "night, when it is still yesterday in New York",
        "Friday night before the clocks change",
        "after the half-day before Independence Day, a Friday",
        "Thanksgiving",
        "New Year's Eve",
        "before the day of mourning",
    ],
)
def test_a_start_when_live_then_the_session_that_is_on_or_next_is_planned(now: str, planned: str) -> None:
    plan = planner().first(ns(now))
    assert (plan.session_date, plan.is_trading_day) == (planned, True)


def test_a_year_when_lived_through_then_each_session_is_planned_once_after_the_one_before() -> None:
    days = planner()
    now_ns = ns("2024-12-20T12:00:00")
    plans = [days.first(now_ns)]
    until_ns = ns("2026-01-05T00:00:00")
    while now_ns < until_ns:
        now_ns += 1_200_000_000_000
        plan = days.due(now_ns)
        if plan is not None:
            assert plans[-1].close_ns < now_ns < plan.open_ns, "between the two sessions"
            plans.append(plan)
    expected = [day.day for day in read_sessions("2024-12-20", "2026-01-05")]
    assert [plan.session_date for plan in plans] == expected
    opens = {datetime.fromtimestamp(plan.open_ns // 10**9, UTC).strftime("%H:%M") for plan in plans}
    assert opens == {"13:30", "14:30"}
    assert {plan.session_date for plan in plans if plan.is_half_day} == {
        "2024-12-24",
        "2025-07-03",
        "2025-11-28",
        "2025-12-24",
    }


def test_weekdays_when_the_operator_excludes_them_then_the_next_allowed_session_is_planned() -> None:
    days = planner(TRADING_DAYS="Mon,Wed")
    assert days.first(ns("2025-03-13T12:00:00")).session_date == "2025-03-17"
    assert days.due(ns("2025-03-17T21:00:00")) is not None


def test_the_calendar_when_it_was_read_long_ago_then_it_is_read_again() -> None:
    asked: list[tuple[str, str]] = []

    def one_week(first: str, last: str) -> tuple[ExchangeDay, ...]:
        asked.append((first, last))
        return read_sessions(first, first[:-2] + "14")

    days = DayPlanner(parse(proposals() | LIVE), read_day, one_week)
    assert days.first(ns("2025-03-13T12:00:00")).session_date == "2025-03-13"
    plan = days.due(ns("2025-03-13T21:00:00"))
    assert plan is not None
    assert plan.session_date == "2025-03-14"
    assert asked == [("2025-03-13", "2026-04-17")]


def test_no_session_when_the_calendar_has_none_then_today_is_planned_without_trading() -> None:
    days = DayPlanner(parse(proposals() | LIVE), read_day, lambda _first, _last: ())
    plan = days.first(ns("2025-03-15T12:00:00"))
    assert (plan.session_date, plan.is_trading_day) == ("2025-03-15", False)
    assert days.due(ns("2025-03-15T20:00:00")) is None


@pytest.mark.parametrize(
    "settings", [{"MARKET_DATA_SOURCE": "generated"}, {"ALPACA_ENDPOINT": "simulator"}], ids=["replay", "simulator"]
)
def test_a_day_that_was_chosen_when_it_is_over_then_no_other_follows(settings: dict[str, str]) -> None:
    days = planner(MARKET_DATA_DATE="2025-03-12", **settings)
    assert days.first(ns("2026-03-12T12:00:00")).session_date == "2025-03-12"
    assert days.due(ns("2026-03-13T12:00:00")) is None


def test_a_calendar_when_it_cannot_be_read_then_the_fault_is_passed_on() -> None:
    def broken(_first: str, _last: str) -> tuple[ExchangeDay, ...]:
        raise CannotStartError("no calendar")

    read: Callable[[str, str], tuple[ExchangeDay, ...]] = broken
    with pytest.raises(CannotStartError, match="no calendar"):
        DayPlanner(parse(proposals() | LIVE), read_day, read).first(ns("2025-03-13T12:00:00"))


def test_the_day_when_it_is_night_in_utc_then_it_is_new_yorks() -> None:
    assert new_york_day(ns("2025-03-13T03:59:00")).isoformat() == "2025-03-12"
    assert new_york_day(ns("2025-03-13T04:00:00")).isoformat() == "2025-03-13"
