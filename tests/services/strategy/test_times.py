"""No strategy sees the future; windows hold on both week-ends of the clocks, on half-days, and in every time zone."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import recorded_days as days
from msgspec.structs import replace

from bus import messages as m
from config.paths import HomePaths
from replay.local import play
from replay.report import trades
from replay.session import SessionChoice, open_session
from services.screener.steps import BarColumns, Ints, MarketDay

#: A far lower threshold than proposed, so that every strategy has much to say.
LOUD = {"STRAT_MID_VWAP_THRESHOLD": "0.2", "STRAT_MID_ADX_MAX": "60"}
NAMES = ("open", "mid", "close")
GENERATED = days.Session("2025-03-12", 2)


def played(session: days.Session, market: MarketDay, plan: m.SessionPlanned, **env: str) -> list[m.Message]:
    """Return what the core says of a market played on the plan's day."""
    facts = [days.ranked(plan.session_date, market.symbols), days.vix(plan.session_date)]
    return days.run(days.settings(**(LOUD | env)), plan, facts, days.messages(market, plan))


def up_to(events: Sequence[m.Message], end_ns: int) -> list[m.Message]:
    return [event for event in events if event.ts_event <= end_ns]


# --- the future -----


def changed_after(market: MarketDay, minute: int, how: str) -> MarketDay:
    """Return the market with every minute from this one on changed."""

    def column(values: Ints) -> Ints:
        changed = values.copy()
        match how:
            case "dearer":
                changed[minute:] = values[minute:] * 3 // 2
            case "cheaper":
                changed[minute:] = values[minute:] * 2 // 3
            case "shifted":
                changed[minute + 1 :] = values[minute:-1]
                changed[minute] = 0
            case _:
                changed[minute:] = 0
        return changed

    columns = {name: column(getattr(market.bars, name)) for name in BarColumns.__struct_fields__}
    return replace(market, bars=BarColumns(**columns))


@pytest.mark.parametrize("how", ["dearer", "cheaper", "shifted", "gone"])
@pytest.mark.parametrize("session", [GENERATED, *days.RECORDED[1:2]], ids=str)
def test_decisions_when_the_future_changes_then_the_past_stays(session: days.Session, how: str) -> None:
    plan = days.planned(session.day, days.settings())
    market = session.market(plan)
    truth = played(session, market, plan)
    assert {event.strategy for event in truth if isinstance(event, m.SignalRaised)} == {"open", "mid", "close"}
    for minute in (14, 15, 60, 91, 130, 200, 329, 331, 345):
        now_ns = plan.open_ns + minute * days.MINUTE
        other = played(session, changed_after(market, minute, how), plan)
        assert up_to(other, now_ns) == up_to(truth, now_ns), minute


# --- the clocks -----


@pytest.mark.parametrize("day", ["2025-03-07", "2025-03-10", "2025-10-31", "2025-11-03"])
def test_signals_when_the_clocks_change_then_in_the_same_minutes_since_the_open(day: str) -> None:
    first = days.planned(GENERATED.day, days.settings())
    market = GENERATED.market(first)
    expected = days.keys_of(played(GENERATED, market, first), first.open_ns)
    assert {key[1] for key in expected} == {"open", "mid", "close"}
    plan = days.planned(day, days.settings())
    assert days.keys_of(played(GENERATED, market, plan), plan.open_ns) == expected
    clock = datetime.fromtimestamp(plan.open_ns // m.NANOS, UTC).strftime("%H:%M")
    assert clock == ("13:30" if day in ("2025-03-10", "2025-10-31") else "14:30")


def test_signals_when_start_times_are_fixed_then_an_hour_later_in_new_yorks_summer() -> None:
    market = GENERATED.market(days.planned(GENERATED.day, days.settings()))
    starts = {}
    for day in ("2025-03-07", "2025-03-10"):
        plan = days.planned(day, days.settings(START_TIME_DST="fixed", CLOSE_SIGNAL_TIME="20"))
        events = played(GENERATED, market, plan, START_TIME_DST="fixed", CLOSE_SIGNAL_TIME="20")
        keys = days.keys_of(events, plan.open_ns)
        starts[day] = {name: min((key[0] for key in keys if key[1] == name), default=-1) for name in NAMES}
    # In summer the close strategy's analysis, 15:30 to 16:00 in New York, no longer ends before the flatten.
    assert (starts["2025-03-07"]["close"], starts["2025-03-10"]["close"]) == (330, -1)
    assert starts["2025-03-07"]["open"] < 75 <= starts["2025-03-10"]["open"]
    assert starts["2025-03-07"]["mid"] < 150 <= starts["2025-03-10"]["mid"]


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let a test move the process to another time zone, and back at its end."""
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_signals_when_the_operator_is_anywhere_then_they_are_the_same(in_zone: pytest.MonkeyPatch) -> None:
    said = []
    for zone in ("UTC", "Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata"):
        in_zone.setenv("TZ", zone)
        time.tzset()
        plan = days.planned(GENERATED.day, days.settings())
        said.append(played(GENERATED, GENERATED.market(plan), plan))
    assert said[1:] == said[:1] * 3


# --- half-days -----

HALF_DAY = "2015-12-24"


def test_windows_when_half_day_then_cut_at_the_flatten_and_what_does_not_fit_is_silent() -> None:
    plan = days.planned(HALF_DAY, days.settings(), closes="13:00")
    events = played(GENERATED, GENERATED.market(plan), plan)
    silent = [(e.strategy, e.rule) for e in events if isinstance(e, m.SignalSuppressed) and e.symbol == "ALL"]
    assert silent == [("close", "window_outside_session")]
    raised = [event for event in events if isinstance(event, m.SignalRaised)]
    assert {signal.strategy for signal in raised} == {"open", "mid"}
    assert all(signal.ts_event < plan.flatten_ns and signal.exit_at_ns <= plan.flatten_ns for signal in raised)


def test_close_strategy_when_its_window_fits_a_half_day_then_it_is_sold_at_the_flatten() -> None:
    early = {"START_TIME_CLOSE": "17:00", "CLOSE_ANALYSIS_TIME": "15"}
    plan = days.planned(HALF_DAY, days.settings(**early), closes="13:00")
    raised = [
        event
        for event in played(GENERATED, GENERATED.market(plan), plan, **early)
        if isinstance(event, m.SignalRaised) and event.strategy == "close"
    ]
    assert raised
    assert {signal.exit_at_ns for signal in raised} == {plan.flatten_ns}
    assert plan.close_ns - plan.flatten_ns == 5 * days.MINUTE


def test_positions_when_half_day_is_played_through_the_chain_then_all_are_sold_before_the_close() -> None:
    # The real half-day of GOOG, where it is there; a generated one everywhere.
    choices = [SessionChoice(date=HALF_DAY, seed="4").settings()]
    if days.LEAN.is_dir():
        recorded = SessionChoice(str(days.LEAN), HALF_DAY, "GOOG").settings()
        choices.append(recorded | {"VIX_DATA_FILE": str(days.LEAN.parent / "vix/vix-daily.csv")})
    early = {"START_TIME_CLOSE": "17:00", "CLOSE_ANALYSIS_TIME": "15", "STRAT_CLOSE_HIGH_PROXIMITY": "0.5"}
    for choice in choices:
        session = open_session(choice | LOUD | early, HomePaths(Path("unused").absolute()))
        assert session.plan.is_half_day
        found = trades(play(session).of("execution"))
        assert "close" in {trade.strategy for trade in found}
        assert not any(trade.is_open for trade in found)
        assert max(trade.left_ns for trade in found) < session.plan.close_ns
