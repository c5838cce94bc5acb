"""Risk halts the chain: for a broker that refuses again and again, and for an order that comes again and again."""

from pathlib import Path
from typing import Any

import pytest

from bus.assembly import Ports, Setup
from bus.codec import decode_message, encode_message
from bus.local import OpenGate
from bus.messages import HaltRaised, IntentClosed, OrderDenied, OrderRejected, SubmitOrder
from config.env_bot import parse, proposals
from config.identity import Identity
from config.paths import HomePaths
from services.risk.lease import lease_refusal
from services.risk.shell import RiskShell, build


def _rejected(world: Any, number: int, ts_ns: int | None = None) -> OrderRejected:
    ts_event = world.now if ts_ns is None else ts_ns
    detail = "insufficient buying power"
    return OrderRejected(ts_event=ts_event, ts_init=ts_event, client_order_id=f"tb1-{number}", detail=detail)


def _again(world: Any, number: int, **changes: Any) -> list[Any]:
    """Signal the same entry once more and, when it is approved, let it end without a fill."""
    events = world.hear(world.signal(signal_id=f"s{number}", **changes))
    if isinstance(events[-1], SubmitOrder):
        world.hear(IntentClosed(ts_event=world.now, ts_init=world.now, intent_id=f"s{number}", symbol="AAA"))
    return list(events)


def _recorded(world: Any, counter: int, rule: str) -> HaltRaised:
    """Return what the control folder says after a halt was put on disk."""
    return HaltRaised(ts_event=1, ts_init=1, counter=counter, source="watchdog", rule=rule, detail="as told")


def test_order_when_it_comes_a_fourth_time_in_ten_seconds_then_denied_and_the_chain_halts(
    new_world: type[Any],
) -> None:
    world = new_world().ready()
    for number in range(3):
        assert isinstance(_again(world, number)[-1], SubmitOrder)

    denied, halt = _again(world, 4)

    assert isinstance(denied, OrderDenied)
    assert (denied.rule, denied.limit) == ("repeated_order", "at most 3 equal orders in 10.0 s")
    assert denied.value == "BUY 200 shares AAA at $50.00 was approved 3 times"
    assert isinstance(halt, HaltRaised)
    assert (halt.source, halt.rule, halt.counter) == ("risk", "repeated_order", 0)
    assert "BUY 200 shares AAA at $50.00 was approved 3 times" in halt.detail
    assert decode_message(encode_message(halt)) == halt
    assert str(lease_refusal(world.state)).startswith("not armed: BUY 200 shares AAA")
    assert [event.rule for event in world.hear(world.signal("BBB"))] == ["not_armed"]
    assert str(lease_refusal(world.restarted().state)).startswith("not armed: BUY"), "a restart forgets the halt"


@pytest.mark.parametrize("other", ["time", "price", "quantity", "symbol"])
def test_order_when_something_about_it_differs_then_it_is_no_repeat(new_world: type[Any], other: str) -> None:
    world = new_world().ready()
    for number in range(3):
        _again(world, number)
    changes: dict[str, Any] = {}
    if other == "time":
        world.now += 10 * world.SECOND
        world.hear(world.quote())
    if other == "price":
        world.hear(world.quote(ask=50_01))
    if other == "quantity":
        changes = {"trail_bps": 500}
    if other == "symbol":
        changes = {"symbol": "BBB", "instrument": "BBB", "reference_micros": 20_000_000}
    assert isinstance(_again(world, 9, **changes)[-1], SubmitOrder)


def test_order_when_repeated_before_a_restart_then_it_counts_after_it(new_world: type[Any]) -> None:
    world = new_world().ready()
    for number in range(3):
        _again(world, number)
    again = world.restarted()
    again.hear(again.quotes(AAA=50_00), again.bars("AAA", step=9))
    assert [type(event) for event in _again(again, 9)] == [OrderDenied, HaltRaised]


def test_broker_when_it_refuses_a_sixth_time_in_a_minute_then_halts_once(new_world: type[Any]) -> None:
    world = new_world().ready()
    for number in range(5):
        assert len(world.hear(_rejected(world, number))) == 1

    refused, halt = world.hear(_rejected(world, 6))

    assert isinstance(refused, OrderRejected)
    assert isinstance(halt, HaltRaised)
    assert (halt.source, halt.rule, halt.counter) == ("risk", "broker_rejections", 0)
    assert halt.detail == (
        "the broker refused 6 orders within 60.0 s, 5 are allowed; the last time: insufficient buying power"
    )
    assert len(world.hear(_rejected(world, 7))) == 1, "the same refusals halt a second time"
    assert [event.rule for event in world.hear(world.signal())] == ["not_armed"]
    assert str(lease_refusal(world.restarted().state)).startswith("not armed: the broker refused 6 orders")


def test_refusals_when_spread_over_more_than_a_minute_then_no_halt(new_world: type[Any]) -> None:
    world = new_world().ready()
    for number in range(20):
        told = world.hear(_rejected(world, number, world.now + number * 12 * world.SECOND))
        assert [type(event) for event in told] == [OrderRejected]


def test_refusals_when_the_windows_are_wider_then_older_ones_count(new_world: type[Any]) -> None:
    world = new_world(rejections_window_ns=300 * new_world.SECOND).ready()
    told = [world.hear(_rejected(world, number, world.now + number * 12 * world.SECOND)) for number in range(6)]
    assert [type(event) for event in told[-1]] == [OrderRejected, HaltRaised]
    assert "refused 6 orders within 300.0 s" in told[-1][-1].detail

    world = new_world(repeats_window_ns=600 * new_world.SECOND).ready()
    for number in range(3):
        _again(world, number)
    world.now += 20 * world.SECOND
    world.hear(world.quote())
    assert [type(event) for event in _again(world, 9)] == [OrderDenied, HaltRaised]


def test_refusals_when_some_came_before_a_restart_then_they_count(new_world: type[Any]) -> None:
    world = new_world().ready()
    for number in range(5):
        world.hear(_rejected(world, number))
    again = world.restarted()
    assert [type(event) for event in again.hear(_rejected(again, 6))] == [OrderRejected, HaltRaised]


def test_halt_when_an_operator_answers_it_then_trades_again_and_counts_anew(new_world: type[Any]) -> None:
    world = new_world().ready()
    for number in range(6):
        world.hear(_rejected(world, number))
    world.hear(_recorded(world, 4, "broker_rejections"))
    assert [event.rule for event in world.hear(world.signal())] == ["not_armed"]
    world.hear(world.armed(halt_counter=4))
    assert isinstance(world.hear(world.signal(signal_id="again"))[-1], SubmitOrder)
    assert len(world.hear(_rejected(world, 7))) == 1


def test_refusals_when_the_chain_is_halted_already_then_no_second_halt(new_world: type[Any]) -> None:
    world = new_world().ready()
    world.hear(_recorded(world, 1, "operator"))
    for number in range(9):
        assert len(world.hear(_rejected(world, number))) == 1


def test_shell_when_risk_halts_then_it_is_on_disk_before_the_commit_and_others_halts_are_not(
    tmp_path: Path, new_world: type[Any]
) -> None:
    identity = Identity(
        entity_code="ACME", jurisdiction_code="USA", account_name="main", broker_code="PAPER", bot_id="BOT01"
    )
    assembly = build(Setup(paths=HomePaths(tmp_path), env=parse(proposals()), identity=identity))
    raised: list[tuple[str, str]] = []
    assembly.attach(Ports(OpenGate(), lambda _: None, lambda rule, detail: raised.append((rule, detail))))
    world = new_world().ready()
    for number in range(3):
        _again(world, number)
    for event in (*_again(world, 4), _recorded(world, 1, "operator"), world.armed()):
        assembly.shell.before_commit(event)
    assert [rule for rule, _ in raised] == ["repeated_order"]


def test_shell_when_nobody_can_hear_a_halt_then_it_fails_aloud(new_world: type[Any]) -> None:
    halt = HaltRaised(ts_event=1, ts_init=1, counter=0, source="risk", rule="repeated_order", detail="x")
    with pytest.raises(RuntimeError, match="repeated_order"):
        RiskShell().before_commit(halt)
