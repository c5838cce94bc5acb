"""Exits that the strategy asked for: passed on where there is something to close, whatever else is wrong."""

from typing import Any

import pytest

from bus.codec import decode_message, encode_message
from bus.messages import ChainDisarmed, CloseIntent, ExitSignalled, HaltRaised, IntentClosed, SubmitOrder


def exit_of(world: Any, symbol: str = "AAA", detail: str = "back at VWAP", **changes: Any) -> ExitSignalled:
    facts = {
        "signal_id": f"{world.DAY}:open:{symbol}:BULLISH",
        "session_date": world.DAY,
        "strategy": "open",
        "symbol": symbol,
        "direction": "BULLISH",
    }
    return ExitSignalled(ts_event=world.now, ts_init=world.now, detail=detail, reasons=(), **(facts | changes))


def test_exit_when_the_entry_is_working_then_passed_on_with_its_reason(new_world: type[Any]) -> None:
    world = new_world().ready()
    (order,) = world.hear(world.signal())
    assert isinstance(order, SubmitOrder)
    (closing,) = world.hear(exit_of(world))
    assert closing == CloseIntent(
        ts_event=world.now,
        ts_init=world.now,
        intent_id=order.intent_id,
        session_date=world.DAY,
        reason="open: back at VWAP",
    )
    assert decode_message(encode_message(closing)) == closing


def test_exit_when_the_position_is_open_then_passed_on_and_when_closed_not(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal())
    world.hear(world.fill(shares=200))
    assert [type(event) for event in world.hear(exit_of(world))] == [CloseIntent]
    world.hear(world.fill(side="SELL", shares=200))
    world.hear(IntentClosed(ts_event=1, ts_init=1, intent_id=f"{world.DAY}:open:AAA:BULLISH", symbol="AAA"))
    assert world.hear(exit_of(world)) == []


def test_exit_when_its_signal_was_denied_or_is_unknown_then_ignored(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal(exit_at_ns=1))
    assert world.hear(exit_of(world)) == []
    assert world.hear(exit_of(world, "ZZZ")) == []


@pytest.mark.parametrize("stopped_by", ["halt", "disarm"])
def test_exit_when_halted_or_disarmed_then_passed_on_all_the_same(new_world: type[Any], stopped_by: str) -> None:
    world = new_world().ready()
    world.hear(world.signal())
    if stopped_by == "halt":
        world.hear(HaltRaised(ts_event=1, ts_init=1, counter=1, source="watchdog", rule="r", detail="d"))
    else:
        world.hear(ChainDisarmed(ts_event=1, ts_init=1, detail="stopped"))
    assert [type(event) for event in world.hear(exit_of(world))] == [CloseIntent]


def test_exit_when_its_words_are_the_longest_then_the_message_still_fits(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(world.signal())
    (closing,) = world.hear(exit_of(world, detail="x" * 400))
    assert len(closing.reason) == 400
