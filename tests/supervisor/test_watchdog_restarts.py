"""The watchdog over restarts: the chain that was armed is the set of its processes, and any other waits."""

import pytest
from watchdog_rig import CRITICAL, MS, TICK_NS, WatchdogRig

from bus.boot_book import BOOTS_FILE
from bus.messages import ServiceName


def test_the_chain_when_the_watchdog_alone_was_restarted_goes_on(rig: WatchdogRig) -> None:
    rig.activate()
    again = rig.restarted()
    assert again.shell.lease_refusal() is not None
    again.beat(*CRITICAL[:-1])
    assert again.tick() == "STARTING"
    assert again.tick_alive() == "ACTIVE"
    assert again.shell.lease_refusal() is None
    assert again.halts() == []


@pytest.mark.parametrize("others", [(name,) for name in CRITICAL] + [CRITICAL, CRITICAL[1:3]], ids=" ".join)
def test_the_chain_when_more_than_the_watchdog_was_restarted_waits_for_an_operator(
    rig: WatchdogRig, others: tuple[ServiceName, ...]
) -> None:
    rig.activate()
    again = rig.restarted()
    for _ in range(4):
        again.beat(*(name for name in CRITICAL if name not in others))
        again.beat(*others, boot_id="two")
        assert again.tick() != "ACTIVE"
        assert again.shell.lease_refusal() is not None
    assert again.said[-1].state == "DISARMED"
    named = "the chain" if others == CRITICAL else ", ".join(others)
    assert f"{named} was started anew since the chain was armed" in again.said[-1].detail
    assert again.halts() == []
    again.arm()
    again.beat(*(name for name in CRITICAL if name not in others))
    again.beat(*others, boot_id="two")
    assert again.tick() == "ACTIVE"


def test_the_chain_when_the_run_folder_is_empty_after_a_reboot_waits_for_an_operator(rig: WatchdogRig) -> None:
    rig.activate()
    (rig.paths.run / BOOTS_FILE).unlink()
    again = rig.restarted()
    assert again.tick_alive() == "DISARMED"
    assert "the chain was started anew" in again.said[-1].detail


def test_the_chain_when_armed_while_the_watchdog_was_away_waits_for_an_operator(rig: WatchdogRig) -> None:
    rig.activate()
    rig.clock.ns += TICK_NS
    rig.arm()
    again = rig.restarted()
    assert again.tick_alive() == "DISARMED"


def test_a_service_when_restarted_between_arming_and_active_stops_the_chain(rig: WatchdogRig) -> None:
    rig.arm()
    rig.beat("risk")
    assert rig.tick() == "STARTING"
    rig.beat(*CRITICAL)
    rig.beat("risk", boot_id="two")
    assert rig.tick() == "DISARMED"
    assert "risk was started anew" in rig.said[-1].detail


def test_a_service_when_restarted_after_it_died_and_the_chain_was_armed_again_belongs_to_it(rig: WatchdogRig) -> None:
    rig.activate()
    rig.clock.ns += 1000 * MS
    rig.beat(*(name for name in CRITICAL if name != "risk"))
    assert rig.tick(0) == "HALTED"
    rig.arm()
    rig.beat(*CRITICAL, boot_id="one")
    rig.shell._liveness.pulses["risk"].heard_ns -= 1000 * MS
    assert rig.tick(TICK_NS) == "STARTING"
    rig.beat(*(name for name in CRITICAL if name != "risk"))
    rig.beat("risk", boot_id="two")
    assert rig.tick() == "ACTIVE"


def test_a_service_when_restarted_four_times_in_a_minute_halts_the_chain_even_before_it_is_armed(
    rig: WatchdogRig,
) -> None:
    assert rig.tick_alive() == "DISARMED"
    for number in range(4):
        assert rig.halts() == []
        rig.clock.ns += 1000 * MS
        rig.beat("risk", boot_id=f"again{number}")
    assert rig.newest() == ("crash_loop", "risk was restarted more than 3 times in a minute")
    rig.tick()
    assert rig.said[-1].state == "HALTED"


def test_the_web_ui_when_in_a_crash_loop_does_not_halt(rig: WatchdogRig) -> None:
    for number in range(9):
        rig.beat("web", boot_id=f"again{number}")
    assert rig.halts() == []


def test_a_service_when_restarted_as_another_build_halts_by_that_rule(rig: WatchdogRig) -> None:
    rig.activate()
    rig.beat("risk", boot_id="two", build="b2")
    assert rig.newest()[0] == "mixed_build"
    assert "risk (b2)" in rig.newest()[1]
    assert rig.raised == ["mixed_build"]


def test_a_service_when_restarted_and_its_file_is_damaged_halts_with_its_own_words(rig: WatchdogRig) -> None:
    rig.activate()
    rig.beat("ledger", boot_id="two", state="cannot start: The ledger /h/ledger.db cannot be read: it is damaged")
    assert rig.newest() == (
        "service_restarted",
        "ledger was restarted while the chain was armed, and cannot start: The ledger /h/ledger.db cannot be read: it "
        "is damaged",
    )
    assert rig.tick() == "HALTED"
