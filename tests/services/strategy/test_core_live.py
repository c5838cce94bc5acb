"""Minutes that a live feed says again: measured, never traded on, and no name with a hole signals."""

from typing import Any

from msgspec.structs import astuple

from bus import messages as m

LIVE = {"MARKET_DATA_SOURCE": "alpaca", "ALPACA_DATA_FEED": "iex", "MARKET_DATA_SYMBOLS": "SPY"}
UP = (10_600_000, 10_500_000, 10_520_000)
MID = {"STRAT_OPEN_ENABLED": "false", "STRAT_MID_ENABLED": "true", "STRAT_MID_ADX_MAX": "100"}


def past(batch: m.BarBatch, step: int) -> m.PastBars:
    """Return a minute as it is said again."""
    names = m.BarBatch.__struct_fields__
    return m.PastBars(**dict(zip(names, astuple(batch), strict=True)) | {"step": step})


def begin(day: Any, ts_ns: int) -> list[m.Message]:
    empty = m.BarBatch.of((), ts_event=ts_ns, ts_init=ts_ns, step=day.step + 1)
    names = m.BarBatch.__struct_fields__
    return list(day.market(m.PastBars(**dict(zip(names, astuple(empty), strict=True)), begins=True)))


def say_again(day: Any, minutes: list[m.BarBatch]) -> list[m.Message]:
    """Say all these minutes again; return what follows."""
    said = begin(day, minutes[-1].ts_event)
    for batch in minutes:
        said += day.market(past(batch, day.step + 1), now_ns=minutes[-1].ts_event)
    return said


def live_day(new_day: Any, **env: str) -> Any:
    day = new_day(**LIVE, **env)
    day.step = 1_000_000
    day.plan()
    day.watch("SPY")
    begin(day, day.OPEN - 1)
    return day


def played(new_day: Any, make: Any, count: int, **env: str) -> tuple[Any, list[m.BarBatch]]:
    """Return a live day that heard so many quiet minutes, and these minutes."""
    day = live_day(new_day, **env)
    minutes = []
    for minute in range(count):
        # A little up and down: flat prices have neither bands nor a trend.
        wave = 20_000 * (minute % 5)
        minutes.append(make.batch(day.step + 1, minute, {"SPY": (10_500_000 + wave, 10_000_000, 10_200_000 + wave)}))
        day.market(minutes[-1])
    return day, minutes


def test_a_live_day_when_nothing_is_missed_then_it_signals_as_a_replay_does(new_day: Any, make: Any) -> None:
    day, _ = played(new_day, make, 15)
    names = [type(event).__name__ for event in day.minute(15, {"SPY": (10_700_000, 10_600_000, 10_650_000)})]
    assert names == ["SignalRaised"]


def test_a_restart_in_mid_session_when_the_minutes_are_said_again_then_the_measures_are_the_same(
    new_day: Any, make: Any
) -> None:
    down = (10_000_000, 9_000_000, 9_100_000)
    day, minutes = played(new_day, make, 100, **MID)
    twin, _ = played(new_day, make, 100, **MID)
    twin.restart()
    assert say_again(twin, minutes) == []
    told, of_twin = day.minute(100, {"SPY": down}), twin.minute(100, {"SPY": down})
    assert [type(event).__name__ for event in told] == ["SignalRaised"]
    assert of_twin == told


def test_a_restart_when_a_minute_comes_before_the_past_then_it_neither_signals_nor_ends_the_day(
    new_day: Any, make: Any
) -> None:
    down = {"SPY": (10_000_000, 9_000_000, 9_100_000)}
    day, minutes = played(new_day, make, 100, **MID)
    day.restart()
    assert day.minute(100, down) == []
    minutes.append(make.batch(day.step, 100, down))
    assert say_again(day, minutes) == []
    assert [type(event).__name__ for event in day.minute(101, down)] == ["SignalRaised"]


def test_the_past_when_it_holds_a_breakout_then_nothing_is_raised_on_it(new_day: Any, make: Any) -> None:
    day, minutes = played(new_day, make, 15)
    day.restart()
    minutes.append(make.batch(1, 15, {"SPY": UP}))
    assert not [event for event in say_again(day, minutes) if isinstance(event, m.SignalRaised)]


def test_the_past_when_it_has_a_hole_then_nothing_is_raised_until_it_is_said_whole(new_day: Any, make: Any) -> None:
    day, minutes = played(new_day, make, 20)
    day.restart()
    begin(day, minutes[-1].ts_event)
    for batch in minutes[:5]:
        day.market(past(batch, day.step + 1), now_ns=minutes[-1].ts_event)
    day.step += 1  # one of them is lost on the way
    for batch in minutes[6:]:
        day.market(past(batch, day.step + 1), now_ns=minutes[-1].ts_event)
    up = {"SPY": (10_900_000, 10_800_000, 10_850_000)}
    assert day.minute(20, up) == []
    assert say_again(day, minutes) == []
    assert [type(event).__name__ for event in day.minute(21, up)] == ["SignalRaised"]


def test_the_past_when_said_to_one_that_missed_nothing_then_no_minute_counts_twice(new_day: Any, make: Any) -> None:
    down = (10_000_000, 9_000_000, 9_100_000)
    day, minutes = played(new_day, make, 100, **MID)
    twin, _ = played(new_day, make, 100, **MID)
    say_again(twin, minutes)
    say_again(twin, minutes)
    assert twin.minute(100, {"SPY": down}) == day.minute(100, {"SPY": down})


def test_a_minute_when_it_comes_later_than_the_ttl_then_it_opens_no_position(new_day: Any, make: Any) -> None:
    day, _ = played(new_day, make, 15)
    late_ns = day.OPEN + 16 * day.MINUTE + 6_000_000_000
    assert day.minute(15, {"SPY": (10_700_000, 10_600_000, 10_650_000)}, now_ns=late_ns) == []


def test_a_minute_when_it_comes_in_parts_then_each_name_signals_with_its_part_and_the_last_completes_the_range(
    new_day: Any, make: Any
) -> None:
    day = new_day(**LIVE | {"MARKET_DATA_SYMBOLS": "SPY,QQQ"})
    day.step = 1_000_000
    day.plan()
    day.watch("SPY", "QQQ")
    begin(day, day.OPEN - 1)
    quiet = (10_500_000, 10_000_000, 10_200_000)
    for minute in range(15):
        assert day.market(make.batch(day.step + 1, minute, {"SPY": quiet}, parts_left=1)) == []
        assert day.market(make.batch(day.step + 1, minute, {"QQQ": quiet}, parts_left=1)) == []
        closed = day.market(make.batch(day.step + 1, minute, {}))
    assert [type(event).__name__ for event in closed] == ["RangeCompleted"]
    assert closed[0].symbols == ("SPY", "QQQ")
    first = day.market(make.batch(day.step + 1, 15, {"QQQ": UP}, parts_left=1))
    late = day.market(make.batch(day.step + 1, 15, {"SPY": UP}, parts_left=1))
    assert [(type(event).__name__, event.symbol) for event in (*first, *late)] == [
        ("SignalRaised", "QQQ"),
        ("SignalRaised", "SPY"),
    ]
    assert day.market(make.batch(day.step + 1, 15, {})) == []
