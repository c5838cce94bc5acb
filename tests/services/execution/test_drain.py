"""The drain, alone and in the service: when it begins and ends, when it looks, what it cancels and what it says."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from services.execution.brokers.interface import RetryableBrokerError
from services.execution.brokers.paper import PaperBroker
from services.execution.drain import (
    BACK_OFF_NS,
    CONFIRM_NS,
    CONFIRMED_LOOK_NS,
    DEAD_MAN_NS,
    LOOK_NS,
    Drain,
)

NOON_UTC_NS = 1_381_233_600_000_000_000  # 2013-10-08 12:00:00
SECOND = 1_000_000_000
START = 7 * SECOND
OpenBroker = Callable[..., PaperBroker]


def _judged(drain: Drain, now: int = START, *, lapsed: int = 0, halted: bool = True, orders: bool = True) -> Drain:
    drain.judge(now, lapsed_ns=lapsed, is_halted=halted, may_have_orders=orders)
    return drain


@pytest.mark.parametrize(
    ("was_active", "is_halted", "lapsed_ns", "may_have_orders"),
    list(
        itertools.product(
            (False, True), (False, True), (0, 1, DEAD_MAN_NS - 1, DEAD_MAN_NS, 60 * SECOND), (False, True)
        )
    ),
)
def test_drain_over_all_causes_begins_with_one_and_ends_with_none(
    was_active: bool, is_halted: bool, lapsed_ns: int, may_have_orders: bool
) -> None:
    drain = Drain()
    if was_active:
        _judged(drain)
    _judged(drain, lapsed=lapsed_ns, halted=is_halted, orders=may_have_orders)
    has_cause = is_halted or lapsed_ns >= DEAD_MAN_NS
    assert drain.is_active == (has_cause and (was_active or may_have_orders))
    assert drain.is_due(START) == drain.is_active


@pytest.mark.parametrize(
    ("looks", "next_look_s", "words"),
    [
        ((), 0, "NOT CONFIRMED: the broker has not been asked yet"),
        (((0, ["a", "b"]),), 0.5, "cancelling: 2 orders open at the broker"),
        (((0, ["a"]),), 0.5, "cancelling: 1 order open at the broker"),
        (((0, []),), 0.5, "no order of ours is open at the broker since 12:00:00 UTC, confirmed after 60 s"),
        (((0, []), (59, [])), 0.5, "no order of ours is open at the broker since 12:00:00 UTC, confirmed after 60 s"),
        (((0, []), (60, [])), 5, "no order of ours is open at the broker, confirmed 12:01:00 UTC"),
        (((0, []), (60, []), (65, [])), 5, "no order of ours is open at the broker, confirmed 12:01:05 UTC"),
        # Accepted late: the sixty seconds begin again once it is gone.
        (((0, []), (59, ["a"])), 0.5, "cancelling: 1 order open at the broker"),
        (((0, []), (60, []), (65, ["a"])), 0.5, "cancelling: 1 order open at the broker"),
        (
            ((0, []), (59, ["a"]), (61, []), (120, [])),
            0.5,
            "no order of ours is open at the broker since 12:01:01 UTC, confirmed after 60 s",
        ),
        # No answer confirms nothing, however long none was listed before.
        (((0, []), (60, []), (65, None)), 0.5, "NOT CONFIRMED: the broker does not answer"),
        (
            ((0, []), (60, []), (65, None), (66, [])),
            0.5,
            "no order of ours is open at the broker since 12:01:06 UTC, confirmed after 60 s",
        ),
        (((0, None), (1, None)), 1, "NOT CONFIRMED: the broker does not answer"),
        (((0, None), (1, None), (2, None), (4, None), (9, None), (14, None)), 5, "NOT CONFIRMED"),
    ],
)
def test_drain_over_the_brokers_answers_looks_again_and_says_how_far_it_is(
    looks: tuple[tuple[int, list[str] | None], ...], next_look_s: float, words: str
) -> None:
    drain = _judged(Drain())
    at = START
    for seconds, listed in looks:
        at = START + seconds * SECOND
        if listed is None:
            drain.unanswered(at)
        else:
            assert drain.heard(at, listed, NOON_UTC_NS + seconds * SECOND) == tuple(listed)
    due = at + round(next_look_s * SECOND)
    assert drain.is_due(due)
    assert not drain.is_due(due - 1)
    assert drain.words(0).startswith(words)


def test_words_when_protective_orders_stay_then_they_are_not_denied() -> None:
    drain = _judged(Drain())
    drain.heard(START, [], NOON_UTC_NS)
    drain.heard(START + CONFIRM_NS, [], NOON_UTC_NS)
    assert drain.words(2) == (
        "no order that adds exposure is open at the broker, confirmed 12:00:00 UTC; "
        "protective orders that stay there: 2"
    )


def test_drain_when_its_cause_is_over_then_says_nothing_and_begins_anew_later() -> None:
    drain = _judged(Drain())
    drain.heard(START, [], NOON_UTC_NS)
    _judged(drain, halted=False)
    drain.unanswered(START)
    assert (drain.words(1), drain.is_active, drain.heard(START, ["a"], 0)) == ("", False, ())
    _judged(drain, now=START + CONFIRM_NS)
    assert drain.words(0) == "NOT CONFIRMED: the broker has not been asked yet"
    assert drain.is_due(START + CONFIRM_NS)


def test_times_keep_what_was_promised() -> None:
    assert DEAD_MAN_NS == SECOND
    assert LOOK_NS * 2 <= 2 * SECOND, "an order has to be cancelled within two seconds of being seen"
    assert max(BACK_OFF_NS) <= 5 * SECOND
    assert CONFIRM_NS == 60 * SECOND > CONFIRMED_LOOK_NS


# --- in the service -----


def test_halt_when_executions_cannot_be_had_then_the_entries_are_cancelled_all_the_same(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.entered(open_broker)
    rig.broker.errors["executions_after"] = [RetryableBrokerError("no route")] * 1000
    rig.gap()
    rig.give(kit.disarm())
    rig.gate.lapsed = DEAD_MAN_NS
    rig.idle_for(2)
    assert kit.listed(rig.broker.real) == []
    assert rig.broker.calls.count("executions_after") < 6, "asked with back-off"


def test_dead_man_when_leases_are_missing_for_a_second_then_entries_are_cancelled_and_stops_stay(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker())).armed()
    kit.enter(rig)
    rig.idle()
    rig.give(kit.submit(intent_id="2013-10-08:open:QQQ:BULLISH", symbol="QQQ"))
    rig.gate.lapsed = DEAD_MAN_NS - 1
    assert rig.idle() == []
    rig.gate.lapsed = DEAD_MAN_NS
    assert kit.names(rig.idle()) == ["CancelRequested", "OrderCancelled", "IntentClosed"]
    assert kit.listed(rig.broker.real) == [kit.order_id("stop")]
    rig.idle_for(62)
    assert "protective orders that stay there: 1" in rig.state.drain
    rig.gate.lapsed = 0
    rig.idle()
    assert rig.state.drain == ""
    assert rig.halts == []


def test_dead_man_when_the_chain_was_never_armed_and_has_no_orders_then_asks_for_nothing(
    open_broker: OpenBroker, kit: Any
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()))
    rig.gate.lapsed = 10 * DEAD_MAN_NS
    rig.give(kit.halt())
    rig.idle_for(4)
    assert rig.state.drain == ""
    assert rig.broker.calls.count("open_orders") == 1, "only the regular look"


@pytest.mark.parametrize("by", ["halt", "kill switch"])
def test_drain_when_everything_is_sold_then_nothing_of_ours_stays_open(
    open_broker: OpenBroker, kit: Any, by: str
) -> None:
    rig = kit.Rig(kit.Unreliable(open_broker()), halt_positions="flatten").armed()
    kit.enter(rig)
    rig.idle()
    rig.give(kit.halt() if by == "halt" else kit.kill())
    rig.idle()
    assert rig.state.drain == "cancelling: 1 order open at the broker", "the exit waits for a quote"
    rig.market(kit.spy(3))
    rig.idle_for(61)
    assert rig.state.drain.startswith("no order of ours is open at the broker, confirmed")
    assert rig.state.open_intents() == []
