"""Session plans: daylight saving, half-days, holidays, weekdays the operator excludes."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest

from bus.assembly import CannotStartError
from bus.calendar import (
    ExchangeDay,
    exchange_day,
    plan_session,
    read_exchange_day,
    read_exchange_sessions,
    session_windows,
)
from bus.lifecycle import Moment, SessionWindows, bot_state, moment_at
from bus.messages import SessionPlanned
from config.env_bot import EnvBot, parse, proposals

MINUTE = 60 * 1_000_000_000
NEW_YORK = ZoneInfo("America/New_York")
FIRST, LAST = date(2015, 1, 1), date(2024, 12, 31)
DAYS = tuple((FIRST + timedelta(days=n)).isoformat() for n in range((LAST - FIRST).days + 1))


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


@pytest.mark.parametrize("day", ["0001-01-01", "1600-01-03", "1969-12-31", "2200-01-02", "9999-12-31"])
def test_the_calendar_when_the_day_is_outside_of_it_says_how_far_it_reaches(day: str) -> None:
    with pytest.raises(CannotStartError, match="reaches from 1971 to 2199"):
        read_exchange_day(day)


# --- windows -----------------------------------------------------------------------------------------------------


def _windows(day: str, **settings: str) -> tuple[SessionPlanned, SessionWindows]:
    env = _env(**settings)
    plan = plan_session(_day(day), env, 0)
    return plan, session_windows(plan, env)


def _env(*, strategies: tuple[str, ...] = ("OPEN",), **settings: str) -> EnvBot:
    """Return settings in which these strategies are switched on and the others off."""
    env = parse(proposals() | settings)
    switches = {f"STRAT_{name}_ENABLED": name in strategies for name in ("OPEN", "MID", "CLOSE")}
    return EnvBot({**env.values, **switches})


@cache
def _calendar() -> Any:
    week = timedelta(days=7)
    return exchange_calendars.get_calendar("XNYS", start=(FIRST - week).isoformat(), end=(LAST + week).isoformat())


@cache
def _day(day: str) -> ExchangeDay:
    return exchange_day(_calendar(), day)


def test_windows_when_the_open_strategy_is_enabled_follow_its_settings() -> None:
    plan, windows = _windows("2024-03-12")
    start = plan.start_open_ns
    assert windows.analyses == ((start, start + 15 * MINUTE),)
    assert windows.entries == ((start + 15 * MINUTE, start + 135 * MINUTE),)


def test_windows_when_the_other_strategies_are_enabled_have_theirs_cut_at_the_flatten() -> None:
    env = _env(strategies=("MID", "CLOSE"))
    plan = plan_session(_day("2024-03-12"), env, 0)
    windows = session_windows(plan, env)
    mid, close = plan.start_mid_ns, plan.start_close_ns
    assert windows.analyses == ((mid, mid + 30 * MINUTE), (close, close + 30 * MINUTE))
    assert windows.entries == (
        (mid + 30 * MINUTE, mid + 150 * MINUTE),
        (close + 30 * MINUTE, close + 60 * MINUTE),
    )
    half_day = plan_session(_day("2024-11-29"), env, 0)
    assert session_windows(half_day, env).entries == ((half_day.start_mid_ns + 30 * MINUTE, half_day.flatten_ns),)


def test_windows_when_one_strategy_overrides_the_others_are_its_own() -> None:
    env = _env(strategies=("OPEN", "MID", "CLOSE"), STRATEGY_OVERRIDE="close")
    plan = plan_session(_day("2024-03-12"), env, 0)
    windows = session_windows(plan, env)
    assert windows.analyses == ((plan.start_close_ns, plan.start_close_ns + 30 * MINUTE),)


@pytest.mark.parametrize(
    ("day", "settings"),
    [
        ("2024-01-16", {"START_TIME_DST": "fixed", "START_TIME_OPEN": "13:30"}),
        ("2024-11-29", {"START_TIME_OPEN": "17:50", "OPEN_BREAKOUT_TIME": "30"}),
        ("2024-12-25", {}),
        ("2024-01-13", {}),
        ("2024-01-16", {"TRADING_DAYS": "Mon"}),
    ],
    ids=["before the open", "analysis past the flatten of a half-day", "holiday", "week-end", "excluded weekday"],
)
def test_windows_when_the_strategy_does_not_fit_the_day_are_none(day: str, settings: dict[str, str]) -> None:
    _, windows = _windows(day, **settings)
    assert windows.analyses == windows.entries == ()


def test_windows_when_no_strategy_is_enabled_are_none() -> None:
    env = _env(strategies=())
    plan = plan_session(_day("2024-03-12"), env, 0)
    windows = session_windows(plan, env)
    assert windows.is_trading_day
    assert moment_at(windows, plan.open_ns) is Moment.WATCH


# --- ten years ---------------------------------------------------------------------------------------------------


def test_ten_years_of_days_when_the_exchange_is_open_start_on_new_yorks_wall_clock() -> None:
    kinds: Counter[str] = Counter()
    env = _env()
    for day in DAYS:
        plan = plan_session(_day(day), env, 0)
        for start_ns, wall in (
            (plan.start_open_ns, "09:30"),
            (plan.start_mid_ns, "10:30"),
            (plan.start_close_ns, "14:30"),
        ):
            assert datetime.fromtimestamp(start_ns / 1e9, NEW_YORK).strftime("%Y-%m-%d %H:%M") == f"{day} {wall}"
        if not plan.is_trading_day:
            continue
        kinds["half-day" if plan.is_half_day else "full"] += 1
        assert datetime.fromtimestamp(plan.open_ns / 1e9, NEW_YORK).strftime("%Y-%m-%d %H:%M") == f"{day} 09:30"
        closes = "13:00" if plan.is_half_day else "16:00"
        assert datetime.fromtimestamp(plan.close_ns / 1e9, NEW_YORK).strftime("%Y-%m-%d %H:%M") == f"{day} {closes}"
    assert kinds == {"full": 2496, "half-day": 20}, "ten years have 2516 sessions, 20 of them short"


def _edges(plan: SessionPlanned, windows: SessionWindows) -> list[int]:
    """Return moments around everything that can change the state, and every half hour from noon to noon UTC."""
    edges = [plan.open_ns, plan.flatten_ns, plan.close_ns]
    edges += [edge for window in (*windows.analyses, *windows.entries) for edge in window]
    noon = int(datetime.fromisoformat(f"{plan.session_date}T12:00:00+00:00").timestamp()) * 1_000_000_000
    return [edge + step for edge in edges for step in (-1, 0, 1)] + [noon + n * 30 * MINUTE for n in range(48)]


@pytest.mark.parametrize("dst", ["exchange", "fixed"])
def test_ten_years_of_days_when_armed_trade_only_between_open_and_flatten(dst: str) -> None:
    env = _env(strategies=("OPEN", "MID", "CLOSE"), START_TIME_DST=dst, TRADING_DAYS="Mon,Tue,Wed,Thu")
    traded: set[str] = set()
    for day in DAYS:
        plan = plan_session(_day(day), env, 0)
        windows = session_windows(plan, env)
        for now_ns in _edges(plan, windows):
            said = bot_state("ACTIVE", moment_at(windows, now_ns), has_failed=False)
            if said == "TRADING":
                traded.add(day)
            if not plan.is_trading_day:
                assert said == "IDLE"
            elif plan.open_ns <= now_ns < plan.flatten_ns:
                assert said in ("ANALYZING", "TRADING", "MONITORING")
            else:
                expected = ("FLATTENING", "CLOSED") if now_ns >= plan.flatten_ns else ("IDLE", "PRE_OPEN")
                assert said in expected
    sessions = {day for day in DAYS if _day(day).is_session}
    assert traded == {day for day in sessions if date.fromisoformat(day).weekday() != 4}


def test_ten_years_of_week_ends_when_the_clocks_change_move_utc_and_not_new_york() -> None:
    env = _env()
    shifts = 0
    for day in DAYS[:-3]:
        friday = date.fromisoformat(day)
        monday = friday + timedelta(days=3)
        if friday.weekday() != 4:
            continue
        hours = [
            datetime.fromtimestamp(plan_session(_day(d), env, 0).start_open_ns / 1e9, UTC).hour
            for d in (day, monday.isoformat())
        ]
        is_changed = _offset(friday) != _offset(monday)
        assert (hours[0] != hours[1]) is is_changed
        shifts += is_changed
    assert shifts == 20


def _offset(day: date) -> timedelta | None:
    return datetime(day.year, day.month, day.day, 12, tzinfo=NEW_YORK).utcoffset()


def test_sessions_when_asked_for_between_two_days_are_those_of_each_day_alone() -> None:
    found = read_exchange_sessions("2015-12-23", "2015-12-28")
    assert [(day.day, day.is_half_day) for day in found] == [
        ("2015-12-23", False), ("2015-12-24", True), ("2015-12-28", False),
    ]  # fmt: skip
    assert found[1] == read_exchange_day("2015-12-24")
    assert read_exchange_sessions("2013-10-05", "2013-10-06") == ()


@pytest.mark.parametrize("days", [("2013-10-08", "2013-10-07"), ("2013-10-08", "soon"), ("2013-10-08", "2413-10-08")])
def test_sessions_when_the_days_are_not_usable_say_so(days: tuple[str, str]) -> None:
    with pytest.raises(CannotStartError, match="Not a day of the exchange's calendar"):
        read_exchange_sessions(*days)
