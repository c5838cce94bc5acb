"""A night of the holdings dies at every place it comes through, and each time ends as if nothing had been."""

import functools

import pytest
from sim.directed import SIDES, count_hits, dying_at
from sim.faults import PROFILES
from sim.run import Run

#: Undisturbed sessions: their nights buy, rebalance, top up, set aside; after one of them a reserve is paid out.
SEED, SEED_OF_PAYOUT = 1, 18
#: Each event is committed; each step is told of, once it is; each record is written.
POINTS = ("commit", "begun", "allocated", "ordered", "filled", "record")
NIGHT = PROFILES["night_calm"]


@functools.cache
def _hits(seed: int) -> dict[str, int]:
    verdict, hits = count_hits(seed, NIGHT)
    assert verdict.faults == []
    wanted = {"BUY", "REBALANCE_SELL", "REBALANCE_BUY", "TAX_ALLOCATION", "PAYROLL_ALLOCATION"}
    wanted.add("TOP_UP_SELL" if seed == SEED else "TAX_PAYOUT")
    assert verdict.night_actions >= wanted
    return hits


def _broken(seed: int, points: tuple[str, ...], side: str) -> dict[str, list[str]]:
    broken = {}
    for point in (f"holdings.{what}:{side}" for what in points):
        for hit in range(1, _hits(seed)[point] + 1):
            verdict = Run(seed, NIGHT, dying_at(point, hit)).play()
            if verdict.faults:
                broken[f"{point} at hit {hit}"] = verdict.faults
    return broken


@pytest.mark.parametrize("side", SIDES)
def test_the_holdings_when_killed_at_any_step_of_their_night_double_and_lose_nothing(side: str) -> None:
    assert _broken(SEED, POINTS, side) == {}


@pytest.mark.parametrize("side", SIDES)
def test_the_holdings_when_killed_at_the_record_of_a_payout_write_it_once(side: str) -> None:
    assert _broken(SEED_OF_PAYOUT, ("record",), side) == {}
