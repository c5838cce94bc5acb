"""Names that a later list brings into a live session: room, whole minutes, and what listeners hear of it."""

import logging

import pytest
from live_day import MINUTE, OPEN, SECOND, LiveDay, a_bar, a_quote, bars_of, kinds

from bus.messages import MarketMessage, PastBars
from services.screener.live_names import Watched


def a_list(*names: str, room: int = 0) -> Watched:
    return Watched(symbols=names, barred=names, left_out=(), room=room)


def joined(day: LiveDay) -> list[MarketMessage]:
    """Let the questions that are under way be answered, and everybody have the list; return what is said then."""
    before = len(day.said)
    # The feed is alive, so it is known which minutes are over.
    day.stream.tell(a_quote("AAA", day.utc_ns - OPEN))
    day.settle()
    day.heard_list()
    day.wait(2)
    return day.said[before:]


def begins(said: list[MarketMessage]) -> list[tuple[str, ...]]:
    """Return whose minutes were said again, each time that they were."""
    return [one.names for one in said if isinstance(one, PastBars) and one.begins]


def playing(*names: str, room: int, minutes: int = 30) -> LiveDay:
    """Return a session that has said its first minute."""
    day = LiveDay(*names, room=room, minutes=minutes)
    day.past.kept = [a_bar("NEW", minute, 50) for minute in range(minutes)]
    day.connect()
    day.wait_until(MINUTE)
    day.stream.tell(*(a_bar(name, 0) for name in names))
    day.wait(1)
    return day


def test_a_name_when_it_joins_then_its_first_whole_minute_ends_its_past_and_all_minutes_are_said_again() -> None:
    day = playing("AAA", room=2)
    day.wait_until(MINUTE + 30 * SECOND)
    day.session.follow(a_list("AAA", "NEW"))
    # A heartbeat from before the list says nothing of it.
    day.heard_list(depth=0)
    day.wait(1)
    day.heard_list(depth=1)
    assert day.stream.barred == {"AAA", "NEW"}
    assert day.session.remark.count("1 names join once their minutes since the open are there") == 1
    # The minute in which it was subscribed is not whole in the stream: it is fetched.
    day.stream.tell(a_bar("AAA", 1), a_bar("NEW", 1, 999))
    said = day.wait_until(2 * MINUTE + 2 * SECOND)
    assert day.past.asked == [], "a minute that has just ended cannot be had at once"
    said += day.wait(2)
    day.settle()
    said += day.wait(1)
    assert day.past.asked == [(0, 2)]
    assert begins(said) == [], "strategy or risk may not have the list yet"
    assert bars_of(said) == [("BarBatch", 1, ("AAA",))]
    day.heard_list(depth=0)
    said = day.wait(2)
    assert begins(said) == [("AAA", "NEW")]
    assert bars_of(said) == [("PastBars", 0, ("AAA", "NEW")), ("PastBars", 1, ("AAA", "NEW"))]
    past = [one for one in said if isinstance(one, PastBars) and "NEW" in one.symbols]
    assert {bar.close_micros for one in past for bar in one.bars if bar.symbol == "NEW"} == {50_000_000}
    day.stream.tell(a_bar("AAA", 2), a_bar("NEW", 2, 51))
    assert ("BarBatch", 2, ("AAA", "NEW")) in bars_of(day.wait_until(3 * MINUTE + SECOND))
    assert "join" not in day.session.remark


def test_what_the_stream_said_while_the_past_was_asked_for_then_follows_it() -> None:
    day = playing("AAA", room=2)
    day.past.may_answer.clear()
    day.session.follow(a_list("AAA", "NEW"))
    day.wait_until(2 * MINUTE + 5 * SECOND)
    day.stream.tell(a_bar("AAA", 2), a_bar("NEW", 2, 51))
    said = day.wait_until(3 * MINUTE + 5 * SECOND)
    assert next(names for _, minute, names in bars_of(said) if minute == 2) == ("AAA",)
    day.past.may_answer.set()
    day.settle()
    day.heard_list()
    said = day.wait(3)
    assert bars_of(said)[-1] == ("PastBars", 2, ("AAA", "NEW"))


def test_the_past_when_refused_by_429_then_it_is_asked_for_again_and_others_minutes_go_on() -> None:
    day = playing("AAA", room=2)
    day.past.faults = 2
    day.session.follow(a_list("AAA", "NEW"))
    day.wait_until(2 * MINUTE + 5 * SECOND)
    day.stream.tell(a_bar("AAA", 1))
    day.settle()
    said = day.wait(2)
    assert ("BarBatch", 1, ("AAA",)) in bars_of(said) + bars_of(day.said)
    for _ in range(3):
        day.wait(5)
        day.settle()
    assert day.past.asked == [(0, 2)] * 3
    day.heard_list()
    assert begins(day.wait(2)) == [("AAA", "NEW")]


def test_places_when_none_is_free_then_a_name_that_left_gives_its_own_away_but_not_at_once() -> None:
    day = playing("AAA", "OLD", room=0)
    day.session.follow(a_list("AAA", "NEW"))
    day.wait(LiveDay.LEAVE_AFTER_S - 1)
    assert day.stream.wanted == {"AAA", "OLD"}, "something of it may have been ordered just before"
    day.wait(2)
    assert day.stream.wanted == {"AAA", "NEW"}
    day.wait_until(3 * MINUTE)
    said = joined(day)
    assert begins(said) == [("AAA", "NEW")]
    assert ("PastBars", 0, ("AAA", "NEW")) in bars_of(said), "who left is in no minute any more"


def test_a_place_when_its_name_is_held_or_still_wanted_then_it_is_not_given_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    day = playing("AAA", "OLD", room=0)
    day.session.hold(["OLD"])
    day.session.follow(a_list("AAA", "NEW"))
    day.wait(120)
    assert day.stream.wanted == {"AAA", "OLD"}
    day.session.hold([])
    day.wait(1)
    assert day.stream.wanted == {"AAA", "NEW"}
    free = playing("AAA", "OLD", room=1)
    free.session.follow(a_list("AAA", "NEW"))
    free.wait(120)
    assert free.stream.wanted == {"AAA", "OLD", "NEW"}, "there was room for all"


def test_a_name_when_held_before_it_joins_then_it_takes_no_second_place() -> None:
    day = playing("AAA", room=1)
    day.session.hold(["NEW"])
    day.session.follow(a_list("AAA", "NEW"))
    day.wait_until(2 * MINUTE + 5 * SECOND)
    assert day.stream.barred == {"AAA", "NEW"}
    assert begins(joined(day)) == [("AAA", "NEW")]


def test_the_stream_when_it_breaks_while_a_name_joins_then_the_name_waits_for_a_whole_minute_of_the_new_life() -> None:
    day = playing("AAA", room=2)
    day.session.follow(a_list("AAA", "NEW"))
    day.wait(1)
    day.stream.tell(is_up=False)
    day.wait_until(2 * MINUTE + 10 * SECOND)
    asked = len(day.past.asked)
    day.stream.tell(is_up=True, life=2)
    day.wait(5)
    day.settle()
    assert day.past.asked_of[asked:] == [("AAA",)], "the gap of those who were watched is filled first"
    day.wait_until(3 * MINUTE + 5 * SECOND)
    assert ("AAA", "NEW") in begins(joined(day))
    assert (day.past.asked_of[-1], day.past.asked[-1]) == (("NEW",), (0, 3))


def test_a_name_when_its_bars_never_come_then_it_is_left_out_in_words_and_keeps_no_other_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    day = playing("AAA", room=2)
    day.stream.mute = {"DEAD"}
    day.session.follow(a_list("AAA", "DEAD", "NEW"))
    with caplog.at_level(logging.WARNING):
        day.wait_until(3 * MINUTE + 10 * SECOND)
    assert "no bars come of DEAD: left out until the next list" in caplog.text
    assert begins(joined(day)) == [("AAA", "NEW")]


def test_lists_when_two_follow_each_other_then_the_second_ones_names_join_after_the_firsts() -> None:
    day = playing("AAA", room=2)
    day.past.kept += [a_bar("NEXT", minute, 60) for minute in range(30)]
    day.session.follow(a_list("AAA", "NEW"))
    day.wait(1)
    day.session.follow(a_list("AAA", "NEW", "NEXT"))
    assert day.stream.barred == {"AAA", "NEW"}
    for minute in (2, 3, 4):
        day.wait_until(minute * MINUTE + 10 * SECOND)
        joined(day)
    assert begins(day.said)[-1] == ("AAA", "NEW", "NEXT")
    assert "FeedEnded" in kinds(day.wait_until(31 * MINUTE))


def test_a_list_when_it_changes_nothing_then_nothing_is_asked_for_or_said_again() -> None:
    day = playing("AAA", "BBB", room=2)
    before = len(begins(day.said))
    day.session.follow(a_list("BBB", "AAA"))
    day.heard_list()
    day.wait(90)
    assert len(begins(day.said)) == before
    assert day.past.asked == []


def test_a_name_when_it_comes_back_before_its_place_was_given_away_then_all_minutes_are_said_for_those_who_wait() -> (
    None
):
    day = playing("AAA", "OLD", room=2)
    day.session.follow(a_list("AAA"))
    day.wait(5)
    day.session.follow(a_list("AAA", "OLD"))
    day.wait(2)
    assert begins(joined(day)) == [("AAA", "OLD")]
    assert day.past.asked == [], "its minutes never ended"
    day.session.follow(a_list("OLD", "AAA"))
    day.wait(2)
    assert begins(joined(day)) == []
