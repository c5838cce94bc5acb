"""The kill switch trips beyond the limit, once, and then nothing is approved."""

from typing import Any

import pytest

from bus.codec import decode_message, encode_message
from bus.messages import MICROS, KillSwitchTripped, ResultPeaked
from services.risk.kill_switch import is_breached, loss_limit_micros


@pytest.mark.parametrize(("bid", "is_tripped"), [(30_00, False), (29_99, True)])
def test_loss_when_exactly_the_limit_then_no_trip_and_a_cent_a_share_more_trips(
    new_world: type[Any], bid: int, is_tripped: bool
) -> None:
    # 100 shares bought at 50.00; 2 % of 100,000 dollars may be lost.
    world = new_world().ready()
    world.hear(world.fill("BBB", shares=100), world.quote("BBB", bid, 30_05))

    events = world.settle()

    assert bool(events) == is_tripped
    if is_tripped:
        (tripped,) = events
        assert isinstance(tripped, KillSwitchTripped)
        assert (tripped.pnl_micros, tripped.limit_micros) == (-2_001 * MICROS, 2_000 * MICROS)
        assert tripped.session_date == world.DAY


def test_kill_switch_when_tripped_then_once_a_session_and_everything_is_denied(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.fill("BBB", shares=100), world.quote("BBB", 10_00, 10_01))
    assert len(world.settle()) == 1
    assert world.settle() == []

    world.hear(world.quote("BBB", 60_00, 60_01), world.armed(halt_counter=9))

    assert world.settle() == []
    assert [event.rule for event in world.hear(world.signal())] == ["kill_switch"]
    assert world.restarted().settle() == []


def test_kill_switch_when_the_loss_is_realized_then_it_trips_without_any_quote(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.fill("AAA", shares=100), world.fill("AAA", side="SELL", shares=100, cents=29_99))
    assert [event.pnl_micros for event in world.settle()] == [-2_001 * MICROS]


def test_kill_switch_when_the_bid_disappears_then_the_last_one_counts(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.fill("BBB", shares=100), world.quote("BBB", 29_99, 30_00))
    world.hear(world.quote("BBB", 0, 30_00), world.quote("BBB", 60_00, 30_00))
    assert [event.pnl_micros for event in world.settle()] == [-2_001 * MICROS]


def test_kill_switch_when_commissions_are_the_loss_then_it_trips(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.fill("AAA", commission=2_000_01), world.quote("AAA", 50_00, 50_01))
    assert len(world.settle()) == 1


@pytest.mark.parametrize("missing", ["plan", "account"])
def test_kill_switch_when_the_session_or_account_is_unknown_then_silent(new_world: type[Any], missing: str) -> None:
    world = new_world()
    world.hear(*(message for name, message in world.inputs().items() if name != missing))
    world.hear(world.fill("AAA", commission=9_000_00))
    assert world.settle() == []


def test_kill_switch_when_a_new_session_begins_then_it_may_trip_again(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.fill("AAA", commission=9_000_00))
    assert len(world.settle()) == 1
    world.hear(world.plan(session_date="2013-10-09"), world.account(day="2013-10-09"))
    assert world.settle() == []
    world.hear(world.fill("AAA", commission=9_000_00))
    assert [event.session_date for event in world.settle()] == ["2013-10-09"]


def test_limit_when_there_is_no_equity_then_no_loss_is_allowed_but_none_is_no_breach() -> None:
    assert loss_limit_micros(-5 * MICROS, 20_000) == 0
    assert not is_breached(0, 0)
    assert is_breached(-1, 0)


def _hold(world: Any, bid: int) -> None:
    """Mark the 100 shares of BBB, bought at 50.00, at this bid and finish the step."""
    world.hear(world.quote("BBB", bid, bid + 1))


def test_loss_from_the_peak_when_it_is_exactly_the_limit_then_no_trip_and_a_cent_a_share_more_trips(
    new_world: type[Any],
) -> None:
    for last, is_tripped in ((40_00, False), (39_99, True)):
        world = new_world(daily_loss_from="peak").ready()
        world.hear(world.fill("BBB", shares=100))
        _hold(world, 60_00)
        (peaked,) = world.settle()
        assert isinstance(peaked, ResultPeaked)
        assert peaked.peak_micros == 1_000 * MICROS
        _hold(world, last)
        events = world.settle()
        assert [type(event) for event in events] == [KillSwitchTripped] * is_tripped
        if is_tripped:
            assert (events[0].pnl_micros, events[0].peak_micros) == (-1_001 * MICROS, 1_000 * MICROS)
            assert decode_message(encode_message(events[0])) == events[0]


def test_loss_from_the_start_when_there_was_a_peak_then_it_does_not_count(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.fill("BBB", shares=100))
    _hold(world, 60_00)
    assert world.settle() == []
    _hold(world, 39_99)
    assert world.settle() == []
    _hold(world, 29_99)
    assert [event.pnl_micros for event in world.settle()] == [-2_001 * MICROS]


def test_peak_when_the_service_restarts_then_it_is_not_forgotten_though_no_price_is_journaled(
    new_world: type[Any],
) -> None:
    world = new_world(daily_loss_from="peak").ready()
    world.hear(world.fill("BBB", shares=100))
    _hold(world, 60_00)
    world.settle()

    again = world.restarted()

    assert again.state.day == world.state.day
    assert again.settle() == []
    _hold(again, 39_99)
    assert [event.peak_micros for event in again.settle()] == [1_000 * MICROS]
    (shown,) = again.core.snapshot(again.state, again.now)
    assert shown.peak_micros == 1_000 * MICROS


def test_peak_when_the_result_rises_a_little_then_it_is_rounded_up_and_said_once_for_each_step(
    new_world: type[Any],
) -> None:
    world = new_world(daily_loss_from="peak").ready()
    world.hear(world.fill("BBB", shares=100))
    peaks = []
    for bid in (50_01, 50_02, 50_19, 50_20, 50_21, 50_10, 50_40, 50_41):
        _hold(world, bid)
        peaks += [event.peak_micros // MICROS for event in world.settle()]
    # A hundredth of 2,000 dollars is 20: a rise of a cent already counts as 20.
    assert peaks == [20, 40, 60]


def test_peak_when_a_position_has_no_bid_then_it_waits_for_one(new_world: type[Any]) -> None:
    world = new_world(daily_loss_from="peak").ready()
    world.hear(world.fill("BBB", shares=100), world.fill("BBB", shares=100, side="SELL", cents=60_00))
    world.hear(world.fill("UNHEARD", shares=10))
    assert world.settle() == []
    world.hear(world.quote("UNHEARD", 49_00, 49_01))
    assert [event.peak_micros for event in world.settle()] == [1_000 * MICROS]


def test_peak_when_the_loss_from_it_is_known_then_entries_are_denied_before_the_switch_trips(
    new_world: type[Any],
) -> None:
    world = new_world(daily_loss_from="peak").ready()
    world.hear(world.fill("BBB", shares=100))
    _hold(world, 60_00)
    world.settle()
    _hold(world, 39_99)
    (denied,) = world.hear(world.signal())
    assert (denied.rule, denied.value) == ("daily_loss", "-$1,001.00 today after $1,000.00")


def test_peak_when_a_new_session_begins_then_it_is_nothing_again(new_world: type[Any]) -> None:
    world = new_world(daily_loss_from="peak").ready()
    world.hear(world.fill("BBB", shares=100))
    _hold(world, 60_00)
    world.settle()
    world.hear(world.plan(session_date="2013-10-09"))
    assert world.state.day.peak_micros == 0


def test_peak_when_the_setting_is_changed_to_start_then_a_peak_of_the_journal_does_not_count(
    new_world: type[Any],
) -> None:
    world = new_world(daily_loss_from="peak").ready()
    world.hear(world.fill("BBB", shares=100))
    _hold(world, 60_00)
    world.settle()
    other = new_world()
    other._fold(world.journal)
    _hold(other, 39_99)
    assert other.settle() == []
