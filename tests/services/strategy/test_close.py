"""The close strategy as playbooks: near the high, below the middle, on days with some fear in the market."""

from typing import Any

import pytest

from bus import messages as m

#: An analysis of four minutes that begins with the sixth of the session, then five minutes of signals.
SHORT = {
    "STRAT_OPEN_ENABLED": "false",
    "STRAT_CLOSE_ENABLED": "true",
    "STRAT_CLOSE_HIGH_PROXIMITY": "1",
    "STRAT_CLOSE_VIX_THRESHOLD": "15",
    "CLOSE_ANALYSIS_TIME": "4",
    "CLOSE_SIGNAL_TIME": "5",
    "CLOSE_MONITORING_TIME": "10",
}


def bar(high: float, low: float, close: float) -> tuple[int, int, int]:
    return round(high * m.MICROS), round(low * m.MICROS), round(close * m.MICROS)


#: The day's range is 90 to 110, its middle 100.
WIDE, CALM = bar(110, 90, 100), bar(103, 101, 102)
NEAR, FADES = bar(109, 104, 109), bar(102, 98, 99)


def vix(hundredths: int = 2_000, as_of: str = "2025-03-11", date: str = "2025-03-12") -> m.VixObserved:
    return m.VixObserved(
        ts_event=1, ts_init=1, session_date=date, as_of_date=as_of, vix_hundredths=hundredths, source="the test"
    )


def ready(new_day: Any, make: Any, *symbols: str, fear: m.VixObserved | None = None, **env: str) -> Any:
    """Play the morning and the analysis: a wide range, then calm at 102, where the window opened."""
    day = new_day(**(SHORT | env))
    day.plan(start_close_ns=make.OPEN + 5 * make.MINUTE)
    day.watch(*symbols)
    day.say(vix() if fear is None else fear)
    for minute in range(9):
        assert day.minute(minute, dict.fromkeys(symbols, CALM if minute >= 5 else WIDE)) == []
    return day


def kinds(events: list[m.Message]) -> list[tuple[str, str]]:
    return [(type(event).__name__, getattr(event, "rule", "")) for event in events]


def test_momentum_when_near_the_days_high_then_bought_with_all_its_numbers(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    (signal,) = day.minute(9, {"SPY": NEAR})
    end = make.OPEN + 10 * make.MINUTE
    assert signal == m.SignalRaised(
        ts_event=end,
        ts_init=end,
        signal_id="2025-03-12:close:SPY:BULLISH",
        session_date="2025-03-12",
        strategy="close",
        symbol="SPY",
        direction="BULLISH",
        instrument="SPY",
        reference_micros=109_000_000,
        trail_bps=200,
        expires_ns=end + 5_000_000_000,
        exit_at_ns=make.OPEN + 24 * make.MINUTE,
        reasons=(
            m.Reason(
                rule="near_the_high",
                value="close $109.00",
                threshold="within 1.00 % of the day's high $110.00",
                passed=True,
            ),
            m.Reason(
                rule="upper_half",
                value="close $109.00",
                threshold="above the middle of $90.00 to $110.00",
                passed=True,
            ),
            m.Reason(rule="vix", value="20.0 of 2025-03-11", threshold="at least 15.0", passed=True),
            m.Reason(rule="signal_window", value="minute of 13:39 UTC", threshold="13:39 to 13:44 UTC", passed=True),
        ),
    )


def test_fade_when_below_the_middle_and_the_windows_open_then_the_inverse_is_bought(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    (signal,) = day.minute(9, {"SPY": FADES})
    assert (signal.direction, signal.instrument) == ("BEARISH", "SH")
    below, falling, *_ = signal.reasons
    assert (below.rule, below.threshold) == (
        "below_the_middle",
        "below the middle of the day's range $90.00 to $110.00",
    )
    assert falling.threshold == "below $102.00, the open of the window 13:35 to 13:39 UTC"


@pytest.mark.parametrize(
    ("last", "direction"),
    [
        (bar(109, 104, 108.9), "BULLISH"),
        (bar(109, 104, 108.899999), None),
        (bar(120, 104, 118.8), "BULLISH"),
        (bar(120, 104, 118), None),
        (bar(102, 99, 100), None),
        (bar(102, 99, 99.999999), "BEARISH"),
        (bar(102, 80, 94), "BEARISH"),
        (bar(102, 80, 95), None),
    ],
)
def test_signal_when_the_close_is_at_a_limit_then_only_on_its_side(
    new_day: Any, make: Any, last: tuple[int, int, int], direction: str | None
) -> None:
    day = ready(new_day, make, "SPY")
    assert [event.direction for event in day.minute(9, {"SPY": last})] == ([direction] if direction else [])


def test_fade_when_the_window_opened_lower_then_none(new_day: Any, make: Any) -> None:
    day = new_day(**SHORT)
    day.plan(start_close_ns=make.OPEN + 5 * make.MINUTE)
    day.watch("SPY")
    day.say(vix())
    for minute in range(9):
        day.minute(minute, {"SPY": bar(97, 94, 95) if minute >= 5 else WIDE})
    assert day.minute(9, {"SPY": bar(98, 95, 96)}) == []
    assert kinds(day.minute(10, {"SPY": bar(96, 93, 94)})) == [("SignalRaised", "")]


def test_signal_when_the_range_is_within_the_proximity_then_the_half_decides(new_day: Any, make: Any) -> None:
    for last, direction in ((bar(101, 100, 100.9), "BULLISH"), (bar(100.5, 100, 100.2), "BEARISH")):
        day = new_day(**SHORT)
        day.plan(start_close_ns=make.OPEN)
        day.watch("SPY")
        day.say(vix())
        for minute in range(4):
            day.minute(minute, {"SPY": bar(101, 100, 100.5)})
        assert [event.direction for event in day.minute(4, {"SPY": last})] == [direction]


def test_signal_when_repeated_then_one_for_each_side(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    assert len(day.minute(9, {"SPY": NEAR})) == 1
    assert day.minute(10, {"SPY": NEAR}) == []
    assert len(day.minute(11, {"SPY": FADES})) == 1
    assert day.minute(12, {"SPY": FADES}) == []


@pytest.mark.parametrize(("minute", "is_raised"), [(8, False), (9, True), (13, True), (14, False)])
def test_signal_when_the_minute_is_outside_the_window_then_none(
    new_day: Any, make: Any, minute: int, is_raised: bool
) -> None:
    day = new_day(**SHORT)
    day.plan(start_close_ns=make.OPEN + 5 * make.MINUTE)
    day.watch("SPY")
    day.say(vix())
    for before in range(minute):
        day.minute(before, {"SPY": CALM if before >= 5 else WIDE})
    assert bool(day.minute(minute, {"SPY": NEAR})) is is_raised


@pytest.mark.parametrize("heard", [range(5, 9), range(6, 9), range(5, 5)])
def test_name_when_thin_in_the_analysis_then_it_does_not_signal(new_day: Any, make: Any, heard: range) -> None:
    day = new_day(**SHORT)
    day.plan(start_close_ns=make.OPEN + 5 * make.MINUTE)
    day.watch("SPY", "THIN")
    day.say(vix())
    for minute in range(9):
        names = ("SPY", "THIN") if minute < 5 or minute in heard else ("SPY",)
        day.minute(minute, dict.fromkeys(names, CALM if minute >= 5 else WIDE))
    assert bool(day.minute(9, {"THIN": NEAR})) is (len(heard) == 4)


# --- the volatility -----


@pytest.mark.parametrize(
    ("fear", "rule", "says"),
    [
        (vix(1_499), "vix_below_threshold", "VIX 14.99 of 2025-03-11 (the test) is below 15.0"),
        (vix(0, as_of=""), "vix_unknown", "The VIX is unknown: the test"),
        (vix(2_000, date="2025-03-11"), "vix_unknown", "The VIX is unknown: the screener has not said it"),
        (vix(2_000, as_of="2025-03-06"), "vix_too_old", "is 6 days old"),
        (vix(2_000, as_of="2025-03-12"), "vix_too_old", "is 0 days old"),
        (vix(2_000, as_of="2025-03-13"), "vix_too_old", "is -1 days old"),
    ],
)
def test_vix_when_low_unknown_or_of_another_day_then_silent_and_said_once(
    new_day: Any, make: Any, fear: m.VixObserved, rule: str, says: str
) -> None:
    day = ready(new_day, make, "SPY", fear=fear)
    (told,) = day.minute(9, {"SPY": NEAR})
    assert (told.rule, told.symbol, told.strategy) == (rule, "ALL", "close")
    assert says in told.detail
    assert day.minute(10, {"SPY": NEAR}) == []
    day.restart()
    assert day.minute(11, {"SPY": NEAR}) == []


def test_close_when_its_bounds_are_tightened_then_older_fear_and_thinner_names_do_not_count(
    new_day: Any, make: Any
) -> None:
    day = ready(lambda **env: new_day(**env, VIX_AGE_MAX="1"), make, "SPY", fear=vix(2_000, as_of="2025-03-10"))
    assert kinds(day.minute(9, {"SPY": NEAR})) == [("SignalSuppressed", "vix_too_old")]
    for least, is_raised in (("75", True), ("76", False)):
        day = new_day(**SHORT, ANALYSIS_BARS_MIN=least)
        day.plan(start_close_ns=make.OPEN + 5 * make.MINUTE)
        day.watch("SPY", "THIN")
        day.say(vix())
        for minute in range(9):
            names = ("SPY", "THIN") if minute != 8 else ("SPY",)
            day.minute(minute, dict.fromkeys(names, CALM if minute > 4 else WIDE))
        assert bool(day.minute(9, {"THIN": NEAR})) is is_raised


@pytest.mark.parametrize("fear", [vix(1_500), vix(2_000, as_of="2025-03-07")])
def test_vix_when_at_the_threshold_or_five_days_old_then_signals(new_day: Any, make: Any, fear: m.VixObserved) -> None:
    day = ready(new_day, make, "SPY", fear=fear)
    assert kinds(day.minute(9, {"SPY": NEAR})) == [("SignalRaised", "")]


def test_vix_when_said_again_then_the_first_stands(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    assert day.say(vix(1_000)) == []
    assert kinds(day.minute(9, {"SPY": NEAR})) == [("SignalRaised", "")]


# --- restarts, gaps and suppressions -----


def test_restart_when_in_the_session_then_nothing_is_raised_and_it_is_said_once(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    day.restart()
    assert kinds(day.minute(9, {"SPY": NEAR})) == [("SignalSuppressed", "bars_missed")]
    assert day.minute(10, {"SPY": NEAR}) == []


def test_gap_when_market_data_was_lost_since_the_open_then_nothing_is_raised(new_day: Any, make: Any) -> None:
    day = new_day(**SHORT)
    day.plan(start_close_ns=make.OPEN + 5 * make.MINUTE)
    day.watch("SPY")
    day.say(vix())
    for minute in range(9):
        day.step += minute == 3
        day.minute(minute, {"SPY": WIDE})
    assert kinds(day.minute(9, {"SPY": NEAR})) == [("SignalSuppressed", "bars_missed")]


def test_feed_when_it_begins_again_then_the_range_does_and_signals_stay_raised(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY", "AAA")
    assert len(day.minute(9, {"SPY": NEAR, "AAA": CALM})) == 1
    day.step = 0
    for minute in range(9):
        day.minute(minute, {"SPY": CALM, "AAA": CALM})
    (signal,) = day.minute(9, {"SPY": NEAR, "AAA": NEAR})
    assert (signal.symbol, signal.reasons[0].threshold) == ("AAA", "within 1.00 % of the day's high $109.00")


@pytest.mark.parametrize(
    ("env", "symbol", "rule"),
    [
        ({"SHORT_TYPE_CLOSE": "disabled"}, "SPY", "short_type_disabled"),
        ({}, "IBM", "no_inverse_etf"),
        ({}, "SH", "is_inverse_etf"),
    ],
)
def test_fade_when_nothing_can_be_bought_then_suppressed_once(
    new_day: Any, make: Any, env: dict[str, str], symbol: str, rule: str
) -> None:
    day = ready(new_day, make, symbol, **env)
    assert kinds(day.minute(9, {symbol: FADES})) == [("SignalSuppressed", rule)]
    assert day.minute(10, {symbol: FADES}) == []
    assert bool(day.minute(11, {symbol: NEAR})) is (rule != "is_inverse_etf")
