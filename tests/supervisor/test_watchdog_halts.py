"""The watchdog's halts: one for each cause, with its name, and told until every service has taken it."""

import logging
from typing import Any

import pytest
from msgspec.structs import replace
from watchdog_rig import ARMED, CRITICAL, DISARMED, MIB, MS, SUSPENDED, TICK_NS, TRIPPED, WatchdogRig, bot

from bus.assembly import Setup
from bus.ballast import BALLAST_FILE, Ballast
from bus.control import KILL_FILE, START_FILE, ControlFolder
from bus.messages import Message, ServiceName
from bus.testing import a_beat, a_halt, a_plan
from config.env_bot import parse, proposals
from replay.session import DEMO_IDENTITY

# --- causes ------------------------------------------------------------------------------------------------------


#: With DAILY_LOSS_FROM peak the switch trips on a day that is still in profit.
FELL = replace(TRIPPED, pnl_micros=800_000_000, peak_micros=2_000_000_000)


@pytest.mark.parametrize("service", CRITICAL)
@pytest.mark.parametrize("state", ["ACTIVE", "REDUCING"])
def test_a_critical_service_when_silent_in_an_armed_chain_halts_it_with_name_and_age(
    rig: WatchdogRig, service: ServiceName, state: str
) -> None:
    rig.activate()
    if state == "REDUCING":
        rig.control.request_stop("ann")
        assert rig.tick_alive() == "REDUCING"
    rig.shell._liveness.pulses[service].heard_ns = rig.clock.ns - 5000 * MS
    rig.beat(*(name for name in CRITICAL if name != service))
    assert rig.tick() == "HALTED"
    rule, detail = rig.newest()
    assert rule == "service_silent"
    assert f"{service} (5250 ms)" in detail
    assert not [name for name in CRITICAL if name != service and name in detail]
    assert service in rig.said[-1].detail
    assert rig.shell.lease_refusal() is not None
    rig.tick()
    rig.tick()
    assert rig.halts() == ["000001.json"]


def test_the_services_when_all_are_silent_are_named_in_one_halt(rig: WatchdogRig) -> None:
    rig.activate()
    assert rig.tick(60_000 * MS) == "HALTED"
    assert all(name in rig.newest()[1] for name in CRITICAL)
    assert rig.halts() == ["000001.json"]


@pytest.mark.parametrize("service", CRITICAL)
def test_a_critical_service_when_restarted_in_an_armed_chain_halts_it_with_its_name(
    rig: WatchdogRig, service: ServiceName
) -> None:
    rig.activate()
    rig.beat(service, boot_id="two")
    assert rig.newest()[0] == "service_restarted"
    assert f"{service} was restarted" in rig.newest()[1]
    rig.beat(*(name for name in CRITICAL if name != service))
    assert rig.tick() == "HALTED"


def test_a_service_when_restarted_before_arming_does_not_halt(rig: WatchdogRig) -> None:
    assert rig.tick_alive() == "DISARMED"
    rig.beat("risk", boot_id="two")
    rig.tick()
    assert rig.halts() == []


def test_the_web_ui_when_silent_or_restarted_does_not_halt_but_is_shown(rig: WatchdogRig) -> None:
    rig.beat("web")
    rig.activate()
    rig.clock.ns += 60_000 * MS
    assert rig.tick_alive() == "ACTIVE"
    web = next(line for line in rig.said[-1].services if line.service == "web")
    assert web.status == "down"
    rig.beat("web", boot_id="two")
    assert rig.tick_alive() == "ACTIVE"
    assert next(line for line in rig.said[-1].services if line.service == "web").restarts == 1
    assert rig.halts() == []


def test_a_heartbeat_when_it_names_another_service_than_its_sender_counts_for_nobody(rig: WatchdogRig) -> None:
    rig.shell.on_status("web", a_beat("risk"))
    rig.shell.on_status("risk", a_plan())
    assert "risk" not in rig.shell._liveness.pulses


def test_the_kill_file_when_present_raises_one_halt_and_not_one_for_each_tick(rig: WatchdogRig) -> None:
    rig.activate()
    (rig.paths.control / KILL_FILE).touch()
    for _ in range(5):
        assert rig.tick_alive() == "HALTED"
    assert rig.halts() == ["000001.json"]
    assert rig.newest()[0] == "kill_file"
    assert KILL_FILE in rig.said[-1].detail


def test_the_kill_file_when_the_arm_record_is_unreadable_raises_one_halt_and_not_one_for_each_tick(
    rig: WatchdogRig,
) -> None:
    rig.activate()
    (rig.paths.control / "arm.json").write_bytes(b"{broken")
    (rig.paths.control / KILL_FILE).touch()
    for _ in range(5):
        assert rig.tick_alive() == "HALTED"
    assert rig.halts() == ["000001.json"]


def test_the_kill_file_when_removed_leaves_the_chain_halted_until_armed(rig: WatchdogRig) -> None:
    rig.activate()
    (rig.paths.control / KILL_FILE).touch()
    assert rig.tick_alive() == "HALTED"
    (rig.paths.control / KILL_FILE).unlink()
    assert rig.tick_alive() == "HALTED"
    rig.arm()
    assert rig.tick_alive() == "ACTIVE"


def test_the_kill_file_when_used_a_second_time_halts_as_the_first_time(rig: WatchdogRig) -> None:
    rig.activate()
    for count in (1, 2):
        (rig.paths.control / KILL_FILE).touch()
        assert rig.tick_alive() == "HALTED"
        (rig.paths.control / KILL_FILE).unlink()
        assert rig.tick_alive() == "HALTED", "only an operator arms again"
        assert len(rig.halts()) == count
        rig.activate()


@pytest.mark.parametrize(
    ("sender", "event", "rule", "words"),
    [
        ("risk", TRIPPED, "daily_loss_limit", ("the day's loss $1,500.00", "$1,000.00")),
        ("risk", FELL, "daily_loss_limit", ("the day fell $1,200.00 from its best of $2,000.00", "$1,000.00")),
        ("ledger", SUSPENDED, "ledger_suspended", ("PAPER:PX-000007:FILL", "no such account")),
    ],
)
def test_an_event_when_the_chain_cannot_go_on_with_it_halts_once_with_the_reason(
    rig: WatchdogRig, sender: ServiceName, event: Message, rule: str, words: tuple[str, ...]
) -> None:
    rig.activate()
    for _ in range(2):
        rig.deliver(sender, event)
    assert rig.halts() == ["000001.json"]
    assert rig.newest()[0] == rule
    assert all(word in rig.newest()[1] for word in words)
    assert rig.tick_alive() == "HALTED"


def test_an_event_when_it_is_a_plan_or_a_halt_of_somebody_else_raises_no_halt(rig: WatchdogRig) -> None:
    for event in (a_plan(), a_halt(), ARMED, DISARMED):
        rig.shell.before_commit(event)
        assert rig.shell.after_commit({}, event, 0) == ()
    assert rig.halts() == []


def test_a_tripped_kill_switch_when_its_halt_could_not_be_written_halts_after_the_restart(rig: WatchdogRig) -> None:
    class FullDisk(ControlFolder):
        def raise_halt(self, source: str, rule: str, detail: str) -> Any:
            raise OSError(28, "No space left on device")

    rig.control = FullDisk(rig.paths)
    with pytest.raises(OSError, match="No space left"):
        rig.deliver("risk", TRIPPED)
    WatchdogRig(rig.paths, rig.clock).deliver("risk", TRIPPED)
    assert rig.newest()[0] == "daily_loss_limit"


def test_the_chain_when_armed_after_a_halt_must_be_ready_again_before_it_is_active(rig: WatchdogRig) -> None:
    rig.activate()
    rig.control.raise_halt("risk", "test", "a test")
    assert rig.tick_alive() == "HALTED"
    assert "a test" in rig.said[-1].detail
    rig.arm()
    rig.beat(*CRITICAL)
    rig.beat("ledger", outbox_depth=1)
    assert rig.tick() == "STARTING"
    assert rig.shell.lease_refusal() is not None
    assert rig.tick_alive() == "ACTIVE"


def test_the_chain_when_a_message_is_not_acknowledged_for_too_long_halts(rig: WatchdogRig) -> None:
    rig.activate()
    rig.beat(*CRITICAL)
    rig.beat("risk", oldest_unacked_ms=5000)
    assert rig.tick() == "ACTIVE"
    rig.beat(*CRITICAL)
    rig.beat("risk", oldest_unacked_ms=5001)
    assert rig.tick() == "HALTED"
    assert rig.newest() == ("message_stuck", "messages of risk are not acknowledged for over 5 s")


# --- disk --------------------------------------------------------------------------------------------------------


def test_the_disk_when_nearly_full_halts_an_armed_chain_and_no_other(rig: WatchdogRig) -> None:
    rig.free_bytes = 0
    assert rig.tick_alive() == "DISARMED"
    rig.free_bytes = 300 * MIB
    rig.activate()
    rig.free_bytes = 255 * MIB
    assert rig.tick_alive() == "HALTED"
    assert rig.newest()[0] == "disk_full"
    rig.tick_alive()
    assert rig.halts() == ["000001.json"]


def test_the_reserve_when_the_disk_runs_out_is_given_up(rig: WatchdogRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.ballast.BALLAST_BYTES", MIB)
    rig.shell._ballast = Ballast(rig.paths)
    rig.free_bytes = 2000 * MIB
    rig.shell.on_start({}, 0)
    reserve = rig.paths.state / BALLAST_FILE
    assert reserve.exists()
    rig.free_bytes = 65 * MIB
    rig.tick()
    assert reserve.exists()
    rig.free_bytes = 63 * MIB
    rig.tick()
    assert not reserve.exists()
    rig.tick()


# --- stops and acknowledgements ----------------------------------------------------------------------------------


def test_a_service_when_stopped_in_an_armed_chain_halts_it_as_stopped_once_its_time_out_is_over(
    rig: WatchdogRig,
) -> None:
    rig.activate()
    rig.beat(*CRITICAL)
    rig.beat("risk", ends=True)
    assert rig.tick() == "ACTIVE"
    assert "No lease is granted now: risk was stopped" in rig.said[-1].detail
    for _ in range(3):
        rig.beat(*(name for name in CRITICAL if name != "risk"))
        rig.tick()
    assert rig.newest() == ("service_stopped", "risk was stopped while the chain was armed")
    assert rig.halts() == ["000001.json"]


def test_the_start_file_when_removed_by_any_shell_stops_the_chain(rig: WatchdogRig) -> None:
    rig.activate()
    (rig.paths.control / START_FILE).unlink()
    assert rig.tick_alive() == "REDUCING"
    assert "control_start.txt was removed" in rig.said[-1].detail
    assert rig.halts() == []


def test_a_halt_when_services_acknowledge_it_is_shown_and_told_when_complete(
    rig: WatchdogRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.activate()
    rig.control.raise_halt("risk", "test", "x" * 400)
    with caplog.at_level(logging.INFO):
        rig.beat(*CRITICAL[:-1], halt_counter=1)
        rig.beat("ledger")
        rig.tick()
        assert "Halt 1 acknowledged by 4 of 5 services (waiting for ledger)." in rig.said[-1].detail
        assert "acknowledged" not in caplog.text
        rig.clock.ns += 30 * MS
        rig.beat("ledger", halt_counter=1)
        rig.tick(TICK_NS - 30 * MS)
        rig.tick_alive()
    assert "Halt 1 acknowledged by all 5 services." in rig.said[-1].detail
    assert caplog.text.count("halt 1 acknowledged by all 5 services after 280 ms") == 1
    rig.arm()
    rig.tick_alive()
    assert "acknowledged" not in rig.said[-1].detail


def test_the_watchdog_when_it_halts_tells_everybody_through_its_port_and_without_one_the_disk(rig: WatchdogRig) -> None:
    rig.activate()
    rig.clock.ns += 1000 * MS
    rig.tick()
    assert rig.raised == ["service_silent"]
    alone = bot.WatchdogShell(Setup(paths=rig.paths, env=parse(proposals()), identity=DEMO_IDENTITY))
    alone.before_commit(TRIPPED)
    assert rig.newest()[0] == "daily_loss_limit"
