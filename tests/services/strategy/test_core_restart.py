"""A restarted strategy: what the journal gives back, and what fails closed."""

from typing import Any

from bus import messages as m
from services.strategy.open import NEVER_ABOVE

UP = (10_600_000, 10_500_000, 10_520_000)
DOWN = (10_000_000, 9_900_000, 9_980_000)


def names(events: list[m.Message]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_restart_when_after_the_range_then_the_same_signals_follow(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY", "QQQ")
    day.analysis("SPY", "QQQ")
    twin = new_day()
    twin.plan()
    twin.watch("SPY", "QQQ")
    twin.analysis("SPY", "QQQ")
    twin.restart()
    for minute, bars in ((15, {"SPY": UP}), (16, {"SPY": UP, "QQQ": DOWN}), (17, {"QQQ": UP})):
        assert twin.minute(minute, bars) == day.minute(minute, bars)
    assert twin.journal == day.journal
    assert len([event for event in day.journal if isinstance(event, m.SignalRaised)]) == 3


def test_restart_when_a_signal_was_raised_then_it_is_not_raised_again(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY", "IBM", "SQQQ")
    day.analysis("SPY", "IBM", "SQQQ")
    assert len(day.minute(15, {"SPY": UP, "IBM": DOWN, "SQQQ": UP})) == 3
    day.restart()
    assert day.minute(16, {"SPY": UP, "IBM": DOWN, "SQQQ": DOWN}) == []
    assert names(day.minute(17, {"SPY": DOWN})) == ["SignalRaised"]


def test_restart_when_before_the_window_then_the_day_is_whole(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    day.minute(-3, {"SPY": UP})
    day.restart()
    day.step += 5
    day.minute(-1, {"SPY": UP})
    assert day.analysis("SPY")[0].symbols == ("SPY",)


def test_restart_when_inside_the_window_then_nothing_is_raised_that_day(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    day.analysis("SPY", minutes=range(2))
    day.restart()
    # Thirteen of fifteen minutes would be dense enough, but the first two may have held the high.
    events = day.analysis("SPY", minutes=range(2, 15))
    assert names(events) == ["RangeCompleted", "SignalSuppressed"]
    assert (events[0].symbols, events[1].rule, events[1].symbol) == ((), "bars_missed", "ALL")
    assert day.minute(15, {"SPY": UP}) == []
    day.restart()
    assert day.minute(16, {"SPY": UP}) == []


def test_restart_when_down_over_the_window_end_then_nothing_is_raised_that_day(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    day.analysis("SPY", minutes=range(14))
    day.restart()
    day.step += 3
    assert names(day.minute(17, {"SPY": UP})) == ["RangeCompleted", "SignalSuppressed"]
    assert day.minute(18, {"SPY": UP}) == []


def test_gap_when_market_data_is_lost_inside_the_window_then_nothing_is_raised_that_day(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    day.analysis("SPY", minutes=range(7))
    day.step += 1
    events = day.analysis("SPY", minutes=range(7, 15))
    assert [event.rule for event in events if isinstance(event, m.SignalSuppressed)] == ["bars_missed"]


def test_gap_when_quotes_come_between_then_steps_stay_gapless(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    for minute in range(15):
        day.quote(minute)
        events = day.minute(minute, {"SPY": (10_500_000, 10_000_000, 10_200_000)})
    assert names(events) == ["RangeCompleted"]
    assert events[0].symbols == ("SPY",)


def test_gap_when_after_the_range_then_signals_go_on(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    day.analysis("SPY")
    day.step += 10
    assert names(day.minute(20, {"SPY": UP})) == ["SignalRaised"]


def test_feed_when_it_begins_again_inside_the_window_then_no_minute_counts_twice(new_day: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY", "THIN")
    day.analysis("SPY", "THIN", minutes=range(7))
    day.step = 0
    day.analysis("SPY", "THIN", minutes=range(7))
    (completed,) = day.analysis("SPY", minutes=range(7, 15))
    assert completed.symbols == ("SPY",)


def test_decide_when_called_then_the_given_state_is_unchanged(new_day: Any, make: Any) -> None:
    day = new_day()
    day.plan()
    day.watch("SPY")
    day.analysis("SPY")
    before = day.state
    highs = before.parts["open"].highs_micros.copy()
    above = before.parts["open"].bullish_above_micros.copy()
    batch = make.batch(day.step + 1, 15, {"SPY": UP})
    observed = day.core.observe(before, batch)
    first = day.core.decide(observed, batch, batch.ts_event)
    assert day.core.decide(observed, batch, batch.ts_event) == first
    assert (observed.parts["open"].bullish_above_micros == above).all()
    after = day.core.evolve(observed, first[0])
    assert (before.parts["open"].highs_micros == highs).all()
    assert after.parts["open"].bullish_above_micros.tolist() == [NEVER_ABOVE]
