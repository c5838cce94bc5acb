"""A later list of a session: who joins is entered only with all minutes, who leaves is entered no more."""

from typing import Any

from msgspec.structs import astuple, replace

from bus import messages as m

LIVE = {"MARKET_DATA_SOURCE": "alpaca", "ALPACA_DATA_FEED": "iex", "MARKET_DATA_SYMBOLS": "SPY"}
MID = {
    "STRAT_OPEN_ENABLED": "false",
    "STRAT_MID_ENABLED": "true",
    "STRAT_MID_VWAP_THRESHOLD": "1",
    "STRAT_MID_BOLLINGER_PERIOD": "4",
    "STRAT_MID_BOLLINGER_WIDTH": "1",
    "STRAT_MID_ADX_PERIOD": "2",
    "STRAT_MID_ADX_MAX": "100",
    "MID_ANALYSIS_TIME": "4",
    "MID_SIGNAL_TIME": "60",
    "MID_MONITORING_TIME": "60",
}
CLOSE = {
    "STRAT_OPEN_ENABLED": "false",
    "STRAT_CLOSE_ENABLED": "true",
    "CLOSE_ANALYSIS_TIME": "4",
    "CLOSE_SIGNAL_TIME": "60",
    "STRAT_CLOSE_VIX_THRESHOLD": "10",
}
Bars = dict[str, tuple[int, int, int]]
QUIET, FALLS, RISES = (
    (10_100_000, 9_900_000, 10_000_000),
    (10_000_000, 9_400_000, 9_500_000),
    (10_600_000, 10_500_000, 10_590_000),
)


class Live:
    """A live day of one strategy; the feed has bars of every name that it was told of."""

    def __init__(self, new_day: Any, make: Any, *symbols: str, **env: str) -> None:
        self.day, self.make = new_day(**LIVE, **env), make
        self.day.step = 1_000_000
        self.day.plan(start_mid_ns=make.OPEN, start_close_ns=make.OPEN)
        self.day.watch(*symbols)
        self.past: list[Bars] = []
        self.say_again(*symbols)

    def play(self, minutes: int, bars: Bars) -> list[m.Message]:
        """Play minutes of these bars; return what was decided on the last one."""
        said: list[m.Message] = []
        for _ in range(minutes):
            said = self.day.minute(len(self.past), bars)
            self.past.append(bars)
        return said

    def list(self, *symbols: str, mode: m.ScanMode = "intraday") -> list[m.Message]:
        """Say a later list, as of the minute that was just played."""
        now_ns = self.make.OPEN + len(self.past) * self.make.MINUTE
        found: list[m.Message] = self.day.say(replace(self.make.ranked(symbols), scan_mode=mode, ts_event=now_ns))
        return found

    def say_again(self, *names: str, quiet: tuple[str, ...] = ()) -> None:
        """Say every minute again, with the bars of these names and with quiet ones of those."""
        now_ns = self.make.OPEN + len(self.past) * self.make.MINUTE - 1
        fields = m.BarBatch.__struct_fields__
        empty = m.BarBatch.of((), ts_event=now_ns, ts_init=now_ns, step=self.day.step + 1)
        begin = dict(zip(fields, astuple(empty), strict=True))
        assert self.day.market(m.PastBars(**begin, begins=True, names=(*names, *quiet))) == []
        for minute, bars in enumerate(self.past):
            said = {name: bar for name, bar in bars.items() if name in names} | dict.fromkeys(quiet, QUIET)
            batch = self.make.batch(self.day.step + 1, minute, said)
            assert self.day.market(m.PastBars(**dict(zip(fields, astuple(batch), strict=True)))) == []


def signals(events: list[m.Message]) -> list[tuple[str, str]]:
    return [(type(one).__name__, one.symbol) for one in events if isinstance(one, m.SignalRaised | m.ExitSignalled)]


def test_a_name_that_joins_when_its_minutes_were_not_said_then_it_is_not_entered_and_others_are(
    new_day: Any, make: Any
) -> None:
    live = Live(new_day, make, "AAA", **MID)
    live.play(10, {"AAA": QUIET})
    assert [type(one).__name__ for one in live.list("BBB", "AAA")] == ["CandidatesRanked"]
    assert live.day.state.watch.symbols == ("AAA", "BBB"), "rows are added, and none is moved"
    live.play(5, {"AAA": QUIET, "BBB": QUIET})
    assert signals(live.play(1, {"AAA": FALLS, "BBB": FALLS})) == [("SignalRaised", "AAA")]


def test_a_name_that_joins_when_its_minutes_were_said_then_it_is_entered_by_them_as_if_watched_all_day(
    new_day: Any, make: Any
) -> None:
    live, twin = Live(new_day, make, "AAA", **MID), Live(new_day, make, "AAA", "BBB", **MID)
    for one in (live, twin):
        one.play(10, {"AAA": QUIET, "BBB": QUIET})
    live.list("AAA", "BBB")
    live.say_again("AAA")
    assert signals(live.play(1, {"AAA": QUIET, "BBB": FALLS})) == [], "they were said without its own"
    twin.past.append(twin.past[0])
    live.past[-1] = live.past[0]
    live.say_again("AAA", "BBB")
    twin.say_again("AAA", "BBB")
    told = live.play(1, {"AAA": QUIET, "BBB": FALLS})
    assert signals(told) == [("SignalRaised", "BBB")]
    assert told == twin.play(1, {"AAA": QUIET, "BBB": FALLS})


def test_a_name_that_leaves_when_bought_then_it_is_sold_by_its_rule_and_not_bought_again(
    new_day: Any, make: Any
) -> None:
    live = Live(new_day, make, "AAA", "BBB", **MID)
    live.play(10, {"AAA": QUIET, "BBB": QUIET})
    assert signals(live.play(1, {"AAA": FALLS, "BBB": QUIET})) == [("SignalRaised", "AAA")]
    live.list("CCC")
    assert signals(live.play(1, {"AAA": QUIET, "BBB": FALLS})) == [("ExitSignalled", "AAA")], "at VWAP again"
    live.list("BBB")
    assert signals(live.play(1, {"AAA": QUIET, "BBB": FALLS})) == [], "it may have been off the feed"
    live.say_again("AAA", "BBB")
    assert signals(live.play(1, {"AAA": QUIET, "BBB": (9_600_000, 9_000_000, 9_100_000)})) == [("SignalRaised", "BBB")]


def test_a_list_when_after_hours_older_or_another_first_one_then_nobody_joins(new_day: Any, make: Any) -> None:
    live = Live(new_day, make, "AAA", **MID)
    live.play(10, {"AAA": QUIET})
    assert live.list("BBB", mode="after-hours") == []
    assert live.list("BBB", mode="pre-market") == []
    assert len(live.list("BBB")) == 1
    assert live.list("CCC") == [], "the newest list is as of the same time"


def test_the_opening_range_when_a_name_joins_after_it_then_its_own_is_measured_from_its_minutes(
    new_day: Any, make: Any
) -> None:
    live = Live(new_day, make, "AAA", OPEN_BREAKOUT_TIME="120")
    live.play(16, {"AAA": QUIET})
    live.list("AAA", "BBB", "CCC")
    assert signals(live.play(1, {"AAA": QUIET, "BBB": RISES})) == []
    live.say_again("AAA", quiet=("BBB", "CCC"))
    assert live.day.state.parts["open"].is_known
    said = live.play(1, {"AAA": QUIET, "BBB": RISES})
    assert signals(said) == [("SignalRaised", "BBB")]
    assert not [one for one in live.day.journal[1:] if isinstance(one, m.RangeCompleted) and "BBB" in one.symbols]
    live.say_again("AAA", quiet=("BBB", "CCC"))
    again = live.play(1, {"AAA": RISES, "BBB": RISES, "CCC": FALLS})
    assert signals(again) == [("SignalRaised", "AAA")], "one signal a side, over minutes that are said again"
    suppressed = [(one.symbol, one.rule) for one in again if isinstance(one, m.SignalSuppressed)]
    assert suppressed == [("CCC", "no_inverse_etf")]


def test_the_opening_range_when_a_name_joins_within_it_then_both_are_complete_at_its_end(
    new_day: Any, make: Any
) -> None:
    live = Live(new_day, make, "AAA")
    live.play(8, {"AAA": QUIET})
    live.list("AAA", "BBB")
    live.say_again("AAA", quiet=("BBB",))
    live.play(8, {"AAA": QUIET, "BBB": QUIET})
    ranges = [one for one in live.day.journal if isinstance(one, m.RangeCompleted)]
    assert [one.symbols for one in ranges] == [("AAA",)]
    assert signals(live.play(1, {"AAA": RISES, "BBB": RISES})) == [("SignalRaised", "AAA"), ("SignalRaised", "BBB")]


def test_a_restart_when_names_have_joined_then_the_journal_and_the_minutes_give_the_same_day(
    new_day: Any, make: Any
) -> None:
    live, twin = (
        Live(new_day, make, "AAA", OPEN_BREAKOUT_TIME="120"),
        Live(new_day, make, "AAA", OPEN_BREAKOUT_TIME="120"),
    )
    for one in (live, twin):
        one.play(16, {"AAA": QUIET})
        one.list("BBB", "AAA")
        one.say_again("AAA", quiet=("BBB",))
        one.play(1, {"AAA": QUIET, "BBB": RISES})
    twin.day.restart()
    assert signals(twin.play(1, {"AAA": RISES, "BBB": FALLS})) == [], "nothing is trusted before its minutes"
    live.past.append(twin.past[-1])
    live.say_again("AAA", quiet=("BBB",))
    twin.say_again("AAA", quiet=("BBB",))
    told = live.play(1, {"AAA": RISES, "BBB": RISES})
    assert signals(told) == [("SignalRaised", "AAA")]
    assert twin.play(1, {"AAA": RISES, "BBB": RISES}) == told


def test_the_days_range_when_a_name_joins_late_then_the_close_strategy_knows_all_of_it(new_day: Any, make: Any) -> None:
    live = Live(new_day, make, "AAA", **CLOSE)
    live.day.say(
        m.VixObserved(
            ts_event=1, ts_init=1, session_date=make.DATE, as_of_date="2025-03-11", vix_hundredths=2_500, source="x"
        )
    )
    live.play(6, {"AAA": QUIET})
    live.list("BBB")
    assert signals(live.play(1, {"BBB": RISES, "AAA": RISES})) == []
    live.say_again("AAA", quiet=("BBB",))
    assert signals(live.play(1, {"BBB": RISES, "AAA": RISES})) == [("SignalRaised", "BBB")], "the other one has left"
