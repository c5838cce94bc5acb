"""Session plans: daylight saving, half-days, holidays, weekdays the operator excludes."""

from datetime import UTC, datetime

import pytest

from bus.assembly import CannotStartError
from bus.calendar import plan_session, read_exchange_day
from config.env_bot import parse, proposals


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("day", "opens", "closes", "start_open", "start_close"),
    [
        ("2025-03-07", "14:30", "21:00", "14:30", "19:30"),
        ("2025-03-10", "13:30", "20:00", "13:30", "18:30"),
        ("2025-10-31", "13:30", "20:00", "13:30", "18:30"),
        ("2025-11-03", "14:30", "21:00", "14:30", "19:30"),
        ("2015-12-24", "14:30", "18:00", "14:30", "19:30"),
    ],
    ids=[
        "last winter Friday",
        "first summer Monday",
        "last summer Friday",
        "first winter Monday",
        "half-day",
    ],
)
def test_a_plan_when_times_follow_the_exchange_starts_at_930_in_new_york(
    day: str, opens: str, closes: str, start_open: str, start_close: str
) -> None:
    plan = plan_session(read_exchange_day(day), parse(proposals()), 0)
    assert plan.is_trading_day
    assert plan.open_ns == _ns(f"{day}T{opens}:00")
    assert plan.close_ns == _ns(f"{day}T{closes}:00")
    assert plan.start_open_ns == _ns(f"{day}T{start_open}:00")
    assert plan.start_close_ns == _ns(f"{day}T{start_close}:00")
    assert plan.flatten_ns == plan.close_ns - 300 * 1_000_000_000
    assert plan.is_half_day == (day == "2015-12-24")


def test_a_plan_when_start_times_are_fixed_takes_them_literally() -> None:
    plan = plan_session(read_exchange_day("2025-07-01"), parse(proposals() | {"START_TIME_DST": "fixed"}), 0)
    assert plan.start_open_ns == _ns("2025-07-01T14:30:00")


@pytest.mark.parametrize("day", ["2013-10-12", "2025-12-25", "2025-07-04"])
def test_a_plan_when_the_exchange_is_closed_is_no_trading_day(day: str) -> None:
    assert not plan_session(read_exchange_day(day), parse(proposals()), 0).is_trading_day


def test_a_plan_when_the_weekday_is_excluded_is_no_trading_day() -> None:
    env = parse(proposals() | {"TRADING_DAYS": "Mon,Tue"})
    assert not plan_session(read_exchange_day("2025-03-12"), env, 0).is_trading_day
    assert plan_session(read_exchange_day("2025-03-11"), env, 0).is_trading_day


def test_the_calendar_when_the_day_is_malformed_says_so() -> None:
    with pytest.raises(CannotStartError, match="Give YYYY-MM-DD"):
        read_exchange_day("2025-02-30")
