"""Minutes that a live feed says again, as risk counts them: the day's volume is neither lost nor doubled."""

from typing import Any

from msgspec.structs import astuple

from bus.messages import NANOS, BarBatch, PastBars


def past(batch: BarBatch, step: int, *, begins: bool = False) -> PastBars:
    facts = dict(zip(BarBatch.__struct_fields__, astuple(batch), strict=True))
    return PastBars(**facts | {"step": step}, begins=begins)


def volume(world: Any) -> int | None:
    found = world.state.market.volumes.of("AAA")
    return None if found is None else found // NANOS


def test_volume_when_the_minutes_are_said_again_then_they_count_once(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.bars("AAA", volume=100, step=50))
    world.hear(past(world.bars(), 60, begins=True))
    assert volume(world) is None
    world.hear(past(world.bars("AAA", volume=100), 61), past(world.bars("AAA", volume=200), 62))
    assert volume(world) == 300
    world.hear(world.bars("AAA", volume=1, step=63))
    assert volume(world) == 301


def test_volume_when_a_restarted_process_hears_the_past_then_it_is_whole_again(new_world: type[Any]) -> None:
    world = new_world().ready()
    again = world.restarted()
    again.hear(past(world.bars(), 1_000_000, begins=True), past(world.bars("AAA", volume=700), 1_000_001))
    assert volume(again) == 700


def test_the_past_when_delivered_twice_then_it_adds_nothing(new_world: type[Any]) -> None:
    world = new_world().ready()
    said = past(world.bars("AAA", volume=100), 61)
    begins = past(world.bars(), 60, begins=True)
    world.hear(begins, said, said, begins)
    assert volume(world) == 100


def test_the_past_when_no_session_is_planned_then_no_minute_counts(new_world: type[Any]) -> None:
    world = new_world()
    world.hear(past(world.bars("AAA", volume=100), 61))
    assert volume(world) is None
