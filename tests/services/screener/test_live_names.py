"""Which names a session watches when there is not room for all."""

from services.screener.live_names import watched


def test_names_when_there_is_room_then_each_candidate_comes_with_its_inverse() -> None:
    found = watched(["SPY", "IBM"], ["HELD"], leverage_max=1, symbols_max=30)
    assert found.symbols == ("HELD", "SPY", "SH", "IBM")
    assert found.barred == ("SPY", "SH", "IBM")
    assert found.left_out == ()


def test_names_when_there_is_no_room_for_a_pair_then_the_candidate_is_left_out_and_the_next_may_fit() -> None:
    found = watched(["SPY", "QQQ", "IBM"], [], leverage_max=1, symbols_max=3)
    assert found.barred == ("SPY", "SH", "IBM")
    assert found.left_out == ("QQQ",)


def test_names_when_more_are_held_than_there_is_room_for_then_no_more_are_watched_than_the_plan_allows() -> None:
    found = watched(["SPY"], ["A", "B", "C"], leverage_max=1, symbols_max=2)
    assert (found.symbols, found.left_out, found.room) == (("A", "B"), ("SPY",), 0)


def test_names_when_a_fund_is_leveraged_beyond_the_setting_then_it_is_not_watched() -> None:
    assert watched(["SOXX"], [], leverage_max=1, symbols_max=9).symbols == ("SOXX",)
    assert watched(["SOXX"], [], leverage_max=3, symbols_max=9).symbols == ("SOXX", "SOXS")
