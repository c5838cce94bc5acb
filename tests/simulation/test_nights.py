"""A night of the holdings dies at every place it comes through, and each time ends as if nothing had been."""

import functools

import pytest
from sim.directed import SIDES, count_hits, dying_at
from sim.faults import PROFILES
from sim.run import Run

#: The undisturbed session whose night buys, rebalances, tops up, sets aside, and pays out.
SEED = 1
NIGHT = PROFILES["night_calm"]


@functools.cache
def _hits() -> dict[str, int]:
    verdict, hits = count_hits(SEED, NIGHT)
    assert verdict.faults == []
    assert verdict.night_actions >= {
        *("BUY", "REBALANCE_SELL", "REBALANCE_BUY", "TOP_UP_SELL"),
        *("TAX_ALLOCATION", "PAYROLL_ALLOCATION", "TAX_PAYOUT"),
    }
    return {point: count for point, count in hits.items() if point.startswith("holdings.")}


@pytest.mark.parametrize("side", SIDES)
def test_the_holdings_when_killed_at_any_step_of_their_night_double_and_lose_nothing(side: str) -> None:
    points = {point: count for point, count in _hits().items() if point.endswith(f":{side}")}
    assert {f"holdings.{what}:{side}" for what in ("commit", "record")} <= points.keys()
    broken = {}
    for point, count in points.items():
        for hit in range(1, count + 1):
            verdict = Run(SEED, NIGHT, dying_at(point, hit)).play()
            if verdict.faults:
                broken[f"{point} at hit {hit}"] = verdict.faults
    assert broken == {}
