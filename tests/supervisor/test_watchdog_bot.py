"""The watchdog: one plan, one halt for each cause, a chain that is active only when all of it is ready and armed."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

from bus.assembly import CannotStartError, Ports, Setup
from bus.calendar import ExchangeDay
from bus.clock import SessionClock
from bus.control import KILL_FILE, ControlFolder
from bus.halt import ArmRecord
from bus.local import OpenGate
from bus.messages import (
    MICROS,
    ChainArmed,
    ChainDisarmed,
    ChainState,
    ChainStatus,
    EntrySuspended,
    HaltRaised,
    Heartbeat,
    KillSwitchTripped,
    Message,
    ServiceName,
)
from bus.node import Node
from bus.processes import ROOT
from bus.store import Store
from bus.testing import CLOSE_NS, OPEN_NS, a_beat, a_deposit, a_halt, a_plan
from config.env_bot import parse, proposals
from config.paths import HomePaths
from replay.session import DEMO_IDENTITY

MS = 1_000_000
TICK_NS = 250 * MS
CRITICAL: tuple[ServiceName, ...] = ("screener", "strategy", "risk", "execution", "ledger")
TRIPPED = KillSwitchTripped(
    ts_event=1, ts_init=1, session_date="2013-10-08", pnl_micros=-1500 * MICROS, limit_micros=1000 * MICROS
)
SUSPENDED = EntrySuspended(ts_event=1, ts_init=1, source_event_id="PAPER:PX-000007:FILL", detail="no such account")
ARMED = ChainArmed(ts_event=1, ts_init=1, halt_counter=0, operator="ann", reason="test")
DISARMED = ChainDisarmed(ts_event=1, ts_init=1, detail="not armed")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("watchdog_bot", ROOT / "supervisor" / "watchdog_bot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bot = _load()


class BootClock:
    """Boot time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.ns = 10_000 * MS

    def __call__(self) -> int:
        return self.ns


class Rig:
    """A watchdog's shell on a home of its own; time goes on by `tick` alone."""

    def __init__(self, paths: HomePaths, clock: BootClock) -> None:
        self.paths = paths
        self.clock = clock
        self.control = ControlFolder(paths)
        self.said: list[ChainStatus] = []
        self.shell = bot.WatchdogShell(Setup(paths=paths, env=parse(proposals()), identity=DEMO_IDENTITY))
        self.shell.attach(Ports(OpenGate(), self.said.append, self._halted))

    def _halted(self, rule: str, detail: str) -> None:
        self.control.raise_halt_once("watchdog", rule, detail)

    def beat(self, *names: ServiceName, boot_id: str = "one", **changes: Any) -> None:
        for name in names:
            self.shell.on_status(name, replace(a_beat(name, boot_id), **changes))

    def tick(self, after_ns: int = TICK_NS) -> str:
        """Let the watchdog look once, and return the state that it publishes."""
        self.clock.ns += after_ns
        self.shell.on_idle({}, 0)
        return self.said[-1].state

    def tick_alive(self) -> str:
        self.beat(*CRITICAL)
        return self.tick()

    def arm(self) -> None:
        self.control.arm(
            ArmRecord(
                operator="ann",
                reason="test",
                armed_at_utc="2026-01-01T00:00:00.000Z",
                halt_counter=self.control.read().halt_counter,
                generation=1,
                build="b1",
            )
        )

    def activate(self) -> None:
        self.arm()
        assert self.tick_alive() == "ACTIVE"

    def deliver(self, sender: ServiceName, message: Message) -> None:
        """Give the watchdog the first message of a stream, as the runtime does over its file on disk."""
        assembly = bot.Assembly(core=bot.WatchdogCore(), shell=self.shell)
        store = Store(self.paths.state / "watchdog.db", "NORMAL")
        node = Node("watchdog", assembly, store, clock=SessionClock(follows_feed=True), on_event=lambda _event: None)
        try:
            node.on_reliable(sender, "e", 1, message)
        finally:
            node.close()

    def halts(self) -> list[str]:
        return sorted(path.name for path in self.paths.halts.glob("*.json"))

    def newest(self) -> tuple[str, str]:
        halt = self.control.read().halt
        assert halt is not None
        return halt.rule, halt.detail


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    clock = BootClock()
    monkeypatch.setattr(bot, "boot_ns", clock)
    monkeypatch.setattr(bot, "build_id", lambda: "b1")
    paths = HomePaths(tmp_path)
    paths.make()
    return Rig(paths, clock)


def _decided(state: dict[str, Message], message: Message) -> tuple[list[Message], dict[str, Message]]:
    core = bot.WatchdogCore()
    events = list(core.decide(state, message, 0))
    for event in events:
        state = core.evolve(state, event)
    return events, state


# --- core --------------------------------------------------------------------------------------------------------


def test_a_plan_when_new_is_passed_on_once_whenever_it_was_made() -> None:
    events, state = _decided(bot.WatchdogCore().initial(), a_plan())
    assert events == [a_plan()]
    assert _decided(state, replace(a_plan(), ts_init=99))[0] == []
    other = a_plan("2013-10-09")
    events, state = _decided(state, other)
    assert events == [other]
    assert _decided(state, replace(other, flatten_ns=CLOSE_NS))[0] != []


def test_a_halt_when_heard_again_or_out_of_order_is_passed_on_once() -> None:
    events, state = _decided({}, a_halt(2))
    assert events == [a_halt(2)]
    assert _decided(state, a_halt(2))[0] == []
    assert _decided(state, a_halt(1))[0] == []
    assert _decided(state, a_halt(3))[0] == [a_halt(3)]


@pytest.mark.parametrize("message", [TRIPPED, SUSPENDED, ARMED, DISARMED], ids=lambda m: type(m).__name__)
def test_a_message_when_it_explains_a_stop_is_journaled_and_leaves_the_memory_as_it_is(message: Message) -> None:
    _, before = _decided({}, a_plan())
    events, after = _decided(before, message)
    assert events == [message]
    assert after == before


def test_a_message_when_it_is_not_the_watchdogs_business_is_dropped() -> None:
    assert _decided({}, a_deposit())[0] == []
    assert bot.WatchdogCore().settle({}, 0) == ()
    assert bot.WatchdogCore().snapshot({}, 0) == ()


# --- the chain's state -------------------------------------------------------------------------------------------


def test_the_chain_when_services_come_up_one_by_one_starts_until_the_last_is_ready(rig: Rig) -> None:
    assert rig.tick() == "STARTING"
    for number, name in enumerate(CRITICAL):
        assert rig.tick() == "STARTING"
        assert name in rig.said[-1].detail
        rig.beat(*CRITICAL[: number + 1])
    assert rig.tick() == "DISARMED"
    rig.arm()
    assert rig.tick_alive() == "ACTIVE"
    assert rig.said[-1].armed_by == "ann"
    assert rig.halts() == []


@pytest.mark.parametrize("missing", CRITICAL)
def test_the_chain_when_armed_but_one_service_is_missing_does_not_get_active(rig: Rig, missing: ServiceName) -> None:
    rig.arm()
    for _ in range(3):
        rig.beat(*(name for name in CRITICAL if name != missing))
        assert rig.tick() == "STARTING"
        assert f"{missing} has not been heard yet" in rig.said[-1].detail
    rig.beat(*CRITICAL)
    assert rig.tick() == "ACTIVE"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "waits for the session plan"}, "risk: waits for the session plan"),
        ({"state": "cannot start: no folder"}, "cannot start: no folder"),
        ({"outbox_depth": 3}, "3 message"),
        ({"build": "b2"}, "another build"),
    ],
)
def test_the_chain_when_a_service_is_not_ready_or_of_another_build_never_gets_ready(
    rig: Rig, changes: dict[str, Any], words: str
) -> None:
    rig.arm()
    for _ in range(3):
        rig.beat(*CRITICAL)
        rig.beat("risk", **changes)
        assert rig.tick() == "STARTING"
    assert words in rig.said[-1].detail
    assert rig.shell.lease_refusal() is not None


def test_the_chain_when_disarmed_and_a_service_falls_silent_starts_again_without_a_halt(rig: Rig) -> None:
    assert rig.tick_alive() == "DISARMED"
    assert rig.tick(2000 * MS) == "STARTING"
    assert "silent" in rig.said[-1].detail
    assert rig.halts() == []
    assert rig.tick_alive() == "DISARMED"


def test_the_chain_when_armed_for_another_build_stays_disarmed(rig: Rig) -> None:
    rig.beat(*CRITICAL)
    rig.arm()
    record = rig.control.read().arm
    assert record is not None
    rig.control.arm(replace(record, build="b2"))
    assert rig.tick() == "DISARMED"


def test_the_chain_when_stopped_by_an_operator_reduces_until_armed_again(rig: Rig) -> None:
    rig.activate()
    rig.control.request_stop("ann")
    assert rig.tick_alive() == "REDUCING"
    assert rig.halts() == []
    rig.arm()
    assert rig.tick_alive() == "ACTIVE"


@pytest.mark.parametrize(
    ("state", "grants"),
    [("STARTING", False), ("DISARMED", False), ("ACTIVE", True), ("REDUCING", True), ("HALTED", False)],
)
def test_a_lease_when_asked_for_is_granted_in_an_active_or_reducing_chain_alone(
    rig: Rig, state: ChainState, grants: bool
) -> None:
    rig.shell._state = state
    refusal = rig.shell.lease_refusal()
    assert (refusal is None) is grants
    assert grants or state in refusal


# --- halts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", CRITICAL)
@pytest.mark.parametrize("state", ["ACTIVE", "REDUCING"])
def test_a_critical_service_when_silent_in_an_armed_chain_halts_it_with_name_and_age(
    rig: Rig, service: ServiceName, state: str
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


def test_the_services_when_all_are_silent_are_named_in_one_halt(rig: Rig) -> None:
    rig.activate()
    assert rig.tick(60_000 * MS) == "HALTED"
    assert all(name in rig.newest()[1] for name in CRITICAL)
    assert rig.halts() == ["000001.json"]


@pytest.mark.parametrize("service", CRITICAL)
def test_a_critical_service_when_restarted_in_an_armed_chain_halts_it_with_its_name(
    rig: Rig, service: ServiceName
) -> None:
    rig.activate()
    rig.beat(service, boot_id="two")
    assert rig.newest()[0] == "service_restarted"
    assert f"{service} was restarted" in rig.newest()[1]
    rig.beat(*(name for name in CRITICAL if name != service))
    assert rig.tick() == "HALTED"


def test_a_service_when_restarted_before_arming_does_not_halt(rig: Rig) -> None:
    assert rig.tick_alive() == "DISARMED"
    rig.beat("risk", boot_id="two")
    rig.tick()
    assert rig.halts() == []


def test_the_web_ui_when_silent_or_restarted_does_not_halt_but_is_shown(rig: Rig) -> None:
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


def test_a_heartbeat_when_it_names_another_service_than_its_sender_counts_for_nobody(rig: Rig) -> None:
    rig.shell.on_status("web", a_beat("risk"))
    rig.shell.on_status("risk", a_plan())
    assert "risk" not in rig.shell._liveness.pulses


def test_the_kill_file_when_present_raises_one_halt_and_not_one_for_each_tick(rig: Rig) -> None:
    rig.activate()
    (rig.paths.control / KILL_FILE).touch()
    for _ in range(5):
        assert rig.tick_alive() == "HALTED"
    assert rig.halts() == ["000001.json"]
    assert rig.newest()[0] == "kill_file"
    assert KILL_FILE in rig.said[-1].detail


def test_the_kill_file_when_the_arm_record_is_unreadable_raises_one_halt_and_not_one_for_each_tick(rig: Rig) -> None:
    rig.activate()
    (rig.paths.control / "arm.json").write_bytes(b"{broken")
    (rig.paths.control / KILL_FILE).touch()
    for _ in range(5):
        assert rig.tick_alive() == "HALTED"
    assert rig.halts() == ["000001.json"]


def test_the_kill_file_when_removed_leaves_the_chain_halted_until_armed(rig: Rig) -> None:
    rig.activate()
    (rig.paths.control / KILL_FILE).touch()
    assert rig.tick_alive() == "HALTED"
    (rig.paths.control / KILL_FILE).unlink()
    assert rig.tick_alive() == "HALTED"
    rig.arm()
    assert rig.tick_alive() == "ACTIVE"


def test_the_kill_file_when_used_a_second_time_halts_as_the_first_time(rig: Rig) -> None:
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
        ("risk", TRIPPED, "daily_loss_limit", ("$1,500.00", "$1,000.00")),
        ("ledger", SUSPENDED, "ledger_suspended", ("PAPER:PX-000007:FILL", "no such account")),
    ],
)
def test_an_event_when_the_chain_cannot_go_on_with_it_halts_once_with_the_reason(
    rig: Rig, sender: ServiceName, event: Message, rule: str, words: tuple[str, ...]
) -> None:
    rig.activate()
    for _ in range(2):
        rig.deliver(sender, event)
    assert rig.halts() == ["000001.json"]
    assert rig.newest()[0] == rule
    assert all(word in rig.newest()[1] for word in words)
    assert rig.tick_alive() == "HALTED"


def test_an_event_when_it_is_a_plan_or_a_halt_of_somebody_else_raises_no_halt(rig: Rig) -> None:
    for event in (a_plan(), a_halt(), ARMED, DISARMED):
        rig.shell.before_commit(event)
        assert rig.shell.after_commit({}, event, 0) == ()
    assert rig.halts() == []


def test_a_tripped_kill_switch_when_its_halt_could_not_be_written_halts_after_the_restart(rig: Rig) -> None:
    class FullDisk(ControlFolder):
        def raise_halt(self, source: str, rule: str, detail: str) -> Any:
            raise OSError(28, "No space left on device")

    rig.shell._control = FullDisk(rig.paths)
    with pytest.raises(OSError, match="No space left"):
        rig.deliver("risk", TRIPPED)
    Rig(rig.paths, rig.clock).deliver("risk", TRIPPED)
    assert rig.newest()[0] == "daily_loss_limit"


def test_the_chain_when_armed_after_a_halt_must_be_ready_again_before_it_is_active(rig: Rig) -> None:
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


# --- plan and status ---------------------------------------------------------------------------------------------


def _exchange_day(_day: str) -> ExchangeDay:
    return ExchangeDay(day="2013-10-08", is_session=True, open_ns=OPEN_NS, close_ns=CLOSE_NS, is_half_day=False)


def test_the_plan_when_the_watchdog_starts_is_made_of_the_calendar_and_shown(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot, "read_exchange_day", _exchange_day)
    (plan,) = rig.shell.on_start({}, 0)
    assert (plan.session_date, plan.open_ns, plan.close_ns) == ("2013-10-08", OPEN_NS, CLOSE_NS)
    rig.tick()
    assert (rig.said[-1].session_date, rig.said[-1].bot_state) == ("2013-10-08", "PRE_OPEN")
    rig.beat("execution", ts_event=CLOSE_NS)
    rig.tick()
    assert rig.said[-1].bot_state == "CLOSED"


def test_the_watchdog_when_the_day_is_not_in_the_calendar_cannot_start(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_such_day(day: str) -> ExchangeDay:
        raise CannotStartError(f"Not a day: {day}")

    monkeypatch.setattr(bot, "read_exchange_day", no_such_day)
    with pytest.raises(CannotStartError, match="Not a day"):
        rig.shell.on_start({}, 0)


def test_the_status_when_asked_for_more_often_is_published_five_times_a_second(rig: Rig) -> None:
    for _ in range(100):
        rig.clock.ns += 20 * MS
        rig.shell.on_idle({}, 0)
    assert len(rig.said) == 10


def test_the_watchdog_when_built_is_one_assembly_of_core_and_shell(rig: Rig) -> None:
    assembly = bot.build(Setup(paths=rig.paths, env=parse(proposals()), identity=DEMO_IDENTITY))
    assert isinstance(assembly.core, bot.WatchdogCore)
    assert "STARTING" in str(assembly.lease_refusal())
    assembly.on_status("risk", a_beat("risk"))
    assert isinstance(assembly.shell._liveness.pulses["risk"].beat, Heartbeat)
    assert isinstance(assembly.core.decide({}, a_halt(), 0)[0], HaltRaised)


def test_the_chain_when_a_message_is_not_acknowledged_for_too_long_halts(rig: Rig) -> None:
    rig.activate()
    rig.beat(*CRITICAL)
    rig.beat("risk", oldest_unacked_ms=5000)
    assert rig.tick() == "ACTIVE"
    rig.beat(*CRITICAL)
    rig.beat("risk", oldest_unacked_ms=5001)
    assert rig.tick() == "HALTED"
    assert rig.newest() == ("message_stuck", "messages of risk are not acknowledged for over 5 s")


def test_the_chain_when_started_anew_waits_to_be_armed_and_when_the_watchdog_alone_restarts_does_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot, "read_exchange_day", _exchange_day)
    monkeypatch.setattr(bot.os, "getppid", lambda: 4711)
    rig.shell.on_start({}, 0)
    rig.arm()
    rig.shell.on_start({}, 0)
    assert rig.control.read().refusal("b1") is None
    monkeypatch.setattr(bot.os, "getppid", lambda: 4712)
    rig.shell.on_start({}, 0)
    assert "arm it again" in str(rig.control.read().refusal("b1"))
    assert not rig.control.read().is_halted()
