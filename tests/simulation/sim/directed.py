"""Deaths at named places: which places there are, and a run that dies at one of them."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from sim.chain import Chain
from sim.faults import Profile
from sim.host import SimulatedCrash
from sim.run import Run, Verdict

from bus.failpoints import Failpoint

SIDES = ("before", "after")


@contextmanager
def named(names: set[str]) -> Iterator[None]:
    """Add every failpoint that the code makes inside the block, and those that its modules have made already."""
    real = Failpoint.__init__

    def note(self: Failpoint, name: str) -> None:
        names.add(name)
        real(self, name)

    for found in gc.get_objects():
        # By its very type: isinstance would ask a weak reference for what it refers to, which may be gone.
        if type(found) is Failpoint:
            names.add(found._before.removesuffix(":before"))
    with patch.object(Failpoint, "__init__", note):
        yield


def count_hits(seed: int, profile: Profile) -> tuple[Verdict, dict[str, int]]:
    """Play a seed without directed deaths, and count how often each side of each point is reached."""
    hits: dict[str, int] = {}

    def listen(chain: Chain) -> None:
        def note(name: str) -> None:
            hits[name] = hits.get(name, 0) + 1

        chain.at_failpoint = note

    return Run(seed, profile, listen).play(), hits


def dying_at(point: str, hit: int) -> Callable[[Chain], None]:
    """Return what lets a process die the so-manieth time it reaches a point."""

    def listen(chain: Chain) -> None:
        left = hit

        def maybe(name: str) -> None:
            nonlocal left
            if name == point:
                left -= 1
                if left == 0:
                    raise SimulatedCrash

        chain.at_failpoint = maybe

    return listen


def modules_of_the_bot() -> list[str]:
    """Return the modules that are loaded of the bot itself."""
    return [name for name in sys.modules if name.split(".")[0] in ("bus", "services", "watchdog_bot")]
