"""A live session: order, gaps, restarts, silence. What its listeners hear of it."""

from live_day import (
    MINUTE,
    OPEN,
    SECOND,
    LiveDay,
    a_bar,
    a_quote,
    bars_of,
    has_ended,
    kinds,
    parts_of,
    quotes_of,
    until,
)

from bus.messages import PastBars, QuoteBatch


def test_quotes_when_they_come_fast_then_the_newest_of_each_name_is_said_every_quarter_second() -> None:
    day = LiveDay("AAA", "BBB")
    day.connect()
    day.stream.tell(a_quote("AAA", 0, 10), a_quote("BBB", 0, 20))
    day.stream.tell(a_quote("AAA", 1, 11))
    assert quotes_of(day.wait(0.25)) == [("AAA", 11), ("BBB", 20)]
    assert quotes_of(day.wait(0.25)) == []


def test_a_quote_when_older_than_the_last_said_then_it_is_left_out() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.stream.tell(a_quote("AAA", 5))
    day.wait(0.25)
    day.stream.tell(a_quote("AAA", 3, 7))
    assert quotes_of(day.wait(1)) == []


def test_steps_when_said_then_they_rise_by_one_and_above_those_of_an_earlier_start() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.wait_until(90 * SECOND)
    steps = [one.step for one in day.said]
    assert steps == list(range(steps[0], steps[0] + len(steps)))
    later = LiveDay("AAA", late_s=120)
    later.connect()
    assert later.said[0].step > steps[-1]


def test_the_feed_when_silent_then_it_says_what_time_it_is_every_second() -> None:
    day = LiveDay("AAA")
    said = day.wait(10)
    assert 9 <= len(said) <= 10
    assert all(isinstance(one, QuoteBatch) and not one.symbols for one in said)
    assert said[-1].ts_event - said[0].ts_event >= 8 * SECOND


def test_a_minute_when_every_name_has_its_bar_then_it_is_handed_on_at_once() -> None:
    day = LiveDay("AAA", "BBB")
    day.connect()
    day.wait_until(MINUTE)
    day.stream.tell(a_bar("AAA", 0), a_bar("BBB", 0), a_quote("AAA", MINUTE))
    said = day.wait(0.25)
    assert bars_of(said) == [("BarBatch", 0, ("AAA", "BBB"))]
    # What is decided on the bars must not wait for the quotes that came with them.
    assert kinds(said) == ["BarBatch", "QuoteBatch"]


def test_a_minute_when_a_name_did_not_trade_then_the_others_do_not_wait_and_it_is_closed_after_three_seconds() -> None:
    day = LiveDay("AAA", "BBB", "CCC")
    day.connect()
    day.wait_until(MINUTE)
    day.stream.tell(a_bar("AAA", 0), a_quote("BBB", MINUTE + 1))
    assert parts_of(day.wait(0.25)) == [(("AAA",), 1)]
    assert parts_of(day.wait(1.5)) == []
    day.stream.tell(a_bar("CCC", 0))
    assert parts_of(day.wait(0.25)) == [(("CCC",), 1)]
    assert parts_of(day.wait(1.5)) == [((), 0)]


def test_a_minute_when_no_name_traded_then_nothing_is_said_of_it() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.stream.tell(a_quote("AAA", MINUTE + 1), a_bar("AAA", 1))
    day.wait_until(2 * MINUTE + SECOND)
    assert bars_of(day.said) == [("BarBatch", 1, ("AAA",))]


def test_a_bar_when_it_changes_after_it_was_said_then_all_minutes_are_said_again() -> None:
    day = LiveDay("AAA", "BBB")
    day.connect()
    day.wait_until(MINUTE)
    day.stream.tell(a_bar("AAA", 0), a_quote("AAA", MINUTE + 1))
    day.wait(1)
    day.stream.tell(a_bar("AAA", 0, 101))
    day.wait(4)
    assert bars_of(day.said)[-1] == ("PastBars", 0, ("AAA",))


def test_a_minute_when_the_feed_is_mute_at_its_end_then_it_is_not_taken_for_one_without_trades() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.stream.tell(a_quote("AAA", 30 * SECOND))
    day.wait_until(MINUTE + 10 * SECOND)
    assert bars_of(day.said) == []


def test_bars_when_out_of_order_and_twice_then_each_minute_is_said_once_in_order() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.wait_until(2 * MINUTE)
    day.stream.tell(a_bar("AAA", 1), a_bar("AAA", 0), a_bar("AAA", 1))
    assert bars_of(day.wait(0.25)) == [("BarBatch", 0, ("AAA",)), ("BarBatch", 1, ("AAA",))]
    day.stream.tell(a_bar("AAA", 0))
    assert bars_of(day.wait(5)) == []


def test_bars_when_of_another_day_or_name_then_they_are_left_out() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.stream.tell(a_bar("ZZZ", 0), a_bar("AAA", -5), a_bar("AAA", 3), a_bar("AAA", 0))
    day.wait_until(MINUTE + SECOND)
    assert bars_of(day.said) == [("BarBatch", 0, ("AAA",))]


def test_a_late_bar_when_its_minute_was_handed_on_then_all_minutes_are_said_again_as_the_past() -> None:
    day = LiveDay("AAA", "BBB")
    day.connect()
    day.wait_until(MINUTE)
    day.stream.tell(a_bar("AAA", 0), a_quote("AAA", MINUTE + 1))
    day.wait(4)
    day.stream.tell(a_bar("BBB", 0))
    said = day.wait(2)
    begins = next(one for one in said if isinstance(one, PastBars))
    assert begins.begins
    assert begins.symbols == ()
    assert bars_of(said) == [("PastBars", 0, ("AAA", "BBB"))]


def test_a_gap_when_the_stream_is_lost_then_no_minute_is_handed_on_before_it_is_filled_in_order() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.stream.tell(a_quote("AAA", 30 * SECOND))
    day.wait_until(40 * SECOND)
    day.stream.tell(is_up=False)
    day.wait_until(MINUTE + 20 * SECOND)
    day.past.kept = [a_bar("AAA", 0), a_bar("AAA", 1)]
    day.past.may_answer.clear()
    day.stream.tell(a_bar("AAA", 1), life=2, is_up=True)
    day.wait_until(2 * MINUTE + 10 * SECOND)
    assert bars_of(day.said) == []
    day.past.may_answer.set()
    day.settle()
    assert bars_of(day.said) == [("BarBatch", 0, ("AAA",)), ("BarBatch", 1, ("AAA",))]
    assert day.past.asked == [(0, 1)]


def test_a_gap_when_a_minute_was_handed_on_in_it_then_the_minutes_are_said_again() -> None:
    day = LiveDay("AAA", "BBB")
    day.connect()
    # The line fails right after the end of the first minute, when one of its two bars has come.
    day.stream.tell(a_bar("AAA", 0), a_quote("AAA", MINUTE - 1))
    day.wait_until(MINUTE + 5 * SECOND)
    assert parts_of(day.said) == [(("AAA",), 1), ((), 0)]
    day.past.kept = [a_bar("AAA", 0), a_bar("BBB", 0)]
    day.stream.tell(is_up=False)
    day.wait(1)
    day.stream.tell(life=2, is_up=True)
    day.wait(4)
    day.settle()
    day.stream.tell(a_bar("BBB", 1), a_quote("AAA", 2 * MINUTE + 1))
    day.wait_until(2 * MINUTE + SECOND)
    assert bars_of(day.said)[2:] == [("PastBars", 0, ("AAA", "BBB")), ("BarBatch", 1, ("BBB",))]


def test_a_fill_when_there_is_no_answer_then_it_is_asked_again_and_nothing_is_handed_on() -> None:
    day = LiveDay("AAA", late_s=90)
    day.past.faults = 2
    day.past.kept = [a_bar("AAA", 0)]
    day.connect()
    day.listeners(7)
    assert bars_of(day.wait(1)) == []
    day.wait(3)
    day.settle()
    day.wait(1)
    assert day.past.asked == [(0, 1), (0, 1), (0, 1)]
    assert bars_of(day.said) == [("PastBars", 0, ("AAA",))]


def test_a_start_when_the_session_is_on_then_the_minutes_since_the_open_are_the_past_and_not_handed_on() -> None:
    day = LiveDay("AAA", late_s=125)
    day.past.kept = [a_bar("AAA", 0), a_bar("AAA", 1)]
    day.connect()
    assert bars_of(day.wait(1)) == []
    day.listeners(7)
    assert bars_of(day.wait(1)) == [("PastBars", 0, ("AAA",)), ("PastBars", 1, ("AAA",))]
    day.stream.tell(a_bar("AAA", 2))
    day.wait_until(3 * MINUTE + SECOND)
    assert bars_of(day.said)[2:] == [("BarBatch", 2, ("AAA",))]


def test_a_minute_when_nobody_has_heard_those_before_then_it_is_not_handed_on() -> None:
    day = LiveDay("AAA")
    day.connect(pid=0)
    day.stream.tell(a_bar("AAA", 0))
    assert bars_of(day.wait_until(MINUTE + 2 * SECOND)) == []
    day.listeners(7)
    assert bars_of(day.wait(1)) == [("BarBatch", 0, ("AAA",))]


def test_a_listener_when_started_anew_then_it_is_told_once_it_hears_the_feed() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.stream.tell(a_bar("AAA", 0))
    day.wait_until(MINUTE + 2 * SECOND)
    assert bars_of(day.said) == [("BarBatch", 0, ("AAA",))]
    # The new process has heard nothing of this feed yet: it would miss what is said now.
    day.listeners(8, step=3)
    assert bars_of(day.wait(2)) == []
    day.listeners(8)
    assert bars_of(day.wait(2)) == [("PastBars", 0, ("AAA",))]
    day.listeners(8)
    assert bars_of(day.wait(2)) == []


def test_the_end_when_the_last_minute_is_in_then_the_feed_ends_after_it() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.stream.tell(*(a_bar("AAA", minute) for minute in range(3)), a_quote("AAA", 3 * MINUTE + 1))
    day.wait_until(3 * MINUTE + 2 * SECOND)
    assert kinds(day.said)[-1] == "FeedEnded"
    assert [minute for _, minute, _ in bars_of(day.said)] == [0, 1, 2]
    assert day.said[-1].ts_event == OPEN + 3 * MINUTE


def test_the_end_when_a_gap_is_never_filled_then_the_feed_ends_a_minute_after_the_close() -> None:
    day = LiveDay("AAA")
    day.wait_until(3 * MINUTE + 50 * SECOND)
    assert not has_ended(day.said)
    day.wait(11)
    assert has_ended(day.said)


def test_a_fault_when_the_feed_is_given_up_then_it_is_told_once_and_time_goes_on() -> None:
    day = LiveDay("AAA")
    day.stream.tell(fault="Alpaca's stream refuses the keys")
    said = day.wait(3)
    assert day.faults == ["Alpaca's stream refuses the keys"]
    assert set(kinds(said)) == {"QuoteBatch"}


def test_a_name_when_it_is_held_then_its_quotes_are_asked_for_too() -> None:
    day = LiveDay("AAA")
    day.session.hold({"HELD", "AAA"})
    day.session.hold({"HELD", "MORE", "NOROOM"})
    assert day.stream.wanted == {"AAA", "HELD", "MORE"}
    assert day.stream.barred == {"AAA"}
    day.session.close()
    until(lambda: day.stream.is_closed, "end")


def test_the_remark_when_the_feed_changes_then_a_person_sees_how_it_is() -> None:
    day = LiveDay("AAA")
    day.wait(1)
    assert "no quotes come" in day.session.remark
    day.stream.tell(lag_ns=1_250_000_000)
    day.connect()
    assert day.session.remark == "market data: whole; quotes are 1.2 s behind this host's clock"
    day.stream.tell(is_up=False)
    day.wait(1)
    assert "minutes are missing" in day.session.remark


def test_a_listener_when_it_missed_something_then_all_minutes_are_said_again_and_not_too_often() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.wait_until(MINUTE)
    day.stream.tell(a_bar("AAA", 0), a_quote("AAA", MINUTE + 1))
    day.wait(6)
    day.listeners(7, holes=1)
    said = day.wait(1)
    assert bars_of(said) == [("PastBars", 0, ("AAA",))]
    day.listeners(7, holes=1)
    assert bars_of(day.wait(10)) == [], "the same hole is mended once"
    day.listeners(7, holes=2)
    assert bars_of(day.wait(1)) == [("PastBars", 0, ("AAA",))]
    day.listeners(7, holes=3)
    assert bars_of(day.wait(3)) == [], "whoever cannot keep up is not given more at once"
    assert bars_of(day.wait(3)) == [("PastBars", 0, ("AAA",))]


PUT, HELD = "AAA250321P00100000", "BBB250321P00050000"


def test_puts_when_listed_or_held_then_they_are_watched_and_their_quotes_are_said() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.session.hold({"AAA", HELD})
    day.session.list_puts([PUT])
    assert day.puts.watched == (HELD, PUT)
    assert day.stream.wanted == {"AAA"}, "an option is no share"
    day.puts.tell(a_quote(PUT, SECOND, 2))
    assert quotes_of(day.wait(0.25)) == [(PUT, 2)]
    day.session.list_puts(())
    assert day.puts.watched == (HELD,)
    day.session.close()
    assert day.puts.is_closed


def test_a_name_when_it_was_not_quoted_for_long_then_it_is_told_and_its_last_price_is_known() -> None:
    day = LiveDay("AAA", "BBB")
    day.connect()
    day.wait_until(SECOND)
    day.stream.tell(a_quote("AAA", SECOND), a_quote("BBB", SECOND, 20))
    day.wait(20)
    day.stream.tell(a_quote("AAA", 20 * SECOND, 11))
    day.wait(15)
    assert day.session.remark.endswith("no quote for over 30 s of BBB")
    assert (day.session.price_of("AAA"), day.session.price_of("CCC")) == (11_500_000, 0)


def test_what_a_stream_remarks_when_it_stands_then_people_see_it() -> None:
    day = LiveDay("AAA")
    day.connect()
    day.stream.tell(remark="no data of XYZ")
    day.wait(1)
    assert "no data of XYZ" in day.session.remark
