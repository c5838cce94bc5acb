"""The strategy core: windows, sides, mappings, silence. Messages in, messages out."""

from typing import Any

import pytest

from bus import messages as m

MINUTE = 60_000_000_000
UP = (10_600_000, 10_500_000, 10_520_000)
DOWN = (10_000_000, 9_900_000, 9_980_000)
INSIDE = (10_400_000, 10_100_000, 10_200_000)


def signals(events: list[m.Message]) -> list[m.SignalRaised]:
    return [event for event in events if isinstance(event, m.SignalRaised)]


def suppressed(events: list[m.Message]) -> list[tuple[str, str]]:
    return [(event.symbol, event.rule) for event in events if isinstance(event, m.SignalSuppressed)]


def ready(new_day: Any, *symbols: str, **env: str) -> Any:
    day = new_day(**env)
    day.plan()
    day.watch(*symbols)
    day.analysis(*symbols)
    return day


def test_plan_when_first_heard_then_journaled_once_and_disabled_strategies_say_so(new_day: Any) -> None:
    day = new_day()
    events = day.plan()
    assert isinstance(events[0], m.SessionPlanned)
    assert [(e.strategy, e.rule) for e in events[1:]] == [
        ("mid", "strategy_disabled"),
        ("close", "strategy_disabled"),
    ]
    assert day.plan() == []


def test_range_when_window_ends_then_completed_with_highs_and_lows(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    for minute in range(14):
        assert day.minute(minute, {"SPY": (10_000_000 + minute, 9_000_000 - minute, 9_500_000)}) == []
    (completed,) = day.minute(14, {"SPY": (10_000_014, 8_999_986, 9_500_000)})
    assert (completed.symbols, completed.highs_micros, completed.lows_micros) == (
        ("SPY",),
        (10_000_014,),
        (8_999_986,),
    )


def test_range_when_bars_are_outside_the_window_then_they_do_not_count(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    day.minute(-1, {"SPY": (99_000_000, 1_000_000, 10_000_000)})
    (completed,) = day.analysis("SPY")
    assert completed.highs_micros == (10_500_000,)
    day.minute(15, {"SPY": (99_000_000, 10_100_000, 10_200_000)})
    # A later high does not widen the range.
    (signal,) = signals(day.minute(16, {"SPY": UP}))
    assert "$10.50" in signal.reasons[0].threshold


def test_bullish_breakout_when_closed_above_buffer_then_signal_carries_the_whole_plan(new_day: Any, make: Any) -> None:
    day = ready(new_day, "SPY")
    (signal,) = signals(day.minute(15, {"SPY": UP}))
    bar_end = make.OPEN + 16 * MINUTE
    assert signal == m.SignalRaised(
        ts_event=bar_end,
        ts_init=bar_end,
        signal_id="2025-03-12:open:SPY:BULLISH",
        session_date="2025-03-12",
        strategy="open",
        symbol="SPY",
        direction="BULLISH",
        instrument="SPY",
        reference_micros=10_520_000,
        trail_bps=200,
        expires_ns=bar_end + 5_000_000_000,
        exit_at_ns=make.OPEN + (15 + 120 + 240) * MINUTE,
        reasons=(
            m.Reason(
                rule="close_above_range_high",
                value="close $10.52",
                threshold="above $10.5105 (range high $10.50 + 0.10 %)",
                passed=True,
            ),
            m.Reason(
                rule="opening_range",
                value="high $10.50, low $10.00",
                threshold="complete over 15 minutes, 13:30 to 13:45 UTC",
                passed=True,
            ),
            m.Reason(
                rule="breakout_window",
                value="minute of 13:45 UTC",
                threshold="13:45 to 15:45 UTC",
                passed=True,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("buffer", "close", "direction"),
    [
        ("0.10", 10_510_500, None),
        ("0.10", 10_510_501, "BULLISH"),
        ("0.10", 9_990_000, None),
        ("0.10", 9_989_999, "BEARISH"),
        ("0", 10_500_000, None),
        ("0", 10_500_001, "BULLISH"),
        ("0", 10_000_000, None),
        ("0", 9_999_999, "BEARISH"),
        ("5", 11_025_000, None),
        ("5", 11_025_001, "BULLISH"),
        ("0.0001", 10_500_010, None),
        ("0.0001", 10_500_011, "BULLISH"),
    ],
)
def test_breakout_when_close_is_at_the_buffer_then_only_beyond_it_counts(
    new_day: Any, buffer: str, close: int, direction: str | None
) -> None:
    day = ready(new_day, "SPY", OPEN_BREAKOUT_BUFFER=buffer)
    found = signals(day.minute(15, {"SPY": (max(close, 10_300_000), min(close, 10_300_000), close)}))
    assert [signal.direction for signal in found] == ([direction] if direction else [])


@pytest.mark.parametrize(("minute", "is_raised"), [(15, True), (16, True), (134, True), (135, False), (300, False)])
def test_breakout_when_minute_is_outside_the_window_then_no_signal(new_day: Any, minute: int, is_raised: bool) -> None:
    day = ready(new_day, "SPY")
    assert bool(signals(day.minute(minute, {"SPY": UP}))) is is_raised


def test_breakout_when_repeated_then_one_signal_for_each_side(new_day: Any) -> None:
    day = ready(new_day, "SPY")
    assert len(signals(day.minute(15, {"SPY": UP}))) == 1
    assert day.minute(16, {"SPY": UP}) == []
    (bearish,) = signals(day.minute(17, {"SPY": DOWN}))
    assert (bearish.direction, bearish.instrument, bearish.reference_micros) == ("BEARISH", "SH", 0)
    assert day.minute(18, {"SPY": DOWN}) == []
    assert day.minute(19, {"SPY": UP}) == []


def test_bearish_breakout_when_no_inverse_etf_then_suppressed_once(new_day: Any) -> None:
    day = ready(new_day, "IBM")
    assert suppressed(day.minute(15, {"IBM": DOWN})) == [("IBM", "no_inverse_etf")]
    assert day.minute(16, {"IBM": DOWN}) == []
    assert len(signals(day.minute(17, {"IBM": UP}))) == 1


def test_bearish_breakout_when_short_type_is_disabled_then_suppressed_once(new_day: Any) -> None:
    day = ready(new_day, "SPY", SHORT_TYPE_OPEN="disabled")
    assert suppressed(day.minute(15, {"SPY": DOWN})) == [("SPY", "short_type_disabled")]
    assert day.minute(16, {"SPY": DOWN}) == []
    assert len(signals(day.minute(17, {"SPY": UP}))) == 1


def test_breakout_when_name_is_an_inverse_etf_then_suppressed_once_for_both_sides(new_day: Any) -> None:
    day = ready(new_day, "SQQQ")
    assert suppressed(day.minute(15, {"SQQQ": UP})) == [("SQQQ", "is_inverse_etf")]
    assert day.minute(16, {"SQQQ": DOWN}) == []


def test_signals_when_many_break_out_then_in_rank_order_whatever_the_bars_order(new_day: Any) -> None:
    day = ready(new_day, "QQQ", "IBM", "AAPL", "SPY")
    events = day.minute(15, {"AAPL": UP, "SPY": DOWN, "NOTWATCHED": UP, "IBM": INSIDE, "QQQ": UP})
    assert [signal.symbol for signal in signals(events)] == ["QQQ", "AAPL", "SPY"]


@pytest.mark.parametrize(
    ("heard", "is_complete"),
    [
        (range(15), True),
        (range(12), True),
        (range(11), False),
        (range(3, 15), True),
        (range(4, 15), False),
        ([0, *range(4, 15)], True),
    ],
)
def test_range_when_minutes_are_missing_then_complete_from_eighty_percent(
    new_day: Any, heard: Any, is_complete: bool
) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY", "THIN")
    completed = None
    for minute in range(15):
        names = ("SPY", "THIN") if minute in heard else ("SPY",)
        said = day.minute(minute, dict.fromkeys(names, (10_500_000, 10_000_000, 10_200_000)))
        completed = said[0] if said else None
    assert completed.symbols == (("SPY", "THIN") if is_complete else ("SPY",))
    assert len(signals(day.minute(15, {"THIN": UP}))) == int(is_complete)


@pytest.mark.parametrize(
    ("changes", "heard", "is_complete"),
    [
        ({"ANALYSIS_BARS_MIN": "100"}, range(14), False),
        ({"ANALYSIS_BARS_MIN": "50"}, range(8), True),
        ({"OPEN_FIRST_BAR_TIME": "1"}, range(1, 15), False),
        ({"OPEN_FIRST_BAR_TIME": "2"}, range(1, 15), True),
    ],
)
def test_range_when_the_settings_ask_for_more_or_fewer_minutes_then_complete_by_them(
    new_day: Any, changes: dict[str, str], heard: range, is_complete: bool
) -> None:
    day = new_day(**changes)
    day.plan()
    day.watch("SPY", "THIN")
    said: list[Any] = []
    for minute in range(15):
        names = ("SPY", "THIN") if minute in heard else ("SPY",)
        said = day.minute(minute, dict.fromkeys(names, (10_500_000, 10_000_000, 10_200_000)))
    assert said[0].symbols == (("SPY", "THIN") if is_complete else ("SPY",))


def test_range_when_name_was_silent_in_the_first_five_minutes_then_incomplete(new_day: Any) -> None:
    day = new_day(OPEN_ANALYSIS_TIME="30")
    day.plan()
    day.watch("LATE", "SPY")
    said = []
    for minute in range(30):
        names = ("LATE", "SPY") if minute >= 5 else ("SPY",)
        said = day.minute(minute, dict.fromkeys(names, (10_500_000, 10_000_000, 10_200_000)))
    assert said[0].symbols == ("SPY",)


@pytest.mark.parametrize("bar", [(10_500_000, 0, 10_200_000), (10_000_000, 10_500_000, 10_200_000)])
def test_range_when_a_bar_is_broken_then_it_counts_as_missing(new_day: Any, bar: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    for minute in range(4):
        day.minute(minute, {"SPY": bar})
    (completed,) = day.analysis("SPY", minutes=range(4, 15))
    assert completed.symbols == ()


def test_breakout_when_close_is_zero_then_it_is_no_price(new_day: Any) -> None:
    day = ready(new_day, "SPY")
    assert day.minute(15, {"SPY": (0, 0, 0)}) == []


def test_range_when_no_bar_comes_at_the_window_end_then_the_next_batch_completes_and_may_signal(
    new_day: Any,
) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    day.analysis("SPY", minutes=range(14))
    events = day.minute(17, {"SPY": UP})
    assert [type(event).__name__ for event in events] == ["RangeCompleted", "SignalRaised"]


def test_day_when_not_a_trading_day_then_one_reason_and_no_signals(new_day: Any) -> None:
    day = new_day()
    events = day.plan(is_trading_day=False)
    assert suppressed(events) == [("ALL", "not_a_trading_day")]
    day.watch("SPY")
    assert day.analysis("SPY") == []
    assert day.minute(15, {"SPY": UP}) == []


def test_day_when_open_strategy_is_disabled_then_said_and_no_signals(new_day: Any) -> None:
    day = new_day(STRAT_OPEN_ENABLED="false")
    events = day.plan()
    assert suppressed(events) == [("ALL", "strategy_disabled")] * 3
    assert events[1].direction == "BULLISH"
    assert events[1].detail == "STRAT_OPEN_ENABLED is false"
    day.watch("SPY")
    assert day.analysis("SPY") == []
    assert day.minute(15, {"SPY": UP}) == []


def test_day_when_one_strategy_overrides_the_others_then_it_is_said_and_it_alone_runs(new_day: Any) -> None:
    day = new_day(STRAT_MID_ENABLED="true", STRATEGY_OVERRIDE="mid")
    assert [(e.strategy, e.rule) for e in day.plan()[1:]] == [
        ("open", "strategy_override"),
        ("close", "strategy_disabled"),
    ]
    day.watch("SPY")
    assert day.analysis("SPY") == []
    assert day.minute(15, {"SPY": UP}) == []


def test_day_when_the_sequence_leaves_a_strategy_out_then_it_is_said_and_it_does_not_run(new_day: Any) -> None:
    day = new_day(STRATEGY_SEQUENCE="close,mid")
    assert [(e.strategy, e.rule) for e in day.plan()[1:]] == [
        ("close", "strategy_disabled"),
        ("mid", "strategy_disabled"),
        ("open", "not_in_sequence"),
    ]


@pytest.mark.parametrize("minutes", [-30, 375])
def test_day_when_the_range_is_outside_the_session_then_silent(new_day: Any, make: Any, minutes: int) -> None:
    day = new_day()
    events = day.plan(start_open_ns=make.OPEN + minutes * MINUTE)
    assert ("ALL", "window_outside_session") in suppressed(events)
    day.watch("SPY")
    assert day.analysis("SPY", minutes=range(minutes, minutes + 16)) == []


def test_exit_when_half_day_then_at_the_flatten_and_no_signal_after_it(new_day: Any, make: Any) -> None:
    day = new_day()
    flatten = make.OPEN + 100 * MINUTE
    day.plan(is_half_day=True, close_ns=make.OPEN + 105 * MINUTE, flatten_ns=flatten)
    day.watch("SPY", "QQQ")
    day.analysis("SPY", "QQQ")
    (signal,) = signals(day.minute(98, {"SPY": UP, "QQQ": INSIDE}))
    assert signal.exit_at_ns == flatten
    assert signal.reasons[2].threshold == "13:45 to 15:10 UTC"
    assert day.minute(99, {"QQQ": UP}) == []


def test_exit_when_monitoring_is_zero_then_the_last_minute_raises_nothing(new_day: Any, make: Any) -> None:
    day = ready(new_day, "SPY", "QQQ", OPEN_MONITORING_TIME="0")
    (signal,) = signals(day.minute(133, {"SPY": UP, "QQQ": INSIDE}))
    assert signal.exit_at_ns == make.OPEN + 135 * MINUTE
    assert day.minute(134, {"QQQ": UP}) == []


def test_windows_when_the_plan_moves_the_start_then_they_follow_it(new_day: Any, make: Any) -> None:
    day = new_day()
    day.plan(start_open_ns=make.OPEN + 60 * MINUTE)
    day.watch("SPY")
    assert day.analysis("SPY", minutes=range(60)) == []
    (completed,) = day.analysis("SPY", minutes=range(60, 75))
    assert completed.symbols == ("SPY",)


def test_minute_when_heard_too_late_then_no_signal(new_day: Any, make: Any) -> None:
    day = ready(new_day, "SPY", "QQQ")
    end = make.OPEN + 16 * MINUTE
    assert day.minute(15, {"SPY": UP}, now_ns=end + 5_000_000_001) == []
    assert len(signals(day.minute(16, {"QQQ": UP}, now_ns=end + MINUTE + 5_000_000_000))) == 1


def test_minute_when_delivered_again_or_out_of_order_then_ignored(new_day: Any, make: Any) -> None:
    day = ready(new_day, "SPY", "QQQ")
    first = make.batch(day.step + 1, 16, {"SPY": UP, "QQQ": INSIDE})
    assert len(signals(day.market(first))) == 1
    assert day.market(first) == []
    assert day.market(make.batch(day.step + 1, 15, {"QQQ": UP})) == []


def test_bars_when_they_overtake_plan_and_watch_list_then_they_are_kept(new_day: Any) -> None:
    day = new_day()
    day.analysis("SPY", minutes=range(3))
    day.plan()
    day.analysis("SPY", minutes=range(3, 6))
    day.watch("SPY")
    (completed,) = day.analysis("SPY", minutes=range(6, 15))
    assert completed.symbols == ("SPY",)
    # Three of fifteen may be missing: had the first six been dropped, the name would be incomplete.


def test_bars_when_too_many_wait_for_the_watch_list_then_the_day_is_void(new_day: Any) -> None:
    day = new_day(OPEN_ANALYSIS_TIME="40")
    day.plan()
    day.analysis("SPY", minutes=range(31))
    day.watch("SPY")
    events = day.analysis("SPY", minutes=range(31, 40))
    assert events[0].symbols == ()
    assert suppressed(events) == [("ALL", "bars_missed")]


def test_watch_list_when_a_second_comes_then_the_first_stands(new_day: Any) -> None:
    day = new_day()
    day.plan()
    assert len(day.watch("SPY")) == 1
    assert day.watch("QQQ") == []
    assert day.analysis("SPY", "QQQ")[0].symbols == ("SPY",)


def test_watch_list_when_of_another_day_then_nothing_runs(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY", date="2025-03-11")
    assert day.analysis("SPY") == []


def test_watch_list_when_it_names_a_symbol_twice_or_nobody_then_it_holds(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY", "QQQ", "SPY")
    assert day.analysis("SPY", "QQQ")[0].symbols == ("SPY", "QQQ")
    empty = new_day()
    empty.plan()
    empty.watch()
    assert empty.analysis("SPY")[0].symbols == ()


def test_day_when_the_next_one_is_planned_then_ranges_and_sides_begin_again(new_day: Any, make: Any) -> None:
    day = ready(new_day, "SPY")
    day.minute(15, {"SPY": UP})
    shift = 24 * 60
    day.plan(
        session_date="2025-03-13",
        open_ns=make.OPEN + shift * MINUTE,
        start_open_ns=make.OPEN + shift * MINUTE,
        flatten_ns=make.OPEN + (shift + 385) * MINUTE,
    )
    day.watch("QQQ", "SPY", date="2025-03-13")
    day.step = 0
    (completed,) = day.analysis("QQQ", "SPY", minutes=range(shift, shift + 15))
    assert completed.session_date == "2025-03-13"
    (signal,) = signals(day.minute(shift + 15, {"SPY": UP}))
    assert signal.signal_id == "2025-03-13:open:SPY:BULLISH"


def test_name_all_when_the_session_was_silenced_for_another_strategy_then_allstate_still_signals(
    new_day: Any,
) -> None:
    day = ready(new_day, "ALL")
    assert len(signals(day.minute(15, {"ALL": UP}))) == 1


def test_halt_when_heard_then_nothing_changes_here(new_day: Any, make: Any) -> None:
    day = ready(new_day, "SPY")
    halt = m.HaltRaised(ts_event=make.OPEN, ts_init=make.OPEN, counter=1, source="watchdog", rule="kill", detail="test")
    assert day.say(halt) == []
    assert len(signals(day.minute(15, {"SPY": UP}))) == 1


def test_core_when_asked_to_settle_or_show_then_it_has_nothing_to_add(new_day: Any, make: Any) -> None:
    day = ready(new_day, "SPY")
    assert list(day.core.settle(day.state, make.OPEN)) == []
    assert list(day.core.snapshot(day.state, make.OPEN)) == []


def test_range_when_a_minute_comes_in_two_messages_then_complete_with_the_second(new_day: Any, make: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("AAA", "BBB")
    day.analysis("AAA", "BBB", minutes=range(14))
    first = make.batch(day.step + 1, 14, {"AAA": (100 * m.MICROS,) * 3}, parts_left=1)
    last = make.batch(day.step + 2, 14, {"BBB": (999 * m.MICROS,) * 3})
    assert day.market(first) == []
    (completed,) = day.market(last)
    assert isinstance(completed, m.RangeCompleted)
    assert dict(zip(completed.symbols, completed.highs_micros, strict=True))["BBB"] == 999 * m.MICROS
