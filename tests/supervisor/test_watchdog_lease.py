"""The watchdog's lease: refused whenever any condition is lost, with the reason in words."""

from collections.abc import Callable

import pytest
from watchdog_rig import CRITICAL, MIB, MS, WatchdogRig

from bus.control import KILL_FILE, START_FILE
from bus.lifecycle import MEANING, NO_LEASE
from bus.messages import ChainState
from bus.testing import CLOSE_NS


@pytest.mark.parametrize("state", ["STARTING", "DISARMED", "HALTED"])
def test_a_lease_when_the_chain_is_not_active_is_refused(rig: WatchdogRig, state: ChainState) -> None:
    rig.activate()
    assert rig.shell.lease_refusal() is None
    rig.shell._state = state
    assert state in str(rig.shell.lease_refusal())


def _stop(rig: WatchdogRig) -> None:
    rig.control.request_stop("ann")


def _halt(rig: WatchdogRig) -> None:
    rig.control.raise_halt("risk", "test", "a test")


def _wait(rig: WatchdogRig) -> None:
    rig.clock.ns += 501 * MS


def _set_clock(rig: WatchdogRig) -> None:
    rig.clock.set_by_ns = -5001 * MS


def _fill_disk(rig: WatchdogRig) -> None:
    rig.free_bytes = 256 * MIB


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_stop, "stopped: arm it again"),
        (_halt, "halted: a test"),
        (lambda rig: (rig.paths.control / START_FILE).unlink(), "control_start.txt was removed"),
        (lambda rig: (rig.paths.control / KILL_FILE).touch(), "kill.txt is present"),
        (lambda rig: (rig.paths.halts).rmdir(), "cannot be read"),
        (_wait, "no heartbeat from screener for 751 ms"),
        (lambda rig: rig.beat("ledger", ends=True), "ledger was stopped"),
        (lambda rig: rig.beat("ledger", oldest_unacked_ms=2001), "not acknowledged for over 2 s"),
        (lambda rig: rig.beat("execution", reconciled_ms=-1), "agreement with the broker"),
        (_set_clock, "the wall clock was set by -5.0 s"),
        (_fill_disk, "256 MiB free"),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_a_lease_when_a_condition_is_lost_is_refused_before_the_next_look(
    rig: WatchdogRig, spoil: Callable[[WatchdogRig], object], words: str
) -> None:
    rig.activate()
    assert rig.shell.lease_refusal() is None
    spoil(rig)
    assert words in str(rig.shell.lease_refusal())


def test_an_active_chain_when_it_gets_no_lease_says_why_and_what_that_stops(rig: WatchdogRig) -> None:
    rig.activate()
    assert (rig.said[-1].detail, rig.said[-1].stopped) == (MEANING["ACTIVE"], "Nothing.")
    rig.beat(*CRITICAL)
    rig.beat("execution", reconciled_ms=-1)
    assert rig.tick() == "ACTIVE"
    assert "No lease is granted now: execution has not found itself in agreement" in rig.said[-1].detail
    assert rig.said[-1].stopped == NO_LEASE.stopped
    assert rig.halts() == []


def test_the_wall_clock_when_set_a_little_is_shown_and_when_set_far_ends_the_leases(rig: WatchdogRig) -> None:
    rig.activate()
    rig.clock.set_by_ns = 1500 * MS
    rig.tick_alive()
    assert "Warning: the wall clock was set by +1.5 s" in rig.said[-1].detail
    assert rig.shell.lease_refusal() is None
    assert rig.said[-1].clock_drift_ms == 1500
    rig.clock.set_by_ns = 6000 * MS
    rig.tick_alive()
    assert "No lease is granted now: the wall clock was set by +6.0 s" in rig.said[-1].detail
    assert "Warning" not in rig.said[-1].detail
    assert rig.said[-1].clock_drift_ms == 6000, "with it the page refuses to arm"
    again = rig.restarted()
    again.tick()
    assert again.said[-1].clock_drift_ms == 0


def test_an_arm_record_when_its_session_is_over_is_turned_into_a_stop(rig: WatchdogRig) -> None:
    rig.shell.on_start({}, 0)
    rig.beat(*CRITICAL)
    rig.arm(expires="2013-10-08")
    assert rig.tick() == "ACTIVE"
    rig.beat(*CRITICAL)
    rig.beat("execution", ts_event=CLOSE_NS - 1)
    assert rig.tick() == "ACTIVE"
    rig.beat("execution", ts_event=CLOSE_NS)
    assert "the session of 2013-10-08, which is over" in str(rig.shell.lease_refusal())
    rig.beat(*(name for name in CRITICAL if name != "execution"))
    assert rig.tick() == "REDUCING"
    assert "the session of 2013-10-08, which is over" in rig.said[-1].detail
    assert rig.control.read().is_stop_requested
    assert rig.halts() == []


def test_an_arm_record_when_for_another_session_never_makes_the_chain_active(rig: WatchdogRig) -> None:
    rig.shell.on_start({}, 0)
    rig.arm(expires="2013-10-07")
    for _ in range(3):
        assert rig.tick_alive() != "ACTIVE"
    assert "2013-10-07" in rig.said[-1].detail
