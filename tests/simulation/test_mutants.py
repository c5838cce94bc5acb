"""The test of the tests: each planted mistake is caught, and the code as it is passes the same seeds."""

from contextlib import ExitStack

import pytest
from sim.mutants import MUTANTS, Mutant
from sim.night_mutants import NIGHT_MUTANTS
from sim.run import Run


@pytest.mark.parametrize("mutant", [*MUTANTS, *NIGHT_MUTANTS], ids=lambda mutant: mutant.name)
def test_a_planted_mistake_is_caught(mutant: Mutant) -> None:
    for seed in range(1, mutant.seeds + 1):
        with ExitStack() as stack:
            mutant.plant(stack)
            verdict = Run(seed, mutant.profile()).play()
        if verdict.faults:
            # What caught it must be the mistake: without it the same seed is sound.
            assert Run(seed, mutant.profile()).play().faults == []
            return
    pytest.fail(f"{mutant.name} was not caught in {mutant.seeds} seeds")
