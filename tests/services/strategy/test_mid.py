"""The mid strategy as playbooks: far from VWAP, beyond the band, no trend; and the way back."""

from typing import Any

import pytest

from bus import messages as m

#: Short periods, so that a case fits a few minutes: bands of four closes, one deviation wide, an ADX of two moves.
SHORT = {
    "STRAT_OPEN_ENABLED": "false",
    "STRAT_MID_ENABLED": "true",
    "STRAT_MID_VWAP_THRESHOLD": "1",
    "STRAT_MID_BOLLINGER_PERIOD": "4",
    "STRAT_MID_BOLLINGER_WIDTH": "1",
    "STRAT_MID_ADX_PERIOD": "2",
    "STRAT_MID_ADX_MAX": "60",
    "STRAT_MID_STOP_ATR": "1",
    "TRAILING_STOP": "5",
    "MID_ANALYSIS_TIME": "4",
    "MID_SIGNAL_TIME": "10",
    "MID_MONITORING_TIME": "6",
}


def bar(high: float, low: float, close: float) -> tuple[int, int, int]:
    return round(high * m.MICROS), round(low * m.MICROS), round(close * m.MICROS)


STILL, FALLS, JUMPS = bar(101, 99, 100), bar(100, 96, 97), bar(104, 100, 103)


def ready(new_day: Any, make: Any, *symbols: str, plan: dict[str, Any] | None = None, **env: str) -> Any:
    """Play the four minutes of the analysis: every name stands still."""
    day = new_day(**(SHORT | env))
    day.plan(**({"start_mid_ns": make.OPEN} | (plan or {})))
    day.watch(*symbols)
    for minute in range(4):
        assert day.minute(minute, dict.fromkeys(symbols, STILL)) == []
    return day


def kinds(events: list[m.Message]) -> list[tuple[str, str]]:
    return [(type(event).__name__, getattr(event, "rule", "")) for event in events]


def test_signal_when_a_name_falls_below_vwap_and_band_then_bought_with_all_its_numbers(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    (signal,) = day.minute(4, {"SPY": FALLS})
    bar_end = make.OPEN + 5 * make.MINUTE
    assert signal == m.SignalRaised(
        ts_event=bar_end,
        ts_init=bar_end,
        signal_id="2025-03-12:mid:SPY:BULLISH",
        session_date="2025-03-12",
        strategy="mid",
        symbol="SPY",
        direction="BULLISH",
        instrument="SPY",
        reference_micros=97_000_000,
        # The average true range is 3 dollars, 3.0928 % of 97.
        trail_bps=310,
        expires_ns=bar_end + 5_000_000_000,
        exit_at_ns=make.OPEN + 20 * make.MINUTE,
        reasons=(
            m.Reason(
                rule="close_below_vwap",
                value="close $97.00, 2.545 % below VWAP $99.533333",
                threshold="at least 1.00 % below",
                passed=True,
            ),
            m.Reason(
                rule="bollinger_band",
                value="close $97.00",
                threshold="at or below $97.950962 (band of 4 minutes, 1.0 wide)",
                passed=True,
            ),
            m.Reason(rule="trend", value="ADX 50.0 over 2 minutes", threshold="below 60.0", passed=True),
            m.Reason(rule="signal_window", value="minute of 13:34 UTC", threshold="13:34 to 13:44 UTC", passed=True),
            m.Reason(
                rule="exit_plan",
                value="at VWAP, which is $99.533333 now and moves on",
                threshold="or at the stop, or at 13:50 UTC",
                passed=True,
            ),
        ),
    )


def test_signal_when_a_name_jumps_above_then_its_inverse_is_bought_and_its_way_back_is_down(
    new_day: Any, make: Any
) -> None:
    day = ready(new_day, make, "SPY")
    (signal,) = day.minute(4, {"SPY": JUMPS})
    assert (signal.direction, signal.instrument, signal.leverage) == ("BEARISH", "SH", 1)
    assert day.minute(5, {"SPY": bar(103, 101, 102)}) == []
    (leaves,) = day.minute(6, {"SPY": bar(102, 100, 100)})
    assert isinstance(leaves, m.ExitSignalled)
    assert (leaves.signal_id, leaves.direction) == (signal.signal_id, "BEARISH")
    assert "back at VWAP: close $100.00" in leaves.detail


def test_exit_when_the_name_is_back_at_the_moving_vwap_then_said_once(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    day.minute(4, {"SPY": FALLS})
    # The average has fallen with the name, so less than the way back to 99.53 is enough.
    assert day.minute(5, {"SPY": bar(99, 97, 98.9)}) == []
    (leaves,) = day.minute(6, {"SPY": bar(99.5, 99, 99.4)})
    end = make.OPEN + 7 * make.MINUTE
    assert leaves == m.ExitSignalled(
        ts_event=end,
        ts_init=end,
        signal_id="2025-03-12:mid:SPY:BULLISH",
        session_date="2025-03-12",
        strategy="mid",
        symbol="SPY",
        direction="BULLISH",
        detail="back at VWAP: close $99.40, VWAP $99.32381",
        reasons=(
            m.Reason(rule="back_at_vwap", value="close $99.40", threshold="at or above VWAP $99.32381", passed=True),
        ),
    )
    assert day.minute(7, {"SPY": STILL}) == []
    assert day.minute(8, {"SPY": FALLS}) == []


def test_exit_when_the_position_is_sold_by_time_anyway_then_nothing_is_said(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    day.minute(4, {"SPY": FALLS})
    # The minute that ends at the planned exit says nothing: the exit is due by then.
    assert day.minute(19, {"SPY": STILL}) == []
    assert day.minute(20, {"SPY": STILL}) == []


@pytest.mark.parametrize(
    ("change", "last"),
    [
        ({"STRAT_MID_VWAP_THRESHOLD": "2.6"}, FALLS),
        ({"STRAT_MID_BOLLINGER_WIDTH": "1.8"}, FALLS),
        ({}, bar(101, 98, 99.2)),
        ({"STRAT_MID_ADX_PERIOD": "3"}, FALLS),
        ({"STRAT_MID_BOLLINGER_PERIOD": "6"}, FALLS),
    ],
    ids=["not far enough", "inside the band", "near", "ADX not known yet", "bands not known yet"],
)
def test_signal_when_one_condition_is_missing_then_none(
    new_day: Any, make: Any, change: dict[str, str], last: tuple[int, int, int]
) -> None:
    day = ready(new_day, make, "SPY", **change)
    assert day.minute(4, {"SPY": last}) == []


def test_signal_when_the_trend_is_too_strong_then_said_once_and_raised_when_it_is_over(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY", STRAT_MID_ADX_MAX="50")
    (told,) = day.minute(4, {"SPY": FALLS})
    assert (told.rule, told.direction, told.symbol) == ("strong_trend", "BULLISH", "SPY")
    assert told.detail == (
        "ADX 50.0 is not below 50.0: close $97.00, 2.545 % below VWAP $99.533333, at least 1.00 % below"
    )
    assert day.minute(5, {"SPY": bar(97, 94, 95)}) == []
    # The trend turns: up by 3 and down again, the ADX falls, and the name is still far below.
    day.minute(6, {"SPY": bar(100, 95, 96)})
    found = [event for minute in range(7, 13) for event in day.minute(minute, {"SPY": bar(97, 95 - minute % 2, 94)})]
    assert kinds(found) == [("SignalRaised", "")]


@pytest.mark.parametrize(
    ("env", "symbol", "rule"),
    [
        ({"SHORT_TYPE_MID": "disabled"}, "SPY", "short_type_disabled"),
        ({"SHORT_TYPE_MID": "LongPut"}, "SPY", "no_chain"),
        ({}, "IBM", "no_inverse_etf"),
        ({}, "SOXX", "no_inverse_etf"),
        ({}, "SH", "is_inverse_etf"),
    ],
)
def test_bearish_when_nothing_can_be_bought_then_suppressed_once_with_the_numbers(
    new_day: Any, make: Any, env: dict[str, str], symbol: str, rule: str
) -> None:
    day = ready(new_day, make, symbol, **env)
    (told,) = day.minute(4, {symbol: JUMPS})
    assert (told.rule, told.strategy) == (rule, "mid")
    assert "close $103.00" in told.detail
    assert day.minute(5, {symbol: JUMPS}) == []
    # Nothing was bought, so nothing has to come back.
    assert day.minute(6, {symbol: STILL}) == []


def test_bearish_when_no_fund_is_within_the_leverage_then_suppressed_in_words(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SOXX", MAX_INVERSE_LEVERAGE="2")
    (event,) = day.minute(4, {"SOXX": JUMPS})
    assert "no fund of -1x to -2x is known for SOXX" in event.detail


@pytest.mark.parametrize(("widest", "trail"), [("5", 876), ("2", 600), ("20", 876)])
def test_bearish_when_leverage_is_allowed_then_the_stop_is_as_much_wider(
    new_day: Any, make: Any, widest: str, trail: int
) -> None:
    day = ready(new_day, make, "SOXX", MAX_INVERSE_LEVERAGE="3", TRAILING_STOP=widest)
    (event,) = day.minute(4, {"SOXX": JUMPS})
    # Three times the average range of 292 bps; TRAILING_STOP bounds the name's own stop, before it is widened.
    assert (event.instrument, event.trail_bps, event.leverage) == ("SOXS", trail, 3)
    assert event.reasons[-1] == m.Reason(rule="inverse_leverage", value="3x", threshold="at most 3x", passed=True)


def test_stop_when_the_range_is_tiny_then_never_nearer_than_a_tenth_of_a_percent(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY", STRAT_MID_STOP_ATR="0.1")
    (signal,) = day.minute(4, {"SPY": bar(100, 96, 97)})
    assert signal.trail_bps == 31
    day = new_day(**(SHORT | {"STRAT_MID_STOP_ATR": "0.1", "STRAT_MID_VWAP_THRESHOLD": "0.01"}))
    day.plan(start_mid_ns=make.OPEN)
    day.watch("SPY")
    for minute in range(4):
        day.minute(minute, {"SPY": bar(100, 100, 100)})
    (signal,) = day.minute(4, {"SPY": bar(100, 99.9, 99.9)})
    assert signal.trail_bps == 10


@pytest.mark.parametrize(("minute", "is_raised"), [(3, False), (4, True), (13, True), (14, False)])
def test_signal_when_the_minute_is_outside_the_window_then_none(
    new_day: Any, make: Any, minute: int, is_raised: bool
) -> None:
    day = new_day(**SHORT)
    day.plan(start_mid_ns=make.OPEN)
    day.watch("SPY")
    for before in range(-5, minute):
        day.minute(before, {"SPY": STILL})
    assert bool(day.minute(minute, {"SPY": FALLS})) is is_raised


def test_indicators_when_the_analysis_begins_later_then_they_have_warmed_up_since_the_open(
    new_day: Any, make: Any
) -> None:
    day = ready(new_day, make, "SPY", plan={"start_mid_ns": make.OPEN}, MID_ANALYSIS_TIME="4")
    later = new_day(**(SHORT | {"MID_ANALYSIS_TIME": "1"}))
    later.plan(start_mid_ns=make.OPEN + 3 * make.MINUTE)
    later.watch("SPY")
    for minute in range(4):
        later.minute(minute, {"SPY": STILL})
    (first,), (second,) = day.minute(4, {"SPY": FALLS}), later.minute(4, {"SPY": FALLS})
    assert first.reasons[:3] == second.reasons[:3]


def test_minute_when_in_two_messages_then_each_name_is_judged_once(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "AAA", "BBB")
    first = make.batch(day.step + 1, 4, {"BBB": FALLS}, parts_left=1)
    last = make.batch(day.step + 2, 4, {"AAA": FALLS})
    assert [event.symbol for event in (*day.market(first), *day.market(last))] == ["BBB", "AAA"]


def test_signal_when_both_sides_come_then_one_each(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY", STRAT_MID_ADX_MAX="100")
    assert kinds(day.minute(4, {"SPY": FALLS})) == [("SignalRaised", "")]
    said = day.minute(5, {"SPY": bar(106, 97, 105)})
    # It is back at its VWAP and far above it in the same minute: the exit comes first.
    assert kinds(said) == [("ExitSignalled", ""), ("SignalRaised", "")]
    assert [event.direction for event in said] == ["BULLISH", "BEARISH"]
    assert day.minute(6, {"SPY": bar(106, 105, 106)}) == []


# --- restarts and gaps -----


def test_restart_when_in_the_session_then_nothing_is_raised_and_it_is_said_once(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    day.restart()
    (told,) = day.minute(4, {"SPY": FALLS})
    assert (told.rule, told.symbol, told.strategy) == ("bars_missed", "ALL", "mid")
    assert "neither VWAP nor ADX can be trusted today" in told.detail
    assert day.minute(5, {"SPY": FALLS}) == []
    day.restart()
    assert day.minute(6, {"SPY": FALLS}) == []


def test_restart_when_a_position_waits_for_its_way_back_then_time_or_stop_sell_it(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    day.minute(4, {"SPY": FALLS})
    day.restart()
    assert kinds(day.minute(5, {"SPY": STILL})) == [("SignalSuppressed", "bars_missed")]
    assert day.minute(6, {"SPY": STILL}) == []


def test_restart_when_before_the_open_then_the_day_is_whole(new_day: Any, make: Any) -> None:
    day = new_day(**SHORT)
    day.plan(start_mid_ns=make.OPEN)
    day.watch("SPY")
    day.minute(-3, {"SPY": STILL})
    day.restart()
    for minute in range(-1, 4):
        day.minute(minute, {"SPY": STILL})
    assert kinds(day.minute(4, {"SPY": FALLS})) == [("SignalRaised", "")]


def test_gap_when_market_data_is_lost_then_nothing_more_is_raised(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    day.step += 1
    assert kinds(day.minute(4, {"SPY": FALLS})) == [("SignalSuppressed", "bars_missed")]


def test_feed_when_it_begins_again_then_no_minute_counts_twice_and_signals_stay_raised(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY", "AAA")
    assert len(day.minute(4, {"SPY": FALLS, "AAA": STILL})) == 1
    day.step = 0
    for minute in range(4):
        day.minute(minute, {"SPY": STILL, "AAA": STILL})
    (signal,) = day.minute(4, {"SPY": FALLS, "AAA": FALLS})
    assert signal.symbol == "AAA"
    assert "VWAP $99.533333" in signal.reasons[0].value


def test_gap_when_the_window_is_over_then_nothing_needs_to_be_said(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "SPY")
    day.restart()
    assert day.minute(25, {"SPY": FALLS}) == []


def test_allstate_when_it_signals_then_it_is_not_taken_for_all_names(new_day: Any, make: Any) -> None:
    day = ready(new_day, make, "ALL", "SPY", SHORT_TYPE_MID="disabled")
    assert kinds(day.minute(4, {"ALL": JUMPS, "SPY": STILL})) == [("SignalSuppressed", "short_type_disabled")]
    assert kinds(day.minute(5, {"ALL": JUMPS, "SPY": FALLS})) == [("SignalRaised", "")]
