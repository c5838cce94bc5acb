"""The chain's states over the full cross product, and the phases of a session."""

from typing import get_args

import pytest

from bus.lifecycle import CHAIN, MEANING, Trigger, next_state, phase_at
from bus.messages import ChainState
from bus.testing import CLOSE_NS, OPEN_NS, a_plan

STATES: tuple[ChainState, ...] = get_args(ChainState)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("trigger", list(Trigger))
def test_the_chain_when_anything_happens_moves_only_as_allowed(state: ChainState, trigger: Trigger) -> None:
    after = next_state(state, trigger)
    assert after in STATES
    if trigger is Trigger.HALT:
        assert after == "HALTED"
    if after == "ACTIVE" and state != "ACTIVE":
        assert trigger is Trigger.ARMED
        assert state in ("DISARMED", "REDUCING")
    if state == "HALTED" and after != "HALTED":
        assert trigger is Trigger.ARMED
    if (state, trigger) not in CHAIN:
        assert after == state


def test_every_state_is_explained() -> None:
    assert set(MEANING) == set(STATES)


def test_the_phase_follows_the_plan() -> None:
    plan = a_plan()
    assert phase_at(None, OPEN_NS) == "PROVISIONED"
    assert phase_at(plan, OPEN_NS - 1) == "PRE_OPEN"
    assert phase_at(plan, OPEN_NS) == "TRADING"
    assert phase_at(plan, plan.flatten_ns) == "FLATTENING"
    assert phase_at(plan, CLOSE_NS) == "CLOSED"
