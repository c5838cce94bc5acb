"""A gap in the loop's own life: nobody knows what happened meanwhile, so the shell has to look."""

import time
from collections.abc import Callable, Sequence

from runner_rig import RunnerRig

from bus import clock
from bus.decider import Shell
from bus.messages import Message
from bus.testing import RecorderState

_MS = 1_000_000
_DEADLINE_S = 20


class StandingClock:
    """A host whose clocks stand still until a test moves them."""

    def __init__(self) -> None:
        self.now = clock.boot_ns()

    def utc_ns(self) -> int:
        return self.now

    def boot_ns(self) -> int:
        return self.now


class CountingShell(Shell[RecorderState]):
    """Counts its calls."""

    def __init__(self) -> None:
        self.idles = self.gaps = 0

    def on_idle(self, state: RecorderState, now_ns: int) -> Sequence[Message]:
        self.idles += 1
        return ()

    def on_gap(self, state: RecorderState, now_ns: int) -> Sequence[Message]:
        self.gaps += 1
        return ()


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _DEADLINE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_loop_when_it_stood_still_for_more_than_half_a_second_lets_its_shell_look_and_not_before(
    rig: RunnerRig,
) -> None:
    shell, host = CountingShell(), StandingClock()
    rig.shell = shell
    with clock.on_host(host):
        rig.start()
        _until(lambda: shell.idles > 0)
        for step_ms, gaps in ((500, 0), (500, 0), (501, 1), (30_000, 2)):
            before = shell.idles
            host.now += step_ms * _MS
            _until(lambda before=before: shell.idles > before)
            assert shell.gaps == gaps


def test_the_boot_clock_when_the_system_has_one_that_counts_suspend_is_that_one() -> None:
    wanted = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before, said, after = time.clock_gettime_ns(wanted), clock.boot_ns(), time.clock_gettime_ns(wanted)
    assert before <= said <= after
