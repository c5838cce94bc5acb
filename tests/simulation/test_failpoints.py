"""A death before and after every named point. The runs that reach them are played once without a death first."""

import functools

import pytest
from sim.directed import SIDES, count_hits, dying_at, named
from sim.faults import LOST_HISTORY, PROFILES, WITH_HOLDINGS, Profile
from sim.run import Run

from bus.routes import LEASE_ISSUERS

_EARLY = Profile(
    "early", fixed={"loss": 0.3}, restores=("strategy", "screener"), restore_s=(0.3, 0.8), ends_in=LOST_HISTORY
)
#: What risk told the holdings is not in its file any more: they halt the chain.
_NIGHT_RESTORED = Profile(
    "night_restored",
    services=WITH_HOLDINGS,
    restores=("risk",),
    restore_s=(24.2, 27.0),
    ends_in=LOST_HISTORY,
    speeds=(20,),
    fault_s=(38.0, 42.0),
)
#: Quiet, with every answer of the broker in doubt, halted by an operator, and with files from another time.
SCENES: tuple[tuple[int, Profile], ...] = (
    (1, PROFILES["calm"]),
    (4, Profile("doubt", fixed={"response_lost": 0.3, "stream_lost": 0.3, "slow_fill": 0.5, "stuck": 0.3})),
    (2, Profile("halted", fixed={"halt_rate": 0.6, "stuck": 0.8, "cancel_lost": 0.6})),
    (3, Profile("halted", fixed={"halt_rate": 0.6, "stuck": 0.8, "cancel_lost": 0.6})),
    (1, PROFILES["suspended"]),
    (1, PROFILES["night_calm"]),
    (1, _NIGHT_RESTORED),
    *((seed, PROFILES["restore"]) for seed in range(1, 13)),
    *((seed, PROFILES["restore_execution"]) for seed in (2, 3, 4)),
    *((seed, _EARLY) for seed in range(1, 6)),
)
#: Reached only where a process is told to stop: tests/chaos kills there.
ONLY_ON_REAL_PROCESSES = frozenset({"execution.finish"})


@functools.cache
def _reached() -> tuple[frozenset[str], dict[str, tuple[int, int]]]:
    """Return every name in the code, and for each side of a point the scene that reaches it most and how often."""
    names: set[str] = set()
    best: dict[str, tuple[int, int]] = {}
    with named(names):
        for scene, (seed, profile) in enumerate(SCENES):
            verdict, hits = count_hits(seed, profile)
            assert verdict.faults == [], (seed, profile.name)
            for point, count in hits.items():
                if point not in best:
                    best[point] = (scene, count)
    return frozenset(names), best


def _expected(name: str) -> bool:
    service, _, what = name.partition(".")
    if name in ONLY_ON_REAL_PROCESSES or service not in WITH_HOLDINGS:
        return False
    return what != "lease" or service in LEASE_ISSUERS


def test_every_failpoint_that_the_code_names_is_reached() -> None:
    names, best = _reached()
    wanted = {f"{name}:{side}" for name in names if _expected(name) for side in SIDES}
    assert wanted - best.keys() == set()


@pytest.mark.parametrize("side", SIDES)
def test_a_death_at_any_failpoint_breaks_no_promise(side: str) -> None:
    _, best = _reached()
    broken = {}
    for point, (scene, count) in sorted(best.items()):
        if not point.endswith(f":{side}"):
            continue
        seed, profile = SCENES[scene]
        for hit in sorted({1, (count + 1) // 2}):
            verdict = Run(seed, profile, dying_at(point, hit)).play()
            if verdict.faults:
                broken[f"{point} at hit {hit} of seed {seed} {profile.name}"] = verdict.faults
    assert broken == {}
