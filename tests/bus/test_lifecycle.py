"""The chain's and the bot's states over the full cross product, and the words for each."""

from typing import get_args

import pytest

from bus.lifecycle import (
    BOT,
    BOT_MEANING,
    CHAIN,
    EFFECTS,
    HALTED_FLATTEN,
    MEANING,
    NO_LEASE,
    PRE_OPEN_LEAD_MINUTES,
    Moment,
    SessionWindows,
    Trigger,
    Window,
    bot_state,
    effects,
    moment_at,
    next_state,
)
from bus.messages import NANOS, BotState, ChainState

STATES: tuple[ChainState, ...] = get_args(ChainState)
MINUTE = 60 * NANOS
OPEN, FLATTEN, CLOSE = 600 * MINUTE, 985 * MINUTE, 990 * MINUTE
WINDOWS = SessionWindows(
    is_trading_day=True,
    open_ns=OPEN,
    flatten_ns=FLATTEN,
    close_ns=CLOSE,
    analyses=(Window(OPEN, OPEN + 15 * MINUTE), Window(OPEN + 60 * MINUTE, OPEN + 240 * MINUTE)),
    entries=(Window(OPEN + 15 * MINUTE, OPEN + 135 * MINUTE), Window(OPEN + 240 * MINUTE, OPEN + 300 * MINUTE)),
)


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


@pytest.mark.parametrize(
    ("now_ns", "moment"),
    [
        (0, Moment.EARLY),
        (OPEN - PRE_OPEN_LEAD_MINUTES * MINUTE - 1, Moment.EARLY),
        (OPEN - PRE_OPEN_LEAD_MINUTES * MINUTE, Moment.PRE_OPEN),
        (OPEN - 1, Moment.PRE_OPEN),
        (OPEN, Moment.ANALYSIS),
        (OPEN + 15 * MINUTE - 1, Moment.ANALYSIS),
        (OPEN + 15 * MINUTE, Moment.ENTRY),
        (OPEN + 61 * MINUTE, Moment.ENTRY),
        (OPEN + 135 * MINUTE, Moment.ANALYSIS),
        (OPEN + 240 * MINUTE, Moment.ENTRY),
        (OPEN + 300 * MINUTE, Moment.WATCH),
        (FLATTEN - 1, Moment.WATCH),
        (FLATTEN, Moment.FLATTEN),
        (CLOSE - 1, Moment.FLATTEN),
        (CLOSE, Moment.AFTER),
        (CLOSE + 10**18, Moment.AFTER),
    ],
)
def test_a_moment_when_it_lies_on_either_side_of_a_boundary_is_told_apart(now_ns: int, moment: Moment) -> None:
    assert moment_at(WINDOWS, now_ns) is moment


@pytest.mark.parametrize("now_ns", [0, OPEN, OPEN + 20 * MINUTE, FLATTEN, CLOSE])
def test_a_moment_when_there_is_no_session_or_no_plan_is_none_of_the_day(now_ns: int) -> None:
    holiday = SessionWindows(is_trading_day=False, open_ns=0, flatten_ns=0, close_ns=0, analyses=(), entries=())
    assert moment_at(holiday, now_ns) is Moment.NO_SESSION
    assert moment_at(None, now_ns) is Moment.NO_SESSION


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("state", STATES)
def test_the_bot_when_the_chain_is_in_any_state_at_any_moment_says_what_may_happen(
    state: ChainState, moment: Moment
) -> None:
    said = bot_state(state, moment, has_failed=False)
    if state == "ACTIVE":
        expected: dict[Moment, BotState] = {
            Moment.NO_SESSION: "IDLE",
            Moment.EARLY: "IDLE",
            Moment.PRE_OPEN: "PRE_OPEN",
            Moment.ANALYSIS: "ANALYZING",
            Moment.ENTRY: "TRADING",
            Moment.WATCH: "MONITORING",
            Moment.FLATTEN: "FLATTENING",
            Moment.AFTER: "CLOSED",
        }
        assert said == expected[moment]
    elif state in ("STARTING", "DISARMED"):
        assert said == "PROVISIONED"
    else:
        assert said == state
    assert bot_state(state, moment, has_failed=True) == "ERROR"


def test_every_state_of_the_bot_is_reached_and_explained() -> None:
    assert set(BOT_MEANING) == set(get_args(BotState))
    # Before the configuration there is no chain: its waiting loop says so, and no table.
    assert set(BOT.values()) | {"ERROR", "UNCONFIGURED"} == set(get_args(BotState))


def test_every_state_of_the_chain_is_explained_and_says_what_it_stops() -> None:
    assert set(MEANING) == set(STATES) == set(EFFECTS)
    for said in (*EFFECTS.values(), HALTED_FLATTEN, NO_LEASE):
        assert 0 < len(said.stopped) <= 400
        assert 0 < len(said.goes_on) <= 400


@pytest.mark.parametrize("positions", ["keep", "flatten"])
@pytest.mark.parametrize("state", STATES)
def test_the_effects_when_new_positions_are_stopped_say_so_and_stops_always_go_on(
    state: ChainState, positions: str
) -> None:
    said = effects(state, positions)
    assert ("new positions" in said.stopped.lower()) is (state != "ACTIVE")
    assert "protective stops" in said.goes_on.lower()
    is_sold = state == "HALTED" and positions == "flatten"
    assert ("sold now" in said.stopped) is is_sold
    assert ("planned exits" in said.goes_on) is (state in ("ACTIVE", "REDUCING", "HALTED") and not is_sold)


def test_the_effects_when_an_active_chain_has_no_lease_do_not_claim_that_nothing_is_stopped() -> None:
    assert effects("ACTIVE", "keep").stopped == "Nothing."
    assert "no lease" in effects("ACTIVE", "keep", has_lease=False).stopped
    assert effects("DISARMED", "keep", has_lease=False) == EFFECTS["DISARMED"]
